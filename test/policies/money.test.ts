import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  bps,
  feeCeil,
  isSats,
  msatsPerVbyte,
  rateFloor,
  SATS_MAX,
  sats,
  shareFloor,
} from "../../policies/money.ts";

describe("sats", () => {
  it.each([0n, 1n, SATS_MAX])("hold %s", (value) => {
    expect(sats(value)).toBe(value);
  });
  it.each([-1n, SATS_MAX + 1n, 1n << 63n, (1n << 64n) - 1n])("do not hold %s", (value) => {
    expect(isSats(value)).toBe(false);
    expect(() => sats(value)).toThrow(RangeError);
  });
  it("are at most 21 million bitcoin", () => {
    expect(SATS_MAX).toBe(21_000_000n * 100_000_000n);
  });
});

describe("shares and rates", () => {
  it.each([-1n, 10_001n])("%s is no share", (value) => {
    expect(() => bps(value)).toThrow(RangeError);
  });
  it("a negative rate is none", () => {
    expect(() => msatsPerVbyte(-1n)).toThrow(RangeError);
  });
  it.each([
    [10_000n, 1n, 1n],
    [9_999n, 1n, 0n],
    [20_001n, 5_000n, 10_000n],
    [SATS_MAX, 10_000n, SATS_MAX],
  ])("of %s sat, %s bps are %s sat, rounded down", (amount, share, expected) => {
    expect(shareFloor(amount, bps(share))).toBe(expected);
  });
  it.each([
    [163, 1_000n, 163n],
    [163, 1_001n, 164n],
    [194, 1_500n, 291n],
    [1, 1n, 1n],
    [100, 0n, 0n],
  ])("%i vB at %s msat/vB cost %s sat, rounded up", (vbytes, rate, expected) => {
    expect(feeCeil(vbytes, msatsPerVbyte(rate))).toBe(expected);
  });

  it("a fee at a rate is never below it, and a sat less always is", () => {
    const vbytes = fc.integer({ min: 1, max: 100_000 });
    const rates = fc.bigInt({ min: 1n, max: 100_000_000n });
    fc.assert(
      fc.property(vbytes, rates, (size, rate) => {
        const fee = feeCeil(size, msatsPerVbyte(rate));
        expect(rateFloor(fee, size)).toBeGreaterThanOrEqual(rate);
        expect(rateFloor(fee - 1n, size)).toBeLessThan(rate);
      }),
    );
  });
});
