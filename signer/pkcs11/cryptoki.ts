/**
 * PKCS#11 as this signer may use it: the only file that loads pkcs11js, and only the child process
 * loads this file. pkcs11js ends its process when it is given an attribute of the wrong type, an
 * unknown parameter type, a C_Initialize without locking, a C_Finalize with work in flight, or a
 * call after a failed load. None of the five can be written with the functions below: templates
 * and the one mechanism parameter are built here, a failed load yields nothing to call, and there
 * is no C_Finalize: a child has one connection for its life and ends it by ending.
 */
import pkcs11, { type Attribute, type TokenInfo } from "pkcs11js";
import { IV_BYTES, KEY_BYTES, TAG_BYTES } from "./blob.ts";

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

/** What is read back of a sealing key; null where the token does not know the attribute. */
export interface KekAttributes {
  readonly secretKey: boolean | null;
  readonly aes: boolean | null;
  readonly bytes: number | null;
  readonly token: boolean | null;
  readonly private: boolean | null;
  readonly sensitive: boolean | null;
  readonly extractable: boolean | null;
  readonly local: boolean | null;
  readonly alwaysSensitive: boolean | null;
  readonly neverExtractable: boolean | null;
  readonly modifiable: boolean | null;
  readonly copyable: boolean | null;
  readonly wrap: boolean | null;
  readonly unwrap: boolean | null;
  readonly derive: boolean | null;
  readonly sign: boolean | null;
  readonly encrypt: boolean | null;
  readonly decrypt: boolean | null;
  /** Whether AES-GCM is all that the token allows with this key. */
  readonly gcmOnly: boolean | null;
}

/** Optional parts of a sealing key's template, in the order in which they are given up. */
export interface KekTemplateExtras {
  readonly copyable: boolean;
  readonly allowedMechanisms: boolean;
}

export interface Gcm {
  readonly iv: Uint8Array;
  readonly aad: Uint8Array;
}

export interface Cryptoki {
  readonly library: string;
  tokens(): readonly TokenDescription[];
  mechanisms(slot: SlotHandle): readonly number[];
  openSession(slot: SlotHandle, access: "read-only" | "read-write"): SessionHandle;
  closeSession(session: SessionHandle): void;
  login(session: SessionHandle, pin: string): void;
  random(session: SessionHandle, bytes: number): Uint8Array;
  findAesKeys(session: SessionHandle, label: string): readonly KeyHandle[];
  generateKek(session: SessionHandle, label: string, extras: KekTemplateExtras): KeyHandle;
  readKek(session: SessionHandle, key: KeyHandle): KekAttributes;
  /** Seals 32 bytes. The IV that was used may be the token's own: take it from the answer. */
  encrypt(session: SessionHandle, key: KeyHandle, plain: Uint8Array, gcm: Gcm): Promise<Sealed>;
  /** Opens 32 bytes into a buffer of its own, which the caller zeroises. */
  decrypt(session: SessionHandle, key: KeyHandle, sealed: Sealed, aad: Uint8Array): Promise<Buffer>;
}

export interface Sealed {
  readonly iv: Uint8Array;
  readonly ciphertext: Uint8Array;
}

export const MECHANISMS = { aesKeyGen: 0x1080, aesGcm: 0x1087 } as const;

