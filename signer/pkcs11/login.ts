/**
 * One login, and never a second wrong one. Tokens lock or erase themselves after a few wrong PINs,
 * and a process that restarts would burn them all in a second; so the outcome of a login is kept
 * in a file, and after a refusal only a person opens the way again, by deleting it.
 */
import { readFileSync, statSync } from "node:fs";
import { z } from "zod";
import {
  CKF,
  CKR,
  type Cryptoki,
  CryptokiError,
  type SessionHandle,
  type TokenDescription,
} from "./cryptoki.ts";
import { removeDurably, writeDurably } from "./durable-file.ts";
import { TokenError } from "./token-error.ts";

/**
 * Logs in with the PIN in `pinSource`, by at most one C_Login. Throws "pin-latched" without any
 * where an earlier one was refused, and "pin-incorrect" or "pin-locked" where this one is.
 */
export function loginOnce(options: {
  readonly cryptoki: Cryptoki;
  readonly session: SessionHandle;
  readonly token: TokenDescription;
  readonly pinSource: string;
  readonly latchFile: string;
  readonly now: () => Date;
  readonly log: (event: string, fields: Readonly<Record<string, string | number>>) => void;
}): void {
  const { cryptoki, session, token, latchFile } = options;
  const before = readLatch(latchFile);
  refuseByLatch(before, { latchFile, token });
  refuseByFlags(token);
  const pin = readPin(options.pinSource);

  // The attempt is on the disk before it is made: a crash in the middle must count, too.
  const attempt: PinLatch = {
    format: LATCH_FORMAT,
    state: "trying",
    token: token.label,
    serial: token.serial,
    time: options.now().toISOString(),
    logins: (before?.logins ?? 0) + 1,
    answer: null,
  };
  writeDurably(latchFile, formatLatch(attempt), "replace");
  options.log("token login", {
    token: token.label,
    serial: token.serial,
    login: attempt.logins,
  });
  try {
    cryptoki.login(session, pin);
  } catch (error) {
    if (!(error instanceof CryptokiError)) throw error;
    if (error.ckr !== CKR.userAlreadyLoggedIn) refused(error, { latchFile, attempt });
  }
  removeDurably(latchFile);
}

const LATCH_FORMAT = "ballast/pin-latch@1";

const latchSchema = z.strictObject({
  format: z.literal(LATCH_FORMAT),
  /** "trying": the process ended before the token answered. "refused": the token said no. */
  state: z.enum(["trying", "refused"]),
  token: z.string(),
  serial: z.string(),
  /** When the last login was tried, UTC. */
  time: z.string(),
  /** C_Login calls since the last one that succeeded. */
  logins: z.int().min(1),
  /** What the token answered: "C_Login: CKR_PIN_INCORRECT (0xa0)". */
  answer: z.string().nullable(),
});
type PinLatch = z.infer<typeof latchSchema>;

/**
 * Logins whose outcome nobody saw (the process was killed, the token hung) before a person is
 * asked. Tokens lock after three at the least, so two unknown ones leave one try.
 */
const UNKNOWN_OUTCOMES_MAX = 2;
/** PKCS#11 PINs are short; a larger file is the wrong file. */
const PIN_BYTES_MAX = 255;

function readLatch(path: string): PinLatch | null {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") return null;
    throw new TokenError("storage", `${path} cannot be read`, { cause });
  }
  try {
    return latchSchema.parse(JSON.parse(text));
  } catch {
    // A latch that cannot be read still is one.
    throw new TokenError("pin-latched", `${path} is present and unreadable; ${REMEDY} ${path}`);
  }
}

const REMEDY = "no login is tried. Check the PIN by hand, then delete";

function refuseByLatch(
  latch: PinLatch | null,
  { latchFile, token }: { readonly latchFile: string; readonly token: TokenDescription },
): void {
  if (latch === null) return;
  if (latch.state === "refused") {
    const said = `${latch.token} answered ${latch.answer ?? "no"} at ${latch.time}`;
    throw new TokenError("pin-latched", `${said}; ${REMEDY} ${latchFile}`);
  }
  // The token itself says whether a wrong PIN came since the last right one.
  const wrong = (token.flags & CKF.pinCountLow) !== 0;
  if (wrong || latch.logins >= UNKNOWN_OUTCOMES_MAX) {
    const said = `the process ended during ${latch.logins} login(s), last at ${latch.time}`;
    throw new TokenError("pin-latched", `${said}; ${REMEDY} ${latchFile}`);
  }
}

function refuseByFlags(token: TokenDescription): void {
  if ((token.flags & CKF.pinLocked) !== 0) {
    throw new TokenError("pin-locked", `${token.label} says its PIN is locked; no login was tried`);
  }
  if ((token.flags & CKF.pinFinalTry) !== 0) {
    const advice = "log in by hand once, which clears it";
    throw new TokenError("pin-locked", `${token.label} has one try left; none was made: ${advice}`);
  }
}

/** The PIN stays in this process and in no message; a JavaScript string cannot be zeroised. */
function readPin(path: string): string {
  let bytes: Buffer;
  try {
    const { mode, size } = statSync(path);
    // Group may read, as service managers and container platforms arrange; nobody else may.
    if ((mode & 0o027) !== 0) throw new Error("it is open to others: chmod 0400");
    if (size > PIN_BYTES_MAX + 2) throw new Error("it is too long to be a PIN");
    bytes = readFileSync(path);
  } catch (cause) {
    const words = cause instanceof Error ? cause.message : "unreadable";
    throw new TokenError("pin-unreadable", `${path}: ${words}`, { cause });
  }
  const pin = bytes.toString("utf8").replace(/\r?\n$/, "");
  bytes.fill(0);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: a PIN with a control character is a mistake.
  if (pin === "" || pin.includes("\ufffd") || /[\x00-\x1f]/.test(pin)) {
    throw new TokenError("pin-unreadable", `${path}: it must hold one line with the PIN`);
  }
  return pin;
}

function refused(
  error: CryptokiError,
  { latchFile, attempt }: { readonly latchFile: string; readonly attempt: PinLatch },
): never {
  const aboutThePin = error.ckr !== null && PIN_ANSWERS.has(error.ckr);
  if (!aboutThePin) {
    // The token answered, and not about the PIN: no try was used up.
    removeDurably(latchFile);
    throw new TokenError("token-failed", error.message, { cause: error });
  }
  const latch: PinLatch = {
    ...attempt,
    state: "refused",
    answer: error.message,
  };
  writeDurably(latchFile, formatLatch(latch), "replace");
  const code = error.ckr === CKR.pinLocked ? "pin-locked" : "pin-incorrect";
  throw new TokenError(code, `${attempt.token}, ${error.message}; ${REMEDY} ${latchFile}`);
}

const PIN_ANSWERS: ReadonlySet<number> = new Set([
  CKR.pinIncorrect,
  CKR.pinInvalid,
  CKR.pinLenRange,
  CKR.pinExpired,
  CKR.pinLocked,
]);

function formatLatch(latch: PinLatch): string {
  return `${JSON.stringify(latch, null, 2)}\n`;
}
