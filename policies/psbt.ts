/**
 * The gate: a strict reader and writer of PSBT v0 (BIP174) and v2 (BIP370) with the fields of
 * BIP371 and BIP373. It refuses whatever the BIPs call invalid, keeps unknown fields byte for byte
 * and lets none of them speak. It does no curve work, so that a hostile PSBT costs the main thread
 * a few milliseconds at most; `facts.ts` does the curve work elsewhere.
 */
import { base64 } from "@scure/base";
import { hex } from "./hash.ts";
import {
  type PreviousTx,
  readPreviousTx,
  readUnsignedTx,
  type Tx,
  writeUnsignedTx,
} from "./transaction.ts";
import {
  concat,
  type Reader,
  reader,
  equal as sameBytes,
  size,
  sized,
  u8,
  WireError,
} from "./wire.ts";

/** A spend that needs more than this is split; a Ledger would need minutes for it (attacks.md 93). */
export const PSBT_BYTES_MAX = 256 * 1024;
export const PSBT_INPUTS_MAX = 250;
export const PSBT_OUTPUTS_MAX = 250;
/**
 * Fields of one map, and of all: an honest input has about a dozen. Without these caps 256 KiB of
 * tiny fields would hold the main thread for a quarter of a second.
 */
const MAP_FIELDS_MAX = 64;
const PSBT_FIELDS_MAX = 6_000;

export interface PsbtField {
  readonly type: number;
  /** What follows the type in the key: a public key, a control block; mostly empty. */
  readonly keyData: Uint8Array;
  readonly value: Uint8Array;
}

export type PsbtMap = readonly PsbtField[];

export interface Psbt {
  readonly version: 0 | 2;
  readonly global: PsbtMap;
  readonly inputs: readonly PsbtMap[];
  readonly outputs: readonly PsbtMap[];
  /** The transaction meant: given by v0, put together from the fields of v2. */
  readonly tx: Tx;
  /** False when inputs of a v2 ask for both kinds of locktime, so that no nLockTime satisfies all. */
  readonly locktimeDetermined: boolean;
}

export type PsbtFaultCode =
  | "psbt-base64"
  | "psbt-oversized"
  | "psbt-magic"
  | "psbt-truncated"
  | "psbt-trailing"
  | "psbt-non-minimal"
  | "psbt-duplicate-key"
  | "psbt-version"
  | "psbt-missing-field"
  | "psbt-foreign-field"
  | "psbt-field"
  | "psbt-transaction";

/** The bytes are no PSBT. Nothing was judged, claimed or signed. */
export class PsbtFault extends Error {
  readonly code: PsbtFaultCode;
  constructor(code: PsbtFaultCode, detail: string) {
    super(detail);
    this.name = "PsbtFault";
    this.code = code;
  }
}

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

/** Reads PSBT bytes; throws a PsbtFault that says what is wrong and where. */
export function readPsbt(source: Uint8Array): Psbt {
  if (source.length > PSBT_BYTES_MAX) {
    throw new PsbtFault(
      "psbt-oversized",
      `PSBT has ${source.length} bytes, at most ${PSBT_BYTES_MAX} are read`,
    );
  }
  // One private copy: nobody who still holds the caller's buffer can change what was judged
  // between the judgement and the signature (attacks.md 98).
  const bytes = Uint8Array.from(source);
  try {
    return read(bytes);
  } catch (error) {
    if (error instanceof WireError) throw new PsbtFault(wireCode(error.code), error.message);
    throw error;
  }
}

/**
 * Reads base64 text: the standard alphabet with its padding and nothing else. `Buffer.from` would
 * take spaces, zero-width junk and the URL alphabet without a word (attacks.md 90).
 */
