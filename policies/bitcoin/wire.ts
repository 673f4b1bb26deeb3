/**
 * Bitcoin's wire encoding, strict: a number has one encoding, and a length is checked against
 * what is left before anything is allocated (attacks.md 87, 88, 94).
 */

/** The bytes do not follow the encoding; `at` is the offset of the first byte in question. */
export class WireError extends Error {
  readonly code: "truncated" | "trailing" | "non-minimal" | "range";
  readonly at: number;
  constructor(code: WireError["code"], at: number, detail: string) {
    super(`${detail} at byte ${at}`);
    this.name = "WireError";
    this.code = code;
    this.at = at;
  }
}

export interface Reader {
  readonly at: () => number;
  readonly left: () => number;
  readonly u8: () => number;
  readonly u32: () => number;
  readonly u64: () => bigint;
  /** A compact size in its shortest form, below 2^32. */
  readonly size: () => number;
  readonly bytes: (length: number) => Uint8Array;
  /** Bytes preceded by their compact size. */
  readonly sized: () => Uint8Array;
  /** Nothing may follow. */
  readonly end: () => void;
}

function minimal(is: boolean, at: number): void {
  if (!is) throw new WireError("non-minimal", at, "compact size is not minimal");
}

/** Reads views into `source`, never copies: what was parsed is exactly what was hashed. */
export function reader(source: Uint8Array): Reader {
  const view = new DataView(source.buffer, source.byteOffset, source.byteLength);
  let at = 0;

  function take(length: number): number {
    if (length > source.length - at) {
      throw new WireError("truncated", at, `${length} bytes wanted, ${source.length - at} left`);
    }
    const start = at;
    at += length;
    return start;
  }

  function size(): number {
    const start = at;
    const first = view.getUint8(take(1));
    if (first < 0xfd) return first;
    if (first === 0xff) {
      // No message holds 4 GiB: past the check of its form, such a size is refused.
      minimal(view.getBigUint64(take(8), true) > 0xffff_ffffn, start);
      throw new WireError("range", start, "compact size is larger than any message");
    }
    const value = first === 0xfd ? view.getUint16(take(2), true) : view.getUint32(take(4), true);
    minimal(value >= (first === 0xfd ? 0xfd : 0x1_0000), start);
    return value;
  }

  function bytes(length: number): Uint8Array {
    const start = take(length);
    return source.subarray(start, start + length);
  }

  return {
    at: () => at,
    left: () => source.length - at,
    u8: () => view.getUint8(take(1)),
    u32: () => view.getUint32(take(4), true),
    u64: () => view.getBigUint64(take(8), true),
    size,
    bytes,
    sized: () => bytes(size()),
    end: () => {
      if (at !== source.length) {
        throw new WireError("trailing", at, `${source.length - at} bytes follow the end`);
      }
    },
  };
}

export function u8(value: number): Uint8Array {
  return Uint8Array.of(value);
}

export function u32(value: number): Uint8Array {
  const out = new Uint8Array(4);
  new DataView(out.buffer).setUint32(0, value, true);
  return out;
}

export function u64(value: bigint): Uint8Array {
  const out = new Uint8Array(8);
  new DataView(out.buffer).setBigUint64(0, value, true);
  return out;
}

/** A compact size in its shortest form. */
export function size(value: number): Uint8Array {
  if (value < 0xfd) return Uint8Array.of(value);
  if (value <= 0xffff) return Uint8Array.of(0xfd, value & 0xff, value >> 8);
  const out = new Uint8Array(5);
  out[0] = 0xfe;
  new DataView(out.buffer).setUint32(1, value, true);
  return out;
}

export function sized(bytes: Uint8Array): Uint8Array {
  return concat([size(bytes.length), bytes]);
}

export function concat(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  let length = 0;
  for (const part of parts) length += part.length;
  const out = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

export function equal(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i += 1) if (a[i] !== b[i]) return false;
  return true;
}

/** Lexicographic order of bytes: negative, zero or positive. */
export function compare(a: Uint8Array, b: Uint8Array): number {
  const shared = Math.min(a.length, b.length);
  for (let i = 0; i < shared; i += 1) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}
