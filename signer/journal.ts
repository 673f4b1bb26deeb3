/**
 * What this signer has bound itself to, in a SQLite file of its own that no other process may open.
 * Claims are written before a key is asked, answers before they are released (invariants 1 to 4).
 * A journal that is missing, foreign or newer than the code stops the signer: a signer without its
 * memory would sign twice.
 */
import type Database from "better-sqlite3";
import type { Claim, ClaimContent } from "../policies/claim.ts";
import type { Decision } from "../policies/decide.ts";
import {
  type History,
  type HistoryQuery,
  type LastAccount,
  nextClock,
} from "../policies/history.ts";
import { GENESIS } from "./audit.ts";
import { openCommits } from "./commits.ts";
import { claimEraser, claimWriter } from "./journal-claims.ts";
import { type DecisionLog, decisionLog, remembered } from "./journal-decisions.ts";
import { JournalError, type JournalOptions, openJournalFile } from "./journal-file.ts";
import { claimReader, historyReader } from "./journal-history.ts";
import { KeyError } from "./key-error.ts";
import { type HighWater, readMirror, writeMirror } from "./mirror.ts";

export interface Journal extends DecisionLog {
  /** The SQLite handle, for the other owners of tables in this file: vaults.ts. */
  readonly database: Database.Database;
  /**
   * In one transaction: advances clock and height, hands the history to `decide`, writes the
   * decision to the audit chain and, if it is an approval, claims every outpoint. All or nothing.
   */
  readonly claim: (claim: ClaimRequest, decide: (history: History) => Decision) => Decision;
  /** The same together with what others ask at the moment: one commit for all. */
  readonly claimSoon: (
    claim: ClaimRequest,
    decide: (history: History) => Decision,
  ) => Promise<Decision>;
  /** The history that a claim would be judged by; nothing is written. */
  readonly look: (reading: Reading & Pick<ClaimRequest, "query">) => History;
  /** Whether this transaction of the intent is claimed. */
  readonly claimed: (claim: Claimed) => boolean;
  /**
   * Lets go of a claim that a person has rejected on the device; false where signatures of it are
   * kept, for then it stays.
   */
  readonly free: (claim: Claimed & { readonly policy: string }) => boolean;
  /** Signatures already made over this digest of signature hashes; null when there are none. */
  readonly signatures: (digest: string) => readonly Uint8Array[] | null;
  /**
   * Stores signatures for good; if some are there already, those are returned and kept. Throws where
   * the claim is not there any more: no signature leaves without one (invariant 1).
   */
  readonly record: (answer: Answer) => readonly Uint8Array[];
  /** The same together with others. */
  readonly recordSoon: (answer: Answer) => Promise<readonly Uint8Array[]>;
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
  readonly close: () => void;
}

/** One transaction of an intent. */
export type Claimed = Pick<ClaimContent, "intent" | "txid">;

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
  readonly content: ClaimContent;
  readonly accounts: readonly LastAccount[];
  /** What the law asks the history. */
  readonly query: HistoryQuery;
  /** Hash of the policy in force. */
  readonly policy: string;
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

const SIGNATURE_BYTES = 64;

