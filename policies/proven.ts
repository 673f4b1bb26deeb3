/** What the evidence of a spend comes to, for the rules that reckon with it. */
import { isOutpoint } from "./bitcoin/transaction.ts";
import { unexplained } from "./evidence/account-log.ts";
import type { Account } from "./evidence/statement.ts";
import { flowsOf, gainOf } from "./flows.ts";
import type { LastAccount } from "./history.ts";
import { greater, lesser, type Price, satsOfCentsCeil, satsOfCentsFloor } from "./money.ts";
import { needsUser } from "./purpose.ts";
import type { Case } from "./rules/rule.ts";
import { chargesOf, drawnAccount, drawsOnClaim } from "./velocity.ts";

/** What decides which proofs a spend needs: no history, no chain. */
type Asked = Pick<Case, "facts" | "intent" | "policy">;

/** What a spend has to prove. */
export interface Wanted {
  readonly price: boolean;
  readonly statement: boolean;
  /** Vaults whose accounts are proven. */
  readonly accounts: readonly string[];
}

const NOTHING: Wanted = { price: false, statement: false, accounts: [] };

export function wantedOf(spend: Asked): Wanted {
  const { facts, intent, policy } = spend;
  // The user signs for coins of their own, and sees the price beside a source of their own.
  if (policy.role === "user") return NOTHING;
  const users = flowsOf(facts).vaults.filter(({ kind }) => kind === "user");
  const all = users.map(({ vault }) => vault);
  switch (intent.purpose) {
    case "collect":
    case "top-up":
      return { price: true, statement: true, accounts: all };
    case "escrow-out":
      return { price: users.length > 0, statement: true, accounts: all };
    case "margin":
      return { ...NOTHING, statement: true };
    case "withdrawal":
    case "channel-open":
    case "escrow-in":
      return claimWanted(spend) ? { price: true, statement: true, accounts: all } : NOTHING;
    default:
      return NOTHING;
  }
}

/** Above a small tier, who pays out of a vault shows that the claim covers it. */
function claimWanted(spend: Asked): boolean {
  const { policy, intent } = spend;
  if (policy.guardians === null || drawnBy(spend).length === 0) return false;
  const tier = policy.purposes[intent.purpose]?.noProofSats ?? 0n;
  return drawnBy(spend).some(({ sats }) => sats > tier);
}

/** What this spend draws on the claim of each user's vault. */
export function drawnBy({
  facts,
  intent,
}: Pick<Asked, "facts" | "intent">): readonly { vault: string; sats: bigint }[] {
  if (!drawsOnClaim(intent.purpose)) return [];
  const charges = new Map(chargesOf(facts, intent).map(({ account, sats }) => [account, sats]));
  return flowsOf(facts).vaults.flatMap(({ vault, kind, inputs }) => {
    const sats = charges.get(drawnAccount(vault));
    return kind === "user" && inputs > 0 && sats !== undefined ? [{ vault, sats }] : [];
  });
}

/** Whether LSP and trustee act on their own word: their own organisation's guardian must agree. */
export function actsAlone({ intent, policy }: Pick<Asked, "intent" | "policy">): boolean {
  return policy.role !== "user" && !needsUser(intent.purpose);
}

/** Lowest and highest price of the accepted votes. */
export interface Prices {
  readonly lowest: Price;
  readonly highest: Price;
}

/** Votes that count: signed by guardians, for the turn that the intent names, and young. */
export function countedVotes({ evidence, intent, history, policy }: Case) {
  const youngest = Math.floor(history.now / 1000);
  const age = policy.guardians?.voteAgeSeconds ?? 0;
  return evidence.votes.filter(
    ({ fault, pool, index, time }) =>
      fault === null &&
      pool === policy.guardians?.pool &&
      `${pool}/${index}` === intent.cycle &&
      time >= youngest - age &&
      time <= youngest + age,
  );
}

/** Null where too few votes count; the rule votes-agree says why. */
export function pricesOf(spend: Case): Prices | null {
  const prices = countedVotes(spend).map(({ price }) => price);
  const [first] = prices;
  if (first === undefined || prices.length < (spend.policy.guardians?.threshold ?? 0)) return null;
  return {
    lowest: prices.reduce((least, price) => lesser(least, price), first),
    highest: prices.reduce((most, price) => greater(most, price), first),
  };
}

export function accountIn({ evidence }: Pick<Case, "evidence">, vault: string): Account | null {
  return evidence.statement?.accounts.find((account) => account.vault === vault) ?? null;
}

