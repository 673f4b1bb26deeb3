/** What the signer's own node says about the coins of a spend. Never taken from a request. */
import { z } from "zod";
import { isOutpoint } from "./bitcoin/transaction.ts";

export type CoinStatus =
  /** Height 0 is the mempool. */
  | {
      readonly kind: "unspent";
      readonly sats: bigint;
      readonly script: string;
      readonly height: number;
      readonly coinbase: boolean;
    }
  /** Unknown to the node, or spent already. */
  | { readonly kind: "missing" };

export interface ChainView {
  readonly height: number;
  /** Hash of the block at that height: a stamp for judgements made on this view. */
  readonly tip: string;
  /** Seconds since 1970 (BIP113). */
  readonly medianTime: number;
  readonly coins: ReadonlyMap<string, CoinStatus>;
}

/** A chain view as a document, format `ballast/chain@1`, for `explain --chain`. */
export const chainSchema = z
  .strictObject({
    format: z.literal("ballast/chain@1"),
    height: z.int().nonnegative(),
    tip: z.string().regex(/^[0-9a-f]{64}$/),
    medianTime: z.int().nonnegative(),
    coins: z.array(
      z.strictObject({
        outpoint: z.string().refine(isOutpoint, { message: "is no outpoint txid:vout" }),
        sats: z.union([z.int().nonnegative(), z.string().regex(/^[0-9]{1,16}$/)]).transform(BigInt),
        script: z.string().regex(/^(?:[0-9a-f]{2})*$/),
        height: z.int().nonnegative(),
        coinbase: z.boolean(),
      }),
    ),
  })
  .transform(({ height, tip, medianTime, coins }, context): ChainView => {
    const known = new Map<string, CoinStatus>();
    for (const { outpoint, ...coin } of coins) known.set(outpoint, { kind: "unspent", ...coin });
    if (known.size !== coins.length) {
      context.addIssue({ code: "custom", message: "a coin is listed twice", path: ["coins"] });
    }
    return { height, tip, medianTime, coins: known };
  });
