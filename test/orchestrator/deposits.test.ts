/** Deposits by state, by source and by flag, over a chain in memory; each bound from both sides. */
import { describe, expect, it } from "vitest";
import { balancesOf } from "../../orchestrator/accounts/book.ts";
import { eventsAfter } from "../../orchestrator/accounts/events.ts";
import { frozenAccounts, thaw } from "../../orchestrator/accounts/freezes.ts";
import { GAP } from "../../orchestrator/accounts/scripts.ts";
import { addVault } from "../../orchestrator/accounts/vaults.ts";
import { checkBook } from "../../orchestrator/book/proof.ts";
import { heldIn, heldOnChain, spendable } from "../../orchestrator/spend/coins.ts";
import { depositsRole } from "../../orchestrator/spend/deposits.ts";
import { objectionsOf } from "../../orchestrator/spend/intents.ts";
import { mempoolRole } from "../../orchestrator/spend/mempool.ts";
import { dueRescan, wantRescan } from "../../orchestrator/spend/rescan.ts";
import { scriptOf } from "../../policies/bitcoin/taproot.ts";
import { sats } from "../../policies/money.ts";
import { CHANGE, composeVault, RECEIVE, readVault } from "../../policies/vault.ts";
import { vaultScripts } from "../../policies/vault-scripts.ts";
import { holder } from "./holders.ts";
import { type MemoryChain, memoryChain } from "./memory-chain.ts";
import {
  CONFIRMATIONS,
  ELSEWHERE,
  intentOf,
  moveIn,
  openWorld,
  type Resident,
  type World,
  withdraw,
} from "./world.ts";

interface Scene extends World {
  readonly chain: MemoryChain;
  readonly ann: Resident;
  readonly mine: (blocks: number) => Promise<void>;
}

async function open(): Promise<Scene> {
  const chain = memoryChain();
  const world = openWorld(chain);
  const ann = await moveIn(world, "ann");
  await world.settle();
  const mine = async (blocks: number) => {
    chain.mine(blocks);
    await world.settle();
  };
  return { ...world, chain, ann, mine };
}

const receive = ({ vault }: Resident, index = 0) => vault.at(RECEIVE, index).script;
const elsewhere = scriptOf(ELSEWHERE, "regtest") ?? new Uint8Array(0);
const available = async ({ store, ann }: Scene, { account }: Resident = ann) =>
  (await balancesOf(store.db, account)).available;
const coinsOf = ({ store }: World) =>
  store.db.selectFrom("coins").selectAll().orderBy("seen_at").orderBy("outpoint").execute();

async function coinAt(world: World, outpoint: string) {
  const coin = (await coinsOf(world)).find((candidate) => candidate.outpoint === outpoint);
  return coin ?? { state: "unseen" };
}

/** What was told on the way to a credit, as `kind` and what it is about. */
async function told({ store }: World): Promise<readonly string[]> {
  const events = (await eventsAfter(store.db, 0n, 1_000)).filter(
    ({ kind }) => kind !== "deposit" && kind !== "deposit_reversed",
  );
  return events.map(({ kind, data }) => `${kind} ${data["flag"] ?? data["by"] ?? data["sats"]}`);
}

async function expectCover({ store }: World): Promise<void> {
  const book = await checkBook(store.db);
  const { unspentSats, unbookedSats } = await heldOnChain(store.db);
  expect(unspentSats).toBe(book.usersSats + unbookedSats);
}

