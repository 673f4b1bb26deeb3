/**
 * What every source of prices must do, and what must come of whatever one may answer: ten adapters
 * over real HTTP, against a server that answers as each exchange does. Nothing that a source says
 * may throw, and no more may come of it than a fault with the code that fits.
 */
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Currency, priceBounds } from "../../orchestrator/prices/currencies.ts";
import { exchangeOf, SOURCE_NAMES, type SourceName } from "../../orchestrator/prices/exchanges.ts";
import { type Answer, askSource } from "../../orchestrator/prices/source.ts";
import { type Bend, openPriceServer, type PriceServer } from "../support/price-server.ts";

const NOW = 1_800_000_000_000n;

interface Manner {
  /** Another market's answer to the same question; null where the answer names no market. */
  readonly otherPair: Bend | null;
  readonly tellsTime: boolean;
  /** Whether the price is a JSON number: then only what is one can be said at all. */
  readonly number: boolean;
  /** In hundred-millionths of a BTC; null where it is not told. */
  readonly volume: bigint | null;
}

const swap = (from: string, to: string): Bend => {
  return (honest) => honest.replaceAll(from, to);
};

const MANNERS: Readonly<Record<SourceName, Manner>> = {
  blockchain: { otherPair: swap("USD", "ZZZ"), tellsTime: false, number: true, volume: null },
  cex: {
    otherPair: swap("BTC:USD", "ETH:USD"),
    tellsTime: true,
    number: false,
    volume: 2_059_581_123n,
  },
  coingecko: { otherPair: swap("usd", "eur"), tellsTime: true, number: true, volume: null },
  coinbase: { otherPair: swap("USD", "EUR"), tellsTime: false, number: false, volume: null },
  bitstamp: { otherPair: null, tellsTime: true, number: false, volume: 356_313_819_902n },
  kraken: {
    otherPair: swap("XXBTZUSD", "XXBTZEUR"),
    tellsTime: false,
    number: false,
    volume: 412_069_226_171n,
  },
  binance: {
    otherPair: swap("BTCUSDT", "BTCUSDC"),
    tellsTime: true,
    number: false,
    volume: 1_474_141_491_000n,
  },
  bitfinex: {
    otherPair: swap("tBTCUSD", "tETHUSD"),
    tellsTime: false,
    number: true,
    volume: 831_471_200_815n,
  },
  deribit: {
    otherPair: swap("BTC-PERPETUAL", "ETH-PERPETUAL"),
    tellsTime: true,
    number: true,
    volume: 6_062_757_263_769n,
  },
  okx: { otherPair: swap("BTC-USD", "BTC-USDT"), tellsTime: true, number: false, volume: null },
};

/** Decimals that are no price of a bitcoin in dollars. */
const ABSURD = [
  ...["0", "0.00", "-84123.45", "999.99", "10000000.01", "1e4", "8.4e4", "1e999", "1E400"],
  ...["9".repeat(31), "9".repeat(400), `84123.${"4".repeat(31)}`],
];
/** The same for those that write prices as text. */
const ABSURD_TEXTS = [
  ...["NaN", "Infinity", "-inf", "", " 84123.45", "84123.45 ", "84,123.45", "84123.", ".5"],
  ...["0x14899", "+84123", "８４１２３", "84123\\u0000", "null"],
];
/** For those that write prices as JSON numbers: no number at all. */
const NO_NUMBERS = ["NaN", "Infinity", "-inf", "84,123.45", "84123.", ".5", "0x14899", "+84123"];
/** What is no JSON of a ticker at all. */
const MALFORMED = [
  ...["", "null", "[]", "{}", "[[]]", '"84123.45"', "84123.45", "NaN", "{", "<html>Busy</html>"],
  ...['{"__proto__":{"last":"84123"}}', '{"data":null,"result":null,"bitcoin":null}'],
  ...["[".repeat(20_000), '{"USD":{"last":{}},"data":{"amount":[]},"last":{}}', "\ufffd\u0000"],
];

let server: PriceServer;
beforeAll(async () => {
  server = await openPriceServer();
  return () => server.close();
});
beforeEach(() => {
  server.bends.clear();
  server.prices.clear();
  server.prices.set("default", "84123.45");
  server.now = () => Number(NOW);
});

