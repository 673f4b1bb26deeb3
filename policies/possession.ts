/**
 * Proof of possession: who brings a key to a vault shows that they hold its secret, so that nobody
 * registers a key taken from elsewhere or made up of other keys (architecture section 3). It is
 * signed by the account's child 0/0 in one of two ways, told apart by length: 64 bytes are BIP340 over
 * a hash of its own domain, through the same call as a spend; 65 bytes are a Bitcoin signed message
 * over a line that a Ledger shows. Neither can be a signature of a transaction.
 */
import * as ecc from "tiny-secp256k1";
import { childOf, type ExtendedKey } from "./bitcoin/account-key.ts";
import { hex, taggedHash } from "./bitcoin/hash.ts";
import { signsText } from "./bitcoin/message.ts";
import { verifies } from "./bitcoin/schnorr.ts";
import { RECEIVE, type Role, type Vault } from "./vault.ts";

/** What the holder of `role` signs: bound to the network, the role and every byte of the policy. */
export function possessionText(vault: Vault, role: Role): string {
  const { template, keys } = vault.document.policy;
  return [vault.network, role, template, ...keys].join("\n");
}

export function possessionHash(text: string): Uint8Array {
  return taggedHash("ballast/possession@1", new TextEncoder().encode(text));
}

/** What a person signs on a device in the text's place: short enough to be shown whole. */
export function possessionLine(text: string): string {
  const [network, role] = text.split("\n");
  const policy = hex(possessionHash(text));
  return `Ballast possession 1 ${network} role=${role} policy=${policy}`;
}

/** The x-only key that proves, and the tweak that leads to it from the account's secret. */
export function possessionKey(account: ExtendedKey): { xOnly: Uint8Array; tweak: Uint8Array } {
  const branch = childOf(account, RECEIVE);
  const child = childOf(branch, 0);
  const tweak = ecc.privateAdd(branch.tweak, child.tweak);
  if (tweak === null) throw new RangeError("path 0/0 cancels itself");
  return { xOnly: child.publicKey.slice(1), tweak };
}

/** Whether `proof` shows that the holder of `role` has the key that the vault names. */
export function provesPossession(vault: Vault, role: Role, proof: Uint8Array): boolean {
  const holder = vault.holders.find((candidate) => candidate.role === role);
  if (holder === undefined) return false;
  if (proof.length === 65) {
    const { publicKey } = childOf(childOf(holder.key, RECEIVE), 0);
    return signsText(possessionLine(possessionText(vault, role)), proof, publicKey);
  }
  const { xOnly } = possessionKey(holder.key);
  return verifies({
    message: possessionHash(possessionText(vault, role)),
    xOnly,
    signature: proof,
  });
}

/** Proofs as they travel: 64 or 65 bytes in hex. */
export const POSSESSION_PROOF = /^(?:[0-9a-f]{128}|[0-9a-f]{130})$/;
