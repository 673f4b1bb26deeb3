/**
 * A journal's memory as a document, format `ballast/journal@1`, to move a signer to another machine
 * or to give it back what it has forgotten. An import only adds: what a signer has bound itself to
 * stays bound, clock and height take the higher value, a pause stays a pause (issue 3). The decision
 * log is not part of it; it has a file of its own, see audit-file.ts.
 *
 * Policies that are or were in force travel, too. The first journal of a signer takes over the one in
 * force; any other keeps its own and takes note of the rest, so that nothing older than the newest
 * of all may be configured. What was announced is announced anew where the signer starts.
 */
import type Database from "better-sqlite3";
import { z } from "zod";
import { type Policy, PolicyError, readPolicy } from "../policies/document/policy.ts";
import { openPolicies } from "./policies.ts";

/** The tables that travel, with their columns in order. */
const TABLES = {
  claims: "intent txid purpose vault anchor outpoints user_signed fixed nonces at height policy",
  charges: "account intent txid sats at height",
  places: "outpoint intent txid vault place sats gained",
  takes: "intent taken",
  outpoints: "outpoint intent",
  nonces: "nonce intent",
  accounts: "vault document sequence",
  notices: "vault text signature height at",
  signatures: "digest intent txid bytes",
  answers: "request digest",
  vaults: "id keys document registered_at",
  device_registrations: "fingerprint policy vault hmac app_version at",
  device_asked: "txid",
} as const;
type Table = keyof typeof TABLES;
const TABLE_NAMES = Object.keys(TABLES) as readonly Table[];

/** Text, whole numbers as decimal texts with a leading #, bytes as hex with a leading 0x, or null. */
const cell = z.union([z.string().max(100_000), z.null()]);
const rows = z.array(z.array(cell));
const schema = z.strictObject({
  format: z.literal("ballast/journal@1"),
  network: z.string(),
  role: z.string(),
  clock: z.int().nonnegative(),
  height: z.int().nonnegative(),
  paused: z.boolean(),
  pauses: z.int().nonnegative(),
  policies: z
    .array(
      z.strictObject({
        standing: z.enum(["in force", "past"]),
        document: z.record(z.string(), z.unknown()),
        since: z
          .strictObject({ clock: z.int().nonnegative(), height: z.int().nonnegative() })
          .nullable(),
      }),
    )
    .max(10_000)
    .default([]),
  tables: z.strictObject({
    claims: rows,
    charges: rows,
    places: rows,
    takes: rows,
    outpoints: rows,
    nonces: rows,
    accounts: rows,
    notices: rows,
    signatures: rows,
    answers: rows,
    vaults: rows,
    // Documents of earlier versions know of no devices.
    device_registrations: rows.default([]),
    device_asked: rows.default([]),
  }),
});

export type JournalDocument = z.output<typeof schema>;

export class InterchangeError extends Error {
  override readonly name = "InterchangeError";
}

interface Identity {
  readonly network: string;
  readonly role: string;
}

interface State {
  readonly clock: bigint;
  readonly height: bigint;
  readonly paused: bigint;
  readonly pauses: bigint;
}

export function exportJournal(db: Database.Database): JournalDocument {
  const identity = one<Identity>(db, "SELECT network, role FROM journal");
  const state = one<State>(db, "SELECT * FROM state");
  const table = (name: Table) =>
    db
      // Notices go in the order in which they were heard, everything else by its key.
      .prepare<[], Record<string, unknown>>(
        `SELECT * FROM ${name} ORDER BY ${TABLES[name].includes(" ") ? "1, 2" : "1"}`,
      )
      .all()
      .map((row) => TABLES[name].split(" ").map((column) => written(row[column])));
  return {
    format: "ballast/journal@1",
    ...identity,
    clock: Number(state.clock),
    height: Number(state.height),
    paused: state.paused !== 0n,
    pauses: Number(state.pauses),
    policies: openPolicies(db)
      .known()
      .map(({ standing, document, since }) => ({
        standing,
        document: document as Record<string, unknown>,
        since,
      })),
    tables: {
      claims: table("claims"),
      charges: table("charges"),
      places: table("places"),
      takes: table("takes"),
      outpoints: table("outpoints"),
      nonces: table("nonces"),
      accounts: table("accounts"),
      notices: table("notices"),
      signatures: table("signatures"),
      answers: table("answers"),
      vaults: table("vaults"),
      device_registrations: table("device_registrations"),
      device_asked: table("device_asked"),
    },
  };
}

/** Adds what is missing, all or nothing; says how many rows of each table are new. */
export function importJournal(
  db: Database.Database,
  value: unknown,
): Readonly<Record<Table, number>> {
  const parsed = schema.safeParse(value);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new InterchangeError(
      `not a journal document: ${issue?.path.join(".") || "document"}: ${issue?.message}`,
    );
  }
  const document = parsed.data;
  const own = one<Identity>(db, "SELECT network, role FROM journal");
  if (own.network !== document.network || own.role !== document.role) {
    throw new InterchangeError(
      `the document is of the ${document.role} on ${document.network}, this journal of the ${own.role} on ${own.network}`,
    );
  }
  return db
    .transaction(() => {
      db.prepare(
        `UPDATE state SET clock = max(clock, ?), height = max(height, ?),
                          paused = max(paused, ?), pauses = max(pauses, ?)`,
      ).run(document.clock, document.height, document.paused ? 1 : 0, document.pauses);
      mergePolicies(db, document.policies);
      const added = TABLE_NAMES.map((name) => [name, merge(db, name, document.tables[name])]);
      refuseDoubleClaims(db);
      return Object.fromEntries(added) as Record<Table, number>;
    })
    .immediate();
}

