/** Goal: URs as other wallets make them are read; a hostile part is refused and changes nothing. */
import { crc32 } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fromHex, hex } from "../../policies/bitcoin/hash.ts";
import { PSBT_BYTES_MAX } from "../../policies/bitcoin/psbt.ts";
import { concat } from "../../policies/bitcoin/wire.ts";
import type { AirgapFaultCode } from "../../signer/airgap/airgap-error.ts";
import { readBytewords, writeBytewords } from "../../signer/airgap/bytewords.ts";
import { CBOR, cborBytes, cborHead, cborReader } from "../../signer/airgap/cbor.ts";
import { fragmentChooser, sampler, shuffled, xoshiro } from "../../signer/airgap/fountain.ts";
import { splitUr, urJoin } from "../../signer/airgap/ur.ts";
import { expectFault, psbtOf } from "./caught.ts";
import vectors from "./vectors.json" with { type: "json" };

const PSBT = psbtOf();
const utf8 = (text: string) => new TextEncoder().encode(text);

/** The message of the public vectors. */
function wolf(length: number): Uint8Array {
  const random = xoshiro(utf8("Wolf"));
  return Uint8Array.from({ length }, () => Math.floor(random() * 256));
}

describe("bytewords", () => {
  const body = fromHex("d99d6ca20150c7098580125e2ab0981253468b2dbc5202c11947da");
  const words = "tantjzoeadgdstaslplabghydrpfmkbggufgludprfgmaosecffltnsoaawkbd";
  it("are those of BCR-2020-012", () => {
    expect(writeBytewords(body)).toBe(words);
    expect(readBytewords(words)).toEqual(body);
  });
  it.each([
    ["a wrong pair", words.replace("ta", "tz"), /no bytewords/],
    ["half a pair", words.slice(0, -1), /no bytewords/],
    ["capitals", words.toUpperCase(), /no bytewords/],
    ["another byte", words.replace("tantjz", "tantje"), /checksum is wrong/],
    ["a swapped pair", words.replace("tantjz", "nttajz"), /checksum is wrong/],
    ["a missing pair", words.slice(2), /checksum is wrong/],
    ["a cut end", words.slice(0, -2), /checksum is wrong/],
    ["nothing but a checksum", writeBytewords(new Uint8Array(0)), /checksum is wrong/],
    ["nothing", "", /checksum is wrong/],
  ])("with %s are refused", (_, text, expected) => {
    expectFault(() => readBytewords(text), "bad-part", expected);
  });
});

describe("CBOR", () => {
  it.each([0, 23, 24, 255, 256, 65_535, 65_536, 0xffff_ffff])("counts %s", (value) => {
    const reader = cborReader(cborHead(CBOR.UNSIGNED, value));
    expect(reader.head(CBOR.UNSIGNED)).toBe(value);
    reader.end();
  });
  it("is that of BCR-2024-001's part", () => {
    const part = concat([
      cborHead(CBOR.ARRAY, 5),
      ...[12, 8, 100, 0x1234_5678].map((value) => cborHead(CBOR.UNSIGNED, value)),
      cborBytes(Uint8Array.of(1, 5, 3, 3, 5)),
    ]);
    expect(hex(part)).toBe("850c0818641a12345678450105030305");
  });
  it.each([
    ["a longer form than needed", "1817"],
    ["256 in four bytes", "1a00000100"],
    ["255 in two bytes", "1900ff"],
    ["a 64-bit number", "1b0000000100000000"],
    ["an indefinite length", "1f"],
    ["another kind", "4101"],
    ["a cut number", "1901"],
    ["nothing", ""],
  ])("refuses %s", (_, text) => {
    expectFault(() => cborReader(fromHex(text)).head(CBOR.UNSIGNED), "bad-part", /not the CBOR/);
  });
  it("refuses bytes that are not there, and bytes too many", () => {
    expectFault(() => cborReader(fromHex("5affffffff00")).bytes(), "bad-part", /not the CBOR/);
    const reader = cborReader(fromHex("410100"));
    reader.bytes();
    expectFault(reader.end, "bad-part", /not the CBOR/);
  });
});

describe("the draws of BCR-2024-001", () => {
  it("are its random numbers", () => {
    const random = xoshiro(utf8("Wolf"));
    expect(vectors.mur.integers.map(() => Math.floor(random() * 10) + 1)).toEqual(
      vectors.mur.integers,
    );
  });
  it("are its samples", () => {
    const random = xoshiro(utf8("Wolf"));
    const draw = sampler([1, 2, 4, 8]);
    expect([...vectors.mur.samples].map(() => draw(random)).join("")).toBe(vectors.mur.samples);
  });
  it("are its degrees", () => {
    const random = xoshiro(utf8("Wolf"));
    const draw = sampler(Array.from({ length: 11 }, (_, i) => 1 / (i + 1)));
    expect(vectors.mur.degrees.map(() => draw(random) + 1)).toEqual(vectors.mur.degrees);
  });
  it("shuffle as it does", () => {
    const items = Array.from({ length: 10 }, (_, i) => i + 1);
    expect(shuffled(items, xoshiro(utf8("Wolf")), 10)).toEqual([6, 4, 9, 3, 10, 5, 7, 8, 1, 2]);
    expect(shuffled(items, xoshiro(utf8("Wolf")), 3)).toEqual([6, 4, 9]);
  });
  it("choose its fragments", () => {
    const choose = fragmentChooser(11, crc32(wolf(1_024)));
    const chosen = vectors.mur.fragments.map((_, i) => choose(i + 1).sort((a, b) => a - b));
    expect(chosen).toEqual(vectors.mur.fragments);
  });
});

