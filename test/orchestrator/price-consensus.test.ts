/**
 * What sources agree on and what of it is believed: the seeds' own vectors (as floats, which only
 * this file knows), each bound on both sides, and properties that no liar may break.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Agreement, consensus, medianDoubled } from "../../orchestrator/prices/consensus.ts";
import {
  CURRENCIES,
  decimalFloor,
  priceBounds,
  priceOfDecimal,
  priceText,
} from "../../orchestrator/prices/currencies.ts";
import { SOURCE_NAMES, type SourceName } from "../../orchestrator/prices/exchanges.ts";
import type { TrustedPrice } from "../../orchestrator/prices/prices.ts";
import type { Quote } from "../../orchestrator/prices/source.ts";
import { afterAnswer, healthScore, NEW_SOURCE } from "../../orchestrator/prices/source-health.ts";
import {
  accountingPrice,
  afterAgreement,
  NO_TRUST,
  referenceOf,
} from "../../orchestrator/prices/trust.ts";
import { vwap } from "../../orchestrator/prices/vwap.ts";
import { greater, price } from "../../policies/money.ts";
import { describeVectors } from "../support/vectors.ts";

const NOW = 1_800_000_000_000n;

function quotesOf(prices: readonly bigint[], at = NOW): readonly Quote[] {
  return prices.map((value, i) => {
    const source = SOURCE_NAMES[i];
    if (source === undefined) throw new Error("there are ten sources");
    return { source, price: price(value), volume: null, at };
  });
}

function trusted(value: bigint, at = NOW): TrustedPrice {
  return { price: price(value), currency: "USD", at, sources: ["cex", "kraken"] };
}

const priceOf = (agreement: Agreement) => (agreement.kind === "agreed" ? agreement.price : null);

interface Vector {
  readonly system: string;
  readonly case: string;
  readonly input: Readonly<Record<string, unknown>>;
  readonly expected: unknown;
}

/** Of a price in dollars as the vectors have it. */
const cents = (usd: unknown) => BigInt(Math.round(Number(usd) * 100));
const dollars = (value: bigint | null) => (value === null ? null : Number(value) / 100);

describeVectors("Stable Channels' vectors", "seeds.json", (text) => {
  const all: readonly Vector[] = JSON.parse(text);
  const vectors = (kind: string) =>
    all.filter((row) => row.system === "stable_channels" && row.case.startsWith(`${kind}.`));
  const read = (value: unknown) => priceOfDecimal(String(value), "USD");
  const pricesIn = (list: unknown) =>
    (list as readonly unknown[]).map(read).filter((value) => value !== null);

  it.each(vectors("median").filter(({ input }) => "prices" in input))("$case", (row) => {
    const valid = pricesIn(row.input["prices"]);
    const median = valid.length === 0 ? null : Number(medianDoubled(valid)) / 200;
    expect(median).toBe(row.expected);
  });

  it.each(vectors("median").filter(({ input }) => "values" in input))("$case", (row) => {
    const values = (row.input["values"] as readonly number[]).map(cents);
    expect(Number(medianDoubled(values)) / 200).toBe(row.expected);
  });

  it.each(vectors("parse_price"))("$case", (row) => {
    expect(dollars(read(row.input["text"]))).toBe(row.expected);
  });

  it.each(vectors("consensus"))("$case", (row) => {
    const { last } = row.input;
    const trust = last === null ? NO_TRUST : { last: trusted(cents(last)), quarantine: null };
    const agreed = priceOf(consensus(quotesOf(pricesIn(row.input["prices"])), NOW));
    if (agreed === null) return expect("error").toBe(row.expected);
    const after = afterAgreement(trust, trusted(agreed), NOW);
    const result = after.quarantine === null ? dollars(after.last?.price ?? 0n) : "err:LargeMove";
    return expect(result).toBe(row.expected);
  });

  it.each(vectors("trusted_reference"))("$case", (row) => {
    const at = NOW - BigInt(Number(row.input["age_s"]) * 1_000);
    const trust = { last: trusted(cents(row.input["last"]), at), quarantine: null };
    expect(dollars(referenceOf(trust, NOW)?.price ?? null)).toBe(row.expected);
  });

  it.each(vectors("cache"))("$case", (row) => {
    const expected = row.expected as Readonly<Record<string, unknown>>;
    const before = { last: trusted(cents(row.input["price"])), quarantine: null };
    // A transient failure is one after which there is nothing to tell.
    const jumped = row.input["failure"] === "large_move";
    const after = jumped ? afterAgreement(before, trusted(9_900_000n), NOW) : before;
    const seen = (trust: typeof after, now: bigint) => ({
      quarantined: trust.quarantine !== null,
      accounting_price: dollars(accountingPrice(trust, now)?.price ?? null),
    });
    const { after_success_65000: then, ...now } = expected;
    expect(seen(after, NOW)).toEqual(now);
    if (then === undefined) return;
    const later = NOW + 61_000n;
    const recovered = afterAgreement(after, trusted(6_500_000n, later), later);
    expect(seen(recovered, later)).toEqual(then);
  });

  it("leaves out none of their kinds", () => {
    const kinds = ["median", "parse_price", "consensus", "trusted_reference", "cache", "fetch"];
    const counts = kinds.map((kind) => vectors(kind).length);
    // The two of `fetch` are told over HTTP, in price-feed.test.ts.
    expect(counts).toEqual([5, 5, 4, 2, 2, 2]);
  });
});

