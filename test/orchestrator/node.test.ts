/** The path of a coin on a real node: what consensus and the mempool say counts. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { balancesOf } from "../../orchestrator/accounts/book.ts";
import { eventsAfter } from "../../orchestrator/accounts/events.ts";
import { frozenAccounts } from "../../orchestrator/accounts/freezes.ts";
import { checkBook } from "../../orchestrator/book/proof.ts";
import { type Chain, openChain } from "../../orchestrator/io/chain.ts";
import { openEsplora } from "../../orchestrator/io/esplora.ts";
import { lastScanned } from "../../orchestrator/spend/blocks.ts";
import { type BuildRequest, buildPsbt } from "../../orchestrator/spend/build.ts";
import { depositsOf } from "../../orchestrator/spend/coins.ts";
import { finalise } from "../../orchestrator/spend/combine.ts";
import { hex } from "../../policies/bitcoin/hash.ts";
import { type Psbt, readPsbt, writePsbt } from "../../policies/bitcoin/psbt.ts";
import { addressOf, scriptOf } from "../../policies/bitcoin/taproot.ts";
import { sats } from "../../policies/money.ts";
import { CHANGE, RECEIVE } from "../../policies/vault.ts";
import { openEsploraServer } from "../support/esplora-server.ts";
import { describeNode, type TestNode } from "../support/node.ts";
import { type Household, holder, household, signWith } from "./holders.ts";
import {
  CONFIRMATIONS,
  ELSEWHERE,
  intentOf,
  moveIn,
  openWorld,
  type Resident,
  userSigns,
  type World,
  withdraw,
} from "./world.ts";

const DEPOSIT = 150_000n;

describeNode("a coin on a real node", (node) => {
  pathOfCoin(node, async () => ({ chain: openChain(node.rpc), close: async () => undefined }));
});

describeNode("a coin over an Esplora server", (node) => {
  pathOfCoin(node, async () => {
    const server = await openEsploraServer({ rpc: () => node.rpc, tests: false });
    const chain = openEsplora({ url: server.url, network: "regtest", pauseMs: 1 });
    return { chain, close: server.stop };
  });
});

interface OpenedChain {
  readonly chain: Chain;
  readonly close: () => Promise<void>;
}

function pathOfCoin(node: TestNode, open: () => Promise<OpenedChain>): void {
  let world: World;
  let ann: Resident;
  let opened: OpenedChain;

  beforeAll(async () => {
    await node.miner.mine(101);
    opened = await open();
    world = openWorld(opened.chain);
    ann = await moveIn(world, "ann");
    await world.settle();
  });
  afterAll(() => opened.close());

  const mine = async (blocks: number) => {
    await node.miner.mine(blocks);
    await world.settle();
  };
  const balances = () => balancesOf(world.store.db, ann.account);

  it("knows the tip, and no block above it", async () => {
    const { chain } = world.parts;
    const { height, hash } = await chain.tip();
    expect(await chain.hashAt(height)).toBe(hash);
    expect(await chain.hashAt(height + 1)).toBeNull();
    expect(await lastScanned(world.store.db)).toEqual({ height, hash });
    expect(await chain.feeRate(6)).toBeNull();
    expect(await chain.inMempool("00".repeat(32))).toBe(false);
  });

  it("books a deposit, and takes it back when its block leaves the chain", async () => {
    const { txid, vout } = await node.miner.fund(ann.address, DEPOSIT);
    const stateOf = async () => {
      const [coin] = await depositsOf(world.store.db, ann.account);
      expect(coin?.outpoint).toBe(`${txid}:${vout}`);
      return coin?.state;
    };
    await world.settle();
    expect(await stateOf()).toBe("mempool");
    expect((await balances()).available).toBe(0n);
    await mine(1);
    expect(await stateOf()).toBe("seen");
    await mine(CONFIRMATIONS - 1);
    expect(await stateOf()).toBe("confirmed");
    expect((await balances()).available).toBe(DEPOSIT);

    const height = (await world.parts.chain.tip()).height - CONFIRMATIONS + 1;
    const stale = await node.rpc.call<string>("getblockhash", [height]);
    await node.rpc.call("invalidateblock", [stale]);
    await world.settle();
    expect((await balances()).available).toBe(0n);
    expect((await lastScanned(world.store.db))?.height).toBe(height - 1);
    // The payment is back in the mempool, and the next block has it.
    expect(await world.parts.chain.inMempool(txid)).toBe(true);
    await world.settle();
    expect(await stateOf()).toBe("mempool");
    expect(await frozenAccounts(world.store.db)).toMatchObject([{ account: ann.account }]);
    // To another miner: the same block within the same second would be the invalid one again.
    await node.rpc.call("generatetoaddress", [1, ELSEWHERE]);
    await mine(CONFIRMATIONS);
    expect((await balances()).available).toBe(DEPOSIT);
    const { faults, postings } = await checkBook(world.store.db);
    expect(faults).toEqual([]);
    expect(postings).toBe(3n);
    expect(await frozenAccounts(world.store.db)).toEqual([]);
    const told = await eventsAfter(world.store.db, 0n, 10);
    expect(told.map(({ kind }) => kind)).toEqual([
      ...["deposit_mempool", "deposit", "deposit_reversed"],
      ...["account_frozen", "account_thawed", "deposit"],
    ]);
  });

  it("pays out what the user and the LSP have signed, once", async () => {
    const { id } = await withdraw(world, ann, { sats: 60_000n, reference: "w-1" });
    await world.settle();
    await userSigns(world, ann, id);
    await world.settle();
    const sent = await intentOf(world, id);
    expect(sent.state).toBe("broadcast");
    const chain = world.parts.chain;
    expect(await chain.inMempool(sent.txid ?? "")).toBe(true);
    const rawTx = sent.raw_tx ?? new Uint8Array(0);
    // Sent again, in the mempool and in a block, it is the same.
    expect(await chain.accepts(rawTx)).toEqual({ kind: "known" });
    await chain.send(rawTx);
    await mine(CONFIRMATIONS);
    expect(await chain.accepts(rawTx)).toEqual({ kind: "known" });
    await chain.send(rawTx);
    expect((await intentOf(world, id)).state).toBe("confirmed");
    const fee = sent.fee_sats ?? 0n;
    expect(await balances()).toEqual({ available: DEPOSIT - 60_000n - fee, reserved: 0n });
    const entry = await node.rpc.call<{ vout: { value: string; n: number }[] }>(
      "getrawtransaction",
      [sent.txid, true],
    );
    expect(entry.vout.map(({ value }) => value)).toContain("0.00060000");
    // Its fee is the rate asked, on the size that the node sees.
    const { vsize } = await node.rpc.call<{ vsize: number }>("decoderawtransaction", [hex(rawTx)]);
    expect(fee).toBe(BigInt(vsize) * 2n);
  });

  it("spends its own change, and everything to the last sat", async () => {
    const { available } = await balances();
    // One input, one output: what is left after the fee at 2 sat/vB.
    const all = available - 2n * BIG_ONE_IN_ONE_OUT;
    const { id } = await withdraw(world, ann, { sats: all, reference: "w-2" });
    await world.settle();
    await userSigns(world, ann, id);
    await world.settle();
    await mine(CONFIRMATIONS);
    expect((await intentOf(world, id)).state).toBe("confirmed");
    expect(await balances()).toEqual({ available: 0n, reserved: 0n });
  });
}

/** Virtual bytes of a spend of one coin to one P2TR output. */
const BIG_ONE_IN_ONE_OUT = 172n;

