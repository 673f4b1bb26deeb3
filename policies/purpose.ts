/** What a spend is for, derived from what it does; a label may lie. */
import type { SpendFacts } from "./facts.ts";
import type { Purpose } from "./intent.ts";

/**
 * The purpose that the facts show; null when they fit none. A withdrawal: all coins of one user
 * vault, and something leaves it.
 */
export function purposeOf(facts: SpendFacts): Purpose | null {
  const vaults = new Set(facts.inputs.map(({ coin }) => coin?.vault ?? null));
  const [vault] = vaults;
  if (vaults.size !== 1 || vault === null) return null;
  if (facts.inputs.some(({ coin }) => coin?.kind !== "user")) return null;
  return facts.outputs.some(({ coin }) => coin === null) ? "withdrawal" : null;
}

/** What a spend takes out of a window: everything that does not come back, the fee too. */
export function chargeOf(facts: SpendFacts): bigint {
  return facts.externalSats + (facts.feeSats !== null && facts.feeSats > 0n ? facts.feeSats : 0n);
}
