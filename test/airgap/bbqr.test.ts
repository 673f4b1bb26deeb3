/** Goal: files survive BBQr in any order, and whatever is not one series says so and changes nothing. */
import { deflateRawSync } from "node:zlib";
import { base32nopad } from "@scure/base";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { PSBT_BYTES_MAX } from "../../policies/bitcoin/psbt.ts";
import { bbqrJoin, joinBbqr, splitBbqr } from "../../signer/airgap/bbqr.ts";
import { progressWords } from "../../signer/airgap/progress.ts";
import { caught, expectFault, psbtOf } from "./caught.ts";
import vectors from "./vectors.json" with { type: "json" };

const PSBT = psbtOf();
const split = (encoding: "H" | "2" | "Z" = "2", bytes = PSBT) =>
  splitBbqr({ bytes, fileType: "P", encoding, charactersMax: 280 });
const PARTS = split();

describe("Coinkite's recorded scan", () => {
  it("reads in the order in which a camera saw it", () => {
    const { fileType, bytes } = joinBbqr(vectors.bbqr);
    expect(fileType).toBe("U");
    const text = new TextDecoder().decode(bytes);
    expect(text).toContain("Zlib compressed");
    expect(text).toContain("PSBT");
  });
  it("is written again in as many codes", () => {
    const { bytes } = joinBbqr(vectors.bbqr);
    const parts = splitBbqr({ bytes, fileType: "U", charactersMax: vectors.bbqr[0]?.length ?? 0 });
    expect(parts).toHaveLength(vectors.bbqr.length);
    expect(joinBbqr(parts).bytes).toEqual(bytes);
  });
});

