/** Who signs what in which order, and how long what they sign can be used. */
import type { Purpose } from "../../policies/intent.ts";
import type { Role } from "../../policies/vault.ts";

/** Purposes that are raised here, each with the two who sign: a machine before people. */
const ORDER = {
  withdrawal: ["user", "lsp"],
  migration: ["user", "lsp"],
  "recovery-lsp-gone": ["user", "trustee"],
  "recovery-user-lost": ["lsp", "trustee"],
} as const satisfies Partial<Record<Purpose, readonly [Role, Role]>>;

type RaisedPurpose = keyof typeof ORDER;
/** Those that pay an address; the others move all coins. */
export type PaymentPurpose = Exclude<RaisedPurpose, "migration" | "recovery-user-lost">;

const ORDER_BY_PURPOSE: Readonly<Partial<Record<Purpose, readonly [Role, Role]>>> = ORDER;

/** Null for a purpose that nobody raises here. */
export function firstSigner(purpose: Purpose): Role | null {
  return ORDER_BY_PURPOSE[purpose]?.[0] ?? null;
}

/** Null for a purpose that nobody raises here. */
export function secondSigner(purpose: Purpose): Role | null {
  return ORDER_BY_PURPOSE[purpose]?.[1] ?? null;
}

const RAISED = Object.keys(ORDER) as RaisedPurpose[];

/** What this holder's signer is asked for. */
export function askedOf(role: Role): readonly Purpose[] {
  return RAISED.filter((purpose) => ORDER_BY_PURPOSE[purpose]?.includes(role));
}

/** What this holder's signer is asked for before anybody else. */
export function askedFirst(role: Role): readonly Purpose[] {
  return RAISED.filter((purpose) => firstSigner(purpose) === role);
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
