/** The form of each field that the BIPs define: its key, its value, the versions it belongs to. */
import { GLOBAL, IN, OUT, type PsbtMap, readWitnessUtxo } from "./psbt-fields.ts";
import { reader, WireError } from "./wire.ts";

export type MapKind = "global" | "input" | "output";

/** Why a field may not stand as it stands. */
export interface Misfit {
  readonly code: "psbt-foreign-field" | "psbt-field";
  readonly detail: string;
}

/** The first field of a map that has not the form of its BIP, or null. Unknown fields have none. */
export function misfit(map: PsbtMap, version: 0 | 2, kind: MapKind): Misfit | null {
  for (const { type, keyData, value } of map) {
    const form = FORMS[kind].get(type);
    if (form === undefined) continue;
    if (form.only !== undefined && form.only !== version) {
      const detail = `${form.name} belongs to PSBT v${form.only}, this is v${version}`;
      return { code: "psbt-foreign-field", detail };
    }
    const keyFits = form.key === undefined ? keyData.length === 0 : form.key(keyData);
    if (!keyFits) return { code: "psbt-field", detail: `${form.name} has a wrong key` };
    if (!fits(form, value, keyData)) {
      return { code: "psbt-field", detail: `${form.name} has a wrong value` };
    }
  }
  return null;
}

/** BIP65: below it a locktime is a height, from it on a time. */
const LOCKTIME_THRESHOLD = 500_000_000;

/** What a field may look like, and in which version it may stand. */
interface FieldForm {
  readonly name: string;
  readonly only?: 0 | 2;
  /** Key data; without it the key must be its type alone. */
  readonly key?: (keyData: Uint8Array) => boolean;
  readonly value: (value: Uint8Array, keyData: Uint8Array) => boolean;
}

/** A value that ends early or too late is a value of the wrong form. */
function fits(form: FieldForm, value: Uint8Array, keyData: Uint8Array): boolean {
  try {
    return form.value(value, keyData);
  } catch (error) {
    if (error instanceof WireError) return false;
    throw error;
  }
}

const anything = (): boolean => true;
const exactly =
  (length: number) =>
  (bytes: Uint8Array): boolean =>
    bytes.length === length;

/** Compressed: 33 bytes that start with 02 or 03. Whether x is on the curve is checked later. */
function compressed(bytes: Uint8Array): boolean {
  return bytes.length === 33 && (bytes[0] === 2 || bytes[0] === 3);
}

function publicKey(bytes: Uint8Array): boolean {
  return compressed(bytes) || (bytes.length === 65 && bytes[0] === 4);
}

/** Fingerprint and steps of four bytes each. */
function keyOrigin(value: Uint8Array): boolean {
  return value.length >= 4 && value.length % 4 === 0;
}

function schnorrSignature(value: Uint8Array): boolean {
  return value.length === 64 || value.length === 65;
}

function witnessStack(value: Uint8Array): boolean {
  const r = reader(value);
  for (let left = r.size(); left > 0; left -= 1) r.skip(r.size());
  r.end();
  return true;
}

function tapDerivation(value: Uint8Array): boolean {
  const r = reader(value);
  const hashes = r.size();
  return hashes * 32 <= r.left() && keyOrigin(r.bytes(r.left()).subarray(hashes * 32));
}

/** BIP66: strict DER of two positive integers without padding, and a defined sighash type. */
function derSignature(value: Uint8Array): boolean {
  const end = value.length - 1;
  const rLength = value[3] ?? 0;
  const sLength = value[5 + rLength] ?? 0;
  return (
    value.length >= 9 &&
    value.length <= 73 &&
    value[0] === 0x30 &&
    value[1] === end - 2 &&
    rLength + sLength + 6 === end &&
    derInteger(value, 2) &&
    derInteger(value, 4 + rLength) &&
    SIGHASH_TYPES.has((value[end] ?? 0) & 0x7f)
  );
}

const SIGHASH_TYPES = new Set([1, 2, 3]);

function derInteger(value: Uint8Array, at: number): boolean {
  const length = value[at + 1] ?? 0;
  const first = value[at + 2] ?? 0;
  const padded = length > 1 && first === 0 && (value[at + 3] ?? 0) < 0x80;
  return value[at] === 0x02 && length > 0 && first < 0x80 && !padded;
}

