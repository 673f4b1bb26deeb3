/** Goal: whatever the person holds before the camera, the scan says what it is and loses nothing. */
import { base64 } from "@scure/base";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { hex } from "../../policies/bitcoin/hash.ts";
import { writePsbt } from "../../policies/bitcoin/psbt.ts";
import { AirgapError, type AirgapFaultCode } from "../../signer/airgap/airgap-error.ts";
import { splitBbqr } from "../../signer/airgap/bbqr.ts";
import { writeBytewords } from "../../signer/airgap/bytewords.ts";
import { cborBytes } from "../../signer/airgap/cbor.ts";
import { openScan, psbtOfLines } from "../../signer/airgap/scan.ts";
import { splitUr } from "../../signer/airgap/ur.ts";
import { honest } from "../support/spend.ts";
import { caught, expectFault, expectNoContent, psbtOf } from "./caught.ts";
import vectors from "./vectors.json" with { type: "json" };

const PSBT = psbtOf({ coins: 2 });
const OTHER = psbtOf({ payments: [{ script: new Uint8Array(22), sats: 5_000n }] });
const BBQR = splitBbqr({ bytes: PSBT, fileType: "P", charactersMax: 335 });
const UR = splitUr({ bytes: PSBT, type: "crypto-psbt", charactersMax: 335 });
const KINDS: Readonly<Record<string, readonly string[]>> = {
  BBQr: BBQR,
  UR,
  base64: [base64.encode(PSBT)],
  hex: [hex(PSBT)],
};

describe.each(Object.entries(KINDS))("%s", (as, lines) => {
  it("is found out and read, with blank lines and spaces around it", () => {
    const scan = openScan();
    expect(scan.state()).toEqual({ kind: "waiting" });
    expect(scan.add("  ")).toEqual({ kind: "waiting" });
    let state = scan.state();
    for (const line of lines) state = scan.add(` ${line}\r\n`);
    expect(state).toEqual({ kind: "done", as, psbt: PSBT });
    // A scanner goes on typing.
    expect(scan.add(lines[0] ?? "")).toEqual(state);
  });
  it("mixed with another kind is refused, and can still be finished", () => {
    for (const [foreign, [line = ""]] of Object.entries(KINDS)) {
      if (foreign === as) continue;
      const scan = openScan();
      const [first = "", ...rest] = lines;
      const before = scan.add(first);
      expectFault(
        () => scan.add(line),
        "other-transfer",
        new RegExp(`this is ${foreign}, and the codes before it were ${as}: .*start over`),
      );
      expect(scan.state()).toEqual(before);
      for (const more of rest) scan.add(more);
      expect(scan.state()).toMatchObject({ kind: "done", psbt: PSBT });
    }
  });
  it("starts over when asked", () => {
    const scan = openScan();
    scan.add(lines[0] ?? "");
    scan.restart();
    expect(scan.state()).toEqual({ kind: "waiting" });
    expect(scan.add(vectors.ur.psbt)).toMatchObject({ kind: "done", as: "UR" });
  });
});

it("progress is told while parts are missing", () => {
  const scan = openScan();
  expect(scan.add(BBQR[2] ?? "")).toEqual({
    kind: "collecting",
    as: "BBQr",
    progress: {
      have: 1,
      of: BBQR.length,
      missing: BBQR.map((_, i) => i + 1).filter((n) => n !== 3),
    },
  });
});

const cut = hex(PSBT).length / 2 - 40;
const bad: readonly (readonly [string, readonly string[], AirgapFaultCode, RegExp])[] = [
  ["a web address", ["https://example.org"], "bad-part", /neither BBQr nor UR/],
  ["an address", ["bc1pexample"], "bad-part", /neither BBQr nor UR nor a PSBT/],
  ["a line longer than any PSBT", ["a".repeat(524_289)], "oversized", /at most 262144 bytes/],
  [
    "an account in a UR",
    ["ur:crypto-account/oeadcypdlouebgaolytaadmetaaddloxax"],
    "wrong-content",
    /a UR of the type crypto-account/,
  ],
  ["a text in BBQr", vectors.bbqr, "wrong-content", /carry no PSBT but text/],
  [
    "a finished transaction in BBQr",
    ["B$2T0100AAAA"],
    "wrong-content",
    /finished transaction: set the device to give back the signed PSBT/,
  ],
  ["JSON in BBQr", ["B$2J0100AAAA"], "wrong-content", /JSON/],
  ["BBQr that is no PSBT", ["B$2P0100AAAA"], "wrong-content", /no PSBT that can be read/],
  [
    "a UR that is no PSBT",
    [`ur:psbt/${writeBytewords(cborBytes(Uint8Array.of(1)))}`],
    "wrong-content",
    /no PSBT that can be read/,
  ],
  ["hex that is cut within a byte", [hex(PSBT).slice(0, -1)], "bad-part", /not hex/],
  ["hex with other letters", [`${hex(PSBT)}zz`], "bad-part", /not hex/],
  ["hex that is cut", [hex(PSBT.slice(0, cut))], "wrong-content", /psbt-truncated/],
  ["base64 with a space", [base64.encode(PSBT).replace("A", " ")], "bad-part", /not base64/],
  [
    "base64 of the URL alphabet",
    [`${base64.encode(PSBT).slice(0, -4)}-_==`],
    "bad-part",
    /not base64/,
  ],
  ["base64 that is cut", [base64.encode(PSBT).slice(0, -3)], "bad-part", /not base64/],
  [
    "two PSBTs in base64",
    [base64.encode(PSBT), base64.encode(OTHER)],
    "contradiction",
    /another PSBT was read before/,
  ],
];

