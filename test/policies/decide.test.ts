/** What `judge` and `decide` make of the rules' words: who may sign, what is told, what is final. */
import { describe, expect, it } from "vitest";
import { hex } from "../../policies/bitcoin/hash.ts";
import { decide, judge, type Violation } from "../../policies/decide.ts";
import { sats } from "../../policies/money.ts";
import type { Role } from "../../policies/vault.ts";
import { honest, recipient } from "../support/spend.ts";

describe("an approval", () => {
  it.each(["user", "lsp", "trustee"] as const)("is for the key of the %s alone", (role: Role) => {
    const { case: spend, coins } = honest({
      coins: 2,
      bend: { policy: (policy) => ({ ...policy, role }) },
    });
    const decision = decide(spend);
    if (decision.kind !== "approved") throw new Error(`the honest spend was ${decision.kind}`);
    const allowed = decision.approval.inputs.map(({ xOnly, tweak }) => [hex(xOnly), hex(tweak)]);
    const own = coins.map(({ script }) => {
      const key = script.keys.find((candidate) => candidate.role === role);
      return [hex(key?.xOnly ?? new Uint8Array(0)), hex(key?.tweak ?? new Uint8Array(0))];
    });
    expect(allowed).toEqual(own);
  });
});

describe("a paused signer", () => {
  it("gives no final answer, whatever else is wrong", () => {
    const bent = honest({
      bend: {
        history: (history) => ({ ...history, paused: true }),
        intent: (intent) => ({
          ...intent,
          outputs: intent.outputs.map((one) => ({ ...one, sats: sats(1n) })),
        }),
      },
    });
    const verdict = judge(bent.case);
    expect(verdict.verdict).toBe("held");
    expect(verdict.violations.length).toBeGreaterThan(1);
    expect(verdict.violations.some(({ retry }) => retry === undefined)).toBe(true);
  });
});

describe("what a person is told", () => {
  /** So many payments of the same dust: `no-dust` objects to each. */
  const dusty = (payments: number): readonly Violation[] => {
    const outputs = Array.from({ length: payments }, (_, n) => ({
      script: recipient(n),
      sats: 1n,
    }));
    return judge(honest({ payments: outputs }).case).violations.filter(
      ({ rule }) => rule === "no-dust",
    );
  };

  it("is 20 objections of a rule", () => {
    const told = dusty(20);
    expect(told).toHaveLength(20);
    expect(told.at(-1)?.detail).toMatch(/^output 19 /);
    expect(told.every((violation) => !("retry" in violation))).toBe(true);
  });

  it("and how many more there are, for good", () => {
    const told = dusty(22);
    expect(told).toHaveLength(21);
    expect(told.at(-1)).toEqual({ rule: "no-dust", detail: "and 2 more of the kind" });
  });

  it("and that the rest may pass by itself, where all of it may", () => {
    const { case: spend } = honest({
      coins: 25,
      bend: {
        chain: (chain) => ({
          ...chain,
          coins: new Map([...chain.coins].map(([outpoint]) => [outpoint, { kind: "missing" }])),
        }),
      },
    });
    const { verdict, violations } = judge(spend);
    const retry = "when the node has seen it, unless it is spent";
    expect(verdict).toBe("held");
    expect(violations).toHaveLength(21);
    expect(violations.at(-1)).toEqual({
      rule: "coins-confirmed",
      detail: "and 5 more of the kind",
      retry,
    });
  });

  it("in 300 characters of each, and an ellipsis", () => {
    const many = Array.from({ length: 8 }, (_, n) => ({ script: recipient(n), sats: 1_000_000n }));
    const spend = honest({
      payments: many,
      bend: { intent: (intent) => ({ ...intent, outputs: intent.outputs.slice(1) }) },
    }).case;
    const [told] = judge(spend).violations.filter(({ rule }) => rule === "outputs-as-intended");
    expect(told?.detail).toHaveLength(301);
    expect(told?.detail).toMatch(/^pays 1000000 sat to .*…$/);
  });
});