describe.each(SOURCE_NAMES)("%s", (name) => {
  const manner = MANNERS[name];

  function ask(currency: Currency = "USD", timeoutMs = 5_000): Promise<Answer> {
    const source = { name, url: server.root(name), currencies: null };
    return askSource(source, currency, { clock: () => NOW, timeoutMs });
  }

  async function priceFor(text: string): Promise<bigint | null> {
    server.prices.set(name, text);
    const answer = await ask();
    return answer.kind === "quote" ? answer.quote.price : null;
  }

  async function codeFor(bend: Bend, timeoutMs?: number): Promise<string> {
    server.bends.set(name, bend);
    return codeOf(await ask("USD", timeoutMs));
  }

  it("quotes the price that its ticker has, with volume and the time of the question", async () => {
    const quote = { source: name, price: 8_412_345n, volume: manner.volume, at: NOW };
    expect(await ask()).toEqual({ kind: "quote", quote });
  });

  it("rounds down to a cent, and no float is in between", async () => {
    expect(await priceFor("84123.459999999999999999")).toBe(8_412_345n);
    expect(await priceFor("84123")).toBe(8_412_300n);
    expect(await priceFor("84123.4")).toBe(8_412_340n);
    // As a double this is 8412399.999…: a float would lose a cent.
    expect(await priceFor("84124.00")).toBe(8_412_400n);
    expect(await priceFor("1001.15")).toBe(100_115n);
  });

  it.each(exchangeOf(name).currencies)("quotes %s by its own name", async (currency) => {
    const { least } = priceBounds(currency);
    server.prices.set(name, currency === "XAU" ? "21.123456789" : `${least / 50n}.25`);
    const answer = await ask(currency);
    const expected = currency === "XAU" ? 21_123_456n : (least / 50n) * 100n + 25n;
    expect(answer).toMatchObject({ kind: "quote", quote: { price: expected } });
  });

  it("takes the bounds themselves", async () => {
    expect(await priceFor("1000")).toBe(100_000n);
    expect(await priceFor("10000000.00")).toBe(1_000_000_000n);
  });

  it.each(ABSURD)("takes no price from %j", async (text) => {
    server.prices.set(name, text);
    expect(codeOf(await ask())).toMatch(text.length > 80 ? /^(absurd|malformed)$/ : /^absurd$/);
  });

  it.each(manner.number ? NO_NUMBERS : [])("takes no price from %s", async (text) => {
    server.prices.set(name, text);
    // With its comma an array has one number more, and the first of them costs too little.
    const comma = name === "bitfinex" && text.includes(",");
    expect(codeOf(await ask())).toBe(comma ? "absurd" : "malformed");
  });

  it.each(manner.number ? [] : ABSURD_TEXTS)("takes no price from the text %j", async (text) => {
    server.prices.set(name, text);
    expect(codeOf(await ask())).toBe("absurd");
  });

  it.each(MALFORMED)("is malformed with answer %# of no ticker", async (text) => {
    expect(await codeFor(() => text)).toBe("malformed");
  });

  const { otherPair } = manner;
  it.each(otherPair === null ? [] : [otherPair])(
    "is not believed for another pair",
    async (bend) => {
      expect(await codeFor(bend)).toMatch(/^(wrong|malformed)$/);
    },
  );

  it.each([
    { what: "three minutes old", told: NOW - 180_000n, code: "quote" },
    { what: "older", told: NOW - 181_000n, code: "stale" },
    { what: "a minute ahead", told: NOW + 60_000n, code: "quote" },
    { what: "further ahead", told: NOW + 61_000n, code: "stale" },
    { what: "of 1970", told: 0n, code: "stale" },
  ])("$what by its own clock: $code, if it tells its time", async ({ told, code }) => {
    server.now = () => Number(told);
    expect(codeOf(await ask())).toBe(manner.tellsTime ? code : "quote");
  });

  it("has so long and no longer, and may break off, or never end", async () => {
    expect(await codeFor(() => ({ kind: "silence" }), 50)).toBe("timeout");
    expect(await codeFor(() => ({ kind: "half" }))).toMatch(/^(unreachable|malformed)$/);
    expect(await codeFor(() => ({ kind: "flood" }))).toBe("malformed");
    // Longer than any answer, and otherwise as it should be.
    expect(await codeFor((honest) => honest + " ".repeat(65_536))).toBe("malformed");
  });

  it.each([400, 403, 404, 418, 429, 500, 503])("is refused with HTTP %i", async (status) => {
    expect(await codeFor(() => ({ kind: "status", status }))).toBe("refused");
  });

  it("sends us nowhere else", async () => {
    const location = server.root("elsewhere/ticker");
    expect(await codeFor(() => ({ kind: "status", status: 302, location }))).toBe("refused");
    expect(server.asked.filter((line) => line.startsWith("elsewhere"))).toEqual([]);
  });

  it("is unreachable where nobody listens", async () => {
    const source = { name, url: "http://127.0.0.1:1", currencies: null };
    expect(codeOf(await askSource(source, "USD", { clock: () => NOW }))).toBe("unreachable");
  });

  it("is asked below whatever address is configured", async () => {
    const source = { name, url: `${server.root(name)}//`, currencies: null };
    expect(codeOf(await askSource(source, "USD", { clock: () => NOW }))).toBe("quote");
  });
});

describe("what some say of themselves", () => {
  it.each([
    { name: "kraken", answer: '{"error":["EQuery:Unknown asset pair"]}' },
    { name: "kraken", answer: '{"error":["\\u001b[31m"],"result":{}}' },
    { name: "okx", answer: '{"code":"51001","msg":"Instrument ID does not exist","data":[]}' },
  ] as const)("$name: $answer is an error in its own words", async ({ name, answer }) => {
    server.bends.set(name, () => answer);
    const source = { name, url: server.root(name), currencies: null };
    const said = await askSource(source, "USD", { clock: () => NOW });
    expect(codeOf(said)).toBe("wrong");
    // What a stranger writes paints nothing on a terminal.
    expect(JSON.stringify(said, (_, value) => String(value))).not.toMatch(/[^\x20-\x7e]/);
  });

  it("deribit's market may be closed", async () => {
    server.bends.set("deribit", (honest) => honest.replace('"open"', '"locked"'));
    const source = { name: "deribit" as const, url: server.root("deribit"), currencies: null };
    expect(codeOf(await askSource(source, "USD", { clock: () => NOW }))).toBe("malformed");
  });

  it("a volume that is none costs the volume and not the price", async () => {
    server.bends.set("kraken", (honest) => honest.replace("4120.69226171", "-4120"));
    const source = { name: "kraken" as const, url: server.root("kraken"), currencies: null };
    const answer = await askSource(source, "USD", { clock: () => NOW });
    expect(answer).toMatchObject({ kind: "quote", quote: { price: 8_412_345n, volume: null } });
  });
});

function codeOf(answer: Answer): string {
  return answer.kind === "fault" ? answer.fault.code : "quote";
}