describe("is refused", () => {
  it.each(bad)("%s", (_, lines, code, words) => {
    const scan = openScan();
    for (const line of lines.slice(0, -1)) if (!line.startsWith("B$")) scan.add(line);
    const before = scan.state();
    expectFault(() => scan.add(lines.at(-1) ?? ""), code, words);
    expect(scan.state()).toEqual(before);
  });
  it("a whole series that is no PSBT, and then the right one is read", () => {
    const scan = openScan();
    const junk = splitBbqr({
      bytes: new Uint8Array(900),
      fileType: "P",
      encoding: "H",
      charactersMax: 335,
    });
    for (const part of junk.slice(0, -1)) scan.add(part);
    expectFault(() => scan.add(junk.at(-1) ?? ""), "wrong-content", /no PSBT/);
    expect(scan.state()).toEqual({ kind: "waiting" });
    for (const part of BBQR) scan.add(part);
    expect(scan.state()).toMatchObject({ kind: "done", psbt: PSBT });
  });
});

describe("the lines of a file", () => {
  it("are read at once", () => {
    expect(psbtOfLines([...UR].reverse())).toEqual(PSBT);
  });
  it("that lack parts say which", () => {
    const some = BBQR.filter((_, i) => i !== 1);
    const of = BBQR.length;
    expectFault(
      () => psbtOfLines(some),
      "incomplete",
      new RegExp(`^${of - 1} of ${of} parts; missing 2$`),
    );
    expectFault(() => psbtOfLines(["", " "]), "incomplete", /no code in it/);
  });
  it("tell which of them is bad", () => {
    expectFault(
      () => psbtOfLines([BBQR[0] ?? "", "", "junk"]),
      "bad-part",
      /^line 3: this is neither/,
    );
  });
});

describe("faults never quote what was read", () => {
  const lines = [...BBQR, ...UR, base64.encode(PSBT), hex(PSBT)];
  it("whatever letter of whatever line is wrong", () => {
    const bend = fc.record({
      line: fc.constantFrom(...lines),
      at: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      letter: fc.constantFrom(..."0AZ9az$/-= é"),
      kept: fc.double({ min: 0.2, max: 1, noNaN: true }),
    });
    let faults = 0;
    fc.assert(
      fc.property(bend, ({ line, at, letter, kept }) => {
        const i = Math.floor(at * line.length);
        const bent = `${line.slice(0, i)}${letter}${line.slice(i + 1)}`;
        try {
          const scan = openScan();
          scan.add(bent.slice(0, Math.ceil(bent.length * kept)));
          for (const part of line.startsWith("B$") ? BBQR : UR) scan.add(part);
        } catch (error) {
          if (!(error instanceof AirgapError)) throw error;
          faults += 1;
          expect(error.cause).toBeUndefined();
          expectNoContent(error.message, PSBT);
        }
      }),
      { numRuns: 150 },
    );
    expect(faults).toBeGreaterThan(50);
  });
  it("nor where a field of the PSBT stands twice, which the gate quotes", () => {
    const { psbt } = honest({ coins: 2 });
    const [first = []] = psbt.inputs;
    const inputs = [[...first, ...first.slice(-1)], ...psbt.inputs.slice(1)];
    const twice = writePsbt({ ...psbt, inputs });
    const { message } = caught(() => openScan().add(hex(twice)));
    expect(message).toMatch(/psbt-duplicate-key/);
    expectNoContent(message, twice);
  });
});
