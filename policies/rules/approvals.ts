/** People's agreement to one spend: enough of them, each for this very transaction under this law. */

import { LIFTABLE } from "../document/policy-document.ts";
import { movedSats } from "../flows.ts";
import { type Case, heightOf, no, type Rule } from "./rule.ts";

export const approvalRules = {
  "approvals-valid": {
    why: "An approval is for one transaction, one law, one time, by somebody who did not propose it.",
    answers: [113, 116],
    check: (spend) => {
      const { evidence, intent, policy } = spend;
      return evidence.approvals.flatMap(({ person, lifts, until, fault }) => {
        if (fault !== null) return no(fault);
        const strange = lifts.filter((rule) => !policy.lifts.has(rule));
        return [
          ...(person === intent.proposer ? no(`${person} has proposed this spend`) : []),
          ...(until < heightOf(spend) ? no(`the approval of ${person} ended at ${until}`) : []),
          ...strange.flatMap((rule) => no(`${person} lifts ${rule}, which nobody may`)),
        ];
      });
    },
  },
  "approvals-enough": {
    why: "The larger the amount, the more people must have agreed to it.",
    answers: [113],
    check: (spend) => {
      const { facts, intent, policy } = spend;
      const moved = movedSats(facts);
      const wanted = (policy.purposes[intent.purpose]?.tiers ?? [])
        .filter(({ aboveSats }) => moved > aboveSats)
        .reduce((most, { people }) => Math.max(most, people), 0);
      const have = approvers(spend).length;
      return have >= wanted ? [] : no(`${have} of ${wanted} people have approved ${moved} sat`);
    },
  },
} satisfies Record<string, Rule>;

/** People whose approval counts. */
function approvers(spend: Case) {
  return spend.evidence.approvals.filter(
    ({ fault, person, until }) =>
      fault === null && person !== spend.intent.proposer && until >= heightOf(spend),
  );
}

/** Whether enough people have lifted this very rule for this spend. */
export function isLifted(rule: string, spend: Case): boolean {
  const wanted = spend.policy.lifts.get(rule);
  if (wanted === undefined || !(LIFTABLE as readonly string[]).includes(rule)) return false;
  return approvers(spend).filter(({ lifts }) => lifts.includes(rule)).length >= wanted;
}
