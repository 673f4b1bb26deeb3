/** Attacks that the law once let pass, each as an evil orchestrator would have asked for it. */
import { describe, expect, it } from "vitest";
import { claimContent } from "../../policies/claim.ts";
import { decide } from "../../policies/decide.ts";
import { EvidenceError, readEvidence } from "../../policies/evidence.ts";
import type { Case } from "../../policies/rules/rule.ts";
import { RECEIVE } from "../../policies/vault.ts";
import { chargesOf } from "../../policies/velocity.ts";
import {
  EVIDENCE,
  mandate,
  notice,
  operation,
  psbtText,
  signatory,
  votes,
} from "../support/proofs.ts";
import {
  cancel,
  collect,
  collectBatch,
  escrowIn,
  escrowOut,
  HONEST,
  type Knobs,
  LAW,
  migration,
  OWN_COIN,
  proofOfReserves,
  RECOVERY_VAULT,
  recoveryLspGone,
  recoveryUserLost,
  refresh,
  topUp,
  withdrawal,
} from "../support/purposes.ts";
import {
  ESCROW,
  HEIGHT,
  honest,
  NOW,
  OTHER_VAULT,
  recipient,
  type SpendOptions,
  TREASURY,
  USER_VAULT,
} from "../support/spend.ts";

const USER = USER_VAULT.vault.id;
const OTHER = OTHER_VAULT.vault.id;

function saidOf(spend: Case): readonly string[] {
  const decision = decide(spend);
  return "violations" in decision
    ? [...new Set(decision.violations.map(({ rule }) => rule))].sort()
    : [];
}

/** The rules that object to a spend. */
function said(options: SpendOptions): readonly string[] {
  return saidOf(honest(options).case);
}

describe("coins of a party under the name of another vault", () => {
  it("a recovery that went through does not run backwards", () => {
    // The announcement of the old vault's recovery stays true; the coins are the new vault's now.
    const { case: spend } = honest(
      recoveryUserLost({
        spend: {
          from: RECOVERY_VAULT,
          parties: [USER_VAULT],
          payments: [{ script: USER_VAULT.scripts.at(RECEIVE, 0).script, sats: 2_000_000n }],
        },
        intent: (content) => ({ ...content, vault: USER, parties: [RECOVERY_VAULT.vault.id] }),
      }),
    );
    const named = { ...spend, vault: USER_VAULT.vault, parties: [RECOVERY_VAULT.vault] };
    expect(saidOf(named)).toEqual(["inputs-of-the-vault"]);
  });

  it("the announcement of one vault does not spare another the delay", () => {
    const { case: spend } = honest(
      recoveryLspGone({
        notices: [notice("lsp-gone", { vault: OTHER, no: 1 }, HEIGHT - 144)],
        intent: (content) => ({ ...content, vault: OTHER, parties: [USER] }),
      }),
    );
    const named = { ...spend, vault: OTHER_VAULT.vault, parties: [USER_VAULT.vault] };
    expect(saidOf(named)).toEqual(["inputs-of-the-vault"]);
  });

  it("the mandate of one vault does not bump the payment of another", () => {
    const { case: spend } = honest(
      bump({
        notices: [mandate(OTHER_VAULT, { bump: 50_000 })],
        intent: (content) => ({ ...content, vault: OTHER, parties: [USER] }),
      }),
    );
    const named = { ...spend, vault: OTHER_VAULT.vault, parties: [USER_VAULT.vault] };
    expect(saidOf(named)).toEqual(["inputs-of-the-vault"]);
  });
});

/** The user's small withdrawal with a higher fee, which the user has not signed. */
function bump(knobs: Knobs & { readonly locktime?: number } = {}): SpendOptions {
  const { locktime = HEIGHT } = knobs;
  const payments = [{ script: recipient(5), sats: 100_000n }];
  const coins = [{ branch: RECEIVE, index: 0, sats: 1_000_000n }] as const;
  const original = honest({
    ...{ coins, payments, change: 898_000n },
    bend: { tx: (tx) => ({ ...tx, locktime }) },
  });
  return withdrawal({
    votes: null,
    statement: null,
    evidence: (evidence) => ({ ...evidence, original: psbtText(original.psbt) }),
    notices: [mandate(USER_VAULT)],
    ...knobs,
    spend: { coins, payments, change: 897_000n, signed: [] },
  });
}

describe("a bump without the user", () => {
  it("goes by the mandate", () => {
    expect(said(bump())).toEqual([]);
  });

  it("does not bring back what the user signed too long ago to be signed for", () => {
    expect(said(bump({ locktime: HEIGHT - 144 }))).toEqual([]);
    expect(said(bump({ locktime: HEIGHT - 145 }))).toEqual(["user-signs-first"]);
  });

  it("goes on where this signer has signed the original in its time", () => {
    const locktime = HEIGHT - 145;
    const { facts, intent } = honest(bump({ locktime }));
    const { original } = honest(bump({ locktime })).case.evidence;
    const outpoints = facts.inputs.map(({ outpoint }) => outpoint);
    const claim = past({ intent: intent.id, txid: original?.txid ?? "", outpoints });
    const history: Knobs["history"] = (document) => ({ ...document, claims: [claim] });
    expect(said(bump({ locktime, history }))).toEqual([]);
  });
});

