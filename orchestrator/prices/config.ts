/** What the configuration says of prices. Without it there are none, and nothing is stabilised. */
import { z } from "zod";
import { AGREEING_MIN } from "./consensus.ts";
import { CURRENCIES } from "./currencies.ts";
import { exchangeOf, SOURCE_NAMES } from "./exchanges.ts";
import { sourcesFor } from "./source.ts";
import { WEIGHED_SOURCES } from "./vwap.ts";

export type MethodName = "consensus" | "vwap";

const currencies = z
  .array(z.enum(CURRENCIES))
  .min(1)
  .refine((all) => new Set(all).size === all.length, { message: "a currency is named twice" });

const source = z
  .strictObject({
    name: z.enum(SOURCE_NAMES),
    /** In the place of the source's own address: a proxy, or a test. */
    url: z
      .url({ protocol: /^https?$/ })
      .nullable()
      .default(null),
    /** Only for these; by default for all that it quotes. */
    currencies: currencies.nullable().default(null),
  })
  .refine(({ name, currencies: some }) => {
    return some?.every((currency) => exchangeOf(name).currencies.includes(currency)) ?? true;
  }, "does not quote all of these currencies");

export const priceConfigSchema = z
  .strictObject({
    currencies: currencies.default(["USD"]),
    method: z.enum(["consensus", "vwap"]).default("consensus"),
    sources: z
      .array(source)
      .default(() => SOURCE_NAMES.map((name) => ({ name, url: null, currencies: null })))
      .refine((all) => new Set(all.map(({ name }) => name)).size === all.length, {
        message: "a source is named twice: it would agree with itself",
      }),
    /** Prices live for 60 s: an interval of more than half of that lets one lapse now and then. */
    every_ms: z.int().min(1_000).max(30_000).default(10_000),
  })
  .superRefine(({ currencies: wanted, method, sources }, context) => {
    for (const currency of wanted) {
      const voices = sourcesFor(currency, sources).filter(
        ({ name }) => method === "consensus" || WEIGHED_SOURCES.includes(name),
      );
      if (voices.length >= AGREEING_MIN) continue;
      const message = `${currency} has ${voices.length} sources for ${method}`;
      const wish = `fewer than ${AGREEING_MIN}`;
      context.addIssue({ code: "custom", path: ["sources"], message: `${message}, ${wish}` });
    }
  });

export type PriceConfig = z.output<typeof priceConfigSchema>;
