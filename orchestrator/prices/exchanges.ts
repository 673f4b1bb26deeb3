/**
 * The public ticker of each source: where it is asked, and where in the answer the price stands. A
 * ticker is one GET without a key, so that each is a few lines here; ccxt would load all its
 * exchanges (0.9 s, 100 MB), ask each for its whole list of markets first, and has no CoinGecko.
 * The forms are those of the sources' own documentation, named at each.
 */
import { z } from "zod";
import type { Currency } from "./currencies.ts";

/** As the source wrote it: decimals are text, read by currencies.ts. */
export interface Ticker {
  readonly price: string;
  /** BTC traded in 24 hours; left out where the source does not say. */
  readonly volume?: string | undefined;
  /** When the source says that this was so, in milliseconds since 1970. */
  readonly toldAt?: bigint | undefined;
}

export interface Exchange {
  /** Scheme and host, which the configuration may replace. */
  readonly url: string;
  /** What it quotes bitcoin in. */
  readonly currencies: readonly Currency[];
  readonly path: (currency: Currency) => string;
  /** Throws a ZodError for another form, a SourceAnswerError for another pair or a said error. */
  readonly read: (answer: unknown, currency: Currency) => Ticker;
}

/** The source answered with something else than what it was asked for. */
export class SourceAnswerError extends Error {
  override readonly name = "SourceAnswerError";
}

/** parseExactJson leaves integers that a double holds exactly as numbers; the rest is text. */
const decimal = z.union([z.string().max(80), z.number().transform(String)]);
const seconds = integerTime(1_000n);
const millis = integerTime(1n);