export function readPsbtText(text: string): Psbt {
  if (text.length > Math.ceil(PSBT_BYTES_MAX / 3) * 4) {
    throw new PsbtFault("psbt-oversized", `PSBT text has ${text.length} characters`);
  }
  let bytes: Uint8Array;
  try {
    bytes = base64.decode(text);
  } catch {
    throw new PsbtFault(
      "psbt-base64",
      "text is not base64: only A-Z a-z 0-9 + / and the = padding, without spaces or line breaks",
    );
  }
  return readPsbt(bytes);
}

/** Writes the fields in the order in which they were read, so that reading back is exact. */
export function writePsbt(psbt: Pick<Psbt, "global" | "inputs" | "outputs">): Uint8Array {
  const parts: Uint8Array[] = [MAGIC];
  for (const map of [psbt.global, ...psbt.inputs, ...psbt.outputs]) {
    for (const field of map) {
      parts.push(sized(concat([size(field.type), field.keyData])), sized(field.value));
    }
    parts.push(SEPARATOR);
  }
  return concat(parts);
}

export function writePsbtText(psbt: Pick<Psbt, "global" | "inputs" | "outputs">): string {
  return base64.encode(writePsbt(psbt));
}

/** A new v0 PSBT without any input or output fields. */
export function psbtOf(tx: Tx): Psbt {
  return {
    version: 0,
    global: [field(GLOBAL.UNSIGNED_TX, writeUnsignedTx(tx))],
    inputs: tx.inputs.map(() => []),
    outputs: tx.outputs.map(() => []),
    tx,
    locktimeDetermined: true,
  };
}

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

const MAGIC = Uint8Array.of(0x70, 0x73, 0x62, 0x74, 0xff);
const SEPARATOR = u8(0);
const NOTHING = new Uint8Array(0);

/** BIP65: below it a locktime is a height, from it on a time. */
const LOCKTIME_THRESHOLD = 500_000_000;

function read(bytes: Uint8Array): Psbt {
  const r = reader(bytes);
  if (bytes.length < MAGIC.length || !sameBytes(r.bytes(MAGIC.length), MAGIC)) {
    throw new PsbtFault("psbt-magic", "the bytes do not start with the PSBT magic 70736274ff");
  }
  const budget = { fields: PSBT_FIELDS_MAX };
  const global = readMap(r, "global", budget);
  const version = versionOf(global);
  const counts = version === 0 ? readUnsigned(global) : readCounts(global);
  if (counts.inputs > PSBT_INPUTS_MAX || counts.outputs > PSBT_OUTPUTS_MAX) {
    throw new PsbtFault(
      "psbt-oversized",
      `${counts.inputs} inputs and ${counts.outputs} outputs, at most ${PSBT_INPUTS_MAX} and ${PSBT_OUTPUTS_MAX} are read`,
    );
  }
  const inputs = Array.from({ length: counts.inputs }, (_, i) => readMap(r, `input ${i}`, budget));
  const outputs = Array.from({ length: counts.outputs }, (_, i) =>
    readMap(r, `output ${i}`, budget),
  );
  r.end();

  checkMap("global", global, version, GLOBAL_FIELDS);
  inputs.forEach((map, i) => {
    checkMap(`input ${i}`, map, version, INPUT_FIELDS);
  });
  outputs.forEach((map, i) => {
    checkMap(`output ${i}`, map, version, OUTPUT_FIELDS);
  });
  const assembled =
    counts.tx === null
      ? assemble(global, inputs, outputs)
      : { tx: counts.tx, locktimeDetermined: true };
  inputs.forEach((map, i) => {
    checkPreviousTx(map, i, assembled.tx);
  });
  return { version, global, inputs, outputs, ...assembled };
}

/** Fields that may still be read. */
interface Budget {
  fields: number;
}

