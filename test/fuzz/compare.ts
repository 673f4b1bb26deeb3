/**
 * One case before both: what the law says, what the model says, and whether they agree, in the verdict
 * and in every objection. The model names its objections as the law's rules are named.
 */
import { caseOf } from "./generate.ts";
import { lawJudgement } from "./law.ts";
import { type Judgement, modelJudgement } from "./model.ts";
import type { Plan } from "./plan.ts";

export interface Compared {
  readonly seed: number;
  readonly purpose: string;
  readonly bends: readonly string[];
  readonly law: Judgement;
  readonly model: Judgement;
}

export function compare(seed: number, without?: ReadonlySet<number>): Compared {
  const { plan, purpose, bends } = caseOf(seed, without);
  return { seed, purpose, bends, law: heard(plan), model: modelJudgement(plan) };
}

/** What the law throws at is no verdict: the case is told as a disagreement. */
function heard(plan: Plan): Judgement {
  try {
    return lawJudgement(plan);
  } catch (error) {
    return { verdict: "refused", rules: [`threw ${String(error).slice(0, 300)}`] };
  }
}

export function agree({ law, model }: Compared): boolean {
  if (law.verdict !== model.verdict) return false;
  // Bytes that are not read are refused with a code of their own, and no rule is asked.
  const unread = law.rules.some((rule) => rule.startsWith("psbt-"));
  return unread || namesOf(law) === namesOf(model);
}

/** What the model calls by one name: a word of the PSBT that is a lie, or has no place there. */
const WORDS: ReadonlySet<string> = new Set([
  "internal-key",
  "merkle-root",
  "leaf-bytes",
  "leaf-version",
  "control-block",
  "derivation-honest",
  "tap-tree-honest",
  "nothing-but-cosigning",
]);

function namesOf({ rules }: Judgement): string {
  return [...new Set(rules.map((rule) => (WORDS.has(rule) ? "words" : rule)))].sort().join();
}

/** The same case with every bend left out that the disagreement does not need. */
export function narrowed(seed: number): Compared {
  const without = new Set<number>();
  for (const bend of [0, 1, 2, 3]) {
    const fewer = compare(seed, new Set([...without, bend]));
    if (!agree(fewer)) without.add(bend);
  }
  return compare(seed, without);
}
