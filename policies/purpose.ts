/** What a spend is for, derived from what it does; a label may lie. */
import type { SpendFacts } from "./facts.ts";
import type { Purpose } from "./intent.ts";

/**
 * The purpose that the facts show; null when they fit none. All coins of one user vault, and
 * something leaves all vaults: a withdrawal. Everything goes to one other user vault: a migration.
 */
export function purposeOf(facts: SpendFacts): Purpose | null {
  const vaults = new Set(facts.inputs.map(({ coin }) => coin?.vault ?? null));
  const [vault] = vaults;
  if (vaults.size !== 1 || vault === null) return null;
  if (facts.inputs.some(({ coin }) => coin?.kind !== "user")) return null;
  if (facts.outputs.some(({ coin }) => coin === null)) return "withdrawal";
  const [to, ...others] = new Set(facts.outputs.map(({ coin }) => coin?.vault ?? null));
  const users = facts.outputs.every(({ coin }) => coin?.kind === "user");
  return users && to !== undefined && to !== vault && others.length === 0 ? "migration" : null;
}

/** What leaves the vaults that are spent from, to whom ever: all other outputs are change. */
export function movedSats(facts: SpendFacts): bigint {
  const own = new Set(facts.inputs.map(({ coin }) => coin?.vault));
  return facts.outputs.reduce(
    (sum, { coin, sats }) => (coin === null || !own.has(coin.vault) ? sum + sats : sum),
    0n,
  );
}

/** What a spend takes out of a window: everything that does not come back, the fee too. */
export function chargeOf(facts: SpendFacts): bigint {
  return movedSats(facts) + (facts.feeSats !== null && facts.feeSats > 0n ? facts.feeSats : 0n);
}
