/**
 * The law: every rule with its reason and its check, by what it looks at. All rules are asked, so
 * that a person sees everything at once. `answers` are the numbers of the attack catalogue that a
 * rule is there for.
 */
import { coinRules } from "./rules/coins.ts";
import { commitmentRules } from "./rules/commitments.ts";
import { limitRules } from "./rules/limits.ts";
import { paymentRules } from "./rules/payments.ts";
import { requestRules } from "./rules/request.ts";
import type { Rule } from "./rules/rule.ts";

const table = {
  ...requestRules,
  ...coinRules,
  ...commitmentRules,
  ...paymentRules,
  ...limitRules,
} satisfies Record<string, Rule>;

export type RuleId = keyof typeof table;

/** All rules, in the order in which a person would read them. */
export const rules: Readonly<Record<RuleId, Rule>> = Object.freeze(table);
