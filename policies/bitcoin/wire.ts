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
  /** A compact size in its shortest form, at most SIZE_MAX. */
  readonly size: () => number;
  readonly bytes: (length: number) => Uint8Array;
  /** Walks on without making a view. */
  readonly skip: (length: number) => void;
  /** Bytes preceded by their compact size. */
  readonly sized: () => Uint8Array;
  /** Nothing may follow. */
  readonly end: () => void;
}

/** Nodes read no larger one (MAX_SIZE in Bitcoin Core's serialize.h), be it a length or a type. */
const SIZE_MAX = 0x0200_0000;

function minimal(is: boolean, at: number): void {
  if (!is) throw new WireError("non-minimal", at, "compact size is not minimal");
}

function oversized(at: number): WireError {
  return new WireError("range", at, "compact size is larger than any message");
}

/**
 * Reads views into `source`, never copies: what was parsed is exactly what was hashed. Methods, not
 * closures: a PSBT of 250 inputs opens a thousand readers, and under tsx each closure made costs a
 * microsecond (esbuild's keepNames defines its name anew).
 */
export function reader(source: Uint8Array): Reader {
  return new Cursor(source);
}

class Cursor implements Reader {
  readonly #source: Uint8Array;
  #at = 0;

  constructor(source: Uint8Array) {
    this.#source = source;
  }

  at(): number {
    return this.#at;
  }

  left(): number {
    return this.#source.length - this.#at;
  }

  #take(length: number): number {
    const start = this.#at;
    if (length > this.#source.length - start) {
      throw new WireError("truncated", start, `${length} bytes wanted, ${this.left()} left`);
    }
    this.#at = start + length;
    return start;
  }

  u8(): number {
    return this.#source[this.#take(1)] ?? 0;
  }

  u32(): number {
    const i = this.#take(4);
    const s = this.#source;
    const low = (s[i] ?? 0) | ((s[i + 1] ?? 0) << 8) | ((s[i + 2] ?? 0) << 16);
    return low + (s[i + 3] ?? 0) * 0x100_0000;
  }

  u64(): bigint {
    const low = BigInt(this.u32());
    return low | (BigInt(this.u32()) << 32n);
  }

  size(): number {
    const start = this.#at;
    const first = this.u8();
    if (first < 0xfd) return first;
    if (first === 0xff) {
      minimal(this.u64() > 0xffff_ffffn, start);
      throw oversized(start);
    }
    const value = first === 0xfd ? this.u8() | (this.u8() << 8) : this.u32();
    minimal(value >= (first === 0xfd ? 0xfd : 0x1_0000), start);
    if (value > SIZE_MAX) throw oversized(start);
    return value;
  }

  bytes(length: number): Uint8Array {
    const start = this.#take(length);
    return this.#source.subarray(start, start + length);
  }

  skip(length: number): void {
    this.#take(length);
  }

  sized(): Uint8Array {
    return this.bytes(this.size());
  }

  end(): void {
    if (this.left() !== 0) {
      throw new WireError("trailing", this.#at, `${this.left()} bytes follow the end`);
    }
  }
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