describe("the escrow", () => {
  const other = { outpoint: `${"e5".repeat(32)}:0`, sats: 1_000_000n, height: HEIGHT - 50 };
  /** The escrow owes 1,500,000 sat, has 1,499,801 and change in this spend, and another coin. */
  const spending = (outpoints: readonly string[]) =>
    escrowOut({
      account: { outpoints: [OWN_COIN.outpoint], poolMsats: 1_990_000_000n },
      coins: (coins) =>
        new Map([...coins, [ESCROW.vault.id, [...(coins.get(ESCROW.vault.id) ?? []), other]]]),
      history: (document) => ({
        ...document,
        claims: [past({ purpose: "escrow-out", vault: ESCROW.vault.id, outpoints })],
      }),
    });

  it("is not emptied by two spends that each count on the other's coins", () => {
    expect(said(spending([`${"e6".repeat(32)}:0`]))).toEqual([]);
    expect(said(spending([other.outpoint]))).toEqual(["escrow-covers-pool"]);
  });

  it("does not count on coins that were locked after the statement", () => {
    const locked = (height: number) =>
      escrowOut({
        account: { outpoints: [OWN_COIN.outpoint], poolMsats: 1_990_000_000n },
        coins: (coins) =>
          new Map([
            ...coins,
            [ESCROW.vault.id, [...(coins.get(ESCROW.vault.id) ?? []), { ...other, height }]],
          ]),
      });
    // The statement is of six blocks ago.
    expect(said(locked(HEIGHT - 6))).toEqual([]);
    expect(said(locked(HEIGHT - 5))).toEqual(["escrow-covers-pool"]);
  });

  it("pays no claim whose coins have been paid out since the statement", () => {
    const spent = escrowOut({ coins: (coins) => new Map([...coins, [USER, []]]) });
    expect(said(spent)).toEqual(["accounts-settled"]);
    const flying = escrowOut({
      history: (document) => ({
        ...document,
        claims: [past({ outpoints: [OWN_COIN.outpoint] })],
      }),
    });
    expect(said(flying)).toEqual(["accounts-settled"]);
  });

  it("takes no operation twice in one request", () => {
    const twice = escrowIn({
      sats: 1_400_000n,
      evidence: ({ operations = [], ...evidence }) => ({
        ...evidence,
        operations: [...operations, ...operations],
      }),
    });
    expect(said(twice)).toEqual(["operation-authorised"]);
  });

  it("takes a user's coins by the LSP's journal alone, which knows what was drawn on the claim", () => {
    const trustee = { ...LAW, role: "trustee" as const };
    expect(said(escrowIn({ law: trustee }))).toEqual(["purpose-signers"]);
    const house = escrowIn({
      law: trustee,
      votes: null,
      statement: null,
      spend: { from: TREASURY, signed: [] },
    });
    expect(said(house)).toEqual([]);
  });

  it("takes the treasury's coins for an operating key that the account has named", () => {
    const key = signatory("operating");
    const vault = USER;
    const house = escrowIn({
      votes: null,
      statement: null,
      spend: { from: TREASURY, signed: [], parties: [ESCROW] },
      evidence: (evidence) => ({
        ...evidence,
        operations: [
          operation(USER_VAULT, { sats: 700_000n }, { secret: key.secret, key: key.key }),
        ],
      }),
      notices: [notice("delegate", { vault, no: 1, key: key.key, sats: 700_000, until: HEIGHT })],
    });
    expect(said(house)).toEqual([]);
  });
});

type Claims = Parameters<NonNullable<Knobs["history"]>>[0]["claims"];

/** Something else that was signed before. */
function past(part: Partial<Claims[number]>): Claims[number] {
  return {
    ...{ intent: "ef".repeat(32), purpose: "withdrawal", vault: OTHER, txid: "12".repeat(32) },
    ...{ anchor: `${"cd".repeat(32)}:0`, outpoints: [`${"cd".repeat(32)}:0`], charges: [] },
    ...{ places: [], userSigned: true, fixed: "", nonces: [] },
    ...{ at: NOW - 3_600_000, height: HEIGHT - 6 },
    ...part,
  };
}

describe("a price", () => {
  it("of another currency moves no claim, whatever turn the intent names", () => {
    expect(said(collect({ cycle: "jpy/4711", votes: { pool: "jpy" } }))).toEqual([
      "own-guardian",
      "votes-agree",
    ]);
  });

  it("beyond any price is no evidence, and no fault of the signer", () => {
    const dear = (price: string) => ({
      ...EVIDENCE,
      votes: votes().map((vote) => ({ ...vote, price })),
    });
    expect(readEvidence(dear("1000000000000")).votes).toHaveLength(3);
    expect(() => readEvidence(dear("1000000000001"))).toThrow(EvidenceError);
  });
});

