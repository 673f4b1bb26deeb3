/** The price that accounts are credited at, as whoever needs one sees it. */
import type { Price } from "../../policies/money.ts";

export interface TrustedPrice {
  /** Cents of the currency per BTC. */
  readonly price: Price;
  /** ISO 4217, or XAU. */
  readonly currency: string;
  /** When the oldest source it rests on was asked: milliseconds since 1970. */
  readonly at: bigint;
  /** Names of the sources that agree on it, sorted. */
  readonly sources: readonly string[];
}

export interface Prices {
  /** Null: no price can be trusted now. Ask again later, credit nothing meanwhile. */
  readonly latest: (currency: string) => TrustedPrice | null;
}
