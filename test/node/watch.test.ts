import { rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as later } from "node:timers/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import { descriptorChecksum } from "../../policies/bitcoin/descriptor.ts";
import { addressOf } from "../../policies/bitcoin/taproot.ts";
import type { VaultCoin } from "../../policies/chain-view.ts";
import { type Branch, CHANGE, descriptorOf, RECEIVE } from "../../policies/vault.ts";
import { type Miner, openMiner } from "../../scripts/miner.ts";
import { type Regtest, startRegtest } from "../../scripts/regtest.ts";
import { type CurvePool, openCurvePool } from "../../signer/curve.ts";
import type { Bitcoind, BitcoindCall } from "../../signer/node/bitcoind.ts";
import { openChain } from "../../signer/node/chain.ts";
import { btcOfSats } from "../../signer/node/exact-json.ts";
import { openWatch, type WatchOptions } from "../../signer/node/watch.ts";
import { bitcoindPart, describeNode, temporaryFolder } from "../support/node.ts";
import { describeReal } from "../support/real-part.ts";
import { openRoom, paperChain, type RoomLogLine } from "../support/signer-room.ts";
import { type TestVault, testVault, USER_VAULT } from "../support/spend.ts";

/** A signer's view through a node, with what it logs. */
function sightOf(rpc: Bitcoind, options: Partial<WatchOptions> = {}) {
  const lines: RoomLogLine[] = [];
  const log = (event: string, fields: RoomLogLine["fields"]) => void lines.push({ event, fields });
  const watch = openWatch({ rpc, network: "regtest", name: "lsp", log, ...options });
  const chain = openChain({ rpc, chain: "regtest", watch });
  const events = () => lines.map(({ event }) => event);
  return { watch, events, ...sees(chain) };
}

function sees(chain: ReturnType<typeof openChain>) {
  const view = (...vaults: readonly TestVault[]) =>
    chain.view({ outpoints: [], vaults: vaults.map(({ vault }) => vault) });
  const coins = async (of: TestVault) => (await view(of)).vaults.get(of.vault.id);
  return { chain, view, coins };
}

function addressAt({ scripts }: TestVault, branch: Branch, index: number): string {
  const address = addressOf(scripts.at(branch, index).script, "regtest");
  if (address === null) throw new Error("a vault's script has an address");
  return address;
}

interface Hands {
  readonly rpc: Bitcoind;
  readonly miner: Miner;
}

async function paid(
  { miner }: Hands,
  at: { readonly to: TestVault; readonly branch?: Branch; readonly index: number },
  sats: bigint,
): Promise<VaultCoin> {
  const address = addressAt(at.to, at.branch ?? RECEIVE, at.index);
  const { txid, vout } = await miner.fund(address, sats);
  return { outpoint: `${txid}:${vout}`, sats, height: 0 };
}

/** A spend of these coins of a vault by user and LSP, sent; the fee is 1,000 sats. */
async function spent(
  { rpc }: Hands,
  from: TestVault,
  coins: readonly VaultCoin[],
  to: string,
): Promise<VaultCoin> {
  const sats = coins.reduce((sum, coin) => sum + coin.sats, -1_000n);
  const inputs = coins.map(({ outpoint }) => {
    const [txid, vout] = outpoint.split(":");
    return { txid, vout: Number(vout) };
  });
  const psbt = await rpc.call<string>("createpsbt", [inputs, { [to]: btcOfSats(sats) }]);
  let [secret = ""] = descriptorOf(from.vault).split("#");
  for (const role of ["user", "lsp"] as const) {
    const account = from.parties.get(role)?.account;
    secret = secret.replace(account?.publicExtendedKey ?? "", account?.privateExtendedKey ?? "");
  }
  const desc = `${secret}#${descriptorChecksum(secret)}`;
  const processed = await rpc.call<{ psbt: string }>("descriptorprocesspsbt", [psbt, [{ desc }]]);
  const { hex } = await rpc.call<{ hex: string }>("finalizepsbt", [processed.psbt]);
  const txid = await rpc.call<string>("sendrawtransaction", [hex]);
  return { outpoint: `${txid}:0`, sats, height: 0 };
}