export const exchanges = {
  // blockchain.com/explorer/api/exchange_rates_api: {"USD":{"15m":…,"last":…,"buy":…,"sell":…,…},…}
  blockchain: {
    url: "https://blockchain.info",
    currencies: ["USD", "EUR", "GBP", "CHF", "CAD", "AUD", "JPY", "ARS", "BRL", "TRY"],
    path: () => "/ticker",
    read: (answer, currency) => {
      const all = z.record(z.string(), z.unknown()).parse(answer);
      return { price: z.object({ last: decimal }).parse(all[currency]).last };
    },
  },
  // docs.cex.io, Ticker: {"timestamp":"…","last":"…","volume":"…",…,"pair":"BTC:USD"}
  cex: {
    url: "https://cex.io",
    currencies: ["USD", "EUR", "GBP"],
    path: (currency) => `/api/ticker/BTC/${currency}`,
    read: (answer, currency) => {
      const form = {
        last: decimal,
        volume: decimal,
        timestamp: seconds,
        pair: z.string().nullish(),
      };
      const { last, volume, timestamp, pair } = z.object(form).parse(answer);
      if (pair != null) same(pair, `BTC:${currency}`);
      return { price: last, volume, toldAt: timestamp };
    },
  },
  // docs.coingecko.com, simple/price: {"bitcoin":{"usd":…,"last_updated_at":…}}
  coingecko: {
    url: "https://api.coingecko.com",
    currencies: [
      ...(["USD", "EUR", "GBP", "CHF", "CAD", "AUD", "JPY"] as const),
      ...(["ARS", "BRL", "MXN", "TRY", "ZAR", "XAU"] as const),
    ],
    path: (currency) =>
      `/api/v3/simple/price?ids=bitcoin&vs_currencies=${currency.toLowerCase()}` +
      "&include_last_updated_at=true&precision=full",
    read: (answer, currency) => {
      const { bitcoin } = z.object({ bitcoin: z.record(z.string(), z.unknown()) }).parse(answer);
      const { last_updated_at } = z.object({ last_updated_at: seconds }).parse(bitcoin);
      return {
        price: decimal.parse(bitcoin[currency.toLowerCase()]),
        toldAt: last_updated_at,
      };
    },
  },
  // docs.cdp.coinbase.com, prices: {"data":{"amount":"…","base":"BTC","currency":"USD"}}
  coinbase: {
    url: "https://api.coinbase.com",
    currencies: [
      ...(["USD", "EUR", "GBP", "CHF", "CAD", "AUD", "JPY"] as const),
      ...(["ARS", "BRL", "MXN", "TRY", "ZAR", "XAU"] as const),
    ],
    path: (currency) => `/v2/prices/BTC-${currency}/spot`,
    read: (answer, currency) => {
      const form = z.object({ amount: decimal, base: z.string(), currency: z.string() });
      const { data } = z.object({ data: form }).parse(answer);
      same(`${data.base}-${data.currency}`, `BTC-${currency}`);
      return { price: data.amount };
    },
  },
  // bitstamp.net/api, ticker: {"last":"…","timestamp":"…","volume":"…","vwap":"…",…}
  bitstamp: {
    url: "https://www.bitstamp.net",
    currencies: ["USD", "EUR", "GBP"],
    path: (currency) => `/api/v2/ticker/btc${currency.toLowerCase()}/`,
    read: (answer, currency) => {
      const form = {
        last: decimal,
        volume: decimal,
        timestamp: seconds,
        pair: z.string().nullish(),
      };
      const { last, volume, timestamp, pair } = z.object(form).parse(answer);
      if (pair != null) same(pair, `BTC/${currency}`);
      return { price: last, volume, toldAt: timestamp };
    },
  },
  // docs.kraken.com, Ticker: {"error":[],"result":{"XXBTZUSD":{"c":[price,lot],
  // "v":[today,24 h],…}}}
  kraken: {
    url: "https://api.kraken.com",
    currencies: ["USD", "EUR", "GBP", "CHF", "CAD", "AUD", "JPY"],
    path: (currency) => `/0/public/Ticker?pair=XBT${currency}`,
    read: (answer, currency) => {
      const form = {
        error: z.array(z.string()),
        result: z.record(z.string(), z.unknown()).nullish(),
      };
      const { error, result } = z.object(form).parse(answer);
      if (error[0] !== undefined) throw new SourceAnswerError(`it says ${quoted(error[0])}`);
      // Its older pairs have names of their own: XXBTZUSD, but XBTCHF.
      const names = [`XXBTZ${currency}`, `XBT${currency}`];
      const [name = "none", ...more] = Object.keys(result ?? {});
      if (!names.includes(name) || more.length > 0) same(name, names[0] ?? "");
      const ticker = z.object({ c: z.array(decimal).min(1), v: z.array(decimal).length(2) });
      const { c, v } = ticker.parse(result?.[name]);
      return { price: c[0] ?? "", volume: v[1] };
    },
  },
  // binance-spot-api-docs, ticker/24hr: {"symbol":"BTCUSDT","lastPrice":"…","volume":"…",
  // "closeTime":…}. It has no dollar: tether stands in, and the consensus bounds what that does.
  binance: {
    url: "https://api.binance.com",
    currencies: ["USD", "EUR", "JPY", "ARS", "BRL", "MXN", "TRY", "ZAR"],
    path: (currency) => `/api/v3/ticker/24hr?symbol=${binancePair(currency)}`,
    read: (answer, currency) => {
      const form = { symbol: z.string(), lastPrice: decimal, volume: decimal, closeTime: millis };
      const { symbol, lastPrice, volume, closeTime } = z.object(form).parse(answer);
      same(symbol, binancePair(currency));
      return { price: lastPrice, volume, toldAt: closeTime };
    },
  },
  // docs.bitfinex.com, tickers (which name their pair, as the single ticker does not): [[SYMBOL,
  // BID, BID_SIZE, ASK, ASK_SIZE, DAILY_CHANGE, DAILY_CHANGE_RELATIVE, LAST_PRICE, VOLUME, …]]
  bitfinex: {
    url: "https://api-pub.bitfinex.com",
    currencies: ["USD", "EUR", "GBP", "JPY"],
    path: (currency) => `/v2/tickers?symbols=tBTC${currency}`,
    read: (answer, currency) => {
      const [row] = z.tuple([z.array(z.unknown()).min(11)]).parse(answer);
      same(z.string().parse(row[0]), `tBTC${currency}`);
      return { price: decimal.parse(row[7]), volume: decimal.parse(row[8]) };
    },
  },
  // docs.deribit.com, public/ticker of the perpetual: {"result":{"instrument_name":"BTC-PERPETUAL",
  // "last_price":…,"timestamp":…,"stats":{"volume":… in BTC},"state":"open"}}
  deribit: {
    url: "https://www.deribit.com",
    currencies: ["USD"],
    path: () => "/api/v2/public/ticker?instrument_name=BTC-PERPETUAL",
    read: (answer) => {
      const form = z.object({
        instrument_name: z.string(),
        last_price: decimal,
        timestamp: millis,
        state: z.literal("open"),
        stats: z.object({ volume: decimal }),
      });
      const { result } = z.object({ result: form }).parse(answer);
      same(result.instrument_name, "BTC-PERPETUAL");
      const { last_price: price, stats, timestamp } = result;
      return { price, volume: stats.volume, toldAt: timestamp };
    },
  },
  // okx.com/docs-v5, index tickers: {"code":"0","msg":"","data":[{"instId":"BTC-USD",
  // "idxPx":"…","ts":"…"}]}
  okx: {
    url: "https://www.okx.com",
    currencies: ["USD", "EUR"],
    path: (currency) => `/api/v5/market/index-tickers?instId=BTC-${currency}`,
    read: (answer, currency) => {
      const said = z.object({ code: z.string(), msg: z.string(), data: z.array(z.unknown()) });
      const { code, msg, data } = said.parse(answer);
      if (code !== "0") throw new SourceAnswerError(`it says ${quoted(`${code} ${msg}`)}`);
      const row = z.object({ instId: z.string(), idxPx: decimal, ts: millis });
      const [ticker] = z.tuple([row]).parse(data);
      same(ticker.instId, `BTC-${currency}`);
      return { price: ticker.idxPx, toldAt: ticker.ts };
    },
  },
} as const satisfies Readonly<Record<string, Exchange>>;

export type SourceName = keyof typeof exchanges;
export const SOURCE_NAMES = Object.keys(exchanges) as readonly SourceName[];

export function exchangeOf(name: SourceName): Exchange {
  return exchanges[name];
}

function binancePair(currency: Currency): string {
  return currency === "USD" ? "BTCUSDT" : `BTC${currency}`;
}

/** A time as an integer or as its digits; later than the year 5000 it is none. */
function integerTime(factor: bigint) {
  return z
    .union([z.int().min(0).transform(String), z.string()])
    .pipe(z.string().regex(/^[0-9]{1,14}$/))
    .transform((digits) => BigInt(digits) * factor);
}

function same(told: string, asked: string): void {
  if (told !== asked) throw new SourceAnswerError(`it quotes ${quoted(told)}, not ${asked}`);
}

/** What a stranger wrote is shortened, and paints nothing on a terminal. */
export function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 60)).replace(/[^\x20-\x7e]/g, "?");
}
