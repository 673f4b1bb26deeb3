/** The journal's file: its tables, whose it is, that one process alone has it open, durably. */
import { closeSync, existsSync, openSync } from "node:fs";
import Database from "better-sqlite3";
import type { Network } from "../policies/bitcoin/network.ts";
import type { Role } from "../policies/vault.ts";
import { createMirror } from "./mirror.ts";

export interface JournalOptions {
  readonly file: string;
  readonly network: Network;
  readonly role: Role;
  /** A file in another place that remembers how far this journal has come; see mirror.ts. */
  readonly mirror?: string;
}

export class JournalError extends Error {
  readonly code:
    | "missing"
    | "exists"
    | "foreign"
    | "newer"
    | "in-use"
    | "damaged"
    | "older"
    | "outdated";
  constructor(code: JournalError["code"], detail: string, options?: ErrorOptions) {
    super(detail, options);
    this.name = "JournalError";
    this.code = code;
  }
}

/** Rises with every change of the tables; what no migration leads from is refused. */
const VERSION = 4;
/** Since version 4. */
const DEVICES = `
  -- What devices have sealed; see ledger/registrations.ts.
  CREATE TABLE device_registrations (
    fingerprint TEXT NOT NULL CHECK (fingerprint GLOB '${"[0-9a-f]".repeat(8)}'),
    policy TEXT NOT NULL CHECK (length(policy) = 64),
    vault TEXT NOT NULL,
    hmac TEXT NOT NULL CHECK (length(hmac) = 64 AND hmac NOT GLOB '*[^0-9a-f]*'),
    app_version TEXT NOT NULL, at INTEGER NOT NULL,
    PRIMARY KEY (fingerprint, policy)
  ) STRICT, WITHOUT ROWID;
  -- Transactions of which a device may have given signatures; see ledger/asked.ts.
  CREATE TABLE device_asked (txid TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
`;
/** By the version that they lead from, each to the next. */
const MIGRATIONS: Readonly<Record<string, string>> = { 3: DEVICES };
const SCHEMA = `
  CREATE TABLE journal (
    version INTEGER NOT NULL, network TEXT NOT NULL, role TEXT NOT NULL
  ) STRICT;
  -- One row. The clock and the height never fall, whatever the machine's clock or the node says.
  CREATE TABLE state (
    clock INTEGER NOT NULL, height INTEGER NOT NULL, paused INTEGER NOT NULL,
    pauses INTEGER NOT NULL
  ) STRICT;
  -- A transaction of an intent that this signer has bound itself to; see policies/claim.ts.
  CREATE TABLE claims (
    intent TEXT NOT NULL, txid TEXT NOT NULL, purpose TEXT NOT NULL, vault TEXT NOT NULL,
    anchor TEXT NOT NULL, outpoints TEXT NOT NULL, user_signed INTEGER NOT NULL,
    fixed TEXT NOT NULL, nonces TEXT NOT NULL,
    at INTEGER NOT NULL, height INTEGER NOT NULL, policy TEXT NOT NULL,
    PRIMARY KEY (intent, txid)
  ) STRICT;
  CREATE INDEX claims_vault ON claims (vault, user_signed, height);
  -- What each transaction took out of which account of the windows; see policies/velocity.ts.
  CREATE TABLE charges (
    account TEXT NOT NULL, intent TEXT NOT NULL, txid TEXT NOT NULL,
    sats INTEGER NOT NULL CHECK (sats >= 0), at INTEGER NOT NULL, height INTEGER NOT NULL,
    PRIMARY KEY (account, intent, txid)
  ) STRICT, WITHOUT ROWID;
  -- Covering: a window's sum reads the index alone.
  CREATE INDEX charges_at ON charges (account, at, intent, sats);
  CREATE INDEX charges_height ON charges (account, height, intent, sats);
  -- Outputs to registered vaults: where change went, and what is still on its way to a vault.
  CREATE TABLE places (
    outpoint TEXT PRIMARY KEY, intent TEXT NOT NULL, txid TEXT NOT NULL, vault TEXT NOT NULL,
    place INTEGER NOT NULL, sats INTEGER NOT NULL, gained INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX places_vault ON places (vault, place);
  CREATE INDEX places_gained ON places (vault, gained);
  CREATE INDEX places_claim ON places (intent, txid);
  -- Which coins were signed away, and for which intent: for one only, unless it was taken over.
  CREATE TABLE outpoints (
    outpoint TEXT NOT NULL, intent TEXT NOT NULL, PRIMARY KEY (outpoint, intent)
  ) STRICT, WITHOUT ROWID;
  -- An intent that took over coins of another: a cancel, or the user's own; see policies/yielding.ts.
  CREATE TABLE takes (
    intent TEXT NOT NULL, taken TEXT NOT NULL, PRIMARY KEY (intent, taken)
  ) STRICT, WITHOUT ROWID;
  -- What can be used for one intent only.
  CREATE TABLE nonces (nonce TEXT PRIMARY KEY, intent TEXT NOT NULL) STRICT, WITHOUT ROWID;
  -- Each vault's account as this signer last acted on it, and the statement last used for it.
  CREATE TABLE accounts (
    vault TEXT PRIMARY KEY, document TEXT NOT NULL, sequence INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  -- What users have told outside of any spend, in the order in which it was heard; see notices.ts.
  CREATE TABLE notices (
    heard INTEGER PRIMARY KEY, vault TEXT NOT NULL, text TEXT NOT NULL, signature TEXT NOT NULL,
    height INTEGER NOT NULL, at INTEGER NOT NULL, UNIQUE (vault, text)
  ) STRICT;
  CREATE TABLE signatures (
    digest TEXT PRIMARY KEY, intent TEXT NOT NULL, txid TEXT NOT NULL, bytes BLOB NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE answers (
    request TEXT PRIMARY KEY, digest TEXT NOT NULL REFERENCES signatures (digest)
  ) STRICT, WITHOUT ROWID;
  -- Every decision, each row chained to the one before it: see audit.ts.
  CREATE TABLE decisions (
    sequence INTEGER PRIMARY KEY, record TEXT NOT NULL, link TEXT NOT NULL
  ) STRICT;
  -- The head of that chain, signed at intervals.
  CREATE TABLE heads (
    sequence INTEGER PRIMARY KEY, link TEXT NOT NULL, key TEXT NOT NULL, signature TEXT NOT NULL
  ) STRICT;
  -- The same keys give the same addresses, so they are registered once, whoever is said to hold them.
  CREATE TABLE vaults (
    id TEXT PRIMARY KEY, keys TEXT NOT NULL UNIQUE, document TEXT NOT NULL,
    registered_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  -- The law: one policy in force, at most one announced, and those that were in force before. Clock
  -- and height say since when; of an announced one, from when its delay counts, and nothing as long
  -- as the signer's node has not been asked. See law.ts.
  CREATE TABLE policies (
    hash TEXT NOT NULL, version INTEGER NOT NULL, document TEXT NOT NULL,
    standing TEXT NOT NULL CHECK (standing IN ('past', 'in force', 'announced')),
    at INTEGER, height INTEGER
  ) STRICT;
  CREATE UNIQUE INDEX policies_standing ON policies (standing) WHERE standing <> 'past';
  CREATE UNIQUE INDEX policies_version ON policies (version) WHERE standing <> 'announced';
  ${DEVICES}
`;

