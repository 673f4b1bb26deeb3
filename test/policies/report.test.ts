import { describe, expect, it } from "vitest";
import { judge, ruleIds } from "../../policies/decide.ts";
import { limitReports, ruleReports } from "../../policies/report.ts";
import { boundKey, boundsOf } from "../../policies/velocity.ts";
import { honest } from "../support/spend.ts";

const { case: spend } = honest();
const { facts, intent, policy } = spend;
const bounds = boundsOf(facts, intent, policy);

/** The limits where every window has `charged` on it already. */
function limits(charged: (most: bigint) => bigint) {
  const sums = bounds.map((bound) => [boundKey(bound), charged(bound.sats)] as const);
  return limitReports({ ...spend, history: { ...spend.history, charged: new Map(sums) } });
}

describe("what is left of each limit", () => {
  it("is told for every window that the spend is held against", () => {
    expect(limits(() => 0n).map(({ whose, hours }) => ({ whose, hours }))).toEqual(
      bounds.map(({ whose, hours }) => ({ whose, hours })),
    );
    expect(bounds.some(({ about }) => about === "fees")).toBe(true);
  });

  it("is the window less what was taken and what is taken now", () => {
    for (const { before, own, most, left } of limits(() => 7n)) {
      expect(before).toBe("7");
      expect(BigInt(left)).toBe(BigInt(most) - 7n - BigInt(own));
    }
  });

  it("is nothing where the window is used up, never less", () => {
    for (const { left } of limits((most) => most)) expect(left).toBe("0");
  });
});

describe("what the rules say", () => {
  it("is told of each: yes where none objects", () => {
    const reports = ruleReports([]);
    expect(reports.map(({ rule }) => rule)).toEqual(ruleIds);
    expect(new Set(reports.map(({ says }) => says))).toEqual(new Set(["yes"]));
  });

  it("is no, or not yet, where one objects", () => {
    const { violations } = judge({
      ...spend,
      history: { ...spend.history, paused: true },
      policy: { ...policy, inputsMax: 0 },
    });
    const said = new Map(ruleReports(violations).map(({ rule, says }) => [rule, says]));
    expect(said.get("not-paused")).toBe("not yet");
    expect(said.get("size-within-caps")).toBe("no");
  });
});
