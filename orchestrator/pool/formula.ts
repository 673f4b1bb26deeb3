/**
 * The formulas of a turnover, each a function of integers. Amounts are msats and stay inside u64,
 * products inside u128; a division is always the last step, and its rounding is named. Source: Fedi's
 * stability pool, v1 and v2.
 */
import { PPB_WHOLE } from "../../policies/money.ts";

/** How much collateral a provider posts for what a seeker locks: 1:1 covers a fall of 50 %. */
export interface Ratio {
  readonly provider: bigint;
  readonly seeker: bigint;
}

/**
 * What part of a seek is left when the cycle's fee is paid. `gross` takes the fee of the whole seek,
 * so that 1 - f is left (v1 and v2); `net` of what is left, so that it is 1 / (1 + f) (the module of
 * 2023).
 */
export interface Kept {
  readonly part: bigint;
  readonly whole: bigint;
}

export type FeeOn = "gross" | "net";

/** A fee below zero is paid by providers: it takes nothing from seeks. */
export function kept(feePpb: bigint, feeOn: FeeOn): Kept {
  const fee = feePpb < 0n ? 0n : feePpb;
  return feeOn === "gross"
    ? { part: PPB_WHOLE - fee, whole: PPB_WHOLE }
    : { part: PPB_WHOLE, whole: PPB_WHOLE + fee };
}

export function ceilDiv(dividend: bigint, divisor: bigint): bigint {
  return (dividend + divisor - 1n) / divisor;
}

/** Msats that keep the value of all locked seeks, rounded up: for the seekers. */
export function neededForSeeks(
  seeksMsats: bigint,
  { start, price }: { readonly start: bigint; readonly price: bigint },
): bigint {
  return ceilDiv(seeksMsats * start, price);
}

/** R: the collateral that is still missing for all seeks at a fee, rounded up, never below zero. */
export function collateralMissing(
  { seeksMsats, providesMsats }: { readonly seeksMsats: bigint; readonly providesMsats: bigint },
  { part, whole }: Kept,
  ratio: Ratio,
): bigint {
  const wanted = seeksMsats * part * ratio.provider;
  const included = providesMsats * whole * ratio.seeker;
  return wanted <= included ? 0n : ceilDiv(wanted - included, whole * ratio.seeker);
}

/** S: the seeks, fee included, that the collateral covers, rounded down: never under-collateralised. */
export function seeksCovered(providesMsats: bigint, { part, whole }: Kept, ratio: Ratio): bigint {
  return (providesMsats * ratio.seeker * whole) / (part * ratio.provider);
}

/** The share of a fall in one cycle that collateral survives in full: provider / (provider + seeker). */
export function protectedFall(ratio: Ratio): number {
  return Number(ratio.provider) / Number(ratio.provider + ratio.seeker);
}
