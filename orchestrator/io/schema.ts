/**
 * The tables; how they came to be, migrations.ts says. Each table has one file that writes it; others
 * read through that file. Money is in sats, times in milliseconds since 1970, hashes and ids in hex.
 */

import type { Generated } from "kysely";
import type { Part } from "../../policies/ceremony.ts";
import type { CeremonyState } from "../../policies/ceremony-events.ts";
import type { LogEntry } from "../../policies/evidence/account-log.ts";
import type { NoticeKind } from "../../policies/evidence/notice.ts";
import type { Purpose } from "../../policies/intent.ts";

export interface Schema {
  readonly accounts: AccountTable;
  readonly vaults: VaultTable;
  readonly rotations: RotationTable;
  readonly scripts: ScriptTable;
  readonly blocks: BlockTable;
  readonly coins: CoinTable;
  readonly intents: IntentTable;
  readonly intent_events: IntentEventTable;
  readonly postings: PostingTable;
  readonly entries: EntryTable;
  readonly balances: BalanceTable;
  readonly stations: StationTable;
  readonly ceremonies: CeremonyTable;
  readonly ceremony_participants: CeremonyParticipantTable;
  readonly ceremony_events: CeremonyEventTable;
  readonly notices: NoticeTable;
  readonly events: EventTable;
  readonly prices: PriceTable;
  readonly claims: ClaimTable;
  readonly stable_coins: StableCoinTable;
  readonly stable_history: StableHistoryTable;
  readonly freezes: FreezeTable;
  readonly script_runs: ScriptRunTable;
  readonly rescans: RescanTable;
  readonly tokens: TokenTable;
  readonly proposals: ProposalTable;
  readonly answers: AnswerTable;
  readonly aliases: AliasTable;
  readonly service_addresses: ServiceAddressTable;
  readonly leases: LeaseTable;
}

/** A person's account. Written by accounts/accounts.ts. */
export interface AccountTable {
  /** Hash of network and user key: registering again is the same account. */
  readonly id: string;
  readonly name: string;
  readonly user_key: string;
  readonly trustee_key: string;
  readonly lsp_key: string;
  readonly state: "begun" | "open";
  /** The vault that the account is to have, as `ballast/vault@1` in JSON. */
  readonly document: string;
  /** By role, in JSON, once all holders have proven possession; null before. */
  readonly proofs: string | null;
  /** 1: what arrives gets its value in dollars; 0: it stays in sats. */
  readonly stabilise: Generated<bigint>;
  readonly created_at: bigint;
}

/** Vaults that the LSP's signer has registered. Written by accounts/vaults.ts. */
export interface VaultTable {
  readonly id: string;
  readonly account: string;
  readonly document: string;
  /** By role, in JSON: every other signer asks for them. */
  readonly proofs: string | null;
  /**
   * Of the account's vaults, from 0: the highest is in use, the others are watched. Below 0: of a
   * recovery that has got no coins yet.
   */
  readonly number: bigint;
  /** The timelock after which its user leaves alone; null for a vault without an exit. */
  readonly exit_blocks: bigint | null;
}

/** Newer vaults of an account, and those of recoveries (numbered from -1 down), begun and opened. Written by accounts/rotation.ts. */
export interface RotationTable {
  readonly account: string;
  readonly number: bigint;
  readonly user_key: string;
  readonly trustee_key: string;
  /** The vault that the account is to have, as `ballast/vault@1` in JSON. */
  readonly document: string;
  /** By role, in JSON, once all holders have proven possession; null before. */
  readonly proofs: string | null;
  readonly created_at: bigint;
}

/** Scripts that are watched. Written by accounts/scripts.ts. */
export interface ScriptTable {
  readonly script: string;
  readonly vault: string;
  readonly branch: bigint;
  readonly position: bigint;
}

/** Blocks that were scanned, newest last; a reorg removes from the end. Written by spend/deposits.ts. */
export interface BlockTable {
  readonly height: bigint;
  readonly hash: string;
}

