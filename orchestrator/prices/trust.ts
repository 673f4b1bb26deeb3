/**
 * What is believed over time: Stable Channels' cache of the accounting price (seeds.md 3.3). A
 * refresh that fails leaves the price to grow old; one that jumps takes it away at once, because
 * either the old price or the new one is wrong, and nobody should be credited at a wrong one.
 */
import { differsAtMost, isFresh } from "./consensus.ts";
import type { TrustedPrice } from "./prices.ts";

export interface Trust {
  /** The last one that was accepted, however old. */
  readonly last: TrustedPrice | null;
  /** A jump that waits; null while there is none. */
  readonly quarantine: Quarantine | null;
}

export interface Quarantine {
  /** When the first jump of this quarantine was seen: milliseconds since 1970. */
  readonly since: bigint;
  /** What the sources agree on now. */
  readonly wanted: TrustedPrice;
}

export const NO_TRUST: Trust = { last: null, quarantine: null };

const JUMP_PERCENT_MAX = 10n;

/**
 * After a refresh on which enough sources agreed. A price more than 10 % from the last one waits in
 * quarantine while that one is at most 60 s old: it ends when sources come back to within 10 %, or
 * when the last price has grown too old to speak against the new one.
 */
export function afterAgreement(trust: Trust, wanted: TrustedPrice, now: bigint): Trust {
  const reference = referenceOf(trust, now);
  if (reference === null || differsAtMost(wanted.price, reference.price, JUMP_PERCENT_MAX)) {
    return { last: wanted, quarantine: null };
  }
  return { ...trust, quarantine: { since: trust.quarantine?.since ?? now, wanted } };
}

/** The last price while it is young enough to judge the next one by. */
export function referenceOf({ last }: Trust, now: bigint): TrustedPrice | null {
  return last !== null && isFresh(last.at, now) ? last : null;
}

/** What may be booked at now. */
export function accountingPrice(trust: Trust, now: bigint): TrustedPrice | null {
  return trust.quarantine === null ? referenceOf(trust, now) : null;
}
