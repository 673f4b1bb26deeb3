/**
 * What the database demands of postings, whoever writes them: raw statements, one transaction a case,
 * on SQLite, and on Postgres.
 */
import Sqlite from "better-sqlite3";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { POSTGRES, SQLITE } from "../../orchestrator/tables/dialect.ts";
import { migrations } from "../../orchestrator/tables/migrations.ts";
import { describePostgres } from "../support/postgres.ts";

interface Raw {
  /** All statements in one transaction; throws what the database objects to. */
  readonly run: (statements: readonly string[]) => Promise<void>;
  readonly balances: () => Promise<readonly string[]>;
  readonly close: () => Promise<void>;
}

function sqliteRaw(): Raw {
  const db = new Sqlite(":memory:");
  db.pragma("foreign_keys = ON");
  for (const migration of migrations) db.exec(migration(SQLITE));
  return {
    run: async (statements) => {
      db.exec("begin immediate");
      try {
        for (const statement of statements) db.exec(statement);
        db.exec("commit");
      } catch (error) {
        if (db.inTransaction) db.exec("rollback");
        throw error;
      }
    },
    balances: async () =>
      db.prepare(`select ${BALANCE} from balances order by 1`).pluck().all() as string[],
    close: async () => {
      db.close();
    },
  };
}

async function postgresRaw(url: string): Promise<Raw> {
  const client = new pg.Client(url);
  await client.connect();
  await client.query("drop schema if exists book_law cascade; create schema book_law");
  await client.query("set search_path to book_law");
  for (const migration of migrations) await client.query(migration(POSTGRES));
  return {
    run: async (statements) => {
      await client.query("begin");
      try {
        for (const statement of statements) await client.query(statement);
        await client.query("commit");
      } catch (error) {
        await client.query("rollback");
        throw error;
      }
    },
    balances: async () => {
      const { rows } = await client.query(`select ${BALANCE} as line from balances order by 1`);
      return rows.map(({ line }) => line as string);
    },
    close: async () => {
      await client.query("drop schema book_law cascade");
      await client.end();
    },
  };
}

const BALANCE = "account || ' ' || currency || ' ' || amount";

const line = (posting: string, account: string, amount: number, currency = "sat") =>
  `insert into entries (posting, account, currency, amount)
    values ('${posting}', '${account}', '${currency}', ${amount})`;
const posting = (id: string, reverses = "null", subject = id) =>
  `insert into postings (id, kind, subject, at, reverses)
    values ('${id}', 'raw', '${subject}', 0, ${reverses})`;

interface Case {
  readonly title: string;
  readonly statements: readonly string[];
  /** What it says; null: it is taken. */
  readonly refused: RegExp | null;
}

const cases: readonly Case[] = [
  {
    title: "takes a posting behind lines that add up",
    statements: [line("p", "a", 5), line("p", "b", -5), posting("p")],
    refused: null,
  },
  {
    title: "takes one in two currencies",
    statements: [
      ...[line("p", "a", 5), line("p", "b", -5)],
      ...[line("p", "a", 7, "usd"), line("p", "b", -7, "usd"), posting("p")],
    ],
    refused: null,
  },
  {
    title: "refuses one that is out by one",
    statements: [line("p", "a", 5), line("p", "b", -4), posting("p")],
    refused: /adds up to zero/,
  },
  {
    title: "refuses one that adds up over both currencies and in neither",
    statements: [line("p", "a", 5), line("p", "b", -5, "usd"), posting("p")],
    refused: /adds up to zero/,
  },
  {
    title: "refuses lines without their posting, at commit",
    statements: [line("p", "a", 5), line("p", "b", -5)],
    refused: /foreign key/i,
  },
  {
    title: "refuses a line more to a posting that stands",
    statements: [line("p", "a", 5), line("p", "b", -5), posting("p"), line("p", "c", 1)],
    refused: /gets no line more/,
  },
  {
    title: "refuses lines behind their posting, even if they add up",
    statements: [posting("p"), line("p", "a", 5), line("p", "b", -5)],
    refused: /gets no line more/,
  },
  {
    title: "refuses to change a line",
    statements: [posting("p"), "update entries set amount = 6"],
    refused: /postings stay/,
  },
  {
    title: "refuses to delete a line",
    statements: [posting("p"), "delete from entries"],
    refused: /postings stay/,
  },
  {
    title: "refuses a second posting of one kind and subject",
    statements: [posting("p"), posting("q", "null", "p")],
    refused: /unique/i,
  },
  {
    title: "takes a reversal",
    statements: [posting("p"), posting("q", "'p'")],
    refused: null,
  },
  {
    title: "refuses a second reversal of one posting",
    statements: [posting("p"), posting("q", "'p'"), posting("r", "'p'")],
    refused: /unique/i,
  },
];

/** Something that stands already, so that updates and deletions find a row. */
const standing = [line("s", "x", 1), line("s", "y", -1), posting("s")];
const before = ["x sat 1", "y sat -1"];

function suite(open: () => Promise<Raw>): void {
  let raw: Raw;
  const close = () => raw.close();
  const start = async () => {
    raw = await open();
    await raw.run(standing);
  };
  beforeAll(start);
  afterAll(close);

  it.each(cases)("$title", async ({ statements, refused }) => {
    await close();
    await start();
    const outcome = await raw.run(statements).catch((error: Error) => error.message);
    if (refused === null) expect(outcome).toBeUndefined();
    else {
      expect(outcome).toMatch(refused);
      expect(await raw.balances()).toEqual(before);
    }
  });

  it("adds the balances up by itself", async () => {
    await close();
    await start();
    await raw.run([line("p", "x", 5), line("p", "z", -5), posting("p")]);
    await raw.run([line("q", "x", -2), line("q", "z", 2), posting("q")]);
    expect(await raw.balances()).toEqual(["x sat 4", "y sat -1", "z sat -3"]);
  });
}

describe("SQLite", () => suite(async () => sqliteRaw()));

describePostgres("Postgres", (server) => suite(async () => postgresRaw(await server.database())));
