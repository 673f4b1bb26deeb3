/** A role is a named step over rows; a dull loop runs each at its own pace until it is stopped. */
import type { Log } from "./log.ts";

export interface Role {
  readonly name: string;
  /** Does one piece of work: `more` to be called again at once, `idle` when there was none. */
  readonly step: () => Promise<"more" | "idle">;
}

export interface RunningRoles {
  /** A hint that there may be work: whoever sleeps looks now. Losing one costs a pace, no more. */
  readonly wake: () => void;
  /** What each role stumbled over last; null for one that works. */
  readonly faults: () => ReadonlyMap<string, string | null>;
  /** Steps under way end first. */
  readonly stop: () => Promise<void>;
}

export interface RunOptions {
  readonly log: Log;
  /** How long an idle role sleeps. */
  readonly paceMs: number;
}

/** A fault is tried again after half a second, then twice as long each time, up to half a minute. */
const BACKOFF_MS_MIN = 500;
const BACKOFF_MS_MAX = 30_000;
/** Steps in a row without a breath: other roles and the API get their turn on the one thread. */
const STEPS_IN_A_ROW_MAX = 100;

export function runRoles(roles: readonly Role[], { log, paceMs }: RunOptions): RunningRoles {
  const stopping = new AbortController();
  const faults = new Map<string, string | null>(roles.map(({ name }) => [name, null]));
  const sleepers = new Set<() => void>();

  /** A hint ends a rest, and never a back-off: hints must not drive a failing role. */
  function sleep(ms: number, hints: "heard" | "ignored"): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(end, ms);
      function end(): void {
        clearTimeout(timer);
        sleepers.delete(end);
        stopping.signal.removeEventListener("abort", end);
        resolve();
      }
      if (hints === "heard") sleepers.add(end);
      stopping.signal.addEventListener("abort", end);
      if (stopping.signal.aborted) end();
    });
  }

  async function steps(role: Role): Promise<"more" | "idle"> {
    for (let n = 0; n < STEPS_IN_A_ROW_MAX; n += 1) {
      if (stopping.signal.aborted || (await role.step()) === "idle") return "idle";
    }
    return "more";
  }

  async function run(role: Role): Promise<void> {
    let backoffMs = 0;
    while (!stopping.signal.aborted) {
      try {
        const result = await steps(role);
        note(role.name, null, 0);
        backoffMs = 0;
        await sleep(result === "more" ? 0 : paceMs, "heard");
      } catch (error) {
        backoffMs = Math.min(Math.max(BACKOFF_MS_MIN, backoffMs * 2), BACKOFF_MS_MAX);
        note(role.name, error, backoffMs);
        await sleep(backoffMs, "ignored");
      }
    }
  }

  /** The same fault again is no news. */
  function note(role: string, error: unknown, backoffMs: number): void {
    const fault = error === null ? null : faultOf(error);
    const before = faults.get(role);
    faults.set(role, fault);
    if (fault === before) return;
    if (fault === null) log.info({ role }, "role recovered");
    else log.warn({ role, reason: fault, backoffMs }, "role stumbled");
  }

  const running = Promise.all(roles.map(run));
  return {
    wake: () => {
      for (const end of [...sleepers]) end();
    },
    faults: () => faults,
    async stop() {
      stopping.abort();
      await running;
    },
  };
}

function faultOf(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}
