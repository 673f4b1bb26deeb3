/**
 * What balances can be held stable in, and how a price that a source writes becomes an integer.
 * A "cent" is a currency's smallest unit that is booked: a hundredth of all money that people pay
 * with, a millionth of a troy ounce of gold (XAU), of which a hundredth is worth forty dollars.
 */
import { CENTS_MAX, lesser, type Price, price } from "../../policies/money.ts";

interface Unit {
  /** A cent is 10^-decimals of the currency. */
  readonly decimals: number;
  /** Millionths of the currency in a US dollar, roughly: they scale the bounds of prices. */
  readonly perUsdMicros: bigint;
}

const unit = (perUsdMicros: bigint, decimals = 2): Unit => ({ decimals, perUsdMicros });

/** By ISO 4217, and XAU. To add one: a line here, and the sources that quote it in exchanges.ts. */
const UNITS = {
  USD: unit(1_000_000n),
  EUR: unit(900_000n),
  GBP: unit(800_000n),
  CHF: unit(900_000n),
  CAD: unit(1_400_000n),
  AUD: unit(1_500_000n),
  JPY: unit(150_000_000n),
  ARS: unit(1_500_000_000n),
  BRL: unit(5_500_000n),
  MXN: unit(19_000_000n),
  TRY: unit(40_000_000n),
  ZAR: unit(18_000_000n),
  XAU: unit(300n, 6),
} as const satisfies Readonly<Record<string, Unit>>;

export type Currency = keyof typeof UNITS;
export const CURRENCIES = Object.keys(UNITS) as readonly Currency[];

/** Stable Channels' bounds in dollars (seeds.md 3.3): outside of them an answer is no price. */
const USD_PER_BTC_MIN = 1_000n;
const USD_PER_BTC_MAX = 10_000_000n;

export interface PriceBounds {
  readonly least: bigint;
  readonly most: bigint;
}

/** Of a price in cents per BTC, both included. */
export function priceBounds(currency: Currency): PriceBounds {
  const { decimals, perUsdMicros } = UNITS[currency];
  const cents = (usd: bigint) => (usd * perUsdMicros * 10n ** BigInt(decimals)) / 1_000_000n;
  return { least: cents(USD_PER_BTC_MIN), most: lesser(cents(USD_PER_BTC_MAX), CENTS_MAX) };
}

/**
 * The price that a source wrote as a decimal, rounded down to a cent, as Fedi's pool does it; null
 * for what is no plain decimal or lies out of bounds. No float is involved.
 */
export function priceOfDecimal(text: string, currency: Currency): Price | null {
  const cents = decimalFloor(text, UNITS[currency].decimals);
  const { least, most } = priceBounds(currency);
  return cents === null || cents < least || cents > most ? null : price(cents);
}

/** Prices and volumes are far shorter; a longer one is an attack on whoever multiplies it. */
const DIGITS_MAX = 30;

/**
 * A decimal in units of 10^-decimals, rounded down; null for signs, exponents, blanks, names of
 * infinities and numbers of more than 30 digits on either side of the point.
 */
export function decimalFloor(text: string, decimals: number): bigint | null {
  if (text.length > 2 * DIGITS_MAX + 1) return null;
  const match = /^([0-9]{1,30})(?:\.([0-9]{1,30}))?$/.exec(text);
  if (match === null) return null;
  return BigInt((match[1] ?? "") + (match[2] ?? "").slice(0, decimals).padEnd(decimals, "0"));
}

/** For people: `84,123.45 USD`. */
export function priceText(cents: bigint, currency: Currency): string {
  const { decimals } = UNITS[currency];
  const digits = cents.toString().padStart(decimals + 1, "0");
  const whole = digits.slice(0, -decimals).replace(/\B(?=(?:[0-9]{3})+$)/g, ",");
  return `${whole}.${digits.slice(-decimals)} ${currency}`;
}
