/** What a test can make the device do wrong; changed while it runs. */

export type SignatureFault =
  | "honest"
  /** A valid signature for another leaf's hash, said to be for this one. */
  | "other-leaf"
  /** A valid signature by another key, said to be by this one. */
  | "wrong-key"
  /** The last byte is missing. */
  | "short"
  /** Success, and nothing was handed over. */
  | "none"
  /** The same result handed over twice. */
  | "twice";

export interface Faults {
  /** The screen is locked: every command is answered with 5515. */
  locked: boolean;
  signature: SignatureFault;
}

export function noFaults(): Faults {
  return { locked: false, signature: "honest" };
}
