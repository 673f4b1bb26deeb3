/**
 * All sources of prices in one local server: `/kraken/…` answers as Kraken's public ticker does,
 * and so on, by field and type as the sources' own documentation has them. A test may bend an
 * answer on its way out. It shares no code with the adapters that it tests.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";

export interface PriceServer {
  /** The root under which a source is found: what its `url` is configured to. */
  readonly root: (source: string) => string;
  /** What a market is at, in the source's decimals; by source where it matters, else `default`. */
  readonly prices: Map<string, string>;
  /** `source path` of each question so far. */
  readonly asked: readonly string[];
  /** What happens to the answers of a source from now on. */
  readonly bends: Map<string, Bend>;
  /** The servers' own clocks. */
  now: () => number;
  readonly close: () => Promise<void>;
}

export type Bend = (honest: string) => string | Misdeed;

export type Misdeed =
  /** Never answers. */
  | { readonly kind: "silence" }
  /** Breaks off in the middle of what it announced. */
  | { readonly kind: "half" }
  /** Says more and more without an end. */
  | { readonly kind: "flood" }
  | { readonly kind: "status"; readonly status: number; readonly location?: string };

interface Market {
  /** In upper case, as ISO 4217 or XAU. */
  readonly currency: string;
  readonly price: string;
  /** Milliseconds since 1970. */
  readonly now: number;
}

interface Venue {
  /** Its one group is the currency. */
  readonly path: RegExp;
  readonly answer: (market: Market) => string;
}

const seconds = (now: number) => Math.floor(now / 1_000);

const RATES = ["USD", "EUR", "GBP", "CHF", "CAD", "AUD", "JPY", "ARS", "BRL", "TRY", "ISK", "THB"];
const rate = (code: string, price: string) =>
  `"${code}":{"15m":${price},"last":${price},"buy":${price},"sell":${price},"symbol":"${code}"}`;

const VENUES: Readonly<Record<string, Venue>> = {
  blockchain: {
    path: /^\/ticker()$/,
    // It has one table for all; the test's price stands in each row.
    answer: ({ price }) => `{${RATES.map((code) => rate(code, price)).join(",")}}`,
  },
  cex: {
    path: /^\/api\/ticker\/BTC\/([A-Z]{3})$/,
    answer: ({ currency, price, now }) =>
      `{"timestamp":"${seconds(now)}","low":"1","high":"9","last":"${price}",` +
      `"volume":"20.59581123","volume30d":"811.14153359","bid":17400.04,"ask":17418.2,"pair":"BTC:${currency}"}`,
  },
  coingecko: {
    path: /^\/api\/v3\/simple\/price\?ids=bitcoin&vs_currencies=([a-z]{3})&include_last_updated_at=true&precision=full$/,
    answer: ({ currency, price, now }) =>
      `{"bitcoin":{"${currency.toLowerCase()}":${price},"last_updated_at":${seconds(now)}}}`,
  },
  coinbase: {
    path: /^\/v2\/prices\/BTC-([A-Z]{3})\/spot$/,
    answer: ({ currency, price }) =>
      `{"data":{"amount":"${price}","base":"BTC","currency":"${currency}"}}`,
  },
  bitstamp: {
    path: /^\/api\/v2\/ticker\/btc([a-z]{3})\/$/,
    answer: ({ price, now }) =>
      `{"timestamp":"${seconds(now)}","open":"25730","high":"26252","low":"25350",` +
      `"last":"${price}","volume":"3563.13819902","vwap":"25681","bid":"26208","ask":"26211","side":"1",` +
      `"open_24":"25895","percent_change_24":"1.24"}`,
  },
  kraken: {
    path: /^\/0\/public\/Ticker\?pair=XBT([A-Z]{3})$/,
    answer: ({ currency, price }) =>
      `{"error":[],"result":{"${krakenPair(currency)}":{"a":["3809.10000","1","1.000"],` +
      `"b":["3809.00000","1","1.000"],"c":["${price}","0.11007700"],` +
      `"v":["1378.29558699","4120.69226171"],"p":["3798.72908","3797.90051"],"t":[1960,5958],` +
      `"l":["3776.90000","3775.80000"],"h":["3817.60000","3819.30000"],"o":"3796.20000"}}}`,
  },
  binance: {
    path: /^\/api\/v3\/ticker\/24hr\?symbol=BTC(USDT|[A-Z]{3})$/,
    answer: ({ currency, price, now }) =>
      `{"symbol":"BTC${currency}","priceChange":"-188.18000000","priceChangePercent":"-0.159",` +
      `"weightedAvgPrice":"118356.64734074","prevClosePrice":"118637.22000000",` +
      `"lastPrice":"${price}","lastQty":"0.00731000","bidPrice":"118449.02000000","bidQty":"7.15931000",` +
      `"askPrice":"118449.03000000","askQty":"0.09592000","openPrice":"118637.21000000",` +
      `"highPrice":"119273.36000000","lowPrice":"117427.50000000","volume":"14741.41491000",` +
      `"quoteVolume":"1744744445.80640740","openTime":${now - 86_400_000},"closeTime":${now},` +
      `"firstId":5116031635,"lastId":5117964946,"count":1933312}`,
  },
  bitfinex: {
    path: /^\/v2\/tickers\?symbols=tBTC([A-Z]{3})$/,
    answer: ({ currency, price }) =>
      `[["tBTC${currency}",7616.5,31.89055171,7617.5,43.358118629999986,-550.8,-6.74e-2,` +
      `${price},8314.71200815,8257.8,7500]]`,
  },
  deribit: {
    path: /^\/api\/v2\/public\/ticker\?instrument_name=BTC-PERPETUAL()$/,
    answer: ({ price, now }) =>
      `{"jsonrpc":"2.0","result":{"timestamp":${now},"stats":{"volume_usd":60627572.6,` +
      `"volume":60627.57263769,"price_change":-0.4,"low":7631.5,"high":8311.5},"state":"open",` +
      `"settlement_price":7903.21,"open_interest":111543850,"min_price":7634,"max_price":7866.51,` +
      `"mark_price":7750.02,"last_price":${price},"instrument_name":"BTC-PERPETUAL",` +
      `"index_price":7748.01,"funding_8h":2.6e-6,"current_funding":0,"best_bid_price":7750,` +
      `"best_bid_amount":19470,"best_ask_price":7750.5,"best_ask_amount":343280},` +
      `"usIn":1583778859483941,"usOut":1583778859484075,"usDiff":134,"testnet":false}`,
  },
  okx: {
    path: /^\/api\/v5\/market\/index-tickers\?instId=BTC-([A-Z]{3})$/,
    answer: ({ currency, price, now }) =>
      `{"code":"0","msg":"","data":[{"instId":"BTC-${currency}","idxPx":"${price}",` +
      `"high24h":"43350","sodUtc0":"43444.1","open24h":"43640.8","low24h":"43350",` +
      `"sodUtc8":"43328.7","ts":"${now}"}]}`,
  },
};