function readMap(r: Reader, where: string, budget: Budget): PsbtMap {
  const fields: PsbtField[] = [];
  const seen = new Set<string>();
  for (;;) {
    const key = r.sized();
    if (key.length === 0) return fields;
    const id = latin1(key);
    if (seen.has(id)) {
      throw new PsbtFault("psbt-duplicate-key", `${where}: key ${hex(key)} stands twice`);
    }
    seen.add(id);
    budget.fields -= 1;
    if (fields.length === MAP_FIELDS_MAX || budget.fields < 0) {
      throw new PsbtFault("psbt-oversized", `${where}: more fields than any honest PSBT has`);
    }
    const { type, length } = fieldType(key);
    fields.push({ type, keyData: key.subarray(length), value: r.sized() });
  }
}

/** The type leads the key as a compact size; all that the BIPs define take one byte. */
function fieldType(key: Uint8Array): { readonly type: number; readonly length: number } {
  const first = key[0] ?? 0;
  if (first < 0xfd) return { type: first, length: 1 };
  const k = reader(key);
  return { type: k.size(), length: k.at() };
}

/** Bytes as a string of as many characters, to be compared by a Set. */
function latin1(bytes: Uint8Array): string {
  // A key of more than this is no field's, but may not overflow the stack.
  if (bytes.length > 8_192) return hex(bytes);
  return String.fromCharCode(...bytes);
}

function versionOf(global: PsbtMap): 0 | 2 {
  const value = valueOf(global, GLOBAL.VERSION);
  if (value === undefined) return 0;
  const version = value.length === 4 ? reader(value).u32() : -1;
  if (version !== 0 && version !== 2) {
    throw new PsbtFault("psbt-version", "PSBT version is neither 0 nor 2");
  }
  return version;
}

interface Counts {
  readonly inputs: number;
  readonly outputs: number;
  readonly tx: Tx | null;
}

function readUnsigned(global: PsbtMap): Counts {
  const value = valueOf(global, GLOBAL.UNSIGNED_TX);
  if (value === undefined) {
    throw new PsbtFault("psbt-missing-field", "global: PSBT v0 without an unsigned transaction");
  }
  try {
    const tx = readUnsignedTx(value);
    return { inputs: tx.inputs.length, outputs: tx.outputs.length, tx };
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    throw new PsbtFault("psbt-transaction", `unsigned transaction: ${error.message}`);
  }
}

function readCounts(global: PsbtMap): Counts {
  const inputs = wholeSize(global, GLOBAL.INPUT_COUNT, "input count");
  const outputs = wholeSize(global, GLOBAL.OUTPUT_COUNT, "output count");
  return { inputs, outputs, tx: null };
}

function wholeSize(map: PsbtMap, type: number, name: string): number {
  const value = valueOf(map, type);
  if (value === undefined) throw new PsbtFault("psbt-missing-field", `global: no ${name}`);
  const r = reader(value);
  const count = r.size();
  r.end();
  return count;
}

/** BIP370: the transaction of a v2 PSBT, with the locktime that its inputs require. */
function assemble(
  global: PsbtMap,
  inputs: readonly PsbtMap[],
  outputs: readonly PsbtMap[],
): Pick<Psbt, "tx" | "locktimeDetermined"> {
  const version = need(global, GLOBAL.TX_VERSION, "global: no transaction version");
  const locktime = locktimeOf(global, inputs);
  const tx: Tx = {
    version: reader(version).u32(),
    inputs: inputs.map((map, i) => ({
      txid: need(map, IN.PREVIOUS_TXID, `input ${i}: no previous txid`),
      vout: reader(need(map, IN.OUTPUT_INDEX, `input ${i}: no output index`)).u32(),
      sequence: numberOf(map, IN.SEQUENCE) ?? 0xffffffff,
    })),
    outputs: outputs.map((map, i) => ({
      sats: reader(need(map, OUT.AMOUNT, `output ${i}: no amount`)).u64(),
      script: need(map, OUT.SCRIPT, `output ${i}: no script`),
    })),
    locktime: locktime ?? 0,
  };
  return { tx, locktimeDetermined: locktime !== null };
}

