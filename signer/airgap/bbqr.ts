/**
 * BBQr: a file as a series of QR codes in alphanumeric mode (Coinkite, bbqr.org). Each code is
 * `B$`, an encoding, a file type, the count and the number of the code in base 36, and the content.
 */
import { constants, deflateRawSync, inflateRawSync } from "node:zlib";
import { base32nopad } from "@scure/base";
import { fromHex, hex } from "../../policies/bitcoin/hash.ts";
import { PSBT_BYTES_MAX } from "../../policies/bitcoin/psbt.ts";
import { concat, equal } from "../../policies/bitcoin/wire.ts";
import { AirgapError } from "./airgap-error.ts";
import { type Progress, progressOf, progressWords } from "./progress.ts";
import { oversized } from "./psbt-bytes.ts";

/** Hex; Base32; Base32 of what raw deflate with a window of 10 bits made smaller. */
export type BbqrEncoding = "H" | "2" | "Z";

/** PSBT, transaction, JSON, CBOR, Unicode text, bytes, executable. */
export type BbqrFileType = "P" | "T" | "J" | "C" | "U" | "B" | "X";

export interface BbqrFile {
  readonly fileType: BbqrFileType;
  readonly bytes: Uint8Array;
}

export interface BbqrSplit extends BbqrFile {
  /** Left out: the shorter of Z and 2. */
  readonly encoding?: BbqrEncoding;
  /** Characters that one code holds, header included. */
  readonly charactersMax: number;
}

export interface BbqrJoin {
  /** Takes one code; throws an AirgapError, and then keeps what it had. */
  readonly add: (text: string) => void;
  readonly progress: () => Progress;
  /** The file once every part is there, null before. */
  readonly finish: () => BbqrFile | null;
}

/** The texts of the codes, of about equal length so that none is harder to read than the others. */
export function splitBbqr({ bytes, fileType, encoding, charactersMax }: BbqrSplit): string[] {
  const packed = pack(bytes, encoding);
  const unit = packed.encoding === "H" ? 2 : 8;
  const room = Math.floor((charactersMax - HEADER) / unit) * unit;
  if (room <= 0) throw new RangeError(`a code of ${charactersMax} characters holds no BBQr part`);
  const count = Math.max(1, Math.ceil(packed.text.length / room));
  if (count > PARTS_MAX) {
    throw new AirgapError(
      "oversized",
      `this takes ${count} codes of that size, more than BBQr's ${PARTS_MAX}: use larger codes or a file`,
    );
  }
  const each = Math.ceil(packed.text.length / count / unit) * unit;
  // Rounding up to whole units may fill the codes before the last.
  const used = Math.max(1, Math.ceil(packed.text.length / each));
  return Array.from(
    { length: used },
    (_, i) =>
      `B$${packed.encoding}${fileType}${base36(used)}${base36(i)}` +
      packed.text.slice(i * each, (i + 1) * each),
  );
}

/** Puts codes together, in whatever order and however often they come. */
export function bbqrJoin(bytesMax = PSBT_BYTES_MAX): BbqrJoin {
  const parts = new Map<number, Uint8Array>();
  let first: Part | null = null;
  return {
    add: (text) => {
      const part = readPart(text);
      if (first !== null) sameTransfer(first, part);
      const known = parts.get(part.index);
      if (known !== undefined) {
        if (equal(known, part.bytes)) return;
        throw new AirgapError(
          "contradiction",
          `part ${part.index + 1} was read before with another content: start over`,
        );
      }
      checkLengths(parts, part, bytesMax);
      first ??= part;
      parts.set(part.index, part.bytes);
    },
    progress: () => progressOf(first?.count ?? 0, (index) => parts.has(index)),
    finish: () => {
      if (first === null || parts.size < first.count) return null;
      const whole = concat(Array.from({ length: first.count }, (_, i) => parts.get(i) ?? NOTHING));
      const bytes = first.encoding === "Z" ? inflate(whole, bytesMax) : whole;
      if (bytes.length > bytesMax) throw oversized();
      return { fileType: first.fileType, bytes };
    },
  };
}

/** All codes at once; throws an AirgapError that tells which are missing. */
export function joinBbqr(texts: Iterable<string>, bytesMax = PSBT_BYTES_MAX): BbqrFile {
  const join = bbqrJoin(bytesMax);
  for (const text of texts) join.add(text);
  const file = join.finish();
  if (file === null) throw new AirgapError("incomplete", progressWords(join.progress()));
  return file;
}

const HEADER = 8;
/** `ZZ` in base 36. */
const PARTS_MAX = 1_295;
/** Fixed by the specification: it is the memory that a device has for it. */
const WINDOW_BITS = 10;
const NOTHING = new Uint8Array(0);

