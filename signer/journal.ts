/**
 * What this signer has bound itself to, in a SQLite file of its own that no other process may open.
 * Claims are written before a key is asked, answers before they are released (invariants 1 to 4).
 * A journal that is missing, foreign or newer than the code stops the signer: a signer without its
 * memory would sign twice.
 */
import { closeSync, existsSync, openSync } from "node:fs";
import Database from "better-sqlite3";
import type { Network } from "../policies/bitcoin/network.ts";
import type { Decision, Violation } from "../policies/decide.ts";
import {
  BLOCKS_PER_HOUR,
  type Claim,
  type History,
  HOUR_MS,
  nextClock,
} from "../policies/history.ts";
import type { Policy } from "../policies/policy.ts";
import type { Role } from "../policies/vault.ts";
import { type AuditRecord, nextLink } from "./audit.ts";

export interface Journal {
  /** The SQLite handle, for the other owners of tables in this file: vaults.ts. */
  readonly database: Database.Database;
  /**
   * In one transaction: advances clock and height, hands the history to `decide`, writes the
   * decision to the audit chain and, if it is an approval, claims every outpoint. All or nothing.
   */
  readonly claim: (claim: ClaimRequest, decide: (history: History) => Decision) => Decision;
  /** Signatures already made over this digest of signature hashes; null when there are none. */
  readonly signatures: (digest: string) => readonly Uint8Array[] | null;
  /** Stores signatures for good; if some are there already, those are returned and kept. */
  readonly record: (answer: Answer) => readonly Uint8Array[];
  /** The digest under which this very request was answered; a pause stops its release, not this. */
  readonly answered: (request: string) => string | null;
  readonly paused: () => boolean;
  readonly pause: () => void;
  readonly counts: () => JournalCounts;
  readonly close: () => void;
}

export interface ClaimRequest {
  /** What will be claimed if approved; clock and height are the journal's to say. */
  readonly spend: Omit<Claim, "at" | "height" | "anchor">;
  readonly policy: Policy;
  /** Wall clock in milliseconds, and the chain view's height and median time. */
  readonly wall: number;
  readonly height: number;
  readonly medianTimeMs: number;
}

export interface Answer {
  /** Hash of intent and PSBT bytes asked. */
  readonly request: string;
  readonly digest: string;
  readonly intent: string;
  readonly txid: string;
  readonly signatures: readonly Uint8Array[];
}

export interface JournalCounts {
  readonly claims: number;
  readonly answers: number;
  readonly decisions: number;
}

export interface JournalOptions {
  readonly file: string;
  readonly network: Network;
  readonly role: Role;
}

export class JournalError extends Error {
  readonly code: "missing" | "exists" | "foreign" | "newer" | "in-use" | "damaged";
  constructor(code: JournalError["code"], detail: string, options?: ErrorOptions) {
    super(detail, options);
    this.name = "JournalError";
    this.code = code;
  }
}

/** Rises with every change of the tables; a journal of a later version is refused. */
const VERSION = 1;
const SIGNATURE_BYTES = 64;

const SCHEMA = `
  CREATE TABLE journal (
    version INTEGER NOT NULL, network TEXT NOT NULL, role TEXT NOT NULL
  ) STRICT;
  -- One row. The clock and the height never fall, whatever the machine's clock or the node says.
  CREATE TABLE state (
    clock INTEGER NOT NULL, height INTEGER NOT NULL, paused INTEGER NOT NULL
  ) STRICT;
  -- A transaction of an intent that this signer has bound itself to.
  CREATE TABLE claims (
    intent TEXT NOT NULL, txid TEXT NOT NULL, purpose TEXT NOT NULL, vault TEXT NOT NULL,
    anchor TEXT NOT NULL, outpoints TEXT NOT NULL,
    sats INTEGER NOT NULL CHECK (sats >= 0), change_index INTEGER,
    at INTEGER NOT NULL, height INTEGER NOT NULL, policy TEXT NOT NULL,
    PRIMARY KEY (intent, txid)
  ) STRICT;
  -- Covering: a window's sum reads the index alone.
  CREATE INDEX claims_at ON claims (at, intent, sats);
  CREATE INDEX claims_height ON claims (height, intent, sats);
  CREATE INDEX claims_vault ON claims (vault, change_index);
  -- A coin belongs to one intent for good.
  CREATE TABLE outpoints (
    outpoint TEXT PRIMARY KEY, intent TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
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
  -- The same keys give the same addresses, so they are registered once, whoever is said to hold them.
  CREATE TABLE vaults (
    id TEXT PRIMARY KEY, keys TEXT NOT NULL UNIQUE, document TEXT NOT NULL,
    registered_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
`;

