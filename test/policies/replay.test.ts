/**
 * Past spends judged by another policy. The rules themselves are the measure: a spend whose PSBT a
 * test has is judged by both, the rules from the PSBT and the replay from what the history keeps.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { addressOf } from "../../policies/bitcoin/taproot.ts";
import { type PolicyDocument, readPolicy } from "../../policies/document/policy.ts";
import { lacksCharges, replay } from "../../policies/document/replay.ts";
import {
  type Claim,
  HOUR_MS,
  historyOf,
  historyQuery,
  NO_HISTORY,
} from "../../policies/history.ts";
import { type RuleId, rules } from "../../policies/rules.ts";
import { chargesOf } from "../../policies/velocity.ts";
import { HEIGHT, honest, NOW, POLICY, recipient } from "../support/spend.ts";

interface Past {
  readonly sats: bigint;
  readonly feeSats: bigint;
  readonly to: number;
  /** Since the spend before. */
  readonly hours: number;
  readonly blocks: number;
}

/** The spend, and the claim that a journal keeps of it. */
function spent(number: number, { sats, feeSats, to }: Past, at: number, height: number) {
  const spend = honest({
    payments: [{ sats, script: recipient(to) }],
    feeSats,
    change: null,
    signed: [],
    bend: { intent: (intent) => ({ ...intent, reference: `withdrawal ${number}` }) },
  });
  const txid = number.toString(16).padStart(64, "0");
  const claim: Claim = {
    intent: spend.intent.id,
    purpose: spend.intent.purpose,
    vault: spend.intent.vault,
    txid,
    anchor: `${txid}:0`,
    outpoints: [`${txid}:0`],
    charges: chargesOf(spend.facts, spend.intent),
    places: [],
    userSigned: true,
    fixed: "",
    nonces: [],
    at,
    height,
  };
  return { ...spend, claim };
}

function sequence(all: readonly Past[]) {
  let [at, height] = [NOW, HEIGHT];
  return all.map((past, i) => {
    at += past.hours * HOUR_MS;
    height += past.blocks;
    return spent(i, past, at, height);
  });
}

const STRICT: PolicyDocument = {
  ...POLICY,
  fees: { ...POLICY.fees, sats: 900, share_bps: 300, windows: [{ hours: 3, sats: 2_000 }] },
  purposes: {
    withdrawal: {
      sats_per_spend: 50_000,
      windows: [
        { hours: 2, sats: 90_000 },
        { hours: 5, sats: 130_000 },
      ],
      vault_windows: [{ hours: 4, sats: 110_000 }],
      destination_windows: [{ hours: 6, sats: 70_000 }],
      destinations: [0, 1].map((n) => addressOf(recipient(n), "regtest") ?? ""),
    },
  },
};

/** The rules that look at what a history keeps, and the limits that they stand for. */
const REPLAYED: Readonly<Partial<Record<RuleId, RegExp>>> = {
  "spend-limit": /sats_per_spend$/,
  "fee-absolute": /^fees\.sats$/,
  "fee-share": /share_bps$/,
  "fee-budget": /^fees\.windows/,
  "window-limit": /^purposes\..*windows/,
  "destination-allowed": /destinations$/,
};

