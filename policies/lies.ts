/**
 * Where a PSBT's words about keys, leaves and paths contradict recomputation. Each contradiction is
 * a `Lie`; the rules refuse every one, because an honest builder has no reason to tell any.
 */
import * as ecc from "tiny-secp256k1";
import { type AccountKey, writePath } from "./bitcoin/account-key.ts";
import { hex } from "./bitcoin/hash.ts";
import {
  fieldsOf,
  IN,
  OUT,
  type PsbtField,
  type PsbtMap,
  readTapDerivation,
  readWitnessUtxo,
  type TapDerivation,
  valueOf,
} from "./bitcoin/psbt-fields.ts";
import { scriptTypeOf } from "./bitcoin/script-type.ts";
import { LEAF_VERSION, taprootOutput, tapTreeRoot } from "./bitcoin/taproot.ts";
import { readPreviousTx, type TxOutput } from "./bitcoin/transaction.ts";
import { concat, equal, u8 } from "./bitcoin/wire.ts";
import type { Found } from "./locate.ts";
import type { Holder } from "./vault.ts";
import type { VaultScript, VaultScripts } from "./vault-scripts.ts";

/** The PSBT says something of this input or output that recomputation contradicts. */
export interface Lie {
  readonly about:
    | "utxo"
    | "internal-key"
    | "merkle-root"
    | "leaf"
    | "leaf-version"
    | "control-block"
    | "derivation"
    | "tap-tree";
  readonly detail: string;
}

/** The output that an input spends, by its own account: the signer's node is asked elsewhere. */
export function readUtxo(map: PsbtMap, vout: number): { output: TxOutput | null; lies: Lie[] } {
  const witness = valueOf(map, IN.WITNESS_UTXO);
  if (witness === undefined) return { output: null, lies: [] };
  const output = readWitnessUtxo(witness);
  const previous = valueOf(map, IN.NON_WITNESS_UTXO);
  if (previous === undefined) return { output, lies: [] };
  // The gate has checked that this is the transaction spent and that it has this output.
  const full = readPreviousTx(previous, vout).output;
  const agrees = full !== null && full.sats === output.sats && equal(full.script, output.script);
  return {
    output,
    lies: agrees
      ? []
      : [{ about: "utxo", detail: "WITNESS_UTXO and NON_WITNESS_UTXO are different outputs" }],
  };
}

export function inputLies(map: PsbtMap, found: Found): Lie[] {
  const { script } = found;
  const lies: Lie[] = [];
  const internalKey = valueOf(map, IN.TAP_INTERNAL_KEY);
  if (internalKey !== undefined && !equal(internalKey, script.internalKey)) {
    lies.push({ about: "internal-key", detail: `${hex(internalKey)} is not the vault's` });
  }
  const root = valueOf(map, IN.TAP_MERKLE_ROOT);
  if (root !== undefined && !equal(root, script.merkleRoot)) {
    lies.push({ about: "merkle-root", detail: `${hex(root)} is not the vault's` });
  }
  for (const leaf of fieldsOf(map, IN.TAP_LEAF_SCRIPT)) lies.push(...leafLies(leaf, script));
  // Only keys of the leaf that is signed: a device would sign every leaf that it has a path for.
  return [...lies, ...derivationLies(map, IN.TAP_BIP32_DERIVATION, script, cosigners(found))];
}

function leafLies({ keyData, value }: PsbtField, script: VaultScript): Lie[] {
  const { exit } = script;
  if (exit !== null && equal(value, leafValue(exit.leaf)) && equal(keyData, exit.controlBlock)) {
    // As valid as the other leaf, but one key opens it: whoever may leave alone asks no signer.
    return [{ about: "leaf", detail: "the exit leaf is offered, which no signer signs" }];
  }
  const lies: Lie[] = [];
  const inLeaf = value.at(-1) ?? 0;
  const inControl = (keyData[0] ?? 0) & 0xfe;
  if (inLeaf !== LEAF_VERSION || inControl !== LEAF_VERSION) {
    const detail = `0x${inLeaf.toString(16)} in the leaf, 0x${inControl.toString(16)} in the control block`;
    lies.push({ about: "leaf-version", detail });
  }
  if (!equal(value.subarray(0, -1), script.leaf)) {
    lies.push({ about: "leaf", detail: "a leaf script is offered that the vault does not have" });
  }
  if (!equal(keyData, script.controlBlock)) {
    lies.push({ about: "control-block", detail: "a control block is not the vault's" });
  }
  return lies;
}

/** As TAP_LEAF_SCRIPT writes it: the script, then its version. */
function leafValue(leaf: Uint8Array): Uint8Array {
  return concat([leaf, u8(LEAF_VERSION)]);
}

/** A key in a leaf: what an honest derivation says of it. */
interface LeafKey {
  readonly xOnly: Uint8Array;
  readonly holder: Holder;
  /** Above the account; the index is the script's. */
  readonly branch: number;
  readonly leafHash: Uint8Array;
}

function cosigners({ vault, script }: Found): LeafKey[] {
  const { branch, leafHash } = script;
  return script.keys.flatMap(({ xOnly }, i) => {
    const holder = vault.holders[i];
    return holder === undefined ? [] : [{ xOnly, holder, branch, leafHash }];
  });
}

