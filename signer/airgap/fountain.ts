/**
 * Which fragments a part of a multipart UR mixes (BCR-2024-001, "consensus stack"): sender and
 * receiver draw the same from the part's number and the message's checksum. The first parts are the
 * fragments themselves; those beyond mix several, so that a missed code costs no whole round.
 */
import { sha256 } from "../../policies/bitcoin/hash.ts";

export type Random = () => number;

/** xoshiro256**, seeded with the SHA-256 of `seed`: doubles from 0 to below 1. */
export function xoshiro(seed: Uint8Array): Random {
  const view = new DataView(Uint8Array.from(sha256(seed)).buffer);
  let [a, b, c, d] = [0, 8, 16, 24].map((at) => view.getBigUint64(at)) as Four;
  return () => {
    const drawn = wrap(turn(wrap(b * 5n), 7n) * 9n);
    const shifted = wrap(b << 17n);
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= shifted;
    d = turn(d, 45n);
    return Number(drawn) / TWO_64;
  };
}

/** Draws an index as often as its weight says: the alias method of Walker and Vose. */
export function sampler(weights: readonly number[]): (random: Random) => number {
  const n = weights.length;
  const sum = weights.reduce((total, weight) => total + weight, 0);
  const scaled = weights.map((weight) => (weight * n) / sum);
  // The order decides what is drawn, so it is the specification's: from the last index down.
  const down = Array.from({ length: n }, (_, i) => n - 1 - i);
  const small = down.filter((i) => at(scaled, i) < 1);
  const large = down.filter((i) => at(scaled, i) >= 1);
  const probability = new Array<number>(n).fill(1);
  const alias = new Array<number>(n).fill(0);
  for (;;) {
    if (small.length === 0 || large.length === 0) break;
    const less = small.pop() ?? 0;
    const more = large.pop() ?? 0;
    probability[less] = at(scaled, less);
    alias[less] = more;
    scaled[more] = at(scaled, more) + (at(scaled, less) - 1);
    (at(scaled, more) < 1 ? small : large).push(more);
  }
  return (random) => {
    const first = random();
    const second = random();
    const i = below(n, first);
    return second < at(probability, i) ? i : at(alias, i);
  };
}

/** `count` of the items, in the order drawn. */
export function shuffled<T>(items: readonly T[], random: Random, count: number): T[] {
  const left = [...items];
  return Array.from({ length: count }, () => left.splice(below(left.length, random()), 1)).flat();
}

/** Indices from 0 of the fragments that part `number` (from 1) mixes. */
export function fragmentChooser(count: number, checksum: number): (number: number) => number[] {
  const indices = Array.from({ length: count }, (_, i) => i);
  const degree = sampler(indices.map((i) => 1 / (i + 1)));
  return (number) => {
    if (number <= count) return [number - 1];
    const seed = new DataView(new ArrayBuffer(8));
    seed.setUint32(0, number, false);
    seed.setUint32(4, checksum, false);
    const random = xoshiro(new Uint8Array(seed.buffer));
    return shuffled(indices, random, degree(random) + 1);
  };
}

type Four = [bigint, bigint, bigint, bigint];

const TWO_64 = 2 ** 64;

function wrap(value: bigint): bigint {
  return BigInt.asUintN(64, value);
}

function turn(value: bigint, by: bigint): bigint {
  return wrap(value << by) | (value >> (64n - by));
}

/** The largest draws round up to 1. */
function below(n: number, drawn: number): number {
  return Math.min(n - 1, Math.floor(drawn * n));
}

function at(numbers: readonly number[], index: number): number {
  return numbers[index] ?? 0;
}
