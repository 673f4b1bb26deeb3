/**
 * Mutants of PSBTs: the n-th of a seed is always the same. Half are bent as fields (another type, a
 * length, a field twice, moved, swapped, taken from another PSBT, a size in a longer form), which the
 * gate often lets through; the others are bent as bytes, which it mostly does not.
 */
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { base64 } from "@scure/base";
import { fromHex } from "../../policies/bitcoin/hash.ts";
import { readPsbt } from "../../policies/bitcoin/psbt.ts";
import { GLOBAL, IN, OUT, type PsbtField } from "../../policies/bitcoin/psbt-fields.ts";
import { concat, size } from "../../policies/bitcoin/wire.ts";
import { honest, type Maps } from "./spend.ts";

export type Mutants = (n: number) => Uint8Array;

export function psbtMutants(bases: readonly Uint8Array[], seed: number): Mutants {
  const whole = bases.map(readPsbt);
  const pool = whole.flatMap(({ global, inputs, outputs }) =>
    [global, ...inputs, ...outputs].flat(),
  );
  return (n) => {
    const draw = drawing(seed, n);
    const base = draw.below(bases.length);
    const maps = whole[base];
    if (maps === undefined) throw new Error("no bases");
    const structured = draw.below(2) === 0;
    let bytes = structured
      ? bentMaps(maps, pool, draw)
      : Uint8Array.from(bases[base] ?? new Uint8Array(0));
    const bends = structured ? draw.below(8) === 0 : true;
    if (bends)
      for (let left = 1 + draw.below(4); left > 0; left -= 1) bytes = bentBytes(bytes, draw);
    return bytes;
  };
}

/** What is bent: honest spends of ours in both versions, and every valid PSBT of the BIPs. */
export function mutantBases(): readonly Uint8Array[] {
  return [
    honest({ previous: true }).bytes,
    honest({ previous: true, psbtVersion: 2 }).bytes,
    honest({ coins: 3, signed: ["user", "lsp"] }).bytes,
    honest({ coins: 2, psbtVersion: 2, change: null }).bytes,
    ...["bip174", "bip370", "bip373"].flatMap(validVectors),
  ];
}

const VECTORS = fileURLToPath(new URL("../../../shared/vectors/", import.meta.url));

/** None where the vectors do not lie beside the project. */
function validVectors(name: string): readonly Uint8Array[] {
  const file = `${VECTORS}${name}.json`;
  if (!existsSync(file)) return [];
  const rows: readonly { readonly section: string; readonly psbt: string }[] = JSON.parse(
    readFileSync(file, "utf8"),
  );
  return rows
    .filter(({ section }) => section === "valid PSBTs")
    .map(({ psbt }) => base64.decode(psbt));
}

interface Drawing {
  /** A whole number from 0 to n - 1. */
  readonly below: (n: number) => number;
  readonly one: <Item>(items: readonly [Item, ...Item[]]) => Item;
  readonly some: <Item>(items: readonly Item[]) => Item | undefined;
  readonly bytes: (length: number) => Uint8Array;
}

/** Mulberry32: small, fast, and the same everywhere. */
function drawing(seed: number, n: number): Drawing {
  let state = (Math.imul(seed, 0x9e3779b1) ^ Math.imul(n + 1, 0x85ebca6b)) | 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  };
  const below = (count: number) => Math.floor(next() * count);
  return {
    below,
    one: (items) => items[below(items.length)] ?? items[0],
    some: (items) => items[below(items.length)],
    bytes: (length) => Uint8Array.from({ length }, () => below(256)),
  };
}

const LENGTHS = [0, 1, 3, 4, 5, 8, 20, 31, 32, 33, 34, 36, 63, 64, 65, 66, 78, 98] as const;
const TELLING = [
  0, 1, 2, 3, 4, 0x20, 0x21, 0x40, 0x7f, 0x80, 0xc0, 0xc1, 0xfc, 0xfd, 0xff,
] as const;
/** On the curve, as 32, 33 and 65 bytes. */
const X = "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";
const Y = "483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8";
const KEYS = [fromHex(X), fromHex(`02${X}`), fromHex(`04${X}${Y}`)] as const;
const TYPES = {
  global: Object.values(GLOBAL),
  inputs: Object.values(IN),
  outputs: Object.values(OUT),
} as const;
type Kind = keyof typeof TYPES;

type MapsBend = (map: PsbtField[], kind: Kind, draw: Drawing, pool: readonly PsbtField[]) => void;

