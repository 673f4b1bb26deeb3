/**
 * What is asked of a new key and what is read back of it, as PKCS#11 attributes. pkcs11js ends its
 * process on a value of the wrong type, so templates are written here and nowhere else.
 */
export interface TokenAttribute {
  readonly type: number;
  readonly value: number | boolean | Buffer;
}

/** The kinds of keys that a signer uses; the kind fixes class, key type and what it may do. */
export type KeyKind = "sealing" | "signing" | "verifying" | "recipient" | "sealed-for";

/** Optional parts of a template, in the order in which older tokens make us give them up. */
export interface TemplateExtras {
  readonly copyable: boolean;
  readonly allowedMechanisms: boolean;
}

export const MECHANISMS = {
  aesKeyGen: 0x1080,
  aesGcm: 0x1087,
  ecKeyPairGen: 0x1040,
  ecdsa: 0x1041,
  rsaKeyPairGen: 0x0000,
  rsaOaep: 0x0009,
} as const;

/** CKA_EC_PARAMS of secp256k1: the DER of its object identifier. */
const SECP256K1 = Buffer.from("06052b8104000a", "hex");
const RECIPIENT_BITS = 3072;

const CK_ULONG_BYTES = 8;

/** PKCS#11 2.40, the numbers of its header file. */
export const CKA = {
  class: 0x0,
  token: 0x1,
  private: 0x2,
  label: 0x3,
  keyType: 0x100,
  id: 0x102,
  sensitive: 0x103,
  encrypt: 0x104,
  decrypt: 0x105,
  wrap: 0x106,
  unwrap: 0x107,
  sign: 0x108,
  verify: 0x10a,
  derive: 0x10c,
  modulus: 0x120,
  modulusBits: 0x121,
  publicExponent: 0x122,
  valueLen: 0x161,
  extractable: 0x162,
  local: 0x163,
  neverExtractable: 0x164,
  alwaysSensitive: 0x165,
  modifiable: 0x170,
  copyable: 0x171,
  ecParams: 0x180,
  ecPoint: 0x181,
  allowedMechanisms: 0x40000600,
} as const;
const CKO = { public: 2, private: 3, secret: 4 } as const;
const CKK = { rsa: 0x0, ec: 0x3, aes: 0x1f } as const;

export interface KeyName {
  readonly label: string;
  /** CKA_ID, which the two halves of a pair share; a secret key has none. */
  readonly id?: Uint8Array;
}

const KINDS = {
  sealing: [CKO.secret, CKK.aes],
  signing: [CKO.private, CKK.ec],
  verifying: [CKO.public, CKK.ec],
  recipient: [CKO.private, CKK.rsa],
  "sealed-for": [CKO.public, CKK.rsa],
} as const satisfies Record<KeyKind, readonly [number, number]>;

/** What finds a key: class, type and label, and the id where it is known. */
export function searchTemplate(kind: KeyKind, { label, id }: KeyName): TokenAttribute[] {
  const [keyClass, keyType] = KINDS[kind];
  return [
    { type: CKA.class, value: keyClass },
    { type: CKA.keyType, value: keyType },
    { type: CKA.label, value: Buffer.from(label, "utf8") },
    ...(id === undefined ? [] : [{ type: CKA.id, value: Buffer.from(id) }]),
  ];
}

/** The AES key that seals: made in the token, never outside it, good for AES-GCM alone. */
export function sealingTemplate(name: KeyName, extras: TemplateExtras): TokenAttribute[] {
  return [
    ...searchTemplate("sealing", name),
    { type: CKA.valueLen, value: 32 },
    ...kept(extras, MECHANISMS.aesGcm),
    { type: CKA.wrap, value: false },
    { type: CKA.unwrap, value: false },
    { type: CKA.derive, value: false },
    { type: CKA.sign, value: false },
    { type: CKA.verify, value: false },
    { type: CKA.encrypt, value: true },
    { type: CKA.decrypt, value: true },
  ];
}

export interface PairTemplates {
  readonly publicTemplate: TokenAttribute[];
  readonly privateTemplate: TokenAttribute[];
}

/** A pair on secp256k1 that signs by `mechanism` and does nothing else. */
export function signingTemplates(
  name: KeyName,
  mechanism: number,
  extras: TemplateExtras,
): PairTemplates {
  return {
    publicTemplate: [
      ...searchTemplate("verifying", name),
      ...open(extras),
      { type: CKA.ecParams, value: SECP256K1 },
      { type: CKA.verify, value: true },
      { type: CKA.encrypt, value: false },
      { type: CKA.wrap, value: false },
    ],
    privateTemplate: [
      ...searchTemplate("signing", name),
      ...kept(extras, mechanism),
      { type: CKA.sign, value: true },
      { type: CKA.decrypt, value: false },
      { type: CKA.unwrap, value: false },
      { type: CKA.derive, value: false },
    ],
  };
}

