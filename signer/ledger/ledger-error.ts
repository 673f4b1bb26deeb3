/**
 * What can be wrong with a Ledger, in words for the person who holds it: what happened, and what to
 * do next. One table; `status-word.ts` says which answer of the device is which of these.
 */
import { KeyError, type KeyFaultCode } from "../key-error.ts";

interface Meaning {
  readonly code: KeyFaultCode;
  /** Whether the same call may succeed later, after what `next` says is done. */
  readonly passing: boolean;
  readonly says: string;
  readonly next: string;
}

export const LEDGER_FAULTS = {
  locked: {
    code: "unavailable",
    passing: true,
    says: "the device is locked",
    next: "enter the PIN on it and ask again",
  },
  "wrong-app": {
    code: "unavailable",
    passing: true,
    says: "another app is open on the device, or none",
    next: 'open "Bitcoin" for mainnet, "Bitcoin Test" for any other network, and ask again',
  },
  rejected: {
    code: "rejected",
    passing: false,
    says: "the person said no on the device",
    next: "ask them why; nothing was signed",
  },
  disconnected: {
    code: "unavailable",
    passing: true,
    says: "the connection to the device broke: unplugged, switched off, or its app was closed",
    next: "plug it in, unlock it, open the app and ask again; that is no refusal",
  },
  "not-plugged-in": {
    code: "unavailable",
    passing: true,
    says: "no Ledger is plugged in",
    next: "plug it in with a cable that carries data, unlock it and open the app",
  },
  "several-devices": {
    code: "unavailable",
    passing: false,
    says: "more than one Ledger is plugged in",
    next: "unplug the others, or name one by ledger:hid?path=…",
  },
  held: {
    code: "unavailable",
    passing: true,
    says: "another program holds the device",
    next: "close Ledger Live and every other wallet, then ask again",
  },
  "no-permission": {
    code: "unavailable",
    passing: false,
    says: "this user may not open the device",
    next: "install Ledger's udev rules (vendor 2c97), plug the device in again",
  },
  "not-installed": {
    code: "unavailable",
    passing: false,
    says: "the optional packages for Ledger, or the libraries that they need, are not installed",
    next: "run npm install --include=optional; on Debian apt install libusb-1.0-0 libudev1, too",
  },
  unanswered: {
    code: "unavailable",
    passing: true,
    says: "nobody answered on the device in time",
    next: "if it still asks, reject there first; then ask again",
  },
  "wrong-seed": {
    code: "unavailable",
    passing: true,
    says: "this device has another seed, or another passphrase is set",
    next: "connect the device that the vault was registered with, without or with the same passphrase",
  },
  "not-registered": {
    code: "unavailable",
    passing: false,
    says: "this vault is not registered on this device",
    next: "register it with the full review, as signer/ledger/README.md says",
  },
  "registration-wrong": {
    code: "unavailable",
    passing: false,
    says: "the device does not know its own seal on this vault: the stored registration is wrong",
    next: "treat it as an alarm; restore the right journal, or register again with the full review",
  },
  "policy-unsupported": {
    code: "unsupported",
    passing: false,
    says: "the device does not take this wallet policy: a key or its origin is not as it has it, or the template is none it supports",
    next: "compare the vault document with the device's own account key; do not register anything else",
  },
  "too-many-keys": {
    code: "unsupported",
    passing: false,
    says: "the policy or transaction has more keys or change outputs than the device takes",
    next: "split the spend, or use a vault of Ballast's templates",
  },
  unsupported: {
    code: "unsupported",
    passing: false,
    says: "the device does not support what it was asked",
    next: "check the app's version against firmware-configs/ledger.json",
  },
  "spend-refused": {
    code: "unsupported",
    passing: false,
    says: "the device refuses this transaction by itself, before anybody was asked",
    next: "keep the request and report it: the law should have refused it first",
  },
  "version-old": {
    code: "unsupported",
    passing: false,
    says: "the Bitcoin app is too old",
    next: "update it with Ledger Live, on another machine than the station",
  },
  "version-new": {
    code: "unsupported",
    passing: false,
    says: "the Bitcoin app is newer than any that was tried",
    next: "do a dry run on a test network first, then add allow-newer=yes to the key's URI",
  },
  "version-excluded": {
    code: "unsupported",
    passing: false,
    says: "this version of the Bitcoin app is known to sign wrongly",
    next: "update it with Ledger Live, on another machine than the station",
  },
  protocol: {
    code: "unavailable",
    passing: true,
    says: "the device and this program did not understand each other",
    next: "close and open the app, then ask again; if it stays, keep the log",
  },
  "stopped-after-signing": {
    code: "unavailable",
    passing: true,
    says: "the device stopped after it had begun to give signatures",
    next: "ask again for the same spend; its coins stay bound to it",
  },
} satisfies Record<string, Meaning>;

export type LedgerFault = keyof typeof LEDGER_FAULTS;

export class LedgerError extends KeyError {
  readonly fault: LedgerFault;
  constructor(fault: LedgerFault, detail: string, options?: { cause?: unknown }) {
    const { code, passing, says, next } = LEDGER_FAULTS[fault];
    const about = detail === "" ? says : `${says} (${printable(detail)})`;
    super(code, `${about}: ${next}`, { passing, cause: options?.cause });
    this.fault = fault;
  }
}

/** What a device says goes to terminals and into logs: no control characters, and not long. */
function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, "?").slice(0, DETAIL_CHARACTERS_MAX);
}

const DETAIL_CHARACTERS_MAX = 300;

/** `detail` is what was seen: a status word, a version, a path. */
export function ledgerError(fault: LedgerFault, detail = "", cause?: unknown): LedgerError {
  return new LedgerError(fault, detail, cause === undefined ? {} : { cause });
}
