/** What a copy holds, for the person who is to rely on it. */
import { type Kysely, sql } from "kysely";
import { checkBook } from "../../orchestrator/book/proof.ts";
import type { Schema } from "../../orchestrator/tables/schema.ts";
import { InputError } from "../input.ts";

export interface BackupContents {
  readonly kind: "sqlite" | "postgres";
  readonly network: string;
  /** Rows by table. */
  readonly tables: Readonly<Record<string, number>>;
  readonly migrations: number;
  /** Of the last block that was scanned; null before the first. */
  readonly height: number | null;
  readonly postings: number;
}

/** Reads everything; an InputError where the book does not balance. */
export async function contentsOf(
  db: Kysely<Schema>,
  { kind, migrations }: Pick<BackupContents, "kind" | "migrations">,
): Promise<BackupContents> {
  const tables: Record<string, number> = {};
  const known = await db.introspection.getTables();
  for (const { name } of known.filter((table) => !table.isView)) {
    const { rows } = await sql<{ n: bigint }>`select count(*) as n from ${sql.table(name)}`.execute(
      db,
    );
    tables[name] = Number(rows[0]?.n ?? 0n);
  }
  const { faults, postings } = await checkBook(db);
  if (faults.length > 0) {
    throw new InputError("backup", `the book does not balance in it: ${faults.join("; ")}`);
  }
  const last = await db
    .selectFrom("blocks")
    .select((eb) => eb.fn.max("height").as("height"))
    .executeTakeFirst();
  const { rows } = await sql<{ value: string }>`
    select value from meta where name = 'network'`.execute(db);
  const height = last?.height ?? null;
  return {
    kind,
    network: rows[0]?.value ?? "unknown",
    tables,
    migrations,
    height: height === null ? null : Number(height),
    postings: Number(postings),
  };
}

export function inWords(told: BackupContents): string {
  const rows = Object.entries(told.tables)
    .map(([name, count]) => `${name} ${count}`)
    .join(", ");
  return [
    `${told.kind === "sqlite" ? "SQLite file" : "Postgres dump"} of ${told.network}, schema ${told.migrations}`,
    `last block ${told.height ?? "none"}; ${told.postings} postings, and the book balances`,
    `rows: ${rows}`,
  ].join("\n");
}
