/** How the dollars of coins go on when a transaction spends them. Pure. */

export interface Spend {
  /** Of all coins that it spends, and what of it comes back to the account. */
  readonly inSats: bigint;
  readonly inCents: bigint;
  /** Sats of each output that stays the account's. */
  readonly keptSats: readonly bigint[];
  /** Dollars that the account paid for it, at the price of the day it was asked for. */
  readonly paidCents: bigint;
}

export interface Split {
  /** What each output that stays takes on. */
  readonly keptCents: readonly bigint[];
  /**
   * What the account's dollars change by beside its coins: the coins that left had been given their
   * value at another price than that of the payment, or idle sats have paid for it.
   */
  readonly adjustmentCents: bigint;
}

/**
 * What leaves takes its part of the dollars by sats, rounded down; the remainder is the change's, and
 * among several outputs that stay the first one's.
 */
export function splitStable({ inSats, inCents, keptSats, paidCents }: Spend): Split {
  const kept = keptSats.reduce((sum, sats) => sum + sats, 0n);
  if (kept > inSats) throw new Error(`BUG: ${kept} sat come back of ${inSats}`);
  if (kept === 0n)
    return { keptCents: keptSats.map(() => 0n), adjustmentCents: inCents - paidCents };
  const leaving = (inCents * (inSats - kept)) / inSats;
  const staying = inCents - leaving;
  const shares = keptSats.map((sats) => (staying * sats) / kept);
  const remainder = staying - shares.reduce((sum, share) => sum + share, 0n);
  const [first = 0n, ...others] = shares;
  return { keptCents: [first + remainder, ...others], adjustmentCents: leaving - paidCents };
}
