/** Spends of coins that a real regtest node has: the honest spend and its bends, put on the chain. */
import { fromHex, hex } from "../../policies/bitcoin/hash.ts";
import { addressOf } from "../../policies/bitcoin/taproot.ts";
import type { Tx } from "../../policies/bitcoin/transaction.ts";
import type { TestNode } from "./node.ts";
import { type Draft, honest, type Spend, type SpendOptions } from "./spend.ts";

export interface Purse {
  /** Pays for every coin of these spends; they are confirmed when `settle` has mined. */
  readonly fund: (...spends: readonly SpendOptions[]) => Promise<void>;
  readonly settle: (blocks: number) => Promise<void>;
  /** The spend over the coins paid for; its locktime is the height. */
  readonly spend: (options: SpendOptions) => Spend;
}

export function openPurse({ rpc, miner }: Pick<TestNode, "rpc" | "miner">): Purse {
  const paid = new Map<string, { readonly txid: string; readonly vout: number }>();
  let height = 0;

  /** The transaction as planned, over real coins, before any bend of it. */
  function placed(tx: Tx, draft: Draft): Tx {
    return {
      ...tx,
      locktime: height,
      inputs: tx.inputs.map((input, i) => {
        const coin = paid.get(coinsOf(draft)[i]?.id ?? "");
        if (coin === undefined) throw new Error("this coin was not paid for");
        return { ...input, txid: fromHex(coin.txid).reverse(), vout: coin.vout };
      }),
    };
  }

  return {
    fund: async (...spends) => {
      for (const coin of spends.flatMap((options) => coinsOf(planned(options)))) {
        if (paid.has(coin.id)) continue;
        paid.set(coin.id, await miner.fund(coin.address, coin.sats));
      }
    },
    settle: async (blocks) => {
      await miner.mine(blocks);
      height = (await rpc.call<{ readonly blocks: number }>("getblockchaininfo")).blocks;
    },
    spend: (options) => {
      const { bend = {} } = options;
      const tx = (plan: Tx, draft: Draft) => {
        const real = placed(plan, draft);
        return bend.tx?.(real, draft) ?? real;
      };
      return honest({ ...options, bend: { ...bend, tx } });
    },
  };
}

/** The spend as it was planned: what its coins are, before anything is bent. */
function planned(options: SpendOptions): Draft {
  const { bend: _, ...straight } = options;
  return honest(straight);
}

function coinsOf({ coins, spent }: Draft) {
  return coins.map(({ script: { script } }, i) => {
    const sats = spent[i]?.sats ?? 0n;
    return { id: `${hex(script)} ${sats}`, address: addressOf(script, "regtest") ?? "", sats };
  });
}
