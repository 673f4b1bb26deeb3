/** The sessions of one token: few, one operation at a time in each, thrown away on any error. */
import type { Cryptoki, SessionHandle, SlotHandle } from "./cryptoki.ts";

export interface SessionPool {
  /** Operations that can run at one time. */
  readonly lanes: number;
  /** Runs `work` alone in a session. Waits for a free one; fails where the pool is broken. */
  use<T>(work: (session: SessionHandle) => Promise<T>): Promise<T>;
  /** Whether no session can be had any more: the process must be replaced. */
  broken(): boolean;
}

/**
 * A pool over a logged-in `anchor` session. The anchor stays idle, because closing the last
 * session logs out. With `maxSessions` 1 it has to work and cannot be thrown away: after an error
 * the caller's probe decides whether it still serves, or the process ends.
 */
export function openSessionPool(options: {
  readonly cryptoki: Cryptoki;
  readonly slot: SlotHandle;
  readonly anchor: SessionHandle;
  readonly maxSessions: number;
  readonly access: "read-only" | "read-write";
  readonly log: (event: string, fields: Readonly<Record<string, string | number>>) => void;
}): SessionPool {
  const { cryptoki, slot, anchor, maxSessions, access, log } = options;
  const alone = maxSessions === 1;
  const lanes = alone ? 1 : maxSessions - 1;
  const free: SessionHandle[] = alone
    ? [anchor]
    : Array.from({ length: lanes }, () => cryptoki.openSession(slot, access));
  const waiting: {
    take(session: SessionHandle): void;
    fail(error: Error): void;
  }[] = [];
  let broken = false;

  function lease(): Promise<SessionHandle> {
    const session = free.pop();
    if (session !== undefined) return Promise.resolve(session);
    if (broken) return Promise.reject(new PoolBrokenError());
    return new Promise((take, fail) => waiting.push({ take, fail }));
  }

  function release(session: SessionHandle): void {
    const next = waiting.shift();
    if (next === undefined) free.push(session);
    else next.take(session);
  }

  /** PKCS#11 leaves an operation active after some errors and has no way to end it. */
  function discard(session: SessionHandle): void {
    if (alone) {
      release(session);
      return;
    }
    log("token session discarded", { lanes });
    try {
      cryptoki.closeSession(session);
      release(cryptoki.openSession(slot, access));
    } catch {
      broken = true;
      for (const { fail } of waiting.splice(0)) fail(new PoolBrokenError());
    }
  }

  return {
    lanes,
    broken: () => broken,
    async use(work) {
      const session = await lease();
      let result: Awaited<ReturnType<typeof work>>;
      try {
        result = await work(session);
      } catch (error) {
        discard(session);
        throw error;
      }
      release(session);
      return result;
    },
  };
}

/** The token gave no session back; the connection is at its end. */
export class PoolBrokenError extends Error {
  readonly code = "pool-broken";
  constructor() {
    super("no session of the token is left");
    this.name = "PoolBrokenError";
  }
}