describe("a cancel", () => {
  const unsigned = () => honest(collect({ tx: (tx) => ({ ...tx, locktime: HEIGHT - 1 }) }));
  const cancelling = (original: ReturnType<typeof honest>) =>
    cancel({
      tx: (tx) => ({ ...tx, inputs: original.tx.inputs }),
      evidence: (evidence) => ({ ...evidence, original: psbtText(original.psbt) }),
      history: (document) => ({ ...document, claims: [] }),
    });

  it("takes nothing back that nobody has signed: it would move a user's coins for a tale", () => {
    expect(said(cancelling(unsigned()))).toEqual(["cancel-takes-back"]);
    const signed = honest({ ...collect(), signed: ["lsp"] });
    expect(said(cancelling(signed))).toEqual([]);
  });
});

it("a migration draws on the claim, which the coins left behind would else pay out again", () => {
  const { facts, intent } = honest(migration());
  const drawn = chargesOf(facts, intent).filter(({ account }) => account === `drawn ${USER}`);
  expect(drawn.map(({ sats }) => sats)).toEqual([3_000_000n + (facts.feeSats ?? 0n)]);
});

it("a proof of reserves under a foreign first script is refused, not a fault", () => {
  const script = recipient(9);
  const foreign = proofOfReserves({
    spend: {
      bend: {
        spent: (spent) => spent.map((output, i) => (i === 0 ? { ...output, script } : output)),
      },
    },
  });
  expect(said(foreign)).toEqual(["reserves-never-final"]);
});

it("a refresh waits for a coin that no block has", () => {
  const unconfirmed = refresh({
    law: { ...LAW, chain: { ...LAW.chain, confirmations: 0 } },
    age: 20_001,
  });
  expect(said(unconfirmed)).toEqual(["refresh-due"]);
});

it("a cancel beside a coin of the house charges the user's vault for the fee that it bears", () => {
  const { facts, intent } = honest({
    ...collectBatch({ returned: [2_395_000n, 2_500_000n] }),
    change: 1_000_000n,
  });
  const fees = (purpose: "cancel" | "collect") =>
    chargesOf(facts, { ...intent, purpose }).find(
      ({ account }) => account === `userless-fees ${USER}`,
    )?.sats;
  expect(fees("collect")).toBe(0n);
  expect(fees("cancel")).toBe(5_000n);
});

it("a recovery keeps no old key under a new origin", () => {
  const { case: spend } = honest(recoveryUserLost());
  const [to] = spend.parties;
  const old = USER_VAULT.vault.holders.find(({ role }) => role === "lsp");
  if (to === undefined || old === undefined) throw new Error("both vaults have an LSP");
  const key = { ...old.key, text: old.key.text.replace(/^\[[0-9a-f]{8}/, "[00000001") };
  const holders = to.holders.map((holder) => (holder.role === "lsp" ? { ...holder, key } : holder));
  expect(saidOf(spend)).toEqual([]);
  expect(saidOf({ ...spend, parties: [{ ...to, holders }] })).toEqual(["recovery-to-named-key"]);
});

describe("what was drawn on a claim since the statement", () => {
  const drew: Knobs["history"] = (document) => ({
    ...document,
    claims: [past({ vault: USER, charges: [{ account: `drawn ${USER}`, sats: 100_000n }] })],
  });

  it("is not topped up again: the coins that paid it came after the statement, too", () => {
    expect(said(topUp({ sats: 398_001n, history: drew }))).toEqual([]);
    expect(said(topUp({ sats: 398_002n, history: drew }))).toEqual(["within-deficit"]);
    expect(said(escrowOut({ sats: 398_002n, history: drew }))).toEqual(["within-deficit"]);
  });

  it("of another account is no matter", () => {
    const others: Knobs["history"] = (document) => ({
      ...document,
      claims: [past({ charges: [{ account: `drawn ${OTHER}`, sats: 100_000n }] })],
    });
    expect(said(topUp({ sats: 498_001n, history: others }))).toEqual([]);
  });

  it("includes what the treasury locked for the account", () => {
    const { case: spend } = honest(
      escrowIn({ votes: null, statement: null, spend: { from: TREASURY, signed: [] } }),
    );
    expect(saidOf(spend)).toEqual([]);
    expect(claimContent(spend).charges).toContainEqual({
      account: `drawn ${USER}`,
      sats: 700_000n,
    });
    const own = claimContent(honest(escrowIn()).case).charges;
    expect(own.filter(({ account }) => account === `drawn ${USER}`)).toHaveLength(1);
  });
});

it.each(["collect", "top-up", "margin", "escrow-in"] as const)(
  "two trustees make no %s behind the back of the LSP, whose journal knows the withdrawals",
  (purpose) => {
    const law = { ...LAW, role: "second-trustee" as const };
    expect(said(HONEST[purpose]({ law }))).toContain("purpose-signers");
  },
);

it("an operation is used up by what it was given for alone", () => {
  const stray = honest(
    withdrawal({
      evidence: (evidence) => ({
        ...evidence,
        operations: [operation(USER_VAULT, { sats: 700_000n })],
      }),
    }),
  ).case;
  expect(saidOf(stray)).toEqual([]);
  expect(claimContent(stray).nonces).toEqual([]);
  expect(claimContent(honest(escrowIn()).case).nonces).toEqual([`operation ${USER} 1`]);
});
