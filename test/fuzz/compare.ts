/** One case before law and model: what each says, and whether they agree. */
import { PsbtFault } from "../../policies/bitcoin/psbt.ts";
import { judge } from "../../policies/decide.ts";
import { built } from "./build.ts";
import { caseOf } from "./generate.ts";
import { modelVerdict, type Verdict } from "./model.ts";

export interface Compared {
  readonly seed: number;
  readonly purpose: string;
  readonly mutations: readonly string[];
  readonly law: Verdict;
  readonly model: Verdict;
  readonly rules: readonly string[];
}

export function compare(seed: number): Compared {
  const { plan, mutations } = caseOf(seed);
  const model = modelVerdict(plan);
  try {
    const { verdict, violations } = judge(built(plan).case);
    const rules = [...new Set(violations.map(({ rule }) => rule))];
    return { seed, purpose: plan.purpose, mutations, law: verdict, model, rules };
  } catch (error) {
    // What the gate does not read is refused.
    if (!(error instanceof PsbtFault)) throw error;
    return { seed, purpose: plan.purpose, mutations, law: "refused", model, rules: [error.code] };
  }
}
