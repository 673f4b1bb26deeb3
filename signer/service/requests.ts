/**
 * What clients have asked and what came of it, by the name that they gave each request: in a file of
 * the service's own. Losing it costs memory and no safety, because the journal of the guard is what
 * answers twice alike; so it is not synced with every request, and may be deleted while nothing runs.
 */
import Database from "better-sqlite3";
import type { Violation } from "../../policies/decide.ts";

export type RequestState = "working" | "unknown" | "signed" | "refused" | "held" | "failed";

export interface Asked {
  readonly client: string;
  /** `Idempotency-Key`, or the fingerprint where there was none. */
  readonly id: string;
  /** SHA-256 of what was asked, decoded; hex. */
  readonly fingerprint: string;
  readonly intent: string;
}

export interface Came {
  readonly state: Exclude<RequestState, "working" | "unknown">;
  readonly violations: readonly Violation[];
  /** Code of the fault, where it failed. */
  readonly code: string | null;
}

export interface RequestRecord {
  readonly id: string;
  /** `unknown`: the process ended meanwhile; ask again with the same request. */
  readonly state: RequestState;
  readonly intent: string;
  readonly askedAt: string;
  readonly answeredAt: string | null;
  readonly violations: readonly Violation[];
  readonly code: string | null;
}

export interface Requests {
  /** Remembers the request before it is asked; false where its name stands for another one. */
  readonly begin: (asked: Asked, atMs: number) => boolean;
  readonly end: (asked: Asked, came: Came, atMs: number) => void;
  readonly read: (client: string, id: string) => RequestRecord | null;
  readonly close: () => void;
}

const KEPT_MS = 30 * 24 * 3600 * 1000;
const KEPT_MAX = 100_000;
/** Old rows go once in so many requests. */
const PRUNE_EVERY = 1_000;

const TABLES = `
  CREATE TABLE IF NOT EXISTS requests (
    client TEXT NOT NULL, id TEXT NOT NULL, fingerprint TEXT NOT NULL, intent TEXT NOT NULL,
    asked_at INTEGER NOT NULL, answered_at INTEGER, state TEXT, violations TEXT, code TEXT,
    UNIQUE (client, id)
  ) STRICT;
  CREATE INDEX IF NOT EXISTS requests_by_age ON requests (asked_at);`;

interface Row {
  readonly fingerprint: string;
  readonly intent: string;
  readonly asked_at: number;
  readonly answered_at: number | null;
  readonly state: Came["state"] | null;
  readonly violations: string | null;
  readonly code: string | null;
}

export function openRequests(file: string): Requests {
  const db = new Database(file);
  db.pragma("journal_mode = WAL");
  db.pragma("synchronous = NORMAL");
  db.exec(TABLES);
  const read = db.prepare<[string, string], Row>(
    `SELECT fingerprint, intent, asked_at, answered_at, state, violations, code
       FROM requests WHERE client = ? AND id = ?`,
  );
  const insert = db.prepare(
    "INSERT INTO requests (client, id, fingerprint, intent, asked_at) VALUES (?, ?, ?, ?, ?)",
  );
  const settle = db.prepare(
    `UPDATE requests SET state = ?, violations = ?, code = ?, answered_at = ?
      WHERE client = ? AND id = ? AND state IS NOT 'signed'`,
  );
  const tooOld = db.prepare("DELETE FROM requests WHERE asked_at < ?");
  const tooMany = db.prepare(
    "DELETE FROM requests WHERE rowid <= (SELECT max(rowid) FROM requests) - ?",
  );
  /** Requests that this process works on; a row without an answer that is not here is unknown. */
  const working = new Map<string, number>();
  let begun = 0;

  function prune(atMs: number): void {
    begun += 1;
    if (begun % PRUNE_EVERY !== 1) return;
    tooOld.run(atMs - KEPT_MS);
    tooMany.run(KEPT_MAX);
  }

  return {
    begin({ client, id, fingerprint, intent }, atMs) {
      const known = read.get(client, id);
      if (known !== undefined && known.fingerprint !== fingerprint) return false;
      if (known === undefined) {
        prune(atMs);
        insert.run(client, id, fingerprint, intent, atMs);
      }
      const name = nameOf(client, id);
      working.set(name, (working.get(name) ?? 0) + 1);
      return true;
    },
    end({ client, id }, { state, violations, code }, atMs) {
      const name = nameOf(client, id);
      const more = (working.get(name) ?? 1) - 1;
      if (more === 0) working.delete(name);
      else working.set(name, more);
      settle.run(state, JSON.stringify(violations), code, atMs, client, id);
    },
    read(client, id) {
      const row = read.get(client, id);
      if (row === undefined) return null;
      const { intent, asked_at: asked, answered_at: answered, violations, code } = row;
      const atWork = working.has(nameOf(client, id)) ? "working" : "unknown";
      return {
        ...{ id, intent, code, state: row.state ?? atWork },
        askedAt: new Date(asked).toISOString(),
        answeredAt: answered === null ? null : new Date(answered).toISOString(),
        violations: JSON.parse(violations ?? "[]"),
      };
    },
    close: () => {
      db.close();
    },
  };
}

/** Neither part has a blank in it. */
const nameOf = (client: string, id: string) => `${client} ${id}`;
