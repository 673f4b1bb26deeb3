/** Events, exits, prices, the book in sats and cents, deposits by state. */
import { bookLaw } from "./book-law.ts";
import type { Migration } from "./dialect.ts";

/**
 * What an account's people and their software are told, in the order in which it happened.
 */
export const EVENTS: Migration = (sql) => `
create table events (
  sequence ${sql.counter},
  key text not null unique,
  kind text not null,
  account text references accounts (id),
  data text not null,
  at ${sql.integer} not null
)${sql.table};
create index events_account on events (account, sequence);
${sql.stay("events", "events")}
`;

/** Until here every vault was `multi`. */
export const EXITS: Migration = (sql) => `
alter table vaults add column exit_blocks ${sql.integer};
`;

/** What was believed, at most once a minute, and what was not: for whoever audits a credit. */
export const PRICES: Migration = (sql) => `
create table prices (
  sequence ${sql.counter},
  currency text not null,
  at ${sql.integer} not null,
  kind text not null check (kind in ('accepted', 'quarantined')),
  price ${sql.integer} not null check (price > 0),
  sources text not null
)${sql.table};
create index prices_currency on prices (currency, at);
${sql.stay("prices", "prices")}
`;

/** The book in sats and cents, what each account is owed and why, and what each coin is worth. */
export const BOOK: Migration = (sql) => `
${bookLaw(sql)}
alter table postings add column reverses text references postings (id);
create unique index postings_reverses on postings (reverses);
create unique index postings_subject on postings (subject, kind);

alter table accounts add column stabilise ${sql.integer} not null default 1
  check (stabilise in (0, 1));

create table claims (
  vault text not null references vaults (id),
  sequence ${sql.integer} not null check (sequence > 0),
  account text not null references accounts (id),
  kind text not null check (kind in ('deposit', 'operation', 'withdrawal', 'fee')),
  reference text not null,
  posting text not null references postings (id),
  hedged_cents ${sql.integer} not null,
  pool_msats ${sql.integer} not null,
  channel_cents ${sql.integer} not null,
  idle_sats ${sql.integer} not null,
  previous text not null,
  head text not null,
  claim_hedged_cents ${sql.integer} not null check (claim_hedged_cents >= 0),
  claim_pool_msats ${sql.integer} not null check (claim_pool_msats >= 0),
  claim_channel_cents ${sql.integer} not null check (claim_channel_cents >= 0),
  claim_idle_sats ${sql.integer} not null check (claim_idle_sats >= 0),
  at ${sql.integer} not null,
  primary key (vault, sequence),
  unique (vault, previous)
)${sql.keyed};
create index claims_account on claims (account);
create index claims_posting on claims (posting);
${sql.stay("claims", "claims")}

create table stable_coins (
  outpoint text not null,
  turn ${sql.integer} not null,
  account text not null references accounts (id),
  origin text not null check (origin in ('deposit', 'change')),
  state text not null check (state in ('idle', 'held', 'loose', 'spent',
    'reversed')),
  sats ${sql.integer} not null check (sats >= 0),
  currency text not null,
  cents ${sql.integer} not null check (cents >= 0),
  price ${sql.integer},
  sources text not null,
  price_at ${sql.integer},
  spent_by text,
  at ${sql.integer} not null,
  primary key (outpoint, turn),
  check ((price is null) = (price_at is null)),
  check ((state = 'spent') = (spent_by is not null))
)${sql.keyed};
create index stable_coins_account on stable_coins (account, state);
create index stable_coins_spent on stable_coins (spent_by);

create table stable_history (
  sequence ${sql.counter},
  account text not null references accounts (id),
  kind text not null check (kind in ('deposit', 'withdrawal', 'withdrawal-change', 'adjustment',
    'reorg')),
  reference text not null,
  outpoint text,
  sats ${sql.integer} not null,
  currency text not null,
  cents ${sql.integer} not null,
  reverses ${sql.integer} unique references stable_history (sequence),
  at ${sql.integer} not null
)${sql.table};
create index stable_history_account on stable_history (account, sequence);
create index stable_history_reference on stable_history (reference);
${sql.stay("stable_history", "records of what coins are worth")}
`;

/**
 * Coins that are in no block yet, where coins come from, what is odd about them; accounts that a deep
 * reorganisation has frozen. SQLite changes no constraint, so the table of coins is made anew.
 */
export const DEPOSITS: Migration = (sql) => `
create table coins_anew (
  outpoint text primary key,
  vault text not null references vaults (id),
  branch ${sql.integer} not null,
  position ${sql.integer} not null,
  sats ${sql.integer} not null check (sats >= 0),
  kind text not null check (kind in ('deposit', 'change')),
  origin text not null check (origin in ('external', 'service', 'change', 'unexpected')),
  state text not null check (state in ('mempool', 'seen', 'confirmed', 'gone')),
  reused ${sql.integer} not null check (reused in (0, 1)),
  dust ${sql.integer} not null check (dust in (0, 1)),
  bookings ${sql.integer} not null,
  height ${sql.integer},
  spent_by text,
  spent_height ${sql.integer},
  reserved_by text references intents (id),
  seen_at ${sql.integer} not null,
  check ((state in ('mempool', 'gone')) = (height is null)),
  check ((spent_by is null) = (spent_height is null)),
  check ((kind = 'change') = (origin = 'change') or origin = 'service')
)${sql.table};
insert into coins_anew (outpoint, vault, branch, position, sats, kind, origin, state, reused, dust,
    bookings, height, spent_by, spent_height, reserved_by, seen_at)
  select outpoint, vault, branch, position, sats, kind,
    case when kind = 'change' then 'change' when branch = 1 then 'unexpected' else 'external' end,
    state, 0, 0, bookings, height, spent_by, spent_height, reserved_by, 0
  from coins;
drop table coins;
alter table coins_anew rename to coins;
create index coins_vault on coins (vault, spent_by);
create index coins_height on coins (height);
create index coins_spent_height on coins (spent_height);
create index coins_reserved on coins (reserved_by);
create index coins_state on coins (state, height);
create index coins_place on coins (vault, branch, position);

create table freezes (
  outpoint text primary key,
  account text not null references accounts (id),
  turn ${sql.integer} not null,
  at ${sql.integer} not null
)${sql.table};
create index freezes_account on freezes (account);

-- Which scripts were added when: who holds all of them in memory reads on from where it was.
create table script_runs (
  sequence ${sql.counter},
  vault text not null references vaults (id),
  branch ${sql.integer} not null,
  first ${sql.integer} not null,
  last ${sql.integer} not null
)${sql.table};

create table rescans (
  name text primary key,
  next ${sql.integer} not null
)${sql.table};
`;
