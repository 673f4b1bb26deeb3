/** When a delivery is tried again, and when it is not: a table of answers, without a clock. */

export interface Patience {
  /** Attempts of one series, the first among them. */
  readonly attemptsMax: number;
  /** From the first attempt to the last. */
  readonly totalMs: bigint;
}

/** How an attempt ended. */
export type Answer =
  | {
      readonly kind: "answered";
      readonly status: number;
      /** What Retry-After asks for; null: nothing. */
      readonly restMs: bigint | null;
    }
  /** No answer: refused, cut off, too late, no such name, no valid certificate. */
  | { readonly kind: "unreachable"; readonly reason: string }
  /** Not sent: its address is none that we send to. */
  | { readonly kind: "forbidden"; readonly reason: string };

export type Next =
  | { readonly kind: "delivered" }
  | { readonly kind: "retry"; readonly afterMs: bigint }
  | { readonly kind: "dead" };

/** Whole numbers from 0 up to and with `most`, evenly. */
export type Draw = (most: number) => number;

/** Pulser's bounds (seeds.md 4.8). */
const BASE_MS = 500n;
const REST_MS_MAX = 3_600_000n;
/** Up to a quarter more, so that those that failed together do not come back together. */
const JITTER_BPS_MAX = 2_500;

/** After so many attempts, all of which failed. */
export function backOffMs(attempts: number, draw: Draw): bigint {
  const doubled = BASE_MS << BigInt(Math.min(attempts - 1, 30));
  const bounded = doubled < REST_MS_MAX ? doubled : REST_MS_MAX;
  return bounded + (bounded * BigInt(draw(JITTER_BPS_MAX))) / 10_000n;
}

export interface Tried {
  readonly answer: Answer;
  /** This one among them. */
  readonly attempts: number;
  /** Since the first attempt. */
  readonly sinceMs: bigint;
}

export function nextOf(
  { answer, attempts, sinceMs }: Tried,
  { attemptsMax, totalMs }: Patience,
  draw: Draw,
): Next {
  if (answer.kind === "answered" && answer.status >= 200 && answer.status < 300) {
    return { kind: "delivered" };
  }
  if (!isPassing(answer) || attempts >= attemptsMax) return { kind: "dead" };
  const afterMs = waitMs(answer, backOffMs(attempts, draw));
  return sinceMs + afterMs > totalMs ? { kind: "dead" } : { kind: "retry", afterMs };
}

/** Whether the same request may succeed later. A redirection is none: it is not followed. */
export function isPassing(answer: Answer): boolean {
  if (answer.kind !== "answered") return answer.kind === "unreachable";
  return answer.status === 408 || answer.status === 429 || answer.status >= 500;
}

/** A receiver may ask for a longer rest than ours, within our bound, and for no shorter one. */
function waitMs(answer: Answer, ownMs: bigint): bigint {
  const asked = answer.kind === "answered" ? answer.restMs : null;
  if (asked === null) return ownMs;
  const bounded = asked < REST_MS_MAX ? asked : REST_MS_MAX;
  return bounded > ownMs ? bounded : ownMs;
}
