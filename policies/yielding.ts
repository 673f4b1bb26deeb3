/**
 * When a coin that was signed away for one intent may be signed away for another (architecture,
 * invariant 2): never so that both transactions could confirm, and never by the asker's word alone.
 */
import type { Claim } from "./claim.ts";
import { needsUser, userSigned } from "./purpose.ts";
import type { Case } from "./rules/rule.ts";

/** Claims of other intents that share a coin with this spend, an intent a group. */
export function otherIntents(spend: Case): readonly (readonly Claim[])[] {
  const coins = new Set(spend.facts.inputs.map(({ outpoint }) => outpoint));
  return groupsOf(spend).filter((claims) =>
    claims.some(({ outpoints }) => outpoints.some((outpoint) => coins.has(outpoint))),
  );
}

/** Coins that other intents have been signed for, and whose transactions may still confirm. */
export function inFlight(spend: Case): ReadonlySet<string> {
  const alive = groupsOf(spend).filter((claims) => !buried(claims, spend));
  return new Set(alive.flat().flatMap(({ outpoints }) => outpoints));
}

/** The claims of other intents that bear on this spend, an intent a group. */
function groupsOf({ intent, history }: Case): readonly (readonly Claim[])[] {
  const groups = new Map<string, Claim[]>();
  for (const claim of history.related) {
    if (claim.intent === intent.id) continue;
    groups.set(claim.intent, [...(groups.get(claim.intent) ?? []), claim]);
  }
  return [...groups.values()];
}

/** Whether the other intent gives way: cancelled, superseded by the user, or dead on the chain. */
export function yields(claims: readonly Claim[], spend: Case): boolean {
  return cancelled(claims, spend) || superseded(claims, spend) || buried(claims, spend);
}

/** The intents whose coins this spend takes over. */
export function yieldedIntents(spend: Case): readonly string[] {
  return otherIntents(spend)
    .filter((claims) => yields(claims, spend))
    .flatMap(([first]) => first?.intent ?? []);
}

/** A cancel spends the anchor of what it takes back; the rule cancel-takes-back sees to that. */
function cancelled([first]: readonly Claim[], { intent }: Case): boolean {
  return intent.purpose === "cancel" && first?.intent === intent.cancels;
}

/**
 * What the user has signed goes before what was signed without the user, if it spends a coin that
 * every transaction of the other intent spends: at most one of them all can confirm.
 */
function superseded(claims: readonly Claim[], { facts, intent }: Case): boolean {
  if (!needsUser(intent.purpose) || !userSigned(facts)) return false;
  if (claims.some((claim) => claim.userSigned)) return false;
  const coins = new Set(facts.inputs.map(({ outpoint }) => outpoint));
  return commonCoins(claims).some((outpoint) => coins.has(outpoint));
}

/** A coin that every transaction of the intent spends is spent by a transaction buried deep. */
function buried(claims: readonly Claim[], { chain, policy, facts }: Case): boolean {
  if (chain === null) return false;
  const common = new Set(commonCoins(claims));
  const coins = new Set(facts.inputs.map(({ outpoint }) => outpoint));
  return [...chain.burials.values()].some(
    ({ depth, spends }) =>
      depth >= policy.burial &&
      spends.some((outpoint) => common.has(outpoint)) &&
      !spends.some((outpoint) => coins.has(outpoint)),
  );
}

function commonCoins([first, ...rest]: readonly Claim[]): readonly string[] {
  return (first?.outpoints ?? []).filter((outpoint) =>
    rest.every(({ outpoints }) => outpoints.includes(outpoint)),
  );
}