function inOrder(...coins: readonly VaultCoin[]): readonly VaultCoin[] {
  return [...coins].sort((a, b) => (a.outpoint < b.outpoint ? -1 : 1));
}

/** All coins of a vault as a real node's wallet tells them to a signer. */
describeNode("the coins of a vault", (node) => {
  const sight = (options: Partial<WatchOptions> = {}) => sightOf(node.rpc, options);
  const height = () => node.rpc.call<number>("getblockcount");

  it("are seen in the mempool, then in a block, on both branches and to the sat", async () => {
    const vault = testVault({ seed: "both branches" });
    const { coins, events } = sight();
    expect(await coins(vault)).toEqual([]);
    const receive = await paid(node, { to: vault, index: 0 }, 123_456_789n);
    const change = await paid(node, { to: vault, branch: CHANGE, index: 7 }, 30_000_001n);
    expect(await coins(vault)).toEqual(inOrder(receive, change));
    await node.miner.mine(1);
    const at = await height();
    const later = await paid(node, { to: vault, index: 1 }, 1_000n);
    const seen = inOrder({ ...receive, height: at }, { ...change, height: at }, later);
    expect(await coins(vault)).toEqual(seen);
    // Deeper is not higher.
    await node.miner.mine(2);
    expect(await coins(vault)).toEqual(
      seen.map((coin) => (coin.height === 0 ? { ...coin, height: at + 1 } : coin)),
    );
    expect(events()).toEqual(["vaults watched"]);
  });

  it("are found though they are older than the first question", async () => {
    const vault = testVault({ seed: "older" });
    const buried = await paid(node, { to: vault, index: 3 }, 50_000n);
    await node.miner.mine(3);
    const fresh = await paid(node, { to: vault, index: 4 }, 60_000n);
    const seen = inOrder({ ...buried, height: (await height()) - 2 }, fresh);
    expect(await sight().coins(vault)).toEqual(seen);
  });

  it("are told apart by vault, and a vault that was not asked for is absent", async () => {
    const [one, two, three] = ["one", "two", "three"].map((seed) => testVault({ seed }));
    if (one === undefined || two === undefined || three === undefined) throw new Error("three");
    const { view } = sight();
    await view(one, two, three);
    const ofOne = await paid(node, { to: one, index: 0 }, 10_000n);
    const ofTwo = await paid(node, { to: two, index: 0 }, 20_000n);
    expect((await view(two, one)).vaults).toEqual(
      new Map([
        [two.vault.id, [ofTwo]],
        [one.vault.id, [ofOne]],
      ]),
    );
    expect((await view(three)).vaults).toEqual(new Map([[three.vault.id, []]]));
    expect((await view()).vaults).toEqual(new Map());
  });

  it("are gone when spent in the mempool, and the change is there", async () => {
    const vault = testVault({ seed: "spender" });
    const { coins } = sight();
    const coin = await paid(node, { to: vault, index: 0 }, 100_000n);
    const kept = await paid(node, { to: vault, index: 1 }, 70_000n);
    await node.miner.mine(1);
    const at = await height();
    const change = await spent(node, vault, [coin], addressAt(vault, CHANGE, 0));
    expect(await coins(vault)).toEqual(inOrder({ ...kept, height: at }, change));
    await node.miner.mine(1);
    const mined = { ...change, height: at + 1 };
    expect(await coins(vault)).toEqual(inOrder({ ...kept, height: at }, mined));
  });

  it("go back to the mempool with a reorganisation, and away with a replacement", async () => {
    const vault = testVault({ seed: "reorganised" });
    const { coins } = sight();
    const coin = await paid(node, { to: vault, index: 0 }, 40_000n);
    const [block] = await node.miner.mine(1);
    expect(await coins(vault)).toEqual([{ ...coin, height: await height() }]);
    await node.rpc.call("invalidateblock", [block]);
    expect(await coins(vault)).toEqual([coin]);
    const [txid] = coin.outpoint.split(":");
    const bumped = await node.rpc.call<{ txid: string }>("bumpfee", [txid], { wallet: "miner" });
    const [instead, ...others] = (await coins(vault)) ?? [];
    expect(instead).toMatchObject({ sats: 40_000n, height: 0 });
    expect(instead?.outpoint.split(":")[0]).toBe(bumped.txid);
    expect(others).toEqual([]);
    await node.miner.mine(1);
  });

  it("are found up to `-keypool` indices past the highest that was paid, and not beyond", async () => {
    const vault = testVault({ seed: "far" });
    const { coins } = sight();
    expect(await coins(vault)).toEqual([]);
    await paid(node, { to: vault, index: 100 }, 1_111n);
    const last = await paid(node, { to: vault, index: 99 }, 2_222n);
    expect(await coins(vault)).toEqual([last]);
    await paid(node, { to: vault, index: 200 }, 3_333n);
    const further = await paid(node, { to: vault, index: 199 }, 4_444n);
    expect(await coins(vault)).toEqual(inOrder(last, further));
    await node.miner.mine(1);
  });

  it("of a coinbase count when it can be spent", async () => {
    const vault = testVault({ seed: "coinbase" });
    const { coins } = sight();
    expect(await coins(vault)).toEqual([]);
    const address = addressAt(vault, RECEIVE, 0);
    const [block] = await node.rpc.call<string[]>("generatetoaddress", [1, address]);
    const { tx } = await node.rpc.call<{ tx: string[] }>("getblock", [block]);
    const at = await height();
    // One block later than a block may spend it.
    await node.miner.mine(99);
    expect(await coins(vault)).toEqual([]);
    await node.miner.mine(1);
    expect(await coins(vault)).toMatchObject([{ outpoint: `${tx[0]}:0`, height: at }]);
  });

  it("are seen by two signers on one node, each through a wallet of its own", async () => {
    const vault = testVault({ seed: "shared" });
    const coin = await paid(node, { to: vault, index: 0 }, 5_000n);
    const trustee = sight({ name: "trustee" });
    const lsp = sight();
    expect(await Promise.all([trustee.coins(vault), lsp.coins(vault)])).toEqual([[coin], [coin]]);
    expect(trustee.watch.wallet).toBe("ballast-regtest-trustee");
    expect(lsp.watch.wallet).toBe("ballast-regtest-lsp");
    const { wallet } = trustee.watch;
    expect(await node.rpc.call("getwalletinfo", [], { wallet })).toMatchObject({
      private_keys_enabled: false,
      descriptors: true,
    });
  });

  it("are seen after the wallet was unloaded, what came meanwhile too", async () => {
    const vault = testVault({ seed: "unloaded" });
    const { coins, events, watch } = sight();
    expect(await coins(vault)).toEqual([]);
    await node.rpc.call("unloadwallet", [watch.wallet]);
    const mined = await paid(node, { to: vault, index: 0 }, 8_000n);
    await node.miner.mine(1);
    const at = await height();
    const fresh = await paid(node, { to: vault, index: 1 }, 9_000n);
    expect(await coins(vault)).toEqual(inOrder({ ...mined, height: at }, fresh));
    // Loaded, and not scanned anew.
    expect(events()).toEqual(["vaults watched"]);
  });

  it("are found again when the wallet was removed", async () => {
    const vault = testVault({ seed: "removed" });
    const { coins, events, watch } = sight({ name: "removed" });
    const coin = await paid(node, { to: vault, index: 0 }, 12_000n);
    expect(await coins(vault)).toEqual([coin]);
    await node.rpc.call("unloadwallet", [watch.wallet]);
    rmSync(join(dirname(node.cookieFile), "wallets", watch.wallet), { recursive: true });
    await node.miner.mine(1);
    expect(await coins(vault)).toEqual([{ ...coin, height: await height() }]);
    expect(events()).toEqual(["vaults watched", "vaults watched"]);
  });

  it("and single coins are of one tip, though blocks come between", async () => {
    const vault = testVault({ seed: "restless" });
    const coin = await paid(node, { to: vault, index: 0 }, 31_000n);
    await sight().coins(vault);
    let moves = 2;
    const rpc: Bitcoind = {
      ...node.rpc,
      batch: async (calls: readonly BitcoindCall[], options) => {
        if (calls[0]?.method !== "getblockchaininfo") return node.rpc.batch(calls, options);
        const tip = await node.rpc.batch(calls.slice(0, 1), options);
        moves -= 1;
        if (moves >= 0) await node.miner.mine(1);
        return [...tip, ...(await node.rpc.batch(calls.slice(1), options))];
      },
    };
    const view = await sightOf(rpc).view(vault);
    expect(moves).toBe(-1);
    expect(view.tip).toBe(await node.rpc.call("getbestblockhash"));
    expect(view.vaults.get(vault.vault.id)).toEqual([{ ...coin, height: view.height - 1 }]);
  });

  it("are told on paper as by the node, so that tests without a node are honest", async () => {
    const vault = testVault({ seed: "paper" });
    const unwatched = testVault({ seed: "unwatched" });
    await paid(node, { to: vault, index: 0 }, 41_000n);
    const real = await sight().view(vault);
    const paper = paperChain();
    paper.vaults.set(vault.vault.id, real.vaults.get(vault.vault.id) ?? []);
    const onPaper = sees(paper);
    expect((await onPaper.view(vault)).vaults).toEqual(real.vaults);
    expect((await onPaper.view()).vaults).toEqual(new Map());
    expect((await onPaper.view(unwatched)).vaults).toEqual(new Map());
  });

  it("of a vault are unknown where nobody watches", async () => {
    const { view } = sees(openChain({ rpc: node.rpc, chain: "regtest" }));
    expect((await view(USER_VAULT)).vaults).toEqual(new Map());
  });

  it("of a vault are unknown while a wallet of that name cannot watch, said once", async () => {
    await node.rpc.call("createwallet", ["ballast-regtest-with-keys"]);
    const { view, events } = sight({ name: "with-keys" });
    for (const _ of [1, 2]) expect((await view(USER_VAULT)).vaults).toEqual(new Map());
    expect(events()).toEqual(["vaults not watched"]);
  });
});

