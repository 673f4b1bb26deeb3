/** The prices that the orchestrator trusts, kept fresh by asking all sources again and again. */
import { lesser } from "../../policies/money.ts";
import type { Clock } from "../io/clock.ts";
import type { Log } from "../log.ts";
import type { MethodName, PriceConfig } from "./config.ts";
import { type Agreement, consensus, type Method } from "./consensus.ts";
import type { Currency } from "./currencies.ts";
import type { SourceName } from "./exchanges.ts";
import type { Prices, TrustedPrice } from "./prices.ts";
import { type Answer, askSource, type Quote, type SourceFaultCode, sourcesFor } from "./source.ts";
import { afterAnswer, healthScore, NEW_SOURCE, type SourceHealth } from "./source-health.ts";
import { accountingPrice, afterAgreement, NO_TRUST, type Quarantine, type Trust } from "./trust.ts";
import { vwap } from "./vwap.ts";

export interface PriceFeed extends Prices {
  /** Asks all sources of all currencies now; while one refresh runs, whoever asks waits for it. */
  readonly refresh: () => Promise<void>;
  readonly report: () => readonly CurrencyReport[];
}

export interface CurrencyReport {
  readonly currency: Currency;
  readonly method: MethodName;
  /** Null: nothing is credited now, and `reason` says why. */
  readonly trusted: TrustedPrice | null;
  readonly reason: string | null;
  readonly quarantine: Quarantine | null;
  readonly sources: readonly SourceReport[];
}

export interface SourceReport {
  readonly name: SourceName;
  /** The last good answer; null before the first. */
  readonly quote: Quote | null;
  /** From 0 to 1. */
  readonly health: number;
  /** Why it did not count at the last refresh; null if it did. */
  readonly excluded: string | null;
}

export interface PriceFeedOptions extends Omit<PriceConfig, "every_ms"> {
  readonly clock: Clock;
  readonly log: Log;
  /** For one answer of one source. */
  readonly timeoutMs?: number | undefined;
}

const METHODS: Readonly<Record<MethodName, Method>> = { consensus, vwap };

export function openPrices(options: PriceFeedOptions): PriceFeed {
  const watched = new Map<string, Watch>(
    options.currencies.map((currency) => [currency, watchCurrency(currency, options)]),
  );
  let running: Promise<void> | null = null;

  async function refreshAll(): Promise<void> {
    await Promise.all([...watched.values()].map((watch) => watch.refresh()));
  }

  return {
    latest: (currency) => watched.get(currency)?.latest() ?? null,
    refresh: () => {
      running ??= refreshAll().finally(() => {
        running = null;
      });
      return running;
    },
    report: () => [...watched.values()].map((watch) => watch.report()),
  };
}

interface Watch {
  readonly latest: () => TrustedPrice | null;
  readonly refresh: () => Promise<void>;
  readonly report: () => CurrencyReport;
}

interface Seen {
  readonly quote: Quote | null;
  readonly health: SourceHealth;
  readonly fault: SourceFaultCode | null;
  readonly excluded: string | null;
}

const UNSEEN: Seen = { quote: null, health: NEW_SOURCE, fault: null, excluded: "not asked yet" };

function watchCurrency(currency: Currency, options: PriceFeedOptions): Watch {
  const { method, clock } = options;
  const log = quietLog(options.log, currency);
  const sources = sourcesFor(currency, options.sources);
  const seen = new Map<SourceName, Seen>(sources.map(({ name }) => [name, UNSEEN]));
  let trust: Trust = NO_TRUST;
  let failure: string | null = "no source has been asked yet";

  function note(answers: readonly Answer[], agreement: Agreement): void {
    const reasons = new Map(agreement.leftOut.map(({ source, reason }) => [source, reason]));
    for (const answer of answers) {
      const name = answer.kind === "quote" ? answer.quote.source : answer.fault.source;
      const before = seen.get(name) ?? UNSEEN;
      const after = afterOne(before, answer, reasons.get(name) ?? null);
      log.source(name, before, after);
      seen.set(name, after);
    }
  }

  return {
    latest: () => accountingPrice(trust, clock()),
    async refresh() {
      const answers = await Promise.all(
        sources.map((source) => askSource(source, currency, options)),
      );
      const quotes = answers.flatMap((answer) => (answer.kind === "quote" ? [answer.quote] : []));
      const now = clock();
      const agreement = METHODS[method](quotes, now);
      note(answers, agreement);
      const before = trust;
      failure = agreement.kind === "none" ? agreement.reason : null;
      if (agreement.kind === "agreed") {
        trust = afterAgreement(trust, trustedOf(agreement.quotes, agreement.price, currency), now);
      }
      log.trust(before, trust);
      log.failure(failure);
    },
    report() {
      const now = clock();
      const trusted = accountingPrice(trust, now);
      const { quarantine } = trust;
      return {
        currency,
        method,
        trusted,
        reason: trusted === null ? whyNone(quarantine, failure) : null,
        quarantine,
        sources: [...seen].map(([name, { quote, health, excluded }]) => {
          return { name, quote, health: healthScore(health, now), excluded };
        }),
      };
    },
  };
}

function afterOne({ quote, health }: Seen, answer: Answer, leftOut: string | null): Seen {
  if (answer.kind === "quote") {
    const after = afterAnswer(health, true, answer.quote.at);
    return { quote: answer.quote, health: after, fault: null, excluded: leftOut };
  }
  const { code, detail, at } = answer.fault;
  return {
    quote,
    health: afterAnswer(health, false, at),
    fault: code,
    excluded: `${code}: ${detail}`,
  };
}

function trustedOf(
  quotes: readonly Quote[],
  price: TrustedPrice["price"],
  currency: Currency,
): TrustedPrice {
  const at = quotes.map((quote) => quote.at).reduce(lesser);
  return { price, currency, at, sources: quotes.map(({ source }) => source).sort() };
}

function whyNone(quarantine: Quarantine | null, failure: string | null): string {
  if (quarantine !== null) return "a jump of more than 10 % waits in quarantine";
  return failure ?? "the last price is too old";
}

/** What is the same as before is no news. */
function quietLog(log: Log, currency: Currency) {
  let failing: string | null = null;
  return {
    source(name: SourceName, before: Seen, after: Seen): void {
      if (before.fault === after.fault) return;
      const fields = { currency, source: name, reason: after.excluded };
      if (after.fault === null) log.info({ currency, source: name }, "price source answers again");
      else log.warn(fields, "price source left out");
    },
    trust(before: Trust, { quarantine, last }: Trust): void {
      if (before.quarantine === null && quarantine !== null) {
        const wanted = String(quarantine.wanted.price);
        const trusted = String(last?.price ?? 0n);
        log.warn({ currency, trusted, wanted }, "price jumped and is quarantined");
      }
      if (before.quarantine !== null && quarantine === null) {
        log.info({ currency, price: String(last?.price ?? 0n) }, "price quarantine ended");
      }
    },
    failure(reason: string | null): void {
      if (reason !== null && failing === null) log.warn({ currency, reason }, "no price agreed on");
      if (reason === null && failing !== null) log.info({ currency }, "price agreed on again");
      failing = reason;
    },
  };
}
