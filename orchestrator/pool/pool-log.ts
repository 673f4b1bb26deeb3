/**
 * `ballast/pool-log@1`: a pool's operations and votes in their order, one JSON object a line, with
 * what the writer claims of the outcome between them. It is all that a replay needs.
 */
import { z } from "zod";
import { decimal, hash, name, whole } from "../../policies/evidence/scalar.ts";
import { CENTS_MAX, type Price } from "../../policies/money.ts";
import { operationSchema } from "../operations/operation.ts";
import { REFUSALS } from "../operations/refusal.ts";
import { type PoolConfig, poolConfigSchema } from "./pool-config.ts";

const headSchema = z.strictObject({
  format: z.literal("ballast/pool-log@1"),
  config: poolConfigSchema,
});

const nanos = z
  .string()
  .regex(/^(?:0|[1-9][0-9]{0,18})$/)
  .transform(BigInt);

const vote = z
  .strictObject({
    guardian: name,
    index: whole,
    /** Nanoseconds since 1970, as a decimal text: their last nine digits place remainders. */
    time_nanos: nanos,
    /** Cents per bitcoin; 0 where the guardian knows none. */
    price: decimal.refine((value) => value <= CENTS_MAX, { message: "is no price" }),
  })
  .transform(({ guardian, index, time_nanos: timeNanos, price }) => ({
    guardian,
    index,
    timeNanos,
    price: price as Price | 0n,
  }));

/** What the writer of the log says of the pool here; each figure may be left out. */
const claim = z.strictObject({
  cycle: whole.optional(),
  price: decimal.optional(),
  fee_ppb: z.int().transform(BigInt).optional(),
  locked_seeks_msats: decimal.optional(),
  locked_provides_msats: decimal.optional(),
  fees_msats: decimal.optional(),
  held_msats: decimal.optional(),
  bailout_msats: decimal.optional(),
  state: hash.optional(),
});

const balance = z.strictObject({
  account: z.string().max(90),
  idle_msats: decimal.optional(),
  staged_msats: decimal.optional(),
  locked_msats: decimal.optional(),
});

const lineSchema = z.union([
  z.strictObject({ operation: operationSchema, refused: z.enum(REFUSALS).optional() }),
  z.strictObject({ vote, ignored: z.string().optional() }),
  z.strictObject({ claim }),
  z.strictObject({ balance }),
]);

export type LogLine = z.output<typeof lineSchema>;
export type Claim = z.output<typeof claim>;
export type BalanceClaim = z.output<typeof balance>;

/** A line of a log is not what its format says. */
export class PoolLogError extends Error {
  override readonly name = "PoolLogError";
  readonly code = "pool-log";
}

/** Throws a PoolLogError. */
export function readHead(text: string): PoolConfig {
  return checked(headSchema, text).config;
}

/** Throws a PoolLogError. */
export function readLine(text: string): LogLine {
  return checked(lineSchema, text);
}

function checked<Schema extends z.ZodType>(schema: Schema, text: string): z.output<Schema> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new PoolLogError("is not JSON");
  }
  const result = schema.safeParse(json);
  if (result.success) return result.data;
  throw new PoolLogError(z.prettifyError(result.error).replaceAll("\n", " "));
}
