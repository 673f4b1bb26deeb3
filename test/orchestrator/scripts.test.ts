/** Which scripts are watched, with all of them in memory: never one too few, whoever adds them. */
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { GAP, openScripts } from "../../orchestrator/accounts/scripts.ts";
import { openStore } from "../../orchestrator/io/store.ts";
import { RECEIVE } from "../../policies/vault.ts";
import { temporaryFolder } from "../support/node.ts";
import { memoryChain } from "./memory-chain.ts";
import { moveIn, openWorld } from "./world.ts";

const folder = temporaryFolder();

describe("watched scripts", () => {
  it("are the same with and without them in memory, up to the gap and not beyond", async () => {
    const world = openWorld(memoryChain());
    const { vault } = await moveIn(world, "ann");
    const { db } = world.store;
    const scripts = [GAP - 1, GAP].map((index) => vault.at(RECEIVE, index).script);
    for (const loaded of [false, true]) {
      const opened = openScripts();
      if (loaded) await opened.load(db);
      const found = await opened.watched(db, [...scripts, new Uint8Array(34), new Uint8Array(3)]);
      expect(found.map(({ index }) => index)).toEqual([GAP - 1]);
    }
  });

  it("that another process adds are found at the next look", async () => {
    const path = join(folder(), "two.sqlite");
    const [one, other] = [1, 2].map(() => openStore({ path, network: "regtest" }));
    if (one === undefined || other === undefined) throw new Error("no store");
    const world = openWorld(memoryChain(), undefined, one);
    const { vault } = await moveIn(world, "ann");
    const scripts = openScripts();
    await scripts.load(other.db);
    const next = vault.at(RECEIVE, GAP).script;
    expect(await scripts.watched(other.db, [next])).toEqual([]);
    const place = { vault: vault.vault.id, branch: RECEIVE, used: 0 } as const;
    await one.transaction((db) => world.parts.scripts.extend(db, place));
    const found = await other.transaction((db) => scripts.watched(db, [next]));
    expect(found).toMatchObject([{ index: GAP }]);
    await one.close();
    await other.close();
  });

  it("are not missed after a transaction that added others was undone", async () => {
    const world = openWorld(memoryChain());
    const [ann, bob] = [await moveIn(world, "ann"), await moveIn(world, "bob")];
    const { store } = world;
    const scripts = openScripts();
    await scripts.load(store.db);
    const place = (one: typeof ann) =>
      ({ vault: one.vault.vault.id, branch: RECEIVE, used: 0 }) as const;
    const next = (one: typeof ann) => one.vault.at(RECEIVE, GAP).script;
    const undone = store.transaction(async (db) => {
      await scripts.extend(db, place(ann));
      expect(await scripts.watched(db, [next(ann)])).toMatchObject([{ index: GAP }]);
      throw new Error("power cut");
    });
    await expect(undone).rejects.toThrow("power cut");
    // It gets the number in the table that the undone one had.
    await store.transaction((db) => world.parts.scripts.extend(db, place(bob)));
    expect(await scripts.watched(store.db, [next(ann), next(bob)])).toMatchObject([
      { vault: bob.vault.vault.id, index: GAP },
    ]);
  });
});