describe("the consensus", () => {
  const MIDDLE = 10_000_000n;

  it.each([
    { what: "5 % from the median is kept", prices: [MIDDLE, MIDDLE, 10_500_000n], kept: 3 },
    { what: "a cent more is not", prices: [MIDDLE, MIDDLE, 10_500_001n], kept: 2 },
    { what: "5 % below is kept", prices: [MIDDLE, MIDDLE, 9_500_000n], kept: 3 },
    { what: "a cent less is not", prices: [MIDDLE, MIDDLE, 9_499_999n], kept: 2 },
  ])("$what", ({ prices, kept }) => {
    const agreement = consensus(quotesOf(prices), NOW);
    expect(agreement).toMatchObject({ kind: "agreed", price: MIDDLE });
    expect(agreement.leftOut).toHaveLength(3 - kept);
  });

  it.each([
    { what: "none", prices: [] },
    { what: "one alone", prices: [MIDDLE] },
    { what: "two that are 11 % apart", prices: [MIDDLE, 11_100_000n] },
    {
      what: "three of which no two are near the median",
      prices: [8_000_000n, MIDDLE, 12_000_000n],
    },
  ])("is none of $what", ({ prices }) => {
    expect(priceOf(consensus(quotesOf(prices), NOW))).toBeNull();
  });

  it("rounds the mean of the middle two down", () => {
    expect(priceOf(consensus(quotesOf([MIDDLE, MIDDLE + 1n]), NOW))).toBe(MIDDLE);
    expect(priceOf(consensus(quotesOf([MIDDLE, MIDDLE + 2n]), NOW))).toBe(MIDDLE + 1n);
  });

  it.each([
    { age: 60_000n, agreed: true },
    { age: 60_001n, agreed: false },
    // Asked in the future: the clock was put back, and nobody knows how old this is.
    { age: -1n, agreed: false },
  ])("counts an answer of $age ms: $agreed", ({ age, agreed }) => {
    const [first, second] = quotesOf([MIDDLE, MIDDLE], NOW);
    if (first === undefined || second === undefined) throw new Error("there are two");
    const agreement = consensus([first, { ...second, at: NOW - age }], NOW);
    expect(agreement.kind === "agreed").toBe(agreed);
  });
});

