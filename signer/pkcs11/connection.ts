/**
 * The one connection of a token's process: library, token, login, sessions, keys. It is opened once
 * and judged whole; what breaks it ends the process, and the restart is the reconnect (tokens are
 * found, the login is made and handles are looked up afresh, because old ones stay dead).
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { type AuditKey, findAuditKey, makeAuditKey } from "../custody/audit-key.ts";
import type { Custody, CustodyKind, TokenAccess } from "../custody/custody.ts";
import { nativeCustody } from "../custody/native.ts";
import { sealedCustody } from "../custody/sealed.ts";
import { javascriptEngine } from "../custody/sealed-javascript.ts";
import { moduleEngine, SEALED_MECHANISM } from "../custody/sealed-module.ts";
import { type Cryptoki, openCryptoki, type TokenDescription } from "./cryptoki.ts";
import { loginOnce } from "./login.ts";
import type { ChildConfig, ChildInfo } from "./protocol.ts";
import { openSessionPool } from "./session-pool.ts";
import { MECHANISMS } from "./template.ts";
import { TokenError } from "./token-error.ts";

export type EventLog = (event: string, fields: Readonly<Record<string, string | number>>) => void;

export interface Connection extends TokenAccess {
  /** Null while provisioning has not made its key. */
  readonly custody: Custody | null;
  readonly auditKey: AuditKey | null;
  readonly hashes: Hashes;
}

interface Hashes {
  readonly moduleSha256: string;
  readonly sealedModuleSha256: string | null;
}

export async function connect(config: ChildConfig, log: EventLog): Promise<Connection> {
  const { cryptoki, hashes } = load(config);
  const token = findToken(cryptoki, config);
  refuseUnfit(token, config);
  requireMechanisms(cryptoki, token, config);
  // A native account key is made in the token, when a vault is.
  const makes = config.purpose === "provision" || config.custody.kind === "native";
  const access = makes ? "read-write" : "read-only";
  const { pinSource, latchFile, maxSessions } = config;
  const anchor = cryptoki.openSession(token.handle, access);
  loginOnce({
    ...{ cryptoki, session: anchor, token, pinSource, latchFile, log },
    now: () => new Date(),
  });
  const slot = token.handle;
  const pool = openSessionPool({ cryptoki, slot, anchor, maxSessions, access, log });
  return await withKeys({ config, cryptoki, token, pool, hashes });
}

/** Looks up and judges the keys of the token. */
async function withKeys(base: TokenAccess & { readonly hashes: Hashes }): Promise<Connection> {
  const { config, token } = base;
  const custody = await kindOf(config).open(base);
  if (custody === null && config.purpose === "serve") {
    const what = config.custody.kind === "sealed" ? config.object : `probe key of ${config.object}`;
    throw new TokenError("key-missing", `${what} in ${token.label}: make it with ballast hsm init`);
  }
  return { ...base, custody, auditKey: await findAuditKey(base) };
}

/** Makes the keys of the token that are missing. */
export async function init(base: Connection, log: EventLog): Promise<Connection> {
  const { config, token } = base;
  if (config.purpose !== "provision") throw new TokenError("protocol", "init is for provisioning");
  if (base.custody === null) {
    await kindOf(config).init(base);
    log("token key made", { token: token.label, object: config.object, mode: config.custody.kind });
  }
  if (base.auditKey === null) {
    await makeAuditKey(base);
    log("audit key made", { token: token.label, object: config.object });
  }
  return await withKeys(base);
}

export function describe({ config, cryptoki, token, pool, ...rest }: Connection): ChildInfo {
  return {
    token: token.label,
    serial: token.serial,
    manufacturer: token.manufacturer,
    model: token.model,
    firmware: token.firmware,
    library: cryptoki.library,
    modulePath: config.modulePath,
    ...rest.hashes,
    object: config.object,
    lanes: pool.lanes,
    ready: rest.custody !== null,
    auditKey: rest.auditKey === null ? null : Buffer.from(rest.auditKey.publicKey).toString("hex"),
  };
}

function kindOf({ custody }: ChildConfig): CustodyKind {
  if (custody.kind === "native") return nativeCustody;
  return sealedCustody(custody.module === null ? javascriptEngine : moduleEngine);
}

/** The sealed module stands before the token's library, which it loads by this variable. */
const UNDERLYING = "BALLAST_PKCS11_MODULE";

function load({ modulePath, custody }: ChildConfig): {
  readonly cryptoki: Cryptoki;
  readonly hashes: Hashes;
} {
  const sealedModule = custody.kind === "sealed" ? custody.module : null;
  if (sealedModule !== null) process.env[UNDERLYING] = modulePath;
  const path = sealedModule ?? modulePath;
  try {
    const hashes = {
      moduleSha256: fileHash(modulePath),
      sealedModuleSha256: sealedModule === null ? null : fileHash(sealedModule),
    };
    return { cryptoki: openCryptoki(path), hashes };
  } catch (cause) {
    const words = cause instanceof Error ? cause.message : "unknown";
    throw new TokenError("module-unusable", `${path}: ${words}`, { cause });
  }
}

function fileHash(path: string): string {
  return createHash("sha256").update(readFileSync(path)).digest("hex");
}

function findToken(cryptoki: Cryptoki, { token, serial }: ChildConfig): TokenDescription {
  const name = [token === null ? "" : `label ${token}`, serial === null ? "" : `serial ${serial}`]
    .filter((part) => part !== "")
    .join(", ");
  const [found, second] = cryptoki
    .tokens()
    .filter((each) => token === null || each.label === token)
    .filter((each) => serial === null || each.serial === serial);
  if (found === undefined) throw new TokenError("token-missing", name);
  if (second !== undefined) {
    const serials = `${found.serial} and ${second.serial}`;
    throw new TokenError("token-ambiguous", `${name}: serials ${serials}; add serial= to the URI`);
  }
  return found;
}

/** Software protects nothing from whoever has the machine, whatever a profile says of it. */
const FOR_TESTS = /softhsm|ballast test token/i;

function refuseUnfit(
  { label, manufacturer, model }: TokenDescription,
  { network, manufacturer: expected }: ChildConfig,
): void {
  if (network === "bitcoin" && FOR_TESTS.test(`${manufacturer} ${model}`)) {
    throw new TokenError("token-unfit", `${label} is by ${manufacturer}, which is for tests`);
  }
  if (!manufacturer.startsWith(expected)) {
    const detail = `${label} is by ${manufacturer}, and the profile is for ${expected}`;
    throw new TokenError("token-unfit", detail);
  }
}

function requireMechanisms(
  cryptoki: Cryptoki,
  token: TokenDescription,
  { custody }: ChildConfig,
): void {
  if (custody.kind === "native") return;
  const known = cryptoki.mechanisms(token.handle).map(({ id }) => id);
  if (!known.includes(MECHANISMS.aesGcm)) {
    throw new TokenError("mechanism", `${token.label} has no CKM_AES_GCM`);
  }
  if (custody.module !== null && !known.includes(SEALED_MECHANISM)) {
    throw new TokenError("module-unusable", `${custody.module} is not the sealed module`);
  }
}