describe("the URs of the reference implementation", () => {
  it("are read, single and in parts", () => {
    const single = urJoin();
    single.add(vectors.ur.single);
    expect(single.finish()).toEqual({ type: "bytes", bytes: wolf(50) });
    const parts = urJoin();
    for (const part of vectors.ur.parts.slice(0, 9)) parts.add(part);
    expect(parts.finish()).toEqual({ type: "bytes", bytes: wolf(256) });
  });
  it("are read from mixed parts first", () => {
    const join = urJoin();
    for (const part of vectors.ur.parts.slice(9)) join.add(part);
    // The eleven mixed parts of the vectors do not tell all nine fragments apart.
    const before = join.progress();
    for (const part of vectors.ur.parts.slice(0, 9)) join.add(part);
    expect(before.have).toBeLessThan(9);
    expect(join.finish()?.bytes).toEqual(wolf(256));
  });
  it("are agreed with by every mixed part", () => {
    const join = urJoin();
    for (const part of vectors.ur.parts) join.add(part);
    expect(join.finish()?.bytes).toEqual(wolf(256));
  });
  it("are what is written here: BCR-2020-006's PSBT", () => {
    const bytes = fromHex(vectors.ur.psbtHex);
    expect(splitUr({ bytes, type: "psbt", charactersMax: 2_000 })).toEqual([
      vectors.ur.psbt.toUpperCase(),
    ]);
    const join = urJoin();
    join.add(vectors.ur.psbt);
    expect(join.finish()).toEqual({ type: "psbt", bytes });
  });
});

describe("a PSBT", () => {
  const plans = fc.record({
    bytes: fc.uint8Array({ minLength: 1, maxLength: 2_000 }),
    type: fc.constantFrom("crypto-psbt" as const, "psbt" as const),
    charactersMax: fc.integer({ min: 154, max: 1_249 }),
    extra: fc.constantFrom(0, 0.5, 2),
  });
  it("comes back from its codes in any order and any case, with repetitions", () => {
    fc.assert(
      fc.property(plans, fc.infiniteStream(fc.nat()), (plan, draws) => {
        const parts = splitUr(plan);
        expect(Math.max(...parts.map(({ length }) => length))).toBeLessThanOrEqual(
          plan.charactersMax,
        );
        const seen = [...parts, ...parts.slice(0, 3)]
          .map((part) => ({ part, key: draws.next().value ?? 0 }))
          .sort((a, b) => a.key - b.key)
          .map(({ part, key }) => (key % 2 === 0 ? part : part.toLowerCase()));
        const join = urJoin();
        for (const part of seen) join.add(part);
        expect(join.finish()).toEqual({ type: plan.type, bytes: plan.bytes });
      }),
      { numRuns: 40 },
    );
  });
  it("comes back though every third code is missed", () => {
    const parts = splitUr({ bytes: PSBT, type: "crypto-psbt", charactersMax: 200, extra: 3 });
    const join = urJoin();
    for (const part of parts.filter((_, i) => i % 3 !== 1)) join.add(part);
    expect(join.finish()?.bytes).toEqual(PSBT);
  });
  it("that takes too many codes is refused", () => {
    const bytes = new Uint8Array(PSBT_BYTES_MAX);
    expectFault(
      () => splitUr({ bytes, type: "psbt", charactersMax: 200 }),
      "oversized",
      /too many UR codes of that size/,
    );
  });
});

/** A part as a sender would make it who may lie in each of its numbers. */
function part(lie: {
  number?: number;
  count?: number;
  messageLength?: number;
  checksum?: number;
  data?: Uint8Array;
  place?: string;
  type?: string;
  fields?: number;
}): string {
  const { number = 1, count = 3, messageLength = 300, checksum = 7, type = "crypto-psbt" } = lie;
  const { data = new Uint8Array(100), place = `${number}-${count}`, fields = 5 } = lie;
  const body = concat([
    cborHead(CBOR.ARRAY, fields),
    ...[number, count, messageLength, checksum].map((value) => cborHead(CBOR.UNSIGNED, value)),
    cborBytes(data),
  ]);
  return `ur:${type}/${place}/${writeBytewords(body)}`;
}

