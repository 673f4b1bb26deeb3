/** What a spend is for, derived from what it does; a label may lie. */
import type { EvidenceFacts } from "./evidence.ts";
import type { SpendFacts } from "./facts.ts";
import { flowsOf, type VaultFlow } from "./flows.ts";
import type { Purpose } from "./intent.ts";
import type { Role, VaultKind } from "./vault.ts";

/** What the shape of a spend is read from. */
export interface Shape {
  readonly facts: SpendFacts;
  readonly evidence: EvidenceFacts;
}

/**
 * The purposes that the facts show. Where one shape serves two (a migration and the recovery of a lost
 * user both move all coins to another vault), the label picks, and each must prove all of its own.
 */
export function purposesOf({ facts, evidence }: Shape): readonly Purpose[] {
  const [first] = facts.inputs;
  if (first === undefined) return NONE;
  if (first.outpoint === evidence.reserves?.outpoint) return RESERVES;
  const flows = flowsOf(facts);
  if (flows.foreign) return NONE;
  const from = flows.vaults.filter(({ inputs }) => inputs > 0);
  const to = flows.vaults.filter(({ inputs, outSats }) => inputs === 0 && outSats > 0n);
  const pays = facts.outputs.some(({ coin }) => coin === null);
  if (!pays && to.length === 0) return staying(from, evidence);
  return moving({ from, to, pays }, evidence);
}

interface Parts {
  /** Vaults whose coins are spent, and those that only gain. */
  readonly from: readonly VaultFlow[];
  readonly to: readonly VaultFlow[];
  readonly pays: boolean;
}

/** Everything returns to the vaults that it came from. */
function staying(from: readonly VaultFlow[], { original }: EvidenceFacts): readonly Purpose[] {
  if (original !== null) return CANCELS;
  if (kindsOf(from) === "treasury+user") return COLLECTS;
  if (from.length !== 1) return NONE;
  return from[0]?.kind === "user" ? UPKEEP : CONSOLIDATIONS;
}

function moving({ from, to, pays }: Parts, evidence: EvidenceFacts): readonly Purpose[] {
  if (from.length !== 1) return NONE;
  switch (kindsOf(from)) {
    case "user":
      return ofUser({ from, to, pays }, evidence);
    case "treasury":
      return ofTreasury({ to, pays });
    default:
      return !pays && (kindsOf(to) === "treasury" || oneUser(to)) ? UNLOCKS : NONE;
  }
}

/** "user", "treasury+user", … or nothing. */
function kindsOf(flows: readonly VaultFlow[]): string {
  return [...new Set(flows.map(({ kind }): VaultKind => kind))].sort().join("+");
}

function oneUser(to: readonly VaultFlow[]): boolean {
  return to.length === 1 && to[0]?.kind === "user";
}

/** All coins are of one user's vault. */
function ofUser({ from, to, pays }: Parts, { funding }: EvidenceFacts): readonly Purpose[] {
  const kinds = kindsOf(to);
  if (pays) {
    // What the vault holds beyond its claim may go to the treasury in the same transaction.
    if (kinds !== "" && kinds !== "treasury") return NONE;
    return funding === null ? WITHDRAWALS : CHANNELS;
  }
  if (kinds === "treasury") return COLLECTS;
  if (kinds === "escrow") return LOCKS;
  // Who moves to another vault takes all that is spent along.
  return oneUser(to) && from.every(({ outSats }) => outSats === 0n) ? MOVES : NONE;
}

/** All coins are of the treasury. */
function ofTreasury({ to, pays }: Omit<Parts, "from">): readonly Purpose[] {
  const kinds = kindsOf(to);
  if (pays) return kinds === "" ? MARGINS : NONE;
  if (kinds === "escrow") return LOCKS;
  return kinds === "user" ? TOP_UPS : NONE;
}

const NONE: readonly Purpose[] = [];
const RESERVES: readonly Purpose[] = ["proof-of-reserves"];
const CANCELS: readonly Purpose[] = ["cancel"];
const UPKEEP: readonly Purpose[] = ["refresh", "consolidation"];
const CONSOLIDATIONS: readonly Purpose[] = ["consolidation"];
const WITHDRAWALS: readonly Purpose[] = ["withdrawal", "recovery-lsp-gone"];
const CHANNELS: readonly Purpose[] = ["channel-open"];
const COLLECTS: readonly Purpose[] = ["collect"];
const LOCKS: readonly Purpose[] = ["escrow-in"];
const UNLOCKS: readonly Purpose[] = ["escrow-out"];
const MOVES: readonly Purpose[] = ["migration", "recovery-user-lost"];
const MARGINS: readonly Purpose[] = ["margin"];
const TOP_UPS: readonly Purpose[] = ["top-up"];

/** Purposes that need no signature of the user: each has evidence of its own. */
const WITHOUT_USER: ReadonlySet<Purpose> = new Set<Purpose>([
  "collect",
  "top-up",
  "refresh",
  "consolidation",
  "margin",
  "escrow-out",
  "cancel",
  "recovery-user-lost",
  "proof-of-reserves",
]);

/** Whether the user signs first: for every coin of a user, unless the purpose goes without. */
export function needsUser(purpose: Purpose): boolean {
  return !WITHOUT_USER.has(purpose);
}

/** Whether every coin of a user is validly signed for by the user, over this very transaction. */
export function userSigned({ inputs }: SpendFacts): boolean {
  const own = inputs.filter(({ coin }) => coin?.kind === "user");
  return (
    own.length > 0 &&
    own.every(({ signatures }) => signatures.some(({ role, valid }) => role === "user" && valid))
  );
}

/** Purposes in which nothing changes hands: their fee is no share of a payment. */
const STAYING: ReadonlySet<Purpose> = new Set<Purpose>([
  "refresh",
  "consolidation",
  "cancel",
  "proof-of-reserves",
]);

export function movesNothing(purpose: Purpose): boolean {
  return STAYING.has(purpose);
}

const ANY: readonly Role[] = ["user", "lsp", "trustee", "second-trustee"];
const HOUSE: readonly Role[] = ["lsp", "trustee", "second-trustee"];
/** Two trustees alone would not know of the withdrawals that the LSP's journal has. */
const BOTH: readonly Role[] = ["lsp", "trustee"];

/**
 * Who may sign for what (architecture section 3). User and trustee without the LSP are a recovery, so
 * the trustee's withdrawals are the small ones that its own policy limits.
 */
export const SIGNERS: Readonly<Record<Purpose, readonly Role[]>> = {
  withdrawal: ["user", "lsp", "trustee"],
  migration: ["user", "lsp"],
  collect: BOTH,
  "top-up": BOTH,
  refresh: BOTH,
  consolidation: ANY,
  margin: BOTH,
  "escrow-in": ["user", "lsp", "trustee"],
  "escrow-out": HOUSE,
  "channel-open": ["user", "lsp"],
  cancel: ANY,
  "recovery-lsp-gone": ["user", "trustee"],
  "recovery-user-lost": BOTH,
  "proof-of-reserves": ANY,
};
