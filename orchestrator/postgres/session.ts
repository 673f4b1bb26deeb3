/**
 * What Kysely needs of the pg package, with exact integers both ways, one writer at a time, and
 * faults in our own words.
 */
import pg, { type PoolClient, type QueryResult } from "pg";
import { StoreError } from "../io/store-error.ts";
import { faultOf } from "./faults.ts";

/** "Blst". Whoever writes to this database holds this advisory lock; readers do not ask for it. */
const WRITE_LOCK = 0x426c7374;

/**
 * The lock is waited for after the begin, and what is read then must be what its last holder left:
 * with any other isolation than this the snapshot would be older than the lock.
 */
const BEGIN = `begin isolation level read committed read write; select pg_advisory_xact_lock(${WRITE_LOCK})`;

/** A connection for as long as Kysely has it. */
export interface Session {
  readonly query: (sql: string, parameters: readonly unknown[]) => Promise<QueryResult>;
  readonly release: () => void;
}

/** `place` names the database in faults, without its password. */
export function sessionOf(client: PoolClient, place: string): Session {
  let broken = false;
  async function ask(sql: string, parameters: readonly unknown[]): Promise<QueryResult> {
    // The server has undone it when it lost the connection.
    if (sql === "rollback" && broken) return NOTHING;
    try {
      if (sql === "begin") return await begin(client);
      const result = await client.query(sql, parameters.map(bound));
      if (sql === "commit" && result.command !== "COMMIT") {
        throw new Error(
          "BUG: a transaction was to be committed after one of its statements failed",
        );
      }
      return result;
    } catch (error) {
      const fault = faultOf(error, place);
      broken ||= fault instanceof StoreError && fault.code === "lost";
      throw fault;
    }
  }
  return { query: ask, release: () => client.release(broken) };
}

const NOTHING = { command: "", rowCount: 0, rows: [] } as unknown as QueryResult;

/** Kysely takes a begin that failed for none: what is half begun must be ended here. */
async function begin(client: PoolClient): Promise<QueryResult> {
  try {
    return await client.query(BEGIN);
  } catch (error) {
    await client.query("rollback").catch(() => undefined);
    throw error;
  }
}

/** A number is a double: integers go in as their digits, anything else is a bug. */
function bound(value: unknown): unknown {
  if (typeof value === "bigint") return value.toString();
  if (typeof value !== "number") return value;
  if (!Number.isSafeInteger(value)) {
    throw new StoreError("inexact", `${value} is no safe integer and does not go into the store`);
  }
  return value.toString();
}

/** Postgres' own numbers of its types: `select oid, typname from pg_type`. */
const { BYTEA, FLOAT4, FLOAT8, INT2, INT4, INT8, NUMERIC } = pg.types.builtins;

/** Sums and counts come as numeric and int8: integers are bigint, whatever their width. */
function integer(text: string): bigint {
  if (!/^-?[0-9]+$/.test(text)) {
    throw new StoreError("inexact", `${text} came from the store and is no integer`);
  }
  return BigInt(text);
}

function bytes(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text.replace(/^\\x/, ""), "hex"));
}

const PARSERS: ReadonlyMap<number, (text: string) => unknown> = new Map<
  number,
  (text: string) => unknown
>([
  ...[INT2, INT4, INT8, NUMERIC, FLOAT4, FLOAT8].map((oid) => [oid, integer] as const),
  [BYTEA, bytes],
]);

/** For a pool's `types`. */
export const exactTypes: pg.CustomTypesConfig = {
  getTypeParser: (oid: number, format?: "text" | "binary") =>
    PARSERS.get(oid) ?? pg.types.getTypeParser(oid, format as "text"),
};
