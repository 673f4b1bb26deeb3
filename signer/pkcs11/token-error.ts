/** What can be wrong with a token, in words that a person and a retry loop can both act on. */

/** Why the token did not do it. */
export type TokenFault = keyof typeof faults;

/** `passing`: whether the same request may succeed later without anybody changing anything. */
const faults = {
  "child-died": {
    passing: true,
    why: "the process that holds the token's library ended",
  },
  timeout: {
    passing: true,
    why: "the token did not answer in time; its process was killed",
  },
  busy: { passing: true, why: "more requests wait than the queue holds" },
  "token-missing": {
    passing: true,
    why: "no token of this label or serial is present",
  },
  "token-failed": {
    passing: true,
    why: "the token failed at an operation that it knows",
  },
  "token-ambiguous": { passing: false, why: "two tokens answer to this name" },
  "token-unfit": {
    passing: false,
    why: "this token must not be used on this network",
  },
  profile: {
    passing: false,
    why: "the profile of the token does not fit",
  },
  "module-unusable": {
    passing: false,
    why: "the PKCS#11 library does not load",
  },
  "pin-unreadable": {
    passing: false,
    why: "the file of pin-source cannot be used",
  },
  "pin-incorrect": { passing: false, why: "the token refused the PIN" },
  "pin-locked": {
    passing: false,
    why: "the PIN is locked, or one try away from it",
  },
  "pin-latched": {
    passing: false,
    why: "an earlier login failed; a person must look first",
  },
  "key-missing": { passing: false, why: "a key of this name is not in the token" },
  "key-exists": {
    passing: false,
    why: "a key of this name is already in the token",
  },
  "key-ambiguous": {
    passing: false,
    why: "two keys of this name are in the token",
  },
  "key-unsafe": {
    passing: false,
    why: "a key of the token could leave it, came from outside, or may do too much",
  },
  mechanism: { passing: false, why: "the token cannot do what this custody needs" },
  "key-file-damaged": {
    passing: false,
    why: "an account key does not open, or is not what its file says",
  },
  "key-file-foreign": {
    passing: false,
    why: "an account key belongs elsewhere",
  },
  "account-unknown": {
    passing: false,
    why: "no key of this account is here",
  },
  "signature-invalid": {
    passing: true,
    why: "a signature did not verify and was not released",
  },
  storage: {
    passing: false,
    why: "the folder of the account keys cannot be used",
  },
  request: { passing: false, why: "the request itself is wrong" },
  protocol: {
    passing: false,
    why: "the two halves of the signer do not understand each other",
  },
  closed: { passing: false, why: "the token was closed" },
} as const satisfies Record<string, { readonly passing: boolean; readonly why: string }>;

/** The token, its library, its process or its files are in the way. Never carries a secret. */
export class TokenError extends Error {
  readonly code: TokenFault;
  readonly passing: boolean;
  constructor(code: TokenFault, detail: string, options?: ErrorOptions) {
    super(`${faults[code].why}: ${detail}`, options);
    this.name = "TokenError";
    this.code = code;
    this.passing = faults[code].passing;
  }
}

/** Every code, for the schema of the messages between the two processes. */
export const TOKEN_FAULTS = Object.keys(faults) as readonly TokenFault[];

/** The same error on the other side of a process boundary, its words unchanged. */
export function tokenErrorFromWire(code: TokenFault, message: string): TokenError {
  const error = new TokenError(code, "");
  error.message = message;
  return error;
}
