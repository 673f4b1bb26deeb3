/**
 * Guardians: processes that fetch prices and replay the accounts by themselves, each with a key of
 * its own, so many of whom must say the same (architecture section 3). The policy names them.
 */
import { verifies } from "../bitcoin/schnorr.ts";

export interface Guardian {
  readonly name: string;
  /** 32 bytes, x only. */
  readonly key: Uint8Array;
}

/** What a guardian has signed: whose name it is under, and 64 bytes of BIP340. */
export interface GuardianSignature {
  readonly guardian: string;
  readonly signature: Uint8Array;
}

/** Null for a good signature, or why it is none; each guardian is heard once. */
export function guardianFault(
  { guardian: name, signature }: GuardianSignature,
  message: Uint8Array,
  { guardians, heard }: { readonly guardians: readonly Guardian[]; readonly heard: Set<string> },
): string | null {
  const guardian = guardians.find((candidate) => candidate.name === name);
  if (guardian === undefined) return `the policy names no guardian ${name}`;
  if (heard.has(name)) return `${name} is heard twice`;
  if (!verifies({ message, xOnly: guardian.key, signature })) {
    return `the signature of ${name} does not verify`;
  }
  heard.add(name);
  return null;
}
