/**
 * Texts that people sign. Two kinds of signature, told apart by their length: 65 bytes are a Bitcoin
 * signed message, as a Ledger makes it (header, r, s; the key is recovered), 64 bytes are BIP340 over
 * a hash of our own domain, as tokens and software keys make it. Neither can be a signature of a
 * transaction.
 */
import * as ecc from "tiny-secp256k1";
import { sha256d, taggedHash } from "./hash.ts";
import { verifies } from "./schnorr.ts";
import { concat, equal, size } from "./wire.ts";

const MAGIC = new TextEncoder().encode("\u0018Bitcoin Signed Message:\n");
/** What Lightning nodes put before a message that they sign. */
const NODE_MAGIC = new TextEncoder().encode("Lightning Signed Message:");

/** Headers 31 to 34 say a compressed key and which of four candidates it is. */
const HEADER_MIN = 31;
const HEADER_MAX = 34;

/** What a wallet signs for a text: the double SHA256 of the magic and the text. */
export function messageHash(text: string): Uint8Array {
  const bytes = new TextEncoder().encode(text);
  return sha256d(concat([MAGIC, size(bytes.length), bytes]));
}

/** What a token or a software key signs for a text. */
export function textHash(text: string): Uint8Array {
  return taggedHash("ballast/text@1", new TextEncoder().encode(text));
}

/** Whether the holder of `key` (33 bytes, compressed) has signed the text, in either way. */
export function signsText(text: string, signature: Uint8Array, key: Uint8Array): boolean {
  if (signature.length === 64) {
    return verifies({ message: textHash(text), xOnly: key.subarray(1), signature });
  }
  const header = signature[0] ?? 0;
  if (signature.length !== 65 || header < HEADER_MIN || header > HEADER_MAX) return false;
  const recovered = recover(messageHash(text), signature.subarray(1), header - HEADER_MIN);
  return recovered !== null && equal(recovered, key);
}

/**
 * Whether a Lightning node has signed the text: 65 bytes (header 31 to 34, r, s) over the double
 * SHA256 of the nodes' own prefix and the text, as `signmessage` of every implementation makes it
 * before it is written in zbase32.
 */
export function signsAsNode(text: string, signature: Uint8Array, node: Uint8Array): boolean {
  const header = signature[0] ?? 0;
  if (signature.length !== 65 || header < HEADER_MIN || header > HEADER_MAX) return false;
  const recovered = recover(nodeHash(text), signature.subarray(1), header - HEADER_MIN);
  return recovered !== null && equal(recovered, node);
}

/** What a Lightning node signs for a text. */
export function nodeHash(text: string): Uint8Array {
  return sha256d(concat([NODE_MAGIC, new TextEncoder().encode(text)]));
}

function recover(hash: Uint8Array, signature: Uint8Array, id: number): Uint8Array | null {
  try {
    return ecc.recover(hash, signature, id as 0 | 1 | 2 | 3, true);
  } catch {
    // The library throws where r or s is out of range.
    return null;
  }
}
