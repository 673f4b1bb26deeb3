/**
 * Asking a source once: bounded in bytes and time, and believed only where the answer has the form
 * of its documentation, the pair asked for, a price within bounds and a time that is now.
 */
import { ZodError } from "zod";
import type { Price } from "../../policies/money.ts";
import { parseExactJson } from "../../signer/node/exact-json.ts";
import type { Clock } from "../io/clock.ts";
import { boundedBytes, reasonOf } from "../io/esplora-http.ts";
import {
  type Currency,
  decimalFloor,
  priceBounds,
  priceOfDecimal,
  priceText,
} from "./currencies.ts";
import {
  exchangeOf,
  quoted,
  SourceAnswerError,
  type SourceName,
  type Ticker,
} from "./exchanges.ts";

export interface Source {
  readonly name: SourceName;
  /** Scheme, host and perhaps a prefix; null is the source's own address. */
  readonly url: string | null;
  /** Asked for these only; null is all that it quotes. */
  readonly currencies: readonly Currency[] | null;
}

/** Those that quote a currency and may be asked for it. */
export function sourcesFor(currency: Currency, sources: readonly Source[]): readonly Source[] {
  return sources.filter(
    ({ name, currencies }) =>
      exchangeOf(name).currencies.includes(currency) && (currencies?.includes(currency) ?? true),
  );
}

/** What one source said, once it has passed every check. */
export interface Quote {
  readonly source: SourceName;
  /** Cents per BTC, rounded down. */
  readonly price: Price;
  /** Hundred-millionths of a BTC that were traded in 24 hours; null where it is not said. */
  readonly volume: bigint | null;
  /** When it was asked: milliseconds since 1970. */
  readonly at: bigint;
}

/**
 * Why a source did not count:
 * - `unreachable`: nobody answers, or the answer broke off
 * - `timeout`: no whole answer in time
 * - `refused`: an HTTP status other than 200
 * - `malformed`: too long, no JSON, or not of the documented form
 * - `wrong`: of another pair, or an error in the source's own words
 * - `absurd`: no plain decimal, or out of the currency's bounds
 * - `stale`: by its own word not of now
 */
export type SourceFaultCode =
  | "unreachable"
  | "timeout"
  | "refused"
  | "malformed"
  | "wrong"
  | "absurd"
  | "stale";

export interface SourceFault {
  readonly source: SourceName;
  readonly code: SourceFaultCode;
  /** For people. */
  readonly detail: string;
  readonly at: bigint;
}

export type Answer =
  | { readonly kind: "quote"; readonly quote: Quote }
  | { readonly kind: "fault"; readonly fault: SourceFault };

export interface AskOptions {
  readonly clock: Clock;
  /** For one answer, its body included. */
  readonly timeoutMs?: number | undefined;
}

/** A price that comes later is of no use before the next is asked for. */
const TIMEOUT_MS = 5_000;
/** blockchain.com's table of all currencies, the longest answer, has some 5 KB. */
const ANSWER_BYTES_MAX = 64 * 1024;
/** CoinGecko's cache of a minute is filled from markets that were asked a minute before. */
const TOLD_AGE_MS_MAX = 180_000n;
/** Clocks differ. */
const TOLD_AHEAD_MS_MAX = 60_000n;
/** Enough for any market, and little enough that sums of products stay small. */
const VOLUME_DECIMALS = 8;

/** Never throws for what a source does; its faults are answers. */
export async function askSource(
  source: Source,
  currency: Currency,
  { clock, timeoutMs = TIMEOUT_MS }: AskOptions,
): Promise<Answer> {
  const at = clock();
  try {
    const ticker = await tickerOf(source, currency, timeoutMs);
    return {
      kind: "quote",
      quote: quoteOf(ticker, { source: source.name, currency, at, now: clock() }),
    };
  } catch (error) {
    const { code, detail } = faultOf(error, timeoutMs);
    return { kind: "fault", fault: { source: source.name, code, detail, at } };
  }
}

/** Carries a code to askSource; nobody else sees it. */
class AskError extends Error {
  override readonly name = "AskError";
  readonly code: SourceFaultCode;

  constructor(code: SourceFaultCode, detail: string) {
    super(detail);
    this.code = code;
  }
}

async function tickerOf(source: Source, currency: Currency, timeoutMs: number): Promise<Ticker> {
  const exchange = exchangeOf(source.name);
  const root = (source.url ?? exchange.url).replace(/\/+$/, "");
  const response = await fetch(`${root}${exchange.path(currency)}`, {
    headers: { accept: "application/json", "user-agent": "ballast" },
    signal: AbortSignal.timeout(timeoutMs),
    // Followed, the price would come from somebody whom the configuration does not name.
    redirect: "manual",
  });
  // The body is read in any case: left alone it would hold the connection.
  const bytes = await boundedBytes(response, ANSWER_BYTES_MAX);
  if (response.status !== 200) throw new AskError("refused", `HTTP ${response.status}`);
  if (bytes === null) throw new AskError("malformed", `longer than ${ANSWER_BYTES_MAX} bytes`);
  return exchange.read(jsonOf(bytes), currency);
}

function jsonOf(bytes: Uint8Array): unknown {
  try {
    return parseExactJson(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw new AskError("malformed", "no JSON");
  }
}

interface Asked {
  readonly source: SourceName;
  readonly currency: Currency;
  readonly at: bigint;
  readonly now: bigint;
}

function quoteOf(
  { price: text, volume, toldAt }: Ticker,
  { source, currency, at, now }: Asked,
): Quote {
  const price = priceOfDecimal(text, currency);
  if (price === null) {
    const { least, most } = priceBounds(currency);
    const bounds = `${priceText(least, currency)} to ${priceText(most, currency)}`;
    throw new AskError("absurd", `no price from ${bounds}: ${quoted(text)}`);
  }
  if (
    toldAt !== undefined &&
    (now - toldAt > TOLD_AGE_MS_MAX || toldAt - now > TOLD_AHEAD_MS_MAX)
  ) {
    throw new AskError("stale", `by its own word of ${toldAt} ms, ${now - toldAt} ms ago`);
  }
  return {
    source,
    price,
    volume: volume === undefined ? null : decimalFloor(volume, VOLUME_DECIMALS),
    at,
  };
}

function faultOf(error: unknown, timeoutMs: number): Pick<SourceFault, "code" | "detail"> {
  if (error instanceof AskError) return { code: error.code, detail: error.message };
  if (error instanceof SourceAnswerError) return { code: "wrong", detail: error.message };
  if (error instanceof ZodError) {
    const path = error.issues[0]?.path.join(".") ?? "";
    return { code: "malformed", detail: `not of its documented form${path && ` at ${path}`}` };
  }
  if (error instanceof Error && error.name === "TimeoutError") {
    return { code: "timeout", detail: `no answer in ${timeoutMs} ms` };
  }
  return { code: "unreachable", detail: reasonOf(error) };
}