function krakenPair(currency: string): string {
  return ["USD", "EUR", "GBP", "CAD", "JPY"].includes(currency)
    ? `XXBTZ${currency}`
    : `XBT${currency}`;
}

export async function openPriceServer(): Promise<PriceServer> {
  const asked: string[] = [];
  let port = 0;

  function onRequest(request: IncomingMessage, response: ServerResponse): void {
    const [, source = "", path = ""] = /^\/([a-z]+)(\/.*)$/.exec(request.url ?? "") ?? [];
    asked.push(`${source} ${path}`);
    const honest = honestAnswer(self, source, path);
    if (honest === null) return void response.writeHead(404).end('{"error":"no such path"}');
    const answer = self.bends.get(source)?.(honest) ?? honest;
    if (typeof answer === "string") say(response, answer);
    else misbehave(response, answer, honest);
  }

  const server = createServer(onRequest);
  await new Promise<void>((resolve, reject) => {
    server.on("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  const address = server.address();
  if (typeof address === "object" && address !== null) port = address.port;
  const self: PriceServer = {
    root: (source) => `http://127.0.0.1:${port}/${source}`,
    prices: new Map([["default", "84123.45"]]),
    asked,
    bends: new Map(),
    now: Date.now,
    close: () => closed(server),
  };
  return self;
}

function honestAnswer({ prices, now }: PriceServer, source: string, path: string): string | null {
  const venue = VENUES[source];
  const match = venue?.path.exec(path);
  if (venue === undefined || match == null) return null;
  const price = prices.get(source) ?? prices.get("default") ?? "";
  return venue.answer({ currency: (match[1] ?? "").toUpperCase(), price, now: now() });
}

function say(response: ServerResponse, text: string): void {
  response.writeHead(200, { "content-type": "application/json" }).end(text);
}

function misbehave(response: ServerResponse, misdeed: Misdeed, honest: string): void {
  switch (misdeed.kind) {
    case "silence":
      return;
    case "half":
      response.writeHead(200, { "content-length": Buffer.byteLength(honest) });
      response.write(honest.slice(0, honest.length / 2), () => response.destroy());
      return;
    case "flood": {
      response.writeHead(200);
      const more = () => {
        if (!response.destroyed) response.write(" ".repeat(65_536), more);
      };
      more();
      return;
    }
    case "status": {
      const { status, location } = misdeed;
      response.writeHead(status, location === undefined ? {} : { location }).end(honest);
      return;
    }
  }
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
