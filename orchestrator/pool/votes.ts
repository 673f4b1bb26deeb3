/**
 * Votes that turn a cycle: each guardian says once what time it is and what a bitcoin costs, and at
 * the threshold the upper medians stand.
 *
 * The remainders of a turnover go to the item `nanoseconds of the median time % count`, the seed's
 * rule. A guardian whose vote may become the median can pick its nanoseconds, and with them where a
 * remainder goes: at most count - 1 msats a side and cycle, less than one msat an account. That pays
 * for no manipulation, so the rule is kept, and nothing of worth may ever be drawn from it.
 */
import type { Price } from "../../policies/money.ts";

export interface Vote {
  readonly guardian: string;
  /** The cycle that would begin. */
  readonly index: number;
  /** Nanoseconds since 1970 by the guardian's clock. */
  readonly timeNanos: bigint;
  /** Cents per bitcoin; 0: it knows no price, let the last one stand. */
  readonly price: Price | 0n;
}

const NANOS = 1_000_000_000n;

export type Heard =
  | { readonly kind: "counted" }
  | { readonly kind: "agreed"; readonly terms: Terms }
  | { readonly kind: "ignored"; readonly why: "wrong-index" | "unknown-guardian" | "no-price" }
  /** The same vote again. */
  | { readonly kind: "ignored"; readonly why: "already-voted" }
  /** Another vote for the same cycle: both are evidence, the first stands. */
  | { readonly kind: "ignored"; readonly why: "equivocation"; readonly first: Vote };

/** What a cycle begins with. */
export interface Terms {
  readonly index: number;
  readonly startNanos: bigint;
  readonly price: Price;
  /** No price was known: the last cycle's is taken again. */
  readonly reused: boolean;
  readonly randomness: bigint;
}

export interface Ballot {
  readonly votes: Map<string, Vote>;
  readonly cycle: { readonly index: number; readonly price: Price } | null;
  readonly threshold: number;
  /** Empty: anybody who is let through. */
  readonly guardians: readonly string[];
}

/** Takes a vote, or says why not; the votes of the cycle are forgotten when they agree. */
export function hear(vote: Vote, { votes, cycle, threshold, guardians }: Ballot): Heard {
  const next = cycle === null ? 0 : cycle.index + 1;
  if (guardians.length > 0 && !guardians.includes(vote.guardian)) {
    return { kind: "ignored", why: "unknown-guardian" };
  }
  if (vote.index !== next) return { kind: "ignored", why: "wrong-index" };
  // The seed panics when its first cycle has no price: here whoever knows none abstains.
  if (cycle === null && vote.price === 0n) return { kind: "ignored", why: "no-price" };
  const first = votes.get(vote.guardian);
  if (first !== undefined) {
    const same = first.timeNanos === vote.timeNanos && first.price === vote.price;
    return same
      ? { kind: "ignored", why: "already-voted" }
      : { kind: "ignored", why: "equivocation", first };
  }
  votes.set(vote.guardian, vote);
  if (votes.size < threshold) return { kind: "counted" };
  const all = [...votes.values()];
  votes.clear();
  const startNanos = upperMedian(all.map(({ timeNanos }) => timeNanos));
  const median = upperMedian(all.map(({ price }) => price));
  const price = median === 0n ? cycle?.price : (median as Price);
  if (price === undefined) throw new RangeError("BUG: a first cycle without a price");
  const randomness = startNanos % NANOS;
  return {
    kind: "agreed",
    terms: { index: next, startNanos, price, reused: median === 0n, randomness },
  };
}

/** Of an even count the upper of the middle two. */
export function upperMedian<Value extends bigint>(values: readonly Value[]): Value {
  const sorted = [...values].sort((a, b) => (a < b ? -1 : Number(a > b)));
  const middle = sorted[Math.floor(sorted.length / 2)];
  if (middle === undefined) throw new RangeError("there is no median of nothing");
  return middle;
}
