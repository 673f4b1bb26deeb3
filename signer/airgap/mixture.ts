/**
 * Fragments found out from mixtures of them, as linear equations over bits are solved: each part
 * that tells something new becomes a row, kept reduced, so that there are never more rows than
 * fragments and a part that contradicts the rows shows at once.
 */
import { AirgapError } from "./airgap-error.ts";

export interface Mixture {
  /** Throws an AirgapError for a part that cannot be true beside the others, and forgets it. */
  readonly add: (indices: readonly number[], data: Uint8Array) => void;
  /** The fragment if it is known by itself. */
  readonly fragment: (index: number) => Uint8Array | undefined;
}

/** `count` fragments of equal length. */
export function openMixture(count: number): Mixture {
  /** By the lowest fragment that the row has and no other row. */
  const rows = new Map<number, Row>();
  return {
    add: (indices, data) => {
      const row = rowOf(count, indices, data);
      for (const [pivot, other] of rows) if (has(row, pivot)) mix(row, other);
      const pivot = lowest(row);
      if (pivot === null) {
        refuseContradiction(row);
        return;
      }
      for (const other of rows.values()) if (has(other, pivot)) mix(other, row);
      rows.set(pivot, row);
    },
    fragment: (index) => {
      const row = rows.get(index);
      return row !== undefined && isAlone(row) ? row.data : undefined;
    },
  };
}

interface Row {
  /** Which fragments are mixed in it. */
  readonly bits: Uint32Array;
  readonly data: Uint8Array;
}

function rowOf(count: number, indices: readonly number[], data: Uint8Array): Row {
  const row = { bits: new Uint32Array(Math.ceil(count / 32)), data: data.slice() };
  for (const index of indices) row.bits[index >> 5] = word(row, index) ^ (1 << (index & 31));
  return row;
}

/** A part that tells of no fragment anew must say nothing new either. */
function refuseContradiction({ data }: Row): void {
  if (data.every((byte) => byte === 0)) return;
  throw new AirgapError("contradiction", "a UR code contradicts those read before: start over");
}

function word({ bits }: Row, index: number): number {
  return bits[index >> 5] ?? 0;
}

function has(row: Row, index: number): boolean {
  return ((word(row, index) >>> (index & 31)) & 1) === 1;
}

function mix(into: Row, other: Row): void {
  for (let i = 0; i < into.bits.length; i += 1) {
    into.bits[i] = (into.bits[i] ?? 0) ^ (other.bits[i] ?? 0);
  }
  for (let i = 0; i < into.data.length; i += 1) {
    into.data[i] = (into.data[i] ?? 0) ^ (other.data[i] ?? 0);
  }
}

function lowest({ bits }: Row): number | null {
  const at = bits.findIndex((value) => value !== 0);
  if (at < 0) return null;
  const value = bits[at] ?? 0;
  return 32 * at + (31 - Math.clz32(value & -value));
}

function isAlone({ bits }: Row): boolean {
  let seen = false;
  for (const value of bits) {
    if (value === 0) continue;
    if (seen || (value & (value - 1)) !== 0) return false;
    seen = true;
  }
  return seen;
}
