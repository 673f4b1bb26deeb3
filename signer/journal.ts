/**
 * What this signer has bound itself to, in a SQLite file of its own that no other process may open.
 * Claims are written before a key is asked, answers before they are released (invariants 1 to 4).
 * A journal that is missing, foreign or newer than the code stops the signer: a signer without its
 * memory would sign twice.
 */
import type Database from "better-sqlite3";
import type { Decision, Violation } from "../policies/decide.ts";
import {
  BLOCKS_PER_HOUR,
  type Claim,
  type History,
  HOUR_MS,
  nextClock,
} from "../policies/history.ts";
import { type Bound, boundKey, type Charge } from "../policies/velocity.ts";
import { type AuditLog, type AuditRecord, GENESIS, nextLink, signHead } from "./audit.ts";
import { JournalError, type JournalOptions, openJournalFile } from "./journal-file.ts";
import { type HighWater, readMirror, writeMirror } from "./mirror.ts";

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
  /** Advances clock and height, as a claim does, and says where they are. */
  readonly advance: (reading: Reading) => Moment;
  readonly moment: () => Moment;
  /** Every claim with its charges, the oldest first. */
  readonly claims: () => readonly Claim[];
  readonly paused: () => boolean;
  /** Pulls the kill switch; pulled again it stays as it is. */
  readonly pause: () => void;
  /** How often this signer has been paused: what an agreement to resume is bound to. */
  readonly pauses: () => number;
  /** Ends the pause of this number, on the word of the quorum; false when it is another one. */
  readonly resume: (pause: number) => boolean;
  readonly counts: () => JournalCounts;
  /** The whole decision log with its signed heads. */
  readonly auditLog: () => AuditLog;
  readonly close: () => void;
}

/** What the machine's clock and the signer's node say. */
export interface Reading {
  /** Wall clock in milliseconds, and the chain view's height and median time. */
  readonly wall: number;
  readonly height: number;
  readonly medianTimeMs: number;
}

/** The journal's own clock and height, which never fall. */
export interface Moment {
  readonly clock: number;
  readonly height: number;
}

