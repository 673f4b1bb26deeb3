/** Attacks that the law once let pass, each as an evil orchestrator would have asked for it. */
import { describe, expect, it } from "vitest";
import { decide } from "../../policies/decide.ts";
import type { Case } from "../../policies/rules/rule.ts";
import { RECEIVE } from "../../policies/vault.ts";
import { mandate, notice, psbtText } from "../support/proofs.ts";
import {
  type Knobs,
  RECOVERY_VAULT,
  recoveryLspGone,
  recoveryUserLost,
  withdrawal,
} from "../support/purposes.ts";
import {
  HEIGHT,
  honest,
  OTHER_VAULT,
  recipient,
  type SpendOptions,
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

it("an honest bump under the mandate is approved", () => {
  expect(said(bump())).toEqual([]);
});