/** BIP371: depth, leaf version and script of each leaf, which must make one complete tree. */
function tapTree(value: Uint8Array): boolean {
  const r = reader(value);
  // Depths of the finished subtrees, left to right; two of equal depth make one a level up.
  const open: number[] = [];
  while (r.left() > 0) {
    const depth = r.u8();
    const leafVersion = r.u8();
    r.skip(r.size());
    if (depth > 128 || (leafVersion & 1) !== 0) return false;
    if (depth < (open.at(-1) ?? 0)) return false;
    let subtree = depth;
    while (open.length > 0 && open.at(-1) === subtree) {
      open.pop();
      if (subtree === 0) return false;
      subtree -= 1;
    }
    open.push(subtree);
  }
  return open.length === 1 && open[0] === 0;
}

/** BIP371: one leaf's control block, 33 bytes and up to 128 steps of 32. */
function controlBlock(keyData: Uint8Array): boolean {
  return (
    keyData.length >= 33 && keyData.length <= 33 + 128 * 32 && (keyData.length - 33) % 32 === 0
  );
}

/** BIP373: participant and aggregate key, compressed, and a leaf hash or none. */
function musigSession(keyData: Uint8Array): boolean {
  return (
    (keyData.length === 66 || keyData.length === 98) &&
    compressed(keyData.subarray(0, 33)) &&
    compressed(keyData.subarray(33, 66))
  );
}

function musigParticipants(value: Uint8Array): boolean {
  if (value.length === 0 || value.length % 33 !== 0) return false;
  for (let at = 0; at < value.length; at += 33) {
    if (!compressed(value.subarray(at, at + 33))) return false;
  }
  return true;
}

/** BIP174: an identifier and a subtype open the key data of a proprietary field. */
function proprietary(keyData: Uint8Array): boolean {
  try {
    const r = reader(keyData);
    r.sized();
    r.size();
    return true;
  } catch (error) {
    if (error instanceof WireError) return false;
    throw error;
  }
}

const PROPRIETARY: FieldForm = { name: "PROPRIETARY", key: proprietary, value: anything };

const GLOBAL_FIELDS: ReadonlyMap<number, FieldForm> = new Map<number, FieldForm>([
  [GLOBAL.UNSIGNED_TX, { name: "UNSIGNED_TX", only: 0, value: anything }],
  [
    GLOBAL.XPUB,
    {
      name: "XPUB",
      key: exactly(78),
      // The depth byte of the xpub counts the steps of its origin.
      value: (value, key) => keyOrigin(value) && (value.length - 4) / 4 === key[4],
    },
  ],
  [GLOBAL.TX_VERSION, { name: "TX_VERSION", only: 2, value: exactly(4) }],
  [GLOBAL.FALLBACK_LOCKTIME, { name: "FALLBACK_LOCKTIME", only: 2, value: exactly(4) }],
  [GLOBAL.INPUT_COUNT, { name: "INPUT_COUNT", only: 2, value: anything }],
  [GLOBAL.OUTPUT_COUNT, { name: "OUTPUT_COUNT", only: 2, value: anything }],
  [GLOBAL.TX_MODIFIABLE, { name: "TX_MODIFIABLE", only: 2, value: exactly(1) }],
  [GLOBAL.VERSION, { name: "VERSION", value: exactly(4) }],
  [GLOBAL.PROPRIETARY, PROPRIETARY],
]);