/** Every coin that ever paid a watched script. Written by spend/coins.ts and spend/unmined.ts. */
export interface CoinTable {
  readonly outpoint: string;
  readonly vault: string;
  readonly branch: bigint;
  readonly position: bigint;
  readonly sats: bigint;
  /** `change` is an output of a transaction that spends a vault of the account, or of the house. */
  readonly kind: "deposit" | "change";
  /**
   * Who paid:
   * - `external`: somebody, to a receive address
   * - `unexpected`: somebody, to a change address, which nobody was given
   * - `service`: the house, from buried coins of its vaults alone
   * - `change`: the account itself
   */
  readonly origin: "external" | "service" | "change" | "unexpected";
  /**
   * - `mempool`: in no block yet, and it may never be
   * - `seen`: in a block
   * - `confirmed`: buried
   * - `gone`: neither the chain nor the mempool has it now
   */
  readonly state: "mempool" | "seen" | "confirmed" | "gone";
  /** 1: an earlier transaction has paid the same address. Known once it is in a block. */
  readonly reused: bigint;
  /** 1: a deposit below the least; it is not credited and not spent. */
  readonly dust: bigint;
  /** How often this coin was booked: part of the posting's content, so that a re-booking after a
   * reorg is another posting. */
  readonly bookings: bigint;
  readonly height: bigint | null;
  readonly spent_by: string | null;
  readonly spent_height: bigint | null;
  readonly reserved_by: string | null;
  /** When it was first seen, in mempool or block; 0 for those from before this was written down. */
  readonly seen_at: bigint;
}

/**
 * Credits that a reorganisation has taken back: their accounts are frozen. Written by
 * accounts/freezes.ts.
 */
export interface FreezeTable {
  readonly outpoint: string;
  readonly account: string;
  /** Which booking of the coin was taken back. */
  readonly turn: bigint;
  readonly at: bigint;
}

/** Rows of `scripts` in the order in which they came. Written by accounts/scripts.ts. */
export interface ScriptRunTable {
  readonly sequence: Generated<bigint>;
  readonly vault: string;
  readonly branch: bigint;
  readonly first: bigint;
  readonly last: bigint;
}

/** From where blocks are to be looked through once more; one row at most. Written by spend/rescan.ts. */
export interface RescanTable {
  readonly name: string;
  readonly next: bigint;
}

export const INTENT_STATES = [
  "raised",
  "built",
  "user-signed",
  "lsp-signed",
  "held",
  "signed",
  "broadcast",
  "confirmed",
  "refused",
  "cancelled",
  "conflicted",
] as const;
export type IntentState = (typeof INTENT_STATES)[number];

/** Spends asked for. Written by spend/intents.ts. */
export interface IntentTable {
  /** The intent's own id: the hash of its content. */
  readonly id: string;
  readonly account: string;
  readonly vault: string;
  readonly reference: string;
  /** As the document says. */
  readonly purpose: Purpose;
  /** `ballast/intent@1` in JSON. */
  readonly document: string;
  readonly state: IntentState;
  /** What leaves the vault, without the fee. */
  readonly sats: bigint;
  /** Millisats per virtual byte. */
  readonly fee_rate: bigint;
  readonly fee_sats: bigint | null;
  /** PSBT as built, without signatures. */
  readonly unsigned_psbt: Uint8Array | null;
  /** The same with all valid signatures so far. */
  readonly psbt: Uint8Array | null;
  readonly txid: string | null;
  readonly locktime: bigint | null;
  readonly change_position: bigint | null;
  /** Stored before it is sent. */
  readonly raw_tx: Uint8Array | null;
  /** `ballast/evidence@1` in JSON; null where nothing must be proven. */
  readonly evidence: string | null;
  /** What a signer or the builder objected to last, as `{rule, detail}[]` in JSON. */
  readonly violations: string;
  /** Rules that the LSP's signer asked, as JSON. */
  readonly rules: string;
  /** Not to be tried again before this time. */
  readonly retry_at: bigint;
  readonly attempts: bigint;
  readonly mined_height: bigint | null;
  readonly bookings: bigint;
  readonly released: bigint;
  readonly created_at: bigint;
}

/** Where an intent has been. Written by spend/intents.ts. */
export interface IntentEventTable {
  readonly intent: string;
  readonly sequence: bigint;
  readonly at: bigint;
  readonly state: IntentState;
  readonly detail: string;
}

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

/** What people use at home: a user's, or that of whoever takes part in ceremonies. Written by
 * ceremony/stations.ts. */
export interface StationTable {
  /** Hash of its key. */
  readonly id: string;
  readonly name: string;
  readonly role: "user" | Part;
  /** Whose; null for all but users. */
  readonly account: string | null;
  /** x-only, in hex: signs its events, and is no key of any vault. */
  readonly key: string;
  /** SHA-256 of its token, which is shown once; null: it is disabled. */
  readonly token_hash: string | null;
  readonly created_at: bigint;
}

