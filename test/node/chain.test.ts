import { describe, expect, it } from "vitest";
import { type Bitcoind, type BitcoindCall, openBitcoind } from "../../signer/node/bitcoind.ts";
import { BitcoindError } from "../../signer/node/bitcoind-error.ts";
import { type BurialHint, openChain } from "../../signer/node/chain.ts";
import { describeNode } from "../support/node.ts";
import { faultOf, paperChain } from "../support/signer-room.ts";

/** The signer's view against a real node: what is asked is what `gettxout` says of one tip. */
describeNode("the chain view", (node) => {
  const open = (rpc: Bitcoind = node.rpc) => openChain({ rpc, chain: "regtest" });
  const address = () => node.rpc.call<string>("getnewaddress", [], { wallet: "miner" });
  const scriptOf = async (of: string) => {
    const { scriptPubKey } = await node.rpc.call<{ scriptPubKey: string }>("getaddressinfo", [of], {
      wallet: "miner",
    });
    return scriptPubKey;
  };
  async function funded(sats: bigint) {
    const to = await address();
    const { txid, vout } = await node.miner.fund(to, sats);
    return { outpoint: `${txid}:${vout}`, script: await scriptOf(to), sats };
  }

  it("tells the tip as the node does, and knows no coin that it was not asked for", async () => {
    await node.miner.mine(1);
    const view = await open().view({ outpoints: [] });
    const info = await node.rpc.call<Record<string, unknown>>("getblockchaininfo");
    expect(view).toEqual({
      height: info["blocks"],
      tip: info["bestblockhash"],
      medianTime: info["mediantime"],
      coins: new Map(),
      vaults: new Map(),
      burials: new Map(),
      blocks: new Map(),
    });
  });

  it("tells the hashes of the blocks that it was asked for, and none above its tip", async () => {
    const [height, first] = [
      await node.rpc.call<number>("getblockcount"),
      await node.rpc.call<string>("getblockhash", [0]),
    ];
    const view = await open().view({ outpoints: [], blocks: [0, height + 1, height] });
    expect([...view.blocks]).toEqual([
      [0, first],
      [height, view.tip],
    ]);
  });

  it("sees a coin in the mempool, then in a block, then deeper, then spent", async () => {
    const { outpoint, script, sats } = await funded(123_456_789n);
    const chain = open();
    const see = async () => {
      const view = await chain.view({ outpoints: [outpoint] });
      return { height: view.height, coin: view.coins.get(outpoint) };
    };
    const coin = { kind: "unspent", sats, script, coinbase: false };
    expect((await see()).coin).toEqual({ ...coin, height: 0 });
    await node.miner.mine(1);
    const first = await see();
    expect(first.coin).toEqual({ ...coin, height: first.height });
    await node.miner.mine(3);
    expect(await see()).toEqual({ height: first.height + 3, coin: first.coin });

    // Spent in the mempool is spent, before any block says so.
    const [txid, vout] = outpoint.split(":");
    const spent = await node.rpc.call<string>(
      "send",
      {
        outputs: [{ [await address()]: "0.5" }],
        options: { inputs: [{ txid, vout: Number(vout) }], add_inputs: false },
      },
      { wallet: "miner" },
    );
    expect(spent).toMatchObject({ complete: true });
    expect((await see()).coin).toEqual({ kind: "missing" });
    await node.miner.mine(1);
    expect((await see()).coin).toEqual({ kind: "missing" });
  });

  it("tells a coinbase, mature or not", async () => {
    const [hash] = await node.miner.mine(1);
    const block = await node.rpc.call<{ height: number; tx: string[] }>("getblock", [hash]);
    const coinbase = `${block.tx[0]}:0`;
    const view = await open().view({ outpoints: [coinbase] });
    expect(view.coins.get(coinbase)).toMatchObject({
      kind: "unspent",
      coinbase: true,
      height: block.height,
    });
    expect(view.height - block.height).toBeLessThan(100);
  });

  it("asks for many coins at once, each under its own name", async () => {
    const coins = [await funded(1_000n), await funded(2_000n), await funded(3_000n)];
    const unknown = `${"ab".repeat(32)}:0`;
    const far = coins[0]?.outpoint.replace(/:\d+$/, ":4294967295") ?? "";
    const asked = [unknown, ...coins.map(({ outpoint }) => outpoint), far].reverse();
    const view = await open().view({ outpoints: asked });
    expect([...view.coins.keys()]).toEqual(asked);
    expect(asked.map((outpoint) => view.coins.get(outpoint))).toMatchObject([
      { kind: "missing" },
      { kind: "unspent", sats: 3_000n },
      { kind: "unspent", sats: 2_000n },
      { kind: "unspent", sats: 1_000n },
      { kind: "missing" },
    ]);
  });

  it("forgets a coin whose block was reorganised away, and finds it in the mempool", async () => {
    const { outpoint } = await funded(77_777n);
    const [hash] = await node.miner.mine(1);
    expect((await open().view({ outpoints: [outpoint] })).coins.get(outpoint)).not.toMatchObject({
      height: 0,
    });
    await node.rpc.call("invalidateblock", [hash]);
    expect((await open().view({ outpoints: [outpoint] })).coins.get(outpoint)).toMatchObject({
      height: 0,
    });
    await node.rpc.call("reconsiderblock", [hash]);
  });

  describe("of a burial", () => {
    const look = async (...burials: readonly BurialHint[]) =>
      (await open().view({ outpoints: [], burials })).burials;

    it("tells the depth of a transaction and what it spends, as the tip moves on", async () => {
      const { txid } = await node.miner.fund(await address(), 8_000n);
      const nowhere = await node.rpc.call<string>("getbestblockhash");
      expect(await look({ txid, block: nowhere })).toEqual(new Map());
      const [block = ""] = await node.miner.mine(1);
      const { vin } = await node.rpc.call<{ vin: { txid: string; vout: number }[] }>(
        "getrawtransaction",
        [txid, true],
      );
      const spends = vin.map((input) => `${input.txid}:${input.vout}`);
      expect(spends).not.toEqual([]);
      expect(await look({ txid, block })).toEqual(new Map([[txid, { depth: 1, spends }]]));
      await node.miner.mine(5);
      const buried = new Map([[txid, { depth: 6, spends }]]);
      expect(await look({ txid, block })).toEqual(buried);
      // A wrong hint beside the right one takes nothing away.
      expect(await look({ txid, block: nowhere }, { txid, block })).toEqual(buried);
      expect(await look({ txid, block }, { txid, block: nowhere })).toEqual(buried);
    });

    it("tells of a coinbase that it spends nothing", async () => {
      const [block = ""] = await node.miner.mine(1);
      const { tx } = await node.rpc.call<{ tx: string[] }>("getblock", [block]);
      const [txid = ""] = tx;
      expect(await look({ txid, block })).toEqual(new Map([[txid, { depth: 1, spends: [] }]]));
    });

    it("tells nothing of what is not there, and all of what is", async () => {
      const { txid } = await node.miner.fund(await address(), 8_100n);
      const [block = ""] = await node.miner.mine(1);
      const [empty = ""] = await node.miner.mine(1);
      const unknown = "ef".repeat(32);
      const found = await look(
        { txid: unknown, block },
        { txid: unknown, block: unknown },
        { txid: "no txid", block },
        { txid: unknown, block: "no block" },
        { txid: txid.toUpperCase(), block },
        { txid, block },
        { txid, block: empty },
        { txid, block: unknown },
      );
      expect([...found.keys()]).toEqual([txid]);
      expect(found.get(txid)?.depth).toBe(2);
    });

    it("tells nothing of a block that was reorganised away, until it is back", async () => {
      const { txid } = await node.miner.fund(await address(), 8_200n);
      const [block = ""] = await node.miner.mine(1);
      await node.rpc.call("invalidateblock", [block]);
      expect(await look({ txid, block })).toEqual(new Map());
      // Mined by somebody else, in another block: the old hint is of no use, the new one is.
      const elsewhere = await address();
      const [other = ""] = await node.rpc.call<string[]>("generatetoaddress", [2, elsewhere]);
      expect(await look({ txid, block })).toEqual(new Map());
      expect((await look({ txid, block: other })).get(txid)?.depth).toBe(2);
      await node.rpc.call("reconsiderblock", [block]);
    });

    it("tells the depth at the tip of the view, though blocks come between", async () => {
      const { txid } = await node.miner.fund(await address(), 8_300n);
      const [block = ""] = await node.miner.mine(1);
      const { height } = await open().view({ outpoints: [] });
      const hint = { outpoints: [], burials: [{ txid, block }] };
      const view = await open(restless(1).rpc).view(hint);
      expect(view.height).toBe(height + 1);
      expect(view.burials.get(txid)?.depth).toBe(2);
    });

    it("is answered on paper as by the node", async () => {
      const { txid } = await node.miner.fund(await address(), 8_400n);
      const [block = ""] = await node.miner.mine(1);
      const paper = paperChain();
      const query = { outpoints: [], burials: [{ txid, block }] };
      const [burial] = (await open().view(query)).burials.values();
      if (burial === undefined) throw new Error("it is buried");
      paper.burials.set(txid, { ...burial, block });
      const wrong = { outpoints: [], burials: [{ txid, block: "00".repeat(32) }] };
      for (const asked of [query, wrong, { outpoints: [] }]) {
        expect((await paper.view(asked)).burials).toEqual((await open().view(asked)).burials);
      }
    });
  });

  it("is answered on paper as by the node, so that tests without a node are honest", async () => {
    const { outpoint } = await funded(5_000n);
    await node.miner.mine(1);
    const unknown = `${"cd".repeat(32)}:1`;
    const view = await open().view({ outpoints: [outpoint, unknown] });
    const paper = paperChain();
    for (const [name, coin] of view.coins) paper.set(name, coin);
    paper.height = view.height;
    paper.medianTime = view.medianTime;
    expect({ ...(await paper.view({ outpoints: [outpoint, unknown] })), tip: view.tip }).toEqual(
      view,
    );
  });

  /** A real node whose tip really moves between the two halves of one batch. */
  function restless(moves: number): { rpc: Bitcoind; batches: () => number } {
    let batches = 0;
    const rpc: Bitcoind = {
      ...node.rpc,
      batch: async (calls: readonly BitcoindCall[]) => {
        batches += 1;
        const tip = await node.rpc.batch(calls.slice(0, 1));
        if (batches <= moves) await node.miner.mine(1);
        return [...tip, ...(await node.rpc.batch(calls.slice(1)))];
      },
    };
    return { rpc, batches: () => batches };
  }

  it("asks again when a block comes between, so that all answers are of one tip", async () => {
    const { outpoint } = await funded(6_000n);
    await node.miner.mine(1);
    const { rpc, batches } = restless(2);
    const view = await open(rpc).view({ outpoints: [outpoint] });
    expect(batches()).toBe(3);
    expect(view.tip).toBe(await node.rpc.call("getbestblockhash"));
    const coin = view.coins.get(outpoint);
    expect(coin?.kind === "unspent" && view.height - coin.height).toBe(2);
  });

  it("gives up on a tip that never rests", async () => {
    const { outpoint } = await funded(7_000n);
    await node.miner.mine(1);
    const fault = await faultOf(open(restless(99).rpc).view({ outpoints: [outpoint] }));
    expect(fault).toMatchObject({ name: "BitcoindError", code: "protocol" });
  });

  it("has nothing to do with a node of another chain", async () => {
    const chain = openChain({ rpc: node.rpc, chain: "main" });
    expect(await faultOf(chain.view({ outpoints: [] }))).toMatchObject({
      name: "BitcoindError",
      code: "protocol",
      message: expect.stringContaining("regtest, not main"),
    });
  });

  it.each([
    ["no txid", "zz:0"],
    ["no index", `${"ab".repeat(32)}`],
    ["a negative index", `${"ab".repeat(32)}:-1`],
  ])("is a BitcoindError for what is no outpoint: %s", async (_, outpoint) => {
    expect(await faultOf(open().view({ outpoints: [outpoint] }))).toMatchObject({
      name: "BitcoindError",
    });
  });

  it.each([
    ["an answer of another form", { chain: "regtest", blocks: "12" }],
    ["nothing", null],
  ])("believes no node that answers with %s", async (_, result) => {
    const rpc: Bitcoind = { ...node.rpc, batch: async () => [{ kind: "result", result }] };
    expect(await faultOf(open(rpc).view({ outpoints: [] }))).toMatchObject({
      name: "BitcoindError",
      code: "protocol",
    });
  });

  it("is a BitcoindError when the node does not know us", async () => {
    const rpc = openBitcoind({ url: node.url.replace("http://", "http://thief:guess@") });
    expect(await faultOf(open(rpc).view({ outpoints: [] }))).toMatchObject({
      code: "unauthorized",
    });
    rpc.close();
  });

  /** Last, because it ends the node. */
  it("is a passing BitcoindError when the node is gone", async () => {
    const chain = open();
    await node.rpc.call("stop");
    // Between its word and its end the node still answers, or says that it is shutting down.
    let fault: unknown = null;
    const isGone = () => fault instanceof BitcoindError && fault.code === "unreachable";
    for (let tries = 0; tries < 400 && !isGone(); tries += 1) {
      await new Promise((resolve) => setTimeout(resolve, 25));
      fault = await chain.view({ outpoints: [] }).catch((error: unknown) => error);
    }
    expect(fault).toMatchObject({ name: "BitcoindError", code: "unreachable", passing: true });
  });
});