/** The node's clock only goes forward: blocks of tomorrow are refused today. */
describeNode("the coins of a vault, of long ago", (node) => {
  const sight = (options: Partial<WatchOptions> = {}) => sightOf(node.rpc, options);
  const height = () => node.rpc.call<number>("getblockcount");
  let now = Math.floor(Date.now() / 1000);
  /** Median time and all go on; what was mined before is older than the node's two hours of doubt. */
  async function daysLater(days: number): Promise<number> {
    now += days * 86_400;
    await node.rpc.call("setmocktime", [now]);
    await node.miner.mine(12);
    return now;
  }

  it("are asked for again by a rescan when an earlier one did not end", async () => {
    const vault = testVault({ seed: "broken off" });
    const { coins, events, watch } = sight();
    await coins(USER_VAULT);
    const coin = await paid(node, { to: vault, index: 0 }, 11_000n);
    await node.miner.mine(1);
    const [both = ""] = descriptorOf(vault.vault).split("#");
    const requests = [RECEIVE, CHANGE].map((branch) => {
      const body = both.replaceAll("<0;1>", String(branch));
      return { desc: `${body}#${descriptorChecksum(body)}`, timestamp: "now", range: [0, 120] };
    });
    // What a node holds that was ended between the import and the rescan: a wallet that knows
    // the addresses, and not what they have.
    const { wallet } = watch;
    const at = await height();
    await daysLater(1);
    await node.rpc.call("importdescriptors", { requests }, { wallet });
    expect(await coins(vault)).toEqual([{ ...coin, height: at }]);
    expect(events()).toEqual(["vaults watched", "vaults watched"]);
  });

  it("older than `since` are missed, and a lower `since` finds them", async () => {
    const vault = testVault({ seed: "since" });
    const old = await paid(node, { to: vault, index: 0 }, 21_000n);
    await node.miner.mine(1);
    const at = await height();
    const since = await daysLater(1);
    const fresh = await paid(node, { to: vault, index: 1 }, 22_000n);
    expect(await sight({ name: "late", since }).coins(vault)).toEqual([fresh]);
    expect(await sight({ name: "late" }).coins(vault)).toEqual(
      inOrder({ ...old, height: at }, fresh),
    );
  });
});

