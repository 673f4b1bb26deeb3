/** The one signature that a device was asked for, out of the fields of an input that came back. */
import { fieldsOf, IN, type PsbtField, type PsbtMap } from "../../policies/bitcoin/psbt-fields.ts";
import { verifies } from "../../policies/bitcoin/schnorr.ts";
import { equal } from "../../policies/bitcoin/wire.ts";
import type { ApprovedInput } from "../../policies/decide.ts";
import { KeyError } from "../key-error.ts";

/** 64 bytes that verify; else a KeyError that says what is wrong and what to set on the device. */
export function returnedSignature(map: PsbtMap, approved: ApprovedInput): Uint8Array {
  const wrong = (detail: string) =>
    new KeyError("unverified", `input ${approved.input}: ${detail}`, { passing: true });
  if (map.some(({ type }) => type === IN.FINAL_SCRIPTWITNESS || type === IN.FINAL_SCRIPTSIG)) {
    throw wrong(
      "the device finished the transaction: set it to give back the signed PSBT, not to finalise it",
    );
  }
  const all = fieldsOf(map, IN.TAP_SCRIPT_SIG);
  // BIP371: the x-only key and the leaf hash are the key of the field.
  const own = all.filter(({ keyData }) => equal(keyData.subarray(0, 32), approved.xOnly));
  const [found, ...more] = own;
  if (found === undefined) throw missing(map, all, approved.input);
  if (more.length > 0)
    throw wrong("there are several signatures by this key: one leaf was asked for");
  if (!equal(found.keyData.subarray(32), approved.leafHash)) {
    throw wrong("the signature is for another leaf: the device signed another spending path");
  }
  if (found.value.length !== 64) {
    throw wrong(
      `the signature has ${found.value.length} bytes, not 64: set the signature hash type to default`,
    );
  }
  const signature = Uint8Array.from(found.value);
  if (!verifies({ message: approved.sighash, xOnly: approved.xOnly, signature })) {
    throw wrong("the signature does not verify: it is of another transaction or another key");
  }
  return signature;
}

/** Nothing by this key: what is there instead tells where to look. */
function missing(map: PsbtMap, all: readonly PsbtField[], input: number): KeyError {
  const passing = { passing: true };
  if (all.length > 0) {
    return new KeyError(
      "unavailable",
      `input ${input}: only other keys have signed: the device may have another seed, passphrase or account open`,
      passing,
    );
  }
  if (map.some(({ type }) => type === IN.TAP_KEY_SIG)) {
    return new KeyError(
      "unverified",
      `input ${input}: the device signed the key path: register the vault's policy on it, with its script`,
      passing,
    );
  }
  return new KeyError(
    "unavailable",
    `input ${input}: no signature came back: the device did not sign, or gave back a PSBT without its signatures`,
    passing,
  );
}
