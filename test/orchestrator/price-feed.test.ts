/**
 * Prices over time: sources over real HTTP, a clock that the test moves, and a store that keeps
 * what was believed.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { readConfig } from "../../orchestrator/config.ts";
import { systemClock } from "../../orchestrator/io/clock.ts";
import { openStore, type Store } from "../../orchestrator/io/store.ts";
import { silentLog } from "../../orchestrator/log.ts";
import { openOrchestrator } from "../../orchestrator/orchestrator.ts";
import { priceConfigSchema } from "../../orchestrator/prices/config.ts";
import { SOURCE_NAMES, type SourceName } from "../../orchestrator/prices/exchanges.ts";
import { openPrices, type PriceFeed } from "../../orchestrator/prices/feed.ts";
import { pricesRole } from "../../orchestrator/prices/history.ts";
import { askSource } from "../../orchestrator/prices/source.ts";
import { temporaryFolder } from "../support/node.ts";
import { type Misdeed, openPriceServer, type PriceServer } from "../support/price-server.ts";
import { describeVectors } from "../support/vectors.ts";
import { softwareLsp } from "./holders.ts";

/** One test waits for it; the others must never, however busy the machine is. */
const TIMEOUT_MS = 2_000;
const START = 1_800_000_000_000n;
const DEAD: Misdeed = { kind: "status", status: 503 };
const FIVE: readonly SourceName[] = ["blockchain", "cex", "coingecko", "coinbase", "bitstamp"];

let server: PriceServer;
let now = START;
const clock = () => now;
beforeAll(async () => {
  server = await openPriceServer();
});
afterAll(() => server.close());
beforeEach(() => {
  now = START;
  server.now = () => Number(now);
  server.bends.clear();
  server.prices.clear();
  server.prices.set("default", "84123.45");
});

function configOf(names: readonly SourceName[], rest: Readonly<Record<string, unknown>> = {}) {
  const sources = names.map((name) => ({ name, url: server.root(name) }));
  return priceConfigSchema.parse({ sources, ...rest });
}

function open(
  names: readonly SourceName[],
  rest: Readonly<Record<string, unknown>> = {},
): PriceFeed {
  return openPrices({ ...configOf(names, rest), clock, log: silentLog, timeoutMs: TIMEOUT_MS });
}

function kill(...names: readonly SourceName[]): void {
  for (const name of names) server.bends.set(name, () => DEAD);
}

const reportOf = (feed: PriceFeed) => {
  const [report] = feed.report();
  if (report === undefined) throw new Error("there is one currency");
  return report;
};
const excludedOf = (feed: PriceFeed) =>
  Object.fromEntries(reportOf(feed).sources.map(({ name, excluded }) => [name, excluded]));

