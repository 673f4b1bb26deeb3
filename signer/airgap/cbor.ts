/**
 * The little of CBOR (RFC 8949) that URs need: unsigned numbers, byte strings and the head of an
 * array, each in its shortest form, as deterministic CBOR wants it.
 */
import { concat } from "../../policies/bitcoin/wire.ts";
import { AirgapError } from "./airgap-error.ts";

/** What a head announces, in the upper three bits of its first byte. */
export const CBOR = { UNSIGNED: 0, BYTES: 2, ARRAY: 4 } as const;
export type CborKind = (typeof CBOR)[keyof typeof CBOR];

export function cborHead(kind: CborKind, value: number): Uint8Array {
  const top = kind << 5;
  if (value < 24) return Uint8Array.of(top | value);
  if (value <= 0xff) return Uint8Array.of(top | 24, value);
  if (value <= 0xffff) return Uint8Array.of(top | 25, value >> 8, value & 0xff);
  const out = new Uint8Array(5);
  out[0] = top | 26;
  new DataView(out.buffer).setUint32(1, value, false);
  return out;
}

export function cborBytes(bytes: Uint8Array): Uint8Array {
  return concat([cborHead(CBOR.BYTES, bytes.length), bytes]);
}

export interface CborReader {
  readonly head: (kind: CborKind) => number;
  readonly bytes: () => Uint8Array;
  /** Nothing may follow. */
  readonly end: () => void;
}

/** Throws an AirgapError at whatever else stands there. */
export function cborReader(source: Uint8Array): CborReader {
  let at = 0;
  function take(length: number): Uint8Array {
    if (length > source.length - at) throw broken();
    at += length;
    return source.subarray(at - length, at);
  }
  function head(kind: CborKind): number {
    const [first = 0] = take(1);
    if (first >> 5 !== kind) throw broken();
    const short = first & 0x1f;
    if (short < 24) return short;
    // Larger than 32 bits is nothing that a UR counts.
    if (short > 26) throw broken();
    const width = 1 << (short - 24);
    const value = take(width).reduce((sum, byte) => sum * 256 + byte, 0);
    const least = [24, 0x100, 0x1_0000][short - 24] ?? 0;
    if (value < least) throw broken();
    return value;
  }
  return {
    head,
    bytes: () => take(head(CBOR.BYTES)),
    end: () => {
      if (at !== source.length) throw broken();
    },
  };
}

function broken(): AirgapError {
  return new AirgapError("bad-part", "a UR code's content is not the CBOR that belongs there");
}
