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
import type { Sums } from "./sum-tree.ts";

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

const TIERS = ["hedgedCents", "poolMsats", "channelCents", "idleSats"] as const;

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
  const sums = entries.reduce<Sums>(add, start);
  const wrong = TIERS.find((tier) => sums[tier] !== account[tier]);
  return wrong === undefined
    ? null
    : `its ${wrong} are ${account[wrong]}, the log explains ${sums[wrong]}`;
}

function add(sums: Sums, entry: LogEntry): Sums {
  return {
    hedgedCents: sums.hedgedCents + entry.hedgedCents,
    poolMsats: sums.poolMsats + entry.poolMsats,
    channelCents: sums.channelCents + entry.channelCents,
    idleSats: sums.idleSats + entry.idleSats,
  };
}
