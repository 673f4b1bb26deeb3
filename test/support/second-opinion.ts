/**
 * What others say about the same bytes: @scure/btc-signer as a second PSBT reader and sighash,
 * bitcore-lib's interpreter as a second consensus. Both are slow and neither runs outside tests.
 */
import { createRequire } from "node:module";
import { Transaction } from "@scure/btc-signer";
import type { Tx, TxOutput } from "../../policies/bitcoin/transaction.ts";
import { writeUnsignedTx } from "../../policies/bitcoin/transaction.ts";

/** As lenient as scure gets about what is legal: what it refuses then, it takes for malformed. */
const LENIENT = {
  allowUnknownVersion: true,
  allowUnknownOutputs: true,
  allowUnknownInputs: true,
  allowLegacyWitnessUtxo: true,
  allowMissingTxModifiable: true,
  disableScriptCheck: true,
  unknown: "ignore",
  proprietary: "ignore",
} as const;

/** Why scure refuses PSBT bytes, or null when it reads them. */
export function scureObjection(bytes: Uint8Array): string | null {
  try {
    Transaction.fromPSBT(bytes, LENIENT);
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** The BIP342 message that scure would sign for this input, hashed, under SIGHASH_DEFAULT. */
export function scureSighash(options: {
  readonly tx: Tx;
  readonly spent: readonly TxOutput[];
  readonly input: number;
  readonly leaf: Uint8Array;
}): Uint8Array {
  const { tx, spent, input, leaf } = options;
  return Transaction.fromRaw(writeUnsignedTx(tx), LENIENT).preimageWitnessV1(
    input,
    spent.map(({ script }) => script),
    0,
    spent.map(({ sats }) => sats),
    undefined,
    leaf,
  );
}

/**
 * Why bitcore-lib's interpreter would not accept this finished transaction, or null. It has a fault
 * of its own: version 11.5.1 finds every signature wrong under a key that starts with a zero byte
 * (one in 256), and every control block of such an internal key, so only vaults without such keys
 * are shown to it.
 */
export function consensusObjection(raw: Uint8Array, spent: readonly TxOutput[]): string | null {
  const tx = new bitcore.Transaction(Buffer.from(raw));
  for (const [i, input] of tx.inputs.entries()) {
    const output = spent[i];
    if (output === undefined) return `input ${i} spends nothing`;
    input.output = new bitcore.Transaction.Output({
      satoshis: Number(output.sats),
      script: bitcore.Script.fromBuffer(Buffer.from(output.script)),
    });
  }
  const flags = CONSENSUS.reduce((all, name) => all | bitcore.Script.Interpreter[name], 0);
  for (const [i, input] of tx.inputs.entries()) {
    const interpreter = new bitcore.Script.Interpreter();
    const { script, satoshis } = input.output;
    const empty = new bitcore.Script();
    if (!interpreter.verify(empty, script, tx, i, flags, input.witnesses, satoshis)) {
      return `input ${i}: ${interpreter.errstr}`;
    }
  }
  return null;
}

const CONSENSUS = [
  "SCRIPT_VERIFY_P2SH",
  "SCRIPT_VERIFY_WITNESS",
  "SCRIPT_VERIFY_TAPROOT",
  "SCRIPT_VERIFY_NULLFAIL",
  "SCRIPT_VERIFY_CHECKLOCKTIMEVERIFY",
  "SCRIPT_VERIFY_CHECKSEQUENCEVERIFY",
] as const;

/** The part of bitcore-lib that is used here; it has no types of its own. */
interface Bitcore {
  readonly Transaction: {
    new (raw: Buffer): BitcoreTransaction;
    readonly Output: new (output: { satoshis: number; script: BitcoreScript }) => BitcoreOutput;
  };
  readonly Script: {
    new (): BitcoreScript;
    readonly fromBuffer: (bytes: Buffer) => BitcoreScript;
    readonly Interpreter: {
      new (): BitcoreInterpreter;
    } & Readonly<Record<(typeof CONSENSUS)[number], number>>;
  };
}

interface BitcoreScript {
  readonly toBuffer: () => Buffer;
}

interface BitcoreOutput {
  readonly script: BitcoreScript;
  readonly satoshis: number;
}

interface BitcoreTransaction {
  readonly inputs: { output: BitcoreOutput; readonly witnesses: readonly Buffer[] }[];
}

interface BitcoreInterpreter {
  readonly errstr: string;
  readonly verify: (
    scriptSig: BitcoreScript,
    scriptPubKey: BitcoreScript,
    tx: BitcoreTransaction,
    input: number,
    flags: number,
    witnesses: readonly Buffer[],
    satoshis: number,
  ) => boolean;
}

const require = createRequire(import.meta.url);
const bitcore: Bitcore = require("bitcore-lib");