describe("is refused", () => {
  const single = (bytes: Uint8Array) => `ur:psbt/${writeBytewords(bytes)}`;
  const cases: readonly (readonly [string, readonly string[], AirgapFaultCode, RegExp])[] = [
    ["version 1", ["ur:crypto-psbt/1of3/aeae"], "bad-part", /none of UR version 2/],
    ["a type with other letters", ["ur:crypto_psbt/aeae"], "bad-part", /none of UR version 2/],
    ["a code without content", ["ur:psbt/"], "bad-part", /none of UR version 2/],
    ["a part numbered 0", [part({ place: "0-3" })], "bad-part", /none of UR version 2/],
    ["a part of none", [part({ place: "1-0" })], "bad-part", /none of UR version 2/],
    ["two numbers for one part", [part({ place: "2-3" })], "bad-part", /in two ways/],
    ["two counts for one part", [part({ place: "1-4" })], "bad-part", /in two ways/],
    ["an array of six", [part({ fields: 6 })], "bad-part", /in two ways/],
    ["a number beyond 32 bits", [part({ place: "4294967296-3" })], "bad-part", /in two ways/],
    [
      "more parts than a person shows",
      [part({ count: 2_049, messageLength: 204_900 })],
      "oversized",
      /has 2049 parts: at most 2048/,
    ],
    ["five million parts", [part({ count: 5_000_000 })], "oversized", /at most 2048/],
    [
      "a message beyond the bound",
      [
        part({
          count: 1,
          messageLength: PSBT_BYTES_MAX + 6,
          data: new Uint8Array(PSBT_BYTES_MAX + 6),
        }),
      ],
      "oversized",
      /larger than any PSBT/,
    ],
    [
      "a message longer than its parts",
      [part({ messageLength: 301 })],
      "bad-part",
      /lengths that do not belong/,
    ],
    [
      "a message that needs a part less",
      [part({ messageLength: 200 })],
      "bad-part",
      /lengths that do not belong/,
    ],
    [
      "four gigabytes",
      [part({ messageLength: 0xffff_ffff })],
      "bad-part",
      /lengths that do not belong/,
    ],
    [
      "empty parts",
      [part({ messageLength: 1, data: new Uint8Array(0) })],
      "bad-part",
      /lengths that do not belong/,
    ],
    [
      "another count in the series",
      [part({}), part({ number: 2, count: 4, messageLength: 301 })],
      "other-transfer",
      /another animation/,
    ],
    [
      "another message length",
      [part({}), part({ number: 2, messageLength: 299 })],
      "other-transfer",
      /another animation/,
    ],
    [
      "another checksum",
      [part({}), part({ number: 2, checksum: 8 })],
      "other-transfer",
      /start over/,
    ],
    ["another type", [part({}), part({ number: 2, type: "psbt" })], "other-transfer", /start over/],
    [
      "another fragment length",
      [part({}), part({ number: 2, data: new Uint8Array(101) })],
      "other-transfer",
      /start over/,
    ],
    [
      "another single code",
      [single(cborBytes(PSBT)), single(cborBytes(wolf(50)))],
      "other-transfer",
      /start over/,
    ],
    [
      "the same part with other bytes",
      [part({}), part({ data: wolf(100) })],
      "contradiction",
      /contradicts those read before/,
    ],
    [
      "a mixed part that contradicts the plain ones",
      [part({}), part({ number: 2 }), part({ number: 3 }), part({ number: 9, data: wolf(100) })],
      "contradiction",
      /start over/,
    ],
  ];
  it.each(cases)("%s", (_, texts, code, words) => {
    const join = urJoin();
    for (const text of texts.slice(0, -1)) join.add(text);
    const before = join.progress();
    expectFault(() => join.add(texts.at(-1) ?? ""), code, words);
    expect(join.progress()).toEqual(before);
  });
  it("a part at the bounds is not", () => {
    const join = urJoin();
    join.add(part({ count: 2_048, messageLength: 204_800, number: 0xffff_ffff }));
    expect(join.progress().of).toBe(2_048);
    const other = urJoin();
    other.add(part({ messageLength: 201 }));
    expect(other.progress()).toEqual({ have: 1, of: 3, missing: [2, 3] });
  });
  it.each([
    [
      "a wrong common checksum",
      part({ count: 1, messageLength: 100 }),
      "damaged",
      /common checksum is wrong/,
    ],
    ["bytes that are not all", single(fromHex("58051122")), "bad-part", /not the CBOR/],
    ["something behind the bytes", single(fromHex("411100")), "bad-part", /not the CBOR/],
    ["tagged bytes", single(fromHex("d9013641ff")), "bad-part", /not the CBOR/],
    ["text for bytes", single(fromHex("6161")), "bad-part", /not the CBOR/],
  ] as const)("%s is found when all is there", (_, text, code, words) => {
    const join = urJoin();
    join.add(text);
    expectFault(join.finish, code, words);
  });
});
