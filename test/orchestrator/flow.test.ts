/** The path of a coin over a chain in memory: every state, by the roles themselves. */
import { expect, it } from "vitest";
import { balancesOf } from "../../orchestrator/accounts/book.ts";
import { checkBook } from "../../orchestrator/book/proof.ts";
import { heldOnChain } from "../../orchestrator/spend/coins.ts";
import { minedUnbooked } from "../../orchestrator/spend/confirm.ts";
import { historyOfIntent, move, objectionsOf } from "../../orchestrator/spend/intents.ts";
import { cancel } from "../../orchestrator/spend/reserve.ts";
import { LOCKTIME_WINDOW_BLOCKS } from "../../orchestrator/spend/signers.ts";
import { fromHex } from "../../policies/bitcoin/hash.ts";
import { scriptOf } from "../../policies/bitcoin/taproot.ts";
import { type TxInput, writeUnsignedTx } from "../../policies/bitcoin/transaction.ts";
import { sats } from "../../policies/money.ts";
import { describeStores, type StoreMaker } from "../support/postgres.ts";
import { type MemoryChain, memoryChain } from "./memory-chain.ts";
import {
  CONFIRMATIONS,
  intentOf,
  moveIn,
  openWorld,
  type Resident,
  userSigns,
  type World,
  withdraw,
} from "./world.ts";

interface Scene extends World {
  readonly chain: MemoryChain;
  readonly ann: Resident;
  readonly mine: (blocks: number) => Promise<void>;
}

async function open(stores: StoreMaker, deposit: bigint | null = 100_000n): Promise<Scene> {
  const chain = memoryChain();
  const world = openWorld(chain, undefined, await stores.open());
  const ann = await moveIn(world, "ann");
  const mine = async (blocks: number) => {
    chain.mine(blocks);
    await world.settle();
  };
  await world.settle();
  if (deposit !== null) {
    chain.pay(scriptAt(ann), sats(deposit));
    await mine(CONFIRMATIONS);
  }
  return { ...world, chain, ann, mine };
}

function scriptAt({ address }: Pick<Resident, "address">): Uint8Array {
  const script = scriptOf(address, "regtest");
  if (script === null) throw new Error(`no address: ${address}`);
  return script;
}

const balances = ({ store, ann }: Scene) => balancesOf(store.db, ann.account);

/** The coins cover the book to the sat, whatever is under way. */
async function expectCover({ store }: Scene): Promise<void> {
  const book = await checkBook(store.db);
  const { unspentSats, unbookedSats } = await heldOnChain(store.db);
  expect(book.faults).toEqual([]);
  expect(unspentSats).toBe(book.usersSats + unbookedSats - (await minedUnbooked(store.db)));
}

async function signedWithdrawal(scene: Scene, amount = 40_000n, reference = "w-1") {
  const intent = await withdraw(scene, scene.ann, { sats: amount, reference });
  await scene.settle();
  const outcome = await userSigns(scene, scene.ann, intent.id);
  expect(outcome).toMatchObject({ kind: "accepted", rejected: [] });
  await scene.settle();
  return intent.id;
}

