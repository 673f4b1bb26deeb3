/**
 * The orchestrator's memory: SQLite or Postgres through Kysely. Integers are bigint in and out, so
 * that 2,100,000,000,000,000 sat and larger arrive as they left, and a float cannot enter at all.
 * Writers are one at a time on either: a transaction holds the write lock from its begin.
 */
import type { Kysely, Selectable } from "kysely";
import type { Network } from "../../policies/bitcoin/network.ts";
import type { Schema } from "../tables/schema.ts";
import { openSqlite } from "./store-sqlite.ts";

/** A database or a transaction of it: whoever writes does not care which. */
export type Db = Kysely<Schema>;
export type Row<Table extends keyof Schema> = Selectable<Schema[Table]>;

export interface Store {
  readonly db: Db;
  /** All or nothing. Inside, only the handle given may be used: the write lock is one. */
  readonly transaction: <T>(body: (db: Db) => Promise<T>) => Promise<T>;
  readonly close: () => Promise<void>;
}

export interface StoreOptions {
  /** A file that is made when it is not there, or `:memory:`. */
  readonly path: string;
  readonly network: Network;
}

/** On SQLite; store-place.ts opens either. Throws a StoreError. */
export function openStore(options: StoreOptions): Store {
  const db = openSqlite(options);
  return {
    db,
    transaction: (body) => db.transaction().execute(body),
    close: () => db.destroy(),
  };
}
