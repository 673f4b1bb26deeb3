/** What a person is shown and may type: bounds and roundings of the seed's screens. Never booked. */

import type { Cents } from "../../policies/money.ts";
import { centsOfSatsFloor, lesser, type Price, satsOfCentsFloor } from "../../policies/money.ts";

/** Over so many cycles the average fee is shown. */
export const FEE_CYCLES_SHOWN = 10;

/** v2 counts back no further. */
const FEE_CYCLES_MAX = 2_100;

/** The mean fee of the last cycles, rounded down; null where there are not as many. */
export function averageFeePpb(fees: readonly bigint[], cycles: number): bigint | null {
  if (cycles < 1 || cycles > fees.length || cycles > FEE_CYCLES_MAX) return null;
  const sum = fees.slice(-cycles).reduce((all, fee) => all + fee, 0n);
  const count = BigInt(cycles);
  return (sum - (((sum % count) + count) % count)) / count;
}

/** "123.45 USD". */
export function fiatText(cents: bigint, currency: string): string {
  return `${cents / 100n}.${String(cents % 100n).padStart(2, "0")} ${currency}`;
}

/** "123,450". */
export function satsText(sats: bigint): string {
  return String(sats).replace(/\B(?=(?:[0-9]{3})+$)/g, ",");
}

export interface Bounds {
  readonly leastSats: bigint;
  readonly mostSats: bigint;
}

/** Nothing is no amount, whatever the least is. */
export function isWithin(sats: bigint, { leastSats, mostSats }: Bounds): boolean {
  return sats > 0n && sats >= leastSats && sats <= mostSats;
}

/** v2 gives out whole cents, so the least is what a cent costs; v1 basis points. */
export function withdrawalBounds(
  rules: "v1" | "v2",
  { cents, price }: { readonly cents: Cents; readonly price: Price },
): Bounds {
  return {
    leastSats: rules === "v1" ? 0n : satsOfCentsFloor(1n as Cents, price),
    mostSats: satsOfCentsFloor(cents, price),
  };
}

/** The cents that an amount in sats stands for, to the nearest. */
export function centsOfSatsNearest(sats: bigint, price: Price): bigint {
  return (centsOfSatsFloor(sats * 2n, price) + 1n) / 2n;
}

const DUST_CENTS = 3n;

/** v2: a withdrawal that would leave three cents or less takes all. */
export function unlockCents(asked: bigint, there: bigint): bigint | "all" {
  return there - asked <= DUST_CENTS ? "all" : asked;
}

const BPS_WHOLE = 10_000n;

/** v1: the basis points of what is locked that come to so many cents, to the nearest. */
export function cancelBps(remainingCents: bigint, lockedCents: bigint): bigint {
  if (lockedCents === 0n) return 0n;
  const bps = (remainingCents * BPS_WHOLE * 2n + lockedCents) / (lockedCents * 2n);
  return lesser(bps, BPS_WHOLE);
}

export interface Depositable {
  readonly minSeekMsats: bigint;
  readonly balanceMsats: bigint;
  /** Provides that wait for a seek. */
  readonly liquidityMsats: bigint;
}

const MSATS_PER_SAT = 1_000n;

/** A deposit beyond the liquidity would only be staged. */
export function depositBounds(there: Depositable): Bounds {
  return {
    leastSats: (there.minSeekMsats + MSATS_PER_SAT - 1n) / MSATS_PER_SAT,
    mostSats: lesser(there.balanceMsats, there.liquidityMsats) / MSATS_PER_SAT,
  };
}

const PPB_WHOLE = 1_000_000_000n;
const PADDING_LEAST_MSATS = 1_000n;
const PADDING_CYCLES = 10n;

/** Added to a deposit, so that the first cycles' fees do not take it below what was meant. */
export function depositPaddingMsats(msats: bigint, maxFeePpb: bigint): bigint {
  const fee = (msats * maxFeePpb * 2n + PPB_WHOLE) / (PPB_WHOLE * 2n);
  const padding = PADDING_CYCLES * fee;
  return padding > PADDING_LEAST_MSATS ? padding : PADDING_LEAST_MSATS;
}
