/**
 * PKCS#11 as this signer may use it: the only file that loads pkcs11js, and only the child process
 * loads this file. pkcs11js ends its process when it is given an attribute of the wrong type, an
 * unknown parameter type, a C_Initialize without locking, a C_Finalize with work in flight, or a
 * call after a failed load. None of the five can be written with the functions below: templates
 * and the one mechanism parameter are built here, a failed load yields nothing to call, and there
 * is no C_Finalize: a child has one connection for its life and ends it by ending.
 */
import pkcs11, { type Mechanism as NativeMechanism, type TokenInfo } from "pkcs11js";
import { IV_BYTES, TAG_BYTES } from "../custody/key-file.ts";
import {
  CKA,
  foreignRecipientTemplate,
  type KeyAttributes,
  type KeyKind,
  type KeyName,
  keyAttributes,
  MECHANISMS,
  type PairTemplates,
  searchTemplate,
  type TokenAttribute,
} from "./template.ts";

/** A PKCS#11 function answered something else than CKR_OK. */
export class CryptokiError extends Error {
  readonly code = "cryptoki";
  /** The CKR value, or null where the library's binding failed before the call. */
  readonly ckr: number | null;
  /** "C_Login", … */
  readonly call: string;
  constructor(call: string, cause: unknown) {
    const { ckr, words } = readCause(cause);
    super(`${call}: ${words}`);
    this.name = "CryptokiError";
    this.call = call;
    this.ckr = ckr;
  }
}

/** The return values (PKCS#11 2.40) that lead to different actions here. */
export const CKR = {
  attributeTypeInvalid: 0x12,
  attributeValueInvalid: 0x13,
  templateInconsistent: 0xd1,
  pinIncorrect: 0xa0,
  pinInvalid: 0xa1,
  pinLenRange: 0xa2,
  pinExpired: 0xa3,
  pinLocked: 0xa4,
  mechanismInvalid: 0x70,
  mechanismParamInvalid: 0x71,
  keyFunctionNotPermitted: 0x68,
  userAlreadyLoggedIn: 0x100,
} as const;

/** Token flags (PKCS#11 2.40, table 10). */
export const CKF = {
  pinCountLow: 0x10000,
  pinFinalTry: 0x20000,
  pinLocked: 0x40000,
} as const;

/** An opaque handle of the library. A session handle and an object handle are not the same. */
export type SlotHandle = { readonly slot: Buffer };
export type SessionHandle = { readonly session: Buffer };
export type KeyHandle = { readonly key: Buffer };

export interface TokenDescription {
  readonly handle: SlotHandle;
  readonly label: string;
  readonly serial: string;
  readonly manufacturer: string;
  readonly model: string;
  readonly firmware: string;
  readonly flags: number;
}

/**
 * A mechanism as this signer may name one. `vendor`: an id of a profile, its parameter flat bytes
 * that only the module reads, or none.
 */
export type Mechanism =
  | { readonly kind: "gcm"; readonly iv: Uint8Array; readonly aad: Uint8Array }
  | { readonly kind: "oaep"; readonly hash: OaepHash }
  | { readonly kind: "ecdsa" }
  | { readonly kind: "vendor"; readonly id: number; readonly parameter: Uint8Array | null };
export type OaepHash = "sha1" | "sha256";

export interface Pair {
  readonly publicKey: KeyHandle;
  readonly privateKey: KeyHandle;
}

export interface Cryptoki {
  readonly library: string;
  tokens(): readonly TokenDescription[];
  mechanisms(slot: SlotHandle): readonly MechanismDescription[];
  openSession(slot: SlotHandle, access: "read-only" | "read-write"): SessionHandle;
  closeSession(session: SessionHandle): void;
  login(session: SessionHandle, pin: string): void;
  random(session: SessionHandle, bytes: number): Uint8Array;
  /** At most two keys: a name is unique or it is refused. */
  find(session: SessionHandle, kind: KeyKind, name: KeyName): readonly KeyHandle[];
  generateKey(session: SessionHandle, template: readonly TokenAttribute[]): KeyHandle;
  generatePair(session: SessionHandle, type: "ec" | "rsa", templates: PairTemplates): Pair;
  /** Another token's RSA key, gone with the session. */
  foreignRecipient(session: SessionHandle, key: RsaPublicKey): KeyHandle;
  read(session: SessionHandle, key: KeyHandle): KeyAttributes;
  id(session: SessionHandle, key: KeyHandle): Uint8Array | null;
  /** CKA_EC_POINT of a public key, as the token has it. */
  point(session: SessionHandle, key: KeyHandle): Uint8Array | null;
  rsaPublicKey(session: SessionHandle, key: KeyHandle): RsaPublicKey | null;
  sign(job: Job): Promise<Buffer>;
  /** The IV that was used may be the token's own: take it from the answer. */
  encrypt(job: Job): Promise<{ readonly output: Buffer; readonly iv: Uint8Array | null }>;
  /** Into a buffer of its own, which the caller zeroises. */
  decrypt(job: Job): Promise<Buffer>;
}

