/** What a pool is set to: every bound, fee and ratio, as its log states them in the first line. */
import { z } from "zod";
import { NETWORKS } from "../../policies/bitcoin/network.ts";
import { amountMsats, name } from "../../policies/evidence/scalar.ts";
import { SATS_MAX } from "../../policies/money.ts";

/** No pool holds more than there is: with it every balance and every sum fits in u64. */
const POOL_MSATS_MAX = SATS_MAX * 1_000n;

const rate = z.int().min(-999_999_999).max(999_999_999).transform(BigInt);
/** The seed holds each side of the ratio in a byte. */
const side = z.int().min(1).max(255).transform(BigInt);

const operationFees = z.strictObject({
  seek: amountMsats.prefault(0),
  provide: amountMsats.prefault(0),
  cancel: amountMsats.prefault(0),
  undo: amountMsats.prefault(0),
  withdraw: amountMsats.prefault(0),
  unlock: amountMsats.prefault(0),
  transfer: amountMsats.prefault(0),
});

export const poolConfigSchema = z.strictObject({
  network: z.enum(NETWORKS).default("regtest"),
  /** The pool's name: "usd". Signed requests are for one pool. */
  pool: z.string().regex(/^[a-z][a-z0-9-]{0,31}$/),
  /** ISO 4217, or XAU. */
  currency: z.string().regex(/^[A-Z]{3}$/),
  /** v1: an account is a key, and leaves by bps. v2: typed m-of-n accounts, and leaves by cents. */
  rules: z.enum(["v1", "v2"]),
  cycle_seconds: z.int().min(1).max(86_400).default(600),
  collateral: z.strictObject({ provider: side, seeker: side }).prefault({ provider: 1, seeker: 1 }),
  /** Of what the fee is a part (formula.ts). */
  fee_on: z.enum(["gross", "net"]).default("gross"),
  min_seek_msats: amountMsats.prefault(100_000),
  min_provide_msats: amountMsats.prefault(100_000),
  max_seek_msats: amountMsats.prefault(String(POOL_MSATS_MAX)),
  max_provide_msats: amountMsats.prefault(String(POOL_MSATS_MAX)),
  /** What the whole pool may hold. */
  max_pool_msats: amountMsats.prefault(String(POOL_MSATS_MAX)),
  max_provide_fee_rate_ppb: rate.prefault(2_000),
  /**
   * Below zero providers may bid to pay; what they pay goes into the bailout fund, which fills up
   * seeks when collateral does not reach. Zero: there is no such fund.
   */
  min_provide_fee_rate_ppb: rate.prefault(0),
  min_cancellation_bps: z.int().min(1).max(10_000).transform(BigInt).prefault(100),
  /** So many guardians turn a cycle. */
  threshold: z.int().min(1).max(100).default(1),
  /** Who may vote; empty: whoever the reader of votes lets through. */
  guardians: z.array(name).max(100).default([]),
  operation_fees_msats: operationFees.prefault({}),
  oracle: z
    .discriminatedUnion("kind", [
      z.strictObject({ kind: z.literal("aggregate") }),
      z.strictObject({
        kind: z.literal("mock"),
        price: z.int().min(1).transform(BigInt).prefault(1_000_000),
      }),
    ])
    .prefault({ kind: "aggregate" }),
});

export type PoolConfig = z.output<typeof poolConfigSchema>;
export type OperationFee = keyof PoolConfig["operation_fees_msats"];
