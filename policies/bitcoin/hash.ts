/** Hashes as Bitcoin uses them. A tag's midstate is computed once (BIP340). */
import { hmac } from "@noble/hashes/hmac.js";
import { ripemd160 } from "@noble/hashes/legacy.js";
import { sha256, sha512 } from "@noble/hashes/sha2.js";
import { utf8ToBytes } from "@noble/hashes/utils.js";

export { bytesToHex as hex, hexToBytes as fromHex } from "@noble/hashes/utils.js";
export { sha256 };

const midstates = new Map<string, ReturnType<typeof sha256.create>>();

/** `SHA256(SHA256(tag) || SHA256(tag) || parts…)` (BIP340). */
export function taggedHash(tag: string, ...parts: readonly Uint8Array[]): Uint8Array {
  let midstate = midstates.get(tag);
  if (midstate === undefined) {
    const tagHash = sha256(utf8ToBytes(tag));
    midstate = sha256.create().update(tagHash).update(tagHash);
    midstates.set(tag, midstate);
  }
  const hash = midstate.clone();
  for (const part of parts) hash.update(part);
  return hash.digest();
}

/** SHA256 twice: transaction ids. */
export function sha256d(bytes: Uint8Array): Uint8Array {
  return sha256(sha256(bytes));
}

/** RIPEMD160 of SHA256: key fingerprints. */
export function hash160(bytes: Uint8Array): Uint8Array {
  return ripemd160(sha256(bytes));
}

export function hmacSha512(key: Uint8Array, message: Uint8Array): Uint8Array {
  return hmac(sha512, key, message);
}

/** The same for many messages under one key, which is hashed once. */
export function hmacSha512Of(key: Uint8Array): (message: Uint8Array) => Uint8Array {
  const keyed = hmac.create(sha512, key);
  return (message) => keyed.clone().update(message).digest();
}
