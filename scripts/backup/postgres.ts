/** A dump of a Postgres store while it is written to, by pg_dump; read back without a server. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { createInterface } from "node:readline";
import Sqlite from "better-sqlite3";
import { exactKysely } from "../../orchestrator/io/store-sqlite.ts";
import { readAddress } from "../../orchestrator/postgres/address.ts";
import { SQLITE } from "../../orchestrator/tables/dialect.ts";
import { migrations } from "../../orchestrator/tables/migrations.ts";
import { InputError } from "../input.ts";
import { type BackupContents, contentsOf } from "./told.ts";

/** Settings of a URL that libpq's programs take from the environment. */
const SETTINGS: ReadonlyMap<string, string> = new Map([
  ["sslmode", "PGSSLMODE"],
  ["sslrootcert", "PGSSLROOTCERT"],
  ["sslcert", "PGSSLCERT"],
  ["sslkey", "PGSSLKEY"],
  ["options", "PGOPTIONS"],
]);

/** `copy` is an empty file. pg_dump reads in one snapshot: writers go on. */
export async function dumpPostgres(url: string, copy: string): Promise<void> {
  const address = readAddress(url);
  if (address === null) throw new InputError("backup", "the database's URL cannot be read");
  const { host, port, user, database, password, settings } = address;
  // Arguments are seen by everybody on the machine; the environment is not.
  const environment: Record<string, string> = {
    PGHOST: host,
    PGPORT: String(port),
    PGUSER: user,
    PGDATABASE: database,
    ...(password !== null && { PGPASSWORD: password }),
  };
  for (const [name, variable] of SETTINGS) {
    const value = settings.get(name);
    if (value !== undefined) environment[variable] = value;
  }
  const file = openSync(copy, "w");
  try {
    // Whoever restores it need not have the same users.
    const args = ["--format=custom", "--no-owner", "--no-privileges", "--no-password"];
    const dump = spawn("pg_dump", args, {
      stdio: ["ignore", file, "pipe"],
      env: { ...process.env, ...environment },
    });
    await ended("pg_dump", dump, dump.stderr);
  } finally {
    closeSync(file);
  }
}

/** Each row of the dump is put into a SQLite store of the same schema, which then is checked. */
export async function verifyPostgres(copy: string): Promise<BackupContents> {
  // An empty name is a database that SQLite keeps on the disk and forgets at its close.
  const sqlite = new Sqlite("");
  sqlite.defaultSafeIntegers(true);
  const db = exactKysely(sqlite);
  try {
    // Tables come in the order of their names; what they name is looked at when all are there.
    sqlite.pragma("foreign_keys = OFF");
    sqlite.exec("create table ballast_migrations (number integer, done_at text) strict");
    for (const migration of migrations) sqlite.exec(migration(SQLITE));
    const restore = spawn("pg_restore", ["--data-only", "--file=-", copy], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    const end = ended("pg_restore", restore, restore.stderr);
    // Its fault is told by `end`, whatever the reading of half a dump says first.
    end.catch(() => undefined);
    sqlite.exec("begin");
    await load(sqlite, createInterface({ input: restore.stdout, crlfDelay: 0 }), copy);
    await end;
    sqlite.exec("commit");
    const orphans = sqlite.pragma("foreign_key_check") as readonly unknown[];
    if (orphans.length > 0) {
      throw new InputError(
        "backup",
        `${copy}: ${orphans.length} rows name rows that are not there`,
      );
    }
    const done = sqlite.prepare("select max(number) from ballast_migrations").pluck().get();
    return await contentsOf(db, { kind: "postgres", migrations: Number(done ?? 0) });
  } catch (error) {
    if (!(error instanceof Sqlite.SqliteError)) throw error;
    throw new InputError(
      "backup",
      `${copy} holds what no store of this version holds: ${error.message}`,
    );
  } finally {
    await db.destroy();
  }
}

/** The text of COPY: a head, a line a row, and a line of a backslash and a dot. */
async function load(sqlite: Sqlite.Database, lines: AsyncIterable<string>, copy: string) {
  dropTriggers(sqlite);
  let add: ((line: string) => void) | null = null;
  for await (const line of lines) {
    if (add !== null) {
      if (line === "\\.") add = null;
      else add(line);
      continue;
    }
    const head = /^COPY (?:[^. ]+\.)?"?(\w+)"? \((.*)\) FROM stdin;$/.exec(line);
    if (head === null) continue;
    const [, table = "", list = ""] = head;
    add = adder(
      sqlite,
      table,
      list.split(", ").map((name) => name.replaceAll('"', "")),
    );
  }
  if (add !== null) throw new InputError("backup", `${copy} ends in the middle of a table`);
}

/** What they would do to rows, such as adding up balances, the dump's rows have behind them. */
function dropTriggers(sqlite: Sqlite.Database): void {
  const names = sqlite.prepare("select name from sqlite_schema where type = 'trigger'").pluck();
  for (const name of names.all()) sqlite.exec(`drop trigger "${name}"`);
}

/** A migration may have put rows there that the dump has too: the dump's are meant. */
function adder(
  sqlite: Sqlite.Database,
  table: string,
  columns: readonly string[],
): (line: string) => void {
  const info = sqlite.pragma(`table_info(${table})`) as readonly { name: string; type: string }[];
  const types = columns.map((name) => info.find((column) => column.name === name)?.type ?? "TEXT");
  const names = columns.map((name) => `"${name}"`).join(", ");
  const places = columns.map(() => "?").join(", ");
  const insert = sqlite.prepare(`insert or replace into "${table}" (${names}) values (${places})`);
  return (line) => {
    insert.run(line.split("\t").map((field, i) => valueOf(field, types[i] ?? "TEXT")));
  };
}

const ESCAPES: Readonly<Record<string, string>> = {
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
};

function valueOf(field: string, type: string): string | bigint | Buffer | null {
  if (field === "\\N") return null;
  const text = field.replace(/\\(.)/g, (_, sign: string) => ESCAPES[sign] ?? sign);
  if (type.toUpperCase() === "INTEGER") return BigInt(text);
  return type.toUpperCase() === "BLOB" ? Buffer.from(text.slice(2), "hex") : text;
}

/** Its own words are shown: they hold no password. */
async function ended(
  name: string,
  child: ReturnType<typeof spawn>,
  stderr: NodeJS.ReadableStream | null,
): Promise<void> {
  let words = "";
  stderr?.on("data", (text: Buffer) => {
    words = (words + text.toString()).slice(-2_000);
  });
  let code: unknown;
  try {
    [code] = await once(child, "close");
  } catch {
    throw new InputError("backup", `${name} is not there: install Postgres' client programs`);
  }
  if (code !== 0) throw new InputError("backup", `${name} failed: ${words.trim()}`);
}
