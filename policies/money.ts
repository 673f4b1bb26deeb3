/**
 * Money is a branded bigint. A float never holds an amount (stack.md: 18 of 100,000 balances were
 * wrong under `Math.floor(a*p0/p1)`), and a brand keeps sats from being added to basis points.
 */

declare const unit: unique symbol;
type Branded<Unit extends string> = bigint & { readonly [unit]: Unit };

/** Satoshis, 0 to 21,000,000 BTC. */
export type Sats = Branded<"sats">;
/** Thousandths of a satoshi, as pools and channels count. */
export type Msats = Branded<"msats">;
/** Hundredths of the currency that a balance is held stable in. */
export type Cents = Branded<"cents">;
/** Cents per whole bitcoin. */
export type Price = Branded<"cents/BTC">;
/** Basis points: 10,000 are the whole. */
export type Bps = Branded<"bps">;
/** Parts per billion of an amount, a cycle: fee rates of pools. Below zero the other side pays. */
export type Ppb = Branded<"ppb">;
/** Fee rate in millisats per virtual byte, so that 1.5 sat/vB stays an integer. */
export type MsatsPerVbyte = Branded<"msats/vB">;

/** No output and no sum of outputs can hold more (Bitcoin's MAX_MONEY). */
export const SATS_MAX = 2_100_000_000_000_000n;

const BPS_WHOLE = 10_000n;
/** One in parts per billion. */
export const PPB_WHOLE = 1_000_000_000n;
const SATS_PER_BTC = 100_000_000n;
const MSATS_PER_SAT = 1_000n;
/** No balance and no price is larger: sums of a million of them stay far below 2^63. */
export const CENTS_MAX = 1_000_000_000_000n;

/** The value as sats; throws a RangeError outside 0..21M BTC, which is a bug or a hostile input. */
export function sats(value: bigint): Sats {
  if (!isSats(value)) throw new RangeError(`${value} is not an amount of sats`);
  return value;
}

export function isSats(value: bigint): value is Sats {
  return value >= 0n && value <= SATS_MAX;
}

export function msats(value: bigint): Msats {
  if (value < 0n || value > SATS_MAX * MSATS_PER_SAT) {
    throw new RangeError(`${value} is not an amount of msats`);
  }
  return value as Msats;
}

export function cents(value: bigint): Cents {
  if (value < 0n || value > CENTS_MAX) throw new RangeError(`${value} is not an amount of cents`);
  return value as Cents;
}

/** A price of nothing, or below, is none. */
export function price(value: bigint): Price {
  if (value < 1n || value > CENTS_MAX) throw new RangeError(`${value} is not a price`);
  return value as Price;
}

export function bps(value: bigint): Bps {
  if (value < 0n || value > BPS_WHOLE) throw new RangeError(`${value} is not a share in bps`);
  return value as Bps;
}

export function ppb(value: bigint): Ppb {
  if (value <= -PPB_WHOLE || value >= PPB_WHOLE)
    throw new RangeError(`${value} is not a rate in ppb`);
  return value as Ppb;
}

export function msatsPerVbyte(value: bigint): MsatsPerVbyte {
  if (value < 0n) throw new RangeError(`${value} is not a fee rate`);
  return value as MsatsPerVbyte;
}

/** A share of an amount, rounded down: used for caps, so the cap is never generous. */
export function shareFloor(amount: bigint, share: Bps): bigint {
  return (amount * share) / BPS_WHOLE;
}

/** The fee of a transaction at a rate, rounded up: a transaction never pays less than its rate. */
export function feeCeil(vbytes: number, rate: MsatsPerVbyte): Sats {
  return sats((BigInt(vbytes) * rate + 999n) / 1000n);
}

/** The rate that a fee comes to, rounded down to a millisat per virtual byte, as nodes do. */
export function rateFloor(fee: bigint, vbytes: number): bigint {
  return (fee * 1000n) / BigInt(vbytes);
}

/** What a balance is worth at a price, rounded up: a vault that keeps it keeps enough. */
export function satsOfCentsCeil(balance: Cents, at: Price): bigint {
  return (balance * SATS_PER_BTC + at - 1n) / at;
}

/** What a balance is worth at a price, rounded down: who pays it out pays no sat too many. */
export function satsOfCentsFloor(balance: Cents, at: Price): bigint {
  return (balance * SATS_PER_BTC) / at;
}

/** What sats are worth at a price, rounded down: what a deposit is credited with. */
export function centsOfSatsFloor(amount: bigint, at: Price): bigint {
  return (amount * at) / SATS_PER_BTC;
}

/** What sats are worth at a price, rounded up: what who asks for them pays. */
export function centsOfSatsCeil(amount: bigint, at: Price): bigint {
  return (amount * at + SATS_PER_BTC - 1n) / SATS_PER_BTC;
}

/** Whole sats that cover an amount of msats: rounded up. */
export function satsOfMsatsCeil(amount: bigint): bigint {
  return (amount + MSATS_PER_SAT - 1n) / MSATS_PER_SAT;
}

/** The lesser of two amounts; Math.min takes no bigint. */
export function lesser<Amount extends bigint>(a: Amount, b: Amount): Amount {
  return a < b ? a : b;
}

/** The greater of two amounts. */
export function greater<Amount extends bigint>(a: Amount, b: Amount): Amount {
  return a > b ? a : b;
}
