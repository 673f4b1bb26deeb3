/**
 * The signer's own view of the chain, from its own node by its own address. No chain fact is ever
 * taken from a request (architecture section 3).
 */
import { z } from "zod";
import type { Burial, ChainView, CoinStatus } from "../../policies/chain-view.ts";
import type { Vault } from "../../policies/vault.ts";
import { btcSchema, readAnswer } from "./answer.ts";
import type { Bitcoind, BitcoindAnswer, BitcoindCall } from "./bitcoind.ts";
import { BitcoindError } from "./bitcoind-error.ts";
import { satsOfBtc } from "./exact-json.ts";
import type { Watch } from "./watch.ts";

export interface Chain {
  /** What the query asks for, all of one tip; throws a BitcoindError. */
  readonly view: (query: ChainQuery) => Promise<ChainView>;
  readonly close: () => void;
}

export interface ChainQuery {
  readonly outpoints: readonly string[];
  /** Vaults whose coins are wanted. */
  readonly vaults?: readonly Vault[];
  /** Hints where a transaction may be buried: checked on the node. */
  readonly burials?: readonly BurialHint[];
  /** Heights whose block hashes are wanted. */
  readonly blocks?: readonly number[];
}

export interface BurialHint {
  readonly txid: string;
  /** Hash of the block: with it the node needs no index of transactions. */
  readonly block: string;
}

export interface ChainOptions {
  readonly rpc: Bitcoind;
  /** As `getblockchaininfo` names it: main, test, signet, regtest. */
  readonly chain: string;
  /** Without it, every vault is unknown. */
  readonly watch?: Watch;
}

/** A block that arrives meanwhile makes the answers disagree; then they are asked again. */
const TRIES_MAX = 3;

export function openChain({ rpc, chain, watch }: ChainOptions): Chain {
  /** Null when the tip has moved between the first answer and the last. */
  async function attempt(
    { outpoints, burials = [], blocks = [] }: ChainQuery,
    watched: readonly Vault[],
  ): Promise<ChainView | null> {
    const wallet = watched.length > 0 ? watch : undefined;
    const calls = [
      { method: "getblockchaininfo" },
      ...outpoints.map(coinCall),
      ...burials.map(burialCall),
      ...blocks.map((height) => ({ method: "getblockhash", params: [height] })),
      ...(wallet === undefined ? [] : [wallet.question]),
      { method: "getbestblockhash" },
    ];
    const answers = await rpc.batch(calls, wallet === undefined ? {} : { wallet: wallet.wallet });
    const info = readAnswer(infoSchema, resultOf(answers[0]));
    if (info.chain !== chain) {
      throw new BitcoindError("protocol", `${rpc.where} is on ${info.chain}, not ${chain}`);
    }
    // A wallet's answer is of the tip at least that was there before it, so the two ends tell.
    if (resultOf(answers.at(-1)) !== info.bestblockhash) return null;
    const first = 1 + outpoints.length;
    return {
      height: info.blocks,
      tip: info.bestblockhash,
      medianTime: info.mediantime,
      coins: new Map(
        outpoints.map((outpoint, i) => {
          const coin = readAnswer(coinSchema, resultOf(answers[1 + i]));
          return [outpoint, statusOf(coin, info.blocks)];
        }),
      ),
      vaults:
        wallet?.coinsOf(watched, answers[first + burials.length + blocks.length], info.blocks) ??
        new Map(),
      burials: buried(burials, answers.slice(first)),
      blocks: hashes(blocks, answers.slice(first + burials.length)),
    };
  }

  return {
    view: async (query) => {
      const vaults = query.vaults ?? [];
      const watched = vaults.length === 0 ? [] : ((await watch?.prepare(vaults)) ?? []);
      for (let tries = 0; tries < TRIES_MAX; tries += 1) {
        const view = await attempt(query, watched);
        if (view !== null) return view;
      }
      throw new BitcoindError("protocol", `${rpc.where} changes its tip faster than it answers`);
    },
    close: () => rpc.close(),
  };
}

/** A height that the node has not reached is absent. */
function hashes(
  heights: readonly number[],
  answers: readonly BitcoindAnswer[],
): ReadonlyMap<number, string> {
  return new Map(
    heights.flatMap((height, i) => {
      const answer = answers[i];
      const known = answer?.kind === "result" ? blockSchema.safeParse(answer.result) : null;
      return known?.success === true ? [[height, known.data] as const] : [];
    }),
  );
}

const blockSchema = z.string().regex(/^[0-9a-f]{64}$/);

const infoSchema = z.object({
  chain: z.string(),
  blocks: z.int().nonnegative(),
  bestblockhash: z.string().regex(/^[0-9a-f]{64}$/),
  mediantime: z.int().nonnegative(),
});

function resultOf(answer: BitcoindAnswer | undefined): unknown {
  if (answer?.kind === "error") throw answer.error;
  return answer?.result;
}

function coinCall(outpoint: string): BitcoindCall {
  const [txid, vout] = outpoint.split(":");
  return { method: "gettxout", params: [txid, Number(vout), true] };
}

/** `gettxout`'s answer: null for a coin that is unknown or spent, in a block or in the mempool. */
const coinSchema = z
  .object({
    confirmations: z.int().nonnegative(),
    value: btcSchema,
    scriptPubKey: z.object({ hex: z.string().regex(/^[0-9a-f]*$/) }),
    coinbase: z.boolean(),
  })
  .nullable();

function statusOf(coin: z.infer<typeof coinSchema>, height: number): CoinStatus {
  if (coin === null) return { kind: "missing" };
  return {
    kind: "unspent",
    sats: satsOfBtc(coin.value),
    script: coin.scriptPubKey.hex,
    height: coin.confirmations === 0 ? 0 : height - coin.confirmations + 1,
    coinbase: coin.coinbase,
  };
}

function burialCall({ txid, block }: BurialHint): BitcoindCall {
  return { method: "getrawtransaction", params: [txid, true, block] };
}

/** `getrawtransaction`'s answer for a block that was named. */
const transactionSchema = z.object({
  txid: z.string(),
  in_active_chain: z.boolean(),
  confirmations: z.int().nonnegative().default(0),
  /** A coinbase's input has no txid: it spends nothing. */
  vin: z.array(z.object({ txid: z.string().optional(), vout: z.int().optional() })),
});

/**
 * How the node says that this transaction is not in this block, that it has no such block, or has
 * it no more (RPC_MISC_ERROR, RPC_INVALID_ADDRESS_OR_KEY, RPC_INVALID_PARAMETER of protocol.h).
 */
const NOT_BURIED = new Set([-1, -5, -8]);

function buried(
  hints: readonly BurialHint[],
  answers: readonly BitcoindAnswer[],
): ReadonlyMap<string, Burial> {
  const found = new Map<string, Burial>();
  for (const [i, { txid }] of hints.entries()) {
    const answer = answers[i];
    if (answer?.kind === "error" && NOT_BURIED.has(answer.error.rpcCode ?? 0)) continue;
    const transaction = readAnswer(transactionSchema, resultOf(answer));
    if (!transaction.in_active_chain || transaction.txid !== txid) continue;
    const spends = transaction.vin.flatMap((input) =>
      input.txid === undefined ? [] : `${input.txid}:${input.vout}`,
    );
    found.set(txid, { depth: transaction.confirmations, spends });
  }
  return found;
}
