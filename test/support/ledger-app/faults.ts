/** What a test can make the device do wrong; changed while it runs. */

/**
 * What comes instead of an honest signature: a good one for a leaf that nobody asked for, and it
 * says so; one over another message; one by another key; one without its last byte; nothing, and
 * success; the same result twice.
 */
export const SIGNATURE_FAULTS = [
  "honest",
  "other-leaf",
  "other-message",
  "wrong-key",
  "short",
  "none",
  "twice",
] as const;
export type SignatureFault = (typeof SIGNATURE_FAULTS)[number];

export interface Faults {
  /** The screen is locked: every command is answered with 5515. */
  locked: boolean;
  signature: SignatureFault;
}

export function noFaults(): Faults {
  return { locked: false, signature: "honest" };
}
