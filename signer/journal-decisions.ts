/** The decision log in the journal: records chained one to the next, and the signed heads among them. */
import type Database from "better-sqlite3";
import type { Violation } from "../policies/decide.ts";
import { type AuditHead, type AuditLog, type AuditRecord, GENESIS, nextLink } from "./audit.ts";
import type { HighWater } from "./mirror.ts";

export interface DecisionLog {
  /** The whole decision log with its signed heads. */
  readonly auditLog: () => AuditLog;
  /** At most `limit` records from this number on, and the heads that attest records among them. */
  readonly auditPage: (from: number, limit: number) => AuditLog;
  /** The last decision, where no head attests it yet. */
  readonly unattested: () => HighWater | null;
  /** Keeps a signed head of this log; a head of another one is a bug. */
  readonly attest: (head: AuditHead) => void;
  /** Number and link of the last decision: what the mirror holds when all is well. */
  readonly highWater: () => HighWater;
}

export interface DecisionWriter extends DecisionLog {
  /** One more record, within the caller's transaction. */
  readonly append: (record: AuditRecord) => HighWater;
  /** The link of a record; undefined where there is none of this number. */
  readonly linkAt: (sequence: number) => string | undefined;
}

export function decisionLog(db: Database.Database): DecisionWriter {
  const statements = {
    lines: db.prepare<[], LineRow>(
      "SELECT sequence, record, link FROM decisions ORDER BY sequence",
    ),
    line: db.prepare<[number], LineRow>(
      "SELECT sequence, record, link FROM decisions WHERE sequence = ?",
    ),
    last: db.prepare<[], LineRow>(
      "SELECT sequence, record, link FROM decisions ORDER BY sequence DESC LIMIT 1",
    ),
    page: db.prepare<[number, number], LineRow>(
      "SELECT sequence, record, link FROM decisions WHERE sequence >= ? ORDER BY sequence LIMIT ?",
    ),
    append: db.prepare("INSERT INTO decisions (record, link) VALUES (?, ?)"),
    heads: db.prepare<[], HeadRow>("SELECT * FROM heads ORDER BY sequence"),
    lastHead: db.prepare<[], { sequence: bigint }>(
      "SELECT sequence FROM heads ORDER BY sequence DESC LIMIT 1",
    ),
    pageHeads: db.prepare<[number, number], HeadRow>(
      "SELECT * FROM heads WHERE sequence >= ? AND sequence < ? ORDER BY sequence",
    ),
    attest: db.prepare("INSERT INTO heads VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"),
  };
  const linkAt = (sequence: number) => statements.line.get(sequence)?.link;
  return {
    linkAt,
    append: (record) => {
      const { text, link } = nextLink(statements.last.get()?.link ?? null, record);
      const sequence = Number(statements.append.run(text, link).lastInsertRowid);
      return { sequence, link };
    },
    auditLog: () => ({
      lines: statements.lines.all().map(numbered),
      heads: statements.heads.all().map(numbered),
    }),
    auditPage: (from, limit) => ({
      lines: statements.page.all(from, limit).map(numbered),
      heads: statements.pageHeads.all(from, from + limit).map(numbered),
    }),
    highWater: () => {
      const row = statements.last.get();
      return row === undefined
        ? { sequence: 0, link: GENESIS }
        : { sequence: Number(row.sequence), link: row.link };
    },
    unattested: () => {
      const row = statements.last.get();
      if (row === undefined) return null;
      const sequence = Number(row.sequence);
      const attested = Number(statements.lastHead.get()?.sequence ?? 0n);
      return attested >= sequence ? null : { sequence, link: row.link };
    },
    attest: ({ sequence, link, key, signature }) => {
      if (linkAt(sequence) !== link) throw new Error("BUG: a head of another log");
      statements.attest.run(sequence, link, key, signature);
    },
  };
}

/** SQLite's integers are read as bigints; sequences are small. */
function numbered<Row extends { readonly sequence: bigint }>(row: Row) {
  return { ...row, sequence: Number(row.sequence) };
}

interface LineRow {
  readonly sequence: bigint;
  readonly record: string;
  readonly link: string;
}

interface HeadRow {
  readonly sequence: bigint;
  readonly link: string;
  readonly key: string;
  readonly signature: string;
}

/** The log keeps what a person needs to understand a refusal, not all that a hostile PSBT says. */
const REMEMBERED_MAX = 8;
const REMEMBERED_CHARACTERS_MAX = 120;

export function remembered(violations: readonly Violation[]): readonly Violation[] {
  return violations.slice(0, REMEMBERED_MAX).map((violation) => ({
    ...violation,
    detail: violation.detail.slice(0, REMEMBERED_CHARACTERS_MAX),
  }));
}
