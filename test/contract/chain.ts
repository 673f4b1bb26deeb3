/**
 * What every `Chain` of the orchestrator must do, whatever it is asked through: one suite over a real
 * node that mines, replaces, forgets, reorganises and goes away.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Chain, ChainTip, ChainTx } from "../../orchestrator/io/chain.ts";
import { blocksSince, followMempool, pollHints } from "../../orchestrator/io/chain-follow.ts";
import { fromHex, hex } from "../../policies/bitcoin/hash.ts";
import { temporaryFolder } from "../support/node.ts";
import {
  type ChainGround,
  OUTPUTS_EACH,
  openChainGround,
  PAID_SATS,
  PAID_SCRIPT,
} from "./chain-ground.ts";

export interface ChainAtHand {
  readonly chain: Chain;
  /** Whether it can ask what a mempool would say without sending. */
  readonly tests: boolean;
  /** What the chain asks is gone, and comes back at the same place. */
  readonly stop: () => Promise<void>;
  readonly start: () => Promise<void>;
  readonly close: () => Promise<void>;
}

/** Long past the two weeks after which a mempool forgets (DEFAULT_MEMPOOL_EXPIRY_HOURS). */
const FORGOTTEN_S = 15 * 24 * 3_600;

export function chainContract(open: (node: ChainGround) => Promise<ChainAtHand>): void {
  const dataDir = temporaryFolder();
  let node: ChainGround;
  let at: ChainAtHand;
  beforeAll(async () => {
    node = await openChainGround(dataDir());
    await node.mine(110);
    at = await open(node);
  });
  afterAll(async () => {
    await at?.close();
    await node?.stop();
  });
  const idsOf = (txs: readonly ChainTx[]) => txs.map((tx) => tx.txid());

  describe("blocks", () => {
    it("tells the tip, each block below it, and none above it", async () => {
      const { height, hash } = await at.chain.tip();
      expect(hash).toBe(await node.rpc("getbestblockhash"));
      expect(height).toBe(await node.rpc("getblockcount"));
      expect(await at.chain.hashAt(height)).toBe(hash);
      expect(await at.chain.hashAt(0)).toBe(await node.rpc("getblockhash", 0));
      expect(await at.chain.hashAt(height + 1)).toBeNull();
      expect((await at.chain.block(hash)).previous).toBe(await at.chain.hashAt(height - 1));
    });

    it("tells every output and every spend of a block of thousands", async () => {
      await node.payThousands();
      const [hash = ""] = await node.mine(1);
      const block = await at.chain.block(hash);
      expect(block.transactions.flatMap(({ outputs }) => outputs).length).toBeGreaterThan(
        2 * OUTPUTS_EACH,
      );
      expect(block.transactions.map(seenAs)).toEqual(await node.said(hash));
    });
  });

  describe("the mempool", () => {
    it("shows a payment before any block does, then lets it go into one", async () => {
      const txid = await node.pay();
      const { fresh } = await at.chain.mempool(new Set());
      const seen = fresh.find((tx) => tx.txid() === txid);
      expect(seen?.outputs).toContainEqual({ sats: PAID_SATS, script: PAID_SCRIPT });
      expect(await at.chain.fate(txid)).toEqual({ kind: "mempool" });
      expect(await at.chain.inMempool(txid)).toBe(true);
      expect(await at.chain.mempool(new Set(idsOf(fresh)))).toEqual({
        fresh: [],
        gone: [],
        more: false,
      });

      const [hash = ""] = await node.mine(1);
      expect((await at.chain.mempool(new Set([txid]))).gone).toEqual([txid]);
      const { height } = await at.chain.tip();
      expect(await at.chain.fate(txid)).toEqual({ kind: "block", height, hash });
      expect(await at.chain.inMempool(txid)).toBe(false);
    });

    it("lets a replaced payment go and shows the one that replaced it", async () => {
      const follower = followMempool(at.chain, async (txs) => txs.filter(pays));
      const old = await node.pay();
      expect(idsOf((await follower.look()).appeared)).toEqual([old]);
      const { txid } = await node.wallet<{ txid: string }>("bumpfee", old);
      const change = await follower.look();
      expect([idsOf(change.appeared), change.left]).toEqual([[txid], [old]]);
      expect(await at.chain.fate(old)).toEqual({ kind: "gone" });
      expect(await at.chain.fate(txid)).toEqual({ kind: "mempool" });
      await node.mine(1);
      expect(await follower.look()).toEqual({ appeared: [], left: [txid], more: false });
    });

    it("lets go what a block contradicts", async () => {
      const txid = await node.pay();
      const rival = await node.rivalOfTx(txid);
      expect(await at.chain.fate(txid)).toEqual({ kind: "mempool" });
      await node.mineAlone(rival);
      expect((await at.chain.mempool(new Set([txid]))).gone).toEqual([txid]);
      expect(await at.chain.fate(txid)).toEqual({ kind: "gone" });
      expect((await at.chain.fate(await node.txidOf(rival))).kind).toBe("block");
    });

    it("lets go what the node evicts", async () => {
      const [stale, fresh] = [await node.unsent(), await node.unsentOfOldCoin()];
      const txid = await node.txidOf(stale);
      // The wallet would hand it to the node again and again.
      await node.rpc("unloadwallet", "miner");
      await at.chain.send(fromHex(stale));
      expect(await at.chain.fate(txid)).toEqual({ kind: "mempool" });
      const { time } = await node.rpc<{ time: number }>(
        "getblockheader",
        await node.rpc("getbestblockhash"),
      );
      await node.rpc("setmocktime", time + FORGOTTEN_S);
      await at.chain.send(fromHex(fresh));
      expect(await at.chain.fate(txid)).toEqual({ kind: "gone" });
      expect((await at.chain.mempool(new Set([txid]))).gone).toEqual([txid]);
      expect(await at.chain.fate(await node.txidOf(fresh))).toEqual({ kind: "mempool" });
      await node.rpc("setmocktime", 0);
      await node.rpc("loadwallet", "miner");
      await node.mine(1);
    });

    it("brings what is there in parts, until nothing is left out", async () => {
      const paid = [await node.pay(), await node.pay(), await node.pay()];
      const seen = new Set<string>();
      for (let more = true; more; ) {
        const news = await at.chain.mempool(seen);
        for (const tx of news.fresh) seen.add(tx.txid());
        more = news.more;
      }
      expect([...seen].sort()).toEqual([...(await node.rpc<string[]>("getrawmempool"))].sort());
      expect(paid.every((txid) => seen.has(txid))).toBe(true);
      await node.mine(1);
    });

    const pays = (tx: ChainTx) =>
      tx.outputs.some((output) => hex(output.script) === hex(PAID_SCRIPT));
  });

  describe("sending", () => {
    it("is asked before, done once, and the same when done again", async () => {
      const raw = fromHex(await node.unsent());
      expect(await at.chain.accepts(raw)).toEqual({ kind: "accepted" });
      await at.chain.send(raw);
      expect(await at.chain.accepts(raw)).toEqual({ kind: "known" });
      await at.chain.send(raw);
      await node.mine(1);
      expect(await at.chain.accepts(raw)).toEqual({ kind: "known" });
      await at.chain.send(raw);
    });

    it("fails for what no node takes", async () => {
      // One sat less than was signed: 0.001 BTC are 0x186a0, in the order of the wire.
      const raw = fromHex((await node.unsent()).replace("a086010000000000", "9f86010000000000"));
      const kind = at.tests ? "rejected" : "accepted";
      expect((await at.chain.accepts(raw)).kind).toBe(kind);
      await expect(at.chain.send(raw)).rejects.toThrow(/script-verify|mandatory|mempool-script/i);
    });

    it("knows no fee rate on a quiet chain", async () => {
      expect(await at.chain.feeRate(6)).toBeNull();
    });
  });

  describe("a reorganisation of six blocks", () => {
    it("leads from the fork to the new tip, every block on the one before", async () => {
      const known = await tipsDown(8);
      const payment = await node.unsentOfOldCoin();
      const txid = await node.txidOf(payment);
      await at.chain.send(fromHex(payment));
      const fork = known[6] as ChainTip;
      const stale = await node.rpc<{ tx: string[] }>("getblock", known[0]?.hash);
      await node.rpc("invalidateblock", known[5]?.hash);
      await node.mineElsewhere(7);
      const { fork: found, blocks, more } = await blocksSince(at.chain, known, 100);
      expect([found, more]).toEqual([fork, false]);
      const tip = await at.chain.tip();
      expect(blocks.map(({ height }) => height)).toEqual(
        Array.from({ length: 7 }, (_, i) => fork.height + 1 + i),
      );
      expect(blocks.at(-1)?.block.hash).toBe(tip.hash);
      blocks.forEach(({ block }, i) => {
        expect(block.previous).toBe(blocks[i - 1]?.block.hash ?? fork.hash);
      });
      // A coinbase leaves with its block; a payment finds its way into the new chain.
      expect(await at.chain.fate(stale.tx[0] ?? "")).toEqual({ kind: "gone" });
      expect((await at.chain.fate(txid)).kind).toBe("block");
    });

    it("brings a bounded part, and what follows at the next call", async () => {
      const known = await tipsDown(4);
      const first = await blocksSince(at.chain, known.slice(3), 2);
      expect(first).toMatchObject({ fork: known[3], more: true });
      expect(first.blocks.map(({ block }) => block.hash)).toEqual([known[2]?.hash, known[1]?.hash]);
      expect(await blocksSince(at.chain, [], 2)).toEqual({ fork: null, blocks: [], more: false });
    });

    /** Newest first. */
    async function tipsDown(count: number): Promise<readonly ChainTip[]> {
      const { height } = await at.chain.tip();
      const tips: ChainTip[] = [];
      for (let h = height; h > height - count; h -= 1) {
        tips.push({ height: h, hash: (await at.chain.hashAt(h)) ?? "" });
      }
      return tips;
    }
  });

  describe("hints", () => {
    it("come when the mempool or the tip has moved", async () => {
      let hinted: () => void = () => undefined;
      const next = () =>
        new Promise<void>((resolve) => {
          hinted = resolve;
        });
      const before = await at.chain.pulse();
      expect(await at.chain.pulse()).toBe(before);
      const hints = pollHints(at.chain, { paceMs: 10, onHint: () => hinted() });
      for (const move of [node.pay, () => node.mine(1)]) {
        const hint = next();
        await move();
        await hint;
      }
      await hints.stop();
    });
  });

  describe("a source that is gone", () => {
    it("is a fault that passes, and is there again afterwards", async () => {
      await at.stop();
      await expect(at.chain.tip()).rejects.toMatchObject({ passing: true, code: "unreachable" });
      await expect(at.chain.mempool(new Set())).rejects.toMatchObject({ passing: true });
      await at.start();
      expect((await at.chain.tip()).hash).toBe(await node.rpc("getbestblockhash"));
    });
  });
}

function seenAs(tx: ChainTx) {
  return {
    txid: tx.txid(),
    spends: tx.spends,
    outputs: tx.outputs.map(({ sats, script }) => ({ sats, script: hex(script) })),
  };
}
