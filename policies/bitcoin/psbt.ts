/**
 * The gate: a strict reader and writer of PSBT v0 (BIP174) and v2 (BIP370) with the fields of
 * BIP371 and BIP373. It refuses whatever the BIPs call invalid, keeps unknown fields byte for byte
 * and lets none of them speak. It does no curve work, so that a hostile PSBT costs the main thread
 * a few milliseconds at most; `facts.ts` does the curve work elsewhere.
 */
import { base64 } from "@scure/base";
import { hex } from "./hash.ts";
import { field, GLOBAL, IN, OUT, type PsbtField, type PsbtMap, valueOf } from "./psbt-fields.ts";
import { type MapKind, misfit } from "./psbt-forms.ts";
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

const MAGIC = Uint8Array.of(0x70, 0x73, 0x62, 0x74, 0xff);
const SEPARATOR = u8(0);

function read(bytes: Uint8Array): Psbt {
  const r = reader(bytes);
  if (bytes.length < MAGIC.length || !sameBytes(r.bytes(MAGIC.length), MAGIC)) {
    throw new PsbtFault(
      "psbt-magic",
      "the bytes do not start with the PSBT magic 70736274ff: a PSBT is read as binary or base64",
    );
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

  check("global", global, version, "global");
  inputs.forEach((map, i) => {
    check(`input ${i}`, map, version, "input");
  });
  outputs.forEach((map, i) => {
    check(`output ${i}`, map, version, "output");
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

function check(where: string, map: PsbtMap, version: 0 | 2, kind: MapKind): void {
  const found = misfit(map, version, kind);
  if (found !== null) throw new PsbtFault(found.code, `${where}: ${found.detail}`);
}

/** Fields that may still be read. */
interface Budget {
  fields: number;
}

function readMap(r: Reader, where: string, budget: Budget): PsbtMap {
  const fields: PsbtField[] = [];
  for (;;) {
    const key = r.sized();
    if (key.length === 0) return fields;
    budget.fields -= 1;
    if (fields.length === MAP_FIELDS_MAX || budget.fields < 0) {
      throw new PsbtFault("psbt-oversized", `${where}: more fields than any honest PSBT has`);
    }
    const { type, length } = fieldType(key);
    const keyData = key.subarray(length);
    // MAP_FIELDS_MAX keeps this short; a set of strings would cost three times as much.
    if (fields.some((old) => old.type === type && sameBytes(old.keyData, keyData))) {
      throw new PsbtFault("psbt-duplicate-key", `${where}: key ${hex(key)} stands twice`);
    }
    fields.push({ type, keyData, value: r.sized() });
  }
}

/** The type leads the key as a compact size; all that the BIPs define take one byte. */
function fieldType(key: Uint8Array): { readonly type: number; readonly length: number } {
  const first = key[0] ?? 0;
  if (first < 0xfd) return { type: first, length: 1 };
  const k = reader(key);
  return { type: k.size(), length: k.at() };
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

const WIRE_CODES: Readonly<Record<WireError["code"], PsbtFaultCode>> = {
  truncated: "psbt-truncated",
  trailing: "psbt-trailing",
  "non-minimal": "psbt-non-minimal",
  range: "psbt-field",
};

function wireCode(code: WireError["code"]): PsbtFaultCode {
  return WIRE_CODES[code];
}
