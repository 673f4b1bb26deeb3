/**
 * What several sources agree on: Stable Channels' consensus (seeds.md 3.3). Pure, and in integers:
 * a median between two prices is compared by its double, so that nothing is rounded before the end.
 */
import { type Price, price } from "../../policies/money.ts";
import type { SourceName } from "./exchanges.ts";
import type { Quote } from "./source.ts";

export interface LeftOut {
  readonly source: SourceName;
  /** For people. */
  readonly reason: string;
}

export type Agreement =
  | {
      readonly kind: "agreed";
      readonly price: Price;
      /** Those it rests on. */
      readonly quotes: readonly Quote[];
      readonly leftOut: readonly LeftOut[];
    }
  | { readonly kind: "none"; readonly reason: string; readonly leftOut: readonly LeftOut[] };

/** A way to make one price of many: consensus or vwap.ts. */
export type Method = (quotes: readonly Quote[], now: bigint) => Agreement;

/** An older answer is no price any more, and neither is what rests on it. */
const PRICE_AGE_MS_MAX = 60_000n;
/** One source alone is believed by nobody. */
export const AGREEING_MIN = 2;
const SPREAD_PERCENT_MAX = 5n;

/**
 * The median of the quotes that lie within 5 % of the median of all: at least two, none older than
 * 60 s. Rounded down to a cent. A liar beside three honest sources or more moves the price no
 * further than to another honest one; beside two it can move it by 5 %.
 */
export const consensus: Method = (quotes, now) => {
  const { fresh, leftOut: old } = freshest(quotes, now);
  const { near, leftOut: far } = nearMedian(fresh, SPREAD_PERCENT_MAX);
  const leftOut = [...old, ...far];
  if (near.length < AGREEING_MIN) return tooFew(near.length, leftOut);
  const doubled = medianDoubled(near.map((quote) => quote.price));
  return { kind: "agreed", price: price(doubled / 2n), quotes: near, leftOut };
};

export function tooFew(agreeing: number, leftOut: readonly LeftOut[]): Agreement {
  const reason = `${agreeing} of the ${AGREEING_MIN} sources that must agree`;
  return { kind: "none", reason, leftOut };
}

/** An age below zero is that of a clock that was put back: nobody knows how old the answer is. */
export function isFresh(at: bigint, now: bigint): boolean {
  return at <= now && now - at <= PRICE_AGE_MS_MAX;
}

export function freshest(quotes: readonly Quote[], now: bigint) {
  const fresh = quotes.filter(({ at }) => isFresh(at, now));
  const leftOut = quotes
    .filter(({ at }) => !isFresh(at, now))
    .map(({ source, at }): LeftOut => ({ source, reason: `asked ${now - at} ms ago` }));
  return { fresh, leftOut };
}

/** Quotes that differ from the median of all by at most so much of it. */
export function nearMedian(quotes: readonly Quote[], percentMax: bigint) {
  if (quotes.length === 0) return { near: [], leftOut: [] };
  const doubled = medianDoubled(quotes.map((quote) => quote.price));
  const isNear = (quote: Quote) => differsAtMost(2n * quote.price, doubled, percentMax);
  const leftOut = quotes
    .filter((quote) => !isNear(quote))
    .map(({ source }): LeftOut => ({ source, reason: `over ${percentMax} % from the median` }));
  return { near: quotes.filter(isNear), leftOut };
}

/** The boundary itself is within. */
export function differsAtMost(value: bigint, reference: bigint, percent: bigint): boolean {
  const difference = value > reference ? value - reference : reference - value;
  return difference * 100n <= reference * percent;
}

/** Twice the middle value, which of an even number is the mean of the middle two. Of none: 0. */
export function medianDoubled(values: readonly bigint[]): bigint {
  const sorted = [...values].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  const half = sorted.length >> 1;
  const upper = sorted[half] ?? 0n;
  return sorted.length % 2 === 1 ? 2n * upper : (sorted[half - 1] ?? 0n) + upper;
}
