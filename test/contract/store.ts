/** What every store promises, whatever database it is. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import fc from "fast-check";
import { sql } from "kysely";
import { describe, expect, it } from "vitest";
import type { Store } from "../../orchestrator/io/store.ts";

export interface StoreGround {
  /** An empty database, by its path or URL, and as many stores over it as are asked for. */
  readonly ground: () => Promise<{ readonly place: string; readonly open: () => Promise<Store> }>;
}

const INT64_MAX = 2n ** 63n - 1n;

export async function keep(store: Pick<Store, "db">, value: bigint): Promise<bigint> {
  await store.db
    .insertInto("balances")
    .values({ account: "a", currency: "sat", amount: value })
    .onConflict((conflict) =>
      conflict.columns(["account", "currency"]).doUpdateSet({ amount: value }),
    )
    .execute();
  return await kept(store);
}

export async function kept({ db }: Pick<Store, "db">): Promise<bigint> {
  return (await db.selectFrom("balances").select("amount").executeTakeFirstOrThrow()).amount;
}

/** Reads, waits as long as a slow disk would, writes what it has read and one more. */
function addOne(store: Store): Promise<void> {
  return store.transaction(async (db) => {
    const before = await kept({ db });
    await new Promise((resolve) => setTimeout(resolve, 1));
    await db
      .updateTable("balances")
      .set({ amount: before + 1n })
      .execute();
  });
}

function startWriter(place: string, times: number) {
  const script = join(import.meta.dirname, "../support/store-writer.ts");
  return spawn(process.execPath, ["--import", "tsx", script, place, String(times)], {
    stdio: ["pipe", "pipe", "inherit"],
  });
}