describe("properties of the consensus", () => {
  const anyPrice = fc.bigInt({ min: 1n, max: 1_000_000_000_000n });
  const plain = (agreement: Agreement) =>
    agreement.kind === "agreed"
      ? { price: agreement.price, sources: agreement.quotes.map(({ source }) => source).sort() }
      : null;

  it("do not depend on the order of the sources", () => {
    const shuffled = fc.array(anyPrice, { maxLength: 10 }).chain((prices) =>
      fc.record({
        given: fc.constant(quotesOf(prices)),
        other: fc.shuffledSubarray([...quotesOf(prices)], { minLength: prices.length }),
      }),
    );
    fc.assert(
      fc.property(shuffled, ({ given, other }) => {
        expect(plain(consensus(other, NOW))).toEqual(plain(consensus(given, NOW)));
      }),
    );
  });

  it("keep one liar among three and more honest sources within what the honest say", () => {
    // Both honest ones that agree and those of a market gone wild; and a liar near them or far.
    const honest = fc
      .tuple(fc.bigInt({ min: 100_000n, max: 1_000_000_000n }), fc.bigInt({ min: 0n, max: 4_000n }))
      .chain(([base, spreadBps]) =>
        fc.array(fc.bigInt({ min: base, max: base + (base * spreadBps) / 10_000n }), {
          minLength: 3,
          maxLength: 9,
        }),
      );
    const cases = honest.chain((prices) => {
      const top = prices.reduce(greater);
      const liar = fc.oneof(anyPrice, fc.bigInt({ min: top / 2n, max: top * 2n }));
      return fc.record({ prices: fc.constant(prices), liar });
    });
    fc.assert(
      fc.property(cases, ({ prices, liar }) => {
        const agreed = priceOf(consensus(quotesOf([...prices, liar]), NOW));
        if (agreed === null) return;
        const sorted = [...prices].sort((a, b) => (a < b ? -1 : 1));
        expect(agreed).toBeGreaterThanOrEqual(sorted[0] ?? 0n);
        expect(agreed).toBeLessThanOrEqual(sorted.at(-1) ?? 0n);
      }),
      { numRuns: 2_000 },
    );
  });

  it("never fall when a source rises among those that agree", () => {
    const near = fc.bigInt({ min: 10_000_000n, max: 10_240_000n });
    const cases = fc.record({
      prices: fc.array(near, { minLength: 2, maxLength: 10 }),
      which: fc.nat(),
      rise: fc.bigInt({ min: 0n, max: 240_000n }),
    });
    fc.assert(
      fc.property(cases, ({ prices, which, rise }) => {
        const at = which % prices.length;
        const risen = prices.map((value, i) => (i === at ? value + rise : value));
        const [before, after] = [prices, risen].map((all) =>
          priceOf(consensus(quotesOf(all), NOW)),
        );
        expect(after).toBeGreaterThanOrEqual(before ?? 0n);
      }),
    );
  });
});

describe("trust", () => {
  const start = afterAgreement(NO_TRUST, trusted(10_000_000n), NOW);

  it.each([
    { what: "10 % up", value: 11_000_000n, quarantined: false },
    { what: "a cent more", value: 11_000_001n, quarantined: true },
    { what: "10 % down", value: 9_000_000n, quarantined: false },
    { what: "a cent less", value: 8_999_999n, quarantined: true },
  ])("$what: quarantined $quarantined", ({ value, quarantined }) => {
    const after = afterAgreement(start, trusted(value), NOW);
    expect(after.quarantine !== null).toBe(quarantined);
    expect(accountingPrice(after, NOW)?.price ?? null).toBe(quarantined ? null : value);
  });

  it("keeps a price for 60 s and no longer", () => {
    expect(accountingPrice(start, NOW + 60_000n)?.price).toBe(10_000_000n);
    expect(accountingPrice(start, NOW + 60_001n)).toBeNull();
    expect(accountingPrice(start, NOW - 1n)).toBeNull();
  });

  it("lets a quarantine end when the price comes back", () => {
    const jumped = afterAgreement(start, trusted(12_000_000n), NOW);
    const back = afterAgreement(jumped, trusted(10_900_000n, NOW + 5_000n), NOW + 5_000n);
    expect(back).toEqual({ last: trusted(10_900_000n, NOW + 5_000n), quarantine: null });
  });

  it("lets a quarantine end when nothing young enough speaks against it, and not before", () => {
    let trust = start;
    for (const seconds of [5n, 30n, 60n]) {
      const now = NOW + seconds * 1_000n;
      trust = afterAgreement(trust, trusted(12_000_000n, now), now);
      expect(trust.quarantine?.since).toBe(NOW + 5_000n);
      expect(accountingPrice(trust, now)).toBeNull();
    }
    // No refresh succeeds: a quarantine does not end by itself.
    expect(accountingPrice(trust, NOW + 90_000n)).toBeNull();
    const late = NOW + 60_001n;
    expect(afterAgreement(trust, trusted(12_000_000n, late), late).quarantine).toBeNull();
  });
});

