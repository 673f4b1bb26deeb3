/**
 * The tables, and how they came to be. Each table has one file that writes it; others read through
 * that file. Money is in sats, times in milliseconds since 1970, hashes and ids in hex.
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

const FIRST = `
create table meta (name text primary key, value text not null) strict;

create table accounts (
  id text primary key,
  name text not null,
  user_key text not null unique,
  trustee_key text not null,
  lsp_key text not null,
  state text not null check (state in ('begun', 'open')),
  document text not null,
  proofs text,
  created_at integer not null
) strict;

create table vaults (
  id text primary key,
  account text not null references accounts (id),
  document text not null
) strict;
create index vaults_account on vaults (account);

-- Looked up once for every Taproot output of every block: the script is the key.
create table scripts (
  script text primary key,
  vault text not null references vaults (id),
  branch integer not null,
  position integer not null,
  unique (vault, branch, position)
) strict, without rowid;

create table blocks (height integer primary key, hash text not null) strict;

create table intents (
  id text primary key,
  account text not null references accounts (id),
  vault text not null references vaults (id),
  reference text not null,
  document text not null,
  state text not null check (state in ('raised', 'built', 'user-signed', 'held', 'signed',
    'broadcast', 'confirmed', 'refused', 'cancelled', 'conflicted')),
  sats integer not null check (sats > 0),
  fee_rate integer not null check (fee_rate >= 0),
  fee_sats integer check (fee_sats >= 0),
  unsigned_psbt blob,
  psbt blob,
  txid text,
  locktime integer,
  change_position integer,
  raw_tx blob,
  violations text not null,
  rules text not null,
  retry_at integer not null,
  attempts integer not null,
  mined_height integer,
  bookings integer not null,
  released integer not null check (released in (0, 1)),
  created_at integer not null,
  -- One number, one withdrawal: a number used again with other content is a mistake.
  unique (account, reference)
) strict;
create index intents_state on intents (state, retry_at);

create table intent_events (
  intent text not null references intents (id),
  sequence integer not null,
  at integer not null,
  state text not null,
  detail text not null,
  primary key (intent, sequence)
) strict, without rowid;

create table coins (
  outpoint text primary key,
  vault text not null references vaults (id),
  branch integer not null,
  position integer not null,
  sats integer not null check (sats >= 0),
  kind text not null check (kind in ('deposit', 'change')),
  state text not null check (state in ('seen', 'confirmed', 'gone')),
  bookings integer not null,
  height integer,
  spent_by text,
  spent_height integer,
  reserved_by text references intents (id),
  check ((state = 'gone') = (height is null)),
  check ((spent_by is null) = (spent_height is null))
) strict;
create index coins_vault on coins (vault, spent_by);
create index coins_height on coins (height);
create index coins_spent_height on coins (spent_height);
create index coins_reserved on coins (reserved_by);
create index coins_state on coins (state, height);

create table postings (
  id text primary key,
  kind text not null,
  subject text not null,
  at integer not null
) strict;

create table entries (
  posting text not null references postings (id),
  account text not null,
  currency text not null,
  amount integer not null check (amount <> 0),
  primary key (posting, account, currency)
) strict, without rowid;
create index entries_account on entries (account, currency);

create table balances (
  account text not null,
  currency text not null,
  amount integer not null,
  primary key (account, currency)
) strict, without rowid;

-- What was booked stays: a mistake is mended by another posting.
create trigger postings_stay before update on postings begin select raise(abort, 'postings stay'); end;
create trigger postings_remain before delete on postings begin select raise(abort, 'postings stay'); end;
create trigger entries_stay before update on entries begin select raise(abort, 'entries stay'); end;
create trigger entries_remain before delete on entries begin select raise(abort, 'entries stay'); end;
`;

const CEREMONIES = `
alter table intents add column purpose text not null default 'withdrawal';

alter table vaults add column proofs text;
update vaults set proofs = (select proofs from accounts where accounts.id = vaults.account);

create table stations (
  id text primary key,
  name text not null unique,
  role text not null check (role in ('user', 'initiator', 'verifier', 'trustee', 'second-trustee',
    'witness')),
  account text references accounts (id),
  key text not null unique,
  token_hash text unique,
  created_at integer not null,
  check ((role = 'user') = (account is not null))
) strict;

create table ceremonies (
  id text primary key,
  intent text not null references intents (id),
  document text not null,
  state text not null check (state in ('open', 'approved', 'complete', 'declined', 'expired',
    'superseded')),
  sequence integer not null,
  head text not null,
  closed integer not null check (closed in (0, 1)),
  created_at integer not null
) strict;
-- One spend, one ceremony at a time.
create unique index ceremonies_live on ceremonies (intent) where state in ('open', 'approved');
create index ceremonies_closed on ceremonies (closed, created_at);

create table ceremony_participants (
  ceremony text not null references ceremonies (id),
  name text not null,
  role text not null,
  key text not null,
  attestation text,
  primary key (ceremony, name)
) strict, without rowid;
create index ceremony_participants_key on ceremony_participants (key);

create table ceremony_events (
  ceremony text not null references ceremonies (id),
  sequence integer not null,
  at text not null,
  by text not null,
  act text not null,
  detail text not null,
  previous text not null,
  hash text not null,
  signature text,
  primary key (ceremony, sequence)
) strict, without rowid;
create trigger ceremony_events_stay before update on ceremony_events
  begin select raise(abort, 'transcripts stay'); end;
create trigger ceremony_events_remain before delete on ceremony_events
  begin select raise(abort, 'transcripts stay'); end;

create table notices (
  sequence integer primary key,
  vault text not null references vaults (id),
  kind text not null,
  text text not null unique,
  signature text not null,
  at integer not null,
  told text not null check (told in ('waiting', 'heard', 'refused')),
  reasons text not null,
  retry_at integer not null,
  attempts integer not null
) strict;
create index notices_told on notices (told, retry_at);
create index notices_vault on notices (vault, sequence);
`;

const ROTATIONS = `
alter table vaults add column number integer not null default 0;
create unique index vaults_number on vaults (account, number);

create table rotations (
  account text not null references accounts (id),
  number integer not null,
  user_key text not null,
  trustee_key text not null,
  document text not null,
  proofs text,
  created_at integer not null,
  primary key (account, number)
) strict, without rowid;
`;

const EVIDENCE = `
alter table intents add column evidence text;
`;

/** SQLite changes no constraint of a column, so the column is made anew: of one state more. */
const LSP_SIGNED = `
drop index intents_state;
alter table intents rename column state to former;
alter table intents add column state text not null default 'raised' check (state in ('raised',
  'built', 'user-signed', 'lsp-signed', 'held', 'signed', 'broadcast', 'confirmed', 'refused',
  'cancelled', 'conflicted'));
update intents set state = former;
alter table intents drop column former;
create index intents_state on intents (state, retry_at);
`;

/** In order; never edited once released, only added to. */
export const migrations: readonly string[] = [FIRST, CEREMONIES, ROTATIONS, EVIDENCE, LSP_SIGNED];
