/**
 * An account key: an extended public key with its origin, as a wallet policy carries it (BIP388
 * "key information"), and its unhardened children (BIP32).
 */
import { createBase58check } from "@scure/base";
import * as ecc from "tiny-secp256k1";
import { fromHex, hash160, hex, hmacSha512Of, sha256 } from "./hash.ts";
import { type Network, PARAMETERS } from "./network.ts";
import { concat } from "./wire.ts";

/** A point with its chain code: what unhardened children derive from. */
export interface ExtendedKey {
  /** 33 bytes, compressed. */
  readonly publicKey: Uint8Array;
  readonly chainCode: Uint8Array;
}

export interface AccountKey extends ExtendedKey {
  /** The text as it stands in the policy; compared and hashed byte for byte. */
  readonly text: string;
  readonly origin: KeyOrigin | null;
  readonly depth: number;
  readonly parentFingerprint: string;
  readonly childNumber: number;
}

export interface KeyOrigin {
  /** Of the master key: eight lower-case hex digits. */
  readonly fingerprint: string;
  readonly path: readonly number[];
}

export class AccountKeyError extends Error {
  override readonly name = "AccountKeyError";
}

export const HARDENED = 0x8000_0000;

/** Reads `[73c5da0a/48'/1'/0'/2']tpub…`, or a bare xpub; throws an AccountKeyError with the reason. */
export function readAccountKey(text: string, network: Network): AccountKey {
  const parts = KEY_INFORMATION.exec(text);
  const xpub = parts?.groups?.["xpub"];
  if (parts === null || xpub === undefined) {
    throw new AccountKeyError(
      `"${shorten(text)}" is no key: expected [fingerprint/path']xpub with ' for hardened steps`,
    );
  }
  const origin = readOrigin(parts.groups?.["origin"]);
  let bytes: Uint8Array;
  try {
    bytes = base58check.decode(xpub);
  } catch {
    throw new AccountKeyError(`${shorten(xpub)} has a wrong checksum`);
  }
  if (bytes.length !== 78) throw new AccountKeyError(`${shorten(xpub)} has not 78 bytes`);
  const version = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, false);
  if (version !== PARAMETERS[network].xpubVersion) {
    throw new AccountKeyError(`${shorten(xpub)} is not a public key of ${network}`);
  }
  const publicKey = bytes.slice(45, 78);
  if (!ecc.isPointCompressed(publicKey)) {
    throw new AccountKeyError(`${shorten(xpub)} is not a point on the curve`);
  }
  const key = {
    text,
    origin,
    depth: bytes[4] ?? 0,
    parentFingerprint: hex(bytes.subarray(5, 9)),
    childNumber: new DataView(bytes.buffer, bytes.byteOffset).getUint32(9, false),
    chainCode: bytes.slice(13, 45),
    publicKey,
  };
  // BIP32, test vector 5: a master key has neither parent nor number.
  if (key.depth === 0 && (key.parentFingerprint !== "00000000" || key.childNumber !== 0)) {
    throw new AccountKeyError(`${shorten(xpub)} says depth 0 and names a parent`);
  }
  checkOrigin(key, network);
  return key;
}

/** Where an extended key stands in its tree. */
export type KeyPlace = Pick<AccountKey, "depth" | "parentFingerprint" | "childNumber">;

const ROOT: KeyPlace = { depth: 0, parentFingerprint: "00000000", childNumber: 0 };

/** Writes an extended public key (BIP32); a root unless its place is given. */
export function writeXpub(key: ExtendedKey, network: Network, place: KeyPlace = ROOT): string {
  const head = new Uint8Array(13);
  const view = new DataView(head.buffer);
  view.setUint32(0, PARAMETERS[network].xpubVersion, false);
  head[4] = place.depth;
  head.set(fromHex(place.parentFingerprint), 5);
  view.setUint32(9, place.childNumber, false);
  return base58check.encode(concat([head, key.chainCode, key.publicKey]));
}

/** First four bytes of the hash of the key: how a master names itself in an origin. */
export function fingerprintOf(publicKey: Uint8Array): string {
  return hex(hash160(publicKey).subarray(0, 4));
}

export interface Child extends ExtendedKey {
  /** The scalar added to the parent's secret; public, as it derives from the public key alone. */
  readonly tweak: Uint8Array;
}

