import { join } from "node:path";
import Sqlite from "better-sqlite3";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SQLITE } from "../../orchestrator/io/dialect.ts";
import { migrations } from "../../orchestrator/io/migrations.ts";
import { openStore, type Store } from "../../orchestrator/io/store.ts";
import { StoreError } from "../../orchestrator/io/store-error.ts";
import { temporaryFolder } from "../support/node.ts";

const folder = temporaryFolder();
const INT64_MAX = 2n ** 63n - 1n;

async function roundTrip(store: Store, value: bigint): Promise<bigint> {
  await store.db
    .insertInto("balances")
    .values({ account: "a", currency: "sat", amount: value })
    .onConflict((conflict) =>
      conflict.columns(["account", "currency"]).doUpdateSet({ amount: value }),
    )
    .execute();
  const row = await store.db.selectFrom("balances").select("amount").executeTakeFirstOrThrow();
  return row.amount;
}

function codeOf(body: () => unknown): string {
  try {
    body();
  } catch (error) {
    if (error instanceof StoreError) return error.code;
    throw error;
  }
  return "opened";
}

describe("integers", () => {
  it("come back as they went in, beyond what a double holds", async () => {
    const store = openStore({ path: ":memory:", network: "regtest" });
    for (const value of [2_100_000_000_000_000n, 9_007_199_254_740_993n, INT64_MAX, -INT64_MAX]) {
      expect(await roundTrip(store, value)).toBe(value);
    }
    const anyInt64 = fc.bigInt({ min: -INT64_MAX, max: INT64_MAX });
    await fc.assert(
      fc.asyncProperty(anyInt64, async (value) => (await roundTrip(store, value)) === value),
    );
    await store.close();
  });

  it("are never made of a float", async () => {
    const store = openStore({ path: ":memory:", network: "regtest" });
    for (const value of [0.1, 2 ** 53, Number.NaN]) {
      const row = { account: "a", currency: "sat", amount: value as unknown as bigint };
      const insert = store.db.insertInto("balances").values(row).execute();
      await expect(insert).rejects.toMatchObject({ code: "inexact" });
    }
    await store.close();
  });
});

describe("a database file", () => {
  const reopen = (path: string, network: "regtest" | "signet" = "regtest") =>
    codeOf(() => openStore({ path, network }));

  it("keeps what was committed and loses what was not", async () => {
    const path = join(folder(), "kept.sqlite");
    const first = openStore({ path, network: "regtest" });
    await roundTrip(first, 7n);
    const failed = first.transaction(async (db) => {
      await db.updateTable("balances").set({ amount: 8n }).execute();
      throw new Error("power cut");
    });
    await expect(failed).rejects.toThrow("power cut");
    await first.close();
    const second = openStore({ path, network: "regtest" });
    const row = await second.db.selectFrom("balances").select("amount").executeTakeFirstOrThrow();
    expect(row.amount).toBe(7n);
    await second.close();
  });

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
    `);
    raw.pragma("application_id = 0x426c7374");
    raw.pragma("user_version = 1");
    raw.close();
    const store = openStore({ path, network: "regtest" });
    const { db } = store;
    expect(await db.selectFrom("vaults").selectAll().execute()).toEqual([
      { id: "v", account: "a", document: "{}", proofs: '{"user":"00"}', number: 0n },
    ]);
    expect(await db.selectFrom("intents").selectAll().execute()).toMatchObject([
      { id: "i", purpose: "withdrawal", evidence: null, state: "built" },
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

  it("does not let a booking be changed or deleted", async () => {
    const store = openStore({ path: ":memory:", network: "regtest" });
    const posting = { id: "p", kind: "k", subject: "s", at: 0n };
    await store.db.insertInto("postings").values(posting).execute();
    await expect(store.db.updateTable("postings").set({ at: 1n }).execute()).rejects.toThrow(
      /stay/,
    );
    await expect(store.db.deleteFrom("postings").execute()).rejects.toThrow(/stay/);
    await store.close();
  });
});
