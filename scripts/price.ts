/** `ballast price`: every source asked now, what they agree on, and what was left out. */
import type { Command } from "commander";
import { ConfigError, readConfig } from "../orchestrator/config.ts";
import { systemClock } from "../orchestrator/io/clock.ts";
import { silentLog } from "../orchestrator/log.ts";
import { type PriceConfig, priceConfigSchema } from "../orchestrator/prices/config.ts";
import { CURRENCIES, type Currency, priceText } from "../orchestrator/prices/currencies.ts";
import { type CurrencyReport, openPrices } from "../orchestrator/prices/feed.ts";
import { InputError, withInput } from "./input.ts";

interface Options {
  readonly currency?: string;
  readonly config?: string;
  readonly json?: boolean;
}

/** As in `explain`: not now, perhaps later. */
const EXIT_NONE = 4;

export function addPrice(program: Command): void {
  program
    .command("price")
    .description("Ask all sources what a bitcoin costs, and show what they agree on.")
    .option("--currency <code>", "only this one; by default those of the configuration, or USD")
    .option("--config <file>", "ask as this ballast/orchestrator@1 document says")
    .option("--json", "print one JSON array, an object a currency")
    .action((options: Options) =>
      withInput(options.json === true, async () => {
        const reports = await ask(wanted(options));
        if (options.json === true) console.log(JSON.stringify(reports.map(plain)));
        else console.log(reports.map(table).join("\n\n"));
        return reports.every(({ trusted }) => trusted !== null) ? 0 : EXIT_NONE;
      }),
    );
}

async function ask(config: PriceConfig): Promise<readonly CurrencyReport[]> {
  const feed = openPrices({ ...config, clock: systemClock, log: silentLog });
  await feed.refresh();
  return feed.report();
}

function wanted({ currency, config }: Options): PriceConfig {
  const configured = config === undefined ? {} : configOf(config);
  const asked = currency === undefined ? {} : { currencies: [currencyOf(currency)] };
  const parsed = priceConfigSchema.safeParse({ ...configured, ...asked });
  if (parsed.success) return parsed.data;
  const reasons = parsed.error.issues.map(({ message }) => message).join("; ");
  throw new InputError("prices", reasons);
}

function configOf(file: string): Partial<PriceConfig> {
  try {
    return readConfig(file).prices ?? {};
  } catch (error) {
    if (error instanceof ConfigError) throw new InputError("config", error.message);
    throw error;
  }
}

function currencyOf(text: string): Currency {
  const known = CURRENCIES.find((currency) => currency === text.toUpperCase());
  if (known !== undefined) return known;
  throw new InputError("currency", `${text} is none of ${CURRENCIES.join(", ")}`);
}

/** JSON has no bigint: amounts and times are decimal strings. */
function plain(report: CurrencyReport): unknown {
  return JSON.parse(
    JSON.stringify(report, (_, value: unknown) =>
      typeof value === "bigint" ? String(value) : value,
    ),
  );
}

function table({ currency, method, trusted, reason, sources }: CurrencyReport): string {
  const rows = sources.map(({ name, quote, excluded }) => [
    name,
    quote === null ? "-" : priceText(quote.price, currency),
    excluded ?? "counts",
  ]);
  const total =
    trusted === null
      ? `no price by ${method}: ${reason}`
      : `${method} of ${trusted.sources.length}: ${priceText(trusted.price, currency)}`;
  return [...aligned(rows), total].join("\n");
}

/** Names to the left, prices to the right. */
function aligned(rows: readonly (readonly string[])[]): readonly string[] {
  const width = (column: number) => Math.max(...rows.map((row) => row[column]?.length ?? 0));
  const [name, price] = [width(0), width(1)];
  return rows.map(
    ([first = "", second = "", third = ""]) =>
      `${first.padEnd(name)}  ${second.padStart(price)}  ${third}`,
  );
}
