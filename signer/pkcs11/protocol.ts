/**
 * What the signer and its token process say to each other, checked on both sides: the child holds
 * the token's login and takes nothing on trust, and the parent may be talking to a child that a
 * faulty library has damaged.
 */
import { z } from "zod";
import { ACCOUNT_LABEL, blobSchema, NETWORKS } from "./blob.ts";
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
  modulePath: z.string(),
  pinSource: z.string(),
  latchFile: z.string(),
  maxSessions: z.int().min(1),
  network: z.enum(NETWORKS),
  /** "provision": the sealing key may be missing and is made by init-kek. */
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
  kek: z.enum(["present", "absent"]),
});
export type ChildInfo = z.infer<typeof infoSchema>;

/** Every operation: what it takes, what it answers. */
export const operations = {
  open: { params: childConfigSchema, result: infoSchema },
  info: { params: z.strictObject({}), result: infoSchema },
  "init-kek": { params: z.strictObject({}), result: infoSchema },
  seal: {
    params: z.strictObject({ label: z.string().regex(ACCOUNT_LABEL) }),
    result: blobSchema,
  },
  /** Opens each blob once; answers the positions of those that are not what they say. */
  check: {
    params: z.strictObject({ blobs: z.array(blobSchema).max(ITEMS_MAX) }),
    result: z.strictObject({ damaged: z.array(z.int()) }),
  },
  sign: {
    params: z.strictObject({
      blobs: z.array(blobSchema).min(1).max(ITEMS_MAX),
      items: z
        .array(
          z.strictObject({
            blob: z.int().min(0),
            tweak: bytes(32),
            message: bytes(32),
          }),
        )
        .min(1)
        .max(ITEMS_MAX),
    }),
    result: z.strictObject({ signatures: z.array(bytes(64)).max(ITEMS_MAX) }),
  },
  /** Seals, opens, signs and verifies with a throw-away key: the path of a real signature. */
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