function exitKeys({ vault, script: { exit } }: Found): LeafKey[] {
  if (exit === null) return [];
  const holders = vault.holders.filter(({ role }) => role === exit.role);
  return holders.map((holder) => ({ ...exit, holder }));
}

/** Each key of a derivation must be one of `keys`, with its whole path. */
function derivationLies(
  map: PsbtMap,
  type: number,
  script: VaultScript,
  keys: readonly LeafKey[],
): Lie[] {
  return fieldsOf(map, type).flatMap(({ keyData, value }) => {
    const said = readTapDerivation(value);
    const key = keys.find(({ xOnly }) => equal(xOnly, keyData));
    const details = equal(keyData, script.internalKey)
      ? internalPathFaults(said, script)
      : key === undefined
        ? [foreignKeyFault(keyData, script)]
        : holderPathFaults(said, key, script.index);
    return details.map((detail): Lie => {
      const claim = [said.fingerprint, ...(said.path.length > 0 ? [writePath(said.path)] : [])];
      return { about: "derivation", detail: `[${claim.join("/")}] ${detail}` };
    });
  });
}

function internalPathFaults(said: TapDerivation, script: VaultScript): string[] {
  const tail = writePath(said.path.slice(-2));
  const fits = tail === `${script.branch}/${script.index}` && said.leafHashes.length === 0;
  return fits ? [] : ["is not the internal key's path"];
}

function foreignKeyFault(key: Uint8Array, { exit }: VaultScript): string {
  return exit !== null && equal(exit.xOnly, key)
    ? "leads to the exit key, which does not sign this leaf"
    : `leads to ${hex(key)}, no key of the vault`;
}

function holderPathFaults(said: TapDerivation, key: LeafKey, index: number): string[] {
  const { holder, branch, leafHash } = key;
  const path = [...(holder.key.origin?.path ?? []), branch, index];
  const fingerprint = masterFingerprint(holder.key);
  const knownMaster = fingerprint === null || fingerprint === said.fingerprint;
  const faults: string[] = [];
  if (!knownMaster || writePath(path) !== writePath(said.path)) {
    faults.push(`is not the path of the ${holder.role}'s key`);
  }
  if (said.leafHashes.some((named) => !equal(named, leafHash))) {
    faults.push("names a leaf that its key does not stand in");
  }
  return faults;
}

/** Null for a bare key, whose master is not known. */
function masterFingerprint(key: AccountKey): string | null {
  return key.origin?.fingerprint ?? null;
}

export function ownOutputLies(map: PsbtMap, found: Found): Lie[] {
  const { script } = found;
  const lies: Lie[] = [];
  const internalKey = valueOf(map, OUT.TAP_INTERNAL_KEY);
  if (internalKey !== undefined && !equal(internalKey, script.internalKey)) {
    lies.push({ about: "internal-key", detail: `${hex(internalKey)} is not the vault's` });
  }
  const tree = valueOf(map, OUT.TAP_TREE);
  if (tree !== undefined && !equal(tapTreeRoot(tree), script.merkleRoot)) {
    lies.push({ about: "tap-tree", detail: "the tree shown is not the vault's" });
  }
  const keys = [...cosigners(found), ...exitKeys(found)];
  return [...lies, ...derivationLies(map, OUT.TAP_BIP32_DERIVATION, script, keys)];
}

/** An output that is not ours must not look as if it were (attacks.md 1 to 6). */
export function foreignOutputLies(
  map: PsbtMap,
  script: Uint8Array,
  vaults: readonly VaultScripts[],
): Lie[] {
  return [...claimedKeys(map, vaults), ...shownTree(map, script)];
}

function claimedKeys(map: PsbtMap, vaults: readonly VaultScripts[]): Lie[] {
  const ours = new Set(
    vaults.flatMap(({ vault }) => vault.holders.flatMap(({ key }) => masterFingerprint(key) ?? [])),
  );
  const claimed = [
    ...fieldsOf(map, OUT.TAP_BIP32_DERIVATION).map(
      ({ value }) => readTapDerivation(value).fingerprint,
    ),
    ...fieldsOf(map, OUT.BIP32_DERIVATION).map(({ value }) => hex(value.subarray(0, 4))),
  ];
  return claimed
    .filter((fingerprint) => ours.has(fingerprint))
    .map((fingerprint) => ({
      about: "derivation",
      detail: `claims a key of ${fingerprint}, but the script is no address of the vault`,
    }));
}

/**
 * Internal key and tree, where both are shown, must make the very address that the output pays. A key
 * alone says nothing: the tree is the payee's own business.
 */
function shownTree(map: PsbtMap, script: Uint8Array): Lie[] {
  const internalKey = valueOf(map, OUT.TAP_INTERNAL_KEY);
  const tree = valueOf(map, OUT.TAP_TREE);
  if (tree === undefined) {
    const nonsense = internalKey !== undefined && scriptTypeOf(script) !== "p2tr";
    const detail = "an internal key is shown for an output that is not Taproot";
    return nonsense ? [{ about: "internal-key", detail }] : [];
  }
  if (internalKey === undefined) {
    return [{ about: "tap-tree", detail: "a tree is shown without its internal key" }];
  }
  const root = tapTreeRoot(tree);
  if (ecc.isXOnlyPoint(internalKey) && equal(taprootOutput(internalKey, root).script, script)) {
    return [];
  }
  const detail = "the key and tree shown make another address than the output pays";
  return [{ about: "tap-tree", detail }];
}