/** BIP32 CKDpub. An index that yields no key (1 in 2^127) is a fault, not the next index. */
export function childOf(parent: ExtendedKey, index: number): Child {
  return childrenOf(parent)(index);
}

/**
 * The same for many children of one parent. The generator's multiple and the sum by themselves take
 * less time than the library's own addition of a scalar, see `bench scan` in scripts/README.md.
 */
export function childrenOf(parent: ExtendedKey): (index: number) => Child {
  const macOf = hmacSha512Of(parent.chainCode);
  // Uncompressed, so that no square root is taken for each child.
  const point = ecc.pointCompress(parent.publicKey, false);
  return (index) => {
    if (!Number.isInteger(index) || index < 0 || index >= HARDENED) {
      throw new RangeError(`${index} is not an unhardened index`);
    }
    const step = new Uint8Array(4);
    new DataView(step.buffer).setUint32(0, index, false);
    const mac = macOf(concat([parent.publicKey, step]));
    const tweak = mac.slice(0, 32);
    const publicKey = plusGenerator(point, tweak);
    if (publicKey === null) throw new AccountKeyError(`index ${index} yields no key`);
    return { publicKey, chainCode: mac.slice(32), tweak };
  };
}

/** The point and the generator's multiple together, compressed; null where there is no such key. */
function plusGenerator(point: Uint8Array, scalar: Uint8Array): Uint8Array | null {
  const multiple = ecc.isPrivate(scalar) ? ecc.pointFromScalar(scalar, false) : null;
  return multiple === null ? null : ecc.pointAdd(point, multiple, true);
}

/** "48'/1'/0'/2'" as numbers. */
export function readPath(text: string): readonly number[] {
  if (text === "") return [];
  return text.split("/").map((step) => {
    const hardened = step.endsWith("'");
    const digits = hardened ? step.slice(0, -1) : step;
    const number = /^(0|[1-9][0-9]{0,9})$/.test(digits) ? Number(digits) : HARDENED;
    if (number >= HARDENED) throw new AccountKeyError(`"${step}" is no step of a path`);
    return hardened ? number + HARDENED : number;
  });
}

export function writePath(path: readonly number[]): string {
  return path.map((step) => (step >= HARDENED ? `${step - HARDENED}'` : `${step}`)).join("/");
}

const base58check = createBase58check(sha256);

// Only the ' form of hardened steps: Ledger hashes the text verbatim and refuses h (HWI #605).
const KEY_INFORMATION =
  /^(?:\[(?<origin>[0-9a-f]{8}(?:\/[0-9]{1,10}'?){0,10})\])?(?<xpub>[1-9A-HJ-NP-Za-km-z]{100,120})$/;

function readOrigin(text: string | undefined): KeyOrigin | null {
  if (text === undefined) return null;
  return { fingerprint: text.slice(0, 8), path: readPath(text.slice(9)) };
}

/** An origin that contradicts its key would let a device and a person see different keys. */
function checkOrigin(key: AccountKey, network: Network): void {
  const { origin } = key;
  if (origin === null) return;
  if (origin.path.length !== key.depth) {
    throw new AccountKeyError(
      `origin has ${origin.path.length} steps, the key says it is ${key.depth} deep`,
    );
  }
  const last = origin.path.at(-1);
  if (last !== undefined && last !== key.childNumber) {
    throw new AccountKeyError("the last step of the origin is not the key's own child number");
  }
  if (key.depth === 0 && fingerprintOf(key.publicKey) !== origin.fingerprint) {
    throw new AccountKeyError("a master key's origin must be its own fingerprint");
  }
  if (key.depth === 1 && key.parentFingerprint !== origin.fingerprint) {
    throw new AccountKeyError("the parent fingerprint is not the origin's");
  }
  const coin = origin.path[1];
  if (coin !== undefined && coin !== PARAMETERS[network].coinType + HARDENED) {
    throw new AccountKeyError(
      `origin has coin type ${writePath([coin])}, ${network} has ${PARAMETERS[network].coinType}'`,
    );
  }
}

function shorten(text: string): string {
  return text.length <= 24 ? text : `${text.slice(0, 10)}…${text.slice(-6)}`;
}
