/** Each check on both sides of its bounds; looks that hang or fail; what a fault says is not shown. */
import { describe, expect, it } from "vitest";
import { type CheckParts, checksOf } from "../../orchestrator/health/checks.ts";
import { type Check, type Finding, fine, openHealth } from "../../orchestrator/health/health.ts";
import type { TrustedPrice } from "../../orchestrator/prices/prices.ts";
import { rememberBlock } from "../../orchestrator/spend/blocks.ts";
import { price } from "../../policies/money.ts";
import { memoryChain } from "../orchestrator/memory-chain.ts";
import { openPost, type Post, START } from "../webhooks/post.ts";

const DEAD: Finding = { status: "down", wrong: ["it is gone"], ready: false };

function health(checks: readonly Check[], clock = () => START) {
  return openHealth({ checks, clock, boundMs: 50 });
}

describe("the whole", () => {
  const ill: Finding = { status: "degraded", wrong: ["a", "b"], ready: true };

  it.each([
    [[fine(), fine()], "ok", []],
    [[fine(), ill], "degraded", []],
    [[ill, DEAD, fine()], "down", ["it is gone"]],
  ] as const)("is the worst of its parts", async (findings, status, unready) => {
    const checks = findings.map((finding, i) => ({ name: String(i), look: () => finding }));
    expect(await health(checks).report()).toMatchObject({ status, unready });
  });

  it("says since when, and begins anew when it changes", async () => {
    let now = START;
    let finding = fine();
    const whole = health([{ name: "a", look: () => finding }], () => now);
    const since = async () => (await whole.report()).components["a"]?.since;
    expect(await since()).toBe(START);
    now += 5n;
    expect(await since()).toBe(START);
    finding = ill;
    expect(await since()).toBe(START + 5n);
    now += 5n;
    expect((await whole.report()).components["a"]).toEqual({
      ...{ status: "degraded", since: START + 5n, detail: "a; b" },
    });
  });

  it("waits for nobody, asks who hangs once, and repeats no fault's words", async () => {
    let asked = 0;
    let answer = (_: Finding) => undefined as undefined;
    const hangs = () => {
      asked += 1;
      return new Promise<Finding>((resolve) => {
        answer = (finding) => {
          resolve(finding);
        };
      });
    };
    const fails = async () => {
      throw new Error("postgres://user:hunter2@10.0.0.1 refused");
    };
    const whole = health([
      { name: "slow", look: hangs },
      { name: "broken", look: fails },
    ]);
    for (const _ of [1, 2]) {
      expect(await whole.report()).toMatchObject({
        status: "down",
        unready: ["the slow does not answer in 50 ms", "the broken does not answer"],
      });
    }
    expect(asked).toBe(1);
    answer(fine());
    await new Promise((resolve) => setImmediate(resolve));
    const next = whole.report();
    expect(asked).toBe(2);
    answer(fine());
    expect((await next).components["slow"]?.status).toBe("ok");
  });

  it("is looked at once for all who ask at once", async () => {
    let asked = 0;
    const look = async () => {
      asked += 1;
      return fine();
    };
    const whole = health([{ name: "a", look }]);
    await Promise.all([whole.report(), whole.report(), whole.report()]);
    expect(asked).toBe(1);
    await whole.report();
    expect(asked).toBe(2);
  });
});

const CARD = {
  ...{ name: "s", role: "lsp", custody: "software", paused: false },
  policy: { name: "p", version: 1, hash: "00" },
};

async function partsOf(post: Post, bend: Partial<CheckParts> = {}): Promise<CheckParts> {
  const chain = memoryChain();
  const { hash, height } = await chain.tip();
  await rememberBlock(post.store.db, { hash, height });
  return {
    ...{ store: post.store, chain, clock: post.parts.clock, network: "regtest" },
    describeSigner: async () => CARD,
    running: { wake: () => undefined, faults: () => new Map(), stop: async () => undefined },
    ...bend,
  };
}

async function looked(parts: CheckParts, name: string): Promise<Finding> {
  const check = checksOf(parts).find((candidate) => candidate.name === name);
  if (check === undefined) throw new Error(`no check of ${name}`);
  return await check.look();
}

