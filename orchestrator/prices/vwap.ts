/**
 * The other way: Pulser's average of prices, weighted by what was traded at them (seeds.md 4.5).
 * It believes what sources say of their volumes: a liar among them that names a large one has the
 * price to itself, within the 15 % that are kept. Prefer the consensus.
 */
import { price } from "../../policies/money.ts";
import {
  AGREEING_MIN,
  freshest,
  type LeftOut,
  type Method,
  nearMedian,
  tooFew,
} from "./consensus.ts";
import type { SourceName } from "./exchanges.ts";
import type { Quote } from "./source.ts";

/** Tenths. Sources without a weight have no voice, and neither have those without a volume. */
const WEIGHTS: Partial<Record<SourceName, bigint>> = {
  kraken: 12n,
  bitfinex: 11n,
  binance: 10n,
  deribit: 8n,
};
export const WEIGHED_SOURCES = Object.keys(WEIGHTS) as readonly SourceName[];

const SPREAD_PERCENT_MAX = 15n;

/**
 * Sum of price, volume and weight over sum of volume and weight, rounded down to a cent, of at
 * least two sources of the last 60 s. Those over 15 % from the median are left out, unless fewer
 * than two would remain: then all are kept, as in Pulser. (Two are equally far from their median, so
 * that only of three and more one can be dropped.)
 */
export const vwap: Method = (quotes, now) => {
  const { fresh, leftOut: old } = freshest(quotes, now);
  const heard = fresh.filter((quote) => shareOf(quote) > 0n);
  const mute = fresh
    .filter((quote) => shareOf(quote) === 0n)
    .map(({ source }): LeftOut => ({ source, reason: "has no weight or no volume" }));
  const { kept, leftOut: far } = keptOf(heard);
  const leftOut = [...old, ...mute, ...far];
  if (kept.length < AGREEING_MIN) return tooFew(kept.length, leftOut);
  let value = 0n;
  let shares = 0n;
  for (const quote of kept) {
    value += quote.price * shareOf(quote);
    shares += shareOf(quote);
  }
  return { kind: "agreed", price: price(value / shares), quotes: kept, leftOut };
};

function keptOf(quotes: readonly Quote[]) {
  const { near, leftOut } = nearMedian(quotes, SPREAD_PERCENT_MAX);
  return near.length >= AGREEING_MIN ? { kept: near, leftOut } : { kept: quotes, leftOut: [] };
}

function shareOf({ source, volume }: Quote): bigint {
  return (volume ?? 0n) * (WEIGHTS[source] ?? 0n);
}
