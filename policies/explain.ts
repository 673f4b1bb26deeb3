/**
 * What a PSBT does and what each rule says of it, for people and for outsiders who judge the law.
 * It calls the functions that the signers call, and no key is in reach.
 */

import type { Psbt } from "./bitcoin/psbt.ts";
import type { ChainView } from "./chain-view.ts";
import { judge, type Violation } from "./decide.ts";
import type { Policy } from "./document/policy.ts";
import { type Evidence, type EvidenceFacts, evidenceFacts, NO_EVIDENCE } from "./evidence.ts";
import { type SpendFacts, spendFacts } from "./facts.ts";
import { type HistoryDocument, historyOf, historyQuery, NO_HISTORY, nextClock } from "./history.ts";
import { intentOf, type SpendIntent } from "./intent.ts";
import { isSats } from "./money.ts";
import { purposesOf } from "./purpose.ts";
import {
  type FactsReport,
  factsReport,
  type Reported,
  type RuleReport,
  ruleReports,
} from "./report.ts";
import type { RuleId } from "./rules.ts";
import type { Vault } from "./vault.ts";
import { vaultScripts } from "./vault-scripts.ts";

export interface ExplainOptions {
  readonly psbt: Psbt;
  readonly policy: Policy;
  /** The vaults registered with the signer; the one that the intent names is judged. */
  readonly vaults: readonly Vault[];
  readonly intent: SpendIntent | null;
  readonly history: HistoryDocument | null;
  readonly chain: ChainView | null;
  readonly evidence: Evidence | null;
  /** Milliseconds since 1970, for the windows. */
  readonly now: number;
}

export interface Explanation {
  readonly verdict: "approved" | "refused" | "held";
  readonly violations: readonly Violation[];
  readonly rules: readonly RuleReport[];
  readonly facts: FactsReport;
  /** What was assumed because it was not given. */
  readonly notes: readonly string[];
}

/** Rules that have nothing to look at where no chain view is given: they are left out. */
const CHAIN_RULES: ReadonlySet<RuleId> = new Set<RuleId>([
  "chain-view-present",
  "coins-confirmed",
  "coins-as-declared",
]);
/** Rules that agree only because nothing was given to hold the spend against. */
const HISTORY_RULES: readonly RuleId[] = [
  "not-paused",
  "coins-unclaimed",
  "one-transaction-an-intent",
];
const INTENT_RULES: readonly RuleId[] = ["outputs-as-intended"];
const HEIGHT_RULES: readonly RuleId[] = ["locktime-recent"];
/** Rules about coins of the vault, which cannot speak of a coin that is not known to be one. */
const COIN_RULES: readonly RuleId[] = [
  "internal-key",
  "merkle-root",
  "leaf-bytes",
  "leaf-version",
  "control-block",
  "signatures-valid",
  "user-signs-first",
];

export function explain(options: ExplainOptions): Explanation {
  const { policy, chain } = options;
  const { facts, vault, parties } = factsOf(options);
  const evidence = evidenceOf(options, facts, vault);
  const intent = options.intent ?? intentFrom({ facts, vault, policy, evidence });
  const document = options.history ?? NO_HISTORY;
  const height = Math.max(document.height, chain?.height ?? 0);
  const medianTime = chain === null ? null : chain.medianTime * 1000;
  const now =
    medianTime === null ? options.now : nextClock({ before: 0, wall: options.now, medianTime });
  const query = historyQuery({ facts, intent, policy, evidence, chain });
  const history = historyOf(document, query, { now, height });
  const without = chain === null ? CHAIN_RULES : new Set<RuleId>();
  const spend = { facts, intent, policy, vault, parties, history, chain, evidence };
  const { verdict, violations } = judge(spend, without);
  const unasked = new Set<RuleId>([
    ...without,
    ...(options.intent === null ? INTENT_RULES : []),
    ...(options.history === null ? HISTORY_RULES : []),
    ...(height === 0 ? HEIGHT_RULES : []),
    ...(facts.inputs.some(({ coin }) => coin === null) ? COIN_RULES : []),
  ]);
  return {
    verdict,
    violations,
    rules: ruleReports(violations, unasked),
    facts: factsReport({ facts, vault, evidence }, options.intent === null ? null : intent.id),
    notes: notesOf(options, facts.locktime, height),
  };
}

/** As a signer's worker does: every signature and path of the evidence is verified. */
function evidenceOf(
  { evidence, policy, intent, vaults }: ExplainOptions,
  { spendHash }: SpendFacts,
  vault: Vault | null,
): EvidenceFacts {
  if (evidence === null) return NO_EVIDENCE;
  return evidenceFacts(evidence, vaults.map(vaultScripts), {
    network: policy.network,
    vault: vault?.id ?? "",
    intent: intent?.id ?? "",
    spendHash,
    policy: policy.hash,
    guardians: policy.guardians?.people ?? [],
    people: policy.quorum?.people ?? [],
  });
}

/** As the guard does: facts are taken against the one vault that the intent names. */
function factsOf({ psbt, vaults, intent }: ExplainOptions): {
  facts: SpendFacts;
  vault: Vault | null;
  parties: readonly Vault[];
} {
  const named = vaults.filter(({ id }) => intent === null || id === intent.vault);
  const parties = vaults.filter(({ id }) => intent?.parties.includes(id) === true);
  for (const vault of named) {
    const facts = spendFacts(psbt, [vault, ...parties].map(vaultScripts));
    if (intent !== null || facts.inputs.some(({ coin }) => coin !== null)) {
      return { facts, vault, parties };
    }
  }
  const [vault] = named;
  if (vault === undefined) return { facts: spendFacts(psbt, []), vault: null, parties };
  return { facts: spendFacts(psbt, [vaultScripts(vault)]), vault, parties };
}

/** The intent that this very transaction would fulfil: its destinations are then the policy's to judge. */
function intentFrom({
  facts,
  vault,
  policy,
  evidence,
}: Reported & { readonly policy: Policy }): SpendIntent {
  return intentOf({
    purpose: purposesOf({ facts, evidence })[0] ?? "withdrawal",
    network: policy.network,
    vault: vault?.id ?? "",
    parties: [],
    cancels: null,
    proposer: null,
    cycle: null,
    outputs: facts.outputs.flatMap(({ coin, script, sats }) =>
      coin === null && isSats(sats) ? [{ script, sats }] : [],
    ),
    reference: "no intent given",
  });
}

function notesOf(
  { intent, history, chain }: ExplainOptions,
  locktime: number,
  height: number,
): readonly string[] {
  return [
    ...(intent === null
      ? ["no intent was given: the payments are judged by the policy alone"]
      : []),
    ...(history === null
      ? ["no history was given: a signer that has signed nothing before is assumed"]
      : []),
    ...(chain === null ? ["no chain view was given: whether the coins exist was not asked"] : []),
    ...(height === 0
      ? [`no height was given: whether nLockTime ${locktime} is recent was not asked`]
      : []),
  ];
}