/** One call of the token: its output is at most `bytes` long. */
export interface Job {
  readonly session: SessionHandle;
  readonly key: KeyHandle;
  readonly mechanism: Mechanism;
  readonly data: Uint8Array;
  readonly bytes: number;
}

export interface RsaPublicKey {
  readonly modulus: Uint8Array;
  readonly exponent: Uint8Array;
}

export interface MechanismDescription {
  readonly id: number;
  /** CKF_SIGN and its like. */
  readonly flags: number;
}

/** A label is unique or it is refused, so a third match is never looked at. */
const FIND_MAX = 2;

/** Loads the library and initialises it. Throws CryptokiError, and then nothing was handed out. */
export function openCryptoki(modulePath: string): Cryptoki {
  const lib = new pkcs11.PKCS11();
  const run = <T>(call: string, body: () => T): T => {
    try {
      return body();
    } catch (cause) {
      throw new CryptokiError(call, cause);
    }
  };
  run("load", () => lib.load(modulePath));
  // CKF_OS_LOCKING_OK: without it SoftHSM turns its mutexes off and concurrent calls crash it.
  run("C_Initialize", () => lib.C_Initialize({ flags: 2 }));
  const info = run("C_GetInfo", () => lib.C_GetInfo());

  function describe(slot: Buffer): TokenDescription | null {
    let token: TokenInfo;
    try {
      token = lib.C_GetTokenInfo(slot);
    } catch {
      // A slot whose token cannot be described is not the one that was named.
      return null;
    }
    return {
      handle: { slot },
      label: unpad(token.label),
      serial: unpad(token.serialNumber),
      manufacturer: unpad(token.manufacturerID),
      model: unpad(token.model),
      firmware: `${token.firmwareVersion.major}.${token.firmwareVersion.minor}`,
      flags: token.flags,
    };
  }

  function attribute(session: SessionHandle, { key }: KeyHandle, type: number): Buffer | null {
    try {
      return lib.C_GetAttributeValue(session.session, key, [{ type }])[0]?.value ?? null;
    } catch (cause) {
      const error = new CryptokiError("C_GetAttributeValue", cause);
      // Older tokens do not know every attribute; "unknown" is judged by whoever asked.
      if (error.ckr === CKR.attributeTypeInvalid) return null;
      throw error;
    }
  }

  return {
    library: `${unpad(info.libraryDescription)} ${info.libraryVersion.major}.${info.libraryVersion.minor}`,

    tokens() {
      const slots = run("C_GetSlotList", () => lib.C_GetSlotList(true));
      return slots.map(describe).filter((token) => token !== null);
    },

    mechanisms({ slot }) {
      const ids = run("C_GetMechanismList", () => lib.C_GetMechanismList(slot));
      return ids.map((id) => {
        const { flags } = run("C_GetMechanismInfo", () => lib.C_GetMechanismInfo(slot, id));
        return { id: id >>> 0, flags };
      });
    },

    openSession({ slot }, access) {
      const flags =
        pkcs11.CKF_SERIAL_SESSION | (access === "read-write" ? pkcs11.CKF_RW_SESSION : 0);
      return {
        session: run("C_OpenSession", () => lib.C_OpenSession(slot, flags)),
      };
    },

    closeSession: ({ session }) => run("C_CloseSession", () => lib.C_CloseSession(session)),

    login: ({ session }, pin) => run("C_Login", () => lib.C_Login(session, pkcs11.CKU_USER, pin)),

    random({ session }, bytes) {
      return run("C_GenerateRandom", () => lib.C_GenerateRandom(session, Buffer.alloc(bytes)));
    },

    find({ session }, kind, name) {
      const template = searchTemplate(kind, name);
      run("C_FindObjectsInit", () => lib.C_FindObjectsInit(session, template));
      const keys = run("C_FindObjects", () => lib.C_FindObjects(session, FIND_MAX));
      run("C_FindObjectsFinal", () => lib.C_FindObjectsFinal(session));
      return keys.map((key) => ({ key }));
    },

    generateKey({ session }, template) {
      const mechanism = { mechanism: MECHANISMS.aesKeyGen };
      return {
        key: run("C_GenerateKey", () => lib.C_GenerateKey(session, mechanism, [...template])),
      };
    },

    generatePair({ session }, type, { publicTemplate, privateTemplate }) {
      const mechanism = type === "ec" ? MECHANISMS.ecKeyPairGen : MECHANISMS.rsaKeyPairGen;
      const made = run("C_GenerateKeyPair", () =>
        lib.C_GenerateKeyPair(session, { mechanism }, publicTemplate, privateTemplate),
      );
      return { publicKey: { key: made.publicKey }, privateKey: { key: made.privateKey } };
    },

    foreignRecipient({ session }, { modulus, exponent }) {
      const template = foreignRecipientTemplate(modulus, exponent);
      return { key: run("C_CreateObject", () => lib.C_CreateObject(session, template)) };
    },

    read: (session, key) => keyAttributes((type) => attribute(session, key, type)),

    id: (session, key) => attribute(session, key, CKA.id),

    point: (session, key) => attribute(session, key, CKA.ecPoint),

    rsaPublicKey(session, key) {
      const modulus = attribute(session, key, CKA.modulus);
      const exponent = attribute(session, key, CKA.publicExponent);
      return modulus === null || exponent === null ? null : { modulus, exponent };
    },

    async sign({ session: { session }, key: { key }, mechanism, data, bytes }) {
      const { native } = nativeMechanism(mechanism);
      const input = Buffer.from(data);
      const output = Buffer.alloc(bytes);
      run("C_SignInit", () => lib.C_SignInit(session, native, key));
      return await settled("C_Sign", lib.C_SignAsync(session, input, output));
    },

    async encrypt({ session: { session }, key: { key }, mechanism, data, bytes }) {
      const { native, iv } = nativeMechanism(mechanism);
      // No copy: the data may be a secret, which its owner zeroises.
      const input = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
      const output = Buffer.alloc(bytes);
      run("C_EncryptInit", () => lib.C_EncryptInit(session, native, key));
      const done = await settled("C_Encrypt", lib.C_EncryptAsync(session, input, output));
      // Some HSMs insist on an IV of their own and write it over ours.
      return { output: Buffer.from(done), iv: iv === null ? null : Uint8Array.from(iv) };
    },

    async decrypt({ session: { session }, key: { key }, mechanism, data, bytes }) {
      const { native } = nativeMechanism(mechanism);
      const input = Buffer.from(data);
      // The tag's place, too: some libraries ask for as much room as the ciphertext takes.
      const output = Buffer.alloc(bytes + TAG_BYTES);
      try {
        run("C_DecryptInit", () => lib.C_DecryptInit(session, native, key));
        const done = await settled("C_Decrypt", lib.C_DecryptAsync(session, input, output));
        if (done.length !== bytes) {
          throw new CryptokiError("C_Decrypt", new Error("another length than was sealed"));
        }
        return output.subarray(0, bytes);
      } catch (cause) {
        output.fill(0);
        throw cause;
      }
    },
  };
}

