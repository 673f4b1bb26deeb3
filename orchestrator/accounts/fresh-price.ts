/** A price that a booking may rest on. */
import type { Prices, TrustedPrice } from "../prices/prices.ts";

/** Older ones are history: nobody is credited by them, and nobody debited. */
const PRICE_AGE_MS_MAX = 60_000n;

/** Null: there is none now; ask again later. */
export function freshPrice(prices: Prices | undefined, now: bigint): TrustedPrice | null {
  const latest = prices?.latest("USD") ?? null;
  return latest === null || now - latest.at > PRICE_AGE_MS_MAX ? null : latest;
}
