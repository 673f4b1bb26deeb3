/** A map of a PSBT, of which the app knows the size and the roots of its keys and its values. */
import { compareBytes } from "@scure/btc-signer/utils.js";
import { type Ask, element, indexOf, type List } from "./client.ts";
import { type Reader, reader } from "./reader.ts";
import { refuse, STATUS } from "./status.ts";

export interface MerkleMap {
  readonly keys: List;
  readonly values: List;
}

/** Called with each key in its order, while the map is being checked. */
export type KeyVisitor = (key: Uint8Array, index: number, map: MerkleMap) => Promise<void>;

/** The longest key: a control block of the deepest taptree that the app supports. */
const KEY_MAX = 34 + 32 * 8;

/** A map commitment holds at most a compact size and two roots. */
const COMMITMENT_MAX = 9 + 2 * 32;

/** A commitment: compact size, root of the sorted keys, root of the values. */
export function readCommitment(from: Reader): MerkleMap {
  const size = from.varint();
  return {
    keys: { size, root: from.bytes(32) },
    values: { size, root: from.bytes(32) },
  };
}

/** Fetches the map at a place of a list of maps and checks that its keys are sorted. */
export async function mapAt(
  ask: Ask,
  maps: List,
  index: number,
  visit?: KeyVisitor,
): Promise<MerkleMap> {
  const commitment = await element(ask, maps, { index, max: COMMITMENT_MAX });
  const map = readCommitment(reader(commitment, STATUS.incorrectData));
  await checkSorted(ask, map, visit);
  return map;
}

/** Each key must be greater than the one before it: no key can be there twice. */
export async function checkSorted(ask: Ask, map: MerkleMap, visit?: KeyVisitor): Promise<void> {
  let previous: Uint8Array | null = null;
  for (let index = 0; index < map.keys.size; index++) {
    const key = await element(ask, map.keys, { index, max: KEY_MAX });
    if (previous !== null && compareBytes(previous, key) >= 0) refuse(STATUS.incorrectData);
    previous = key;
    await visit?.(key, index, map);
  }
}

/** The value of a key, or null when the map has no such key. */
export async function valueOf(
  ask: Ask,
  map: MerkleMap,
  { key, max }: { readonly key: number; readonly max: number },
): Promise<Uint8Array | null> {
  const index = await indexOf(ask, map.keys, Uint8Array.of(key));
  return index === null ? null : element(ask, map.values, { index, max });
}

/** A value that must be there and have this many bytes. */
export async function fixedValue(
  ask: Ask,
  map: MerkleMap,
  { key, length }: { readonly key: number; readonly length: number },
): Promise<Uint8Array> {
  const value = await valueOf(ask, map, { key, max: length });
  return value?.length === length ? value : refuse(STATUS.incorrectData);
}