/** BIP370 "Determining Lock Time"; null when the inputs contradict each other. */
function locktimeOf(global: PsbtMap, inputs: readonly PsbtMap[]): number | null {
  const demands = inputs
    .map((map) => ({
      time: numberOf(map, IN.REQUIRED_TIME_LOCKTIME),
      height: numberOf(map, IN.REQUIRED_HEIGHT_LOCKTIME),
    }))
    .filter(({ time, height }) => time !== undefined || height !== undefined);
  if (demands.length === 0) return numberOf(global, GLOBAL.FALLBACK_LOCKTIME) ?? 0;
  // A height is preferred where every demanding input takes one.
  const heights = demands.map(({ height }) => height).filter((height) => height !== undefined);
  if (heights.length === demands.length) return Math.max(...heights);
  const times = demands.map(({ time }) => time).filter((time) => time !== undefined);
  if (times.length === demands.length) return Math.max(...times);
  return null;
}

function numberOf(map: PsbtMap, type: number): number | undefined {
  const value = valueOf(map, type);
  return value === undefined ? undefined : reader(value).u32();
}

function need(map: PsbtMap, type: number, missing: string): Uint8Array {
  const value = valueOf(map, type);
  if (value === undefined) throw new PsbtFault("psbt-missing-field", missing);
  return value;
}

/** BIP174: a previous transaction must be the one that the input spends (attacks.md 26). */
function checkPreviousTx(map: PsbtMap, index: number, tx: Tx): void {
  const value = valueOf(map, IN.NON_WITNESS_UTXO);
  const input = tx.inputs[index];
  if (value === undefined || input === undefined) return;
  const bad = (detail: string) => new PsbtFault("psbt-field", `input ${index}: ${detail}`);
  let previous: PreviousTx;
  try {
    previous = readPreviousTx(value, input.vout);
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    throw bad(`NON_WITNESS_UTXO has a wrong value: ${error.message}`);
  }
  if (!sameBytes(previous.txid, input.txid)) {
    throw bad("the previous transaction is not the one that the input spends");
  }
  if (previous.output === null) {
    throw bad(`the previous transaction has no output ${input.vout}`);
  }
}

/** What a field may look like, and in which version it may stand. */
interface FieldForm {
  readonly name: string;
  readonly only?: 0 | 2;
  /** Key data; without it the key must be its type alone. */
  readonly key?: (keyData: Uint8Array) => boolean;
  readonly value: (value: Uint8Array, keyData: Uint8Array) => boolean;
}

function checkMap(
  where: string,
  map: PsbtMap,
  version: 0 | 2,
  forms: ReadonlyMap<number, FieldForm>,
): void {
  for (const { type, keyData, value } of map) {
    const form = forms.get(type);
    if (form === undefined) continue;
    if (form.only !== undefined && form.only !== version) {
      throw new PsbtFault(
        "psbt-foreign-field",
        `${where}: ${form.name} belongs to PSBT v${form.only}, this is v${version}`,
      );
    }
    const keyFits = form.key === undefined ? keyData.length === 0 : form.key(keyData);
    if (!keyFits) throw new PsbtFault("psbt-field", `${where}: ${form.name} has a wrong key`);
    if (!fits(form, value, keyData)) {
      throw new PsbtFault("psbt-field", `${where}: ${form.name} has a wrong value`);
    }
  }
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
  for (let left = r.size(); left > 0; left -= 1) r.sized();
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
    r.sized();
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

const WIRE_CODES: Readonly<Record<WireError["code"], PsbtFaultCode>> = {
  truncated: "psbt-truncated",
  trailing: "psbt-trailing",
  "non-minimal": "psbt-non-minimal",
  range: "psbt-field",
};

function wireCode(code: WireError["code"]): PsbtFaultCode {
  return WIRE_CODES[code];
}

function sameKey(a: PsbtField, b: PsbtField): boolean {
  return a.type === b.type && sameBytes(a.keyData, b.keyData);
}
