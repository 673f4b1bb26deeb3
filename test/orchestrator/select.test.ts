import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type Candidate,
  dustSats,
  type SelectRequest,
  selectCoins,
} from "../../orchestrator/spend/select.ts";
import { fromHex } from "../../policies/bitcoin/hash.ts";
import { finishedVbytes } from "../../policies/facts.ts";
import { feeCeil, msatsPerVbyte, sats } from "../../policies/money.ts";

const P2TR = fromHex(`5120${"11".repeat(32)}`);
const P2WPKH = fromHex(`0014${"22".repeat(20)}`);
const P2PKH = fromHex(`76a914${"33".repeat(20)}88ac`);

const coinsOf = (...amounts: bigint[]): Candidate[] =>
  amounts.map((amount, i) => ({ outpoint: `${"ab".repeat(32)}:${i}`, sats: sats(amount) }));

const request = fc
  .record({
    amounts: fc.array(fc.bigInt({ min: 0n, max: 3_000_000n }), { maxLength: 25 }),
    payments: fc.array(
      fc.record({
        script: fc.constantFrom(P2TR, P2WPKH, P2PKH),
        sats: fc.bigInt({ min: 600n, max: 4_000_000n }).map(sats),
      }),
      { minLength: 1, maxLength: 3 },
    ),
    rate: fc.bigInt({ min: 0n, max: 300_000n }).map(msatsPerVbyte),
    inputsMax: fc.integer({ min: 1, max: 25 }),
  })
  .map(
    ({ amounts, ...rest }): SelectRequest<Candidate> => ({
      ...rest,
      coins: coinsOf(...amounts),
      changeScript: P2TR,
    }),
  );

const sum = (items: readonly { readonly sats: bigint }[]) =>
  items.reduce((total, item) => total + item.sats, 0n);

describe("selectCoins", () => {
  it("pays exactly, at the rate asked, without dust", () => {
    fc.assert(
      fc.property(request, (asked) => {
        const result = selectCoins(asked);
        if (result.kind === "refused") return;
        const { coins, feeSats, changeSats } = result;
        expect(sum(coins)).toBe(sum(asked.payments) + feeSats + (changeSats ?? 0n));
        expect(new Set(coins).size).toBe(coins.length);
        expect(coins.length).toBeLessThanOrEqual(asked.inputsMax);
        const change = changeSats === null ? [] : [{ script: P2TR }];
        const least = feeCeil(
          finishedVbytes(coins.length, [...asked.payments, ...change]),
          asked.rate,
        );
        if (changeSats !== null) {
          // With change the fee is the rate to the sat.
          expect(changeSats).toBeGreaterThanOrEqual(330n);
          expect(feeSats).toBe(least);
        } else {
          // Without, at most what a change output would have cost or been worth.
          const most = finishedVbytes(coins.length, [...asked.payments, { script: P2TR }]);
          expect(feeSats).toBeGreaterThanOrEqual(least);
          expect(feeSats).toBeLessThan(feeCeil(most, asked.rate) + 330n);
        }
      }),
      { numRuns: 2_000 },
    );
  });

  it("refuses only what all worthwhile coins together cannot pay", () => {
    fc.assert(
      fc.property(request, (asked) => {
        const result = selectCoins({ ...asked, inputsMax: 25 });
        if (result.kind === "selected") return;
        // Every subset by size: the n largest are the best n coins.
        const sorted = [...asked.coins].sort((a, b) => Number(b.sats - a.sats));
        sorted.forEach((_, i) => {
          const fee = feeCeil(finishedVbytes(i + 1, asked.payments), asked.rate);
          expect(sum(sorted.slice(0, i + 1))).toBeLessThan(sum(asked.payments) + fee);
        });
      }),
      { numRuns: 2_000 },
    );
  });

  it("chooses alike whatever the order of the coins", () => {
    fc.assert(
      fc.property(request, (asked) => {
        const reversed = { ...asked, coins: [...asked.coins].reverse() };
        expect(selectCoins(reversed)).toEqual(selectCoins(asked));
      }),
      { numRuns: 500 },
    );
  });

  const rate = msatsPerVbyte(1_000n);
  const paying = (amount: bigint, ...amounts: bigint[]) =>
    selectCoins({
      coins: coinsOf(...amounts),
      payments: [{ script: P2TR, sats: sats(amount) }],
      rate,
      changeScript: P2TR,
      inputsMax: 3,
    });

  it("finds the set that needs no change", () => {
    const fee = feeCeil(finishedVbytes(2, [{ script: P2TR }]), rate);
    const result = paying(30_000n, 100_000n, 20_000n, 10_000n + fee, 7_000n);
    expect(result).toMatchObject({ kind: "selected", feeSats: fee, changeSats: null });
  });

  it("pays to the last sat, and refuses one sat more", () => {
    const fee = feeCeil(finishedVbytes(1, [{ script: P2TR }]), rate);
    expect(paying(10_000n - fee, 10_000n).kind).toBe("selected");
    expect(paying(10_001n - fee, 10_000n)).toMatchObject({ kind: "refused", code: "insufficient" });
  });

  it("says when there is enough, but in too many coins", () => {
    const result = paying(35_000n, 10_000n, 10_000n, 10_000n, 10_000n);
    expect(result).toMatchObject({ kind: "refused", code: "too-many-inputs" });
  });

  it("is done in bounded time with a thousand like coins", () => {
    const amounts = Array.from({ length: 1_000 }, (_, i) => 10_000n + BigInt(i * 37));
    const wide = { coins: coinsOf(...amounts), rate, changeScript: P2TR, inputsMax: 250 };
    const payments = [{ script: P2TR, sats: sats(3_000_001n) }];
    expect(selectCoins({ ...wide, payments }).kind).toBe("selected");
  });

  it.each([
    ["P2TR", P2TR, 330n],
    ["P2WSH", fromHex(`0020${"44".repeat(32)}`), 330n],
    ["P2WPKH", P2WPKH, 294n],
    ["P2PKH", P2PKH, 546n],
    ["P2SH", fromHex(`a914${"55".repeat(20)}87`), 540n],
  ])("knows the dust limit of %s as nodes do", (_, script, least) => {
    expect(dustSats(script)).toBe(least);
  });
});
