import fc from "fast-check";
import { expect, it } from "vitest";
import {
  balancesOf,
  centsOf,
  depositConfirmed,
  depositStabilised,
  depositUnbooked,
  depositUnstabilised,
  migrationConfirmed,
  migrationUnconfirmed,
  withdrawalConfirmed,
  withdrawalReleased,
  withdrawalReserved,
  withdrawalUnconfirmed,
} from "../../orchestrator/accounts/book.ts";
import { checkBook, proveBook } from "../../orchestrator/book/proof.ts";
import type { Store } from "../../orchestrator/io/store.ts";
import { price, sats } from "../../policies/money.ts";
import { describeStores } from "../support/postgres.ts";

const bookings = {
  depositConfirmed,
  depositUnbooked,
  depositStabilised,
  depositUnstabilised,
  withdrawalReserved,
  withdrawalConfirmed,
  withdrawalUnconfirmed,
  withdrawalReleased,
  migrationConfirmed,
  migrationUnconfirmed,
};

/** Subjects tell their account and amount, so that any two bookings of one subject agree. */
const booking = fc.record({
  kind: fc.constantFrom(...(Object.keys(bookings) as (keyof typeof bookings)[])),
  subject: fc.constantFrom(0, 1, 2, 3, 4, 5),
  turn: fc.constantFrom(0n, 1n),
  price: fc.bigInt({ min: 1_000_000n, max: 20_000_000n }),
});
type AnyBooking = typeof booking extends fc.Arbitrary<infer T> ? T : never;

const AMOUNTS = [1n, 999n, 50_000n, 1_234_567n, 90_000_000n, 2_100_000_000_000n];

function book(store: Store, { kind, subject, turn, price: at }: AnyBooking) {
  const amount = AMOUNTS[subject] ?? 1n;
  return store.transaction<boolean | string>((db) =>
    bookings[kind]({
      ...{ db, account: subject % 2 === 0 ? "ann" : "bob", turn, at: 0n },
      ...{ outpoint: `o${subject}`, sats: sats(amount), cents: amount / 1_500n },
      ...{ intent: `i${subject}`, feeSats: sats(BigInt(subject) * 100n), price: price(at) },
      ...{ moves: kind.startsWith("migration"), txid: `t${subject}`, vault: "v" },
    }),
  );
}