/** Makes a new, empty journal: part of provisioning, never of a start. */
export function createJournal({ file, network, role, mirror }: JournalOptions): void {
  if (existsSync(file)) throw new JournalError("exists", `there is a journal at ${file} already`);
  // Made by us first, so that it is its owner's alone; SQLite's side files take the same mode.
  closeSync(openSync(file, "wx", 0o600));
  const db = new Database(file);
  durable(db);
  db.transaction(() => {
    db.exec(SCHEMA);
    db.prepare("INSERT INTO journal VALUES (?, ?, ?)").run(VERSION, network, role);
    db.prepare("INSERT INTO state VALUES (0, 0, 0, 0)").run();
  }).exclusive();
  db.close();
  if (mirror !== undefined) createMirror(mirror);
}

/** Opens the file of this network and role, and takes its lock; throws a JournalError. */
export function openJournalFile(options: JournalOptions): Database.Database {
  const { file } = options;
  if (!existsSync(file)) {
    throw new JournalError(
      "missing",
      `there is no journal at ${file}; a signer without its memory does not sign. Restore it from a backup, or provision a new signer with new keys`,
    );
  }
  const db = openDatabase(file);
  checkIdentity(db, options);
  return db;
}

function openDatabase(file: string): Database.Database {
  let db: Database.Database | null = null;
  try {
    db = new Database(file, { fileMustExist: true, timeout: 0 });
    durable(db);
    // Takes the lock now, not at the first claim: two signers on one journal are two memories.
    db.prepare("UPDATE state SET paused = paused").run();
    return db;
  } catch (error) {
    // A disk that fails here may be well again soon: the lock must not outlive the fault.
    db?.close();
    const code = error instanceof Error && "code" in error ? String(error.code) : "";
    if (code.startsWith("SQLITE_BUSY")) {
      throw new JournalError("in-use", `journal ${file} is open in another process`, {
        cause: error,
      });
    }
    throw new JournalError("damaged", `journal ${file} cannot be opened: ${code}`, {
      cause: error,
    });
  }
}

