/** What must not stop the rest: one bad intent, a long queue, a stranger's spend that a reorg undoes. */
import { expect, it } from "vitest";
import { sats } from "../../policies/money.ts";
import { RECEIVE } from "../../policies/vault.ts";
import { describeStores, type StoreMaker } from "../support/postgres.ts";
import { type MemoryChain, memoryChain } from "./memory-chain.ts";
import { intentOf, moveIn, openWorld, userSigns, withdraw } from "./world.ts";

/** A chain whose answers a test may replace. */
type Bendable = { -readonly [Key in keyof MemoryChain]: MemoryChain[Key] };

/** A world with one account that has `coins` deposits of 1,000,000 sat. */
async function worldWith(stores: StoreMaker, coins: number) {
  const chain: Bendable = memoryChain();
  const world = openWorld(chain, undefined, await stores.open());
  await world.settle();
  const person = await moveIn(world, "ann");
  const paid = Array.from({ length: coins }, (_, i) =>
    chain.pay(person.vault.at(RECEIVE, i).script, sats(1_000_000n)),
  );
  chain.mine(3);
  await world.settle();
  return { chain, world, person, paid };
}

describeStores("a withdrawal", (stores) => {
  it("that a stranger's spend conflicted with is booked when a reorg brings ours", async () => {
    const { chain, world, person, paid } = await worldWith(stores, 1);
    const { id } = await withdraw(world, person, { sats: 400_000n, reference: "1" });
    await world.settle();
    await userSigns(world, person, id);
    await world.settle();
    const ours = (await intentOf(world, id)).raw_tx ?? new Uint8Array(0);

    // A block in which somebody else spends the coin, instead of the mempool's transaction.
    chain.reorg(0, "lost");
    const block = chain.block;
    chain.mine(1);
    const strange = (await chain.tip()).hash;
    const theirs = { txid: () => "ee".repeat(32), spends: paid, outputs: [] };
    chain.block = async (hash) => {
      const found = await block(hash);
      return hash === strange ? { ...found, transactions: [theirs] } : found;
    };
    chain.mine(1);
    await world.settle();
    expect((await intentOf(world, id)).state).toBe("conflicted");

    chain.reorg(2, "lost");
    await chain.send(ours);
    chain.mine(4);
    await world.settle();
    expect((await intentOf(world, id)).state).toBe("confirmed");
  });

  it("is sent although the one before it stumbles at the node", async () => {
    const { chain, world, person } = await worldWith(stores, 2);
    const ids: string[] = [];
    for (const reference of ["1", "2"]) {
      ids.push((await withdraw(world, person, { sats: 400_000n, reference })).id);
      await world.settle();
      world.pass(1n);
    }
    for (const id of ids) await userSigns(world, person, id);
    await world.roles.sign.step();
    const send = chain.send;
    let first: string | null = null;
    chain.send = async (raw) => {
      first ??= Buffer.from(raw).toString("hex");
      if (Buffer.from(raw).toString("hex") === first) throw new Error("the node stumbles");
      await send(raw);
    };
    await world.roles.broadcast.step();
    const states = await Promise.all(ids.map(async (id) => (await intentOf(world, id)).state));
    expect(states).toEqual(["signed", "broadcast"]);
    expect((await intentOf(world, ids[0] ?? "")).violations).toContain("the node stumbles");
  });

  it("is sent again when the mempool lost it, behind a hundred older ones", async () => {
    const { chain, world, person } = await worldWith(stores, 1);
    const { id } = await withdraw(world, person, { sats: 400_000n, reference: "1" });
    await world.settle();
    await userSigns(world, person, id);
    await world.settle();
    const row = await intentOf(world, id);
    for (let k = 0; k < 100; k += 1) {
      const older = { id: k.toString(16).padStart(64, "0"), reference: `older ${k}` };
      await world.store.db
        .insertInto("intents")
        .values({ ...row, ...older, raw_tx: null, created_at: row.created_at - 1n })
        .execute();
    }
    chain.reorg(0, "lost");
    const before = chain.sent();
    chain.mine(1);
    await world.settle();
    expect(chain.sent()).toBe(before + 1);
  });
});