export interface ClaimRequest extends Reading {
  /** What will be claimed if approved; clock and height are the journal's to say. */
  readonly spend: Omit<Claim, "at" | "height" | "anchor">;
  /** Hash of the policy in force. */
  readonly policy: string;
  /** The windows that the policy holds the spend against. */
  readonly bounds: readonly Pick<Bound, "account" | "hours">[];
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

const SIGNATURE_BYTES = 64;

/** A forger of the log can rewrite at most so many decisions without the key of the heads. */
const DECISIONS_PER_HEAD = 16;

export function openJournal(options: JournalOptions): Journal {
  const { file } = options;
  const db = openJournalFile(options);

  const statements = {
    state: db.prepare<[], StateRow>("SELECT clock, height, paused, pauses FROM state"),
    advance: db.prepare("UPDATE state SET clock = ?, height = ?"),
    pause: db.prepare("UPDATE state SET paused = 1, pauses = pauses + 1 WHERE paused = 0"),
    resume: db.prepare("UPDATE state SET paused = 0 WHERE paused = 1 AND pauses = ?"),
    byIntent: db.prepare<[string], ClaimRow>("SELECT * FROM claims WHERE intent = ?"),
    claims: db.prepare<[], ClaimRow>("SELECT * FROM claims ORDER BY at, height, rowid"),
    owner: db.prepare<[string], { intent: string }>(
      "SELECT intent FROM outpoints WHERE outpoint = ?",
    ),
    chargedByClock: db.prepare<[string, bigint, string], { sats: bigint }>(
      `SELECT coalesce(sum(sats), 0) AS sats FROM charges
       WHERE account = ? AND at > ? AND intent <> ?`,
    ),
    chargedByHeight: db.prepare<[string, bigint, string], { sats: bigint }>(
      `SELECT coalesce(sum(sats), 0) AS sats FROM charges
       WHERE account = ? AND height > ? AND intent <> ?`,
    ),
    chargesOf: db.prepare<[string, string], ChargeRow>(
      "SELECT account, sats FROM charges WHERE intent = ? AND txid = ? ORDER BY account",
    ),
    chargedBefore: db.prepare<[string, string, string], { sats: bigint }>(
      `SELECT coalesce(sum(sats), 0) AS sats FROM charges
       WHERE account = ? AND intent = ? AND txid <> ?`,
    ),
    insertCharge: db.prepare(
      `INSERT INTO charges VALUES (?, ?, ?, ?, ?, ?)
       ON CONFLICT (account, intent, txid) DO UPDATE SET at = excluded.at, height = excluded.height
       WHERE NOT EXISTS (SELECT 1 FROM signatures WHERE signatures.txid = excluded.txid)`,
    ),
    changeIndex: db.prepare<[string], { highest: bigint | null }>(
      "SELECT max(change_index) AS highest FROM claims WHERE vault = ?",
    ),
    insertClaim: db.prepare(
      // A claim whose signature has not left yet is charged when it is asked for again: what leaves
      // late leaves in that window (invariant 4).
      `INSERT INTO claims VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
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
    lines: db.prepare<[], LineRow>(
      "SELECT sequence, record, link FROM decisions ORDER BY sequence",
    ),
    line: db.prepare<[number], LineRow>(
      "SELECT sequence, record, link FROM decisions WHERE sequence = ?",
    ),
    heads: db.prepare<[], HeadRow>("SELECT * FROM heads ORDER BY sequence"),
    insertHead: db.prepare("INSERT INTO heads VALUES (?, ?, ?, ?)"),
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

  function nextMoment({ wall, height: seen, medianTimeMs }: Reading): Moment {
    const before = state();
    const clock = nextClock({ before: Number(before.clock), wall, medianTime: medianTimeMs });
    return { clock, height: Math.max(Number(before.height), seen) };
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
      .flatMap((id) => statements.byIntent.all(id).map((row) => claimOf(row, chargesFor(row))))
      .filter(
        (claim) =>
          claim.intent === intent || claim.outpoints.some((outpoint) => wanted.has(outpoint)),
      );
    return {
      paused: state().paused !== 0n,
      height,
      related,
      charged: new Map(
        request.bounds.map(({ account, hours }) => {
          const since = BigInt(now - hours * HOUR_MS);
          const above = BigInt(height - hours * BLOCKS_PER_HOUR);
          const byClock = statements.chargedByClock.get(account, since, intent)?.sats ?? 0n;
          const byHeight = statements.chargedByHeight.get(account, above, intent)?.sats ?? 0n;
          return [boundKey({ account, hours }), byClock > byHeight ? byClock : byHeight];
        }),
      ),
      changeIndex: Number(statements.changeIndex.get(vault)?.highest ?? -1n),
    };
  }

  function chargesFor({ intent, txid }: ClaimRow): readonly Charge[] {
    return statements.chargesOf.all(intent, txid);
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
      spend.changeIndex,
      at,
      height,
      policy,
    );
    for (const { account, sats } of spend.charges) {
      // A second transaction of an intent replaces the first: it is charged what it takes more.
      const before = statements.chargedBefore.get(account, spend.intent, spend.txid)?.sats ?? 0n;
      const more = sats > before ? sats - before : 0n;
      statements.insertCharge.run(account, spend.intent, spend.txid, more, at, height);
    }
    for (const outpoint of spend.outpoints) {
      statements.insertOutpoint.run(outpoint, spend.intent);
      // The rule coins-unclaimed has refused a coin of another intent; this is the second lock.
      if (statements.owner.get(outpoint)?.intent !== spend.intent) {
        throw new JournalError("damaged", `BUG: ${outpoint} would belong to two intents`);
      }
    }
  }

  const claim = db.transaction(
    (
      request: ClaimRequest,
      decide: (history: History) => Decision,
    ): { readonly decision: Decision; readonly mark: HighWater } => {
      const { clock, height } = nextMoment(request);
      const decision = decide(historyFor(request, clock, height));
      statements.advance.run(clock, height);
      if (decision.kind === "approved") write(request, clock, height);
      const record: AuditRecord = {
        at: clock,
        height,
        intent: request.spend.intent,
        txid: request.spend.txid,
        policy: request.policy,
        verdict: decision.kind,
        violations: decision.kind === "approved" ? [] : remembered(decision.violations),
      };
      const { text, link } = nextLink(statements.head.get()?.link ?? null, record);
      const sequence = Number(statements.insertDecision.run(text, link).lastInsertRowid);
      if (options.auditKey !== undefined && sequence % DECISIONS_PER_HEAD === 0) {
        const head = signHead(options.auditKey, { sequence, link });
        statements.insertHead.run(head.sequence, head.link, head.key, head.signature);
      }
      return { decision, mark: { sequence, link } };
    },
  );

  /** A journal that has less, or other decisions than its mirror, is an older copy. */
  function checkMirror(mirror: string): void {
    const mark = readMirror(mirror);
    const link = mark.sequence === 0 ? GENESIS : statements.line.get(mark.sequence)?.link;
    if (link === mark.link) return;
    throw new JournalError(
      "older",
      `journal ${file} is not the one that last signed: its mirror has seen decision ${mark.sequence}, which is not in it. A signer with an older memory would sign twice; put the right journal back`,
    );
  }
  try {
    if (options.mirror !== undefined) checkMirror(options.mirror);
  } catch (error) {
    // Closed, so that the right journal can be put back while this process lives.
    db.close();
    throw error;
  }

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
    claim: (request, decide) => {
      const { decision, mark } = claim.immediate(request, decide);
      // Before the key is asked; a mirror that cannot be written lets nothing be signed.
      if (options.mirror !== undefined && decision.kind === "approved") {
        writeMirror(options.mirror, mark);
      }
      return decision;
    },
    auditLog: () => ({
      lines: statements.lines.all().map((row) => ({ ...row, sequence: Number(row.sequence) })),
      heads: statements.heads.all().map((row) => ({ ...row, sequence: Number(row.sequence) })),
    }),
    signatures: stored,
    record: (answer) => record.immediate(answer),
    answered: (request) => statements.answered.get(request)?.digest ?? null,
    advance: (reading) => {
      const moment = nextMoment(reading);
      statements.advance.run(moment.clock, moment.height);
      return moment;
    },
    moment: () => ({ clock: Number(state().clock), height: Number(state().height) }),
    claims: () => statements.claims.all().map((row) => claimOf(row, chargesFor(row))),
    paused: () => state().paused !== 0n,
    pause: () => {
      statements.pause.run();
    },
    pauses: () => Number(state().pauses),
    resume: (pause) => statements.resume.run(pause).changes === 1,
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
  readonly pauses: bigint;
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

interface ChargeRow {
  readonly account: string;
  readonly sats: bigint;
}

interface ClaimRow {
  readonly intent: string;
  readonly txid: string;
  readonly purpose: string;
  readonly vault: string;
  readonly anchor: string;
  /** JSON: the inputs in their order. */
  readonly outpoints: string;
  readonly change_index: bigint | null;
  readonly at: bigint;
  readonly height: bigint;
}

function claimOf(row: ClaimRow, charges: readonly Charge[]): Claim {
  return {
    intent: row.intent,
    purpose: row.purpose,
    vault: row.vault,
    txid: row.txid,
    anchor: row.anchor,
    outpoints: JSON.parse(row.outpoints),
    charges,
    changeIndex: row.change_index === null ? null : Number(row.change_index),
    at: Number(row.at),
    height: Number(row.height),
  };
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