function mergePolicies(db: Database.Database, all: JournalDocument["policies"]): void {
  const policies = openPolicies(db);
  const first = policies.standing().inForce === null;
  const own = new Map(policies.known().map(({ policy }) => [policy.version, policy.hash]));
  for (const [i, { standing, document, since }] of all.entries()) {
    const policy = readOrRefuse(document, `policies.${i}`);
    const hash = own.get(policy.version);
    if (hash === policy.hash) continue;
    if (hash !== undefined) {
      throw new InterchangeError(
        `policies.${i}: this journal knows version ${policy.version} with other content`,
      );
    }
    own.set(policy.version, policy.hash);
    if (first && standing === "in force") {
      policies.enact(policy, document, since ?? { clock: 0, height: 0 });
    } else policies.remember({ policy, document, since });
  }
}

function readOrRefuse(document: unknown, where: string): Policy {
  try {
    return readPolicy(document);
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    throw new InterchangeError(`${where}: ${error.message}`, { cause: error });
  }
}

const LATER_ACCOUNT = `(vault) DO UPDATE SET document = excluded.document,
  sequence = excluded.sequence WHERE excluded.sequence > accounts.sequence`;

function merge(db: Database.Database, name: Table, all: JournalDocument["tables"][Table]): number {
  const columns = TABLES[name].split(" ");
  const insert = db.prepare(
    `INSERT INTO ${name} (${columns.join(", ")}) VALUES (${columns.map(() => "?").join(", ")})
     ON CONFLICT ${name === "accounts" ? LATER_ACCOUNT : "DO NOTHING"}`,
  );
  // The same key with other content: two memories that contradict each other.
  const same = db.prepare<unknown[], { n: bigint }>(
    `SELECT count(*) AS n FROM ${name} WHERE ${columns.map((column) => `${column} IS ?`).join(" AND ")}`,
  );
  let added = 0;
  for (const [i, row] of all.entries()) {
    if (row.length !== columns.length) {
      throw new InterchangeError(`tables.${name}.${i}: ${row.length} cells, not ${columns.length}`);
    }
    const values = row.map((value) => read(value, `tables.${name}.${i}`));
    try {
      added += insert.run(...values).changes;
    } catch (error) {
      throw new InterchangeError(`tables.${name}.${i} does not fit`, { cause: error });
    }
    if (!GROWING.has(name) && (same.get(...values)?.n ?? 0n) === 0n) {
      throw new InterchangeError(
        `tables.${name}.${i}: this journal says something else of ${String(row[0])}`,
      );
    }
  }
  return added;
}

/**
 * Two memories may have heard a notice at another height, know another state of an account, or have
 * registered a vault on a device at another time: what is there stays, and of an account the later
 * state counts. A wrong seal of a device shows at its next use, and lets nothing be signed.
 */
const GROWING: ReadonlySet<Table> = new Set<Table>(["notices", "accounts", "device_registrations"]);

/** Every outpoint of every claim belongs to the claim's intent, and to none but who took it over. */
function refuseDoubleClaims(db: Database.Database): void {
  const wrong = db
    .prepare<[], { outpoint: string }>(
      `SELECT json_each.value AS outpoint FROM claims, json_each(claims.outpoints)
       WHERE NOT EXISTS (
         SELECT 1 FROM outpoints
         WHERE outpoints.outpoint = json_each.value AND outpoints.intent = claims.intent
       )
       UNION
       SELECT one.outpoint FROM outpoints AS one
       JOIN outpoints AS other ON other.outpoint = one.outpoint AND other.intent > one.intent
       WHERE NOT EXISTS (
         SELECT 1 FROM takes
         WHERE (takes.intent = one.intent AND takes.taken = other.intent)
            OR (takes.intent = other.intent AND takes.taken = one.intent)
       ) LIMIT 1`,
    )
    .get();
  if (wrong !== undefined) {
    throw new InterchangeError(`${wrong.outpoint} would belong to two intents, or to none`);
  }
}

function one<Row>(db: Database.Database, sql: string): Row {
  const row = db.prepare<[], Row>(sql).get();
  if (row === undefined) throw new InterchangeError("this journal has lost its state");
  return row;
}

function written(value: unknown): string | null {
  if (value === null) return null;
  if (typeof value === "bigint") return `#${value}`;
  if (value instanceof Uint8Array) return `0x${Buffer.from(value).toString("hex")}`;
  return `"${String(value)}`;
}

function read(value: string | null, where: string): string | bigint | Buffer | null {
  if (value === null) return null;
  if (value.startsWith('"')) return value.slice(1);
  if (/^#(?:0|[1-9][0-9]{0,17})$/.test(value)) return BigInt(value.slice(1));
  if (/^0x(?:[0-9a-f]{2})*$/.test(value)) return Buffer.from(value.slice(2), "hex");
  throw new InterchangeError(`${where}: a cell is no text, number or bytes`);
}
