/**
 * A second opinion on finished transactions: bitcore-lib's interpreter, which runs tapscript. It has
 * a fault of its own: bitcore-lib 11.5.1 finds every BIP340 signature wrong under a key that starts
 * with a zero byte (one in 256), so tests with it use vaults without such keys.
 */
import { createRequire } from "node:module";
import { hex } from "../../policies/bitcoin/hash.ts";
import type { TxOutput } from "../../policies/bitcoin/transaction.ts";

const require = createRequire(import.meta.url);

/** The little of bitcore-lib that is used; it has no types of its own. */
interface Bitcore {
  readonly Transaction: {
    new (rawHex: string): BitcoreTransaction;
    readonly Output: new (fields: { script: unknown; satoshis: number }) => unknown;
  };
  readonly Script: {
    (): unknown;
    readonly fromHex: (text: string) => unknown;
    readonly Interpreter: BitcoreInterpreter & (new () => { errstr: string; verify: Verify });
  };
}

interface BitcoreTransaction {
  readonly inputs: { output: unknown; readonly witnesses: readonly Uint8Array[] }[];
}

interface BitcoreInterpreter {
  readonly SCRIPT_VERIFY_P2SH: number;
  readonly SCRIPT_VERIFY_WITNESS: number;
  readonly SCRIPT_VERIFY_TAPROOT: number;
}

type Verify = (
  scriptSig: unknown,
  scriptPubkey: unknown,
  tx: BitcoreTransaction,
  input: number,
  flags: number,
  witnesses: readonly Uint8Array[],
  satoshis: number,
) => boolean;

/** Null where the interpreter accepts every input; else what it objects to. */
export function objectionOf(rawTx: Uint8Array, spent: readonly TxOutput[]): string | null {
  // Loaded when asked for: 21 MB, and only these tests want them.
  const bitcore = require("bitcore-lib") as Bitcore;
  const { Transaction, Script } = bitcore;
  const { Interpreter } = Script;
  const flags =
    Interpreter.SCRIPT_VERIFY_P2SH |
    Interpreter.SCRIPT_VERIFY_WITNESS |
    Interpreter.SCRIPT_VERIFY_TAPROOT;
  const tx = new Transaction(hex(rawTx));
  spent.forEach(({ script, sats }, i) => {
    const input = tx.inputs[i];
    if (input === undefined) throw new Error(`no input ${i}`);
    input.output = new Transaction.Output({
      script: Script.fromHex(hex(script)),
      satoshis: Number(sats),
    });
  });
  for (const [i, { script, sats }] of spent.entries()) {
    const interpreter = new Interpreter();
    const accepted = interpreter.verify(
      Script(),
      Script.fromHex(hex(script)),
      tx,
      i,
      flags,
      tx.inputs[i]?.witnesses ?? [],
      Number(sats),
    );
    if (!accepted) return `input ${i}: ${interpreter.errstr}`;
  }
  return null;
}
