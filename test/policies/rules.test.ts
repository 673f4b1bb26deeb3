import * as ecc from "tiny-secp256k1";
import { describe, expect, it } from "vitest";
import { type Approval, decide, isApproval, judge, ruleIds } from "../../policies/decide.ts";
import { bps, msatsPerVbyte, SATS_MAX, type Sats, sats } from "../../policies/money.ts";
import type { Case } from "../../policies/rules/rule.ts";
import { rules } from "../../policies/rules.ts";
import { HEIGHT, honest, type SpendOptions, signatureOf } from "../support/spend.ts";
import { at, bends, coinOnChain, keyOf, policy, withdrawal } from "./bends.ts";

describe("the honest spend", () => {
  it.each([
    ["as v0", {}],
    ["as v2", { psbtVersion: 2 }],
    ["without change", { change: null }],
    ["with previous transactions", { previous: true }],
    ["of several coins", { coins: 5 }],
    ["of the trustee", policy({ role: "trustee" })],
    ["of the user", { signed: [], ...policy({ role: "user" }) }],
    ["already signed by both others", { signed: ["user", "trustee"] }],
    ["signed again", { signed: ["user", "lsp"] }],
  ] satisfies [string, SpendOptions][])("%s is approved", (_, options) => {
    expect(decide(honest(options).case).kind).toBe("approved");
  });
});

describe.each(ruleIds)("%s", (rule) => {
  it("says why it is there", () => {
    expect(rules[rule].why).toMatch(/^\w.*\.$/);
  });

  for (const { what, brink, beyond, also = [], held } of bends[rule]) {
    if (brink !== undefined) {
      it(`approves up to the brink: ${what}`, () => {
        expect(decide(honest(brink).case)).toMatchObject({ kind: "approved" });
      });
    }
    it(`objects beyond it: ${what}`, () => {
      const { case: spend } = honest(beyond);
      const decision = decide(spend);
      const said = new Set("violations" in decision ? decision.violations.map((v) => v.rule) : []);
      expect([...said].sort()).toEqual([rule, ...also].sort());
      expect(decision.kind).toBe(held === true ? "held" : "refused");
      expect(decision).not.toHaveProperty("approval");
    });
  }
});

describe("the decision", () => {
  it("lists every violation, not the first", () => {
    const { case: spend } = honest({
      signed: [],
      change: 100n,
      bend: {
        tx: (tx) => ({ ...tx, version: 1, locktime: 0 }),
        policy: (document) => ({ ...document, network: "signet" }),
        history: (document) => ({ ...document, paused: true }),
      },
    });
    const { violations } = judge(spend);
    expect(violations.map(({ rule }) => rule)).toEqual([
      "not-paused",
      "network-agrees",
      "network-agrees",
      "user-signs-first",
      "tx-version",
      "locktime-recent",
      "no-dust",
    ]);
  });

  it("names every input that is wrong", () => {
    const { case: spend } = honest({ coins: 3, signed: [] });
    expect(judge(spend).violations.map(({ detail }) => detail)).toEqual([
      "input 0 has no valid signature of the user",
      "input 1 has no valid signature of the user",
      "input 2 has no valid signature of the user",
    ]);
  });

  it("holds only while every violation is temporary", () => {
    const unconfirmed = coinOnChain({ height: HEIGHT });
    expect(decide(honest(unconfirmed).case).kind).toBe("held");
    expect(decide(honest({ ...unconfirmed, signed: [] }).case).kind).toBe("refused");
  });

  it("approves exactly the inputs' sighashes for the policy's role", () => {
    const spend = honest({ coins: 2, ...policy({ role: "trustee" }) });
    const decision = decide(spend.case);
    if (decision.kind !== "approved") throw new Error(decision.kind);
    const { approval } = decision;
    expect(approval).toMatchObject({
      intent: spend.intent.id,
      txid: spend.facts.txid,
      policy: spend.case.policy.hash,
      role: "trustee",
    });
    expect(approval.inputs.map(({ xOnly }) => xOnly)).toEqual(
      spend.coins.map((_, i) => keyOf(spend, "trustee", i)),
    );
    for (const { input, sighash, xOnly } of approval.inputs) {
      expect(ecc.verifySchnorr(sighash, xOnly, signatureOf(spend, input, "trustee"))).toBe(true);
    }
  });

  it("leaves out only the rules that it is told to, and makes no approval then", () => {
    const { case: spend } = honest({ bend: { chain: () => null } });
    expect(judge(spend).verdict).toBe("held");
    expect(judge(spend, new Set(["chain-view-present"]))).toEqual({
      verdict: "approved",
      violations: [],
    });
  });
});

describe("an approval", () => {
  it("is known by identity, so a copy or a look-alike is none", () => {
    const genuine = approvalOf(honest().case);
    expect(isApproval(genuine)).toBe(true);
    for (const forged of [
      { ...genuine },
      Object.create(genuine),
      structuredClone({ ...genuine }),
      JSON.parse(JSON.stringify(genuine, (_, value) => (typeof value === "bigint" ? 0 : value))),
      new Proxy(genuine, {}),
      Object.freeze({ intent: "", txid: "", policy: "", role: "lsp", inputs: [] }),
    ]) {
      expect(isApproval(forged)).toBe(false);
    }
  });

  it("cannot be written by hand", () => {
    // @ts-expect-error the symbol that marks an approval does not leave decide.ts
    const forged: Approval = { intent: "", txid: "", policy: "", role: "lsp", inputs: [] };
    expect(isApproval(forged)).toBe(false);
  });

  it("is frozen, list and entries too", () => {
    const approval = approvalOf(honest().case);
    expect(() => Object.assign(approval, { txid: "00" })).toThrow(TypeError);
    expect(() => Object.assign(approval.inputs, { 0: null })).toThrow(TypeError);
    expect(() => Object.assign(approval.inputs[0] ?? {}, { input: 1 })).toThrow(TypeError);
  });

  it("does not change when the facts that it came from are changed afterwards", () => {
    const { case: spend } = honest();
    const approval = approvalOf(spend);
    const before = Buffer.from(approval.inputs[0]?.sighash ?? []).toString("hex");
    spend.facts.inputs[0]?.signing?.sighash.fill(0xee);
    expect(Buffer.from(approval.inputs[0]?.sighash ?? []).toString("hex")).toBe(before);
  });
});

describe("a fee that cannot be computed", () => {
  it("is not approved: inputs of together more than 21 million bitcoin", () => {
    const { case: spend } = honest({
      coins: [
        { ...at(0), sats: SATS_MAX },
        { ...at(1), sats: SATS_MAX },
      ],
    });
    expect(spend.facts.feeSats).toBeNull();
    expect(decide(spend).kind).not.toBe("approved");
  });
});

describe("a history that does not fit the policy", () => {
  it("is not taken for an empty window", () => {
    const { case: spend } = honest(withdrawal({ windows: [{ hours: 1, sats: 2_001_800 }] }));
    const history = { ...spend.history, charged: new Map() };
    expect(() => decide({ ...spend, history })).toThrow(/BUG/);
  });
});

it("money of the policy is branded, a bare number does not compile", () => {
  // @ts-expect-error bps are no sats
  const amount: Sats = bps(1n);
  expect([amount, sats(1n), msatsPerVbyte(1n)]).toEqual([1n, 1n, 1n]);
});

function approvalOf(spend: Case): Approval {
  const decision = decide(spend);
  if (decision.kind !== "approved") throw new Error(JSON.stringify(decision.violations));
  return decision.approval;
}
