/**
 * The device's status words, each with its meaning (Ledger's doc/bitcoin.md; verified on app 2.4.6).
 * The two bytes before the status word, the error detail, tell more since app 2.4.0.
 */
import { type LedgerError, type LedgerFault, ledgerError } from "./ledger-error.ts";

/** What the device was asked, for the same word means different things. */
export type Request = "app" | "account" | "register" | "address" | "sign" | "message";

export const OK = 0x9000;
/** The device asks its client for a piece of data; no error. */
export const INTERRUPTED = 0xe000;

interface Row {
  readonly sw: number;
  /** Error detail; without it the row is for every detail that has none of its own. */
  readonly detail?: number;
  readonly on?: Request;
  readonly fault: LedgerFault;
  readonly words: string;
}

/** The first row that fits is the answer: rows with a detail or a request stand first. */
export const STATUS_WORDS: readonly Row[] = [
  { sw: 0x6985, fault: "rejected", words: "denied by the person" },
  // What the operating system says while it is locked, by device and version.
  { sw: 0x5515, fault: "locked", words: "locked" },
  { sw: 0x6901, fault: "locked", words: "locked, or the app was just left" },
  { sw: 0x6804, fault: "locked", words: "locked" },
  { sw: 0x5303, fault: "locked", words: "locked" },
  // The dashboard, and apps of other coins.
  { sw: 0x6e00, fault: "wrong-app", words: "class not known" },
  { sw: 0x6e01, fault: "wrong-app", words: "class not known to the dashboard" },
  { sw: 0x6d02, fault: "wrong-app", words: "no app is open" },
  { sw: 0x6511, fault: "wrong-app", words: "no app is open" },
  { sw: 0x6d00, fault: "wrong-app", words: "instruction not known" },
  { sw: 0xb008, fault: "registration-wrong", words: "wrong HMAC or signature" },
  // Since 2.5.0; the law signs SIGHASH_DEFAULT alone, so it never comes.
  { sw: 0x6982, fault: "spend-refused", words: "forbidden by the device's settings" },
  { sw: 0x6a80, detail: 0x0000, on: "register", fault: "policy-unsupported", words: "bad name" },
  {
    ...{ sw: 0x6a82, detail: 0x0001, on: "register", fault: "policy-unsupported" },
    words: "the policy is not sane: a key stands twice, or an origin is not of this network",
  },
  {
    ...{ sw: 0x6a80, detail: 0x0002, on: "register", fault: "policy-unsupported" },
    words: "none of the keys is this device's own",
  },
  { sw: 0x6a80, on: "register", fault: "policy-unsupported", words: "incorrect policy" },
  { sw: 0x6a82, on: "register", fault: "policy-unsupported", words: "policy not supported" },
  { sw: 0x6a80, on: "address", fault: "not-registered", words: "no HMAC for this policy" },
  { sw: 0x6a82, on: "account", fault: "unsupported", words: "path not told without asking" },
  { sw: 0x6a80, detail: 0x0000, on: "sign", fault: "not-registered", words: "no HMAC" },
  { sw: 0x6a80, detail: 0x0001, on: "sign", fault: "spend-refused", words: "a named default" },
  { sw: 0x6a80, detail: 0x0002, on: "sign", fault: "wrong-seed", words: "no own key" },
  { sw: 0x6a80, detail: 0x0003, on: "sign", fault: "spend-refused", words: "an amount missing" },
  { sw: 0x6a80, detail: 0x0004, on: "sign", fault: "spend-refused", words: "a wrong prior tx" },
  { sw: 0x6a80, detail: 0x0005, on: "sign", fault: "spend-refused", words: "amounts differ" },
  { sw: 0x6a80, detail: 0x0006, on: "sign", fault: "spend-refused", words: "a legacy input" },
  { sw: 0x6a80, detail: 0x0007, on: "sign", fault: "spend-refused", words: "an amount missing" },
  { sw: 0x6a80, detail: 0x0008, on: "sign", fault: "spend-refused", words: "a wrong sighash" },
  { sw: 0x6a82, detail: 0x0009, on: "sign", fault: "too-many-keys", words: "over 10 change" },
  { sw: 0x6a80, detail: 0x000a, on: "sign", fault: "spend-refused", words: "a witness script" },
  { sw: 0x6a80, detail: 0x000b, on: "sign", fault: "spend-refused", words: "a redeem script" },
  { sw: 0x6a80, detail: 0x000c, on: "sign", fault: "too-many-keys", words: "over 8 own keys" },
  { sw: 0x6a82, detail: 0x000c, on: "sign", fault: "too-many-keys", words: "over 8 own keys" },
  { sw: 0x6a80, on: "sign", fault: "spend-refused", words: "incorrect data" },
  { sw: 0x6a82, on: "sign", fault: "spend-refused", words: "not supported" },
  { sw: 0x6a82, fault: "unsupported", words: "not supported" },
  { sw: 0x6a80, fault: "protocol", words: "incorrect data" },
  { sw: 0x6a86, fault: "protocol", words: "wrong parameters" },
  { sw: 0x6a87, fault: "protocol", words: "wrong length" },
  { sw: 0x6700, fault: "protocol", words: "wrong length" },
  { sw: 0x6b00, fault: "protocol", words: "wrong parameters" },
  { sw: 0xb000, fault: "protocol", words: "wrong length of the answer" },
  { sw: 0xb007, fault: "protocol", words: "bad state" },
];

export interface StatusWord {
  readonly sw: number;
  /** The error detail, where the device gave one. */
  readonly detail: number | null;
}

/** Splits an answer of the device: data and status word; an error's two data bytes are its detail. */
export function readStatus(response: Uint8Array): StatusWord | null {
  if (response.length < 2) return null;
  const view = new DataView(response.buffer, response.byteOffset, response.byteLength);
  const detail = response.length === 4 ? view.getUint16(0, false) : null;
  return { sw: view.getUint16(response.length - 2, false), detail };
}

/** The typed error of a status word that is neither OK nor a question. */
export function faultOfStatus({ sw, detail }: StatusWord, on: Request): LedgerError {
  const row = STATUS_WORDS.find(
    (candidate) =>
      candidate.sw === sw &&
      (candidate.on === undefined || candidate.on === on) &&
      (candidate.detail === undefined || candidate.detail === detail),
  );
  const seen = `status ${word(sw)}${detail === null ? "" : `, detail ${word(detail)}`}`;
  if (row === undefined) return ledgerError("protocol", seen);
  return ledgerError(row.fault, `${seen}: ${row.words}`);
}

function word(value: number): string {
  return value.toString(16).toUpperCase().padStart(4, "0");
}
