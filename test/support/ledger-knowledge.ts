/**
 * What a client knows, and how it proves it to Ledger's app: lists by Merkle proofs, the rest by
 * preimages of hashes.
 */
import { sha256 } from "@noble/hashes/sha2.js";
import { hex } from "@scure/base";
import { concatBytes } from "@scure/btc-signer/utils.js";

/** Everything that the app may ask for. */
export interface Knowledge {
  readonly lists: readonly (readonly Uint8Array[])[];
  readonly preimages: readonly Uint8Array[];
}

/** Siblings in one reply; the others are asked for. */
const PROOF_MAX = 6;

/** Answers the app's questions. */
export interface Host {
  answer(question: Uint8Array): Uint8Array;
  readonly yielded: Uint8Array[];
}

export function hostOf({ lists, preimages }: Knowledge): Host {
  const trees = new Map(lists.map((list) => [hex.encode(merkleRoot(list)), list.map(leafHash)]));
  const leaves = lists.flat().map((leaf) => concatBytes(Uint8Array.of(0), leaf));
  const known = new Map(
    [...preimages, ...leaves].map((bytes) => [hex.encode(sha256(bytes)), bytes]),
  );
  const yielded: Uint8Array[] = [];
  let queue: Uint8Array[] = [];

  const treeAt = (root: Uint8Array): readonly Uint8Array[] => {
    const tree = trees.get(hex.encode(root));
    if (tree === undefined) throw new Error("the app asks for a list that the client has not");
    return tree;
  };

  const preimageOf = (hash: Uint8Array): Uint8Array => {
    const bytes = known.get(hex.encode(hash));
    if (bytes === undefined) throw new Error("the app asks for a preimage that the client has not");
    const length = compactSize(bytes.length);
    const first = Math.min(255 - length.length - 1, bytes.length);
    queue = Array.from(bytes.subarray(first), (byte) => Uint8Array.of(byte));
    return concatBytes(length, Uint8Array.of(first), bytes.subarray(0, first));
  };

  const proofOf = (rest: Uint8Array): Uint8Array => {
    const tree = treeAt(rest.subarray(0, 32));
    const [size, after] = readCompact(rest.subarray(32));
    const [index] = readCompact(after);
    const proof = merkleProof(tree, index);
    if (size !== tree.length) throw new Error("the app thinks of a list of another size");
    queue = proof.slice(PROOF_MAX);
    const now = proof.slice(0, PROOF_MAX);
    return concatBytes(
      tree[index] ?? new Uint8Array(),
      Uint8Array.of(proof.length, now.length),
      ...now,
    );
  };

  const more = (): Uint8Array => {
    const size = queue[0]?.length ?? 0;
    const now = queue.splice(0, size === 0 ? 0 : Math.floor(253 / size));
    return concatBytes(Uint8Array.of(now.length, size), ...now);
  };

  return {
    yielded,
    answer: (question) => {
      const rest = question.subarray(1);
      switch (question[0]) {
        case 0x10:
          yielded.push(rest);
          return new Uint8Array();
        case 0x40:
          return preimageOf(rest.subarray(1));
        case 0x41:
          return proofOf(rest);
        case 0x42: {
          const sought = hex.encode(rest.subarray(32));
          const at = treeAt(rest.subarray(0, 32)).findIndex((hash) => hex.encode(hash) === sought);
          return concatBytes(Uint8Array.of(at < 0 ? 0 : 1), compactSize(Math.max(0, at)));
        }
        case 0xa0:
          return more();
        default:
          throw new Error(`the app asks something unknown: ${hex.encode(question)}`);
      }
    },
  };
}

function leafHash(leaf: Uint8Array): Uint8Array {
  return sha256(concatBytes(Uint8Array.of(0), leaf));
}

function rootOfHashes(hashes: readonly Uint8Array[]): Uint8Array {
  const [only] = hashes;
  if (hashes.length === 1 && only !== undefined) return only;
  const split = splitOf(hashes.length);
  const [left, right] = [hashes.slice(0, split), hashes.slice(split)];
  return sha256(concatBytes(Uint8Array.of(1), rootOfHashes(left), rootOfHashes(right)));
}

/** Siblings from the leaf upwards. */
function merkleProof(hashes: readonly Uint8Array[], index: number): Uint8Array[] {
  if (hashes.length <= 1) return [];
  const split = splitOf(hashes.length);
  const [left, right] = [hashes.slice(0, split), hashes.slice(split)];
  return index < split
    ? [...merkleProof(left, index), rootOfHashes(right)]
    : [...merkleProof(right, index - split), rootOfHashes(left)];
}

/** The largest power of two below the number. */
function splitOf(size: number): number {
  let split = 1;
  while (split * 2 < size) split *= 2;
  return split;
}

function readCompact(bytes: Uint8Array): [value: number, rest: Uint8Array] {
  const [first = 0, low = 0, high = 0] = bytes;
  return first < 0xfd ? [first, bytes.subarray(1)] : [low + 256 * high, bytes.subarray(3)];
}

/** RFC 6962's tree; the empty list has a root of zeros here. */
export function merkleRoot(list: readonly Uint8Array[]): Uint8Array {
  return list.length === 0 ? new Uint8Array(32) : rootOfHashes(list.map(leafHash));
}

export function compactSize(value: number): Uint8Array {
  if (value < 0xfd) return Uint8Array.of(value);
  return Uint8Array.of(0xfd, value & 0xff, value >> 8);
}
