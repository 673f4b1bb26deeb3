/** What the law says of a plan, from bytes: gate, facts, evidence, history, chain, decision. */
import { hex } from "../../policies/bitcoin/hash.ts";
import { PsbtFault, readPsbt } from "../../policies/bitcoin/psbt.ts";
import { txidOf } from "../../policies/bitcoin/transaction.ts";
import { decide } from "../../policies/decide.ts";
import { type Policy, readPolicy } from "../../policies/document/policy.ts";
import { evidenceFacts, readEvidence } from "../../policies/evidence.ts";
import { spendFacts } from "../../policies/facts.ts";
import { historyOf, historyQuery } from "../../policies/history.ts";
import { IntentError, readIntent } from "../../policies/intent.ts";
import type { Case } from "../../policies/rules/rule.ts";
import { NOW } from "../support/spend.ts";
import { chainView, historyDocument, intentDocument, policyDocument } from "./build-documents.ts";
import { booksOf, evidenceDocument, rememberedOf } from "./build-evidence.ts";
import { paperBytes } from "./build-paper.ts";
import { TEST_VAULTS } from "./build-scripts.ts";
import type { Judgement } from "./model.ts";
import type { Plan, VaultName } from "./plan.ts";

export function lawJudgement(plan: Plan): Judgement {
  let spend: Case;
  try {
    spend = caseOf(plan);
  } catch (error) {
    // What the gate does not read is refused before any rule is asked.
    if (error instanceof PsbtFault) return { verdict: "refused", rules: [error.code] };
    if (error instanceof IntentError) return { verdict: "refused", rules: ["intent"] };
    throw error;
  }
  const decision = decide(spend);
  if (decision.kind !== "approved") {
    const rules = [...new Set(decision.violations.map(({ rule }) => rule))].sort();
    return { verdict: decision.kind, rules };
  }
  const { approval } = decision;
  if (approval.txid !== spend.facts.txid || approval.inputs.length !== spend.facts.inputs.length) {
    throw new Error("an approval of something else");
  }
  return { verdict: "approved", rules: [] };
}

function caseOf(plan: Plan): Case {
  const intent = readIntent(intentDocument(plan));
  const psbt = readPsbt(paperBytes(plan, plan.paper));
  const named = registered(plan, [plan.intent.vault, ...plan.intent.parties]);
  const facts = spendFacts(psbt, named);
  const policy = policyOf(plan);
  const { spendHash } = facts;
  const approvable = {
    ...{ network: "regtest" as const, intent: intent.id, spendHash },
    policy: policy.hash,
  };
  const books = booksOf(plan);
  const operated = plan.evidence.operations.map(({ vault }) => vault);
  const evidence = evidenceFacts(
    readEvidence(evidenceDocument(plan, approvable, books)),
    registered(plan, [plan.intent.vault, ...plan.intent.parties, ...operated]),
    {
      ...approvable,
      vault: intent.vault,
      guardians: policy.guardians?.people ?? [],
      people: policy.quorum?.people ?? [],
    },
  );
  const chain = chainView(plan);
  const document = historyDocument(plan, {
    intent: intent.id,
    facts,
    original: originalTxid(plan),
    accounts: rememberedOf(plan, books, intent.id),
  });
  const query = historyQuery({ facts, intent, policy, evidence, chain });
  const [own] = registered(plan, [plan.intent.vault]);
  return {
    ...{ facts, intent, policy, evidence, chain },
    vault: own?.vault ?? null,
    parties: registered(plan, plan.intent.parties).map(({ vault }) => vault),
    history: historyOf(document, query, { now: NOW, height: chain?.height ?? 0 }),
  };
}

function registered(plan: Plan, names: readonly VaultName[]) {
  return [...new Set(names)]
    .filter((name) => plan.registered.includes(name))
    .map((name) => TEST_VAULTS[name].scripts);
}

function originalTxid(plan: Plan): string | null {
  const { original } = plan.evidence;
  if (original === null) return null;
  const { tx } = readPsbt(paperBytes(plan, original));
  return hex(Uint8Array.from(txidOf(tx)).reverse());
}

/** Policies are few beside the spends; each is read once. */
const policies = new Map<string, Policy>();
const POLICIES_MAX = 1_000;

function policyOf(plan: Plan): Policy {
  const document = policyDocument(plan);
  const key = JSON.stringify(document);
  const known = policies.get(key) ?? readPolicy(document);
  if (policies.size >= POLICIES_MAX) policies.clear();
  policies.set(key, known);
  return known;
}
