/** What only SQLite has; the rest is in test/contract/store.ts. */
import { join } from "node:path";
import Sqlite from "better-sqlite3";
import { describe, expect, it } from "vitest";
import { openStore } from "../../orchestrator/io/store.ts";
import { StoreError } from "../../orchestrator/io/store-error.ts";
import { SQLITE } from "../../orchestrator/tables/dialect.ts";
import { migrations } from "../../orchestrator/tables/migrations.ts";
import { temporaryFolder } from "../support/node.ts";

const folder = temporaryFolder();
function codeOf(body: () => unknown): string {
  try {
    body();
  } catch (error) {
    if (error instanceof StoreError) return error.code;
    throw error;
  }
  return "opened";
}

describe("a database file", () => {
  const reopen = (path: string, network: "regtest" | "signet" = "regtest") =>
    codeOf(() => openStore({ path, network }));

  it("is durable: WAL, synchronous=FULL, foreign keys", async () => {
    const path = join(folder(), "durable.sqlite");
    const store = openStore({ path, network: "regtest" });
    const raw = new Sqlite(path, { readonly: true });
    expect(raw.pragma("journal_mode", { simple: true })).toBe("wal");
    raw.close();
    const orphan = store.db
      .insertInto("vaults")
      .values({ id: "v", account: "nobody", document: "{}", proofs: null, number: 0n })
      .execute();
    await expect(orphan).rejects.toThrow(/FOREIGN KEY/);
    await store.close();
  });

  it("of a newer version is refused and left alone", async () => {
    const path = join(folder(), "newer.sqlite");
    await openStore({ path, network: "regtest" }).close();
    const raw = new Sqlite(path);
    raw.pragma("user_version = 99");
    raw.close();
    expect(reopen(path)).toBe("newer");
    const after = new Sqlite(path);
    expect(after.pragma("user_version", { simple: true })).toBe(99);
    after.close();
  });

  it("of the first version is brought forward, with all that it holds", async () => {
    const path = join(folder(), "first.sqlite");
    const raw = new Sqlite(path);
    raw.exec(migrations[0]?.(SQLITE) ?? "");
    raw.exec(`
      insert into meta values ('network', 'regtest');
      insert into accounts values ('a', 'ann', 'u', 't', 'l', 'open', '{}', '{"user":"00"}', 1);
      insert into vaults values ('v', 'a', '{}');
      insert into intents values ('i', 'a', 'v', 'w-1', '{}', 'built', 1, 1, 1, null, null, null,
        5, null, null, '[]', '[]', 0, 0, null, 0, 0, 1);
      insert into coins values
        ('o:0', 'v', 0, 3, 50, 'deposit', 'seen', 0, 7, null, null, null),
        ('o:1', 'v', 1, 0, 60, 'change', 'confirmed', 1, 7, 'tx', 9, 'i'),
        ('o:2', 'v', 1, 2, 70, 'deposit', 'gone', 1, null, null, null, null);
    `);
    raw.pragma("application_id = 0x426c7374");
    raw.pragma("user_version = 1");
    raw.close();
    const store = openStore({ path, network: "regtest" });
    const { db } = store;
    expect(await db.selectFrom("vaults").selectAll().execute()).toEqual([
      {
        id: "v",
        account: "a",
        document: "{}",
        proofs: '{"user":"00"}',
        number: 0n,
        exit_blocks: null,
      },
    ]);
    expect(await db.selectFrom("intents").selectAll().execute()).toMatchObject([
      { id: "i", purpose: "withdrawal", evidence: null, state: "built" },
    ]);
    const since = { dust: 0n, reused: 0n, seen_at: 0n, vault: "v" };
    const unspent = { spent_by: null, spent_height: null, reserved_by: null };
    const spent = { spent_by: "tx", spent_height: 9n, reserved_by: "i" };
    expect(await db.selectFrom("coins").selectAll().orderBy("outpoint").execute()).toEqual([
      {
        ...{ outpoint: "o:0", branch: 0n, position: 3n, sats: 50n, bookings: 0n, height: 7n },
        ...{ kind: "deposit", origin: "external", state: "seen", ...unspent, ...since },
      },
      {
        ...{ outpoint: "o:1", branch: 1n, position: 0n, sats: 60n, bookings: 1n, height: 7n },
        ...{ kind: "change", origin: "change", state: "confirmed", ...spent, ...since },
      },
      {
        ...{ outpoint: "o:2", branch: 1n, position: 2n, sats: 70n, bookings: 1n, height: null },
        ...{ kind: "deposit", origin: "unexpected", state: "gone", ...unspent, ...since },
      },
    ]);
    await store.close();
    expect(reopen(path)).toBe("opened");
  });

  it("of another network or another program is refused", async () => {
    const path = join(folder(), "network.sqlite");
    await openStore({ path, network: "regtest" }).close();
    expect(reopen(path, "signet")).toBe("foreign");
    const strange = join(folder(), "strange.sqlite");
    const raw = new Sqlite(strange);
    raw.exec("create table t (x)");
    raw.close();
    expect(reopen(strange)).toBe("foreign");
  });
});
