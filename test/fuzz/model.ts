/**
 * An independent reckoning of the law, written from the design, the attack catalogue and the pages of
 * the formats, over a spend in plain words. It shares no code with the law: where the two disagree,
 * one of them is wrong. Objections have the names that `policies/README.md` gives the rules.
 */
import { coinObjections } from "./model-coins.ts";
import { claimObjections, windowObjections } from "./model-history.ts";
import { limitObjections, paymentObjections } from "./model-payments.ts";
import { proofObjections } from "./model-proofs.ts";
import { purposeObjections } from "./model-purposes.ts";
import { approvalObjections, isIntent, isLifted, requestObjections } from "./model-request.ts";
import { seen } from "./model-spend.ts";
import { wordObjections } from "./model-words.ts";
import type { Plan } from "./plan.ts";

export type Verdict = "approved" | "held" | "refused";

export interface Judgement {
  readonly verdict: Verdict;
  readonly rules: readonly string[];
}

export function modelJudgement(plan: Plan): Judgement {
  // What cannot be read is refused before anything is judged, paused or not.
  if (!isIntent(plan)) return { verdict: "refused", rules: ["intent"] };
  if (plan.paper.inputs.some(({ previous }) => previous === "another")) {
    return { verdict: "refused", rules: ["psbt-field"] };
  }
  const spend = seen(plan);
  const all = [
    ...requestObjections(spend),
    ...coinObjections(spend),
    ...wordObjections(spend),
    ...paymentObjections(spend),
    ...limitObjections(spend),
    ...claimObjections(spend),
    ...windowObjections(spend),
    ...approvalObjections(spend),
    ...proofObjections(spend),
    ...purposeObjections(spend),
  ].filter(({ rule }) => !isLifted(plan, rule));
  const rules = [...new Set(all.map(({ rule }) => rule))].sort();
  if (all.length === 0) return { verdict: "approved", rules };
  // A paused signer gives no final answers.
  const held = plan.history.paused || all.every((one) => one.later);
  return { verdict: held ? "held" : "refused", rules };
}