describe("the feed", () => {
  it("trusts nothing before it has asked, and says so", () => {
    const feed = open(FIVE);
    expect(feed.latest("USD")).toBeNull();
    expect(reportOf(feed)).toMatchObject({ trusted: null, reason: "no source has been asked yet" });
  });

  it("trusts what all ten agree on, and names them", async () => {
    const feed = open(SOURCE_NAMES);
    await feed.refresh();
    const sources = [...SOURCE_NAMES].sort();
    expect(feed.latest("USD")).toEqual({ price: 8_412_345n, currency: "USD", at: START, sources });
    expect(feed.latest("EUR")).toBeNull();
  });

  it("is as old as the first question that it rests on", async () => {
    const ticking = () => {
      now += 1n;
      return now;
    };
    const feed = openPrices({ ...configOf(FIVE), clock: ticking, log: silentLog });
    await feed.refresh();
    expect(feed.latest("USD")?.at).toBe(START + 1n);
  });

  it("goes on with two of five, and says why the others do not count", async () => {
    const feed = open(FIVE);
    server.bends.set("blockchain", () => DEAD);
    server.bends.set("cex", () => ({ kind: "silence" }));
    server.bends.set("coingecko", () => "<html>");
    await feed.refresh();
    expect(feed.latest("USD")?.sources).toEqual(["bitstamp", "coinbase"]);
    expect(excludedOf(feed)).toEqual({
      blockchain: "refused: HTTP 503",
      cex: `timeout: no answer in ${TIMEOUT_MS} ms`,
      coingecko: "malformed: no JSON",
      coinbase: null,
      bitstamp: null,
    });
  });

  it("leaves out a liar, and not its health", async () => {
    const feed = open(FIVE);
    server.prices.set("cex", "64123.45");
    await feed.refresh();
    expect(feed.latest("USD")?.price).toBe(8_412_345n);
    expect(excludedOf(feed)["cex"]).toBe("over 5 % from the median");
    const cex = reportOf(feed).sources.find(({ name }) => name === "cex");
    expect(cex).toMatchObject({ health: 1, quote: { price: 6_412_345n } });
  });

  it("keeps a recent price through failures for 60 s, and then none", async () => {
    const feed = open(FIVE);
    await feed.refresh();
    kill(...FIVE);
    now = START + 60_000n;
    await feed.refresh();
    expect(feed.latest("USD")?.at).toBe(START);
    now += 1n;
    expect(feed.latest("USD")).toBeNull();
    const reason = "0 of the 2 sources that must agree";
    expect(reportOf(feed)).toMatchObject({ trusted: null, reason, quarantine: null });
  });

  it("says that a price has grown old when nobody has asked since", async () => {
    const feed = open(FIVE);
    await feed.refresh();
    now += 60_001n;
    expect(reportOf(feed)).toMatchObject({ trusted: null, reason: "the last price is too old" });
  });

  it("takes away a price that jumps, until it comes back", async () => {
    const feed = open(FIVE);
    await feed.refresh();
    server.prices.set("default", "96000");
    now += 5_000n;
    await feed.refresh();
    expect(feed.latest("USD")).toBeNull();
    const wanted = { price: 9_600_000n };
    expect(reportOf(feed)).toMatchObject({ quarantine: { since: START + 5_000n, wanted } });
    // A failure is no success: the quarantine stays.
    kill(...FIVE);
    now += 5_000n;
    await feed.refresh();
    expect(feed.latest("USD")).toBeNull();
    server.bends.clear();
    server.prices.set("default", "84200");
    now += 5_000n;
    await feed.refresh();
    expect(feed.latest("USD")?.price).toBe(8_420_000n);
    expect(reportOf(feed).quarantine).toBeNull();
  });

  it("believes a jump that has outlived the last price", async () => {
    const feed = open(FIVE);
    await feed.refresh();
    server.prices.set("default", "96000");
    for (let passed = 0n; passed < 60_000n; passed += 10_000n) {
      now += 10_000n;
      await feed.refresh();
      expect(feed.latest("USD")).toBeNull();
    }
    now += 10_000n;
    await feed.refresh();
    expect(feed.latest("USD")?.price).toBe(9_600_000n);
  });

  it("asks once, however many want to know", async () => {
    const feed = open(FIVE);
    const before = server.asked.length;
    await Promise.all([feed.refresh(), feed.refresh(), feed.refresh()]);
    expect(server.asked.length - before).toBe(FIVE.length);
    await feed.refresh();
    expect(server.asked.length - before).toBe(2 * FIVE.length);
  });

  it("keeps currencies apart, each with the sources that quote it", async () => {
    const feed = open(SOURCE_NAMES, { currencies: ["USD", "ARS", "ZAR", "XAU"] });
    server.prices.set("default", "1500000");
    server.prices.set("coinbase", "20.5");
    server.prices.set("coingecko", "20.6");
    await feed.refresh();
    expect(feed.latest("XAU")).toMatchObject({ price: 20_550_000n, currency: "XAU" });
    const asked = new Map(feed.report().map(({ currency, sources }) => [currency, sources.length]));
    expect(Object.fromEntries(asked)).toEqual({ USD: 10, ARS: 4, ZAR: 3, XAU: 2 });
  });

  it("asks a source only for what it is configured for", async () => {
    const feed = openPrices({
      ...priceConfigSchema.parse({
        currencies: ["USD", "EUR"],
        sources: [
          { name: "kraken", url: server.root("kraken"), currencies: ["EUR"] },
          { name: "bitstamp", url: server.root("bitstamp") },
          { name: "okx", url: server.root("okx") },
        ],
      }),
      clock,
      log: silentLog,
    });
    await feed.refresh();
    expect(feed.latest("EUR")?.sources).toEqual(["bitstamp", "kraken", "okx"]);
    expect(feed.latest("USD")?.sources).toEqual(["bitstamp", "okx"]);
  });

  it("can average as Pulser does", async () => {
    const feed = open(["kraken", "bitfinex", "binance", "deribit", "coinbase"], { method: "vwap" });
    server.prices.set("coinbase", "100000");
    await feed.refresh();
    expect(feed.latest("USD")?.price).toBe(8_412_345n);
    expect(excludedOf(feed)["coinbase"]).toBe("has no weight or no volume");
  });
});