export function describeStoreContract({ ground }: StoreGround): void {
  const open = async () => (await ground()).open();

  it("finds nothing in an empty list, and everything outside of it", async () => {
    const store = await open();
    await store.db
      .insertInto("balances")
      .values({ account: "a", currency: "sat", amount: 1n })
      .execute();
    const among = (how: "in" | "not in") =>
      store.db.selectFrom("balances").select("account").where("account", how, []).execute();
    expect(await among("in")).toEqual([]);
    expect(await among("not in")).toEqual([{ account: "a" }]);
    await store.close();
  });

  describe("integers", () => {
    it("come back as they went in, beyond what a double holds", async () => {
      const store = await open();
      for (const value of [2_100_000_000_000_000n, 9_007_199_254_740_993n, INT64_MAX, -INT64_MAX]) {
        expect(await keep(store, value)).toBe(value);
      }
      const anyInt64 = fc.bigInt({ min: -INT64_MAX - 1n, max: INT64_MAX });
      await fc.assert(
        fc.asyncProperty(anyInt64, async (value) => (await keep(store, value)) === value),
      );
      await store.close();
    });

    it("are refused beyond 64 bits", async () => {
      const store = await open();
      await expect(keep(store, INT64_MAX + 1n)).rejects.toThrow();
      await store.close();
    });

    it("are exact in sums, counts and comparisons", async () => {
      const store = await open();
      const { db } = store;
      await db
        .insertInto("balances")
        .values([
          { account: "a", currency: "sat", amount: INT64_MAX - 1n },
          { account: "b", currency: "sat", amount: 1n },
        ])
        .execute();
      const row = await db
        .selectFrom("balances")
        .select((eb) => [
          eb.fn.sum<bigint>("amount").as("sum"),
          eb.fn.countAll<bigint>().as("count"),
        ])
        .executeTakeFirstOrThrow();
      expect(row).toEqual({ sum: INT64_MAX, count: 2n });
      const most = db
        .selectFrom("balances")
        .select("account")
        .where("amount", "=", INT64_MAX - 1n);
      expect(await most.execute()).toEqual([{ account: "a" }]);
      const none = db.selectFrom("balances").select("account").where("amount", "=", INT64_MAX);
      expect(await none.execute()).toEqual([]);
      await store.close();
    });

    it("are never made of a float", async () => {
      const store = await open();
      for (const value of [0.1, 2 ** 53, Number.NaN]) {
        const row = { account: "a", currency: "sat", amount: value as unknown as bigint };
        const insert = store.db.insertInto("balances").values(row).execute();
        await expect(insert).rejects.toMatchObject({ code: "inexact" });
      }
      const last = { account: "a", currency: "sat", amount: (2 ** 53 - 1) as unknown as bigint };
      await store.db.insertInto("balances").values(last).execute();
      expect(await kept(store)).toBe(2n ** 53n - 1n);
      await store.close();
    });
  });

  it("keeps bytes and text as they were", async () => {
    const store = await open();
    const { db } = store;
    const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
    const text = "a'b\\n\t\u{1f512} \u00e9 \\x41 $1";
    await sql`create table things (id text, content ${sql.raw(await bytesType(store))})`.execute(
      db,
    );
    await sql`insert into things values (${text}, ${bytes}), ('empty', ${new Uint8Array(0)})`.execute(
      db,
    );
    const { rows } = await sql<{ id: string; content: Uint8Array }>`
      select id, content from things`.execute(db);
    expect(rows.map(({ id, content }) => [id, [...content]])).toEqual([
      [text, [...bytes]],
      ["empty", []],
    ]);
    await store.close();
  });

  describe("a transaction", () => {
    it("is kept whole or not at all, over a reopening", async () => {
      const { open: again } = await ground();
      const first = await again();
      await keep(first, 7n);
      const failed = first.transaction(async (db) => {
        await db.updateTable("balances").set({ amount: 8n }).execute();
        throw new Error("power cut");
      });
      await expect(failed).rejects.toThrow("power cut");
      await first.close();
      const second = await again();
      expect(await kept(second)).toBe(7n);
      await second.close();
    });

    it("loses no update to another of the same process", async () => {
      const store = await open();
      await keep(store, 0n);
      const bare = () =>
        store.db
          .transaction()
          .execute((db) => addOne({ ...store, transaction: (body) => body(db) }));
      // However it is begun, it holds the write lock.
      await Promise.all(Array.from({ length: 10 }, () => [addOne(store), bare()]).flat());
      expect(await kept(store)).toBe(20n);
      await store.close();
    });

    it("loses no update to other processes", async () => {
      const { place, open: again } = await ground();
      const store = await again();
      await keep(store, 0n);
      const writers = [startWriter(place, 40), startWriter(place, 40)];
      for (const writer of writers) await once(writer.stdout, "data");
      for (const writer of writers) writer.stdin.end();
      const codes = await Promise.all(writers.map((writer) => once(writer, "exit")));
      expect(codes.map(([code]) => code)).toEqual([0, 0]);
      expect(await kept(store)).toBe(80n);
      await store.close();
    });

    it("lets one of many who compare and set win", async () => {
      const { open: again } = await ground();
      const stores = [await again(), await again()];
      await keep(stores[0] as Store, 1n);
      const won = await Promise.all(
        Array.from({ length: 20 }, async (_, i) => {
          const set = (stores[i % 2] as Store).db
            .updateTable("balances")
            .set({ amount: 2n })
            .where("amount", "=", 1n)
            .returning("account");
          return (await set.execute()).length;
        }),
      );
      expect(won.filter((rows) => rows === 1)).toHaveLength(1);
      for (const store of stores) await store.close();
    });

    it("goes on after one that failed at a statement", async () => {
      const store = await open();
      await keep(store, 1n);
      const orphan = store.transaction((db) =>
        db
          .insertInto("vaults")
          .values({ id: "v", account: "nobody", document: "{}", proofs: null, number: 0n })
          .execute(),
      );
      await expect(orphan).rejects.toThrow(/foreign key/i);
      await addOne(store);
      expect(await kept(store)).toBe(2n);
      await store.close();
    });
  });

  it("does not let a booking or an event be changed or deleted", async () => {
    const store = await open();
    const { db } = store;
    const posting = { id: "p", kind: "k", subject: "s", at: 0n };
    await db.insertInto("postings").values(posting).execute();
    await db
      .insertInto("events")
      .values({ key: "k", kind: "deposit", account: null, data: "{}", at: 0n })
      .execute();
    await expect(db.updateTable("postings").set({ at: 1n }).execute()).rejects.toThrow(/stay/);
    await expect(db.deleteFrom("postings").execute()).rejects.toThrow(/stay/);
    await expect(db.updateTable("events").set({ at: 1n }).execute()).rejects.toThrow(/stay/);
    await expect(db.deleteFrom("events").execute()).rejects.toThrow(/stay/);
    await store.close();
  });
}

async function bytesType({ db }: Store): Promise<string> {
  const isSqlite = await sql`select sqlite_version()`.execute(db).then(
    () => true,
    () => false,
  );
  return isSqlite ? "blob" : "bytea";
}