describe("a file", () => {
  const texts = fc.record({
    bytes: fc.uint8Array({ minLength: 1, maxLength: 3_000 }),
    encoding: fc.constantFrom("H" as const, "2" as const, "Z" as const, undefined),
    charactersMax: fc.integer({ min: 40, max: 1_249 }),
    fileType: fc.constantFrom("P" as const, "T" as const, "B" as const),
  });
  it("comes back from its codes, whatever their order and however often they are seen", () => {
    fc.assert(
      fc.property(texts, fc.infiniteStream(fc.nat()), ({ encoding, ...file }, draws) => {
        const parts = splitBbqr({ ...file, ...(encoding && { encoding }) });
        const seen = [...parts, ...parts.slice(0, 3)]
          .map((part) => ({ part, key: draws.next().value ?? 0 }))
          .sort((a, b) => a.key - b.key)
          .map(({ part }) => part);
        const { fileType, bytes } = joinBbqr(seen);
        expect(bytes).toEqual(file.bytes);
        expect(fileType).toBe(file.fileType);
      }),
      { numRuns: 60 },
    );
  });
  it("makes codes of the size asked, all but the last equally long", () => {
    fc.assert(
      fc.property(texts, ({ encoding, ...file }) => {
        const parts = splitBbqr({ ...file, ...(encoding && { encoding }) });
        const lengths = parts.map(({ length }) => length);
        expect(Math.max(...lengths)).toBeLessThanOrEqual(file.charactersMax);
        expect(new Set(lengths.slice(0, -1)).size).toBeLessThanOrEqual(1);
        expect(lengths.at(-1)).toBeLessThanOrEqual(lengths[0] ?? 0);
        expect(parts.every((part) => /^[0-9A-Z$]+$/.test(part))).toBe(true);
      }),
      { numRuns: 60 },
    );
  });
  it("is packed where that is shorter, and not where it is not", () => {
    const of = (bytes: Uint8Array) => splitBbqr({ bytes, fileType: "P", charactersMax: 1_249 })[0];
    expect(of(new Uint8Array(500))?.startsWith("B$ZP")).toBe(true);
    expect(of(Uint8Array.from({ length: 40 }, (_, i) => (i * 37) ^ 0xa5))).toMatch(/^B\$2P0100/);
  });
  it("takes at most 1295 codes", () => {
    const of = (length: number) =>
      splitBbqr({ bytes: new Uint8Array(length), fileType: "P", encoding: "H", charactersMax: 10 });
    expect(of(1_295)).toHaveLength(1_295);
    expect(of(1_295).at(-1)).toBe("B$HPZZZY00");
    expectFault(() => of(1_296), "oversized", /1296 codes of that size, more than BBQr's 1295/);
  });
});

describe("while codes are missing", () => {
  it("their numbers are told", () => {
    const join = bbqrJoin();
    expect(progressWords(join.progress())).toBe("0 of 0 parts");
    const [, second = "", third = ""] = PARTS;
    join.add(third);
    join.add(second);
    expect(join.finish()).toBeNull();
    expect(join.progress()).toEqual({ have: 2, of: 8, missing: [1, 4, 5, 6, 7, 8] });
    expectFault(
      () => joinBbqr(PARTS.filter((_, i) => i !== 1 && i !== 4)),
      "incomplete",
      /^6 of 8 parts; missing 2, 5$/,
    );
  });
  it("at most twenty of them are told", () => {
    const parts = splitBbqr({ bytes: PSBT, fileType: "P", encoding: "H", charactersMax: 48 });
    const { message } = caught(() => joinBbqr(parts.slice(0, 1)));
    expect(message).toMatch(/; missing 2, 3, .*, 21 and \d+ more$/);
  });
});

describe("is refused", () => {
  const [first = "", second = ""] = PARTS;
  const body = first.slice(8);
  const bad: readonly (readonly [
    string,
    readonly string[],
    Parameters<typeof expectFault>[1],
    RegExp,
  ])[] = [
    ["a code without a header", ["B$"], "bad-part", /no header that BBQr knows/],
    ["an unknown encoding", [first.replace("B$2", "B$Y")], "bad-part", /no header/],
    ["an unknown file type", [first.replace("B$2P", "B$2Q")], "bad-part", /no header/],
    ["a count in lower case", ["B$2P0a00AA"], "bad-part", /no header/],
    ["a number beyond the count", [`B$2P0808${body}`], "bad-part", /part 9 of 8/],
    ["a count of none", [`B$2P0000${body}`], "bad-part", /part 1 of 0/],
    ["an empty code", ["B$2P0100"], "bad-part", /part 1 is empty/],
    ["half a byte of hex", ["B$HP0100ABC"], "bad-part", /part 1 is not whole bytes in capital hex/],
    ["hex in lower case", ["B$HP0100ab"], "bad-part", /capital hex/],
    [
      "a letter that Base32 has not",
      [`${first.slice(0, 20)}1${first.slice(21)}`],
      "bad-part",
      /Base32/,
    ],
    ["Base32 in lower case", ["B$2P0100mzxw6ytb"], "bad-part", /Base32/],
    ["Base32 with padding", ["B$2P0100MZXW6==="], "bad-part", /Base32/],
    ["Base32 that ends within a byte", ["B$2P0100MZXW6YTBA"], "bad-part", /cut off/],
    ["Base32 with bits left over", ["B$2P0100MZ"], "bad-part", /Base32/],
    [
      "another encoding in the series",
      [first, split("H")[1] ?? ""],
      "other-transfer",
      /start over/,
    ],
    [
      "another file type in the series",
      [first, second.replace("B$2P", "B$2T")],
      "other-transfer",
      /another animation/,
    ],
    ["another count", [first, second.replace("B$2P08", "B$2P09")], "other-transfer", /start over/],
    [
      "a part with another content",
      [first, first.replace("B$2P0800C", "B$2P0800D").replace("B$2P0800O", "B$2P0800P")],
      "contradiction",
      /part 1 was read before/,
    ],
    [
      "a part cut at a whole byte",
      [first, second.slice(0, -8)],
      "contradiction",
      /part 2 is not as long/,
    ],
    [
      "a last part longer than the others",
      [first, `B$2P0807${body}${"A".repeat(8)}`],
      "contradiction",
      /part 8 is not as long/,
    ],
    [
      "a part shorter than the last",
      [`B$2P0807${body}`, second.slice(0, -8)],
      "contradiction",
      /part 2/,
    ],
  ];
  it.each(bad)("%s", (_, texts, code, words) => {
    const join = bbqrJoin();
    const head = texts.slice(0, -1);
    for (const text of head) join.add(text);
    const before = join.progress();
    expectFault(() => join.add(texts.at(-1) ?? ""), code, words);
    // What was there stays, and the honest series can still be finished.
    expect(join.progress()).toEqual(before);
    if (head.every((text) => PARTS.includes(text))) {
      for (const part of PARTS) join.add(part);
      expect(join.finish()?.bytes).toEqual(PSBT);
    }
  });
});

describe("what unpacks", () => {
  const packed = (bytes: Uint8Array, windowBits = 10) =>
    `B$ZP0100${base32nopad.encode(Uint8Array.from(deflateRawSync(bytes, { windowBits, level: 9 })))}`;
  it("to the bound is read, one byte beyond it is not", () => {
    expect(joinBbqr([packed(new Uint8Array(PSBT_BYTES_MAX))]).bytes).toHaveLength(PSBT_BYTES_MAX);
    const beyond = packed(new Uint8Array(PSBT_BYTES_MAX + 1));
    expectFault(() => joinBbqr([beyond]), "oversized", /at most 262144 bytes/);
  });
  it("to a bomb never takes more memory than the bound", () => {
    const bomb = packed(new Uint8Array(128 * 1024 * 1024));
    expect(bomb.length).toBeLessThan(300_000);
    const before = process.memoryUsage();
    for (let i = 0; i < 20; i += 1) caught(() => joinBbqr([bomb]));
    const after = process.memoryUsage();
    // Twenty bombs unpacked would be 2.5 GiB.
    expect(after.rss - before.rss).toBeLessThan(64 * 1024 * 1024);
    expectFault(() => joinBbqr([bomb]), "oversized", /larger than any PSBT/);
  });
  it("only in part, or with something behind it, is damaged", () => {
    const whole = Uint8Array.from(deflateRawSync(PSBT, { windowBits: 10 }));
    const of = (bytes: Uint8Array) => joinBbqr([`B$ZP0100${base32nopad.encode(bytes)}`]);
    expect(of(whole).bytes).toEqual(PSBT);
    expectFault(() => of(whole.slice(0, -5)), "damaged", /cannot be unpacked: start over/);
    expectFault(() => of(Uint8Array.from([...whole, 0])), "damaged", /something follows the end/);
    expectFault(() => of(whole.map((byte) => byte ^ 0xff)), "damaged", /cannot be unpacked/);
  });
  it("with a larger window than the specification's is read too, however long", () => {
    const far = Uint8Array.from({ length: 60_000 }, (_, i) => ((i % 20_000) * 7919) >> 3);
    expect(joinBbqr([packed(far, 15)]).bytes).toEqual(far);
  });
});

it("a series that announces more than the bound is refused at its first part", () => {
  const announced = (bytes: number) => `B$HP0Z00${"00".repeat(bytes)}`;
  const join = bbqrJoin(3_400);
  expectFault(() => join.add(announced(101)), "oversized", /larger than any PSBT/);
  join.add(announced(100));
  expect(join.progress().have).toBe(1);
});
