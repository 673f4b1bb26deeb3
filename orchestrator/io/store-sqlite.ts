/** The store on SQLite: WAL, `synchronous=FULL`, foreign keys, exact integers both ways. */
import Sqlite from "better-sqlite3";
import { Kysely, SqliteDialect } from "kysely";
import type { Network } from "../../policies/bitcoin/network.ts";
import { EMPTY_LISTS, SQLITE } from "../tables/dialect.ts";
import { migrations } from "../tables/migrations.ts";
import type { Schema } from "../tables/schema.ts";
import { StoreError } from "./store-error.ts";

export interface SqliteOptions {
  /** A file that is made when it is not there, or `:memory:`. */
  readonly path: string;
  readonly network: Network;
}

/** "Blst" in SQLite's header field for applications: tells our files from others. */
const APPLICATION_ID = 0x426c7374n;
/** Another process of ours holds the file for milliseconds only. */
const BUSY_MS = 5_000;

export function openSqlite(options: SqliteOptions): Kysely<Schema> {
  const sqlite = new Sqlite(options.path);
  try {
    prepare(sqlite, options);
  } catch (error) {
    sqlite.close();
    throw error;
  }
  return exactKysely(sqlite);
}

/** For a database that is open already, and whose integers are bigint. */
export function exactKysely(sqlite: Sqlite.Database): Kysely<Schema> {
  return new Kysely<Schema>({
    dialect: new SqliteDialect({ database: exact(sqlite) }),
    plugins: [EMPTY_LISTS],
  });
}

function prepare(sqlite: Sqlite.Database, { path, network }: SqliteOptions): void {
  sqlite.defaultSafeIntegers(true);
  sqlite.pragma(`busy_timeout = ${BUSY_MS}`);
  refuseForeign(sqlite, path);
  sqlite.pragma("journal_mode = WAL");
  // A booking that was reported must survive a power cut, not only a crash.
  sqlite.pragma("synchronous = FULL");
  sqlite.pragma("foreign_keys = ON");
  migrate(sqlite, path);
  const known = sqlite.prepare("select value from meta where name = 'network'").pluck().get();
  if (known === undefined) {
    sqlite.prepare("insert into meta (name, value) values ('network', ?)").run(network);
  } else if (known !== network) {
    throw new StoreError("foreign", `${path} is a database of ${known}, not of ${network}`);
  }
}

/** Whether a store has been made in it; its integers are bigint already. */
export function isOurs(sqlite: Sqlite.Database): boolean {
  return sqlite.pragma("application_id", { simple: true }) === APPLICATION_ID;
}

function refuseForeign(sqlite: Sqlite.Database, path: string): void {
  const tables = sqlite.prepare("select count(*) from sqlite_schema").pluck().get();
  if (!isOurs(sqlite) && tables !== 0n) {
    throw new StoreError("foreign", `${path} is a database of another program`);
  }
}

/** Each migration in a transaction of its own; the count of those done is SQLite's user_version. */
function migrate(sqlite: Sqlite.Database, path: string): void {
  for (;;) {
    const more = sqlite
      .transaction(() => {
        const done = Number(sqlite.pragma("user_version", { simple: true }));
        if (done > migrations.length) {
          throw new StoreError(
            "newer",
            `${path} has schema ${done}, this Ballast knows ${migrations.length}: run the newer version`,
          );
        }
        const next = migrations[done];
        if (next === undefined) return false;
        sqlite.exec(next(SQLITE));
        sqlite.pragma(`application_id = ${APPLICATION_ID}`);
        sqlite.pragma(`user_version = ${done + 1}`);
        return true;
      })
      // Immediate: two processes that start at once migrate one after the other.
      .immediate();
    if (!more) return;
  }
}

/** What Kysely needs of better-sqlite3, with exact integers both ways. */
function exact(sqlite: Sqlite.Database) {
  return {
    close: () => {
      sqlite.close();
    },
    prepare: (sql: string) => {
      // A deferred transaction that reads first and writes later can fail half-way on another
      // process's write; ours take the write lock at once and wait for it.
      const statement = sqlite.prepare(sql === "begin" ? "begin immediate" : sql);
      return {
        reader: statement.reader,
        all: (parameters: readonly unknown[]) => statement.all(parameters.map(bound)),
        run: (parameters: readonly unknown[]) => statement.run(parameters.map(bound)),
        iterate: (parameters: readonly unknown[]) => statement.iterate(parameters.map(bound)),
      };
    },
  };
}

/** better-sqlite3 binds a number as a double: integers go in as bigint, anything else is a bug. */
function bound(value: unknown): unknown {
  if (typeof value !== "number") return value;
  if (!Number.isSafeInteger(value)) {
    throw new StoreError("inexact", `${value} is no safe integer and does not go into the store`);
  }
  return BigInt(value);
}
