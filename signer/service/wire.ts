/** What travels between a signer's server and its remote client: JSON with a strict schema. */
import { base64 } from "@scure/base";
import { z } from "zod";
import { PSBT_BYTES_MAX } from "../../policies/bitcoin/psbt.ts";
import { ruleIds } from "../../policies/decide.ts";
import { LINE_BYTES_MAX } from "../../policies/evidence/line.ts";
import { NOTICE_KINDS } from "../../policies/evidence/notice.ts";
import { intentSchema } from "../../policies/intent.ts";
import { ROLES, vaultSchema } from "../../policies/vault.ts";

/** A statement that proves many accounts, and an original beside it. */
const EVIDENCE_BYTES_MAX = 512 * 1024;

/** Text of a PSBT of the largest size, and an intent and evidence beside it. */
export const BODY_BYTES_MAX = Math.ceil(PSBT_BYTES_MAX / 3) * 4 + 64 * 1024 + EVIDENCE_BYTES_MAX;

const psbt = z.string().transform((text, context) => {
  try {
    return base64.decode(text);
  } catch {
    context.addIssue({ code: "custom", message: "is not base64" });
    return z.NEVER;
  }
});

export const signBody = z.strictObject({
  intent: intentSchema,
  psbt,
  // Read by the guard, which says what is wrong with it by its own words.
  evidence: z.unknown().optional(),
});
/** Labels name files of sealed keys, so they are small letters, digits and . _ - only. */
const label = z.string().regex(/^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$/);
export const accountBody = z.strictObject({ label });
export const vaultBody = z.strictObject({
  vault: vaultSchema,
  proofs: z.partialRecord(z.enum(ROLES), z.string().max(130)),
});

export const noticeBody = z.strictObject({
  text: z.string().max(LINE_BYTES_MAX),
  signature: z.string().max(130),
});

/** What a client calls a request. */
export const REQUEST_ID = /^[A-Za-z0-9_-]{1,64}$/;

const number = (max: number, otherwise: number) =>
  z
    .string()
    .regex(/^[0-9]{1,9}$/)
    .transform(Number)
    .pipe(z.int().min(1).max(max))
    .default(otherwise);
/** A page of the decision log. */
export const auditQuery = z.strictObject({
  from: number(999_999_999, 1),
  limit: number(1_000, 200),
});

const rule = z.enum(ruleIds as [(typeof ruleIds)[number], ...(typeof ruleIds)[number][]]);
const violation = z.strictObject({
  rule,
  detail: z.string(),
  retry: z.string().exactOptional(),
});

export const signAnswer = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("signed"), psbt, rules: z.array(rule) }),
  z.strictObject({ kind: z.enum(["refused", "held"]), violations: z.array(violation) }),
]);
export const accountAnswer = z.strictObject({ key: z.string() });
export const vaultAnswer = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("registered"), vault: z.string(), proof: z.string() }),
  z.strictObject({ kind: z.literal("refused"), reasons: z.array(z.string()) }),
]);

const policy = z.strictObject({ name: z.string(), version: z.int(), hash: z.string() });

export const noticeAnswer = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("heard"), notice: z.enum(NOTICE_KINDS), height: z.int() }),
  z.strictObject({ kind: z.enum(["refused", "held"]), reasons: z.array(z.string()) }),
]);

const policyWithDocument = policy.extend({ document: z.unknown() });
/** The law, for whoever wants to read it. */
export const policyAnswer = z.strictObject({
  inForce: policyWithDocument,
  announced: policyWithDocument.exactOptional(),
});
export type PolicyAnswer = z.output<typeof policyAnswer>;

/** What a signer says of itself on its status endpoint. */
export const statusAnswer = z.strictObject({
  name: z.string(),
  role: z.enum(ROLES),
  custody: z.string(),
  /** The policy in force. */
  policy,
  /** The loosening that waits, where there is one: everybody is to see it coming. */
  announced: policy.exactOptional(),
  paused: z.boolean(),
  vaults: z.int(),
  claims: z.int(),
  decisions: z.int(),
});
export type SignerStatus = z.output<typeof statusAnswer>;

export const aliveAnswer = z.strictObject({ alive: z.literal(true) });
export const readyAnswer = z.strictObject({ ready: z.boolean(), reasons: z.array(z.string()) });

/** What came of a request. */
export const requestAnswer = z.strictObject({
  id: z.string().regex(REQUEST_ID),
  /** `unknown`: the signer's process ended meanwhile; ask again with the same request. */
  state: z.enum(["working", "unknown", "signed", "refused", "held", "failed"]),
  intent: z.string(),
  askedAt: z.iso.datetime(),
  answeredAt: z.iso.datetime().nullable(),
  violations: z.array(violation),
  /** Code of the fault, where it failed. */
  code: z.string().nullable(),
});

/** A page of the decision log. */
export const auditAnswer = z.strictObject({
  lines: z.array(z.strictObject({ sequence: z.int(), record: z.string(), link: z.string() })),
  heads: z.array(
    z.strictObject({
      sequence: z.int(),
      link: z.string(),
      key: z.string(),
      signature: z.string(),
    }),
  ),
  /** Where the next page begins; null at the end. */
  next: z.int().nullable(),
});

/** RFC 9457. */
export const problemBody = z.object({
  title: z.string(),
  status: z.int(),
  code: z.string(),
  detail: z.string(),
  retryable: z.boolean(),
  /** When asking again may help. */
  retry_after_seconds: z.int().exactOptional(),
  /** The rule that stands against it, where it is one. */
  rule: z.string().exactOptional(),
});
export type Problem = z.output<typeof problemBody>;
