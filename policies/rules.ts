/**
 * The law: every rule with its reason and its check, by what it looks at. All rules are asked, so
 * that a person sees everything at once. `answers` are the numbers of the attack catalogue that a
 * rule is there for.
 */
import { accountRules } from "./rules/accounts.ts";
import { approvalRules } from "./rules/approvals.ts";
import { channelRules } from "./rules/channels.ts";
import { coinRules } from "./rules/coins.ts";
import { commitmentRules } from "./rules/commitments.ts";
import { escrowRules } from "./rules/escrow.ts";
import { limitRules } from "./rules/limits.ts";
import { mandateRules } from "./rules/mandates.ts";
import { paymentRules } from "./rules/payments.ts";
import { proofRules } from "./rules/proofs.ts";
import { recoveryRules } from "./rules/recovery.ts";
import { requestRules } from "./rules/request.ts";
import type { Rule } from "./rules/rule.ts";
import { upkeepRules } from "./rules/upkeep.ts";

const table = {
  ...requestRules,
  ...coinRules,
  ...commitmentRules,
  ...paymentRules,
  ...limitRules,
  ...approvalRules,
  ...mandateRules,
  ...proofRules,
  ...accountRules,
  ...escrowRules,
  ...channelRules,
  ...recoveryRules,
  ...upkeepRules,
} satisfies Record<string, Rule>;

export type RuleId = keyof typeof table;

/** All rules, in the order in which a person would read them. */
export const rules: Readonly<Record<RuleId, Rule>> = Object.freeze(table);
