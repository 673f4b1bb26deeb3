/** A node's numbers without floats: amounts in BTC as exact satoshis, JSON with its numbers as text. */
import { BitcoindError, excerpt } from "./bitcoind-error.ts";

/** More than 21 million BTC do not exist; a larger amount is a misread, not money. */
const SATS_MAX = 21_000_000n * 100_000_000n;

/**
 * The exact satoshis of an amount in BTC as the node writes it ("0.00010000", "-1.5").
 * Anything that is not a plain decimal of at most 8 places and 21 million BTC is a protocol fault.
 */
export function satsOfBtc(text: string): bigint {
  const match = /^(-?)(0|[1-9][0-9]{0,7})(?:\.([0-9]{1,8}))?$/.exec(text);
  const sats =
    match === null
      ? null
      : BigInt(match[2] ?? "") * 100_000_000n + BigInt((match[3] ?? "").padEnd(8, "0"));
  if (match === null || sats === null || sats > SATS_MAX) {
    throw new BitcoindError("protocol", `not an amount in BTC: ${excerpt(text)}`);
  }
  return match[1] === "-" ? -sats : sats;
}

/** The decimal text with 8 places that the node reads back as exactly these satoshis. */
export function btcOfSats(sats: bigint): string {
  const digits = (sats < 0n ? -sats : sats).toString().padStart(9, "0");
  return `${sats < 0n ? "-" : ""}${digits.slice(0, -8)}.${digits.slice(-8)}`;
}

/**
 * `JSON.parse`, except that every number which a double might not hold exactly arrives as its own
 * text: those with a point or an exponent, and integers beyond 2^53. Accepts exactly what
 * `JSON.parse` accepts. (Node 20's reviver has no access to the source text, or it would do this.)
 */
export function parseExactJson(text: string): unknown {
  return JSON.parse(quoteInexactNumbers(text));
}

/** Puts quotes around inexact numbers, and touches nothing inside strings. */
function quoteInexactNumbers(text: string): string {
  const parts: string[] = [];
  let at = 0;
  while (at < text.length) {
    const open = text.indexOf('"', at);
    const outside = open === -1 ? text.slice(at) : text.slice(at, open);
    parts.push(outside.replace(JSON_NUMBER, quoteIfInexact));
    if (open === -1) break;
    const close = closingQuote(text, open);
    parts.push(text.slice(open, close + 1));
    at = close + 1;
  }
  return parts.join("");
}

// A number where an object's key should stand must stay what it is, an error: hence the lookahead.
// The grammar is JSON's own, so "01.5" or "1." do not turn into something that parses.
const JSON_NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?![0-9.]*\s*:)/g;

function quoteIfInexact(number: string): string {
  if (/[.eE]/.test(number)) return `"${number}"`;
  return Number.isSafeInteger(Number(number)) ? number : `"${number}"`;
}

/** The index of the quote that ends the string opened at `open`, or the end of an unended text. */
function closingQuote(text: string, open: number): number {
  let close = text.indexOf('"', open + 1);
  while (close !== -1) {
    let backslashes = 0;
    while (text[close - 1 - backslashes] === "\\") backslashes += 1;
    // The opening quote bounds the walk back; an even number of backslashes escape one another.
    if (backslashes % 2 === 0) return close;
    close = text.indexOf('"', close + 1);
  }
  return text.length;
}