describeStores("the book", ({ kind, open: memory }) => {
  /** A new database of a server takes a while. */
  const numRuns = kind === "sqlite" ? 60 : 5;

  /** Any bookings in any order, honest or not: each posting balances, and nobody is owed a minus. */
  it("balances after any sequence of bookings and reversals", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(booking, { maxLength: 40 }), async (sequence) => {
        const store = await memory();
        for (const next of sequence) await book(store, next);
        expect(await proveBook(store.db)).toEqual([]);
        await store.close();
      }),
      { numRuns },
    );
  });

  it("takes the same booking once, however often it comes", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(booking, { maxLength: 15 }), async (sequence) => {
        const [once, twice] = [await memory(), await memory()];
        for (const next of sequence) await book(once, next);
        for (const next of sequence) {
          await book(twice, next);
          expect([false, "again", "overdrawn"]).toContain(await book(twice, next));
        }
        const sums = (store: Store) =>
          store.db
            .selectFrom("entries")
            .selectAll()
            .orderBy("posting")
            .orderBy("account")
            .execute();
        expect(await sums(twice)).toEqual(await sums(once));
        await once.close();
        await twice.close();
      }),
      { numRuns: Math.ceil(numRuns / 2) },
    );
  });

  const deposit = { account: "ann", outpoint: "o", sats: sats(10_000n), turn: 1n, at: 0n };
  const spend = {
    ...{ account: "ann", intent: "i", sats: sats(6_000n), feeSats: sats(400n), at: 0n },
    ...{ txid: "t", vault: "v" },
  };

  it("carries a withdrawal from available to reserved to out", async () => {
    const store = await memory();
    const { db } = store;
    await store.transaction(async (db) => {
      await depositConfirmed({ ...deposit, db });
      expect(await withdrawalReserved({ ...spend, db, turn: 0n })).toBe("booked");
      expect(await balancesOf(db, "ann")).toEqual({ available: 3_600n, reserved: 6_400n });
      expect(await withdrawalReserved({ ...spend, db, turn: 0n })).toBe("again");
      await withdrawalConfirmed({ ...spend, db, turn: 1n });
      expect(await balancesOf(db, "ann")).toEqual({ available: 3_600n, reserved: 0n });
      await withdrawalUnconfirmed({ ...spend, db, turn: 1n });
      expect(await balancesOf(db, "ann")).toEqual({ available: 3_600n, reserved: 6_400n });
      await withdrawalConfirmed({ ...spend, db, turn: 2n });
    });
    const check = await checkBook(db);
    expect(check).toMatchObject({ balances: true, usersSats: 3_600n, feesSats: 400n });
    await store.close();
  });

  it("reserves to the last sat and not one more", async () => {
    const store = await memory();
    await store.transaction(async (db) => {
      await depositConfirmed({ ...deposit, db });
      const all = { ...spend, db, turn: 0n, sats: sats(9_600n) };
      expect(await withdrawalReserved({ ...all, sats: sats(9_601n) })).toBe("overdrawn");
      expect(await balancesOf(db, "ann")).toEqual({ available: 10_000n, reserved: 0n });
      expect(await withdrawalReserved(all)).toBe("booked");
      await withdrawalReleased(all);
      expect(await balancesOf(db, "ann")).toEqual({ available: 10_000n, reserved: 0n });
    });
    await store.close();
  });

  /** 10,000 sat at 50,000 dollars are 5.00; at 80,000 dollars 6,250 sat cost all of it. */
  it("reserves dollars to the last cent, rounded up against who asks", async () => {
    const store = await memory();
    await store.transaction(async (db) => {
      await depositConfirmed({ ...deposit, db });
      await depositStabilised({ ...deposit, db, cents: 500n });
      expect(await balancesOf(db, "ann")).toEqual({ available: 0n, reserved: 0n });
      const asked = { ...spend, db, turn: 0n, price: price(8_000_000n) };
      expect(await withdrawalReserved({ ...asked, price: null })).toBe("unpriced");
      expect(await withdrawalReserved({ ...asked, sats: sats(5_851n) })).toBe("overdrawn");
      expect(await withdrawalReserved({ ...asked, sats: sats(5_850n) })).toBe("booked");
      expect(await centsOf(db, "ann")).toEqual({ available: 0n, reserved: 500n });
      await withdrawalReleased(asked);
      expect(await centsOf(db, "ann")).toEqual({ available: 500n, reserved: 0n });
    });
    await store.close();
  });

  it("pays a withdrawal of dollars out of the hedge's coins", async () => {
    const store = await memory();
    await store.transaction(async (db) => {
      await depositConfirmed({ ...deposit, db });
      await depositStabilised({ ...deposit, db, cents: 500n });
      await withdrawalReserved({ ...spend, db, turn: 0n, price: price(5_000_000n) });
      await withdrawalConfirmed({ ...spend, db, turn: 1n });
      expect(await centsOf(db, "ann")).toEqual({ available: 180n, reserved: 0n });
    });
    const check = { balances: true, usersSats: 0n, usersCents: 180n, coinsSats: 3_600n };
    expect(await checkBook(store.db)).toMatchObject(check);
    await store.close();
  });

  it("owes nobody less than nothing: who was paid for a coin that is gone owes it", async () => {
    const store = await memory();
    await store.transaction(async (db) => {
      await depositConfirmed({ ...deposit, db });
      await depositStabilised({ ...deposit, db, cents: 500n });
      await withdrawalReserved({ ...spend, db, turn: 0n, price: price(5_000_000n) });
      await depositUnstabilised({ ...deposit, db });
      await depositUnbooked({ ...deposit, db });
      expect(await centsOf(db, "ann")).toEqual({ available: -320n, reserved: 320n });
      await withdrawalConfirmed({ ...spend, db, turn: 1n });
      expect(await centsOf(db, "ann")).toEqual({ available: 0n, reserved: 0n });
    });
    const debts = store.db
      .selectFrom("balances")
      .select("amount")
      .where("account", "=", "debt/ann");
    expect(await debts.where("currency", "=", "usd").execute()).toEqual([{ amount: -320n }]);
    await store.transaction(async (db) => {
      await depositConfirmed({ ...deposit, db, turn: 2n });
      await depositStabilised({ ...deposit, db, turn: 2n, cents: 510n });
      expect(await centsOf(db, "ann")).toEqual({ available: 190n, reserved: 0n });
    });
    expect(await checkBook(store.db)).toMatchObject({ balances: true, coinsSats: 3_600n });
    await store.close();
  });

  it("says what is wrong when somebody edits a balance", async () => {
    const store = await memory();
    await store.transaction((db) => depositConfirmed({ ...deposit, db }));
    await store.db.updateTable("balances").set({ amount: 1n }).execute();
    const { balances, faults } = await checkBook(store.db);
    expect(balances).toBe(false);
    expect(faults.join()).toContain("its entries make");
    await store.close();
  });
});
