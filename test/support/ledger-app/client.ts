/**
 * What the app asks of its client, and believes only when it is proved: preimages by their hash,
 * leaves by their Merkle proof. A client can leave out, but it cannot lie.
 */
import { sha256 } from "@noble/hashes/sha2.js";
import { concatBytes, equalBytes } from "@scure/btc-signer/utils.js";
import { type Reader, reader, varint } from "./reader.ts";
import { refuse, STATUS } from "./status.ts";

/** Sends a client command and waits for the client's reply. */
export type Ask = (command: Uint8Array) => Promise<Uint8Array>;

/** A list of which the app knows only root and size. */
export interface List {
  readonly root: Uint8Array;
  readonly size: number;
}

const YIELD = 0x10;
const GET_PREIMAGE = 0x40;
const GET_MERKLE_LEAF_PROOF = 0x41;
const GET_MERKLE_LEAF_INDEX = 0x42;
const GET_MORE_ELEMENTS = 0xa0;

/** Proofs are never longer: RFC 6962's tree over 2^32 leaves. */
const PROOF_MAX = 32;

/** Hands a result to the client. */
export async function yieldResult(ask: Ask, payload: Uint8Array): Promise<void> {
  await ask(concatBytes(Uint8Array.of(YIELD), payload));
}

/** The bytes with this hash. */
export async function preimage(
  ask: Ask,
  hash: Uint8Array,
  { max }: { readonly max: number },
): Promise<Uint8Array> {
  const reply = replyOf(await ask(concatBytes(Uint8Array.of(GET_PREIMAGE, 0), hash)));
  const length = reply.varint();
  const first = reply.bytes(reply.u8());
  if (length < 1 || length > max || first.length > length) refuse(STATUS.incorrectData);
  const parts = [first];
  for (let left = length - first.length; left > 0; ) {
    const more = await moreElements(ask, 1);
    if (more.length === 0 || more.length > left) refuse(STATUS.incorrectData);
    parts.push(more);
    left -= more.length;
  }
  const bytes = concatBytes(...parts);
  if (!equalBytes(sha256(bytes), hash)) refuse(STATUS.incorrectData);
  return bytes;
}

/** The element at a place of a list; the leaf's preimage has a zero byte before it. */
export async function element(
  ask: Ask,
  list: List,
  { index, max }: { readonly index: number; readonly max: number },
): Promise<Uint8Array> {
  const hash = await leafHash(ask, list, index);
  const bytes = await preimage(ask, hash, { max: max + 1 });
  if (bytes[0] !== 0) refuse(STATUS.incorrectData);
  return bytes.subarray(1);
}

/** The place of an element in a list, or null when the client says that it is not there. */
export async function indexOf(ask: Ask, list: List, sought: Uint8Array): Promise<number | null> {
  const hash = sha256(concatBytes(Uint8Array.of(0), sought));
  const reply = replyOf(
    await ask(concatBytes(Uint8Array.of(GET_MERKLE_LEAF_INDEX), list.root, hash)),
  );
  const found = reply.u8();
  const index = reply.varint();
  if (found !== 1 || index >= list.size) return null;
  return equalBytes(await leafHash(ask, list, index), hash) ? index : refuse(STATUS.incorrectData);
}

async function leafHash(ask: Ask, list: List, index: number): Promise<Uint8Array> {
  const reply = replyOf(
    await ask(
      concatBytes(
        Uint8Array.of(GET_MERKLE_LEAF_PROOF),
        list.root,
        varint(list.size),
        varint(index),
      ),
    ),
  );
  const hash = reply.bytes(32);
  const size = reply.u8();
  const proof = hashes(reply.bytes(32 * reply.u8()));
  if (size > PROOF_MAX || proof.length > size) refuse(STATUS.incorrectData);
  while (proof.length < size) {
    const more = hashes(await moreElements(ask, 32));
    if (more.length === 0) refuse(STATUS.incorrectData);
    proof.push(...more);
  }
  const root = rootOf({ hash, index, size: list.size, proof });
  if (root === null || !equalBytes(root, list.root)) refuse(STATUS.incorrectData);
  return hash;
}

interface Proof {
  readonly hash: Uint8Array;
  readonly index: number;
  readonly size: number;
  /** Siblings from the leaf upwards. */
  readonly proof: readonly Uint8Array[];
}

/** The root that the proof leads to; null when it is too long or too short for the tree. */
function rootOf({ hash, index, size, proof }: Proof): Uint8Array | null {
  if (index >= size) return null;
  if (size === 1) return proof.length === 0 ? hash : null;
  const sibling = proof.at(-1);
  if (sibling === undefined) return null;
  const below = proof.slice(0, -1);
  const left = 2 ** Math.floor(Math.log2(size - 1));
  const child =
    index < left
      ? rootOf({ hash, index, size: left, proof: below })
      : rootOf({ hash, index: index - left, size: size - left, proof: below });
  if (child === null) return null;
  return sha256(
    index < left
      ? concatBytes(Uint8Array.of(1), child, sibling)
      : concatBytes(Uint8Array.of(1), sibling, child),
  );
}

async function moreElements(ask: Ask, size: number): Promise<Uint8Array> {
  const reply = replyOf(await ask(Uint8Array.of(GET_MORE_ELEMENTS)));
  const count = reply.u8();
  if (reply.u8() !== size) refuse(STATUS.incorrectData);
  return reply.bytes(count * size);
}

function hashes(bytes: Uint8Array): Uint8Array[] {
  return Array.from({ length: bytes.length / 32 }, (_, i) => bytes.subarray(32 * i, 32 * i + 32));
}

function replyOf(bytes: Uint8Array): Reader {
  return reader(bytes, STATUS.incorrectData);
}
