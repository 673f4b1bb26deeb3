/** The book, what accounts are owed and what coins are worth, and prices. */
import type { Generated } from "kysely";
import type { LogEntry } from "../../policies/evidence/account-log.ts";

/** A booking. Written by book/postings.ts behind its lines, never changed. */
export interface PostingTable {
  /** Hash of the content: booking twice is once. */
  readonly id: string;
  readonly kind: string;
  /** What correlates postings: an outpoint, an intent, a posting. One of each kind. */
  readonly subject: string;
  /** The posting that this one takes back; each is taken back once at most. */
  readonly reverses: string | null;
  readonly at: bigint;
}

/** The lines of a posting; they add up to zero in each currency. */
export interface EntryTable {
  readonly posting: string;
  readonly account: string;
  readonly currency: string;
  readonly amount: bigint;
}

/** Sums of the entries, kept by the database itself. */
export interface BalanceTable {
  readonly account: string;
  readonly currency: string;
  readonly amount: bigint;
}

/** Prices that were trusted, and jumps that were not. Written by prices/history.ts, never changed. */
export interface PriceTable {
  readonly sequence: Generated<bigint>;
  /** ISO 4217, or XAU. */
  readonly currency: string;
  readonly at: bigint;
  readonly kind: "accepted" | "quarantined";
  /** Cents per BTC. */
  readonly price: bigint;
  /** Names of the sources that agreed, as JSON. */
  readonly sources: string;
}

/** Every change of what an account is owed, chained by hash. Written by accounts/claims.ts, never changed. */
export interface ClaimTable {
  /** Whose log it is: claims are proven to signers by vault. */
  readonly vault: string;
  /** From 1. */
  readonly sequence: bigint;
  readonly account: string;
  readonly kind: LogEntry["kind"];
  readonly reference: string;
  /** The booking that caused it. */
  readonly posting: string;
  /** What it adds to each tier, or takes. */
  readonly hedged_cents: bigint;
  readonly pool_msats: bigint;
  readonly channel_cents: bigint;
  readonly idle_sats: bigint;
  readonly previous: string;
  readonly head: string;
  /** The claim from here on. */
  readonly claim_hedged_cents: bigint;
  readonly claim_pool_msats: bigint;
  readonly claim_channel_cents: bigint;
  readonly claim_idle_sats: bigint;
  readonly at: bigint;
}

/** What each coin was given as its value in dollars. Written by accounts/stable.ts; only state and
 * spender change. */
export interface StableCoinTable {
  readonly outpoint: string;
  /** The booking of the coin that it rests on: after a reorganisation it is given another. */
  readonly turn: bigint;
  readonly account: string;
  readonly origin: "deposit" | "change";
  /**
   * `idle`: it stays in sats, for good. `loose`: it was spent before its value was known, which is
   * the account's as a whole.
   */
  readonly state: "idle" | "held" | "loose" | "spent" | "reversed";
  /** What became dollars of it. */
  readonly sats: bigint;
  readonly currency: string;
  readonly cents: bigint;
  /** Cents per BTC; null for change, which was given no price, and for what stays idle. */
  readonly price: bigint | null;
  /** Names of the sources that agreed, joined by commas. */
  readonly sources: string;
  readonly price_at: bigint | null;
  /** The transaction that spent it. */
  readonly spent_by: string | null;
  readonly at: bigint;
}

/** How the values came and went. Written by accounts/stable.ts, never changed. */
export interface StableHistoryTable {
  readonly sequence: Generated<bigint>;
  readonly account: string;
  readonly kind: "deposit" | "withdrawal" | "withdrawal-change" | "adjustment" | "reorg";
  /** What belongs together and is taken back together: outpoint or intent, and turn. */
  readonly reference: string;
  /** Null: it is of the account as a whole. */
  readonly outpoint: string | null;
  readonly sats: bigint;
  readonly currency: string;
  readonly cents: bigint;
  readonly reverses: bigint | null;
  readonly at: bigint;
}
