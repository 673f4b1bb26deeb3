/** A chain in memory: a real one in small, with blocks, a mempool and reorgs, and no proof of work. */

import { Transaction } from "bitcoinjs-lib";
import type { Chain, ChainBlock, ChainTx } from "../../orchestrator/io/chain.ts";
import { hex, sha256 } from "../../policies/bitcoin/hash.ts";
import { outpoint } from "../../policies/bitcoin/transaction.ts";
import { msatsPerVbyte, type Sats } from "../../policies/money.ts";

export interface MemoryChain extends Chain {
  /** Mines what the mempool holds, then empty blocks; returns the new height. */
  readonly mine: (blocks: number) => number;
  /** Puts a payment from nowhere into the mempool; returns its outpoint. */
  readonly pay: (script: Uint8Array, sats: Sats) => string;
  /**
   * Puts any transaction into the mempool; those there that spend the same coins leave it, with all
   * that spends theirs. Returns its id.
   */
  readonly put: (tx: Pick<ChainTx, "spends" | "outputs">) => string;
  /** The mempool forgets a transaction and all that spends its outputs. */
  readonly evict: (txid: string) => void;
  readonly blocks: () => readonly ChainBlock[];
  readonly waiting: () => readonly ChainTx[];
  /** Drops the last blocks; their transactions are back in the mempool, or forgotten. */
  readonly reorg: (blocks: number, transactions: "kept" | "lost") => void;
  /** What the node would say next instead of accepting. */
  readonly rejections: string[];
  readonly sent: () => number;
}

export function memoryChain(): MemoryChain {
  const blocks: ChainBlock[] = [{ hash: blockHash(0, ""), previous: "", transactions: [] }];
  let mempool: ChainTx[] = [];
  let payments = 0;
  let salt = 0;
  let sent = 0;
  const rejections: string[] = [];
  const tip = () => blocks[blocks.length - 1] as ChainBlock;

  function evict(txid: string): void {
    const children = mempool.filter(({ spends }) => spends.some((coin) => madeBy(coin, txid)));
    mempool = mempool.filter((tx) => tx.txid() !== txid);
    for (const child of children) evict(child.txid());
  }

  function put({ spends, outputs }: Pick<ChainTx, "spends" | "outputs">): string {
    payments += 1;
    const txid = hex(sha256(new TextEncoder().encode(`payment ${payments}`)));
    const rivals = mempool.filter((tx) => tx.spends.some((coin) => spends.includes(coin)));
    for (const rival of rivals) evict(rival.txid());
    mempool.push({ txid: () => txid, spends, outputs });
    return txid;
  }

  return {
    rejections,
    put,
    evict,
    blocks: () => blocks,
    waiting: () => mempool,
    sent: () => sent,
    tip: async () => ({ height: blocks.length - 1, hash: tip().hash }),
    hashAt: async (height) => blocks[height]?.hash ?? null,
    block: async (hash) => {
      const block = blocks.find((candidate) => candidate.hash === hash);
      if (block === undefined) throw new Error(`no block ${hash}`);
      return block;
    },
    accepts: async (rawTx) => {
      const reason = rejections.shift();
      if (reason !== undefined) return { kind: "rejected", reason };
      const txid = Transaction.fromBuffer(rawTx).getId();
      const known = [...mempool, ...blocks.flatMap(({ transactions }) => transactions)];
      return { kind: known.some((tx) => tx.txid() === txid) ? "known" : "accepted" };
    },
    send: async (rawTx) => {
      const tx = Transaction.fromBuffer(rawTx);
      const txid = tx.getId();
      sent += 1;
      mempool.push({
        txid: () => txid,
        spends: tx.ins.map(({ hash, index }) => outpoint({ txid: hash, vout: index })),
        outputs: tx.outs.map(({ value, script }) => ({ sats: value, script })),
      });
    },
    inMempool: async (txid) => mempool.some((tx) => tx.txid() === txid),
    fate: async (txid) => {
      if (mempool.some((tx) => tx.txid() === txid)) return { kind: "mempool" };
      const height = blocks.findIndex((block) =>
        block.transactions.some((tx) => tx.txid() === txid),
      );
      const hash = blocks[height]?.hash;
      return hash === undefined ? { kind: "gone" } : { kind: "block", height, hash };
    },
    mempool: async (seen) => {
      const held = new Set(mempool.map((tx) => tx.txid()));
      return {
        fresh: mempool.filter((tx) => !seen.has(tx.txid())),
        gone: [...seen].filter((txid) => !held.has(txid)),
        more: false,
      };
    },
    pulse: async () => [tip().hash, ...mempool.map((tx) => tx.txid())].join(" "),
    feeRate: async () => msatsPerVbyte(2_000n),
    mine(count) {
      for (let i = 0; i < count; i += 1) {
        salt += 1;
        const previous = tip().hash;
        blocks.push({ hash: blockHash(salt, previous), previous, transactions: mempool });
        mempool = [];
      }
      return blocks.length - 1;
    },
    pay(script, sats) {
      const from = `${hex(sha256(new TextEncoder().encode(`coin ${payments}`)))}:0`;
      return `${put({ spends: [from], outputs: [{ sats, script }] })}:0`;
    },
    reorg(count, transactions) {
      const dropped = blocks.splice(blocks.length - count, count);
      const back = dropped.flatMap((block) => block.transactions);
      mempool = transactions === "kept" ? [...back, ...mempool] : [];
    },
  };
}

function madeBy(coin: string, txid: string): boolean {
  return coin.startsWith(`${txid}:`);
}

function blockHash(salt: number, previous: string): string {
  return hex(sha256(new TextEncoder().encode(`block ${salt} on ${previous}`)));
}
