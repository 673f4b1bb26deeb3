/**
 * Amounts as Pulser's clients read them: JSON numbers with a point. They are written from integers,
 * digit by digit, so that no float has touched them: 1 sat is 0.00000001.
 */
import type { Response } from "express";
import { btcOfSats } from "../../signer/node/exact-json.ts";

/** The text of a JSON number. */
interface Decimal {
  readonly [DIGITS]: string;
}
const DIGITS = Symbol("digits");

export function btc(sats: bigint): Decimal {
  return { [DIGITS]: btcOfSats(sats) };
}

export function usd(cents: bigint): Decimal {
  const digits = (cents < 0n ? -cents : cents).toString().padStart(3, "0");
  return { [DIGITS]: `${cents < 0n ? "-" : ""}${digits.slice(0, -2)}.${digits.slice(-2)}` };
}

export function sendExact(response: Response, body: unknown): void {
  response.type("application/json").send(exactText(body));
}

/** As `JSON.stringify`, but for decimals, which are written as they are. */
export function exactText(value: unknown): string {
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  if (DIGITS in value) return String(value[DIGITS]);
  if (Array.isArray(value)) return `[${value.map(exactText).join(",")}]`;
  const members = Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .map(([key, member]) => `${JSON.stringify(key)}:${exactText(member)}`);
  return `{${members.join(",")}}`;
}