/** The accounts that a spend rests on: what its signer remembers of them from now on. */
export function accountsUsed(spend: Asked & Pick<Case, "evidence">): readonly LastAccount[] {
  const { evidence, intent } = spend;
  const index = evidence.statement?.header.index ?? 0;
  const used = actsAlone(spend) ? { index, intent: intent.id } : null;
  return wantedOf(spend).accounts.flatMap((vault) => {
    const account = accountIn(spend, vault);
    return account === null ? [] : [{ account, used }];
  });
}

/** Vaults whose coins the signer's node is asked for. */
export function watchedVaults(spend: Asked): readonly string[] {
  const { facts, intent, policy } = spend;
  if (policy.role === "user") return [];
  switch (intent.purpose) {
    case "collect":
    case "top-up":
      return wantedOf(spend).accounts;
    case "escrow-out":
      return flowsOf(facts).vaults.flatMap(({ vault, kind }) => (kind === "treasury" ? [] : vault));
    default:
      return [];
  }
}

/** Why the log does not lead to an account, or credits what is no deposit; null where all is well. */
export function unexplainedAccount(spend: Case, account: Account): string | null {
  const { evidence, history } = spend;
  const remembered = history.accounts.get(account.vault)?.account ?? null;
  const entries = evidence.logs.find(({ vault }) => vault === account.vault)?.entries ?? [];
  const reason = unexplained(account, { remembered, entries });
  if (reason !== null) return reason;
  for (const { kind, reference } of entries) {
    if (kind !== "deposit") continue;
    // In its one form, so that the same output is known however it is written.
    if (!isOutpoint(reference)) return `its log credits "${reference}", which is no outpoint`;
    if (history.noDeposits.has(reference))
      return `its log credits ${reference}, which is no deposit`;
  }
  return null;
}

/** The least that covers a claim's hedged and idle part, for who takes the rest away. */
export function claimSatsCeil({ hedgedCents, idleSats }: Account, price: Price): bigint {
  return satsOfCentsCeil(hedgedCents, price) + idleSats;
}

/** The most that a claim's hedged and idle part comes to, for who pays it out or tops it up. */
export function claimSatsFloor({ hedgedCents, idleSats }: Account, price: Price): bigint {
  return satsOfCentsFloor(hedgedCents, price) + idleSats;
}

/** Users' vaults that gain by a spend, and how much. */
export function gainingUsers({ facts }: Case): readonly { vault: string; sats: bigint }[] {
  return flowsOf(facts).vaults.flatMap((flow) =>
    flow.kind === "user" && gainOf(flow) > 0n ? [{ vault: flow.vault, sats: gainOf(flow) }] : [],
  );
}

/**
 * What a vault has and will have without this spend: all coins that the signer's node knows, and what
 * other transactions that this signer has signed will still pay it. Null where the node does not
 * watch the vault. Of an intent with several transactions only one can confirm. What came after the
 * statement's block and is gone again counts as still coming: the statement knows of no payment out
 * of it, and this signer may not have been asked for one.
 */
export function vaultSats(spend: Case, vault: string): bigint | null {
  const { history, chain, intent } = spend;
  const coins = chain?.vaults.get(vault);
  if (chain === null || coins === undefined) return null;
  const own = new Set(
    history.related.flatMap((claim) => (claim.intent === intent.id ? claim.txid : [])),
  );
  const there = coins.filter(({ outpoint }) => !own.has(outpoint.slice(0, 64)));
  const known = new Set(there.map(({ outpoint }) => outpoint));
  const coming = new Map<string, bigint>();
  const arrived = new Set<string>();
  for (const { intent: id, outpoint, sats } of history.incoming.get(vault) ?? []) {
    if (known.has(outpoint) || knownToStatement(outpoint.slice(0, 64), spend)) arrived.add(id);
    coming.set(id, greater(sats, coming.get(id) ?? 0n));
  }
  const expected = [...coming].filter(([id]) => !arrived.has(id));
  return [...there.map(({ sats }) => sats), ...expected.map(([, sats]) => sats)].reduce(
    (sum, sats) => sum + sats,
    0n,
  );
}

/** Whether a transaction stands in the statement's block or below, by the signer's own node. */
function knownToStatement(txid: string, { evidence, chain }: Case): boolean {
  const depth = chain?.burials.get(txid)?.depth;
  if (chain === null || depth === undefined || evidence.statement === null) return false;
  return chain.height - depth + 1 <= evidence.statement.header.height;
}
