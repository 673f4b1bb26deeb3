/** The world is in the way of a key: said in words, with what to do. */
export type KeyFaultCode =
  | "mainnet"
  | "damaged"
  | "unknown-account"
  | "unavailable"
  | "unverified"
  /** A person said no on the device, before anything was signed: the claim is freed. */
  | "rejected"
  | "not-approved"
  | "unsupported";

export class KeyError extends Error {
  readonly code: KeyFaultCode;
  /** Whether the same call may succeed later. */
  readonly passing: boolean;
  constructor(
    code: KeyFaultCode,
    detail: string,
    options?: { passing?: boolean; cause?: unknown },
  ) {
    super(detail, options?.cause === undefined ? undefined : { cause: options.cause });
    this.name = "KeyError";
    this.code = code;
    this.passing = options?.passing ?? false;
  }
}
