/**
 * The fields of a PSBT that say where a vault's coin, or its change, comes from (BIP174, BIP371): all
 * that a signer or a device can ask for.
 */
import { fingerprintOf } from "./bitcoin/account-key.ts";
import { fromHex } from "./bitcoin/hash.ts";
import { field, IN, OUT, type PsbtField } from "./bitcoin/psbt-fields.ts";
import { LEAF_VERSION, tapTree } from "./bitcoin/taproot.ts";
import { concat, size, sized, u8, u32, u64 } from "./bitcoin/wire.ts";
import type { Role, Vault } from "./vault.ts";
import type { VaultScript } from "./vault-scripts.ts";

/** An input: its coin, the 2-of-3 leaf, and every key's way to it. */
export function coinFields(vault: Vault, script: VaultScript, sats: bigint): readonly PsbtField[] {
  return [
    utxoField(script, sats),
    {
      type: IN.TAP_LEAF_SCRIPT,
      keyData: script.controlBlock,
      value: concat([script.leaf, u8(LEAF_VERSION)]),
    },
    ...derivationFields(IN.TAP_BIP32_DERIVATION, vault, script),
    field(IN.TAP_INTERNAL_KEY, script.internalKey),
    field(IN.TAP_MERKLE_ROOT, script.merkleRoot),
  ];
}

/** An output to the vault: change, or what moves there. */
export function outputFields(vault: Vault, script: VaultScript): readonly PsbtField[] {
  return [
    field(OUT.TAP_INTERNAL_KEY, script.internalKey),
    field(OUT.TAP_TREE, tapTree(script.leaf, script.exit?.leaf)),
    ...derivationFields(OUT.TAP_BIP32_DERIVATION, vault, script),
  ];
}

export function utxoField({ script }: Pick<VaultScript, "script">, sats: bigint): PsbtField {
  return field(IN.WITNESS_UTXO, concat([u64(sats), sized(script)]));
}

/**
 * The leaf that a key stands in, then its master and its whole path. The exit leaf is never named: a
 * device signs every leaf that it has a path to. `only` leaves out all other holders.
 */
export function derivationFields(
  type: number,
  vault: Vault,
  script: VaultScript,
  only?: Role,
): readonly PsbtField[] {
  return script.keys.flatMap(({ role, xOnly }) => {
    const key = vault.holders.find((holder) => holder.role === role)?.key;
    if (key === undefined) throw new Error("BUG: a script has a key that its vault has not");
    if (only !== undefined && role !== only) return [];
    // A bare key is its own master.
    const fingerprint = fromHex(key.origin?.fingerprint ?? fingerprintOf(key.publicKey));
    const path = [...(key.origin?.path ?? []), script.branch, script.index];
    const value = concat([size(1), script.leafHash, fingerprint, ...path.map(u32)]);
    return [{ type, keyData: xOnly, value }];
  });
}

/** The way to the unspendable internal key, which stands in no leaf: some devices ask for it. */
export function internalField(type: number, { internal }: Vault, script: VaultScript): PsbtField {
  const master = fromHex(fingerprintOf(internal.publicKey));
  const value = concat([size(0), master, u32(script.branch), u32(script.index)]);
  return { type, keyData: script.internalKey, value };
}
