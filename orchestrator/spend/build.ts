/**
 * The PSBT of a spend, v0, with everything that a signer or a Ledger needs to see. Pure. Inputs and
 * outputs stand in BIP69's order, so that the same choice gives the same transaction.
 */
import { fromHex } from "../../policies/bitcoin/hash.ts";
import { type Psbt, psbtOf } from "../../policies/bitcoin/psbt.ts";
import type { Tx, TxInput, TxOutput } from "../../policies/bitcoin/transaction.ts";
import { compare } from "../../policies/bitcoin/wire.ts";
import type { Sats } from "../../policies/money.ts";
import type { Branch, VaultScript, VaultScripts } from "../../policies/vault.ts";
import { changeFields, coinFields } from "../../policies/vault-fields.ts";
import type { Payment } from "./select.ts";

export interface BuildRequest {
  readonly vault: VaultScripts;
  readonly coins: readonly {
    readonly outpoint: string;
    readonly sats: Sats;
    readonly branch: Branch;
    readonly index: number;
  }[];
  readonly payments: readonly Payment[];
  readonly change: { readonly sats: Sats; readonly branch: Branch; readonly index: number } | null;
  /** Current height: it dates the spend, and keeps it out of older blocks. */
  readonly locktime: number;
}

/** Version 2; replaceable, and no relative lock (BIP68, BIP125). */
const TX_VERSION = 2;
const SEQUENCE = 0xfffffffd;

export function buildPsbt({ vault, coins, payments, change, locktime }: BuildRequest): Psbt {
  const inputs = coins
    .map((coin) => ({
      coin,
      input: inputOf(coin.outpoint),
      script: vault.at(coin.branch, coin.index),
    }))
    .sort((a, b) => byOutpoint(a.input, b.input));
  const outputs: { output: TxOutput; script: VaultScript | null }[] = payments.map((output) => ({
    output,
    script: null,
  }));
  if (change !== null) {
    const script = vault.at(change.branch, change.index);
    outputs.push({ output: { sats: change.sats, script: script.script }, script });
  }
  outputs.sort((a, b) => byAmount(a.output, b.output));
  const tx: Tx = {
    version: TX_VERSION,
    inputs: inputs.map(({ input }) => input),
    outputs: outputs.map(({ output }) => ({ sats: output.sats, script: output.script })),
    locktime,
  };
  return {
    ...psbtOf(tx),
    inputs: inputs.map(({ coin, script }) => coinFields(vault.vault, script, coin.sats)),
    outputs: outputs.map(({ script }) =>
      script === null ? [] : changeFields(vault.vault, script),
    ),
  };
}

function inputOf(outpoint: string): TxInput {
  const [txid = "", vout = ""] = outpoint.split(":");
  return { txid: fromHex(txid).reverse(), vout: Number(vout), sequence: SEQUENCE };
}

/** BIP69: by transaction id as it is shown, then by index. */
function byOutpoint(a: TxInput, b: TxInput): number {
  const order = compare(Uint8Array.from(a.txid).reverse(), Uint8Array.from(b.txid).reverse());
  return order || a.vout - b.vout;
}

/** BIP69: by amount, then by script. */
function byAmount(a: TxOutput, b: TxOutput): number {
  return Number(a.sats - b.sats) || compare(a.script, b.script);
}
