/**
 * Signatures together, and the witness. Pure. A signature counts only after it has verified under
 * the vault's own key over the very transaction that was built; all else in a partial PSBT is left
 * where it was.
 */

import { hex } from "../../policies/bitcoin/hash.ts";
import type { Psbt } from "../../policies/bitcoin/psbt.ts";
import { fieldsOf, IN, type PsbtField, withFields } from "../../policies/bitcoin/psbt-fields.ts";
import { txidOf, writeSignedTx, writeUnsignedTx } from "../../policies/bitcoin/transaction.ts";
import { compare, equal } from "../../policies/bitcoin/wire.ts";
import { spendFacts } from "../../policies/facts.ts";
import { type Role, THRESHOLD } from "../../policies/vault.ts";
import type { VaultScripts } from "../../policies/vault-scripts.ts";

export interface CombineRequest {
  /** As built: its fields stay, and no partial PSBT changes them. */
  readonly unsigned: Psbt;
  readonly partials: readonly Psbt[];
  /** Whose signatures count: those of others are left where they were. All when left out. */
  readonly only?: Role;
  readonly vaults: readonly VaultScripts[];
}

/** A signature, or a whole PSBT, that was not merged. */
export interface Rejected {
  readonly partial: number;
  /** Null: the whole PSBT. */
  readonly input: number | null;
  readonly detail: string;
}

export interface Combined {
  readonly psbt: Psbt;
  /** Whose valid signature stands on every input. */
  readonly signedBy: readonly Role[];
  readonly rejected: readonly Rejected[];
}

export function combine({ unsigned, partials, only, vaults }: CombineRequest): Combined {
  const tx = writeUnsignedTx(unsigned.tx);
  const rejected: Rejected[] = [];
  const signers = unsigned.inputs.map(() => new Set<Role>());
  let psbt = bare(unsigned);
  partials.forEach((partial, at) => {
    if (!equal(writeUnsignedTx(partial.tx), tx)) {
      rejected.push({ partial: at, input: null, detail: "it is another transaction" });
      return;
    }
    // The partial's signatures on our own fields: its words about coins and scripts do not count.
    const claimed = partial.inputs.map((map) => fieldsOf(map, IN.TAP_SCRIPT_SIG));
    const candidate = withSignatures(bare(unsigned), claimed);
    const good = spendFacts(candidate, vaults).inputs.map(({ signatures }, input) =>
      fieldsOf(candidate.inputs[input] ?? [], IN.TAP_SCRIPT_SIG).filter((_, i) => {
        const { valid = false, role = null, detail } = signatures[i] ?? {};
        if (valid && role !== null && role !== (only ?? role)) return false;
        if (valid && role !== null) signers[input]?.add(role);
        else rejected.push({ partial: at, input, detail: detail ?? "the input is no vault's" });
        return valid && role !== null;
      }),
    );
    psbt = withSignatures(psbt, good);
  });
  const [first, ...others] = signers;
  const signedBy = [...(first ?? [])].filter((role) => others.every((roles) => roles.has(role)));
  return { psbt, signedBy, rejected };
}

export interface Finished {
  readonly rawTx: Uint8Array;
  readonly txid: Uint8Array;
  /** Which two keys of each input stand in the witness. */
  readonly used: readonly (readonly Role[])[];
}

/** Fewer than two valid signatures somewhere: nothing to send yet. */
export class UnfinishedError extends Error {
  override readonly name = "UnfinishedError";
  readonly code = "unfinished";
}

/**
 * Writes the witness of each input: one element a leaf key, in reverse order, as the first key's
 * signature must lie on top of the stack; the key that did not sign has an empty element
 * (CHECKSIGADD takes one from the stack whatever it is); then leaf and control block. Exactly two
 * signatures are used: `2 NUMEQUAL` refuses a third.
 */
export function finalise(psbt: Psbt, vaults: readonly VaultScripts[]): Finished {
  const facts = spendFacts(psbt, vaults);
  const inputs = facts.inputs.map(({ coin, signatures }, i) => {
    const vault = vaults.find((candidate) => candidate.vault.id === coin?.vault);
    if (coin === null || vault === undefined) {
      throw new UnfinishedError(`input ${i} belongs to no vault`);
    }
    const script = vault.at(coin.branch, coin.index);
    const fields = fieldsOf(psbt.inputs[i] ?? [], IN.TAP_SCRIPT_SIG);
    const valid = fields.filter((_, n) => signatures[n]?.valid === true);
    const leafKeys = [...script.keys].sort((a, b) => compare(a.xOnly, b.xOnly));
    let wanted = THRESHOLD;
    const elements = leafKeys.map(({ xOnly, role }) => {
      const signed = valid.find(({ keyData }) => equal(keyData.subarray(0, 32), xOnly));
      if (signed === undefined || wanted === 0) return { role: null, signature: new Uint8Array(0) };
      wanted -= 1;
      return { role, signature: signed.value };
    });
    if (wanted > 0) {
      throw new UnfinishedError(`input ${i} lacks ${wanted} of ${THRESHOLD} signatures`);
    }
    const stack = elements.map(({ signature }) => signature).reverse();
    return {
      witness: [...stack, script.leaf, script.controlBlock],
      used: elements.flatMap(({ role }) => role ?? []),
    };
  });
  return {
    rawTx: writeSignedTx(
      psbt.tx,
      inputs.map(({ witness }) => witness),
    ),
    txid: txidOf(psbt.tx),
    used: inputs.map(({ used }) => used),
  };
}

/** Without signatures. */
function bare(psbt: Psbt): Psbt {
  return {
    ...psbt,
    inputs: psbt.inputs.map((map) => map.filter(({ type }) => type !== IN.TAP_SCRIPT_SIG)),
  };
}

function withSignatures(psbt: Psbt, signatures: readonly (readonly PsbtField[])[]): Psbt {
  return {
    ...psbt,
    inputs: psbt.inputs.map((map, i) => {
      // The first valid signature of a key stays: a second one is as good and changes bytes.
      const present = new Set(fieldsOf(map, IN.TAP_SCRIPT_SIG).map(({ keyData }) => hex(keyData)));
      const fresh = (signatures[i] ?? []).filter(({ keyData }) => !present.has(hex(keyData)));
      return withFields(map, fresh);
    }),
  };
}