describe("a payment in the mempool", () => {
  it("is told once, credits nothing, pays for nothing, and moves the address on", async () => {
    const scene = await open();
    const { chain, ann, accounts, store } = scene;
    const outpoint = chain.pay(receive(ann), sats(5_000n));
    await scene.settle();
    await scene.settle();
    expect(await coinAt(scene, outpoint)).toMatchObject({ state: "mempool", height: null });
    const [event] = await eventsAfter(store.db, 0n, 10);
    expect(event).toMatchObject({
      kind: "deposit_mempool",
      account: ann.account,
      data: { outpoint, txid: outpoint.slice(0, 64), sats: "5000", address: ann.address },
    });
    expect(await available(scene)).toBe(0n);
    expect(await heldIn(store.db, ann.vault.vault.id)).toBe(0n);
    expect(await spendable(store.db, ann.vault.vault.id)).toEqual([]);
    await expectCover(scene);
    const shown = await accounts.find(ann.account);
    expect(scriptOf(shown?.address ?? "", "regtest")).toEqual(receive(ann, 1));
    // A withdrawal waits for it: it is on its way.
    const { id } = await withdraw(scene, ann, { sats: 2_000n, reference: "w-1" });
    await scene.settle();
    expect((await intentOf(scene, id)).state).toBe("raised");
    await scene.mine(1);
    expect(await coinAt(scene, outpoint)).toMatchObject({ state: "seen" });
    scene.pass(3_600_000n);
    await scene.mine(CONFIRMATIONS - 1);
    expect(await coinAt(scene, outpoint)).toMatchObject({ state: "confirmed" });
    expect((await intentOf(scene, id)).state).toBe("built");
    expect(await told(scene)).toEqual(["deposit_mempool 5000"]);
  });

  it("that leaves it is gone, and its address is not given out again", async () => {
    const scene = await open();
    const { chain, ann, accounts } = scene;
    const outpoint = chain.pay(receive(ann), sats(5_000n));
    await scene.settle();
    chain.evict(outpoint.slice(0, 64));
    await scene.settle();
    expect(await coinAt(scene, outpoint)).toMatchObject({ state: "gone", height: null });
    const shown = await accounts.find(ann.account);
    expect(scriptOf(shown?.address ?? "", "regtest")).toEqual(receive(ann, 1));
    expect(await told(scene)).toEqual(["deposit_mempool 5000"]);
  });

  it("that is replaced is gone, and what replaces it pays an unused address", async () => {
    const scene = await open();
    const { chain, ann } = scene;
    const from = `${"ab".repeat(32)}:0`;
    const first = chain.put({ spends: [from], outputs: [{ sats: 5_000n, script: receive(ann) }] });
    await scene.settle();
    const second = chain.put({ spends: [from], outputs: [{ sats: 4_000n, script: receive(ann) }] });
    await scene.settle();
    expect(await coinAt(scene, `${first}:0`)).toMatchObject({ state: "gone" });
    expect(await coinAt(scene, `${second}:0`)).toMatchObject({ state: "mempool" });
    await scene.mine(CONFIRMATIONS);
    expect(await coinAt(scene, `${second}:0`)).toMatchObject({ state: "confirmed", reused: 0n });
    expect(await told(scene)).toEqual(["deposit_mempool 5000", "deposit_mempool 4000"]);
    expect(await available(scene)).toBe(4_000n);
  });

  it("is not gone while its block waits for the scanner", async () => {
    const scene = await open();
    const { chain, ann, roles } = scene;
    const outpoint = chain.pay(receive(ann), sats(5_000n));
    await scene.settle();
    chain.mine(1);
    expect(await roles.mempool.step()).toBe("idle");
    expect(await coinAt(scene, outpoint)).toMatchObject({ state: "mempool" });
    await scene.settle();
    expect(await coinAt(scene, outpoint)).toMatchObject({ state: "seen" });
  });

  it("is the same after a restart, and gone if it left meanwhile", async () => {
    const scene = await open();
    const { chain, ann, parts } = scene;
    const stays = chain.pay(receive(ann), sats(5_000n));
    const leaves = chain.pay(receive(ann, 1), sats(6_000n));
    await scene.settle();
    chain.evict(leaves.slice(0, 64));
    await mempoolRole(parts).step();
    expect(await coinAt(scene, stays)).toMatchObject({ state: "mempool" });
    expect(await coinAt(scene, leaves)).toMatchObject({ state: "gone" });
    expect((await told(scene)).length).toBe(2);
  });

  it("is no news where a block had it before", async () => {
    const scene = await open();
    const { chain, ann } = scene;
    const outpoint = chain.pay(receive(ann), sats(5_000n));
    await scene.mine(1);
    chain.reorg(1, "kept");
    await scene.settle();
    expect(await coinAt(scene, outpoint)).toMatchObject({ state: "mempool" });
    expect(await told(scene)).toEqual([]);
  });

  it("is no deposit when the account pays itself", async () => {
    const scene = await open();
    const { chain, ann } = scene;
    const coin = chain.pay(receive(ann), sats(50_000n));
    await scene.mine(CONFIRMATIONS);
    const script = ann.vault.at(CHANGE, 0).script;
    chain.put({ spends: [coin], outputs: [{ sats: 49_000n, script }] });
    await scene.settle();
    const change = (await coinsOf(scene)).find(({ state }) => state === "mempool");
    expect(change).toMatchObject({ kind: "change", origin: "change" });
    expect(await told(scene)).toEqual([]);
  });
});