describe("a replay", () => {
  it("says what the rules say, spend by spend: property", () => {
    const policy = readPolicy(STRICT);
    const past = fc.record({
      sats: fc.bigInt({ min: 10_000n, max: 55_000n }),
      feeSats: fc.bigInt({ min: 0n, max: 1_000n }),
      to: fc.nat(2),
      hours: fc.nat(3),
      blocks: fc.nat(20),
    });
    fc.assert(
      fc.property(fc.array(past, { maxLength: 8 }), (all) => {
        const spends = sequence(all);
        const passed: Claim[] = [];
        const told = spends.map(({ facts, intent, claim, case: base }) => {
          const document = { ...NO_HISTORY, claims: passed };
          const query = historyQuery({
            facts,
            intent,
            policy,
            evidence: base.evidence,
            chain: null,
          });
          const history = historyOf(document, query, { now: claim.at, height: claim.height });
          const said = Object.keys(REPLAYED).filter(
            (rule) => rules[rule as RuleId].check({ ...base, policy, history }).length > 0,
          );
          if (said.length === 0) passed.push(claim);
          return said;
        });
        const replayed = replay(
          spends.map(({ claim }) => claim),
          policy,
        ).map(({ refusals }) =>
          Object.entries(REPLAYED).flatMap(([rule, limit]) =>
            refusals.some((refusal) => limit.test(refusal.limit)) ? rule : [],
          ),
        );
        expect(replayed).toEqual(told);
      }),
      { numRuns: 30 },
    );
  });

  const past = { sats: 50_000n, feeSats: 500n, to: 0, hours: 0, blocks: 0 };
  const [one, two] = sequence([past, { ...past, to: 1 }]).map(({ claim }) => claim);
  if (one === undefined || two === undefined) throw new Error("two spends were asked for");

  function limits(document: PolicyDocument, ...claims: readonly Claim[]) {
    return replay(claims, readPolicy(document)).map(({ refusals }) =>
      refusals.map(({ limit }) => limit),
    );
  }

  it("refuses nothing that was within the policy, to the last sat", () => {
    const exact = {
      ...STRICT,
      fees: { ...STRICT.fees, sats: 500, share_bps: 100, windows: [{ hours: 3, sats: 1_000 }] },
      purposes: {
        withdrawal: {
          sats_per_spend: 50_000,
          windows: [{ hours: 3, sats: 101_000 }],
          destinations: "any" as const,
        },
      },
    };
    expect(limits(exact, one, two)).toEqual([[], []]);
    const windows = [{ hours: 3, sats: 100_999 }];
    const purposes = { withdrawal: { ...exact.purposes.withdrawal, windows } };
    expect(limits({ ...exact, purposes }, one, two)).toEqual([
      [],
      ["purposes.withdrawal.windows.3h"],
    ]);
  });

  it("lets what it refuses take nothing out of the windows", () => {
    const { withdrawal } = STRICT.purposes;
    if (withdrawal === undefined) throw new Error("the policy has no withdrawal");
    const windows = [{ hours: 3, sats: 60_000 }];
    const only = {
      ...withdrawal,
      windows,
      destinations: [addressOf(recipient(1), "regtest") ?? ""],
    };
    expect(limits({ ...STRICT, purposes: { withdrawal: only } }, one, two)).toEqual([
      ["purposes.withdrawal.destinations"],
      [],
    ]);
  });

  it.each(["migration", "constructor", "__proto__"])(
    "allows no %s that the policy does not",
    (purpose) => {
      expect(limits(STRICT, { ...one, purpose })).toEqual([["purposes"]]);
    },
  );

  it("counts a bump with what it takes more, and how many there were", () => {
    const bump = {
      ...one,
      txid: "ff".repeat(32),
      charges: one.charges.map(({ account }) => ({
        account,
        sats: account.startsWith("destination") ? 0n : 400n,
      })),
    };
    const never = replay([one, bump], readPolicy(STRICT));
    expect(never[1]).toMatchObject({ sats: 50_000n, feeSats: 900n });
    expect(never[1]?.refusals.map(({ limit }) => limit)).toEqual(["fees.bumps"]);
    const once = { ...STRICT, fees: { ...STRICT.fees, bumps: 1 } };
    expect(limits(once, one, bump)).toEqual([[], []]);
    expect(limits({ ...once, fees: { ...once.fees, sats: 899 } }, one, bump)).toEqual([
      [],
      ["fees.sats"],
    ]);
  });

  it("looks at inputs and change indices, which a history keeps", () => {
    const wide = { ...one, outpoints: [0, 1, 2].map((n) => `${"ab".repeat(32)}:${n}`) };
    const { transaction } = STRICT;
    expect(limits({ ...STRICT, transaction: { ...transaction, inputs: 3 } }, wide)).toEqual([[]]);
    expect(limits({ ...STRICT, transaction: { ...transaction, inputs: 2 } }, wide)).toEqual([
      ["transaction.inputs"],
    ]);
    const changes = [19, 39, 60].map((index, i) => ({
      ...one,
      intent: String(i).repeat(64),
      places: [{ outpoint: `${one.txid}:1`, vault: one.vault, index, sats: 1n, gained: false }],
      charges: [],
    }));
    expect(limits(STRICT, ...changes)).toEqual([[], [], ["transaction.change_gap"]]);
  });

  it("takes the claims in the order of their time", () => {
    const late = { ...two, at: two.at + HOUR_MS };
    expect(replay([late, one], readPolicy(STRICT)).map(({ txid }) => txid)).toEqual([
      one.txid,
      two.txid,
    ]);
  });

  it("knows a claim that is not charged to all of its accounts", () => {
    expect(lacksCharges(one)).toBe(false);
    for (const [i, { account }] of one.charges.entries()) {
      const charges = one.charges.filter((_, j) => j !== i);
      expect(lacksCharges({ ...one, charges })).toBe(/^(purpose|vault|fees)/.test(account));
    }
  });
});