/** A label is unique or it is refused, so a third match is never looked at. */
const FIND_MAX = 2;
const ALLOWED_MECHANISMS = 0x40000600;
const CK_ULONG_BYTES = 8;

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

    mechanisms: ({ slot }) => run("C_GetMechanismList", () => lib.C_GetMechanismList(slot)),

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

    findAesKeys({ session }, label) {
      const template = [
        { type: pkcs11.CKA_CLASS, value: pkcs11.CKO_SECRET_KEY },
        { type: pkcs11.CKA_KEY_TYPE, value: pkcs11.CKK_AES },
        { type: pkcs11.CKA_LABEL, value: Buffer.from(label, "utf8") },
      ];
      run("C_FindObjectsInit", () => lib.C_FindObjectsInit(session, template));
      const keys = run("C_FindObjects", () => lib.C_FindObjects(session, FIND_MAX));
      run("C_FindObjectsFinal", () => lib.C_FindObjectsFinal(session));
      return keys.map((key) => ({ key }));
    },

    generateKek({ session }, label, extras) {
      const template = kekTemplate(label, extras);
      const mechanism = { mechanism: MECHANISMS.aesKeyGen };
      return {
        key: run("C_GenerateKey", () => lib.C_GenerateKey(session, mechanism, template)),
      };
    },

    readKek(session, key) {
      const raw = (type: number) => attribute(session, key, type);
      const flag = (type: number) => {
        const value = raw(type);
        return value === null || value.length !== 1 ? null : value[0] !== 0;
      };
      const number = (type: number) => {
        const value = raw(type);
        return value === null || value.length !== CK_ULONG_BYTES
          ? null
          : Number(value.readBigUInt64LE());
      };
      const is = (type: number, expected: number) => {
        const value = number(type);
        return value === null ? null : value === expected;
      };
      const allowed = raw(ALLOWED_MECHANISMS);
      return {
        secretKey: is(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY),
        aes: is(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_AES),
        bytes: number(pkcs11.CKA_VALUE_LEN),
        token: flag(pkcs11.CKA_TOKEN),
        private: flag(pkcs11.CKA_PRIVATE),
        sensitive: flag(pkcs11.CKA_SENSITIVE),
        extractable: flag(pkcs11.CKA_EXTRACTABLE),
        local: flag(pkcs11.CKA_LOCAL),
        alwaysSensitive: flag(pkcs11.CKA_ALWAYS_SENSITIVE),
        neverExtractable: flag(pkcs11.CKA_NEVER_EXTRACTABLE),
        modifiable: flag(pkcs11.CKA_MODIFIABLE),
        copyable: flag(pkcs11.CKA_COPYABLE),
        wrap: flag(pkcs11.CKA_WRAP),
        unwrap: flag(pkcs11.CKA_UNWRAP),
        derive: flag(pkcs11.CKA_DERIVE),
        sign: flag(pkcs11.CKA_SIGN),
        encrypt: flag(pkcs11.CKA_ENCRYPT),
        decrypt: flag(pkcs11.CKA_DECRYPT),
        gcmOnly: allowed === null ? null : allowed.equals(ulong(MECHANISMS.aesGcm)),
      };
    },

    async encrypt({ session }, { key }, plain, gcm) {
      const mechanism = gcmMechanism(gcm);
      const input = Buffer.from(plain.buffer, plain.byteOffset, plain.byteLength);
      const output = Buffer.alloc(KEY_BYTES + TAG_BYTES);
      run("C_EncryptInit", () => lib.C_EncryptInit(session, mechanism, key));
      const done = await settled("C_Encrypt", lib.C_EncryptAsync(session, input, output));
      // Some HSMs insist on an IV of their own and write it over ours.
      return {
        iv: Uint8Array.from(mechanism.parameter.iv),
        ciphertext: Uint8Array.from(done),
      };
    },

    async decrypt({ session }, { key }, sealed, aad) {
      // The mechanism and both buffers stay referenced to the end: the library holds raw pointers.
      const mechanism = gcmMechanism({ iv: sealed.iv, aad });
      const input = Buffer.from(sealed.ciphertext);
      const output = Buffer.alloc(KEY_BYTES + TAG_BYTES);
      try {
        run("C_DecryptInit", () => lib.C_DecryptInit(session, mechanism, key));
        const done = await settled("C_Decrypt", lib.C_DecryptAsync(session, input, output));
        if (done.length !== KEY_BYTES || mechanism.parameter.iv.length !== IV_BYTES) {
          throw new CryptokiError("C_Decrypt", new Error("another length than was sealed"));
        }
        return output.subarray(0, KEY_BYTES);
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

/** The 48-byte parameter block of PKCS#11 2.40 (type 7); type 3 leaves ulIvBits uninitialised. */
function gcmMechanism({ iv, aad }: Gcm) {
  if (iv.length !== IV_BYTES) throw new CryptokiError("mechanism", new Error("IV is not 12 bytes"));
  const parameter = {
    type: pkcs11.CK_PARAMS_AES_GCM_v240,
    iv: Buffer.from(iv),
    ivBits: IV_BYTES * 8,
    aad: Buffer.from(aad),
    tagBits: TAG_BYTES * 8,
  };
  return { mechanism: MECHANISMS.aesGcm, parameter };
}

function kekTemplate(label: string, extras: KekTemplateExtras): Attribute[] {
  return [
    { type: pkcs11.CKA_CLASS, value: pkcs11.CKO_SECRET_KEY },
    { type: pkcs11.CKA_KEY_TYPE, value: pkcs11.CKK_AES },
    { type: pkcs11.CKA_VALUE_LEN, value: 32 },
    { type: pkcs11.CKA_LABEL, value: Buffer.from(label, "utf8") },
    { type: pkcs11.CKA_TOKEN, value: true },
    { type: pkcs11.CKA_PRIVATE, value: true },
    { type: pkcs11.CKA_SENSITIVE, value: true },
    { type: pkcs11.CKA_EXTRACTABLE, value: false },
    { type: pkcs11.CKA_MODIFIABLE, value: false },
    { type: pkcs11.CKA_WRAP, value: false },
    { type: pkcs11.CKA_UNWRAP, value: false },
    { type: pkcs11.CKA_DERIVE, value: false },
    { type: pkcs11.CKA_SIGN, value: false },
    { type: pkcs11.CKA_VERIFY, value: false },
    { type: pkcs11.CKA_ENCRYPT, value: true },
    { type: pkcs11.CKA_DECRYPT, value: true },
    ...(extras.copyable ? [{ type: pkcs11.CKA_COPYABLE, value: false }] : []),
    ...(extras.allowedMechanisms
      ? [{ type: ALLOWED_MECHANISMS, value: ulong(MECHANISMS.aesGcm) }]
      : []),
  ];
}

/** A CK_ULONG as 64-bit little-endian machines hold it, which are all that Node 20 serves here. */
function ulong(value: number): Buffer {
  const bytes = Buffer.alloc(CK_ULONG_BYTES);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
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