function durable(db: Database.Database): void {
  db.defaultSafeIntegers(true);
  db.pragma("locking_mode = EXCLUSIVE");
  db.pragma("journal_mode = WAL");
  // A commit is on the disk before it is believed (invariant 1).
  db.pragma("synchronous = FULL");
  db.pragma("foreign_keys = ON");
}

function checkIdentity(db: Database.Database, { file, network, role }: JournalOptions): void {
  let row = identityOf(db, file);
  if (row === undefined || row.network !== network || row.role !== role) {
    db.close();
    throw new JournalError(
      "foreign",
      `journal ${file} belongs to the ${row?.role} on ${row?.network}, not to the ${role} on ${network}`,
    );
  }
  row = migrated(db, { file, row });
  if (row.version !== BigInt(VERSION)) {
    db.close();
    const later = row.version > BigInt(VERSION);
    throw new JournalError(
      later ? "newer" : "outdated",
      `journal ${file} was written by ${later ? "a later" : "an earlier"} version of Ballast`,
    );
  }
}

/** Each step whole or not at all: a crash between two leaves a journal of a version that is known. */
function migrated(
  db: Database.Database,
  { file, row }: { readonly file: string; readonly row: IdentityRow },
): IdentityRow {
  const step = MIGRATIONS[String(row.version)];
  if (step === undefined) return row;
  const version = row.version + 1n;
  try {
    db.transaction(() => {
      db.exec(step);
      db.prepare("UPDATE journal SET version = ?").run(version);
    }).exclusive();
  } catch (error) {
    db.close();
    const detail = `journal ${file} cannot be brought from version ${row.version} to ${version}`;
    throw new JournalError("damaged", detail, { cause: error });
  }
  return migrated(db, { file, row: { ...row, version } });
}

interface IdentityRow {
  readonly version: bigint;
  readonly network: string;
  readonly role: string;
}

function identityOf(db: Database.Database, file: string): IdentityRow | undefined {
  try {
    return db.prepare<[], IdentityRow>("SELECT * FROM journal").get();
  } catch (error) {
    db.close();
    throw new JournalError("damaged", `${file} is no journal`, { cause: error });
  }
}
