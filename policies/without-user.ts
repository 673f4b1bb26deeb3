/**
 * Spends of a user's coins without the user's signature (architecture section 3): each purpose that
 * may, on its own evidence, and the bump of what the user has signed, within the mandate's cap.
 */
import { fixedHash } from "./claim.ts";
import type { Standing } from "./evidence/standing.ts";
import type { SpendFacts } from "./facts.ts";
import { needsUser, purposesOf, userSigned } from "./purpose.ts";
import { type Case, heightOf } from "./rules/rule.ts";

/** Whether LSP and trustee may go on without the user's signature on this very transaction. */
export function goesWithoutUser(spend: Case): boolean {
  const { facts, intent, evidence } = spend;
  // A label that the facts do not bear out frees nobody from asking the user.
  if (!purposesOf({ facts, evidence }).includes(intent.purpose)) return false;
  return !needsUser(intent.purpose) || bumpedUnderMandate(spend);
}

/** Whether a mandate is in force at a height. */
export function isLive(standing: Standing | undefined, height: number): boolean {
  const held = standing?.mandate ?? null;
  return (
    held !== null &&
    held.mandate.until >= height &&
    held.mandate.until - held.height <= MANDATE_BLOCKS_MAX
  );
}

/** A mandate reaches at most so many blocks ahead of the height at which it was heard. */
const MANDATE_BLOCKS_MAX = 26_000;

/**
 * The original carries the user's signature on every coin; the bump spends the same coins, pays the
 * same to the same, and raises the fee by no more than the mandate says.
 */
function bumpedUnderMandate(spend: Case): boolean {
  const { facts, intent, evidence, history, policy } = spend;
  const { original } = evidence;
  if (original === null || intent.purpose !== "withdrawal" || policy.bumps === 0) return false;
  const held = history.standings.get(intent.vault);
  if (!isLive(held, heightOf(spend)) || held === undefined || held.mandate === null) return false;
  return (
    userSigned(original) &&
    stillStands(original, spend) &&
    sameCoins(facts, original) &&
    fixedHash(facts) === fixedHash(original) &&
    sameScripts(facts, original) &&
    raise(facts, original) > 0n &&
    raise(facts, original) <= held.mandate.mandate.bump
  );
}

/**
 * What the user signed too long ago is refused for good (invariant 4), and no bump brings it back:
 * the user may have paid otherwise meanwhile. What this signer has signed in its time may be bumped.
 */
function stillStands({ txid, locktime }: SpendFacts, spend: Case): boolean {
  const { intent, history, policy } = spend;
  const height = heightOf(spend);
  const recent =
    locktime >= height - policy.locktimePastBlocks &&
    locktime <= height + policy.locktimeFutureBlocks;
  return (
    recent || history.related.some((claim) => claim.intent === intent.id && claim.txid === txid)
  );
}

function sameCoins(a: SpendFacts, b: SpendFacts): boolean {
  const coins = ({ inputs }: SpendFacts) => inputs.map(({ outpoint }) => outpoint).sort();
  return String(coins(a)) === String(coins(b));
}

/** The change may be lower, and nothing else may differ: no output comes or goes. */
function sameScripts(a: SpendFacts, b: SpendFacts): boolean {
  const scripts = ({ outputs }: SpendFacts) => outputs.map(({ script }) => String(script)).sort();
  return String(scripts(a)) === String(scripts(b));
}

function raise(bump: SpendFacts, original: SpendFacts): bigint {
  return bump.feeSats === null || original.feeSats === null ? 0n : bump.feeSats - original.feeSats;
}