describe("the parts", () => {
  it("are all well when they are", async () => {
    const post = await openPost();
    const parts = await partsOf(post);
    const whole = openHealth({ checks: checksOf(parts), clock: parts.clock, boundMs: 20_000 });
    const { status, components, unready } = await whole.report();
    expect({ status, unready }).toEqual({ status: "ok", unready: [] });
    expect(Object.keys(components)).toEqual(["node", "store", "signer", "roles", "webhooks"]);
  });

  it("node: one block behind is none, two are", async () => {
    const post = await openPost();
    const chain = memoryChain();
    const parts = await partsOf(post, { chain });
    expect(await looked(parts, "node")).toEqual(fine());
    chain.mine(1);
    expect(await looked(parts, "node")).toEqual(fine());
    chain.mine(1);
    expect(await looked(parts, "node")).toEqual({
      ...{ status: "degraded", wrong: ["scanned up to block 0 of 2"], ready: false },
    });
    await post.store.db.deleteFrom("blocks").execute();
    expect((await looked(parts, "node")).wrong).toEqual(["scanned up to block none of 2"]);
  });

  it.each([
    ["bitcoin", 7_200_000n, "ok"],
    ["bitcoin", 7_200_001n, "degraded"],
    ["regtest", 7_200_001n, "ok"],
  ] as const)("node: on %s a tip of %i ms is %s", async (network, age, status) => {
    const post = await openPost();
    const look = checksOf(await partsOf(post, { network })).find(({ name }) => name === "node");
    await look?.look();
    post.pass(age);
    expect((await look?.look())?.status).toBe(status);
  });

  it("signer: paused is degraded, and takes work", async () => {
    const post = await openPost();
    const paused = await partsOf(post, { describeSigner: async () => ({ ...CARD, paused: true }) });
    expect(await looked(paused, "signer")).toEqual({
      ...{ status: "degraded", wrong: ["the signer is paused"], ready: true },
    });
  });

  it("roles: each that stumbles is named", async () => {
    const post = await openPost();
    const faults = () =>
      new Map([
        ["a", null],
        ["b", "no node"],
      ]);
    const running = { wake: () => undefined, faults, stop: async () => undefined };
    expect(await looked(await partsOf(post, { running }), "roles")).toEqual({
      ...{ status: "down", wrong: ["role b: no node"], ready: false },
    });
  });

  it.each<[string, TrustedPrice | null, Finding["status"]]>([
    ["none", null, "down"],
    ["of a minute ago", quoted(60_000n), "ok"],
    ["older than that", quoted(60_001n), "degraded"],
  ])("price: %s", async (_, latest, status) => {
    const post = await openPost();
    const parts = await partsOf(post, { prices: { latest: () => latest } });
    expect(await looked(parts, "price")).toMatchObject({ status, ready: true });
  });

  it("store: closed, it does not answer", async () => {
    const post = await openPost();
    const parts = await partsOf(post);
    expect(await looked(parts, "store")).toEqual(fine());
    await post.store.close();
    await expect(looked(parts, "store")).rejects.toThrow();
  });

  it("webhooks: dead letters, and events that wait for longer than fifteen minutes", async () => {
    const post = await openPost();
    const parts = await partsOf(post);
    const { id } = await post.add("https://example.com/");
    await post.happen("d");
    const row = {
      ...{ endpoint: id, event: 1n, lane: "ann", state: "waiting" as const, series: 0n },
      ...{ attempts: 0n, began_at: null, retry_at: 0n, ended_at: null, status: null, reason: "" },
    };
    await post.store.db.insertInto("webhook_deliveries").values(row).execute();
    post.pass(900_000n);
    expect(await looked(parts, "webhooks")).toEqual(fine());
    post.pass(60_000n);
    expect((await looked(parts, "webhooks")).wrong).toEqual(["a webhook waits for 16 minutes"]);
    await post.store.db.updateTable("webhook_deliveries").set({ state: "dead" }).execute();
    expect(await looked(parts, "webhooks")).toMatchObject({
      ...{ status: "degraded", wrong: ["1 dead letters"], ready: true },
    });
  });
});

function quoted(ageMs: bigint): TrustedPrice {
  return { price: price(10_000_000n), currency: "USD", at: START - ageMs, sources: ["a", "b"] };
}