describeNode("a registered vault", (node) => {
  const folder = temporaryFolder();
  let curve: CurvePool;
  beforeAll(() => {
    curve = openCurvePool();
  });
  afterAll(() => curve.close());

  it("is watched before anyone asks", async () => {
    const coin = await paid(node, { to: USER_VAULT, index: 0 }, 51_000n);
    const { watch, events, coins } = sightOf(node.rpc);
    const room = await openRoom({ folder: folder(), curve, watch });
    for (let tries = 0; tries < 400 && events().length === 0; tries += 1) await later(25);
    expect(events()).toEqual(["vaults watched"]);
    expect(await coins(USER_VAULT)).toEqual([coin]);
    await room.close();
  });
});

/** Nodes of their own: they are ended, or have no wallets. */
describeReal(bitcoindPart(), "a node that watches vaults", () => {
  const folder = temporaryFolder();
  const rest: (() => Promise<void>)[] = [];
  async function started(name: string, ...extraArgs: readonly string[]): Promise<Regtest> {
    const regtest = await startRegtest({ dataDir: join(folder(), name), extraArgs });
    rest.push(() => regtest.stop());
    return regtest;
  }
  afterAll(async () => {
    for (const stop of rest) await stop();
  });

  it("knows them after a restart, and forgets the spends that its mempool forgot", async () => {
    const vault = testVault({ seed: "restarted" });
    const first = await started("restarted");
    const hands = { rpc: first.rpc, miner: await openMiner(first.rpc) };
    const before = sightOf(first.rpc);
    const coins = [
      await paid(hands, { to: vault, index: 0 }, 61_000n),
      await paid(hands, { to: vault, index: 1 }, 62_000n),
    ];
    await hands.miner.mine(1);
    const height = await first.rpc.call<number>("getblockcount");
    // A spend from the vault to itself: to the wallet, all of its outputs are change.
    const change = await spent(hands, vault, coins, addressAt(vault, CHANGE, 0));
    expect(await before.coins(vault)).toEqual([change]);
    await first.stop();

    // The wallet sends its spends again at a start, and this node takes none so cheap.
    const second = await started("restarted", "-minrelaytxfee=0.001");
    expect(await second.rpc.call("getrawmempool")).toEqual([]);
    const after = sightOf(second.rpc);
    const unspent = inOrder(...coins.map((coin) => ({ ...coin, height })));
    expect(await after.coins(vault)).toEqual(unspent);
    expect(after.events()).toEqual([]);
    await second.stop();

    // The same spend, seen again, counts again.
    const third = await started("restarted");
    const again = { rpc: third.rpc, miner: await openMiner(third.rpc) };
    const { coins: seen } = sightOf(third.rpc);
    expect(await seen(vault)).toEqual(unspent);
    expect(await spent(again, vault, coins, addressAt(vault, CHANGE, 0))).toEqual(change);
    expect(await seen(vault)).toEqual([change]);
  });

  it("without wallets knows coins and tip, and of vaults nothing, said once", async () => {
    const { rpc } = await started("no wallets", "-disablewallet");
    const { view, events } = sightOf(rpc);
    for (const _ of [1, 2]) {
      expect(await view(USER_VAULT)).toMatchObject({ height: 0, vaults: new Map() });
    }
    expect(events()).toEqual(["vaults not watched"]);
  });
});