describeVectors("Stable Channels' vectors of fetching", "seeds.json", (text) => {
  const rows: readonly { case: string; input: { feeds: readonly string[] }; expected: unknown }[] =
    JSON.parse(text).filter(({ case: name }: { case: string }) => name.startsWith("fetch."));

  it.each(rows)("$case", async ({ input, expected }) => {
    const names = FIVE.slice(0, input.feeds.length);
    for (const [i, name] of names.entries()) {
      const [kind, price = ""] = (input.feeds[i] ?? "").split(":");
      if (kind === "dead") kill(name);
      else server.prices.set(name, price);
    }
    const answers = await Promise.all(
      names.map((name) =>
        askSource({ name, url: server.root(name), currencies: null }, "USD", { clock }),
      ),
    );
    const heard = answers.flatMap((answer) =>
      answer.kind === "quote" ? [["Mock", Number(answer.quote.price) / 100]] : [],
    );
    expect(heard.length === 0 ? "error: No valid prices" : heard).toEqual(expected);
  });

  it("are two", () => {
    expect(rows).toHaveLength(2);
  });
});

describe("the role", () => {
  let store: Store;
  beforeEach(() => {
    store = openStore({ path: ":memory:", network: "regtest" });
    return () => store.close();
  });
  const history = () => store.db.selectFrom("prices").selectAll().orderBy("sequence").execute();

  it("asks every so often, also when the clock is put back", async () => {
    const feed = open(FIVE);
    const role = pricesRole({ store, clock }, { feed, everyMs: 10_000 });
    const asks = async () => {
      const before = server.asked.length;
      expect(await role.step()).toBe("idle");
      return (server.asked.length - before) / FIVE.length;
    };
    expect(await asks()).toBe(1);
    now += 9_999n;
    expect(await asks()).toBe(0);
    now += 1n;
    expect(await asks()).toBe(1);
    now -= 3_600_000n;
    expect(await asks()).toBe(1);
  });

  it("writes down what was believed once a minute, and each jump once", async () => {
    const feed = open(FIVE);
    const role = pricesRole({ store, clock }, { feed, everyMs: 10_000 });
    const passed = async (ms: bigint) => {
      now = START + ms;
      await role.step();
    };
    for (const ms of [0n, 30_000n, 50_000n, 60_000n]) await passed(ms);
    server.prices.set("default", "96000");
    for (const ms of [70_000n, 80_000n, 90_000n]) await passed(ms);
    server.prices.set("default", "84000");
    for (const ms of [100_000n, 120_000n]) await passed(ms);
    server.prices.set("default", "96000");
    await passed(130_000n);
    const rows = await history();
    expect(rows.map(({ kind, at, price }) => [kind, at - START, price])).toEqual([
      ["accepted", 0n, 8_412_345n],
      ["accepted", 60_000n, 8_412_345n],
      ["quarantined", 70_000n, 9_600_000n],
      ["accepted", 120_000n, 8_400_000n],
      ["quarantined", 130_000n, 9_600_000n],
    ]);
    expect(rows[0]).toMatchObject({ currency: "USD", sources: JSON.stringify([...FIVE].sort()) });
  });

  it("writes on when the clock is put back", async () => {
    const role = pricesRole({ store, clock }, { feed: open(FIVE), everyMs: 10_000 });
    for (const at of [START, START - 3_600_000n, START - 3_595_000n, START - 3_540_000n]) {
      now = at;
      await role.step();
    }
    const ats = (await history()).map(({ at }) => at - START);
    expect(ats).toEqual([0n, -3_600_000n, -3_540_000n]);
  });

  it("writes nothing while there is no price", async () => {
    kill(...FIVE);
    await pricesRole({ store, clock }, { feed: open(FIVE), everyMs: 1 }).step();
    expect(await history()).toEqual([]);
  });

  it("keeps what it wrote", async () => {
    await pricesRole({ store, clock }, { feed: open(FIVE), everyMs: 1 }).step();
    await expect(store.db.deleteFrom("prices").execute()).rejects.toThrow("prices stay");
    await expect(store.db.updateTable("prices").set({ price: 1n }).execute()).rejects.toThrow();
  });

  it("trusts a price that it cannot write down, and stumbles", async () => {
    const feed = open(FIVE);
    await store.db.schema.dropTable("prices").execute();
    const role = pricesRole({ store, clock }, { feed, everyMs: 1 });
    await expect(role.step()).rejects.toThrow("no such table");
    expect(feed.latest("USD")?.price).toBe(8_412_345n);
  });

  it("has nothing to do where no prices are configured", async () => {
    expect(await pricesRole({ store, clock }, { feed: null, everyMs: 0 }).step()).toBe("idle");
  });
});

