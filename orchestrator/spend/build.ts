/**
 * The PSBT of a spend, v0, with everything that a signer or a Ledger needs to see. Pure. Inputs and
 * outputs stand in BIP69's order, so that the same choice gives the same transaction.
 */
import { fromHex } from "../../policies/bitcoin/hash.ts";
import { type Psbt, psbtOf } from "../../policies/bitcoin/psbt.ts";
import type { PsbtField } from "../../policies/bitcoin/psbt-fields.ts";
import type { Tx, TxInput, TxOutput } from "../../policies/bitcoin/transaction.ts";
import { compare } from "../../policies/bitcoin/wire.ts";
import type { Sats } from "../../policies/money.ts";
import type { Branch, Vault } from "../../policies/vault.ts";
import { coinFields, outputFields } from "../../policies/vault-fields.ts";
import type { VaultScript, VaultScripts } from "../../policies/vault-scripts.ts";
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
  /** All of it, to an address of another vault of the account. */
  readonly moves?: { readonly sats: Sats; readonly vault: Vault; readonly script: VaultScript };
  readonly change: { readonly sats: Sats; readonly branch: Branch; readonly index: number } | null;
  /** Current height: it dates the spend, and keeps it out of older blocks. */
  readonly locktime: number;
}

/** Version 2; replaceable, and no relative lock (BIP68, BIP125). */
const TX_VERSION = 2;
const SEQUENCE = 0xfffffffd;

export function buildPsbt(request: BuildRequest): Psbt {
  const { vault, coins, payments, moves, change, locktime } = request;
  const inputs = coins
    .map((coin) => ({
      coin,
      input: inputOf(coin.outpoint),
      script: vault.at(coin.branch, coin.index),
    }))
    .sort((a, b) => byOutpoint(a.input, b.input));
  const outputs: Placed[] = payments.map((output) => ({ output, fields: [] }));
  if (change !== null) {
    const script = vault.at(change.branch, change.index);
    outputs.push(placed(change.sats, vault.vault, script));
  }
  if (moves !== undefined) outputs.push(placed(moves.sats, moves.vault, moves.script));
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
    outputs: outputs.map(({ fields }) => fields),
  };
}

interface Placed {
  readonly output: TxOutput;
  /** Empty for a stranger's. */
  readonly fields: readonly PsbtField[];
}

/** An output to a vault, with what shows that it is one. */
function placed(amount: Sats, vault: Vault, script: VaultScript): Placed {
  return { output: { sats: amount, script: script.script }, fields: outputFields(vault, script) };
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
