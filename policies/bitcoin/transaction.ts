/** Transactions: read, written, identified. Strict: one encoding, nothing left over. */

import { isSats } from "../money.ts";
import { hex, sha256d } from "./hash.ts";
import { concat, type Reader, reader, size, sized, u8, u32, u64, WireError } from "./wire.ts";

export interface TxInput {
  /** In the order of the wire; shown to people reversed. */
  readonly txid: Uint8Array;
  readonly vout: number;
  readonly sequence: number;
}

export interface TxOutput {
  /** Any 64-bit value: the rule `amounts-in-range` judges it. */
  readonly sats: bigint;
  readonly script: Uint8Array;
}

/** A transaction without signatures: what a signature hash commits to. */
export interface Tx {
  readonly version: number;
  readonly inputs: readonly TxInput[];
  readonly outputs: readonly TxOutput[];
  readonly locktime: number;
}

/** The id under which explorers and nodes show a coin: `txid:vout`. */
export function outpoint(input: Pick<TxInput, "txid" | "vout">): string {
  return `${shown(input.txid)}:${input.vout}`;
}

/** Whether a text is an outpoint in its only form: no leading zeros, an index of 32 bits. */
export function isOutpoint(text: string): boolean {
  const parts = /^[0-9a-f]{64}:(0|[1-9][0-9]{0,9})$/.exec(text);
  return parts !== null && Number(parts[1]) <= 0xffff_ffff;
}

/** Hashes are shown with their bytes reversed. */
export function shown(hash: Uint8Array): string {
  return hex(Uint8Array.from(hash).reverse());
}

/** Reads a transaction that carries neither scriptSigs nor witnesses (BIP174's unsigned tx). */
export function readUnsignedTx(bytes: Uint8Array): Tx {
  const r = reader(bytes);
  const version = r.u32();
  const inputs = Array.from({ length: count(r, MIN_INPUT_BYTES) }, () => {
    const input = { txid: r.bytes(32), vout: r.u32() };
    if (r.size() !== 0)
      throw new WireError("range", r.at(), "unsigned transaction has a scriptSig");
    return { ...input, sequence: r.u32() };
  });
  const outputs = readOutputs(r);
  const locktime = r.u32();
  r.end();
  return { version, inputs, outputs, locktime };
}

export interface PreviousTx {
  readonly txid: Uint8Array;
  readonly outputs: number;
  /** The output asked for, or null when there are fewer. */
  readonly output: TxOutput | null;
}

/**
 * Reads a complete transaction, with or without witnesses, for its id and one output. It walks over
 * the rest: a hostile one has tens of thousands of outputs, and each object would cost.
 */
export function readPreviousTx(bytes: Uint8Array, vout: number): PreviousTx {
  const r = reader(bytes);
  r.u32();
  let start = r.at();
  let inputs = count(r, MIN_INPUT_BYTES);
  const segwit = inputs === 0 && r.left() > 0;
  if (segwit) {
    if (r.u8() !== 1) throw new WireError("range", r.at(), "unknown transaction flag");
    start = r.at();
    inputs = count(r, MIN_INPUT_BYTES);
  }
  for (let left = inputs; left > 0; left -= 1) {
    r.skip(36);
    r.skip(r.size());
    r.skip(4);
  }
  const outputs = count(r, MIN_OUTPUT_BYTES);
  let output: TxOutput | null = null;
  for (let at = 0; at < outputs; at += 1) {
    if (at === vout) {
      output = { sats: r.u64(), script: r.sized() };
    } else {
      r.skip(8);
      r.skip(r.size());
    }
  }
  const end = r.at();
  if (segwit) skipWitnesses(r, inputs);
  const tail = r.at();
  r.u32();
  r.end();
  // The id leaves out marker, flag and witnesses.
  const stripped = [bytes.subarray(0, 4), bytes.subarray(start, end), bytes.subarray(tail)];
  return { txid: sha256d(segwit ? concat(stripped) : bytes), outputs, output };
}

function skipWitnesses(r: Reader, inputs: number): void {
  let items = 0;
  for (let left = inputs; left > 0; left -= 1) {
    const stack = count(r, 1);
    items += stack;
    for (let item = stack; item > 0; item -= 1) r.skip(r.size());
  }
  if (items === 0) throw new WireError("range", r.at(), "witness flag without a witness");
}

/** The unsigned bytes, which are also what the txid of a pure segwit spend hashes. */
export function writeUnsignedTx(tx: Tx): Uint8Array {
  return write(tx);
}

/** The transaction ready for broadcast; `witnesses[i]` is the stack of input i. */
export function writeSignedTx(tx: Tx, witnesses: readonly (readonly Uint8Array[])[]): Uint8Array {
  const stacks = witnesses.map((stack) => concat([size(stack.length), ...stack.map(sized)]));
  const base = writeUnsignedTx(tx);
  const head = base.subarray(0, 4);
  const body = base.subarray(4, base.length - 4);
  return concat([head, Uint8Array.of(0, 1), body, ...stacks, base.subarray(base.length - 4)]);
}

export function txidOf(tx: Tx): Uint8Array {
  return sha256d(writeUnsignedTx(tx));
}

/** Sum of the outputs, or null when one of them or the sum is no amount of sats. */
export function outputSum(outputs: readonly Pick<TxOutput, "sats">[]): bigint | null {
  let sum = 0n;
  for (const output of outputs) {
    sum += output.sats;
    if (!isSats(output.sats) || !isSats(sum)) return null;
  }
  return sum;
}

/** The fewest bytes an element can take: a count is bounded by what is left before allocation. */
const MIN_INPUT_BYTES = 41;
const MIN_OUTPUT_BYTES = 9;

function count(r: Reader, bytesEach: number): number {
  const value = r.size();
  if (value * bytesEach > r.left()) {
    throw new WireError("truncated", r.at(), `${value} elements announced`);
  }
  return value;
}

function readOutputs(r: Reader): TxOutput[] {
  return Array.from({ length: count(r, MIN_OUTPUT_BYTES) }, () => ({
    sats: r.u64(),
    script: r.sized(),
  }));
}

function write(tx: Tx): Uint8Array {
  const parts: Uint8Array[] = [u32(tx.version), size(tx.inputs.length)];
  for (const { txid, vout, sequence } of tx.inputs) {
    parts.push(txid, u32(vout), NO_SCRIPTSIG, u32(sequence));
  }
  parts.push(size(tx.outputs.length));
  for (const output of tx.outputs) parts.push(u64(output.sats), sized(output.script));
  parts.push(u32(tx.locktime));
  return concat(parts);
}

const NO_SCRIPTSIG = u8(0);