/** An RSA pair for which another token seals copies of its keys. */
export function recipientTemplates(name: KeyName, extras: TemplateExtras): PairTemplates {
  return {
    publicTemplate: [
      ...searchTemplate("sealed-for", name),
      ...open(extras),
      { type: CKA.modulusBits, value: RECIPIENT_BITS },
      { type: CKA.publicExponent, value: Buffer.from([1, 0, 1]) },
      { type: CKA.verify, value: false },
      { type: CKA.encrypt, value: true },
      { type: CKA.wrap, value: false },
    ],
    privateTemplate: [
      ...searchTemplate("recipient", name),
      ...kept(extras, MECHANISMS.rsaOaep),
      { type: CKA.sign, value: false },
      { type: CKA.decrypt, value: true },
      { type: CKA.unwrap, value: false },
      { type: CKA.derive, value: false },
    ],
  };
}

/** Another token's public key, for the life of a session: copies of keys are sealed for it. */
export function foreignRecipientTemplate(modulus: Uint8Array, exponent: Uint8Array) {
  const [keyClass, keyType] = KINDS["sealed-for"];
  return [
    { type: CKA.class, value: keyClass },
    { type: CKA.keyType, value: keyType },
    { type: CKA.token, value: false },
    { type: CKA.private, value: false },
    { type: CKA.modulus, value: Buffer.from(modulus) },
    { type: CKA.publicExponent, value: Buffer.from(exponent) },
    { type: CKA.encrypt, value: true },
  ] satisfies TokenAttribute[];
}

/** What keeps a secret or private key in its token, for its one use and as it was made. */
function kept(
  { copyable, allowedMechanisms }: TemplateExtras,
  mechanism: number,
): TokenAttribute[] {
  return [
    { type: CKA.token, value: true },
    { type: CKA.private, value: true },
    { type: CKA.sensitive, value: true },
    { type: CKA.extractable, value: false },
    { type: CKA.modifiable, value: false },
    ...(copyable ? [{ type: CKA.copyable, value: false }] : []),
    ...(allowedMechanisms ? [{ type: CKA.allowedMechanisms, value: ulong(mechanism) }] : []),
  ];
}

function open({ copyable }: TemplateExtras): TokenAttribute[] {
  return [
    { type: CKA.token, value: true },
    { type: CKA.private, value: false },
    { type: CKA.modifiable, value: false },
    ...(copyable ? [{ type: CKA.copyable, value: false }] : []),
  ];
}

/** What is read back of a key; null where the token does not know or does not say. */
export interface KeyAttributes {
  readonly class: "secret" | "private" | "public" | "other" | null;
  readonly type: "aes" | "ec" | "rsa" | "other" | null;
  /** CKA_VALUE_LEN, of a secret key. */
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
  /** The mechanisms that the token allows with this key: "0x1087", more with blanks between. */
  readonly allowed: string | null;
}

/** The attributes of a key, each asked for by `raw`, which answers null for an unknown one. */
export function keyAttributes(raw: (type: number) => Buffer | null): KeyAttributes {
  const flag = (type: number) => {
    const value = raw(type);
    return value === null || value.length !== 1 ? null : value[0] !== 0;
  };
  const number = (type: number) => {
    const [value, more] = ulongs(raw(type)) ?? [];
    return value === undefined || more !== undefined ? null : value;
  };
  const allowed = ulongs(raw(CKA.allowedMechanisms));
  return {
    class: nameOf(number(CKA.class), CLASSES),
    type: nameOf(number(CKA.keyType), TYPES),
    bytes: number(CKA.valueLen),
    token: flag(CKA.token),
    private: flag(CKA.private),
    sensitive: flag(CKA.sensitive),
    extractable: flag(CKA.extractable),
    local: flag(CKA.local),
    alwaysSensitive: flag(CKA.alwaysSensitive),
    neverExtractable: flag(CKA.neverExtractable),
    modifiable: flag(CKA.modifiable),
    copyable: flag(CKA.copyable),
    wrap: flag(CKA.wrap),
    unwrap: flag(CKA.unwrap),
    derive: flag(CKA.derive),
    sign: flag(CKA.sign),
    encrypt: flag(CKA.encrypt),
    decrypt: flag(CKA.decrypt),
    allowed:
      allowed === null ? null : allowed.map((mechanism) => `0x${mechanism.toString(16)}`).join(" "),
  };
}

const CLASSES = new Map([
  [CKO.secret, "secret"],
  [CKO.private, "private"],
  [CKO.public, "public"],
] as const);
const TYPES = new Map([
  [CKK.aes, "aes"],
  [CKK.ec, "ec"],
  [CKK.rsa, "rsa"],
] as const);

function nameOf<Name extends string>(
  value: number | null,
  names: ReadonlyMap<number, Name>,
): Name | "other" | null {
  return value === null ? null : (names.get(value) ?? "other");
}

/** A CK_ULONG as 64-bit little-endian machines hold it, which are all that Node 20 serves here. */
function ulong(value: number): Buffer {
  const bytes = Buffer.alloc(CK_ULONG_BYTES);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

function ulongs(bytes: Buffer | null): readonly number[] | null {
  if (bytes === null || bytes.length % CK_ULONG_BYTES !== 0) return null;
  return Array.from({ length: bytes.length / CK_ULONG_BYTES }, (_, at) =>
    Number(bytes.readBigUInt64LE(at * CK_ULONG_BYTES)),
  );
}