describeStores("a deposit", (stores) => {
  it("is seen, buried and booked once", async () => {
    const scene = await open(stores, null);
    const outpoint = scene.chain.pay(scriptAt(scene.ann), sats(70_000n));
    await scene.mine(1);
    const seen = await scene.store.db.selectFrom("coins").selectAll().execute();
    expect(seen).toMatchObject([{ outpoint, state: "seen", kind: "deposit", sats: 70_000n }]);
    expect(await balances(scene)).toEqual({ available: 0n, reserved: 0n });
    await expectCover(scene);
    await scene.mine(CONFIRMATIONS - 1);
    expect(await balances(scene)).toEqual({ available: 70_000n, reserved: 0n });
    await scene.mine(5);
    expect(await balances(scene)).toEqual({ available: 70_000n, reserved: 0n });
    await expectCover(scene);
  });

  it("moves the next address on, and the gap with it", async () => {
    const scene = await open(stores, null);
    const { ann, chain, accounts } = scene;
    const far = ann.vault.at(0, 19);
    chain.pay(far.script, sats(1_000n));
    await scene.mine(1);
    const account = await accounts.find(ann.account);
    expect(scriptAt({ address: account?.address ?? "" })).toEqual(ann.vault.at(0, 20).script);
    chain.pay(ann.vault.at(0, 39).script, sats(1_000n));
    // In the same block, first what moves the gap and then what lies in the new part of it.
    chain.pay(ann.vault.at(0, 59).script, sats(1_000n));
    await scene.mine(1);
    const coins = await scene.store.db.selectFrom("coins").select("position").execute();
    expect(coins.map(({ position }) => position).sort()).toEqual([19n, 39n, 59n]);
  });

  it("is taken back by a reorg, and booked again when it is back", async () => {
    const scene = await open(stores, null);
    scene.chain.pay(scriptAt(scene.ann), sats(70_000n));
    await scene.mine(CONFIRMATIONS);
    expect((await balances(scene)).available).toBe(70_000n);
    for (let round = 0; round < 2; round += 1) {
      scene.chain.reorg(CONFIRMATIONS, "kept");
      await scene.settle();
      expect((await balances(scene)).available).toBe(0n);
      await expectCover(scene);
      await scene.mine(CONFIRMATIONS);
      expect((await balances(scene)).available).toBe(70_000n);
      await expectCover(scene);
    }
    scene.chain.reorg(CONFIRMATIONS, "lost");
    await scene.mine(CONFIRMATIONS + 1);
    expect((await balances(scene)).available).toBe(0n);
    const [coin] = await scene.store.db.selectFrom("coins").selectAll().execute();
    expect(coin?.state).toBe("gone");
    await expectCover(scene);
  });
});

