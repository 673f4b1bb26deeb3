/**
 * The store on Postgres: the same tables, the same exactness, one writer at a time. A connection
 * that ends is a fault of what was under way; the next question gets a new one.
 */
import { Kysely, PostgresDialect, type PostgresPool, sql } from "kysely";
import pg from "pg";
import type { Network } from "../../policies/bitcoin/network.ts";
import type { Db, Store } from "../io/store.ts";
import { StoreError } from "../io/store-error.ts";
import type { Log } from "../log.ts";
import { EMPTY_LISTS, POSTGRES } from "../tables/dialect.ts";
import { migrations } from "../tables/migrations.ts";
import type { Schema } from "../tables/schema.ts";
import { readAddress } from "./address.ts";
import { connectFault } from "./faults.ts";
import { exactTypes, sessionOf } from "./session.ts";

export interface PostgresOptions {
  readonly url: string;
  readonly network: Network;
  readonly log: Log;
}

/** Roles and requests side by side; more of them wait for each other. */
const CONNECTIONS_MAX = 12;
const CONNECT_MS_MAX = 10_000;
/** Another process of ours writes for milliseconds; a reorganisation of six blocks for seconds. */
const LOCK_MS_MAX = 20_000;
const STATEMENT_MS_MAX = 60_000;
/** The server has ended the statement before; longer than that, nobody is there any more. */
const ANSWER_MS_MAX = 70_000;
/** A process of ours that stands still must not hold the write lock for ever. */
const IDLE_IN_TRANSACTION_MS_MAX = 60_000;

/** Throws a StoreError. */
export async function openPostgresStore({ url, network, log }: PostgresOptions): Promise<Store> {
  const address = readAddress(url);
  if (address === null) {
    const text = "the database's URL cannot be read: postgres://USER:PASSWORD@HOST:PORT/DATABASE";
    throw new StoreError("unreachable", `${text}, with other signs than letters and digits as %40`);
  }
  const { place } = address;
  const db = new Kysely<Schema>({
    dialect: new PostgresDialect({ pool: poolOf(url, place) }),
    plugins: [EMPTY_LISTS],
  });
  try {
    await describe(db, { place, log });
    await migrate(db, place);
    await belongTo(db, network, place);
  } catch (error) {
    await db.destroy();
    throw error;
  }
  const inTurn = turns();
  return {
    db,
    // Whoever waits for the lock waits without a connection: readers have use for it.
    transaction: (body) => inTurn(() => db.transaction().execute(body)),
    close: () => db.destroy(),
  };
}

function poolOf(url: string, place: string): PostgresPool {
  const pool = new pg.Pool({
    connectionString: url,
    application_name: "ballast",
    types: exactTypes,
    max: CONNECTIONS_MAX,
    connectionTimeoutMillis: CONNECT_MS_MAX,
    query_timeout: ANSWER_MS_MAX,
    keepAlive: true,
    onConnect: (client) => setUp(client, place),
  });
  // A connection that ends while nothing is asked of it is no news: the next question is told.
  const unheard = () => undefined;
  pool.on("error", unheard);
  pool.on("connect", (client) => client.on("error", unheard));
  return {
    connect: async () => {
      try {
        return sessionOf(await pool.connect(), place) as never;
      } catch (error) {
        throw connectFault(error, place);
      }
    },
    end: () => pool.end(),
  };
}

/** Of each new connection, since a server's settings change while it runs. */
async function setUp(client: pg.ClientBase, place: string): Promise<void> {
  const { rows } = await client.query<{ sync: string; encoding: string }>(
    `select current_setting('synchronous_commit') as sync,
      current_setting('server_encoding') as encoding`,
  );
  const { sync = "", encoding = "" } = rows[0] ?? {};
  if (sync === "off") {
    const text = `${place} has synchronous_commit = off: it would lose bookings that it has reported`;
    throw new StoreError("unsafe", `${text}. Set it to on for this user or database`);
  }
  if (encoding !== "UTF8") {
    throw new StoreError("unsafe", `${place} keeps text as ${encoding}: it must be UTF8`);
  }
  await client.query(`
    set synchronous_commit = ${sync};
    set lock_timeout = ${LOCK_MS_MAX};
    set statement_timeout = ${STATEMENT_MS_MAX};
    set idle_in_transaction_session_timeout = ${IDLE_IN_TRANSACTION_MS_MAX}`);
}

/** Only the server's operator can say whether its disk keeps what it is given: we say what we see. */
async function describe(
  db: Db,
  { place, log }: { readonly place: string; readonly log: Log },
): Promise<void> {
  const { rows } = await sql<{ version: string; sync: string; fsync: string; pages: string }>`
    select current_setting('server_version') as version,
      current_setting('synchronous_commit') as sync,
      current_setting('fsync') as fsync,
      current_setting('full_page_writes') as pages`.execute(db);
  const { version, sync, fsync, pages } = rows[0] ?? {};
  const seen = { store: place, version, synchronous_commit: sync, fsync, full_page_writes: pages };
  if (fsync === "on" && pages === "on") log.info(seen, "store is Postgres");
  else log.warn(seen, "store is Postgres, which may lose everything with its machine's power");
}

/** Each migration in a transaction of its own, and so one process at a time. */
async function migrate(db: Db, place: string): Promise<void> {
  while (await db.transaction().execute((within) => migrateOnce(within, place)));
}

async function migrateOnce(db: Db, place: string): Promise<boolean> {
  await sql`set local statement_timeout = 0`.execute(db);
  const done = await migrationsDone(db, place);
  if (done > migrations.length) {
    throw new StoreError(
      "newer",
      `${place} has schema ${done}, this Ballast knows ${migrations.length}: run the newer version`,
    );
  }
  const next = migrations[done];
  if (next === undefined) return false;
  await sql.raw(next(POSTGRES)).execute(db);
  await sql`insert into ballast_migrations (number) values (${done + 1})`.execute(db);
  return true;
}

/** Makes the table that counts them where nothing is yet. */
async function migrationsDone(db: Db, place: string): Promise<number> {
  // What an extension brought along is no other program's data.
  const { rows } = await sql<{ name: string }>`
    select c.relname as name from pg_class c
      join pg_namespace n on n.oid = c.relnamespace and n.nspname = current_schema()
      where c.relkind in ('r', 'p', 'v', 'm', 'f')
        and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'e')`.execute(
    db,
  );
  const names = new Set(rows.map(({ name }) => name));
  if (!names.has("ballast_migrations")) {
    if (names.size > 0) {
      const text = `${place} holds tables of another program: make a database or a schema for Ballast alone`;
      throw new StoreError("foreign", text);
    }
    await sql`create table ballast_migrations (
      number bigint primary key, done_at timestamptz not null default now())`.execute(db);
  }
  const counted = await sql<{ done: bigint }>`
    select coalesce(max(number), 0) as done from ballast_migrations`.execute(db);
  return Number(counted.rows[0]?.done ?? 0n);
}

async function belongTo(db: Db, network: Network, place: string): Promise<void> {
  await sql`insert into meta (name, value) values ('network', ${network})
    on conflict (name) do nothing`.execute(db);
  const { rows } = await sql<{ value: string }>`
    select value from meta where name = 'network'`.execute(db);
  const known = rows[0]?.value;
  if (known !== network) {
    throw new StoreError("foreign", `${place} is a database of ${known}, not of ${network}`);
  }
}

/** One after the other, in the order in which they came. */
function turns(): <T>(body: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (body) => {
    const mine = last.then(body);
    last = mine.catch(() => undefined);
    return mine;
  };
}