describe("Pulser's average", () => {
  const BTC = 100_000_000n;
  const quote = (source: SourceName, value: bigint, volume: bigint | null): Quote => {
    return { source, price: price(value), volume, at: NOW };
  };
  const three = [
    quote("kraken", 10_000_000n, 100n * BTC),
    quote("bitfinex", 10_100_000n, 50n * BTC),
    quote("binance", 9_900_000n, 200n * BTC),
  ];

  it("weighs price by volume and by source", () => {
    // (100 000 * 100 * 1.2 + 101 000 * 50 * 1.1 + 99 000 * 200 * 1.0) / (120 + 55 + 200)
    const expected = (100_000 * 120 + 101_000 * 55 + 99_000 * 200) / 375;
    expect(priceOf(vwap(three, NOW))).toBe(BigInt(Math.floor(expected * 100)));
  });

  it("gives each of the four its weight", () => {
    const pairs = (["bitfinex", "binance", "deribit"] as const).map((source) =>
      priceOf(vwap([quote("kraken", 10_000_000n, BTC), quote(source, 11_000_000n, BTC)], NOW)),
    );
    const weights = [11, 10, 8];
    expect(pairs).toEqual(
      weights.map((weight) =>
        BigInt(Math.floor((10_000_000 * 12 + 11_000_000 * weight) / (12 + weight))),
      ),
    );
  });

  it("drops what is over 15 % from the median of three, and nothing of two", () => {
    const far = quote("deribit", 11_550_000n, BTC);
    const within = vwap([...three, quote("deribit", 11_442_500n, BTC)], NOW);
    // The median of the four is 100 500; 15 % above are 115 575.
    expect(within.leftOut).toEqual([]);
    expect(vwap([...three, quote("deribit", 11_557_600n, BTC)], NOW).leftOut).toEqual([
      { source: "deribit", reason: "over 15 % from the median" },
    ]);
    expect(vwap([quote("kraken", 5_000_000n, BTC), far], NOW)).toMatchObject({ leftOut: [] });
  });

  it("keeps all where fewer than two would remain", () => {
    const apart = [quote("kraken", 5_000_000n, BTC), quote("binance", 10_000_000n, BTC)];
    const all = vwap([...apart, quote("deribit", 20_000_000n, BTC)], NOW);
    expect(all).toMatchObject({ kind: "agreed", leftOut: [] });
  });

  it("hears only those with a weight and a volume, two at least, of the last 60 s", () => {
    const kraken = quote("kraken", 10_000_000n, BTC);
    for (const other of [
      quote("coinbase", 10_000_000n, BTC),
      quote("binance", 10_000_000n, null),
      quote("binance", 10_000_000n, 0n),
      { ...quote("binance", 10_000_000n, BTC), at: NOW - 60_001n },
    ]) {
      expect(vwap([kraken, other], NOW)).toMatchObject({ kind: "none", leftOut: [{}] });
    }
    const aged = { ...quote("binance", 10_000_000n, BTC), at: NOW - 60_000n };
    expect(vwap([kraken, aged], NOW).kind).toBe("agreed");
  });
});

describe("currencies", () => {
  it("have bounds that fit a price in the store, a thousand times apart at least", () => {
    for (const currency of CURRENCIES) {
      const { least, most } = priceBounds(currency);
      expect(price(least)).toBe(least);
      expect(price(most)).toBe(most);
      expect(most / least).toBeGreaterThanOrEqual(1_000n);
      expect(priceOfDecimal("0", currency)).toBeNull();
    }
  });

  it("count money in hundredths and gold in millionths", () => {
    expect(priceOfDecimal("126000000.019", "ARS")).toBe(12_600_000_001n);
    expect(priceOfDecimal("20.1234567", "XAU")).toBe(20_123_456n);
    expect(priceText(8_412_345n, "USD")).toBe("84,123.45 USD");
    expect(priceText(123_456_789n, "USD")).toBe("1,234,567.89 USD");
    expect(priceText(5n, "EUR")).toBe("0.05 EUR");
    expect(priceText(20_123_456n, "XAU")).toBe("20.123456 XAU");
  });

  it("reads every decimal as its digits say", () => {
    const digits = fc.stringMatching(/^[0-9]{1,30}$/);
    const cases = fc.record({ whole: digits, part: digits, decimals: fc.nat({ max: 8 }) });
    fc.assert(
      fc.property(cases, ({ whole, part, decimals }) => {
        const scaled = BigInt(whole + part.padEnd(30, "0"));
        const expected = scaled / 10n ** BigInt(30 - decimals);
        expect(decimalFloor(`${whole}.${part}`, decimals)).toBe(expected);
      }),
    );
  });
});

describe("the health of a source", () => {
  it("is Pulser's formula", () => {
    expect(healthScore(NEW_SOURCE, NOW)).toBe(0);
    const good = afterAnswer(NEW_SOURCE, true, NOW);
    expect(healthScore(good, NOW)).toBe(1);
    expect(healthScore(good, NOW + 100_000n)).toBeCloseTo(Math.exp(-0.01), 12);
    const failed = afterAnswer(afterAnswer(good, false, NOW), false, NOW);
    expect(healthScore(failed, NOW)).toBeCloseTo(Math.exp(-0.2) / 3, 12);
    // Faults in a row are forgotten, the share of good answers is not.
    expect(healthScore(afterAnswer(failed, true, NOW), NOW)).toBe(0.5);
  });
});
