/**
 * The tables; how they came to be, migrations.ts says. Each table has one file that writes it; others
 * read through that file. Money is in sats, times in milliseconds since 1970, hashes and ids in hex.
 */
import type { Generated } from "kysely";
import type { Purpose } from "../../policies/intent.ts";
import type {
  BalanceTable,
  ClaimTable,
  EntryTable,
  PostingTable,
  PriceTable,
  StableCoinTable,
  StableHistoryTable,
} from "./schema-book.ts";
import type {
  CeremonyEventTable,
  CeremonyParticipantTable,
  CeremonyTable,
  NoticeTable,
  StationTable,
} from "./schema-ceremony.ts";
import type {
  AliasTable,
  AnswerTable,
  ProposalTable,
  ServiceAddressTable,
  TokenTable,
} from "./schema-doors.ts";
import type {
  EventTable,
  LeaseTable,
  WebhookDeliveryTable,
  WebhookEndpointTable,
} from "./schema-told.ts";

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
  readonly webhook_endpoints: WebhookEndpointTable;
  readonly webhook_deliveries: WebhookDeliveryTable;
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