export function openJournal(options: JournalOptions): Journal {
  const { file } = options;
  const db = openJournalFile(options);

  const readHistory = historyReader(db);
  const claimsOf = claimReader(db);
  const writeClaim = claimWriter(db);
  const eraseClaim = claimEraser(db);
  const { append, linkAt, ...decisions } = decisionLog(db);
  const statements = {
    state: db.prepare<[], StateRow>("SELECT clock, height, paused, pauses FROM state"),
    advance: db.prepare("UPDATE state SET clock = ?, height = ?"),
    pause: db.prepare("UPDATE state SET paused = 1, pauses = pauses + 1 WHERE paused = 0"),
    intents: db.prepare<[], { intent: string }>(
      "SELECT intent FROM claims GROUP BY intent ORDER BY min(at), min(height), min(rowid)",
    ),
    resume: db.prepare("UPDATE state SET paused = 0 WHERE paused = 1 AND pauses = ?"),
    signatures: db.prepare<[string], { bytes: Buffer }>(
      "SELECT bytes FROM signatures WHERE digest = ?",
    ),
    claimed: db.prepare<[string, string], { n: bigint }>(
      "SELECT count(*) AS n FROM claims WHERE intent = ? AND txid = ?",
    ),
    signed: db.prepare<[string], { n: bigint }>(
      "SELECT count(*) AS n FROM signatures WHERE txid = ?",
    ),
    insertSignatures: db.prepare(
      "INSERT INTO signatures VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
    ),
    answered: db.prepare<[string], { digest: string }>(
      "SELECT digest FROM answers WHERE request = ?",
    ),
    insertAnswer: db.prepare("INSERT INTO answers VALUES (?, ?) ON CONFLICT DO NOTHING"),
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

  const claim = db.transaction(
    (
      request: ClaimRequest,
      decide: (history: History) => Decision,
    ): { readonly decision: Decision; readonly mark: HighWater } => {
      const { clock, height } = nextMoment(request);
      const paused = state().paused !== 0n;
      const decision = decide(readHistory(request.query, { now: clock, height, paused }));
      statements.advance.run(clock, height);
      if (decision.kind === "approved") {
        const { content, accounts, policy } = request;
        const { takes } = decision.approval;
        writeClaim({ content, accounts, takes, at: clock, height, policy });
      }
      const mark = append({
        at: clock,
        height,
        intent: request.content.intent,
        txid: request.content.txid,
        policy: request.policy,
        verdict: decision.kind,
        violations: decision.kind === "approved" ? [] : remembered(decision.violations),
      });
      return { decision, mark };
    },
  );

  const isClaimed = ({ intent, txid }: Claimed) =>
    (statements.claimed.get(intent, txid)?.n ?? 0n) > 0n;

  const free = db.transaction(({ intent, txid, policy }: Parameters<Journal["free"]>[0]) => {
    if ((statements.signed.get(txid)?.n ?? 0n) > 0n) return false;
    if (!isClaimed({ intent, txid })) return true;
    eraseClaim({ intent, txid });
    const { clock: at, height } = state();
    const when = { at: Number(at), height: Number(height) };
    append({ ...when, intent, txid, policy, verdict: "rejected", violations: [] });
    return true;
  });

  /** A journal that has less, or other decisions than its mirror, is an older copy. */
  function checkMirror(mirror: string): void {
    const mark = readMirror(mirror);
    const link = mark.sequence === 0 ? GENESIS : linkAt(mark.sequence);
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
    // A person's "no" to the same transaction may have freed it while this was being signed.
    if (!isClaimed(answer)) {
      throw new KeyError("unavailable", `${answer.txid} was signed without its claim: ask again`, {
        passing: true,
      });
    }
    const bytes = Buffer.concat(answer.signatures);
    statements.insertSignatures.run(answer.digest, answer.intent, answer.txid, bytes);
    statements.insertAnswer.run(answer.request, answer.digest);
    return stored(answer.digest) ?? answer.signatures;
  });

  /** The newest mark of the claims that wait for their commit. */
  let marked: HighWater | null = null;
  const commits = openCommits(db, () => {
    const mark = marked;
    marked = null;
    if (options.mirror !== undefined && mark !== null) writeMirror(options.mirror, mark);
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
    ...decisions,
    claim: (request, decide) => {
      const { decision, mark } = claim.immediate(request, decide);
      // Before the key is asked; a mirror that cannot be written lets nothing be signed.
      if (options.mirror !== undefined && decision.kind === "approved") {
        writeMirror(options.mirror, mark);
      }
      return decision;
    },
    claimSoon: (request, decide) =>
      commits.add(() => {
        const { decision, mark } = claim(request, decide);
        if (decision.kind === "approved") marked = mark;
        return decision;
      }),
    look: ({ query, ...reading }) => {
      const { clock: now, height } = nextMoment(reading);
      return readHistory(query, { now, height, paused: state().paused !== 0n });
    },
    claimed: isClaimed,
    free: (claim) => free.immediate(claim),
    recordSoon: (answer) => commits.add(() => record(answer)),
    signatures: stored,
    record: (answer) => record.immediate(answer),
    answered: (request) => statements.answered.get(request)?.digest ?? null,
    advance: (reading) => {
      const moment = nextMoment(reading);
      statements.advance.run(moment.clock, moment.height);
      return moment;
    },
    moment: () => ({ clock: Number(state().clock), height: Number(state().height) }),
    claims: () => statements.intents.all().flatMap(({ intent }) => claimsOf(intent)),
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
