/**
 * The signer's own view of the chain, from its own node by its own address. No chain fact is ever
 * taken from a request (architecture section 3).
 */
import { z } from "zod";
import type { ChainView, CoinStatus } from "../../policies/chain-view.ts";
import type { Bitcoind } from "./bitcoind.ts";
import { BitcoindError } from "./bitcoind-error.ts";
import { satsOfBtc } from "./exact-json.ts";

export interface Chain {
  /** Tip and the state of these coins, all of one tip; throws a BitcoindError. */
  readonly view: (outpoints: readonly string[]) => Promise<ChainView>;
  readonly close: () => void;
}

/** A block that arrives meanwhile makes the answers disagree; then they are asked again. */
const TRIES_MAX = 3;

const infoSchema = z.object({
  chain: z.string(),
  blocks: z.int().nonnegative(),
  bestblockhash: z.string().regex(/^[0-9a-f]{64}$/),
  mediantime: z.int().nonnegative(),
});

/** `gettxout`'s answer: null for a coin that is unknown or spent, in a block or in the mempool. */
const coinSchema = z
  .object({
    bestblock: z.string(),
    confirmations: z.int().nonnegative(),
    value: z.union([z.string(), z.int()]),
    scriptPubKey: z.object({ hex: z.string().regex(/^[0-9a-f]*$/) }),
    coinbase: z.boolean(),
  })
  .nullable();

export interface ChainOptions {
  readonly rpc: Bitcoind;
  /** As `getblockchaininfo` names it: main, test, signet, regtest. */
  readonly chain: string;
}

export function openChain({ rpc, chain }: ChainOptions): Chain {
  async function attempt(outpoints: readonly string[]): Promise<ChainView | null> {
    const answers = await rpc.batch([
      { method: "getblockchaininfo" },
      ...outpoints.map((outpoint) => {
        const [txid, vout] = outpoint.split(":");
        return { method: "gettxout", params: [txid, Number(vout), true] };
      }),
    ]);
    const [first, ...rest] = answers.map((answer) => {
      if (answer.kind === "error") throw answer.error;
      return answer.result;
    });
    const info = parse(infoSchema, first);
    if (info.chain !== chain) {
      throw new BitcoindError("protocol", `${rpc.where} is on ${info.chain}, not ${chain}`);
    }
    const coins = new Map<string, CoinStatus>();
    for (const [i, outpoint] of outpoints.entries()) {
      const coin = parse(coinSchema, rest[i]);
      if (coin !== null && coin.bestblock !== info.bestblockhash) return null;
      coins.set(outpoint, statusOf(coin, info.blocks));
    }
    return { height: info.blocks, tip: info.bestblockhash, medianTime: info.mediantime, coins };
  }

  return {
    view: async (outpoints) => {
      for (let tries = 0; tries < TRIES_MAX; tries += 1) {
        const view = await attempt(outpoints);
        if (view !== null) return view;
      }
      throw new BitcoindError("protocol", `${rpc.where} changes its tip faster than it answers`);
    },
    close: () => rpc.close(),
  };
}

function statusOf(coin: z.infer<typeof coinSchema>, height: number): CoinStatus {
  if (coin === null) return { kind: "missing" };
  return {
    kind: "unspent",
    sats: satsOfBtc(String(coin.value)),
    script: coin.scriptPubKey.hex,
    height: coin.confirmations === 0 ? 0 : height - coin.confirmations + 1,
    coinbase: coin.coinbase,
  };
}

function parse<Schema extends z.ZodType>(schema: Schema, value: unknown): z.infer<Schema> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new BitcoindError("protocol", "the node's answer has not the form of its documentation");
}
