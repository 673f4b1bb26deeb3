/**
 * An account's log: every change of its claim, hash-chained, so that a signer who remembers the claim
 * of an earlier statement can follow how it became the present one (architecture section 3). The
 * guardians check each entry on their own nodes; the signer checks that nothing is left out, and that no
 * deposit is an output which it signed itself as change or as a payment of the house (proven.ts).
 */
import { z } from "zod";
import { hex, taggedHash } from "../bitcoin/hash.ts";
import { signedDecimal, vaultId } from "./scalar.ts";
import type { Account } from "./statement.ts";
import { addSums, NOTHING_OWED, type Sums, TIERS } from "./sum-tree.ts";

/** A claim changes by these and by nothing else. */
const ENTRY_KINDS = ["deposit", "operation", "withdrawal", "fee"] as const;

const entrySchema = z.strictObject({
  kind: z.enum(ENTRY_KINDS),
  /** Outpoint of a deposit, hash of an operation's text, txid of a withdrawal, period of a fee. */
  reference: z.string().regex(/^[\x21-\x7e]{1,80}$/),
  /** What it adds to each tier, or takes. */
  hedgedCents: signedDecimal,
  poolMsats: signedDecimal,
  channelCents: signedDecimal,
  idleSats: signedDecimal,
});

export type LogEntry = z.output<typeof entrySchema>;

/** Entries since the claim that the signer remembers. */
export const logSchema = z.strictObject({
  vault: vaultId,
  entries: z.array(entrySchema).max(1_000),
});

export type LogDocument = z.output<typeof logSchema>;

/** What the first entry of a vault's log is chained to. */
export function logStart(vault: string): string {
  return hex(taggedHash("ballast/account-log@1", new TextEncoder().encode(vault)));
}

export function nextLogHead(before: string, entry: LogEntry): string {
  const text = [
    before,
    entry.kind,
    entry.reference,
    entry.hedgedCents,
    entry.poolMsats,
    entry.channelCents,
    entry.idleSats,
  ].join("\n");
  return hex(taggedHash("ballast/account-log-entry@1", new TextEncoder().encode(text)));
}

/** What a signer remembers of a vault's claim. */
export type Remembered = Pick<
  Account,
  "vault" | "hedgedCents" | "poolMsats" | "channelCents" | "idleSats" | "sequence" | "log"
>;

/**
 * Null when the entries lead from what is remembered to the account, or why they do not. An account
 * that is not remembered starts with nothing.
 */
export function unexplained(
  account: Account,
  {
    remembered,
    entries,
  }: { readonly remembered: Remembered | null; readonly entries: readonly LogEntry[] },
): string | null {
  const start = remembered ?? {
    ...{ hedgedCents: 0n, poolMsats: 0n, channelCents: 0n, idleSats: 0n },
    sequence: 0,
    log: logStart(account.vault),
  };
  if (account.sequence < start.sequence) {
    return `its entry ${account.sequence} is older than entry ${start.sequence}, which this signer remembers`;
  }
  const wanted = account.sequence - start.sequence;
  if (entries.length !== wanted) return `${entries.length} entries explain ${wanted} changes`;
  const head = entries.reduce(nextLogHead, start.log);
  if (head !== account.log) return "the entries do not lead to the head of its log";
  const sums = entries.reduce<Sums>(addSums, start);
  const wrong = TIERS.find((tier) => sums[tier] !== account[tier]);
  return wrong === undefined
    ? null
    : `its ${wrong} are ${account[wrong]}, the log explains ${sums[wrong]}`;
}

/** An entry as its log keeps it: with its place in the chain and the claim that it leads to. */
export interface KeptEntry extends LogEntry {
  /** From 1. */
  readonly sequence: number;
  readonly previous: string;
  readonly head: string;
  readonly claim: Sums;
}

export interface BrokenEntry {
  readonly sequence: number;
  readonly why: string;
}

/** The first entry that does not follow from those before it; null: all of the log does. */
export function brokenEntry(vault: string, entries: readonly KeptEntry[]): BrokenEntry | null {
  let before = { sequence: 0, head: logStart(vault), claim: NOTHING_OWED };
  for (const entry of entries) {
    const why = breach(before, entry);
    if (why !== null) return { sequence: entry.sequence, why };
    before = entry;
  }
  return null;
}

function breach(
  before: Pick<KeptEntry, "sequence" | "head" | "claim">,
  entry: KeptEntry,
): string | null {
  if (entry.sequence !== before.sequence + 1) return `it comes after entry ${before.sequence}`;
  if (entry.previous !== before.head) return "it is not chained to the entry before it";
  if (entry.head !== nextLogHead(before.head, entry)) return "its hash is not that of its content";
  const claim = addSums(before.claim, entry);
  const wrong = TIERS.find((tier) => claim[tier] !== entry.claim[tier]);
  if (wrong !== undefined) {
    return `its ${wrong} are ${entry.claim[wrong]}, the log makes ${claim[wrong]}`;
  }
  const below = TIERS.find((tier) => claim[tier] < 0n);
  if (below !== undefined) return `its ${below} are less than nothing`;
  return REFERENCES[entry.kind].test(entry.reference)
    ? null
    : `"${entry.reference}" is no reference of a ${entry.kind}`;
}

/** Outpoint, hash of an operation's text, txid, period. */
const REFERENCES: Readonly<Record<LogEntry["kind"], RegExp>> = {
  deposit: /^[0-9a-f]{64}:(?:0|[1-9][0-9]{0,9})$/,
  operation: /^[0-9a-f]{64}$/,
  withdrawal: /^[0-9a-f]{64}$/,
  fee: /^[\x21-\x7e]{1,80}$/,
};
