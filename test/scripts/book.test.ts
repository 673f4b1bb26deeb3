import { spawnSync } from "node:child_process";
import { join } from "node:path";
import Sqlite from "better-sqlite3";
import { describe, expect, it } from "vitest";
import { depositConfirmed } from "../../orchestrator/accounts/book.ts";
import { openStore } from "../../orchestrator/io/store.ts";
import { sats } from "../../policies/money.ts";
import { temporaryFolder } from "../support/node.ts";

const folder = temporaryFolder();
const BALLAST = join(import.meta.dirname, "../../scripts/ballast.ts");

function ballast(...args: readonly string[]) {
  const command = ["--import", "tsx", BALLAST, "book", ...args];
  const { status, stdout, stderr } = spawnSync(process.execPath, command, { encoding: "utf8" });
  return { status, stdout, stderr };
}

async function bookOf(name: string): Promise<string> {
  const path = join(folder(), name);
  const store = openStore({ path, network: "regtest" });
  await store.db
    .insertInto("accounts")
    .values({
      ...{ id: "a-1", name: "ann", user_key: "u", trustee_key: "t", lsp_key: "l", state: "open" },
      ...{ document: "{}", proofs: null, created_at: 0n },
    })
    .execute();
  const deposit = { account: "a-1", outpoint: "o", sats: sats(700n), turn: 1n, at: 0n };
  await store.transaction((db) => depositConfirmed({ ...deposit, db }));
  await store.close();
  return path;
}

describe("ballast book", () => {
  it("finds a book in order, and the fault in one that was edited", async () => {
    const path = await bookOf("edited.sqlite");
    const args = ["check", "--store", path, "--network", "regtest"];
    expect(ballast(...args)).toMatchObject({
      status: 0,
      stdout: "ok: 1 postings, 700 sat and 0 cents owed, 0 sat of fees\n",
    });
    const sqlite = new Sqlite(path);
    sqlite.exec("update balances set amount = 701 where account = 'user/a-1/available'");
    sqlite.close();
    const { status, stdout } = ballast(...args, "--json");
    expect(status).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({
      ok: false,
      faults: ["balance of user/a-1/available sat is 701, its entries make 700"],
    });
  });

  it("shows an account's postings with the running balance", async () => {
    const path = await bookOf("shown.sqlite");
    const { stdout } = ballast("show", "a-1", "--store", path, "--network", "regtest", "--json");
    const line = { kind: "deposit-confirmed 1", part: "available", amount: "700", balance: "700" };
    expect(JSON.parse(stdout)).toMatchObject({ account: "a-1", lines: [line] });
  });

  it("makes no store, and takes none of another network", async () => {
    expect(ballast("check", "--store", join(folder(), "none.sqlite")).status).toBe(2);
    expect(ballast("check").status).toBe(2);
    const path = await bookOf("other.sqlite");
    expect(ballast("check", "--store", path).stderr).toContain("of regtest, not of bitcoin");
  });
});
