/**
 * The tables; how they came to be, migrations.ts says. Each table has one file that writes it; others
 * read through that file. Money is in sats, times in milliseconds since 1970, hashes and ids in hex.
 */

import type { Generated } from "kysely";
import type { Part } from "../../policies/ceremony.ts";
import type { CeremonyState } from "../../policies/ceremony-events.ts";
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
  readonly webhook_endpoints: WebhookEndpointTable;
  readonly webhook_deliveries: WebhookDeliveryTable;
  readonly tokens: TokenTable;
  readonly proposals: ProposalTable;
  readonly answers: AnswerTable;
  readonly aliases: AliasTable;
  readonly service_addresses: ServiceAddressTable;
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

/** Every coin that ever paid a watched script. Written by spend/coins.ts. */
export interface CoinTable {
  readonly outpoint: string;
  readonly vault: string;
  readonly branch: bigint;
  readonly position: bigint;
  readonly sats: bigint;
  /** `change` is an output of a transaction that spends the same vault: never a deposit. */
  readonly kind: "deposit" | "change";
  /** `gone`: a reorg removed its block, and no block has it now. */
  readonly state: "seen" | "confirmed" | "gone";
  /** How often this coin was booked: part of the posting's content, so that a re-booking after a
   * reorg is another posting. */
  readonly bookings: bigint;
  readonly height: bigint | null;
  readonly spent_by: string | null;
  readonly spent_height: bigint | null;
  readonly reserved_by: string | null;
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

/** A booking. Written by accounts/book.ts, never changed. */
export interface PostingTable {
  /** Hash of the content: booking twice is once. */
  readonly id: string;
  readonly kind: string;
  readonly subject: string;
  readonly at: bigint;
}

/** The lines of a posting; they add up to zero in each currency. */
export interface EntryTable {
  readonly posting: string;
  readonly account: string;
  readonly currency: string;
  readonly amount: bigint;
}

/** Sums of the entries, kept in the same transaction. */
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

/** Who is told of events. Written by webhooks/endpoints.ts. */
export interface WebhookEndpointTable {
  /** Hash of its URL. */
  readonly id: string;
  readonly url: string;
  /** What its signatures are made with: in no answer and no log but the one answer that made it. */
  readonly secret: string;
  /** JSON arrays; null: all. */
  readonly kinds: string | null;
  readonly accounts: string | null;
  readonly disabled: bigint;
  /** The last event that was queued for it, or that it does not want. */
  readonly cursor: bigint;
  /** Attempts that failed in a row. */
  readonly failures: bigint;
  /** Nothing is sent before. */
  readonly resting_until: bigint;
  readonly created_at: bigint;
}

/** What each endpoint is told, and how that went. Written by webhooks/queue.ts. */
export interface WebhookDeliveryTable {
  readonly endpoint: string;
  readonly event: bigint;
  /** The event's account; empty for those of none. What is of one lane goes out in its order. */
  readonly lane: string;
  readonly state: "waiting" | "delivered" | "dead" | "dropped";
  /** How often it was taken up anew by a person. */
  readonly series: bigint;
  /** Attempts of this series, begun before they are made. */
  readonly attempts: bigint;
  /** When the first of them began. */
  readonly began_at: bigint | null;
  readonly retry_at: bigint;
  readonly ended_at: bigint | null;
  /** Of the last answer. */
  readonly status: bigint | null;
  /** Why the last attempt failed; empty. */
  readonly reason: string;
}
