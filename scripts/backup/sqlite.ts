/** A copy of a SQLite store while it is written to. */
import Sqlite from "better-sqlite3";
import { exactKysely, isOurs } from "../../orchestrator/io/store-sqlite.ts";
import { InputError } from "../input.ts";
import { type BackupContents, contentsOf } from "./told.ts";

/** Another process of ours holds the file for milliseconds only. */
const BUSY_MS = 10_000;

/** `copy` is an empty file. One reading transaction: writers go on, and the copy has none of it. */
export function copySqlite(store: string, copy: string): void {
  const source = openedForReading(store);
  try {
    source.prepare("vacuum into ?").run(copy);
  } finally {
    source.close();
  }
}

/** Reads every page of the copy. */
export async function verifySqlite(copy: string): Promise<BackupContents> {
  const sqlite = openedForReading(copy);
  const db = exactKysely(sqlite);
  try {
    const integrity = sqlite.pragma("integrity_check") as readonly { integrity_check: string }[];
    const faults = integrity.map((row) => row.integrity_check).filter((text) => text !== "ok");
    if (faults.length > 0) throw new InputError("backup", `${copy}: ${faults.join("; ")}`);
    const orphans = sqlite.pragma("foreign_key_check") as readonly unknown[];
    if (orphans.length > 0) {
      throw new InputError(
        "backup",
        `${copy}: ${orphans.length} rows name rows that are not there`,
      );
    }
    const migrations = Number(sqlite.pragma("user_version", { simple: true }));
    return await contentsOf(db, { kind: "sqlite", migrations });
  } catch (error) {
    throw inWords(error, copy);
  } finally {
    await db.destroy();
  }
}

function openedForReading(file: string): Sqlite.Database {
  try {
    const sqlite = new Sqlite(file, { readonly: true, fileMustExist: true });
    sqlite.defaultSafeIntegers(true);
    sqlite.pragma(`busy_timeout = ${BUSY_MS}`);
    if (isOurs(sqlite)) return sqlite;
    sqlite.close();
  } catch (error) {
    throw inWords(error, file);
  }
  throw new InputError("backup", `${file} is a database of another program`);
}

function inWords(error: unknown, file: string): unknown {
  if (!(error instanceof Sqlite.SqliteError)) return error;
  return new InputError("backup", `${file} is no sound database: ${error.message}`);
}