const INPUT_FIELDS: ReadonlyMap<number, FieldForm> = new Map<number, FieldForm>([
  [
    IN.NON_WITNESS_UTXO,
    // Its value is read once, by checkPreviousTx.
    { name: "NON_WITNESS_UTXO", value: anything },
  ],
  [
    IN.WITNESS_UTXO,
    {
      name: "WITNESS_UTXO",
      value: (value) => {
        readWitnessUtxo(value);
        return true;
      },
    },
  ],
  [
    IN.PARTIAL_SIG,
    {
      name: "PARTIAL_SIG",
      key: publicKey,
      value: derSignature,
    },
  ],
  [IN.SIGHASH_TYPE, { name: "SIGHASH_TYPE", value: exactly(4) }],
  [IN.REDEEM_SCRIPT, { name: "REDEEM_SCRIPT", value: anything }],
  [IN.WITNESS_SCRIPT, { name: "WITNESS_SCRIPT", value: anything }],
  [IN.BIP32_DERIVATION, { name: "BIP32_DERIVATION", key: publicKey, value: keyOrigin }],
  [IN.FINAL_SCRIPTSIG, { name: "FINAL_SCRIPTSIG", value: anything }],
  [IN.FINAL_SCRIPTWITNESS, { name: "FINAL_SCRIPTWITNESS", value: witnessStack }],
  [IN.POR_COMMITMENT, { name: "POR_COMMITMENT", value: anything }],
  [IN.RIPEMD160, { name: "RIPEMD160", key: exactly(20), value: anything }],
  [IN.SHA256, { name: "SHA256", key: exactly(32), value: anything }],
  [IN.HASH160, { name: "HASH160", key: exactly(20), value: anything }],
  [IN.HASH256, { name: "HASH256", key: exactly(32), value: anything }],
  [IN.PREVIOUS_TXID, { name: "PREVIOUS_TXID", only: 2, value: exactly(32) }],
  [IN.OUTPUT_INDEX, { name: "OUTPUT_INDEX", only: 2, value: exactly(4) }],
  [IN.SEQUENCE, { name: "SEQUENCE", only: 2, value: exactly(4) }],
  [
    IN.REQUIRED_TIME_LOCKTIME,
    {
      name: "REQUIRED_TIME_LOCKTIME",
      only: 2,
      value: (value) => value.length === 4 && reader(value).u32() >= LOCKTIME_THRESHOLD,
    },
  ],
  [
    IN.REQUIRED_HEIGHT_LOCKTIME,
    {
      name: "REQUIRED_HEIGHT_LOCKTIME",
      only: 2,
      value: (value) => {
        const height = value.length === 4 ? reader(value).u32() : 0;
        return height > 0 && height < LOCKTIME_THRESHOLD;
      },
    },
  ],
  [IN.TAP_KEY_SIG, { name: "TAP_KEY_SIG", value: schnorrSignature }],
  [IN.TAP_SCRIPT_SIG, { name: "TAP_SCRIPT_SIG", key: exactly(64), value: schnorrSignature }],
  [
    IN.TAP_LEAF_SCRIPT,
    { name: "TAP_LEAF_SCRIPT", key: controlBlock, value: (value) => value.length >= 1 },
  ],
  [
    IN.TAP_BIP32_DERIVATION,
    { name: "TAP_BIP32_DERIVATION", key: exactly(32), value: tapDerivation },
  ],
  [IN.TAP_INTERNAL_KEY, { name: "TAP_INTERNAL_KEY", value: exactly(32) }],
  [IN.TAP_MERKLE_ROOT, { name: "TAP_MERKLE_ROOT", value: exactly(32) }],
  [
    IN.MUSIG2_PARTICIPANT_PUBKEYS,
    { name: "MUSIG2_PARTICIPANT_PUBKEYS", key: compressed, value: musigParticipants },
  ],
  [IN.MUSIG2_PUB_NONCE, { name: "MUSIG2_PUB_NONCE", key: musigSession, value: exactly(66) }],
  [IN.MUSIG2_PARTIAL_SIG, { name: "MUSIG2_PARTIAL_SIG", key: musigSession, value: exactly(32) }],
  [IN.PROPRIETARY, PROPRIETARY],
]);

const OUTPUT_FIELDS: ReadonlyMap<number, FieldForm> = new Map<number, FieldForm>([
  [OUT.REDEEM_SCRIPT, { name: "REDEEM_SCRIPT", value: anything }],
  [OUT.WITNESS_SCRIPT, { name: "WITNESS_SCRIPT", value: anything }],
  [OUT.BIP32_DERIVATION, { name: "BIP32_DERIVATION", key: publicKey, value: keyOrigin }],
  [OUT.AMOUNT, { name: "AMOUNT", only: 2, value: exactly(8) }],
  [OUT.SCRIPT, { name: "SCRIPT", only: 2, value: anything }],
  [OUT.TAP_INTERNAL_KEY, { name: "TAP_INTERNAL_KEY", value: exactly(32) }],
  [OUT.TAP_TREE, { name: "TAP_TREE", value: tapTree }],
  [
    OUT.TAP_BIP32_DERIVATION,
    { name: "TAP_BIP32_DERIVATION", key: exactly(32), value: tapDerivation },
  ],
  [
    OUT.MUSIG2_PARTICIPANT_PUBKEYS,
    { name: "MUSIG2_PARTICIPANT_PUBKEYS", key: compressed, value: musigParticipants },
  ],
  [OUT.PROPRIETARY, PROPRIETARY],
]);

const FORMS: Readonly<Record<MapKind, ReadonlyMap<number, FieldForm>>> = {
  global: GLOBAL_FIELDS,
  input: INPUT_FIELDS,
  output: OUTPUT_FIELDS,
};