describe("by source", () => {
  /** Own deposits count from the first block on, strangers' from the second. */
  const ownFirst = ({ parts }: World) => depositsRole({ ...parts, ownConfirmations: 1 });
  async function drain(role: ReturnType<typeof depositsRole>): Promise<void> {
    while ((await role.step()) === "more");
  }
  const output = (script: Uint8Array, amount = 30_000n) => [{ sats: amount, script }];

  it("a stranger's is buried by two blocks, the house's by one", async () => {
    const scene = await open();
    const { chain, ann } = scene;
    const bob = await moveIn(scene, "bob");
    const role = ownFirst(scene);
    const coin = chain.pay(receive(ann), sats(50_000n));
    chain.mine(1);
    await drain(role);
    expect(await available(scene)).toBe(0n);
    chain.mine(1);
    await drain(role);
    expect(await available(scene)).toBe(50_000n);
    const paid = chain.put({ spends: [coin], outputs: output(receive(bob)) });
    chain.mine(1);
    await drain(role);
    expect(await coinAt(scene, `${paid}:0`)).toMatchObject({ origin: "service", kind: "deposit" });
    expect(await available(scene, bob)).toBe(30_000n);
  });

  it("a stranger's input, or one that is not buried, makes it a stranger's", async () => {
    const scene = await open();
    const { chain, ann } = scene;
    const bob = await moveIn(scene, "bob");
    const role = ownFirst(scene);
    const buried = chain.pay(receive(ann), sats(50_000n));
    chain.mine(CONFIRMATIONS);
    const fresh = chain.pay(receive(ann, 1), sats(50_000n));
    const stranger = `${"cd".repeat(32)}:0`;
    const mixed = chain.put({ spends: [buried, stranger], outputs: output(receive(bob)) });
    const early = chain.put({ spends: [fresh], outputs: output(receive(bob, 1)) });
    chain.mine(1);
    await drain(role);
    for (const txid of [mixed, early]) {
      expect(await coinAt(scene, `${txid}:0`)).toMatchObject({ origin: "external", state: "seen" });
    }
    expect(await available(scene, bob)).toBe(0n);
  });

  it("what a vault of the house adds is no deposit", async () => {
    const scene = await open();
    const { chain, ann, store, parts } = scene;
    const house = {
      ...(await store.db.selectFrom("accounts").selectAll().executeTakeFirstOrThrow()),
    };
    await store.db
      .insertInto("accounts")
      .values({ ...house, id: "house", user_key: "none" })
      .execute();
    const holders = (["lsp", "trustee", "second-trustee"] as const).map((role) =>
      holder(role, "h"),
    );
    const vault = readVault(
      composeVault({ network: "regtest", kind: "treasury", name: "House", holders }),
    );
    await store.transaction((db) =>
      addVault(db, parts.scripts, { vault, account: "house", number: 0n, proofs: "{}" }),
    );
    const funds = chain.pay(vaultScripts(vault).at(RECEIVE, 0).script, sats(90_000n));
    await scene.mine(CONFIRMATIONS);
    const topped = chain.put({ spends: [funds], outputs: output(receive(ann)) });
    await scene.mine(CONFIRMATIONS);
    expect(await coinAt(scene, `${topped}:0`)).toMatchObject({ kind: "change", origin: "service" });
    expect(await available(scene)).toBe(0n);
  });
});

