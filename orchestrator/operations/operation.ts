/**
 * What accounts may ask of a pool, as it stands in a log. v1: seek, provide, withdraw, cancel, undo.
 * v2: seek, provide, deposit, unlock, withdraw, transfer.
 */
import { z } from "zod";
import { amountCents, amountMsats, whole } from "../../policies/evidence/scalar.ts";
import { type Cents, cents, type Msats, msats, type Ppb, ppb } from "../../policies/money.ts";
import { accountSchema } from "./account.ts";

const account = z.string().min(1).max(90);
const amount = amountMsats.transform((value): Msats => msats(value));
const fiat = amountCents.transform((value): Cents => cents(value));
const fee = z
  .int()
  .min(-999_999_999)
  .max(999_999_999)
  .transform((value): Ppb => ppb(BigInt(value)));
/** The transaction, request or withdrawal that an operation belongs to; history items carry it. */
const reference = z.string().max(128).default("");
/** Bytes that the pool carries and does not read. */
const opaque = z
  .string()
  .regex(/^(?:[0-9a-f]{2}){0,256}$/)
  .default("");

/** By the place of the key in the account: BIP340 in hex over the request's hash. */
const signatures = z.record(
  z.string().regex(/^(?:0|[1-9][0-9]{0,2})$/),
  z.string().regex(/^[0-9a-f]{128}$/),
);

/** What an account of several keys signs beside the request itself. */
const authority = z.strictObject({ nonce: whole, until: whole, signatures });

export const operationSchema = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("seek"), account, msats: amount, reference }),
  z.strictObject({ kind: z.literal("provide"), account, msats: amount, fee_ppb: fee, reference }),
  z.strictObject({ kind: z.literal("cancel"), account, bps: z.int().nonnegative(), reference }),
  z.strictObject({ kind: z.literal("undo"), account, reference }),
  /** A depositor's, which no cycle touches. */
  z.strictObject({
    kind: z.literal("deposit"),
    account,
    msats: amount,
    metadata: opaque,
    reference,
  }),
  z.strictObject({
    kind: z.literal("withdraw"),
    /** v1: the key. v2: the whole account. */
    account: z.union([account, accountSchema]),
    msats: amount,
    authority: authority.optional(),
    reference,
  }),
  z.strictObject({
    kind: z.literal("unlock"),
    account: accountSchema,
    cents: z.union([z.literal("all"), fiat]),
    authority: authority.optional(),
    reference,
  }),
  z.strictObject({
    kind: z.literal("transfer"),
    from: accountSchema,
    to: account,
    cents: fiat,
    nonce: whole,
    /** The last cycle in which it may happen. */
    until: whole,
    /** Only between providers, and there always: what the new provide asks for. */
    fee_ppb: fee.optional(),
    meta: opaque,
    signatures,
    reference,
  }),
]);

export type Operation = z.output<typeof operationSchema>;
export type OperationOf<Kind extends Operation["kind"]> = Extract<Operation, { kind: Kind }>;
export type Signatures = z.output<typeof signatures>;
export type Authority = z.output<typeof authority>;
