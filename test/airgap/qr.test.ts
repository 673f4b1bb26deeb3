/** Goal: what stands in the terminal is read by a decoder that is not ours (jsQR). */
import { describe, expect, it } from "vitest";
import { animation } from "../../signer/airgap/animation.ts";
import {
  QR_VERSION_DEFAULT,
  QR_VERSION_MAX,
  QR_VERSION_MIN,
  qrCapacity,
  qrLines,
  qrVersionFor,
  qrVersionWithin,
} from "../../signer/airgap/qr.ts";
import { psbtOfLines } from "../../signer/airgap/scan.ts";
import { ANSI, seen } from "./camera.ts";
import { expectFault, psbtOf } from "./caught.ts";

const text = (length: number) => "B$2P0100".padEnd(length, "AZ27QX");

describe("a code", () => {
  it.each([
    ["ansi", QR_VERSION_MIN],
    ["plain", QR_VERSION_MIN],
    ["ansi", QR_VERSION_DEFAULT],
    ["plain", QR_VERSION_DEFAULT],
    ["ansi", QR_VERSION_MAX],
  ] as const)("painted %s of version %s is read", (paint, version) => {
    const full = text(qrCapacity(version));
    const lines = qrLines(full, { version, paint });
    expect(seen(lines, paint)).toBe(full);
    const side = 17 + 4 * version + 8;
    expect(lines).toHaveLength(Math.ceil(side / 2));
    expect(new Set(lines.map((line) => [...line.replace(ANSI, "")].length))).toEqual(
      new Set([side]),
    );
  });
  it("has its quiet zone on every side", () => {
    const lines = qrLines(text(20), { version: 5, paint: "plain" });
    expect(lines[0]).toBe("█".repeat(45));
    expect(lines[1]).toBe("█".repeat(45));
    expect(lines.at(-2)).toBe("█".repeat(45));
    // The row below an odd number of rows is quiet zone as well.
    expect(lines.at(-1)).toBe("█".repeat(45));
    expect(lines.every((line) => line.startsWith("████") && line.endsWith("████"))).toBe(true);
  });
  it.each(Array.from({ length: QR_VERSION_MAX }, (_, i) => i + 1))(
    "of version %s holds what the table says",
    (version) => {
      const capacity = qrCapacity(version);
      expect(qrLines(text(capacity), { version, paint: "plain" })).toHaveLength(
        Math.ceil((25 + 4 * version) / 2),
      );
      expect(qrVersionFor(capacity)).toBe(version);
      expectFault(() => qrLines(text(capacity + 1), { version }), "oversized", /does not hold/);
    },
  );
  it("is not made of other text", () => {
    for (const bad of ["", "b$2p", "B$2P\n", "Ä", "A_B"]) {
      expectFault(() => qrLines(bad, { version: 5 }), "bad-part", /characters/);
    }
    expectFault(() => qrVersionFor(1_250), "oversized", /at most 1249/);
    expect(() => qrCapacity(21)).toThrow(RangeError);
    expect(() => qrCapacity(0)).toThrow(RangeError);
  });
});

it.each([
  [80, 39, 13],
  [79, 39, 13],
  [77, 39, 13],
  [76, 39, 12],
  [77, 38, 12],
  [400, 200, 20],
  [45, 23, 5],
] as const)("a terminal of %s columns and %s rows shows version %s", (columns, rows, version) => {
  expect(qrVersionWithin({ columns, rows })).toBe(version);
});
it.each([
  [44, 23],
  [45, 22],
])("a terminal of %s columns and %s rows is too small", (columns, rows) => {
  expectFault(() => qrVersionWithin({ columns, rows }), "oversized", /45 columns and 23 lines/);
});

describe("an animation", () => {
  const psbt = psbtOf({ coins: 3 });
  it.each(["bbqr", "crypto-psbt", "psbt"] as const)("as %s is filmed and read back", (format) => {
    const frames = animation({ psbt, format, version: 10 });
    expect(frames.map(({ index }) => index)).toEqual(frames.map((_, i) => i));
    expect(new Set(frames.map(({ total }) => total))).toEqual(new Set([frames.length]));
    // One size throughout.
    expect(new Set(frames.map(({ lines }) => lines.length)).size).toBe(1);
    const film = frames.map(({ lines }) => seen(lines, "ansi") ?? "");
    expect(film).toEqual(frames.map(({ text: shown }) => shown));
    expect(psbtOfLines(film)).toEqual(psbt);
  });
  it("of a small PSBT in a large code is one frame, no larger than needed", () => {
    const [frame, ...more] = animation({ psbt: psbtOf(), format: "bbqr", version: 20 });
    expect(more).toEqual([]);
    expect(frame?.lines.length).toBeLessThanOrEqual(Math.ceil((25 + 4 * 20) / 2));
  });
  it("is made of nothing but a PSBT", () => {
    const junk = () => animation({ psbt: new Uint8Array(9), format: "bbqr" });
    expectFault(junk, "wrong-content", /no PSBT/);
  });
});
