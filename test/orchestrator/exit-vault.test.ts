/** Accounts whose vault has an exit: opened, spent, rotated, and listed when a coin has rested long. */
import { spawn } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { beginRotation, completeRotation } from "../../orchestrator/accounts/rotation.ts";
import { coinsToRefresh } from "../../orchestrator/spend/refresh.ts";
import { scriptOf } from "../../policies/bitcoin/taproot.ts";
import { EXIT_BLOCKS } from "../../policies/exit.ts";
import { sats } from "../../policies/money.ts";
import { descriptorOf, readVault } from "../../policies/vault.ts";
import { temporaryFolder } from "../support/node.ts";
import { holder, proofOf } from "./holders.ts";
import { memoryChain } from "./memory-chain.ts";
import { OPERATOR_TOKEN, type Stage, serveStage } from "./stage.ts";
import { CONFIRMATIONS, intentOf, moveIn, openWorld, userSigns, withdraw } from "./world.ts";

const PAID = 100_000n;
const folder = temporaryFolder();

/** A funded account with an exit, and one without. */
async function openExitStage(): Promise<Stage> {
  const chain = memoryChain();
  const world = openWorld(chain);
  const ann = await moveIn(world, "ann", "multi+exit");
  const bob = await moveIn(world, "bob");
  const mine = async (blocks: number) => {
    chain.mine(blocks);
    await world.settle();
  };
  await world.settle();
  for (const { address } of [ann, bob]) {
    chain.pay(scriptOf(address, "regtest") ?? new Uint8Array(0), sats(PAID));
  }
  await mine(CONFIRMATIONS);
  return { ...world, chain, ann, mine };
}

/** As if so many blocks had passed since the coins confirmed, their own counted. */
async function restFor({ store }: Stage, age: number): Promise<void> {
  const { height } = await store.db
    .selectFrom("coins")
    .select((eb) => eb.fn.max("height").as("height"))
    .executeTakeFirstOrThrow();
  await store.db.deleteFrom("blocks").execute();
  const tip = Number(height) + age - 1;
  await store.db
    .insertInto("blocks")
    .values({ height: BigInt(tip), hash: "00".repeat(32) })
    .execute();
}

describe("an account with an exit", () => {
  it("is spent by user and LSP, whose leaf is one of two", async () => {
    const stage = await openExitStage();
    const { id } = await withdraw(stage, stage.ann, { sats: 40_000n, reference: "w-1" });
    await stage.settle();
    expect(await userSigns(stage, stage.ann, id)).toMatchObject({ kind: "accepted" });
    await stage.settle();
    await stage.mine(CONFIRMATIONS);
    expect(await intentOf(stage, id)).toMatchObject({ state: "confirmed" });
  });

  it("says its template, and is another account's conflict with another one", async () => {
    const { accounts, ann } = await openExitStage();
    expect(await accounts.find(ann.account)).toMatchObject({ template: "multi+exit" });
    const request = { name: "ann", userKey: ann.user.key, trusteeKey: ann.trustee.key };
    expect(await accounts.begin(request)).toMatchObject({ kind: "refused", code: "conflict" });
    const same = { ...request, template: "multi+exit" as const };
    expect(await accounts.begin(same)).toMatchObject({ kind: "done", fresh: false });
  });

  it("keeps its exit through a rotation", async () => {
    const { parts, ann, accounts } = await openExitStage();
    const at = { ...parts, network: "regtest" as const };
    const user = holder("user", "ann anew");
    const trustee = holder("trustee", "ann anew");
    const keys = { userKey: user.key, trusteeKey: trustee.key };
    const begun = await beginRotation(at, ann.account, "rotation", keys);
    if (begun?.kind !== "done") throw new Error("not begun");
    const vault = readVault(begun.rotation.document);
    expect(vault.exit).toEqual({ blocks: EXIT_BLOCKS });
    const proofs = { user: proofOf(vault, user), trustee: proofOf(vault, trustee) };
    await completeRotation(at, ann.account, "rotation", proofs);
    expect(await accounts.find(ann.account)).toMatchObject({ template: "multi+exit" });
  });
});

/** 60 % and 80 % of 26,280 blocks. */
const RIPE = 15_768;
const DUE = 21_024;

describe("the coins that want a refresh", () => {
  it.each([
    [RIPE - 1, []],
    [RIPE, ["ripe"]],
    [DUE - 1, ["ripe"]],
    [DUE, ["due"]],
    [EXIT_BLOCKS - 1, ["due"]],
    [EXIT_BLOCKS, ["open"]],
  ])("after %i blocks are %j: those with an exit alone", async (age, states) => {
    const stage = await openExitStage();
    await restFor(stage, age);
    const coins = await coinsToRefresh(stage.store.db, { limit: 10 });
    expect(coins.map(({ state }) => state)).toEqual(states);
    for (const coin of coins) {
      expect(coin).toMatchObject({ account: stage.ann.account, sats: PAID, age, reservedBy: null });
    }
    const others = await coinsToRefresh(stage.store.db, { account: "a-0", limit: 10 });
    expect(others).toEqual([]);
  });

  it("are not those that were spent", async () => {
    const stage = await openExitStage();
    await stage.store.db
      .updateTable("coins")
      .set({ spent_by: "00".repeat(32), spent_height: 5n })
      .execute();
    await restFor(stage, DUE);
    expect(await coinsToRefresh(stage.store.db, { limit: 10 })).toEqual([]);
  });
});

describe("over the API", () => {
  it("a vault comes whole, with what wants a refresh, and makes an exit kit", async () => {
    const stage = await openExitStage();
    await restFor(stage, DUE);
    const api = await serveStage(stage);
    const headers = { authorization: `Bearer ${OPERATOR_TOKEN}` };
    const get = async (path: string) => {
      const response = await fetch(api.url + path, { headers });
      return { status: response.status, body: await response.json() };
    };
    const { account, vault } = stage.ann;
    try {
      expect((await get(`/v1/accounts/${account}/vaults`)).body).toMatchObject({
        vaults: [
          {
            ...{ vault: vault.vault.id, state: "in-use", template: "multi+exit" },
            document: vault.vault.document,
            refresh: [{ state: "due", age: DUE, sats: String(PAID) }],
          },
        ],
      });
      expect((await get("/v1/accounts/a-0/vaults")).status).toBe(404);
      expect((await get("/v1/refresh")).body).toMatchObject({ coins: [{ account, state: "due" }] });
      expect((await get("/v1/refresh?limit=0")).status).toBe(422);

      const token = join(folder(), "token");
      writeFileSync(token, OPERATOR_TOKEN);
      const out = join(folder(), "kit");
      const asked = ["--api", api.url, "--token", token, "--out", out];
      expect(await ballast("exit-kit", account, ...asked)).toBe(0);
      const descriptor = readFileSync(join(out, "descriptor.txt"), "utf8").trim();
      expect(descriptor).toBe(descriptorOf(vault.vault));
      expect(await ballast("exit-kit", "a-0", ...asked)).toBe(2);
      const beside = join(folder(), "other");
      expect(await ballast("exit-kit", account, "--out", beside)).toBe(2);
      expect(await ballast("exit-kit", "--out", beside)).toBe(2);
      expect(existsSync(beside)).toBe(false);
    } finally {
      await api.close();
    }
  });
});

/** Its exit code. */
function ballast(...words: readonly string[]): Promise<number | null> {
  const program = join(import.meta.dirname, "../../scripts/ballast");
  return new Promise((resolve) => {
    spawn(program, words, { stdio: "ignore" }).once("exit", resolve);
  });
}
