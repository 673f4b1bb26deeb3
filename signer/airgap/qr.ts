/**
 * QR codes in a terminal: two rows of modules a line, by half blocks, with the quiet zone that
 * scanners need. Only alphanumeric text at error correction L, so that the capacities below hold.
 */
import { encode } from "uqr";
import { AirgapError } from "./airgap-error.ts";

/** The text is 77 columns and 39 lines: it fits a terminal of 80 columns. */
export const QR_VERSION_DEFAULT = 13;
/** 105 columns and 53 lines; a phone at arm's length reads no finer one from a screen. */
export const QR_VERSION_MAX = 20;
/** Smaller ones hold hardly more than the header of a part. */
export const QR_VERSION_MIN = 5;

/**
 * `ansi` paints black on white whatever the terminal's colours are; `plain` is for a terminal with
 * light letters on a dark ground that takes no escape codes.
 */
export type QrPaint = "ansi" | "plain";

export interface QrOptions {
  readonly version: number;
  readonly paint?: QrPaint;
}

/** Characters of alphanumeric text that a version holds at error correction L (ISO/IEC 18004). */
export function qrCapacity(version: number): number {
  const capacity = CAPACITIES[version - 1];
  if (capacity === undefined) {
    throw new RangeError(`QR version ${version}: versions go from 1 to ${QR_VERSION_MAX}`);
  }
  return capacity;
}

/** The smallest version that holds so many characters, or an AirgapError. */
export function qrVersionFor(characters: number): number {
  const index = CAPACITIES.findIndex((capacity) => characters <= capacity);
  if (index >= 0) return index + 1;
  throw new AirgapError(
    "oversized",
    `${characters} characters are more than one code shows: at most ${qrCapacity(QR_VERSION_MAX)}`,
  );
}

/** The largest version that a terminal shows whole, or an AirgapError that says what it needs. */
export function qrVersionWithin(terminal: {
  readonly columns: number;
  readonly rows: number;
}): number {
  for (let version = QR_VERSION_MAX; version >= QR_VERSION_MIN; version -= 1) {
    const side = sideOf(version);
    if (side <= terminal.columns && Math.ceil(side / 2) <= terminal.rows) return version;
  }
  const side = sideOf(QR_VERSION_MIN);
  throw new AirgapError(
    "oversized",
    `the terminal is too small for QR codes: ${side} columns and ${Math.ceil(side / 2)} lines are needed`,
  );
}

/** The lines of a code; text that is not alphanumeric or too long is an AirgapError. */
export function qrLines(text: string, { version, paint = "ansi" }: QrOptions): readonly string[] {
  if (!/^[0-9A-Z $%*+./:-]+$/.test(text)) {
    throw new AirgapError("bad-part", "the text has characters that a QR code holds badly");
  }
  if (text.length > qrCapacity(version)) {
    throw new AirgapError("oversized", `a QR code of version ${version} does not hold the text`);
  }
  const { data } = encode(text, {
    ecc: "L",
    minVersion: version,
    maxVersion: version,
    border: QUIET_ZONE,
  });
  const pairs = Array.from({ length: Math.ceil(data.length / 2) }, (_, i) => 2 * i);
  return pairs.map((row) => {
    const upper = data[row] ?? [];
    // The odd row below the code is quiet zone as well.
    const lower = data[row + 1] ?? upper.map(() => false);
    const line = upper.map((dark, x) => block(dark, lower[x] ?? false, paint)).join("");
    return paint === "ansi" ? `${BLACK_ON_WHITE}${line}${RESET}` : line;
  });
}

/** Modules on each side that stay light (ISO/IEC 18004). */
const QUIET_ZONE = 4;

const CAPACITIES: readonly number[] = [
  25, 47, 77, 114, 154, 195, 224, 279, 335, 395, 468, 535, 619, 667, 758, 854, 938, 1_046, 1_153,
  1_249,
];

/** Colours 16 and 231 of the 256 are black and white in every theme; 0 and 15 are not. */
const BLACK_ON_WHITE = "\u001b[38;5;16;48;5;231m";
const RESET = "\u001b[0m";
/** All that a code asks of a terminal beside letters. */
export const QR_INKS: readonly string[] = [BLACK_ON_WHITE, RESET];

function sideOf(version: number): number {
  return 17 + 4 * version + 2 * QUIET_ZONE;
}

/** Letters are dark where the ground is white, and light where it is dark. */
function block(upperDark: boolean, lowerDark: boolean, paint: QrPaint): string {
  const dark = paint === "ansi";
  const [upper, lower] = [upperDark === dark, lowerDark === dark];
  if (upper && lower) return "█";
  if (upper) return "▀";
  return lower ? "▄" : " ";
}