const MAP_BENDS: readonly [MapsBend, ...MapsBend[]] = [
  (map, kind, draw) => onField(map, draw, (one) => ({ ...one, type: typeOf(kind, draw) })),
  (map, _, draw) => onField(map, draw, (one) => ({ ...one, value: bentBytes(one.value, draw) })),
  (map, _, draw) =>
    onField(map, draw, (one) => ({ ...one, keyData: bentBytes(one.keyData, draw) })),
  (map, _, draw) => onField(map, draw, (one) => ({ ...one, value: part(draw) })),
  (map, _, draw) => onField(map, draw, (one) => ({ ...one, keyData: part(draw) })),
  (map, kind, draw) => {
    map.push({ type: typeOf(kind, draw), keyData: part(draw), value: part(draw) });
  },
  (map, _, draw, pool) => {
    const other = draw.some(pool);
    if (other !== undefined) map.splice(draw.below(map.length + 1), 0, other);
  },
  (map, kind, draw, pool) => {
    const other = draw.some(pool);
    if (other !== undefined) map.push({ ...other, type: typeOf(kind, draw) });
  },
  (map, _, draw) => {
    const twice = draw.some(map);
    if (twice !== undefined) map.push(twice);
  },
  (map, _, draw) => {
    map.splice(draw.below(map.length), 1);
  },
  (map, _, draw) => {
    const [moved] = map.splice(draw.below(map.length), 1);
    if (moved !== undefined) map.splice(draw.below(map.length + 1), 0, moved);
  },
];

function onField(map: PsbtField[], draw: Drawing, bend: (field: PsbtField) => PsbtField): void {
  const at = draw.below(map.length);
  const old = map[at];
  if (old !== undefined) map[at] = bend(old);
}

function typeOf(kind: Kind, draw: Drawing): number {
  return draw.below(8) === 0 ? draw.below(256) : (draw.some(TYPES[kind]) ?? 0);
}

/** A key or a value of a plausible length. */
function part(draw: Drawing): Uint8Array {
  return draw.below(3) === 0 ? draw.one(KEYS) : draw.bytes(draw.one(LENGTHS));
}

function bentMaps(maps: Maps, pool: readonly PsbtField[], draw: Drawing): Uint8Array {
  const bent = {
    global: [...maps.global],
    inputs: maps.inputs.map((map) => [...map]),
    outputs: maps.outputs.map((map) => [...map]),
  };
  for (let left = 1 + draw.below(3); left > 0; left -= 1) {
    const kind = draw.one<Kind>(["inputs", "inputs", "inputs", "outputs", "outputs", "global"]);
    const map = kind === "global" ? bent.global : draw.some(bent[kind]);
    if (map !== undefined) draw.one(MAP_BENDS)(map, kind, draw, pool);
  }
  return written(bent, draw);
}

const MAGIC = fromHex("70736274ff");

/** As writePsbt, but one in a few hundred sizes is written longer than it need be. */
function written({ global, inputs, outputs }: Maps, draw: Drawing): Uint8Array {
  const long = draw.below(4) === 0;
  const length = (value: number) =>
    long && draw.below(20) === 0 ? longSize(value, draw) : size(value);
  const parts: Uint8Array[] = [MAGIC];
  for (const map of [global, ...inputs, ...outputs]) {
    for (const { type, keyData, value } of map) {
      const key = concat([length(type), keyData]);
      parts.push(length(key.length), key, length(value.length), value);
    }
    parts.push(Uint8Array.of(0));
  }
  return concat(parts);
}

const LONG_SIZES: readonly [readonly [number, number], ...(readonly [number, number])[]] = [
  [0xfd, 2],
  [0xfe, 4],
  [0xff, 8],
];

function longSize(value: number, draw: Drawing): Uint8Array {
  const bytes = Array.from({ length: 8 }, (_, i) => Math.floor(value / 256 ** i) % 256);
  const [first, width] = draw.one(LONG_SIZES);
  return Uint8Array.of(first, ...bytes.slice(0, width));
}

function bentBytes(bytes: Uint8Array, draw: Drawing): Uint8Array {
  const at = draw.below(bytes.length);
  const head = bytes.subarray(0, at);
  const count = 1 + draw.below(draw.one([2, 8, 80]));
  switch (draw.below(8)) {
    case 0:
      return bytes.length === 0 ? bytes : bytes.with(at, (bytes[at] ?? 0) ^ (1 << draw.below(8)));
    case 1:
      return bytes.length === 0 ? bytes : bytes.with(at, draw.one(TELLING));
    case 2:
      return bytes.length === 0
        ? bytes
        : bytes.with(at, ((bytes[at] ?? 0) + 255 + 2 * draw.below(2)) % 256);
    case 3:
      return concat([head, bytes.subarray(at + count)]);
    case 4:
      return concat([head, draw.bytes(count), bytes.subarray(at)]);
    case 5:
      return concat([head, bytes.subarray(at, at + count), bytes.subarray(at)]);
    case 6:
      return concat([
        head,
        bytes.subarray(at + count, at + 2 * count),
        bytes.subarray(at, at + count),
        bytes.subarray(at + 2 * count),
      ]);
    default:
      return head;
  }
}
