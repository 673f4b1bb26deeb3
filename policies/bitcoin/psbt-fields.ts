/** The fields of a PSBT: their types by map, and how they are found, added and read. */
import { hex } from "./hash.ts";
import { reader, equal as sameBytes, WireError } from "./wire.ts";

export interface PsbtField {
  readonly type: number;
  /** What follows the type in the key: a public key, a control block; mostly empty. */
  readonly keyData: Uint8Array;
  readonly value: Uint8Array;
}

export type PsbtMap = readonly PsbtField[];

/** Field types by map. Names as in the BIPs, without their `PSBT_` prefix. */
export const GLOBAL = {
  UNSIGNED_TX: 0x00,
  XPUB: 0x01,
  TX_VERSION: 0x02,
  FALLBACK_LOCKTIME: 0x03,
  INPUT_COUNT: 0x04,
  OUTPUT_COUNT: 0x05,
  TX_MODIFIABLE: 0x06,
  VERSION: 0xfb,
  PROPRIETARY: 0xfc,
} as const;

export const IN = {
  NON_WITNESS_UTXO: 0x00,
  WITNESS_UTXO: 0x01,
  PARTIAL_SIG: 0x02,
  SIGHASH_TYPE: 0x03,
  REDEEM_SCRIPT: 0x04,
  WITNESS_SCRIPT: 0x05,
  BIP32_DERIVATION: 0x06,
  FINAL_SCRIPTSIG: 0x07,
  FINAL_SCRIPTWITNESS: 0x08,
  POR_COMMITMENT: 0x09,
  RIPEMD160: 0x0a,
  SHA256: 0x0b,
  HASH160: 0x0c,
  HASH256: 0x0d,
  PREVIOUS_TXID: 0x0e,
  OUTPUT_INDEX: 0x0f,
  SEQUENCE: 0x10,
  REQUIRED_TIME_LOCKTIME: 0x11,
  REQUIRED_HEIGHT_LOCKTIME: 0x12,
  TAP_KEY_SIG: 0x13,
  TAP_SCRIPT_SIG: 0x14,
  TAP_LEAF_SCRIPT: 0x15,
  TAP_BIP32_DERIVATION: 0x16,
  TAP_INTERNAL_KEY: 0x17,
  TAP_MERKLE_ROOT: 0x18,
  MUSIG2_PARTICIPANT_PUBKEYS: 0x1a,
  MUSIG2_PUB_NONCE: 0x1b,
  MUSIG2_PARTIAL_SIG: 0x1c,
  PROPRIETARY: 0xfc,
} as const;

export const OUT = {
  REDEEM_SCRIPT: 0x00,
  WITNESS_SCRIPT: 0x01,
  BIP32_DERIVATION: 0x02,
  AMOUNT: 0x03,
  SCRIPT: 0x04,
  TAP_INTERNAL_KEY: 0x05,
  TAP_TREE: 0x06,
  TAP_BIP32_DERIVATION: 0x07,
  MUSIG2_PARTICIPANT_PUBKEYS: 0x08,
  PROPRIETARY: 0xfc,
} as const;

export function field(type: number, value: Uint8Array, keyData: Uint8Array = NOTHING): PsbtField {
  return { type, keyData, value };
}

/** The value of a field whose key is its type alone, or undefined. */
export function valueOf(map: PsbtMap, type: number): Uint8Array | undefined {
  return map.find((candidate) => candidate.type === type)?.value;
}

/** All fields of a type, each with its own key data. */
export function fieldsOf(map: PsbtMap, type: number): readonly PsbtField[] {
  return map.filter((candidate) => candidate.type === type);
}

/** The map with these fields added; one with the same key is replaced. */
export function withFields(map: PsbtMap, added: readonly PsbtField[]): PsbtMap {
  const kept = map.filter((old) => !added.some((next) => sameKey(old, next)));
  return [...kept, ...added];
}

/** WITNESS_UTXO as its output. The gate has checked its form. */
export function readWitnessUtxo(value: Uint8Array): {
  readonly sats: bigint;
  readonly script: Uint8Array;
} {
  const r = reader(value);
  const output = { sats: r.u64(), script: r.sized() };
  r.end();
  return output;
}

export interface TapDerivation {
  readonly leafHashes: readonly Uint8Array[];
  /** Eight hex digits. */
  readonly fingerprint: string;
  readonly path: readonly number[];
}

/** TAP_BIP32_DERIVATION's value (BIP371). */
export function readTapDerivation(value: Uint8Array): TapDerivation {
  const r = reader(value);
  const hashes = r.size();
  if (hashes * 32 > r.left()) throw new WireError("truncated", r.at(), "leaf hashes are cut off");
  const leafHashes = Array.from({ length: hashes }, () => r.bytes(32));
  const fingerprint = hex(r.bytes(4));
  if (r.left() % 4 !== 0) throw new WireError("trailing", r.at(), "path is not whole steps");
  const path: number[] = [];
  while (r.left() > 0) path.push(r.u32());
  return { leafHashes, fingerprint, path };
}

const NOTHING = new Uint8Array(0);

function sameKey(a: PsbtField, b: PsbtField): boolean {
  return a.type === b.type && sameBytes(a.keyData, b.keyData);
}
