/** Who is asked to sign what after the user, and how long what they sign can be used. */
import type { Purpose } from "../../policies/intent.ts";
import type { Role } from "../../policies/vault.ts";

/** Purposes that are raised here, each with the holder who signs after the user. */
const SECOND = {
  withdrawal: "lsp",
  migration: "lsp",
  "recovery-lsp-gone": "trustee",
} as const satisfies Partial<Record<Purpose, Role>>;

export type RaisedPurpose = keyof typeof SECOND;
/** Those that pay an address. */
export type PaymentPurpose = Exclude<RaisedPurpose, "migration">;

const SECOND_BY_PURPOSE: Readonly<Partial<Record<Purpose, Role>>> = SECOND;

/** Null for a purpose that nobody raises here. */
export function secondSigner(purpose: Purpose): Role | null {
  return SECOND_BY_PURPOSE[purpose] ?? null;
}

/** What this holder's signer is asked for. */
export function askedOf(role: Role): readonly Purpose[] {
  const purposes = Object.keys(SECOND) as RaisedPurpose[];
  return purposes.filter((purpose) => SECOND[purpose] === role);
}

/** Whether the second signature is a person's, given in a ceremony. */
export function needsCeremony(purpose: Purpose): boolean {
  const second = secondSigner(purpose);
  return second === "trustee" || second === "second-trustee";
}

/**
 * Signers refuse a PSBT whose nLockTime is more than this behind their tip (invariant 4), so after
 * that nobody adds a signature to it, and what lacks one is free.
 */
export const LOCKTIME_WINDOW_BLOCKS = 144;
/** People take days: the widest window that a policy can give. */
export const CEREMONY_WINDOW_BLOCKS = 1_008;

export function windowBlocks(purpose: Purpose): number {
  return needsCeremony(purpose) ? CEREMONY_WINDOW_BLOCKS : LOCKTIME_WINDOW_BLOCKS;
}
