/**
 * Uniform Resources (BCR-2020-005): a PSBT as one `ur:psbt/…` or as the parts of a fountain code
 * (BCR-2024-001). `ur:crypto-psbt/…` is the older name of the same.
 */
import { crc32 } from "node:zlib";
import { PSBT_BYTES_MAX } from "../../policies/bitcoin/psbt.ts";
import { concat } from "../../policies/bitcoin/wire.ts";
import { AirgapError } from "./airgap-error.ts";
import { readBytewords, writeBytewords } from "./bytewords.ts";
import { CBOR, cborBytes, cborHead, cborReader } from "./cbor.ts";
import { fragmentChooser } from "./fountain.ts";
import { type Mixture, openMixture } from "./mixture.ts";
import { type Progress, progressOf } from "./progress.ts";
import { oversized } from "./psbt-bytes.ts";

export type UrType = "crypto-psbt" | "psbt";

export interface UrSplit {
  readonly bytes: Uint8Array;
  readonly type: UrType;
  /** Characters that one code holds. */
  readonly charactersMax: number;
  /** Mixed parts after the plain ones, as a share of these. */
  readonly extra?: number;
}

export interface Ur {
  readonly type: string;
  /** The byte string inside. */
  readonly bytes: Uint8Array;
}

export interface UrJoin {
  /** Takes one code; throws an AirgapError, and then keeps what it had. */
  readonly add: (text: string) => void;
  readonly progress: () => Progress;
  /** What was sent once every fragment is known, null before. */
  readonly finish: () => Ur | null;
}

/** The texts of the codes in capitals, which QR codes hold more of. */
export function splitUr({ bytes, type, charactersMax, extra = 1 }: UrSplit): string[] {
  const message = cborBytes(bytes);
  const single = `ur:${type}/${writeBytewords(message)}`;
  if (single.length <= charactersMax) return [single.toUpperCase()];
  const each = fragmentLength(message.length, { type, charactersMax, extra });
  const count = Math.ceil(message.length / each);
  const checksum = crc32(message);
  const padded = new Uint8Array(count * each);
  padded.set(message);
  const choose = fragmentChooser(count, checksum);
  return Array.from({ length: count + Math.ceil(count * extra) }, (_, i) => {
    const data = new Uint8Array(each);
    for (const index of choose(i + 1)) {
      for (let at = 0; at < each; at += 1) {
        data[at] = (data[at] ?? 0) ^ (padded[index * each + at] ?? 0);
      }
    }
    const part = { number: i + 1, count, messageLength: message.length, checksum, data };
    return `ur:${type}/${part.number}-${count}/${writeBytewords(writePart(part))}`.toUpperCase();
  });
}

/** Puts codes together, in whatever order and however often they come. */
export function urJoin(bytesMax = PSBT_BYTES_MAX): UrJoin {
  let begun: Begun | null = null;
  return {
    add: (text) => {
      const { type, body, place } = readUr(text);
      const part = place === null ? wholePart(body) : readPart(body, place);
      if (part.messageLength > bytesMax + HEAD_BYTES_MAX) throw oversized();
      if (begun !== null) sameTransfer(begun, type, part);
      const next = begun ?? begin(type, part);
      next.mixture.add(next.choose(part.number), part.data);
      begun = next;
    },
    progress: () =>
      progressOf(begun?.first.count ?? 0, (i) => begun?.mixture.fragment(i) !== undefined),
    finish: () => {
      if (begun === null) return null;
      const { first, mixture, type } = begun;
      const fragments = Array.from({ length: first.count }, (_, i) => mixture.fragment(i));
      if (fragments.some((fragment) => fragment === undefined)) return null;
      const padded = concat(fragments.map((fragment) => fragment ?? new Uint8Array(0)));
      const message = padded.subarray(0, first.messageLength);
      if (crc32(message) !== first.checksum) {
        throw new AirgapError(
          "damaged",
          "the UR codes are all there, but their common checksum is wrong: start over",
        );
      }
      const reader = cborReader(message);
      const bytes = reader.bytes();
      reader.end();
      if (bytes.length > bytesMax) throw oversized();
      return { type, bytes: Uint8Array.from(bytes) };
    },
  };
}

