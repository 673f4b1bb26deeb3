/** What the signer's own node says of coins, vaults and blocks. Never taken from a request. */
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
  /**
   * By vault id: all its unspent coins that the signer's node knows, the mempool's too; a vault that
   * the node does not watch is absent.
   */
  readonly vaults: ReadonlyMap<string, readonly VaultCoin[]>;
  /** By txid: transactions that were asked for and that the node has in its best chain. */
  readonly burials: ReadonlyMap<string, Burial>;
  /** By height: hashes of the blocks of its best chain that were asked for. */
  readonly blocks: ReadonlyMap<number, string>;
}

export interface VaultCoin {
  readonly outpoint: string;
  readonly sats: bigint;
  /** 0 is the mempool. */
  readonly height: number;
}

export interface Burial {
  /** 1 for the tip. */
  readonly depth: number;
  /** Outpoints that it spends. */
  readonly spends: readonly string[];
}

const hashSchema = z.string().regex(/^[0-9a-f]{64}$/);
const outpointSchema = z.string().refine(isOutpoint, { message: "is no outpoint txid:vout" });
const satsSchema = z
  .union([z.int().nonnegative(), z.string().regex(/^[0-9]{1,16}$/)])
  .transform(BigInt);

const coinSchema = z.strictObject({
  outpoint: outpointSchema,
  sats: satsSchema,
  script: z.string().regex(/^(?:[0-9a-f]{2})*$/),
  height: z.int().nonnegative(),
  coinbase: z.boolean(),
});

const vaultSchema = z.strictObject({
  vault: z.string().regex(/^[0-9a-f]{40}$/),
  coins: z.array(
    z.strictObject({
      outpoint: outpointSchema,
      sats: satsSchema,
      height: z.int().nonnegative(),
    }),
  ),
});

const burialSchema = z.strictObject({
  txid: hashSchema,
  depth: z.int().positive(),
  spends: z.array(outpointSchema),
});

/** A chain view as a document, format `ballast/chain@1`, for `explain --chain`. */
export const chainSchema = z
  .strictObject({
    format: z.literal("ballast/chain@1"),
    height: z.int().nonnegative(),
    tip: hashSchema,
    medianTime: z.int().nonnegative(),
    coins: z.array(coinSchema),
    vaults: z.array(vaultSchema).default([]),
    burials: z.array(burialSchema).default([]),
    blocks: z
      .array(z.strictObject({ height: z.int().nonnegative(), hash: hashSchema }))
      .default([]),
  })
  .transform((document, context): ChainView => {
    const { height, tip, medianTime, coins, vaults, burials, blocks } = document;
    const vaultCoins = vaults.flatMap((vault) => vault.coins);
    // Of two stories about one thing the last would count.
    const named = {
      coins: coins.map(({ outpoint }) => outpoint),
      vaults: vaults.map(({ vault }) => vault),
      "vaults.coins": vaultCoins.map(({ outpoint }) => outpoint),
      burials: burials.map(({ txid }) => txid),
      blocks: blocks.map((block) => String(block.height)),
      "burials.spends": burials.flatMap(({ spends }) => spends),
    };
    for (const [part, names] of Object.entries(named)) {
      if (new Set(names).size === names.length) continue;
      context.addIssue({ code: "custom", message: "one is listed twice", path: part.split(".") });
    }
    return {
      height,
      tip,
      medianTime,
      coins: new Map(
        coins.map(({ outpoint, ...coin }) => [outpoint, { kind: "unspent", ...coin }]),
      ),
      vaults: new Map(vaults.map((vault) => [vault.vault, vault.coins])),
      burials: new Map(burials.map(({ txid, ...burial }) => [txid, burial])),
      blocks: new Map(blocks.map((block) => [block.height, block.hash])),
    };
  });
