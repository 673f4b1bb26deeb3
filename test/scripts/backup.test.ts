/** `ballast backup`, called as an operator calls it, while bookings go on. */
import { spawn, spawnSync } from "node:child_process";
import { copyFileSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { depositConfirmed } from "../../orchestrator/accounts/book.ts";
import { checkBook } from "../../orchestrator/book/proof.ts";
import { openStore, type Store } from "../../orchestrator/io/store.ts";
import { silentLog } from "../../orchestrator/log.ts";
import { openPostgresStore } from "../../orchestrator/postgres/store.ts";
import { sats } from "../../policies/money.ts";
import { temporaryFolder } from "../support/node.ts";
import { describePostgres } from "../support/postgres.ts";

const ROOT = join(import.meta.dirname, "../..");
const folder = temporaryFolder();
const file = (name: string) => join(folder(), name);

interface Ran {
  readonly code: number | null;
  readonly out: string;
}

/** Not waited for on this thread, which goes on writing. */
function backup(words: readonly string[], programs = ""): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const path = `${programs}:${process.env["PATH"]}`;
    const env = { ...process.env, PATH: path, DATABASE_URL: "" };
    const run = spawn(join(ROOT, "scripts/ballast"), ["backup", ...words], { env });
    let out = "";
    for (const stream of [run.stdout, run.stderr]) {
      stream.on("data", (part: Buffer) => {
        out += part.toString();
      });
    }
    run.once("error", reject);
    run.once("close", (code) => resolve({ code, out }));
  });
}

function configured(name: string, store: string): string {
  const tls = { ca: "/x/ca.pem", cert: "/x/o.pem", key: "/x/o.key" };
  const config = {
    format: "ballast/orchestrator@1",
    network: "regtest",
    store,
    node: { url: "http://127.0.0.1:1" },
    signer: { url: "https://127.0.0.1:1", tls },
    token: "/x/token",
    fees: { sat_per_vbyte_min: 1, sat_per_vbyte_max: 2 },
  };
  writeFileSync(file(name), JSON.stringify(config));
  return file(name);
}

/** Deposits of one person, one after the other, until the work is done; how many there were. */
async function bookingWhile<T>(store: Store, work: Promise<T>): Promise<readonly [T, number]> {
  let over = false;
  const done = work.finally(() => {
    over = true;
  });
  let n = 0;
  for (; !over || n < 3; n += 1) {
    const outpoint = `o${n}`;
    await store.transaction((db) =>
      depositConfirmed({ db, account: "ann", outpoint, sats: sats(1_000n), turn: 0n, at: 0n }),
    );
    await store.db
      .insertInto("blocks")
      .values({ height: BigInt(n), hash: "\\n\t" })
      .execute();
    // A breath, in which the command's end is heard.
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  return [await done, n];
}

async function expectBalance(copy: Store, told: { readonly postings: number; height: number }) {
  const { faults, postings, usersSats } = await checkBook(copy.db);
  expect(faults).toEqual([]);
  expect(Number(postings)).toBe(told.postings);
  expect(usersSats).toBe(BigInt(told.postings) * 1_000n);
  const blocks = await copy.db.selectFrom("blocks").selectAll().execute();
  expect(blocks.at(-1)?.hash).toBe("\\n\t");
  // A booking and its block are two steps: the copy may lie between them.
  expect(told.postings - blocks.length).toBeLessThanOrEqual(1);
  expect(told.height).toBe(blocks.length - 1);
}

/** The copy as it was told, after what it may not do. */
async function made(store: Store, config: string, out: string, programs?: string) {
  await bookingWhile(store, Promise.resolve());
  await store.db.deleteFrom("blocks").execute();
  const [{ code, out: text }, written] = await bookingWhile(
    store,
    backup(["--config", config, "--out", out, "--json"], programs),
  );
  expect([code, text]).toEqual([0, expect.stringContaining('"postings"')]);
  const told = JSON.parse(text);
  expect(told.postings).toBeGreaterThan(0);
  expect(told.postings).toBeLessThanOrEqual(written);
  expect(statSync(out).mode & 0o777).toBe(0o600);
  expect(readdirSync(folder()).filter((name) => name.includes(".part"))).toEqual([]);

  const before = readFileSync(out);
  expect(await backup(["--config", config, "--out", out], programs)).toMatchObject({ code: 2 });
  expect(readFileSync(out).equals(before)).toBe(true);

  const verified = await backup(["verify", out, "--json"], programs);
  expect(JSON.parse(verified.out)).toEqual(told);
  return told;
}

/** Bytes of the middle turned over. */
function bent(copy: string, from: number): string {
  const bytes = readFileSync(copy);
  for (let at = from; at < Math.min(from + 4_096, bytes.length); at += 1) {
    bytes[at] = (bytes[at] ?? 0) ^ 0xff;
  }
  writeFileSync(`${copy}.bent`, bytes);
  return `${copy}.bent`;
}

describe("a backup of a SQLite store", () => {
  it("is consistent while writers go on, is restored by copying, and shows damage", async () => {
    const path = file("live.sqlite");
    const store = openStore({ path, network: "regtest" });
    const out = file("copy.sqlite");
    const told = await made(store, configured("sqlite.json", path), out);
    await store.close();

    copyFileSync(out, file("restored.sqlite"));
    const restored = openStore({ path: file("restored.sqlite"), network: "regtest" });
    await expectBalance(restored, told);
    await restored.close();

    expect(await backup(["verify", bent(out, 8_192)])).toMatchObject({ code: 2 });
    await restoredUnbalanced(out);
    expect((await backup(["verify", out])).out).toContain("does not balance");
  });

  it("of what is no store is refused", async () => {
    writeFileSync(file("note.txt"), "nothing that anybody needs");
    const none = configured("none.json", file("absent.sqlite"));
    for (const words of [
      ["verify", file("note.txt")],
      ["verify", file("absent.sqlite")],
      ["--config", none, "--out", file("never.sqlite")],
      ["--out", file("never.sqlite")],
    ]) {
      expect(await backup(words)).toMatchObject({ code: 2 });
    }
    expect(readdirSync(folder())).not.toContain("never.sqlite");
  });
});

/** Somebody edits a balance in the copy. */
async function restoredUnbalanced(path: string): Promise<void> {
  const store = openStore({ path, network: "regtest" });
  await store.db.updateTable("balances").set({ amount: 1n }).execute();
  await store.close();
}

describePostgres("a backup of a Postgres store", (server) => {
  const open = (url: string) => openPostgresStore({ url, network: "regtest", log: silentLog });

  it("is consistent while writers go on, is restored by pg_restore, and shows damage", async () => {
    const url = await server.database();
    const store = await open(url);
    const out = file("copy.dump");
    const told = await made(store, configured("postgres.json", url), out, server.programs);
    await store.close();

    const fresh = await server.database();
    const restore = join(server.programs, "pg_restore");
    const { status, stderr } = spawnSync(restore, ["--exit-on-error", "--dbname", fresh, out], {
      encoding: "utf8",
    });
    expect([status, stderr]).toEqual([0, ""]);
    const restored = await open(fresh);
    await expectBalance(restored, told);
    // It goes on counting where the original was.
    const more = { account: "ann", outpoint: "new", sats: sats(1n), turn: 0n, at: 0n };
    await restored.transaction((db) => depositConfirmed({ ...more, db }));
    await restored.close();

    const damaged = bent(out, Math.floor(statSync(out).size / 2));
    expect(await backup(["verify", damaged], server.programs)).toMatchObject({ code: 2 });
  });
});