describe("the orchestrator", () => {
  const folder = temporaryFolder();

  it("keeps prices by itself once it is configured to", async () => {
    server.now = Date.now;
    const config = { ...readConfig(orchestratorFile(folder())), prices: configOf(FIVE) };
    const orchestrator = await openOrchestrator({
      config,
      signer: softwareLsp("prices"),
      describeSigner: () => Promise.reject(new Error("nobody asks")),
      token: "a-token-of-the-api-that-is-long-enough",
      clock: systemClock,
      log: silentLog,
    });
    const store = openStore({ path: config.store, network: "regtest" });
    const rows = () => store.db.selectFrom("prices").selectAll().execute();
    while ((await rows()).length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
    expect(await rows()).toMatchObject([{ kind: "accepted", price: 8_412_345n }]);
    await store.close();
    await orchestrator.close();
  });
});

/** Of a node that nobody asks: the role of prices alone runs. */
function orchestratorFile(folder: string): string {
  const file = join(folder, "orchestrator.yaml");
  writeFileSync(
    file,
    `
format: ballast/orchestrator@1
network: regtest
store: ${folder}/orchestrator.db
node: { esplora: "http://127.0.0.1:1" }
signer: { url: "https://127.0.0.1:1", tls: { ca: /tmp/ca, cert: /tmp/c, key: /tmp/k } }
token: /tmp/api.token
fees: { sat_per_vbyte_min: 1, sat_per_vbyte_max: 200 }
roles: [prices]
`,
  );
  return file;
}

describe("the configuration", () => {
  it("asks all ten for dollars unless it says otherwise", () => {
    const config = priceConfigSchema.parse({});
    expect(config).toMatchObject({ currencies: ["USD"], method: "consensus", every_ms: 10_000 });
    expect(config.sources.map(({ name }) => name)).toEqual(SOURCE_NAMES);
  });

  it.each([
    { what: "one source", config: { sources: [{ name: "kraken" }] }, says: "USD has 1 sources" },
    {
      what: "a source twice",
      config: { sources: [{ name: "kraken" }, { name: "kraken", url: "http://127.0.0.1:1" }] },
      says: "named twice",
    },
    { what: "a currency twice", config: { currencies: ["USD", "USD"] }, says: "named twice" },
    { what: "an unknown currency", config: { currencies: ["ZZZ"] }, says: "Invalid option" },
    { what: "an unknown source", config: { sources: [{ name: "mtgox" }] }, says: "Invalid option" },
    {
      what: "gold by volume, which two sources quote and none weighs",
      config: { currencies: ["XAU"], method: "vwap" },
      says: "XAU has 0 sources for vwap",
    },
    {
      what: "a source for what it does not quote",
      config: { sources: [{ name: "deribit", currencies: ["EUR"] }, { name: "okx" }] },
      says: "does not quote all",
    },
    {
      what: "a file for an address",
      config: { sources: [{ name: "okx", url: "file:///etc/passwd" }] },
      says: "Invalid URL",
    },
    { what: "a hasty interval", config: { every_ms: 999 }, says: ">=1000" },
    { what: "an interval that lets prices lapse", config: { every_ms: 30_001 }, says: "<=30000" },
    { what: "an unknown word", config: { every: 5 }, says: "Unrecognized key" },
  ])("refuses $what", ({ config, says }) => {
    const { success, error } = priceConfigSchema.safeParse(config);
    expect(success).toBe(false);
    expect(error?.message).toContain(says);
  });
});
