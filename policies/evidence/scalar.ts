/** The scalars that evidence is written in, as schemas: strict, so that one value has one text. */
import { z } from "zod";
import { fromHex } from "../bitcoin/hash.ts";
import { CENTS_MAX, SATS_MAX } from "../money.ts";

export const hash = z.string().regex(/^[0-9a-f]{64}$/);
export const vaultId = z.string().regex(/^[0-9a-f]{40}$/);
export const name = z.string().regex(/^[a-z0-9][a-z0-9.-]{0,62}$/);
export const publicKey = z.string().regex(/^0[23][0-9a-f]{64}$/);

/** Heights, sequences, seconds: whole and far below 2^53. */
export const whole = z.int().nonnegative().max(100_000_000_000);

/** An amount as a decimal text without leading zeros, or a whole number. */
export const decimal = z
  .union([z.int().nonnegative(), z.string().regex(/^(?:0|[1-9][0-9]{0,18})$/)])
  .transform(BigInt);

/** A signed amount: what an entry adds or takes. */
export const signedDecimal = z
  .union([z.int(), z.string().regex(/^(?:0|-?[1-9][0-9]{0,18})$/)])
  .transform(BigInt);

export const amountSats = decimal.refine((value) => value <= SATS_MAX, {
  message: "is more than 21 million bitcoin",
});
export const amountMsats = decimal.refine((value) => value <= SATS_MAX * 1_000n, {
  message: "is more than 21 million bitcoin",
});
export const amountCents = decimal.refine((value) => value <= CENTS_MAX, {
  message: "is more than any balance",
});

/** Exactly so many bytes, in lower-case hex. */
export function bytes(...lengths: readonly number[]) {
  return z
    .string()
    .regex(/^(?:[0-9a-f]{2})*$/)
    .refine((text) => lengths.includes(text.length / 2), {
      message: `is not ${lengths.join(" or ")} bytes of hex`,
    })
    .transform((text) => fromHex(text));
}
