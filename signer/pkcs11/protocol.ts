/**
 * What the signer and its token process say to each other, checked on both sides: the child holds
 * the token's login and takes nothing on trust, and the parent may be talking to a child that a
 * faulty library has damaged.
 */
import { z } from "zod";
import { ACCOUNT_LABEL, keyFileSchema, NETWORKS, sealedKeySchema } from "../custody/key-file.ts";
import { TOKEN_FAULTS } from "./token-error.ts";

/** As many signatures as a transaction that the law allows has inputs. */
export const ITEMS_MAX = 250;

const bytes = (length: number) =>
  z
    .custom<Uint8Array>((value) => value instanceof Uint8Array && value.length === length)
    .describe(`${length} bytes`);

export const childConfigSchema = z.strictObject({
  token: z.string().nullable(),
  serial: z.string().nullable(),
  object: z.string(),
  /** The token's library; see `custody` for what stands before it. */
  modulePath: z.string(),
  custody: z.discriminatedUnion("kind", [
    /** `module`: the path of the sealed module, or null where JavaScript opens the keys. */
    z.strictObject({
      kind: z.literal("sealed"),
      module: z.string().nullable(),
      oaep: z.enum(["sha1", "sha256"]),
    }),
    z.strictObject({ kind: z.literal("native"), mechanism: z.int().positive() }),
  ]),
  /** Of the profile: what the token's manufacturer begins with. */
  manufacturer: z.string(),
  pinSource: z.string(),
  latchFile: z.string(),
  maxSessions: z.int().min(1),
  network: z.enum(NETWORKS),
  /** "provision": keys of the token may be missing and are made by init. */
  purpose: z.enum(["serve", "provision"]),
});
export type ChildConfig = z.infer<typeof childConfigSchema>;

const infoSchema = z.strictObject({
  token: z.string(),
  serial: z.string(),
  manufacturer: z.string(),
  model: z.string(),
  firmware: z.string(),
  library: z.string(),
  modulePath: z.string(),
  /** Of the library's file as it was loaded, hex. */
  moduleSha256: z.string(),
  object: z.string(),
  /** Operations that run in the token at one time. */
  lanes: z.int(),
  /** Of the sealed module, where it opens the keys. */
  sealedModuleSha256: z.string().nullable(),
  /** Whether the key that custody needs is there: the sealing key, or the probe key. */
  ready: z.boolean(),
  /** The key that signs audit heads, compressed hex; null where the token has none. */
  auditKey: z.string().nullable(),
});
export type ChildInfo = z.infer<typeof infoSchema>;

const hexText = z.string().regex(/^(?:[0-9a-f]{2})+$/);

/** A sealed key as it is for a recipient token. */
export const keyCopySchema = z.strictObject({
  label: z.string().regex(ACCOUNT_LABEL),
  publicKey: z.string().regex(/^0[23][0-9a-f]{64}$/),
  chainCode: z.string().regex(/^[0-9a-f]{64}$/),
  epoch: z.int().min(1).max(0xffffffff),
  ciphertext: hexText.max(1024),
});

/** Of a recipient token: RSA, as unsigned big-endian numbers. */
export const recipientSchema = z.strictObject({
  modulus: hexText.min(512).max(1024),
  exponent: hexText.max(16),
});

const attributesSchema = z.record(
  z.string(),
  z.union([z.string(), z.number(), z.boolean(), z.null()]),
);

/** What a token says of itself and of its keys. */
export const tokenReportSchema = z.strictObject({
  mechanisms: z.array(z.strictObject({ id: z.string(), flags: z.string() })),
  keys: z.array(
    z.strictObject({ name: z.string(), kind: z.string(), attributes: attributesSchema }),
  ),
  probe: z.strictObject({
    publicKey: z.string(),
    challenge: z.string(),
    signature: z.string(),
  }),
});

/** Every operation: what it takes, what it answers. */
export const operations = {
  open: { params: childConfigSchema, result: infoSchema },
  info: { params: z.strictObject({}), result: infoSchema },
  /** Makes the keys of the token that are missing. */
  init: { params: z.strictObject({}), result: infoSchema },
  /** A new account key, or the one that the token has under this label. */
  make: {
    params: z.strictObject({ label: z.string().regex(ACCOUNT_LABEL) }),
    result: keyFileSchema,
  },
  /** Signs once with each key; answers the positions of those that are not what they say. */
  check: {
    params: z.strictObject({ keys: z.array(keyFileSchema).max(ITEMS_MAX) }),
    result: z.strictObject({ damaged: z.array(z.int()) }),
  },
  sign: {
    params: z.strictObject({
      keys: z.array(keyFileSchema).min(1).max(ITEMS_MAX),
      items: z
        .array(
          z.strictObject({
            /** Position in `keys`. */
            key: z.int().min(0),
            tweak: bytes(32),
            message: bytes(32),
          }),
        )
        .min(1)
        .max(ITEMS_MAX),
    }),
    result: z.strictObject({ signatures: z.array(bytes(64)).max(ITEMS_MAX) }),
  },
  /** The token and its keys, and a BIP340 signature by the probe key over the tagged challenge. */
  attest: { params: z.strictObject({ challenge: bytes(32) }), result: tokenReportSchema },
  /** The RSA key for which others seal copies; made where it is missing. */
  recipient: { params: z.strictObject({}), result: recipientSchema },
  copy: {
    params: z.strictObject({
      keys: z.array(sealedKeySchema).min(1).max(ITEMS_MAX),
      recipient: recipientSchema,
    }),
    result: z.strictObject({ ciphertexts: z.array(hexText).max(ITEMS_MAX) }),
  },
  restore: {
    params: z.strictObject({ copies: z.array(keyCopySchema).min(1).max(ITEMS_MAX) }),
    result: z.strictObject({ keys: z.array(sealedKeySchema).max(ITEMS_MAX) }),
  },
  /** Seals keys under another sealing key, which is made where it is missing. */
  rotate: {
    params: z.strictObject({
      keys: z.array(sealedKeySchema).min(1).max(ITEMS_MAX),
      object: z.string().min(1).max(120),
    }),
    result: z.strictObject({ keys: z.array(sealedKeySchema).max(ITEMS_MAX) }),
  },
  /** A signature over a hash by the audit key. */
  audit: {
    params: z.strictObject({ hash: bytes(32) }),
    result: z.strictObject({ publicKey: bytes(33), signature: bytes(64) }),
  },
  /** Signs and verifies with a key of no account: the path of a real signature. */
  health: {
    params: z.strictObject({}),
    result: z.strictObject({ ms: z.number() }),
  },
} as const;

export type Operation = keyof typeof operations;
export type Params<O extends Operation> = z.infer<(typeof operations)[O]["params"]>;
export type Result<O extends Operation> = z.infer<(typeof operations)[O]["result"]>;

export const requestSchema = z.strictObject({
  id: z.int(),
  op: z.enum(Object.keys(operations) as [Operation, ...Operation[]]),
  params: z.unknown(),
});

export const replySchema = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("done"), id: z.int(), value: z.unknown() }),
  z.strictObject({
    kind: z.literal("fault"),
    id: z.int(),
    code: z.enum(TOKEN_FAULTS),
    message: z.string(),
  }),
  z.strictObject({
    kind: z.literal("event"),
    event: z.string(),
    fields: z.record(z.string(), z.union([z.string(), z.number()])),
  }),
]);
export type Reply = z.infer<typeof replySchema>;
