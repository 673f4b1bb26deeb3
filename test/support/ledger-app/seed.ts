/** The secrets of the device: one BIP39 seed, what is derived from it, and what it signs. */
import { createHmac, pbkdf2Sync } from "node:crypto";
import { HDKey } from "@scure/bip32";
import { concatBytes, equalBytes } from "@scure/btc-signer/utils.js";
import type { Versions } from "./network.ts";

export interface Seed {
  readonly fingerprint: number;
  /** Serialized extended public key of a path, and its parts. */
  at(path: readonly number[]): HDKey;
  /** The proof that a person registered the policy with this id: SLIP-21, label of Ledger's app. */
  registration(policyId: Uint8Array): Uint8Array;
  isRegistered(policyId: Uint8Array, hmac: Uint8Array): boolean;
}

export const HARDENED = 0x80000000;

const REGISTRATION_LABEL = "LEDGER-Wallet policy";

export function openSeed(mnemonic: string, versions: Versions): Seed {
  const seed = pbkdf2Sync(mnemonic.normalize("NFKD"), "mnemonic", 2048, 64, "sha512");
  const root = HDKey.fromMasterSeed(seed, versions);
  const registrationKey = slip21(seed, REGISTRATION_LABEL);
  const known = new Map<string, HDKey>();
  const at = (path: readonly number[]): HDKey => {
    if (path.length === 0) return root;
    const name = path.join("/");
    const key = known.get(name) ?? at(path.slice(0, -1)).deriveChild(path[path.length - 1] ?? 0);
    known.set(name, key);
    return key;
  };
  const registration = (policyId: Uint8Array): Uint8Array =>
    hmac("sha256", registrationKey, policyId);
  return {
    fingerprint: root.fingerprint,
    at,
    registration,
    isRegistered: (policyId, proof) => equalBytes(registration(policyId), proof),
  };
}

/** SLIP-21: a symmetric key of a seed, named by one label. */
function slip21(seed: Uint8Array, label: string): Uint8Array {
  const root = hmac("sha512", Buffer.from("Symmetric key seed"), seed);
  const named = concatBytes(Uint8Array.of(0), Buffer.from(label));
  return hmac("sha512", root.subarray(0, 32), named).subarray(32);
}

function hmac(hash: "sha256" | "sha512", key: Uint8Array, data: Uint8Array): Uint8Array {
  return createHmac(hash, key).update(data).digest();
}

/** A path as the screens show it. */
export function pathText(path: readonly number[]): string {
  if (path.length === 0) return "(Master key)";
  return path.map((step) => (step >= HARDENED ? `${step - HARDENED}'` : `${step}`)).join("/");
}
