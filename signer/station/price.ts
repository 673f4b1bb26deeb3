/** The station's own look at the price: beside whatever the request says, for a person to compare. */
import { z } from "zod";
import { price } from "../../policies/money.ts";
import { boundedText } from "./bounded-text.ts";
import type { Quote } from "./sight.ts";

export const priceSourceSchema = z.strictObject({
  /** Answers with JSON. */
  url: z.url({ protocol: /^https?$/ }),
  /** Where in it the price stands: names of fields with points between. */
  field: z.string().regex(/^[A-Za-z0-9_]+(?:\.[A-Za-z0-9_]+){0,7}$/),
});
export type PriceSource = z.output<typeof priceSourceSchema>;

const WAIT_MS = 5_000;
const ANSWER_BYTES_MAX = 256 * 1024;
/** Dollars with at most eight decimals, as exchanges write them. */
const DOLLARS = /^([1-9][0-9]{0,9})(?:\.([0-9]{1,10}))?$/;

/** Null where the source does not answer, or answers with no price: then no dollars are shown. */
export async function askPrice({ url, field }: PriceSource): Promise<Quote | null> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(WAIT_MS), redirect: "error" });
    const text = await boundedText(response, ANSWER_BYTES_MAX);
    if (!response.ok || text === null) return null;
    const [, whole, fraction = ""] = DOLLARS.exec(at(text, field) ?? "") ?? [];
    if (whole === undefined) return null;
    // Parts of a cent are cut off: the figure is for people.
    return {
      price: price(BigInt(`${whole}${fraction.padEnd(2, "0").slice(0, 2)}`)),
      source: new URL(url).host,
    };
  } catch {
    return null;
  }
}

/** The number's own digits: a number that was read as a float has lost some. */
function at(text: string, field: string): string | null {
  const names = field.split(".");
  const found = names.reduce<unknown>(
    (value, name) =>
      typeof value === "object" && value !== null && Object.hasOwn(value, name)
        ? (value as Record<string, unknown>)[name]
        : undefined,
    JSON.parse(text),
  );
  return typeof found === "string" || typeof found === "number" ? String(found) : null;
}
