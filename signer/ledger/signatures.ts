/**
 * What a device gave, held against what was approved: one signature for each input, by the own key,
 * over the 2-of-3 leaf, 64 bytes long, and verified. A device that gives more, less or other than
 * this is in doubt as a whole, and nothing of it leaves.
 */
import { verifies } from "../../policies/bitcoin/schnorr.ts";
import { equal } from "../../policies/bitcoin/wire.ts";
import type { ApprovedInput } from "../../policies/decide.ts";
import { KeyError } from "../key-error.ts";
import type { InputSignature } from "../signer.ts";
import type { ClientSignature } from "./client.ts";

/** SIGHASH_DEFAULT; 65 bytes would say another type in the last. */
const SIGNATURE_BYTES = 64;

/** Throws a KeyError `unverified` that says what is wrong with which input. */
export function checkedSignatures(
  given: readonly (readonly [number, ClientSignature])[],
  approved: readonly ApprovedInput[],
): readonly InputSignature[] {
  if (given.length === 0) throw unverified("the device said that it signed, and gave no signature");
  const strange = given.find(([input]) => approved.every((known) => known.input !== input));
  if (strange !== undefined)
    throw unverified(`a signature for input ${strange[0]}, never approved`);
  return approved.map((wanted) => {
    const own = given.filter(([input]) => input === wanted.input);
    const [first, ...more] = own;
    if (first === undefined) throw unverified(`no signature for input ${wanted.input}`);
    if (more.length > 0) throw unverified(`${own.length} signatures for input ${wanted.input}`);
    const reason = objection(first[1], wanted);
    if (reason !== null) throw unverified(`input ${wanted.input}: ${reason}`);
    return { input: wanted.input, signature: Uint8Array.from(first[1].signature) };
  });
}

function objection(
  { pubkey, signature, tapleafHash }: ClientSignature,
  { xOnly, leafHash, sighash }: ApprovedInput,
): string | null {
  if (!equal(pubkey, xOnly)) return "signed by another key than the registered one";
  if (tapleafHash === undefined) return "signed for the key path, not for a leaf";
  if (!equal(tapleafHash, leafHash)) return "signed for another leaf than the 2-of-3";
  if (signature.length !== SIGNATURE_BYTES) {
    return `the signature has ${signature.length} bytes, not ${SIGNATURE_BYTES}`;
  }
  const valid = verifies({ message: sighash, xOnly, signature: Uint8Array.from(signature) });
  return valid ? null : "the signature does not verify";
}

function unverified(detail: string): KeyError {
  return new KeyError("unverified", `the Ledger cannot be trusted with this spend: ${detail}`);
}
