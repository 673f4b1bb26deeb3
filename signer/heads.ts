/**
 * Signs the heads of the decision log, by a key that may take its time, as one in a token does:
 * beside the requests, never in their way. Without the key a forger can rewrite what has no head yet,
 * so that is kept short, and people are told when it grows old. A signer that is killed between a
 * signature and its storing loses that head; its next life signs a newer one.
 */
import Database from "better-sqlite3";
import { isSigned, signHead } from "./audit.ts";
import type { Journal } from "./journal.ts";
import type { HeadKey } from "./signer.ts";

export interface HeadsOptions {
  readonly journal: Journal;
  readonly key: HeadKey;
  readonly log: (event: string, fields: Readonly<Record<string, unknown>>) => void;
  readonly pace?: HeadPace;
}

export interface HeadPace {
  /** So many decisions are not left without a head for longer than it takes to sign one. */
  readonly decisions: number;
  /** Milliseconds that fewer of them wait for more. */
  readonly waitMs: number;
  /** Pause after a first failure, doubled with each further one up to the longest. */
  readonly pauseMs: number;
  readonly pauseMsMax: number;
  /** A decision that is older than this and has no head wakes people. */
  readonly overdueMs: number;
  /** So long the end of the signer waits for its last head. */
  readonly closeMs: number;
}

/**
 * A token signs in 1 to 20 ms: at most a few heads a second leave it free for the spends. Overdue is
 * longer than the token's process needs to come back after a crash.
 */
const PACE: HeadPace = {
  ...{ decisions: 64, waitMs: 5_000 },
  ...{ pauseMs: 1_000, pauseMsMax: 60_000 },
  ...{ overdueMs: 120_000, closeMs: 5_000 },
};

export interface Heads {
  /** The journal, each decision of which is heard of here. */
  readonly journal: Journal;
  /** Signs for the last decisions, waiting a bounded time for the key, and then no more. */
  readonly close: () => Promise<void>;
}

export function openHeads({ journal, key, log, pace = PACE }: HeadsOptions): Heads {
  /** Decisions that no head under way is for. One is enough to say "some" of an earlier life. */
  let waiting = journal.unattested() === null ? 0 : 1;
  let failures = 0;
  let reason = "the key has not answered";
  let overdue = false;
  let state: "open" | "closing" | "closed" = "open";
  let running: Promise<void> | null = null;
  let soon: NodeJS.Immediate | undefined;
  let wake: NodeJS.Timeout | undefined;
  let watch: NodeJS.Timeout | undefined;

  /** Sees to it that what has no head gets one, and that people hear of it where it does not. */
  function plan(): void {
    if (state !== "open" || waiting === 0) return;
    watch ??= setTimeout(tell, pace.overdueMs).unref();
    if (running !== null) return;
    if (failures > 0) wake ??= setTimeout(start, pauseAfter(failures, pace)).unref();
    // Not at once: the request that made this decision asks its key first.
    else if (waiting >= pace.decisions) soon ??= setImmediate(start);
    else wake ??= setTimeout(start, pace.waitMs).unref();
  }

  function tell(): void {
    overdue = true;
    log("ALARM audit heads overdue", { ...journal.highWater(), reason });
  }

  function start(): void {
    clearImmediate(soon);
    clearTimeout(wake);
    soon = undefined;
    wake = undefined;
    if (running !== null || state === "closed") return;
    running = attempt().finally(() => {
      running = null;
      plan();
    });
  }

  async function attempt(): Promise<void> {
    const taken = waiting;
    waiting = 0;
    const fault = await attest();
    if (fault === null) return settled();
    waiting += taken;
    failures += 1;
    reason = fault;
    if (failures === 1 && state !== "closed") log("audit head not signed", { reason });
  }

  /** Null when the head is kept; else what was in the way. */
  async function attest(): Promise<string | null> {
    try {
      const place = journal.unattested();
      if (place === null) return null;
      const head = await signHead(key, place).catch(wordsOf);
      if (typeof head === "string") return head;
      if (!isSigned(head)) {
        log("ALARM unverified signature", { key: "audit", sequence: place.sequence });
        return "the key's signature does not verify";
      }
      // Too late: the journal may be shut by now.
      if (state === "closed") return "the signer has ended";
      journal.attest(head);
      return null;
    } catch (error) {
      if (error instanceof Database.SqliteError) return wordsOf(error);
      throw error;
    }
  }

  function settled(): void {
    clearTimeout(watch);
    watch = undefined;
    if (failures > 0 || overdue) log("audit heads are signed again", { failures });
    failures = 0;
    overdue = false;
  }

  /** What is under way may be for less than the last decision. */
  async function last(): Promise<boolean> {
    await running;
    start();
    await running;
    return failures === 0;
  }

  plan();
  return {
    journal: heardBy(journal, () => {
      waiting += 1;
      plan();
    }),
    close: async () => {
      state = "closing";
      const done = await within(pace.closeMs, last());
      state = "closed";
      clearTimeout(watch);
      if (done !== true) log("the last decisions have no audit head", { reason });
    },
  };
}

/** The journal, after each decision of which `decided` is called. */
function heardBy(journal: Journal, decided: () => void): Journal {
  return {
    ...journal,
    claim: (request, decide) => {
      try {
        return journal.claim(request, decide);
      } finally {
        decided();
      }
    },
    claimSoon: async (request, decide) => {
      try {
        return await journal.claimSoon(request, decide);
      } finally {
        // A mirror that cannot be written throws, and the decision stands in the log all the same.
        decided();
      }
    },
    free: (claim) => {
      const freed = journal.free(claim);
      decided();
      return freed;
    },
  };
}

function pauseAfter(failures: number, { pauseMs, pauseMsMax }: HeadPace): number {
  return Math.min(pauseMs * 2 ** (failures - 1), pauseMsMax);
}

/** What the work yields, or null when it takes longer. */
async function within<Value>(ms: number, work: Promise<Value>): Promise<Value | null> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
