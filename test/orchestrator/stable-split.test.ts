import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Spend, type Split, splitStable } from "../../orchestrator/accounts/stable-split.ts";
import { centsOfSatsFloor, price } from "../../policies/money.ts";
import { describeVectors } from "../support/vectors.ts";

interface Case extends Spend, Split {
  readonly title: string;
}

const cases: readonly Case[] = [
  {
    title: "one coin, no change, at the price of its deposit",
    ...{ inSats: 100_000n, inCents: 5_000n, keptSats: [], paidCents: 5_000n },
    ...{ keptCents: [], adjustmentCents: 0n },
  },
  {
    title: "one coin, half of it comes back",
    ...{ inSats: 100_000n, inCents: 5_000n, keptSats: [50_000n], paidCents: 2_500n },
    ...{ keptCents: [2_500n], adjustmentCents: 0n },
  },
  {
    title: "the remainder is the change's: 2 of 3 parts of 100 leave as 66",
    ...{ inSats: 3n, inCents: 100n, keptSats: [1n], paidCents: 66n },
    ...{ keptCents: [34n], adjustmentCents: 0n },
  },
  {
    title: "coins of two prices, 50,000 and 70,000 dollars, one change",
    ...{ inSats: 200_000n, inCents: 12_000n, keptSats: [120_000n], paidCents: 4_800n },
    ...{ keptCents: [7_200n], adjustmentCents: 0n },
  },
  {
    title: "the price has risen: what leaves cost more than its coins carry",
    ...{ inSats: 100_000n, inCents: 5_000n, keptSats: [60_000n], paidCents: 2_400n },
    ...{ keptCents: [3_000n], adjustmentCents: -400n },
  },
  {
    title: "the price has fallen: it cost less, and the rest is the account's",
    ...{ inSats: 100_000n, inCents: 5_000n, keptSats: [60_000n], paidCents: 1_600n },
    ...{ keptCents: [3_000n], adjustmentCents: 400n },
  },
  {
    title: "idle sats have paid for all of it",
    ...{ inSats: 100_000n, inCents: 5_000n, keptSats: [60_000n], paidCents: 0n },
    ...{ keptCents: [3_000n], adjustmentCents: 2_000n },
  },
  {
    title: "coins without dollars, paid by dollars of others",
    ...{ inSats: 100_000n, inCents: 0n, keptSats: [60_000n], paidCents: 2_000n },
    ...{ keptCents: [0n], adjustmentCents: -2_000n },
  },
  {
    title: "several outputs that stay: the first takes the remainder",
    ...{ inSats: 10n, inCents: 101n, keptSats: [3n, 3n, 3n], paidCents: 10n },
    ...{ keptCents: [31n, 30n, 30n], adjustmentCents: 0n },
  },
];

describe("dollars of spent coins", () => {
  it.each(cases)("$title", ({ title: _, keptCents, adjustmentCents, ...spend }) => {
    expect(splitStable(spend)).toEqual({ keptCents, adjustmentCents });
  });

  it("go nowhere: what stays and the adjustment are what was, less what was paid", () => {
    const amount = fc.bigInt({ min: 0n, max: 2_100_000_000_000_000n });
    fc.assert(
      fc.property(amount, amount, fc.array(amount, { maxLength: 5 }), amount, (...drawn) => {
        const [leaving, inCents, keptSats, paidCents] = drawn;
        const inSats = keptSats.reduce((sum, sats) => sum + sats, leaving);
        if (inSats === 0n) return;
        const split = splitStable({ inSats, inCents, keptSats, paidCents });
        const kept = split.keptCents.reduce((sum, cents) => sum + cents, 0n);
        expect(split.keptCents.every((cents) => cents >= 0n)).toBe(true);
        expect(kept + split.adjustmentCents).toBe(inCents - paidCents);
      }),
    );
  });

  it("never come back on more sats than there were", () => {
    const spend = { inSats: 10n, inCents: 5n, keptSats: [11n], paidCents: 0n };
    expect(() => splitStable(spend)).toThrow("BUG");
  });
});

interface Vector {
  readonly case: string;
  readonly input: Readonly<Record<string, number>> & { readonly utxo_usd?: readonly number[] };
  readonly expected: number;
}

/** Pulser reckons in floats of dollars; ours is its value in cents, rounded down. */
describeVectors("Pulser's stable values", "seeds.json", (text) => {
  const vectors = (JSON.parse(text) as readonly Vector[]).filter(({ case: name }) =>
    /^(stable_value|hedging_benefit)\./.test(name),
  );
  const valued = vectors.filter(({ input }) => input["stabilization_price_usd"] !== undefined);
  it.each(valued)("$case", ({ input, expected }) => {
    const at = price(BigInt(Math.round((input["stabilization_price_usd"] ?? 0) * 100)));
    const cents = centsOfSatsFloor(BigInt(input["sats"] ?? 0), at);
    expect(cents).toBe(BigInt(Math.floor(expected * 100)));
  });

  it("stable_value.sum", () => {
    const sum = vectors.find(({ case: name }) => name === "stable_value.sum");
    const total = (sum?.input.utxo_usd ?? []).reduce((all, usd) => all + usd, 0);
    expect(total).toBeCloseTo(sum?.expected ?? Number.NaN, 12);
  });

  /** What the futures' price leaves: less than a cent here, in Pulser's own floats. */
  it("hedging_benefit.1300", () => {
    const { input, expected = Number.NaN } =
      vectors.find(({ case: name }) => name === "hedging_benefit.1300") ?? ({} as Partial<Vector>);
    const atFutures =
      ((input?.["sats"] ?? 0) / 1e8) * (input?.["deribit_futures_price"] ?? Number.NaN);
    expect((input?.["stable_value_usd"] ?? 0) - atFutures).toBeCloseTo(expected, 12);
  });
});
