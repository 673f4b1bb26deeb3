import fc from "fast-check";
import { expect, it } from "vitest";
import {
  balancesOf,
  checkBook,
  depositConfirmed,
  depositUnbooked,
  migrationConfirmed,
  migrationUnconfirmed,
  withdrawalConfirmed,
  withdrawalReleased,
  withdrawalReserved,
  withdrawalUnconfirmed,
} from "../../orchestrator/accounts/book.ts";
import type { Store } from "../../orchestrator/io/store.ts";
import { sats } from "../../policies/money.ts";
import { describeStores } from "../support/postgres.ts";

const deposits = { depositConfirmed, depositUnbooked };
const withdrawals = {
  withdrawalReserved,
  withdrawalConfirmed,
  withdrawalUnconfirmed,
  withdrawalReleased,
  migrationConfirmed,
  migrationUnconfirmed,
};

const booking = fc.oneof(
  fc.record({
    kind: fc.constantFrom(...(Object.keys(deposits) as (keyof typeof deposits)[])),
    account: fc.constantFrom("ann", "bob"),
    subject: fc.constantFrom("o1", "o2", "o3"),
    amount: fc.bigInt({ min: 1n, max: 2_100_000_000_000_000n }),
    fee: fc.constant(0n),
  }),
  fc.record({
    kind: fc.constantFrom(...(Object.keys(withdrawals) as (keyof typeof withdrawals)[])),
    account: fc.constantFrom("ann", "bob"),
    subject: fc.constantFrom("i1", "i2", "i3"),
    amount: fc.bigInt({ min: 1n, max: 2_100_000_000_000n }),
    fee: fc.bigInt({ min: 0n, max: 100_000n }),
  }),
);
type AnyBooking = typeof booking extends fc.Arbitrary<infer T> ? T : never;

function book(store: Store, { kind, account, subject, amount, fee }: AnyBooking) {
  const shared = { account, sats: sats(amount), turn: 0n, at: 0n };
  return store.transaction<boolean | string>((db) =>
    kind in deposits
      ? deposits[kind as keyof typeof deposits]({ ...shared, db, outpoint: subject })
      : withdrawals[kind as keyof typeof withdrawals]({
          ...shared,
          db,
          intent: subject,
          feeSats: sats(fee),
        }),
  );
}

describeStores("the book", ({ kind, open: memory }) => {
  /** A new database of a server takes a while. */
  const numRuns = kind === "sqlite" ? 60 : 5;

  /** Any bookings in any order, honest or not: each posting balances, and so do the sums. */
  it("balances after any sequence of bookings", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(booking, { maxLength: 25 }), async (sequence) => {
        const store = await memory();
        for (const next of sequence) await book(store, next);
        const { faults } = await checkBook(store.db);
        // Taking back what was never given overdraws; nothing else may be wrong.
        expect(faults.filter((fault) => !fault.includes("overdrawn"))).toEqual([]);
        await store.close();
      }),
      { numRuns },
    );
  });

  it("takes the same booking once, however often it comes", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(booking, { maxLength: 10 }), async (sequence) => {
        const [once, twice] = [await memory(), await memory()];
        for (const next of sequence) await book(once, next);
        for (const next of sequence) {
          await book(twice, next);
          expect(await book(twice, next)).not.toBe("booked");
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
  const spend = { account: "ann", intent: "i", sats: sats(6_000n), feeSats: sats(400n), at: 0n };

  it("carries a withdrawal from available to reserved to out", async () => {
    const store = await memory();
    const { db } = store;
    await depositConfirmed({ ...deposit, db });
    expect(await withdrawalReserved({ ...spend, db, turn: 0n })).toBe("booked");
    expect(await balancesOf(db, "ann")).toEqual({ available: 3_600n, reserved: 6_400n });
    expect(await withdrawalReserved({ ...spend, db, turn: 0n })).toBe("again");
    await withdrawalConfirmed({ ...spend, db, turn: 1n });
    expect(await balancesOf(db, "ann")).toEqual({ available: 3_600n, reserved: 0n });
    await withdrawalUnconfirmed({ ...spend, db, turn: 1n });
    expect(await balancesOf(db, "ann")).toEqual({ available: 3_600n, reserved: 6_400n });
    await withdrawalConfirmed({ ...spend, db, turn: 2n });
    const check = await checkBook(db);
    expect(check).toMatchObject({ balances: true, usersSats: 3_600n, feesSats: 400n });
    await store.close();
  });

  it("reserves to the last sat and not one more", async () => {
    const store = await memory();
    const { db } = store;
    await depositConfirmed({ ...deposit, db });
    const all = { ...spend, db, turn: 0n, sats: sats(9_600n) };
    expect(await withdrawalReserved({ ...all, sats: sats(9_601n) })).toBe("overdrawn");
    expect(await balancesOf(db, "ann")).toEqual({ available: 10_000n, reserved: 0n });
    expect(await withdrawalReserved(all)).toBe("booked");
    await withdrawalReleased(all);
    expect(await balancesOf(db, "ann")).toEqual({ available: 10_000n, reserved: 0n });
    await store.close();
  });

  it("says what is wrong when somebody edits a balance", async () => {
    const store = await memory();
    await depositConfirmed({ ...deposit, db: store.db });
    await store.db.updateTable("balances").set({ amount: 1n }).execute();
    const { balances, faults } = await checkBook(store.db);
    expect(balances).toBe(false);
    expect(faults.join()).toContain("its entries make");
    await store.close();
  });
});