describeStores("a withdrawal", (stores) => {
  it("goes from raised to confirmed, and the book follows", async () => {
    const scene = await open(stores);
    const { ann, store, mine } = scene;
    const { id } = await withdraw(scene, ann, { sats: 40_000n, reference: "w-1" });
    await scene.settle();
    const built = await intentOf(scene, id);
    expect(built.state).toBe("built");
    const fee = built.fee_sats ?? 0n;
    const held = { available: 60_000n - fee, reserved: 40_000n + fee };
    expect(await balances(scene)).toEqual(held);
    expect(scene.lsp.asked()).toBe(0);

    await userSigns(scene, ann, id);
    await scene.settle();
    expect(await intentOf(scene, id)).toMatchObject({ state: "broadcast", violations: "[]" });
    expect(scene.chain.sent()).toBe(1);
    await mine(1);
    expect((await intentOf(scene, id)).state).toBe("broadcast");
    await expectCover(scene);
    await mine(CONFIRMATIONS - 1);
    expect((await intentOf(scene, id)).state).toBe("confirmed");
    expect(await balances(scene)).toEqual({ available: 60_000n - fee, reserved: 0n });
    await expectCover(scene);
    const history = await historyOfIntent(store.db, id);
    expect(history.map(({ state }) => state)).toEqual([
      "raised",
      "built",
      "user-signed",
      "signed",
      "broadcast",
      "confirmed",
    ]);
    // The change is a coin, and no deposit.
    const coins = await store.db.selectFrom("coins").selectAll().orderBy("kind").execute();
    expect(coins.map(({ kind, sats: amount }) => [kind, amount])).toEqual([
      ["change", 60_000n - fee],
      ["deposit", 100_000n],
    ]);
  });

  it("raised twice is once; a reference used for another is refused", async () => {
    const scene = await open(stores);
    const first = await withdraw(scene, scene.ann, { sats: 40_000n, reference: "w-1" });
    await scene.settle();
    const again = await withdraw(scene, scene.ann, { sats: 40_000n, reference: "w-1" });
    expect(again.id).toBe(first.id);
    expect(again.state).toBe("built");
    await expect(withdraw(scene, scene.ann, { sats: 41_000n, reference: "w-1" })).rejects.toThrow(
      "was used",
    );
    const other = await withdraw(scene, scene.ann, { sats: 40_000n, reference: "w-2" });
    expect(other.id).not.toBe(first.id);
  });

  it("is moved by one of two racers", async () => {
    const scene = await open(stores);
    const { id } = await withdraw(scene, scene.ann, { sats: 1_000n, reference: "w-1" });
    const race = () =>
      scene.store.transaction((db) => move(db, { id, from: "raised", to: "cancelled", at: 1n }));
    const won = await Promise.all([race(), race(), race()]);
    expect(won.filter(Boolean)).toHaveLength(1);
    // Built by two steps at once: one PSBT, one reservation.
    const second = await withdraw(scene, scene.ann, { sats: 2_000n, reference: "w-2" });
    await Promise.all([scene.roles.reserve.step(), scene.roles.reserve.step()]);
    const row = await intentOf(scene, second.id);
    expect(await balances(scene)).toMatchObject({ reserved: 2_000n + (row.fee_sats ?? 0n) });
    expect((await historyOfIntent(scene.store.db, second.id)).length).toBe(2);
  });

  it("waits for coins on their way, and is refused where there are none", async () => {
    const scene = await open(stores);
    const first = await signedWithdrawal(scene, 40_000n, "w-1");
    const second = await withdraw(scene, scene.ann, { sats: 50_000n, reference: "w-2" });
    await scene.settle();
    expect(await intentOf(scene, second.id)).toMatchObject({ state: "raised" });
    expect(objectionsOf(await intentOf(scene, second.id))).toMatchObject([{ rule: "funds" }]);
    await scene.mine(CONFIRMATIONS);
    expect((await intentOf(scene, first)).state).toBe("confirmed");
    scene.pass(600_000n);
    await scene.settle();
    expect((await intentOf(scene, second.id)).state).toBe("built");
    await cancel(scene.parts, second.id);
    const third = await withdraw(scene, scene.ann, { sats: 90_000n, reference: "w-3" });
    await scene.settle();
    expect((await intentOf(scene, third.id)).state).toBe("refused");
    await expectCover(scene);
  });

  it.each([
    [6, "built"],
    [7, "raised"],
  ])("is not dated by a scanner that is %i blocks behind: %s", async (behind, state) => {
    const scene = await open(stores);
    const { id } = await withdraw(scene, scene.ann, { sats: 40_000n, reference: "w-1" });
    // The blocks are there, and nobody has looked at them yet.
    scene.chain.mine(behind);
    await scene.roles.reserve.step();
    expect((await intentOf(scene, id)).state).toBe(state);
    await scene.settle();
    expect((await intentOf(scene, id)).state).toBe("built");
  });

  it("can be cancelled before the first signature, and its coins are free", async () => {
    const scene = await open(stores);
    const { id } = await withdraw(scene, scene.ann, { sats: 40_000n, reference: "w-1" });
    await scene.settle();
    expect(await cancel(scene.parts, id)).toBe(true);
    expect(await cancel(scene.parts, id)).toBe(false);
    expect(await balances(scene)).toEqual({ available: 100_000n, reserved: 0n });
    expect(await userSigns(scene, scene.ann, id)).toMatchObject({ kind: "refused", code: "state" });
    const second = await signedWithdrawal(scene, 40_000n, "w-2");
    expect(await cancel(scene.parts, second)).toBe(false);
    await expectCover(scene);
  });

  it("that nobody signs gives its coins back after its window", async () => {
    const scene = await open(stores);
    const { id } = await withdraw(scene, scene.ann, { sats: 40_000n, reference: "w-1" });
    await scene.settle();
    await scene.mine(LOCKTIME_WINDOW_BLOCKS);
    expect((await intentOf(scene, id)).state).toBe("built");
    await scene.mine(1);
    expect((await intentOf(scene, id)).state).toBe("cancelled");
    expect(await balances(scene)).toEqual({ available: 100_000n, reserved: 0n });
  });

  it("that was refused keeps its coins until no honest signer would sign it", async () => {
    const scene = await open(stores);
    const violations = [{ rule: "spend-limit", detail: "too much" }] as const;
    scene.lsp.answers.push({ kind: "refused", violations });
    const id = await signedWithdrawal(scene);
    expect(await intentOf(scene, id)).toMatchObject({ state: "refused", released: 0n });
    expect(objectionsOf(await intentOf(scene, id))).toEqual(violations);
    expect((await balances(scene)).reserved).toBeGreaterThan(40_000n);
    await scene.mine(LOCKTIME_WINDOW_BLOCKS + 1);
    expect((await intentOf(scene, id)).released).toBe(1n);
    expect(await balances(scene)).toEqual({ available: 100_000n, reserved: 0n });
    await scene.mine(1);
    await expectCover(scene);
  });

  it("that is held is asked again, later and later", async () => {
    const scene = await open(stores);
    const violations = [{ rule: "window-limit", detail: "today", retry: "tomorrow" }] as const;
    const held = { kind: "held", violations } as const;
    scene.lsp.answers.push(held, new Error("unplugged"), held);
    const id = await signedWithdrawal(scene);
    expect((await intentOf(scene, id)).state).toBe("held");
    expect(scene.lsp.asked()).toBe(1);
    await scene.settle();
    expect(scene.lsp.asked()).toBe(1);
    scene.pass(2_000n);
    await scene.settle();
    expect(objectionsOf(await intentOf(scene, id))).toMatchObject([{ detail: "unplugged" }]);
    scene.pass(4_000n);
    await scene.settle();
    scene.pass(8_000n);
    await scene.settle();
    expect(scene.lsp.asked()).toBe(4);
    expect((await intentOf(scene, id)).state).toBe("broadcast");
  });

  it("with a signer that answers without signing goes nowhere", async () => {
    const scene = await open(stores);
    const { id } = await withdraw(scene, scene.ann, { sats: 40_000n, reference: "w-1" });
    await scene.settle();
    const { unsigned_psbt } = await intentOf(scene, id);
    if (unsigned_psbt === null) throw new Error("not built");
    scene.lsp.answers.push({ kind: "signed", psbt: unsigned_psbt, rules: [] });
    await userSigns(scene, scene.ann, id);
    await scene.settle();
    expect((await intentOf(scene, id)).state).toBe("user-signed");
    expect(scene.chain.sent()).toBe(0);
  });

  it("that the node would not take is held, stored before it is sent, and sent once", async () => {
    const scene = await open(stores);
    scene.chain.rejections.push("min relay fee not met");
    const id = await signedWithdrawal(scene);
    const stuck = await intentOf(scene, id);
    expect(stuck.state).toBe("signed");
    expect(stuck.raw_tx).not.toBeNull();
    expect(scene.chain.sent()).toBe(0);
    scene.pass(2_000n);
    await scene.settle();
    expect((await intentOf(scene, id)).raw_tx).toEqual(stuck.raw_tx);
    expect(scene.chain.sent()).toBe(1);
  });

  it("is sent again when the mempool has lost it, and confirmed again after a reorg", async () => {
    const scene = await open(stores);
    const id = await signedWithdrawal(scene);
    await scene.mine(CONFIRMATIONS);
    expect((await intentOf(scene, id)).state).toBe("confirmed");
    const after = await balances(scene);
    scene.chain.reorg(CONFIRMATIONS, "lost");
    await scene.mine(1);
    expect((await intentOf(scene, id)).state).toBe("broadcast");
    await expectCover(scene);
    expect(scene.chain.sent()).toBe(2);
    await scene.mine(CONFIRMATIONS);
    expect((await intentOf(scene, id)).state).toBe("confirmed");
    expect(await balances(scene)).toEqual(after);
    await expectCover(scene);
  });

  it("whose coins another transaction spends is shown as conflicted, and the gap with it", async () => {
    const scene = await open(stores);
    const { id } = await withdraw(scene, scene.ann, { sats: 40_000n, reference: "w-1" });
    await scene.settle();
    const [coin] = await scene.store.db.selectFrom("coins").select("outpoint").execute();
    const thief = { inputs: [{ txid: reversed(coin?.outpoint ?? ""), vout: 0, sequence: 1 }] };
    await scene.chain.send(unsignedTx(thief.inputs));
    await scene.mine(CONFIRMATIONS);
    expect((await intentOf(scene, id)).state).toBe("conflicted");
    const book = await checkBook(scene.store.db);
    const { unspentSats } = await heldOnChain(scene.store.db);
    expect(book.usersSats - unspentSats).toBe(100_000n);
  });
});

function reversed(outpoint: string): Uint8Array {
  return fromHex(outpoint.slice(0, 64)).reverse();
}

function unsignedTx(inputs: readonly TxInput[]): Uint8Array {
  const outputs = [{ sats: 1_000n, script: Uint8Array.of(0x51) }];
  return writeUnsignedTx({ version: 2, inputs, outputs, locktime: 0 });
}
