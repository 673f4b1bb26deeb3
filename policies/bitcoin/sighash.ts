/**
 * BIP341 and BIP342 signature hashes. The five hashes over the whole transaction are computed once
 * (`midstates`), so that signing n inputs costs O(n); bitcoinjs-lib rebuilds them per input, which
 * is quadratic (stack.md 2.4).
 */
import { sha256, taggedHash } from "./hash.ts";
import type { Tx, TxOutput } from "./transaction.ts";
import { concat, sized, u8, u32, u64 } from "./wire.ts";

/** The only signature hash type that the law lets a key sign. */
export const SIGHASH_DEFAULT = 0x00;

const SIGHASH_NONE = 0x02;
const SIGHASH_SINGLE = 0x03;
const SIGHASH_ANYONECANPAY = 0x80;
/** BIP341: "hash_type … only 0x00, 0x01, 0x02, 0x03, 0x81, 0x82, 0x83 are valid". */
const SIGHASH_TYPES = new Set([0x00, 0x01, 0x02, 0x03, 0x81, 0x82, 0x83]);

/** BIP341 epoch, first byte of every message. */
const EPOCH = u8(0);
/** BIP342: key version 0, and no OP_CODESEPARATOR before the signature check. */
const TAPSCRIPT_TAIL = concat([u8(0), u32(0xffffffff)]);

export interface Midstates {
  readonly prevouts: Uint8Array;
  readonly amounts: Uint8Array;
  readonly scripts: Uint8Array;
  readonly sequences: Uint8Array;
  readonly outputs: Uint8Array;
  readonly spent: readonly TxOutput[];
}

/** `spent[i]` is the output that input i spends: BIP341 commits to all of them. */
export function midstates(tx: Tx, spent: readonly TxOutput[]): Midstates {
  return {
    prevouts: sha256(concat(tx.inputs.flatMap((input) => [input.txid, u32(input.vout)]))),
    amounts: sha256(concat(spent.map((output) => u64(output.sats)))),
    scripts: sha256(concat(spent.map((output) => sized(output.script)))),
    sequences: sha256(concat(tx.inputs.map((input) => u32(input.sequence)))),
    outputs: sha256(concat(tx.outputs.map(writeOutput))),
    spent,
  };
}

export interface SighashOptions {
  readonly tx: Tx;
  readonly midstates: Midstates;
  readonly input: number;
  /** One of BIP341's seven; anything else throws a RangeError. */
  readonly type: number;
  /** The tapleaf hash for a script path (BIP342); absent for the key path. */
  readonly leafHash?: Uint8Array;
}

/** The 32 bytes that a BIP340 signature of this input signs. There is no annex: none is relayed. */
export function taprootSighash(options: SighashOptions): Uint8Array {
  const { tx, midstates: m, input: index, type, leafHash } = options;
  const input = tx.inputs[index];
  const spent = m.spent[index];
  if (input === undefined || spent === undefined) throw new RangeError(`no input ${index}`);
  if (!SIGHASH_TYPES.has(type)) throw new RangeError(`sighash type ${type} is not defined`);
  const anyoneCanPay = (type & SIGHASH_ANYONECANPAY) !== 0;
  const outputs = type & 0x03;

  const parts = [EPOCH, u8(type), u32(tx.version), u32(tx.locktime)];
  if (!anyoneCanPay) parts.push(m.prevouts, m.amounts, m.scripts, m.sequences);
  if (outputs !== SIGHASH_NONE && outputs !== SIGHASH_SINGLE) parts.push(m.outputs);
  parts.push(u8(leafHash === undefined ? 0 : 2));
  if (anyoneCanPay) {
    parts.push(input.txid, u32(input.vout), u64(spent.sats), sized(spent.script));
    parts.push(u32(input.sequence));
  } else {
    parts.push(u32(index));
  }
  if (outputs === SIGHASH_SINGLE) {
    const output = tx.outputs[index];
    if (output === undefined) throw new RangeError("SIGHASH_SINGLE without its output");
    parts.push(sha256(writeOutput(output)));
  }
  if (leafHash !== undefined) parts.push(leafHash, TAPSCRIPT_TAIL);
  return taggedHash("TapSighash", concat(parts));
}

function writeOutput(output: TxOutput): Uint8Array {
  return concat([u64(output.sats), sized(output.script)]);
}