describe("a flag", () => {
  it("reused: an earlier transaction paid the address, not another output of the same", async () => {
    const scene = await open();
    const { chain, ann } = scene;
    const to = (amount: bigint) => ({ sats: amount, script: receive(ann) });
    const twice = chain.put({
      spends: [`${"ab".repeat(32)}:0`],
      outputs: [to(5_000n), to(6_000n)],
    });
    const again = chain.pay(receive(ann), sats(7_000n));
    await scene.mine(1);
    const later = chain.pay(receive(ann), sats(8_000n));
    await scene.mine(CONFIRMATIONS);
    for (const outpoint of [`${twice}:0`, `${twice}:1`]) {
      expect(await coinAt(scene, outpoint)).toMatchObject({ reused: 0n });
    }
    for (const outpoint of [again, later]) {
      expect(await coinAt(scene, outpoint)).toMatchObject({ reused: 1n, state: "confirmed" });
    }
    const flagged = (await told(scene)).filter((line) => line.startsWith("deposit_flagged"));
    expect(flagged).toEqual(["deposit_flagged reused", "deposit_flagged reused"]);
    expect(await available(scene)).toBe(26_000n);
  });

  it("dust: below the least it is kept, credited to nobody and never spent", async () => {
    const scene = await open();
    const { chain, ann, store } = scene;
    const [brink, beyond] = [1_000n, 999n];
    const credited = chain.pay(receive(ann), sats(brink));
    const dust = chain.pay(receive(ann, 1), sats(beyond));
    await scene.mine(CONFIRMATIONS);
    expect(await coinAt(scene, credited)).toMatchObject({ dust: 0n, state: "confirmed" });
    expect(await coinAt(scene, dust)).toMatchObject({ dust: 1n, state: "confirmed" });
    expect(await available(scene)).toBe(brink);
    const free = await spendable(store.db, ann.vault.vault.id);
    expect(free.map(({ outpoint }) => outpoint)).toEqual([credited]);
    expect(await heldIn(store.db, ann.vault.vault.id)).toBe(brink);
    await expectCover(scene);
    expect((await told(scene)).filter((line) => line.includes("flagged"))).toEqual([
      "deposit_flagged dust",
    ]);
    // A reorganisation takes back what was booked, and dust never was.
    chain.reorg(CONFIRMATIONS, "lost");
    await scene.settle();
    expect(await available(scene)).toBe(0n);
    await expectCover(scene);
  });

  it("unexpected_change: a change address paid by a stranger is a deposit", async () => {
    const scene = await open();
    const { chain, ann } = scene;
    const outpoint = chain.pay(ann.vault.at(CHANGE, 0).script, sats(5_000n));
    await scene.mine(CONFIRMATIONS);
    expect(await coinAt(scene, outpoint)).toMatchObject({ kind: "deposit", origin: "unexpected" });
    expect(await available(scene)).toBe(5_000n);
    expect(await told(scene)).toEqual(["deposit_flagged unexpected_change"]);
  });
});

describe("the gap", () => {
  it("ends at its brink; what lies beyond is found, and its spending, when it moves", async () => {
    const scene = await open();
    const { chain, ann } = scene;
    const brink = chain.pay(receive(ann, GAP - 1), sats(5_000n));
    const beyond = chain.pay(receive(ann, 2 * GAP), sats(6_000n));
    await scene.mine(1);
    expect(await coinAt(scene, brink)).toMatchObject({ state: "seen" });
    expect(await coinAt(scene, beyond)).toEqual({ state: "unseen" });
    chain.put({ spends: [beyond], outputs: [{ sats: 5_900n, script: elsewhere }] });
    const spent = chain.mine(1);
    await scene.settle();
    expect(await coinAt(scene, beyond)).toEqual({ state: "unseen" });
    chain.pay(receive(ann, GAP), sats(7_000n));
    await scene.mine(1);
    expect(await coinAt(scene, beyond)).toMatchObject({
      state: "confirmed",
      spent_height: BigInt(spent),
    });
    expect(await scene.store.db.selectFrom("rescans").selectAll().execute()).toEqual([]);
  });

  it("that a payment in the mempool moves is looked through too", async () => {
    const scene = await open();
    const { chain, ann } = scene;
    const beyond = chain.pay(receive(ann, GAP), sats(6_000n));
    await scene.mine(CONFIRMATIONS);
    chain.pay(receive(ann), sats(7_000n));
    await scene.settle();
    await scene.settle();
    expect(await coinAt(scene, beyond)).toMatchObject({ state: "confirmed" });
  });

  it.each([
    [144, "confirmed"],
    [145, "unseen"],
  ])("moved %i blocks later: %s, and found on request", async (later, state) => {
    const scene = await open();
    const { chain, ann, store } = scene;
    const beyond = chain.pay(receive(ann, GAP), sats(6_000n));
    const height = chain.mine(1);
    chain.mine(later - 1);
    chain.pay(receive(ann), sats(7_000n));
    await scene.mine(1);
    expect(await coinAt(scene, beyond)).toMatchObject({ state });
    await store.transaction((db) => wantRescan(db, height));
    await scene.settle();
    expect(await coinAt(scene, beyond)).toMatchObject({ state: "confirmed" });
  });
});

describe("a rescan", () => {
  it("from above the tip waits for the tip, and a reorganisation ends it at the fork", async () => {
    const scene = await open();
    const { chain, store, roles } = scene;
    await scene.mine(3);
    await store.transaction((db) => wantRescan(db, 5));
    expect(await roles.deposits.step()).toBe("idle");
    await scene.mine(2);
    expect(await dueRescan(store.db)).toBeNull();
    for (const [from, left] of [
      [4, null],
      [3, 3],
    ] as const) {
      await store.transaction((db) => wantRescan(db, from));
      chain.reorg(2, "lost");
      expect(await roles.deposits.step()).toBe("more");
      expect(await dueRescan(store.db)).toBe(left);
      await scene.mine(2);
    }
  });
});

