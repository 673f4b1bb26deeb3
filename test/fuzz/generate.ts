/** A case: an honest plan and one to four bends, all drawn from one number. */
import type { Bend } from "./bend.ts";
import { HISTORY_BENDS } from "./bends-history.ts";
import { INTENT_BENDS, LAW_BENDS } from "./bends-law.ts";
import { PROOF_BENDS } from "./bends-proofs.ts";
import { SPEND_BENDS } from "./bends-spend.ts";
import { TOLD_BENDS } from "./bends-told.ts";
import { WORD_BENDS } from "./bends-words.ts";
import { type Draw, drawFrom, seedOf } from "./draw.ts";
import { HONEST } from "./honest.ts";
import { type Plan, PURPOSES, type Purpose } from "./plan.ts";

export const BENDS: Readonly<Record<string, Bend>> = {
  ...SPEND_BENDS,
  ...WORD_BENDS,
  ...LAW_BENDS,
  ...INTENT_BENDS,
  ...HISTORY_BENDS,
  ...PROOF_BENDS,
  ...TOLD_BENDS,
};

export interface Drawn {
  readonly plan: Plan;
  /** What the honest plan was for. */
  readonly purpose: Purpose;
  readonly bends: readonly string[];
}

/** The purposes that money takes every day come oftener. */
const OFTEN: readonly Purpose[] = [
  ...PURPOSES,
  "withdrawal",
  "withdrawal",
  "withdrawal",
  "migration",
  "collect",
  "collect",
  "top-up",
  "top-up",
  "consolidation",
];

/** Kinds, so that a hundred words of a PSBT do not crowd out the rest. */
const KINDS = [
  SPEND_BENDS,
  WORD_BENDS,
  LAW_BENDS,
  LAW_BENDS,
  INTENT_BENDS,
  HISTORY_BENDS,
  PROOF_BENDS,
  TOLD_BENDS,
].map((bends) => Object.keys(bends));
const BENDS_MAX = 4;
const TRIES = 12;

/** The case of a number; `without` leaves bends out by their place, to find those that matter. */
export function caseOf(seed: number, without: ReadonlySet<number> = new Set()): Drawn {
  const draw = drawFrom(seedOf(seed, 0));
  const purpose = draw.pick(OFTEN);
  const plan = HONEST[purpose](draw);
  // One bend is the commonest: two that refuse hide each other.
  const count = draw.pick([1, 1, 1, 2, 2, 3, BENDS_MAX]);
  const bends = Array.from({ length: count }, (_, i) =>
    without.has(i) ? null : bendOnce(plan, drawFrom(seedOf(seed, i + 1))),
  );
  return { plan, purpose, bends: bends.filter((name) => name !== null) };
}

/** Draws until a bend finds what it bends; null where none does. */
function bendOnce(plan: Plan, draw: Draw): string | null {
  for (let tries = 0; tries < TRIES; tries += 1) {
    const name = draw.pick(draw.pick(KINDS));
    if (BENDS[name]?.({ draw, plan }) === true) return name;
  }
  return null;
}