async function settled<T>(call: string, running: Promise<T>): Promise<T> {
  try {
    return await running;
  } catch (cause) {
    throw new CryptokiError(call, cause);
  }
}

/**
 * The mechanism as pkcs11js takes it; the library holds raw pointers into it, so it stays
 * referenced to the end of the call. GCM has the 48-byte parameter block of PKCS#11 2.40 (type 7);
 * type 3 leaves ulIvBits uninitialised.
 */
function nativeMechanism(mechanism: Mechanism): {
  readonly native: NativeMechanism;
  readonly iv: Buffer | null;
} {
  switch (mechanism.kind) {
    case "gcm": {
      if (mechanism.iv.length !== IV_BYTES) {
        throw new CryptokiError("mechanism", new Error("IV is not 12 bytes"));
      }
      const iv = Buffer.from(mechanism.iv);
      const parameter = {
        type: pkcs11.CK_PARAMS_AES_GCM_v240,
        iv,
        ivBits: IV_BYTES * 8,
        aad: Buffer.from(mechanism.aad),
        tagBits: TAG_BYTES * 8,
      };
      return { native: { mechanism: MECHANISMS.aesGcm, parameter }, iv };
    }
    case "oaep": {
      const [hashAlg, mgf] =
        mechanism.hash === "sha1"
          ? [pkcs11.CKM_SHA_1, pkcs11.CKG_MGF1_SHA1]
          : [pkcs11.CKM_SHA256, pkcs11.CKG_MGF1_SHA256];
      const parameter = { type: pkcs11.CK_PARAMS_RSA_OAEP, hashAlg, mgf, source: 1 };
      return { native: { mechanism: MECHANISMS.rsaOaep, parameter }, iv: null };
    }
    case "ecdsa":
      return { native: { mechanism: MECHANISMS.ecdsa }, iv: null };
    case "vendor": {
      const { id, parameter } = mechanism;
      const native = { mechanism: id };
      if (parameter === null) return { native, iv: null };
      return { native: { ...native, parameter: Buffer.from(parameter) }, iv: null };
    }
    default:
      return mechanism satisfies never;
  }
}

/** Labels are padded with blanks, by some libraries with NULs. */
function unpad(text: string): string {
  return text.replace(/[\0 ]+$/, "");
}

/** pkcs11js has three shapes of error; only one of them carries its code. */
function readCause(cause: unknown): {
  readonly ckr: number | null;
  readonly words: string;
} {
  if (!(cause instanceof Error)) return { ckr: null, words: "unknown failure" };
  const code: unknown = "code" in cause ? cause.code : undefined;
  const match = /(CKR_\w+)(?::(\d+))?/.exec(cause.message);
  const number = typeof code === "number" && code !== 0 ? code : Number(match?.[2] ?? Number.NaN);
  const ckr = Number.isSafeInteger(number) ? number : null;
  const first = cause.message.split("\n")[0] ?? "";
  const words = match?.[1] ?? first.slice(0, 200);
  return {
    ckr,
    words: ckr === null ? words : `${words} (0x${ckr.toString(16)})`,
  };
}