describeNode("any two of three, as the node sees it", (node) => {
  const home = household("node");

  it.each([
    ["user", "lsp"],
    ["user", "trustee"],
    ["lsp", "trustee"],
  ] as const)("%s and %s spend eight coins", async (a, b) => {
    const { unsigned } = await fundedSpend(node, home);
    const signed = [a, b].reduce((psbt, role) => signWith(psbt, home.vault, home[role]), unsigned);
    const { rawTx } = finalise(readPsbt(writePsbt(signed)), [home.vault]);
    expect(await openChain(node.rpc).accepts(rawTx)).toEqual({ kind: "accepted" });
  });

  it("a stranger's signature is worth nothing", async () => {
    const { unsigned } = await fundedSpend(node, home);
    const stranger = holder("user", "stranger");
    const signed = signWith(signWith(unsigned, home.vault, home.lsp), home.vault, stranger);
    expect(() => finalise(signed, [home.vault])).toThrow("lacks 1 of 2");
  });
});

/** Eight coins of the vault, on both branches, and their unsigned spend. */
async function fundedSpend(node: TestNode, home: Household): Promise<{ readonly unsigned: Psbt }> {
  const coins: BuildRequest["coins"][number][] = [];
  for (let index = 0; index < 8; index += 1) {
    const branch = index % 2 === 0 ? RECEIVE : CHANGE;
    const address = addressOf(home.vault.at(branch, index).script, "regtest") ?? "";
    const { txid, vout } = await node.miner.fund(address, 20_000n);
    coins.push({ outpoint: `${txid}:${vout}`, sats: sats(20_000n), branch, index });
  }
  await node.miner.mine(1);
  const { height } = await openChain(node.rpc).tip();
  const script = scriptOf(ELSEWHERE, "regtest");
  if (script === null) throw new Error("no address");
  const unsigned = buildPsbt({
    vault: home.vault,
    coins,
    payments: [{ script, sats: sats(100_000n) }],
    change: { sats: sats(55_000n), branch: CHANGE, index: 9 },
    locktime: height,
  });
  return { unsigned };
}
