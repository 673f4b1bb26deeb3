/** stablesats' own test values for its ledger, on our book; its signs are the other way round. */
import { expect, it } from "vitest";
import {
  allocationAdjusted,
  buyQuoteAccepted,
  positionReported,
  sellQuoteAccepted,
  userBuysUsd,
  userSellsUsd,
} from "../../orchestrator/book/dealer.ts";
import {
  allocated,
  HEDGE_UNALLOCATED,
  HEDGE_WALLET,
  position,
  QUOTED_LIABILITY,
  QUOTED_WALLET,
} from "../../orchestrator/book/names.ts";
import { balancesOn, type Currency, reverse } from "../../orchestrator/book/postings.ts";
import { proveBook } from "../../orchestrator/book/proof.ts";
import { type Db, openStore, type Store } from "../../orchestrator/io/store.ts";
import { describeVectors } from "../support/vectors.ts";

interface Vector {
  readonly case: string;
  readonly input: Readonly<Record<string, number & readonly number[]>>;
  readonly expected: Readonly<Record<string, string & readonly string[]>>;
}

const open = () => openStore({ path: ":memory:", network: "regtest" });
const on = async (db: Db, account: string, currency: Currency) =>
  (await balancesOn(db, [account]))(account, currency) ?? 0n;

async function closed(store: Store): Promise<void> {
  expect(await proveBook(store.db)).toEqual([]);
  await store.close();
}

describeVectors("stablesats' ledger", "seeds.json", (text) => {
  const vectors: readonly Vector[] = JSON.parse(text);
  const vector = (name: string) => {
    const found = vectors.find((row) => row.case === name);
    if (found === undefined) throw new Error(`no vector ${name}`);
    return found;
  };
  const tradeOf = ({ input }: Vector, db: Db, reference: string) => ({
    ...{ db, reference, at: 0n },
    ...{ sats: BigInt(input["sats"] ?? 0), cents: BigInt(input["cents"] ?? 0) },
  });

  it("ledger.user_buys_500c_1e6sats, ledger.sell_back_restores", async () => {
    const store = open();
    const buys = vector("ledger.user_buys_500c_1e6sats");
    const sells = vector("ledger.sell_back_restores");
    await store.transaction(async (db) => {
      await userBuysUsd(tradeOf(buys, db, "t-1"));
      const owed = -(await on(db, HEDGE_UNALLOCATED, "usd"));
      expect(owed).toBe(BigInt(buys.expected["unallocated_usd_delta"] ?? "") * 100n);
      const wallet = await on(db, HEDGE_WALLET, "sat");
      expect(Number(wallet) / 1e8).toBe(Number(buys.expected["stablesats_btc_delta"]));
      await userSellsUsd(tradeOf(sells, db, "t-2"));
      expect(await on(db, HEDGE_UNALLOCATED, "usd")).toBe(0n);
      expect(await on(db, HEDGE_WALLET, "sat")).toBe(0n);
    });
    await closed(store);
  });

  it("a trade is reverted once", async () => {
    const store = open();
    const buys = vector("ledger.user_buys_500c_1e6sats");
    await store.transaction(async (db) => {
      await userBuysUsd(tradeOf(buys, db, "t-1"));
      expect(await userBuysUsd(tradeOf(buys, db, "t-1"))).toBeNull();
      const name = { kind: "user-buys-usd", subject: "t-1" };
      expect(await reverse(db, name, 1n)).not.toBeNull();
      expect(await reverse(db, name, 2n)).toBeNull();
      expect(await on(db, HEDGE_WALLET, "sat")).toBe(0n);
      const undone = { kind: "user-buys-usd reversed", subject: "t-1" };
      await expect(reverse(db, undone, 3n)).rejects.toThrow("is a reversal itself");
    });
    await closed(store);
  });

  it("ledger.okex_position", async () => {
    const store = open();
    const { input, expected } = vector("ledger.okex_position");
    const positions = input["positions_cents"] ?? ([] as readonly number[]);
    await store.transaction(async (db) => {
      for (const [i, cents] of positions.entries()) {
        const report = { db, exchange: "okex", cents: BigInt(cents), at: 0n };
        expect(await positionReported({ ...report, reference: `r-${i}` })).not.toBeNull();
        const dollars = -(await on(db, position("okex"), "usd")) / 100n;
        expect(String(dollars)).toBe(expected["balance_deltas_usd"]?.[i]);
        expect(await positionReported({ ...report, reference: `r-${i} again` })).toBeNull();
      }
    });
    await closed(store);
  });

  it("ledger.quotes_roundtrip", async () => {
    const store = open();
    const trade = vector("ledger.quotes_roundtrip");
    await store.transaction(async (db) => {
      await buyQuoteAccepted(tradeOf(trade, db, "q-1"));
      expect(await on(db, QUOTED_WALLET, "sat")).toBe(1_000_000n);
      expect(await on(db, QUOTED_LIABILITY, "usd")).toBe(-500n);
      await sellQuoteAccepted(tradeOf(trade, db, "q-2"));
      expect(await on(db, QUOTED_WALLET, "sat")).toBe(0n);
      expect(await on(db, QUOTED_LIABILITY, "usd")).toBe(0n);
    });
    await closed(store);
  });

  it("ledger.allocation_roundtrip", async () => {
    const store = open();
    const steps = vector("ledger.allocation_roundtrip").input["okex_alloc_cents"];
    await store.transaction(async (db) => {
      const seen: bigint[] = [];
      for (const [i, cents] of (steps ?? ([] as readonly number[])).entries()) {
        const step = { db, exchange: "okex", reference: `a-${i}`, cents: BigInt(cents), at: 0n };
        await allocationAdjusted(step);
        seen.push(await on(db, allocated("okex"), "usd"), await on(db, HEDGE_UNALLOCATED, "usd"));
      }
      expect(seen).toEqual([-10_000n, 10_000n, 0n, 0n]);
    });
    await closed(store);
  });
});