/** Makes a new, empty journal: part of provisioning, never of a start. */
export function createJournal({ file, network, role }: JournalOptions): void {
  if (existsSync(file)) throw new JournalError("exists", `there is a journal at ${file} already`);
  // Made by us first, so that it is its owner's alone; SQLite's side files take the same mode.
  closeSync(openSync(file, "wx", 0o600));
  const db = new Database(file);
  durable(db);
  db.transaction(() => {
    db.exec(SCHEMA);
    db.prepare("INSERT INTO journal VALUES (?, ?, ?)").run(VERSION, network, role);
    db.prepare("INSERT INTO state VALUES (0, 0, 0)").run();
  }).exclusive();
  db.close();
}

export function openJournal({ file, network, role }: JournalOptions): Journal {
  if (!existsSync(file)) {
    throw new JournalError(
      "missing",
      `there is no journal at ${file}; a signer without its memory does not sign. Restore it from a backup, or provision a new signer with new keys`,
    );
  }
  const db = openDatabase(file);
  checkIdentity(db, { file, network, role });

  const statements = {
    state: db.prepare<[], StateRow>("SELECT clock, height, paused FROM state"),
    advance: db.prepare("UPDATE state SET clock = ?, height = ?"),
    pause: db.prepare("UPDATE state SET paused = 1"),
    byIntent: db.prepare<[string], ClaimRow>("SELECT * FROM claims WHERE intent = ?"),
    owner: db.prepare<[string], { intent: string }>(
      "SELECT intent FROM outpoints WHERE outpoint = ?",
    ),
    chargedByClock: db.prepare<[bigint, string], { sats: bigint }>(
      "SELECT coalesce(sum(sats), 0) AS sats FROM claims WHERE at > ? AND intent <> ?",
    ),
    chargedByHeight: db.prepare<[bigint, string], { sats: bigint }>(
      "SELECT coalesce(sum(sats), 0) AS sats FROM claims WHERE height > ? AND intent <> ?",
    ),
    changeIndex: db.prepare<[string], { highest: bigint | null }>(
      "SELECT max(change_index) AS highest FROM claims WHERE vault = ?",
    ),
    insertClaim: db.prepare(
      // A claim whose signature has not left yet is charged when it is asked for again: what leaves
      // late leaves in that window (invariant 4).
      `INSERT INTO claims VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (intent, txid) DO UPDATE SET at = excluded.at, height = excluded.height
       WHERE NOT EXISTS (SELECT 1 FROM signatures WHERE signatures.txid = excluded.txid)`,
    ),
    insertOutpoint: db.prepare("INSERT INTO outpoints VALUES (?, ?) ON CONFLICT DO NOTHING"),
    signatures: db.prepare<[string], { bytes: Buffer }>(
      "SELECT bytes FROM signatures WHERE digest = ?",
    ),
    insertSignatures: db.prepare(
      "INSERT INTO signatures VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
    ),
    answered: db.prepare<[string], { digest: string }>(
      "SELECT digest FROM answers WHERE request = ?",
    ),
    insertAnswer: db.prepare("INSERT INTO answers VALUES (?, ?) ON CONFLICT DO NOTHING"),
    head: db.prepare<[], { link: string }>(
      "SELECT link FROM decisions ORDER BY sequence DESC LIMIT 1",
    ),
    insertDecision: db.prepare("INSERT INTO decisions (record, link) VALUES (?, ?)"),
    counts: db.prepare<[], { claims: bigint; answers: bigint; decisions: bigint }>(
      `SELECT (SELECT count(*) FROM claims) AS claims, (SELECT count(*) FROM answers) AS answers,
              (SELECT count(*) FROM decisions) AS decisions`,
    ),
  };

  function state(): StateRow {
    const row = statements.state.get();
    if (row === undefined) throw new JournalError("damaged", `journal ${file} has lost its state`);
    return row;
  }

  function historyFor(request: ClaimRequest, now: number, height: number): History {
    const { intent, vault, outpoints } = request.spend;
    const intents = new Set([intent]);
    for (const outpoint of outpoints) {
      const owner = statements.owner.get(outpoint);
      if (owner !== undefined) intents.add(owner.intent);
    }
    const wanted = new Set(outpoints);
    const related = [...intents]
      .flatMap((id) => statements.byIntent.all(id).map(claimOf))
      .filter(
        (claim) =>
          claim.intent === intent || claim.outpoints.some((outpoint) => wanted.has(outpoint)),
      );
    return {
      paused: state().paused !== 0n,
      height,
      related,
      charged: request.policy.withdrawal.windows.map(({ hours }) => {
        const since = BigInt(now - hours * HOUR_MS);
        const above = BigInt(height - hours * BLOCKS_PER_HOUR);
        const byClock = statements.chargedByClock.get(since, intent)?.sats ?? 0n;
        const byHeight = statements.chargedByHeight.get(above, intent)?.sats ?? 0n;
        return byClock > byHeight ? byClock : byHeight;
      }),
      changeIndex: Number(statements.changeIndex.get(vault)?.highest ?? -1n),
    };
  }

  function write(request: ClaimRequest, at: number, height: number): void {
    const { spend, policy } = request;
    const anchor = statements.byIntent.get(spend.intent)?.anchor ?? spend.outpoints[0] ?? "";
    statements.insertClaim.run(
      spend.intent,
      spend.txid,
      spend.purpose,
      spend.vault,
      anchor,
      JSON.stringify(spend.outpoints),
      spend.sats,
      spend.changeIndex,
      at,
      height,
      policy.hash,
    );
    for (const outpoint of spend.outpoints) {
      statements.insertOutpoint.run(outpoint, spend.intent);
      // The rule coins-unclaimed has refused a coin of another intent; this is the second lock.
      if (statements.owner.get(outpoint)?.intent !== spend.intent) {
        throw new JournalError("damaged", `BUG: ${outpoint} would belong to two intents`);
      }
    }
  }

  const claim = db.transaction(
    (request: ClaimRequest, decide: (history: History) => Decision): Decision => {
      const before = state();
      const clock = nextClock({
        before: Number(before.clock),
        wall: request.wall,
        medianTime: request.medianTimeMs,
      });
      const height = Math.max(Number(before.height), request.height);
      const decision = decide(historyFor(request, clock, height));
      statements.advance.run(clock, height);
      if (decision.kind === "approved") write(request, clock, height);
      const record: AuditRecord = {
        at: clock,
        height,
        intent: request.spend.intent,
        txid: request.spend.txid,
        policy: request.policy.hash,
        verdict: decision.kind,
        violations: decision.kind === "approved" ? [] : remembered(decision.violations),
      };
      const { text, link } = nextLink(statements.head.get()?.link ?? null, record);
      statements.insertDecision.run(text, link);
      return decision;
    },
  );

  const record = db.transaction((answer: Answer): readonly Uint8Array[] => {
    const bytes = Buffer.concat(answer.signatures);
    statements.insertSignatures.run(answer.digest, answer.intent, answer.txid, bytes);
    statements.insertAnswer.run(answer.request, answer.digest);
    return stored(answer.digest) ?? answer.signatures;
  });

  function stored(digest: string): readonly Uint8Array[] | null {
    const row = statements.signatures.get(digest);
    if (row === undefined) return null;
    return Array.from({ length: row.bytes.length / SIGNATURE_BYTES }, (_, i) =>
      Uint8Array.from(row.bytes.subarray(i * SIGNATURE_BYTES, (i + 1) * SIGNATURE_BYTES)),
    );
  }

  return {
    database: db,
    claim: (request, decide) => claim.immediate(request, decide),
    signatures: stored,
    record: (answer) => record.immediate(answer),
    answered: (request) => statements.answered.get(request)?.digest ?? null,
    paused: () => state().paused !== 0n,
    pause: () => {
      statements.pause.run();
    },
    counts: () => {
      const row = statements.counts.get();
      return {
        claims: Number(row?.claims ?? 0n),
        answers: Number(row?.answers ?? 0n),
        decisions: Number(row?.decisions ?? 0n),
      };
    },
    close: () => {
      db.close();
    },
  };
}

