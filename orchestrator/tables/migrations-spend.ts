/** Accounts, spends, ceremonies: the tables of the beginning, and what became of them. */
import type { Migration } from "./dialect.ts";

export const FIRST: Migration = (sql) => `
create table meta (name text primary key, value text not null)${sql.table};

create table accounts (
  id text primary key,
  name text not null,
  user_key text not null unique,
  trustee_key text not null,
  lsp_key text not null,
  state text not null check (state in ('begun', 'open')),
  document text not null,
  proofs text,
  created_at ${sql.integer} not null
)${sql.table};

create table vaults (
  id text primary key,
  account text not null references accounts (id),
  document text not null
)${sql.table};
create index vaults_account on vaults (account);

-- Looked up once for every Taproot output of every block: the script is the key.
create table scripts (
  script text primary key,
  vault text not null references vaults (id),
  branch ${sql.integer} not null,
  position ${sql.integer} not null,
  unique (vault, branch, position)
)${sql.keyed};

create table blocks (height ${sql.integer} primary key, hash text not null)${sql.table};

create table intents (
  id text primary key,
  account text not null references accounts (id),
  vault text not null references vaults (id),
  reference text not null,
  document text not null,
  state text not null check (state in ('raised', 'built', 'user-signed', 'held', 'signed',
    'broadcast', 'confirmed', 'refused', 'cancelled', 'conflicted')),
  sats ${sql.integer} not null check (sats > 0),
  fee_rate ${sql.integer} not null check (fee_rate >= 0),
  fee_sats ${sql.integer} check (fee_sats >= 0),
  unsigned_psbt ${sql.bytes},
  psbt ${sql.bytes},
  txid text,
  locktime ${sql.integer},
  change_position ${sql.integer},
  raw_tx ${sql.bytes},
  violations text not null,
  rules text not null,
  retry_at ${sql.integer} not null,
  attempts ${sql.integer} not null,
  mined_height ${sql.integer},
  bookings ${sql.integer} not null,
  released ${sql.integer} not null check (released in (0, 1)),
  created_at ${sql.integer} not null,
  -- One number, one withdrawal: a number used again with other content is a mistake.
  unique (account, reference)
)${sql.table};
create index intents_state on intents (state, retry_at);

create table intent_events (
  intent text not null references intents (id),
  sequence ${sql.integer} not null,
  at ${sql.integer} not null,
  state text not null,
  detail text not null,
  primary key (intent, sequence)
)${sql.keyed};

create table coins (
  outpoint text primary key,
  vault text not null references vaults (id),
  branch ${sql.integer} not null,
  position ${sql.integer} not null,
  sats ${sql.integer} not null check (sats >= 0),
  kind text not null check (kind in ('deposit', 'change')),
  state text not null check (state in ('seen', 'confirmed', 'gone')),
  bookings ${sql.integer} not null,
  height ${sql.integer},
  spent_by text,
  spent_height ${sql.integer},
  reserved_by text references intents (id),
  check ((state = 'gone') = (height is null)),
  check ((spent_by is null) = (spent_height is null))
)${sql.table};
create index coins_vault on coins (vault, spent_by);
create index coins_height on coins (height);
create index coins_spent_height on coins (spent_height);
create index coins_reserved on coins (reserved_by);
create index coins_state on coins (state, height);

create table postings (
  id text primary key,
  kind text not null,
  subject text not null,
  at ${sql.integer} not null
)${sql.table};

create table entries (
  posting text not null references postings (id),
  account text not null,
  currency text not null,
  amount ${sql.integer} not null check (amount <> 0),
  primary key (posting, account, currency)
)${sql.keyed};
create index entries_account on entries (account, currency);

create table balances (
  account text not null,
  currency text not null,
  amount ${sql.integer} not null,
  primary key (account, currency)
)${sql.keyed};

-- What was booked stays: a mistake is mended by another posting.
${sql.stay("postings", "postings")}
${sql.stay("entries", "postings")}
`;

export const CEREMONIES: Migration = (sql) => `
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
  created_at ${sql.integer} not null,
  check ((role = 'user') = (account is not null))
)${sql.table};

create table ceremonies (
  id text primary key,
  intent text not null references intents (id),
  document text not null,
  state text not null check (state in ('open', 'approved', 'complete', 'declined', 'expired',
    'superseded')),
  sequence ${sql.integer} not null,
  head text not null,
  closed ${sql.integer} not null check (closed in (0, 1)),
  created_at ${sql.integer} not null
)${sql.table};
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
)${sql.keyed};
create index ceremony_participants_key on ceremony_participants (key);

create table ceremony_events (
  ceremony text not null references ceremonies (id),
  sequence ${sql.integer} not null,
  at text not null,
  by text not null,
  act text not null,
  detail text not null,
  previous text not null,
  hash text not null,
  signature text,
  primary key (ceremony, sequence)
)${sql.keyed};
${sql.stay("ceremony_events", "transcripts")}

create table notices (
  sequence ${sql.counter},
  vault text not null references vaults (id),
  kind text not null,
  text text not null unique,
  signature text not null,
  at ${sql.integer} not null,
  told text not null check (told in ('waiting', 'heard', 'refused')),
  reasons text not null,
  retry_at ${sql.integer} not null,
  attempts ${sql.integer} not null
)${sql.table};
create index notices_told on notices (told, retry_at);
create index notices_vault on notices (vault, sequence);
`;

export const ROTATIONS: Migration = (sql) => `
alter table vaults add column number ${sql.integer} not null default 0;
create unique index vaults_number on vaults (account, number);

create table rotations (
  account text not null references accounts (id),
  number ${sql.integer} not null,
  user_key text not null,
  trustee_key text not null,
  document text not null,
  proofs text,
  created_at ${sql.integer} not null,
  primary key (account, number)
)${sql.keyed};
`;

export const EVIDENCE: Migration = () => `
alter table intents add column evidence text;
`;

/** SQLite changes no constraint of a column, so the column is made anew: of one state more. */
export const LSP_SIGNED: Migration = () => `
drop index intents_state;
alter table intents rename column state to former;
alter table intents add column state text not null default 'raised' check (state in ('raised',
  'built', 'user-signed', 'lsp-signed', 'held', 'signed', 'broadcast', 'confirmed', 'refused',
  'cancelled', 'conflicted'));
update intents set state = former;
alter table intents drop column former;
create index intents_state on intents (state, retry_at);
`;
