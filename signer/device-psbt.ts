/**
 * The PSBT that a device is given: built from what was approved, never from what somebody sent. It
 * holds what the device must see to review and sign, and nothing else, for each field costs round
 * trips that a person waits for: each input's coin with the path of the own key to the 2-of-3 leaf,
 * and the path of change. The exit leaf is never named: a device signs every leaf that it has a path
 * to.
 */
import { fromHex, hex } from "../policies/bitcoin/hash.ts";
import { type Psbt, psbtOf } from "../policies/bitcoin/psbt.ts";
import { IN, OUT } from "../policies/bitcoin/psbt-fields.ts";
import { midstates, SIGHASH_DEFAULT, taprootSighash } from "../policies/bitcoin/sighash.ts";
import { type Tx, txidOf } from "../policies/bitcoin/transaction.ts";
import { equal } from "../policies/bitcoin/wire.ts";
import type { Approval } from "../policies/decide.ts";
import { CHANGE, type Holder, type Vault } from "../policies/vault.ts";
import {
  coinFields,
  derivationFields,
  internalField,
  outputFields,
  utxoField,
} from "../policies/vault-fields.ts";
import { vaultScripts } from "../policies/vault-scripts.ts";

export interface DeviceSpend {
  readonly approval: Approval;
  /** The one vault whose coins are spent. */
  readonly vault: Vault;
}

/** How much a device is told: a Ledger needs its own way alone, others want to see all of it. */
export type DeviceDetail = "own" | "whole";

/** v0, as every device takes it. Throws where the approval's own hashes are not those of the PSBT. */
export function devicePsbt({ approval, vault }: DeviceSpend, detail: DeviceDetail = "own"): Psbt {
  const { spend } = approval;
  const own = ownHolder({ approval, vault });
  const scripts = vaultScripts(vault);
  const tx = txOf(approval);
  const inputs = spend.inputs.map((coin, i) => {
    const script = scripts.at(coin.branch, coin.index);
    const approved = approval.inputs[i];
    if (
      coin.vault !== vault.id ||
      !equal(script.script, coin.script) ||
      approved?.input !== i ||
      !equal(approved.leafHash, script.leafHash)
    ) {
      throw new Error(`BUG: input ${i} is not as it was approved`);
    }
    if (detail === "whole") {
      const internal = internalField(IN.TAP_BIP32_DERIVATION, vault, script);
      return [...coinFields(vault, script, coin.sats), internal];
    }
    return [
      utxoField(script, coin.sats),
      ...derivationFields(IN.TAP_BIP32_DERIVATION, vault, script, own.role),
    ];
  });
  const outputs = spend.outputs.map(({ place, script: paid }) => {
    // The device hides an output only on the change branch; elsewhere a path would tell it nothing.
    if (place === null || place.vault !== vault.id || place.branch !== CHANGE) return [];
    const script = scripts.at(place.branch, place.index);
    if (!equal(script.script, paid)) throw new Error("BUG: change is not as it was approved");
    if (detail === "whole") {
      return [
        ...outputFields(vault, script),
        internalField(OUT.TAP_BIP32_DERIVATION, vault, script),
      ];
    }
    return derivationFields(OUT.TAP_BIP32_DERIVATION, vault, script, own.role);
  });
  assertSameHashes(approval, tx);
  return { ...psbtOf(tx), inputs, outputs };
}

/** The holder whose key signs here: the approval's role, with the account that it names. */
function ownHolder({ approval, vault }: DeviceSpend): Holder {
  const own = vault.holders.find(({ role }) => role === approval.role);
  const account = own === undefined ? "" : hex(own.key.publicKey);
  if (own === undefined || approval.inputs.some((input) => input.account !== account)) {
    throw new Error("BUG: the approval is for another key than its role's in this vault");
  }
  return own;
}

function txOf({ spend }: Approval): Tx {
  return {
    version: spend.version,
    inputs: spend.inputs.map(({ outpoint, sequence }) => {
      const [txid = "", vout = ""] = outpoint.split(":");
      return { txid: fromHex(txid).reverse(), vout: Number(vout), sequence };
    }),
    outputs: spend.outputs.map(({ sats, script }) => ({ sats, script })),
    locktime: spend.locktime,
  };
}

/** What the device will sign is what was approved, bit for bit, or it is not asked. */
function assertSameHashes(approval: Approval, tx: Tx): void {
  const { inputs, spend, txid } = approval;
  const states = midstates(tx, spend.inputs);
  const same = inputs.every(({ input, leafHash, sighash }) =>
    equal(
      taprootSighash({ tx, midstates: states, input, type: SIGHASH_DEFAULT, leafHash }),
      sighash,
    ),
  );
  const whole = inputs.length === tx.inputs.length;
  if (!same || !whole || hex(txidOf(tx).reverse()) !== txid) {
    throw new Error("BUG: the PSBT for the device is not the transaction that was approved");
  }
}
