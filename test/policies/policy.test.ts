import { describe, expect, it } from "vitest";
import { scriptOf } from "../../policies/bitcoin/taproot.ts";
import { PolicyError, readPolicy } from "../../policies/document/policy.ts";
import { POLICY } from "../support/spend.ts";

describe("a policy document", () => {
  it("is read", () => {
    expect(readPolicy(POLICY)).toMatchObject({ feeRateMin: 1_000n, feeRateMax: 50_000n });
  });

  it("has one hash however its keys are ordered, and another for any other content", () => {
    const { hash } = readPolicy(POLICY);
    const turned = Object.fromEntries(Object.entries(POLICY).reverse());
    expect(readPolicy(turned).hash).toBe(hash);
    expect(readPolicy({ ...POLICY, version: 2 }).hash).not.toBe(hash);
  });

  const { fees, purposes, transaction, ...rest } = POLICY;
  it.each([
    ["nothing", null],
    ["a list", []],
    ["an unknown key", { ...POLICY, max_fee: 1 }],
    ["an unknown key within", { ...POLICY, fees: { ...fees, satz: 1 } }],
    ["a key __proto__", JSON.parse(`${JSON.stringify(POLICY).slice(0, -1)},"__proto__":{}}`)],
    ["a missing limit", { ...rest, transaction, purposes }],
    ["a negative limit", { ...POLICY, fees: { ...fees, sats: -1 } }],
    ["a fraction of a sat", { ...POLICY, fees: { ...fees, sats: 0.5 } }],
    ["a limit as text", { ...POLICY, fees: { ...fees, sats: "1000" } }],
    ["NaN", { ...POLICY, fees: { ...fees, sats: Number.NaN } }],
    ["more than 21 million bitcoin", { ...POLICY, fees: { ...fees, sats: 2_100_000_000_000_001 } }],
    ["a share above the whole", { ...POLICY, fees: { ...fees, share_bps: 10_001 } }],
    ["a rate below nothing", { ...POLICY, fees: { ...fees, sat_per_vbyte: { min: -1, max: 1 } } }],
    [
      "a least rate above the most",
      { ...POLICY, fees: { ...fees, sat_per_vbyte: { min: 2, max: 1 } } },
    ],
    [
      "a rate of four decimals",
      { ...POLICY, fees: { ...fees, sat_per_vbyte: { min: 1, max: 1.0001 } } },
    ],
    ["no window", { ...POLICY, purposes: { withdrawal: { ...purposes.withdrawal, windows: [] } } }],
    [
      "no destination",
      { ...POLICY, purposes: { withdrawal: { ...purposes.withdrawal, destinations: [] } } },
    ],
    [
      "a destination of another network",
      {
        ...POLICY,
        purposes: {
          withdrawal: {
            ...purposes.withdrawal,
            destinations: ["bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"],
          },
        },
      },
    ],
    [
      "more inputs than the gate reads",
      { ...POLICY, transaction: { ...transaction, inputs: 251 } },
    ],
    ["another format", { ...POLICY, format: "ballast/policy@2" }],
    ["another role", { ...POLICY, role: "owner" }],
  ])("with %s is refused", (_, document) => {
    expect(() => readPolicy(document)).toThrow(PolicyError);
  });

  it("takes every rate of three decimals", () => {
    const refused: number[] = [];
    for (let msats = 0; msats <= 10_000; msats += 1) {
      const max = Number((msats / 1_000).toFixed(3));
      const document = { ...POLICY, fees: { ...fees, sat_per_vbyte: { min: 0, max } } };
      try {
        expect(readPolicy(document).feeRateMax).toBe(BigInt(msats));
      } catch {
        refused.push(max);
      }
    }
    expect(refused).toEqual([]);
  });
});

describe("addresses (BIP173, BIP350)", () => {
  it.each([
    ["upper case", "BCRT1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KYGT080", true],
    ["lower case", "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080", true],
    ["version 1", "bcrt1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqc8gma6", true],
    ["mixed case", "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygT080", false],
    ["another network", "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx", false],
    ["a space at the end", "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080 ", false],
    ["nothing", "", false],
  ])("%s: %s", (_, address, known) => {
    expect(scriptOf(address, "regtest") !== null).toBe(known);
  });

  // From BIP350's list of invalid addresses.
  it.each([
    "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqh2y7hd",
    "bc1p38j9r5y49hruaue7wxjce0updqjuyyx0kh56v8s25huc6995vvpql3jow4",
    "BC1QR508D6QEJXTDG4Y5R3ZARVARYV98GJ9P",
    "bc1gmk9yu",
    "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7v07qwwzcrf",
  ])("%s is none", (address) => {
    expect(scriptOf(address, "bitcoin")).toBeNull();
  });
});