/** Written by ceremony/ceremonies.ts, like the two that follow. */
export interface CeremonyTable {
  readonly id: string;
  readonly intent: string;
  /** `ballast/ceremony@1` in JSON. */
  readonly document: string;
  readonly state: CeremonyState;
  /** Of the next event: whoever appends moves it by compare-and-set. */
  readonly sequence: bigint;
  /** Hash of the last event. */
  readonly head: string;
  readonly closed: bigint;
  readonly created_at: bigint;
}

export interface CeremonyParticipantTable {
  readonly ceremony: string;
  readonly name: string;
  readonly role: Part;
  readonly key: string;
  /** Signature over the last head, once the transcript is closed. */
  readonly attestation: string | null;
}

/** The transcript, which only grows. */
export interface CeremonyEventTable {
  readonly ceremony: string;
  readonly sequence: bigint;
  readonly at: string;
  readonly by: string;
  readonly act: string;
  /** JSON. */
  readonly detail: string;
  readonly previous: string;
  readonly hash: string;
  readonly signature: string | null;
}

/** What users say outside of any spend. Written by ceremony/notices.ts. */
export interface NoticeTable {
  /** The order in which they were heard. */
  readonly sequence: Generated<bigint>;
  readonly vault: string;
  readonly kind: NoticeKind;
  readonly text: string;
  readonly signature: string;
  readonly at: bigint;
  /** Whether the LSP's signer has heard it, or has refused to. */
  readonly told: "waiting" | "heard" | "refused";
  /** Why not yet, or why not, in JSON. */
  readonly reasons: string;
  readonly retry_at: bigint;
  readonly attempts: bigint;
}

/** What happened, for whoever wants to be told. Written by accounts/events.ts, never changed. */
export interface EventTable {
  /** The order in which it was written. */
  readonly sequence: Generated<bigint>;
  /** The same each time it is looked at: told once. */
  readonly key: string;
  readonly kind: string;
  readonly account: string | null;
  /** JSON. */
  readonly data: string;
  readonly at: bigint;
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

export const SCOPES = ["user", "operator", "auditor", "machine"] as const;
export type Scope = (typeof SCOPES)[number];

/** Who may ask at the API. Written by doors/tokens.ts. */
export interface TokenTable {
  /** Hash of its name. */
  readonly id: string;
  readonly name: string;
  readonly scope: Scope;
  /** Whose; null for all but users. */
  readonly account: string | null;
  /** SHA-256 of the token, which is shown once. */
  readonly hash: string;
  /** Id of the token that asked for it. */
  readonly issued_by: string;
  readonly created_at: bigint;
  readonly expires_at: bigint;
  readonly disabled_at: bigint | null;
  /** To the hour. */
  readonly used_at: bigint | null;
}

/** What one operator wants and another must approve. Written by doors/proposals.ts. */
export interface ProposalTable {
  /** Hash of content and turn. */
  readonly id: string;
  /** Hash of method, path, body and proposer. */
  readonly content: string;
  /** How often the same was proposed before. */
  readonly turn: bigint;
  readonly method: string;
  readonly path: string;
  /** JSON. */
  readonly body: string;
  /** Ids of tokens, like `approver`. */
  readonly proposer: string;
  readonly created_at: bigint;
  readonly expires_at: bigint;
  /** `approved`: it is being done, or its process ended meanwhile. */
  readonly state: "waiting" | "approved" | "done" | "refused";
  readonly approver: string | null;
  /** HTTP's, of what came of it. */
  readonly status: bigint | null;
}

/** What was answered to requests with an Idempotency-Key. Written by doors/answers.ts. */
export interface AnswerTable {
  readonly token: string;
  readonly key: string;
  /** Hash of what was asked, decoded. */
  readonly fingerprint: string;
  readonly at: bigint;
  /** Null: it was asked, and nothing answered yet. */
  readonly status: bigint | null;
  readonly type: string | null;
  /** The answer, sealed under the token that asked. */
  readonly sealed: Uint8Array | null;
}

/** What others call an account. Written by accounts/aliases.ts. */
export interface AliasTable {
  readonly external_id: string;
  readonly account: string;
}

/** Addresses from which a user's own services pay. Written by accounts/service-addresses.ts. */
export interface ServiceAddressTable {
  readonly account: string;
  readonly address: string;
  readonly created_at: bigint;
}

/** Which process does what alone. Written by io/lease.ts. */
export interface LeaseTable {
  readonly name: string;
  readonly holder: string;
  /** Rises with each change of holder. */
  readonly token: bigint;
  readonly ends_at: bigint;
}