describe("a deep reorganisation", () => {
  it("takes back, freezes, and thaws when the same deposits are buried again", async () => {
    const scene = await open();
    const { chain, ann, store } = scene;
    for (const index of [0, 1]) chain.pay(receive(ann, index), sats(40_000n));
    await scene.mine(CONFIRMATIONS);
    const { id } = await withdraw(scene, ann, { sats: 90_000n, reference: "w-1" });
    chain.reorg(CONFIRMATIONS, "kept");
    await scene.settle();
    expect(await available(scene)).toBe(0n);
    expect(await frozenAccounts(store.db)).toMatchObject([{ account: ann.account }]);
    const [frozen] = await frozenAccounts(store.db);
    expect(frozen?.outpoints.length).toBe(2);
    await expect(withdraw(scene, ann, { sats: 2_000n, reference: "w-2" })).rejects.toThrow(
      "frozen",
    );
    // What was raised before is found again, and waits.
    expect((await withdraw(scene, ann, { sats: 90_000n, reference: "w-1" })).id).toBe(id);
    scene.pass(3_600_000n);
    await scene.settle();
    expect(objectionsOf(await intentOf(scene, id))).toMatchObject([{ rule: "frozen" }]);
    await scene.mine(CONFIRMATIONS);
    expect(await frozenAccounts(store.db)).toEqual([]);
    expect(await available(scene)).toBe(80_000n);
    const [freezing, thawing] = (await told(scene)).filter((line) => line.startsWith("account_"));
    expect([freezing, thawing]).toEqual(["account_frozen undefined", "account_thawed chain"]);
  });

  it("of what is buried twice is told twice; an operator thaws what never comes back", async () => {
    const scene = await open();
    const { chain, ann, store } = scene;
    chain.pay(receive(ann), sats(40_000n));
    await scene.mine(CONFIRMATIONS);
    chain.reorg(CONFIRMATIONS, "kept");
    await scene.settle();
    await scene.mine(CONFIRMATIONS);
    chain.reorg(CONFIRMATIONS, "lost");
    await scene.mine(CONFIRMATIONS + 3);
    expect((await frozenAccounts(store.db)).length).toBe(1);
    const word = { by: "dora", at: 1n };
    const thawing = () => store.transaction((db) => thaw(db, ann.account, word));
    expect([await thawing(), await thawing()]).toEqual([true, false]);
    expect((await told(scene)).filter((line) => line.startsWith("account_"))).toEqual([
      ...["account_frozen undefined", "account_thawed chain"],
      ...["account_frozen undefined", "account_thawed dora"],
    ]);
    const { id } = await withdraw(scene, ann, { sats: 2_000n, reference: "w-2" });
    await scene.settle();
    expect(objectionsOf(await intentOf(scene, id))).toMatchObject([{ rule: "funds" }]);
  });

  it("shows what is missing as a balance below zero", async () => {
    const scene = await open();
    const { chain, ann, store } = scene;
    chain.pay(receive(ann), sats(40_000n));
    await scene.mine(CONFIRMATIONS);
    await withdraw(scene, ann, { sats: 20_000n, reference: "w-1" });
    await scene.settle();
    chain.reorg(CONFIRMATIONS, "lost");
    await scene.settle();
    expect(await available(scene)).toBeLessThan(0n);
    // What is reserved is no one's yet: together they are nothing, and the book says so.
    expect(await checkBook(store.db)).toMatchObject({ usersSats: 0n, faults: [] });
  });

  it("as deep as strangers' deposits are buried freezes; one block less takes the house's alone", async () => {
    for (const [depth, frozen] of [
      [1, 0],
      [2, 1],
    ] as const) {
      const scene = await open();
      const { chain, ann, store, parts } = scene;
      const bob = await moveIn(scene, "bob");
      const role = depositsRole({ ...parts, ownConfirmations: 1 });
      const settle = async () => {
        while ((await role.step()) === "more");
      };
      const coin = chain.pay(receive(ann), sats(50_000n));
      chain.mine(CONFIRMATIONS);
      await settle();
      chain.put({ spends: [coin], outputs: [{ sats: 30_000n, script: receive(bob) }] });
      chain.mine(depth);
      await settle();
      expect(await available(scene, bob)).toBe(30_000n);
      chain.reorg(depth, "kept");
      await settle();
      expect(await available(scene, bob)).toBe(0n);
      expect((await frozenAccounts(store.db)).length).toBe(frozen);
    }
  });
});
