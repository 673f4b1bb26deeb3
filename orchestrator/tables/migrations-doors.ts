/** Tokens, leases, webhooks. */
import type { Migration } from "./dialect.ts";

/** Who may ask at the API, what waits for a second person, and what was answered before. */
export const DOORS: Migration = (sql) => `
create table tokens (
  id text primary key,
  name text not null unique,
  scope text not null check (scope in ('user', 'operator', 'auditor', 'machine')),
  account text references accounts (id),
  hash text not null unique,
  issued_by text not null,
  created_at ${sql.integer} not null,
  expires_at ${sql.integer} not null,
  disabled_at ${sql.integer},
  used_at ${sql.integer},
  check ((scope = 'user') = (account is not null))
)${sql.table};
create index tokens_created on tokens (created_at, id);

create table proposals (
  id text primary key,
  content text not null,
  turn ${sql.integer} not null,
  method text not null,
  path text not null,
  body text not null,
  proposer text not null,
  created_at ${sql.integer} not null,
  expires_at ${sql.integer} not null,
  state text not null check (state in ('waiting', 'approved', 'done', 'refused')),
  approver text,
  status ${sql.integer},
  unique (content, turn),
  check (approver is null or approver <> proposer)
)${sql.table};
create index proposals_created on proposals (created_at, id);

create table answers (
  token text not null,
  key text not null,
  fingerprint text not null,
  at ${sql.integer} not null,
  status ${sql.integer},
  type text,
  sealed ${sql.bytes},
  primary key (token, key),
  check ((status is null) = (sealed is null))
)${sql.table};
create index answers_at on answers (at);

create table aliases (
  external_id text primary key,
  account text not null unique references accounts (id)
)${sql.table};

create table service_addresses (
  account text not null references accounts (id),
  address text not null,
  created_at ${sql.integer} not null,
  primary key (account, address)
)${sql.table};

create index accounts_created on accounts (created_at, id);
create index intents_created on intents (created_at, id);
create index intents_account on intents (account, created_at, id);
`;

export const LEASES: Migration = (sql) => `
create table leases (
  name text primary key,
  holder text not null,
  token ${sql.integer} not null check (token > 0),
  ends_at ${sql.integer} not null
)${sql.keyed};
`;

/** Who is told of events, and how far each has been told. */
export const WEBHOOKS: Migration = (sql) => `
create table webhook_endpoints (
  id text primary key,
  url text not null unique,
  secret text not null,
  kinds text,
  accounts text,
  disabled ${sql.integer} not null check (disabled in (0, 1)),
  cursor ${sql.integer} not null,
  failures ${sql.integer} not null,
  resting_until ${sql.integer} not null,
  created_at ${sql.integer} not null
)${sql.table};

create table webhook_deliveries (
  endpoint text not null references webhook_endpoints (id),
  event ${sql.integer} not null references events (sequence),
  lane text not null,
  state text not null check (state in ('waiting', 'delivered', 'dead', 'dropped')),
  series ${sql.integer} not null,
  attempts ${sql.integer} not null,
  began_at ${sql.integer},
  retry_at ${sql.integer} not null,
  ended_at ${sql.integer},
  status ${sql.integer},
  reason text not null,
  primary key (endpoint, event)
)${sql.table};
create index webhook_deliveries_state on webhook_deliveries (endpoint, state, event);
create index webhook_deliveries_lane on webhook_deliveries (endpoint, lane, state, event);
`;