interface Part extends BbqrFile {
  readonly encoding: BbqrEncoding;
  readonly count: number;
  readonly index: number;
}

const PART = /^B\$([H2Z])([PTJCUBX])([0-9A-Z]{2})([0-9A-Z]{2})(.*)$/;

function readPart(text: string): Part {
  const match = PART.exec(text);
  if (match === null) {
    throw new AirgapError(
      "bad-part",
      "this starts like a BBQr code but has no header that BBQr knows",
    );
  }
  const [, encoding, fileType, countText = "", indexText = "", content = ""] = match;
  const count = Number.parseInt(countText, 36);
  const index = Number.parseInt(indexText, 36);
  if (index >= count) {
    throw new AirgapError("bad-part", `a code calls itself part ${index + 1} of ${count}`);
  }
  return {
    encoding: encoding as BbqrEncoding,
    fileType: fileType as BbqrFileType,
    count,
    index,
    bytes: decode(encoding as BbqrEncoding, content, index),
  };
}

function decode(encoding: BbqrEncoding, content: string, index: number): Uint8Array {
  const broken = (how: string) => new AirgapError("bad-part", `part ${index + 1} ${how}`);
  if (content === "") throw broken("is empty");
  if (encoding === "H") {
    if (content.length % 2 !== 0 || !/^[0-9A-F]+$/.test(content)) {
      throw broken("is not whole bytes in capital hex: it may have been cut off");
    }
    return fromHex(content);
  }
  try {
    return base32nopad.decode(content);
  } catch {
    throw broken("is not whole bytes in Base32: it may have been cut off");
  }
}

function sameTransfer(first: Part, part: Part): void {
  const { encoding, fileType, count } = first;
  if (part.encoding === encoding && part.fileType === fileType && part.count === count) return;
  throw new AirgapError(
    "other-transfer",
    "this code is of another animation than the one begun: finish that one, or start over",
  );
}

/** All parts but the last are equally long, and the last is no longer. */
function checkLengths(parts: ReadonlyMap<number, Uint8Array>, part: Part, bytesMax: number): void {
  const last = part.count - 1;
  const known = [...parts].find(([index]) => index !== last)?.[1].length;
  const tail = parts.get(last)?.length;
  const { length } = part.bytes;
  if (length * last > bytesMax && part.index !== last) throw oversized();
  if (length > bytesMax) throw oversized();
  const fits =
    part.index === last ? known === undefined || length <= known : (known ?? length) === length;
  if (fits && (part.index === last || tail === undefined || tail <= length)) return;
  throw new AirgapError(
    "contradiction",
    `part ${part.index + 1} is not as long as the parts before it say: start over`,
  );
}

function pack(
  bytes: Uint8Array,
  asked: BbqrEncoding | undefined,
): { readonly encoding: BbqrEncoding; readonly text: string } {
  if (asked === "H") return { encoding: "H", text: hex(bytes).toUpperCase() };
  if (asked === "2") return { encoding: "2", text: base32nopad.encode(bytes) };
  const deflated = deflateRawSync(bytes, {
    windowBits: WINDOW_BITS,
    level: constants.Z_BEST_COMPRESSION,
  });
  const smaller = asked === "Z" || deflated.length < bytes.length;
  return smaller
    ? { encoding: "Z", text: base32nopad.encode(Uint8Array.from(deflated)) }
    : { encoding: "2", text: base32nopad.encode(bytes) };
}

/**
 * Never holds more than `bytesMax` bytes, whatever a few bytes promise to become. The window is the
 * largest: with ten bits zlib refuses a sender's larger window only in files beyond its buffer.
 */
function inflate(bytes: Uint8Array, bytesMax: number): Uint8Array {
  let inflated: { buffer: Buffer; engine: { bytesWritten: number } };
  try {
    // With `info` Node tells how much of the input it took; the types do not know of it.
    inflated = inflateRawSync(bytes, {
      windowBits: constants.Z_MAX_WINDOWBITS,
      maxOutputLength: bytesMax,
      info: true,
    }) as unknown as typeof inflated;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ERR_BUFFER_TOO_LARGE") {
      throw oversized();
    }
    throw new AirgapError("damaged", "the parts are all there, but cannot be unpacked: start over");
  }
  if (inflated.engine.bytesWritten !== bytes.length) {
    throw new AirgapError("damaged", "something follows the end of what was packed: start over");
  }
  return Uint8Array.from(inflated.buffer);
}

function base36(value: number): string {
  return value.toString(36).toUpperCase().padStart(2, "0");
}