/** More fragments take seconds to untangle, and no person would hold a camera still for them. */
const PARTS_MAX = 2_048;
const HEAD_BYTES_MAX = 5;
const NUMBER_MAX = 0xffff_ffff;

interface Part {
  /** From 1, without end. */
  readonly number: number;
  /** Fragments of the message. */
  readonly count: number;
  readonly messageLength: number;
  readonly checksum: number;
  readonly data: Uint8Array;
}

interface Begun {
  readonly type: string;
  readonly first: Part;
  readonly choose: (number: number) => number[];
  readonly mixture: Mixture;
}

function begin(type: string, first: Part): Begun {
  const choose = fragmentChooser(first.count, first.checksum);
  return { type, first, choose, mixture: openMixture(first.count) };
}

interface UrText {
  readonly type: string;
  readonly body: Uint8Array;
  readonly place: Pick<Part, "number" | "count"> | null;
}

const UR = /^ur:([a-z0-9-]{1,32})\/(?:([1-9][0-9]{0,9})-([1-9][0-9]{0,9})\/)?([a-z]+)$/;

function readUr(text: string): UrText {
  const match = UR.exec(text.toLowerCase());
  if (match === null) {
    throw new AirgapError(
      "bad-part",
      "this starts like a UR code but is none of UR version 2: it may have been cut off",
    );
  }
  const [, type = "", number, count, words = ""] = match;
  const place =
    number === undefined || count === undefined
      ? null
      : { number: Number(number), count: Number(count) };
  return { type, body: readBytewords(words), place };
}

/** A single code is the one fragment of its message. */
function wholePart(message: Uint8Array): Part {
  return {
    number: 1,
    count: 1,
    messageLength: message.length,
    checksum: crc32(message),
    data: message,
  };
}

function readPart(body: Uint8Array, place: Pick<Part, "number" | "count">): Part {
  const reader = cborReader(body);
  const fields = reader.head(CBOR.ARRAY);
  const [number = 0, count = 0, messageLength = 0, checksum = 0] = Array.from({ length: 4 }, () =>
    reader.head(CBOR.UNSIGNED),
  );
  const data = reader.bytes();
  reader.end();
  if (fields !== 5 || number !== place.number || count !== place.count || number > NUMBER_MAX) {
    throw new AirgapError("bad-part", "a UR code names its place in two ways: scan it again");
  }
  if (count > PARTS_MAX) {
    throw new AirgapError("oversized", `the animation has ${count} parts: at most ${PARTS_MAX}`);
  }
  // Every sender fills all fragments but the last, so these three numbers bind each other.
  if (messageLength > count * data.length || messageLength <= (count - 1) * data.length) {
    throw new AirgapError("bad-part", "a UR code tells lengths that do not belong together");
  }
  return { number, count, messageLength, checksum, data };
}

function sameTransfer({ type, first }: Begun, partType: string, part: Part): void {
  const same =
    partType === type &&
    part.count === first.count &&
    part.messageLength === first.messageLength &&
    part.checksum === first.checksum;
  // Equal counts and message lengths leave some freedom to the fragments' length.
  if (same && part.data.length === first.data.length) return;
  throw new AirgapError(
    "other-transfer",
    "this code is of another animation than the one begun: finish that one, or start over",
  );
}

function writePart({ number, count, messageLength, checksum, data }: Part): Uint8Array {
  return concat([
    cborHead(CBOR.ARRAY, 5),
    ...[number, count, messageLength, checksum].map((value) => cborHead(CBOR.UNSIGNED, value)),
    cborBytes(data),
  ]);
}

/** The longest fragment by which every part fits its code, all of them about equally filled. */
function fragmentLength(length: number, split: Omit<UrSplit, "bytes"> & { extra: number }): number {
  for (let count = 2; count <= PARTS_MAX; count += 1) {
    const each = Math.ceil(length / count);
    const highest = count + Math.ceil(count * split.extra);
    const part = {
      number: highest,
      count,
      messageLength: length,
      checksum: NUMBER_MAX,
      data: new Uint8Array(each),
    };
    const words = 2 * (writePart(part).length + 4);
    const text = `ur:${split.type}/${highest}-${count}/`.length + words;
    if (text <= split.charactersMax) return each;
  }
  throw new AirgapError(
    "oversized",
    "this takes too many UR codes of that size: use larger codes or a file",
  );
}
