/**
 * How the whole stands, part by part. All parts are looked at side by side, each within half a
 * second; one that has not answered by then is down, and is not asked again before it has.
 */
import type { Clock } from "../io/clock.ts";

/** `degraded`: it works, and a person should look. `down`: what needs it does not work. */
export type HealthStatus = "ok" | "degraded" | "down";

export interface Finding {
  readonly status: HealthStatus;
  /** What is wrong, in words that may be shown: no secrets. */
  readonly wrong: readonly string[];
  /** Whether this process should get work in spite of it. */
  readonly ready: boolean;
}

export interface Check {
  readonly name: string;
  readonly look: () => Promise<Finding> | Finding;
}

export interface Component {
  readonly status: HealthStatus;
  /** Since when it is what it is: milliseconds since 1970. */
  readonly since: bigint;
  readonly detail: string;
}

export interface HealthReport {
  /** The worst of its parts. */
  readonly status: HealthStatus;
  readonly at: bigint;
  readonly components: Readonly<Record<string, Component>>;
  /** Why this process should get no work now; empty: it is ready. */
  readonly unready: readonly string[];
}

export interface Health {
  /** All who ask within the same look get its report. */
  readonly report: () => Promise<HealthReport>;
}

export interface HealthOptions {
  readonly checks: readonly Check[];
  readonly clock: Clock;
  readonly boundMs?: number | undefined;
}

/** As stablesats has it. */
const BOUND_MS = 500;

export function openHealth({ checks, clock, boundMs = BOUND_MS }: HealthOptions): Health {
  const last = new Map<string, Component>();
  const bounded = checks.map(({ name, look }) => ({
    name,
    look: boundedLook(name, look, boundMs),
  }));
  let underWay: Promise<HealthReport> | null = null;

  async function report(): Promise<HealthReport> {
    const found = await Promise.all(
      bounded.map(async ({ name, look }) => ({ name, finding: await look() })),
    );
    const at = clock();
    for (const { name, finding } of found) last.set(name, componentOf(finding, last.get(name), at));
    return {
      status: worst(found.map(({ finding }) => finding.status)),
      at,
      components: Object.fromEntries(last),
      unready: found.flatMap(({ finding }) => (finding.ready ? [] : finding.wrong)),
    };
  }

  return {
    report() {
      underWay ??= report().finally(() => {
        underWay = null;
      });
      return underWay;
    },
  };
}

export function fine(): Finding {
  return { status: "ok", wrong: [], ready: true };
}

/** Nothing wrong: it is fine. */
export function findingOf(
  status: Exclude<HealthStatus, "ok">,
  { wrong, ready }: Pick<Finding, "wrong" | "ready">,
): Finding {
  return wrong.length === 0 ? fine() : { status, wrong, ready };
}

function componentOf(
  { status, wrong }: Finding,
  before: Component | undefined,
  at: bigint,
): Component {
  const since = before?.status === status ? before.since : at;
  return { status, since, detail: wrong.join("; ") };
}

function worst(statuses: readonly HealthStatus[]): HealthStatus {
  if (statuses.includes("down")) return "down";
  return statuses.includes("degraded") ? "degraded" : "ok";
}

/** A look that hangs is one look, however often it is asked for. */
function boundedLook(name: string, look: Check["look"], boundMs: number): () => Promise<Finding> {
  let pending: Promise<Finding> | null = null;
  const late: Finding = {
    ...{ status: "down", wrong: [`the ${name} does not answer in ${boundMs} ms`], ready: false },
  };
  // What a fault says may have secrets in it: the log has it, this has not.
  const failed: Finding = {
    ...{ status: "down", wrong: [`the ${name} does not answer`], ready: false },
  };
  return async () => {
    pending ??= (async () => look())()
      .catch(() => failed)
      .finally(() => {
        pending = null;
      });
    let timer: NodeJS.Timeout | undefined;
    const bound = new Promise<Finding>((resolve) => {
      timer = setTimeout(() => resolve(late), boundMs);
    });
    const finding = await Promise.race([pending, bound]);
    clearTimeout(timer);
    return finding;
  };
}
