/**
 * What is wrong with a file or a scanned code, said to the person who holds the device. The words
 * never quote what was read: a PSBT tells whose coins go where, and faults end up in logs.
 */
export type AirgapFaultCode =
  /** The file cannot be read or written. */
  | "file"
  /** There is such a file already, and nothing is overwritten. */
  | "file-exists"
  | "oversized"
  /** This text is no code that is read here, or a broken one. */
  | "bad-part"
  /** Some other thing than a PSBT. */
  | "wrong-content"
  /** A code of another animation than the one begun. */
  | "other-transfer"
  /** A code that says otherwise than an earlier one. */
  | "contradiction"
  | "incomplete"
  /** All codes are there, and what they make is not whole. */
  | "damaged";

export class AirgapError extends Error {
  readonly code: AirgapFaultCode;
  constructor(code: AirgapFaultCode, detail: string) {
    super(detail);
    this.name = "AirgapError";
    this.code = code;
  }
}