interface StateRow {
  readonly clock: bigint;
  readonly height: bigint;
  readonly paused: bigint;
}

interface ClaimRow {
  readonly intent: string;
  readonly txid: string;
  readonly purpose: string;
  readonly vault: string;
  readonly anchor: string;
  /** JSON: the inputs in their order. */
  readonly outpoints: string;
  readonly sats: bigint;
  readonly change_index: bigint | null;
  readonly at: bigint;
  readonly height: bigint;
}

function claimOf(row: ClaimRow): Claim {
  return {
    intent: row.intent,
    purpose: row.purpose,
    vault: row.vault,
    txid: row.txid,
    anchor: row.anchor,
    outpoints: JSON.parse(row.outpoints),
    sats: row.sats,
    changeIndex: row.change_index === null ? null : Number(row.change_index),
    at: Number(row.at),
    height: Number(row.height),
  };
}

function openDatabase(file: string): Database.Database {
  try {
    const db = new Database(file, { fileMustExist: true, timeout: 0 });
    durable(db);
    // Takes the lock now, not at the first claim: two signers on one journal are two memories.
    db.prepare("UPDATE state SET paused = paused").run();
    return db;
  } catch (error) {
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
  const row = identityOf(db, file);
  if (row === undefined || row.network !== network || row.role !== role) {
    db.close();
    throw new JournalError(
      "foreign",
      `journal ${file} belongs to the ${row?.role} on ${row?.network}, not to the ${role} on ${network}`,
    );
  }
  if (row.version > BigInt(VERSION)) {
    db.close();
    throw new JournalError("newer", `journal ${file} was written by a later version of Ballast`);
  }
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

/** The log keeps what a person needs to understand a refusal, not all that a hostile PSBT says. */
const REMEMBERED_MAX = 8;
const REMEMBERED_CHARACTERS_MAX = 120;

function remembered(violations: readonly Violation[]): readonly Violation[] {
  return violations.slice(0, REMEMBERED_MAX).map((violation) => ({
    ...violation,
    detail: violation.detail.slice(0, REMEMBERED_CHARACTERS_MAX),
  }));
}
