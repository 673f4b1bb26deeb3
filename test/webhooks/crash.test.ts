/**
 * A process that dies before each of its statements in turn, and one that is killed between sending
 * and writing down: what comes after sends everything, in order, under the ids that were sent before.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import type { KyselyPlugin } from "kysely";
import { describe, expect, it } from "vitest";
import { tell } from "../../orchestrator/accounts/events.ts";
import { openStore, type Store } from "../../orchestrator/io/store.ts";
import { eventId } from "../../orchestrator/webhooks/body.ts";
import { webhooksRole } from "../../orchestrator/webhooks/deliver.ts";
import { addEndpoint } from "../../orchestrator/webhooks/endpoints.ts";
import { deliveriesOf } from "../../orchestrator/webhooks/queue.ts";
import { temporaryFolder } from "../support/node.ts";
import { openReceiver } from "../support/receiver.ts";
import { accountRow, openPost, PRIVATE, settle } from "./post.ts";

const folder = temporaryFolder();
const ROOT = join(import.meta.dirname, "../..");

/** A store whose process dies before its n-th statement from now, the first being 1. */
function dying(store: Store, n: number): Store {
  let left = n;
  const plugin: KyselyPlugin = {
    transformQuery({ node }) {
      left -= 1;
      if (left <= 0) throw new Error("the process is dead");
      return node;
    },
    transformResult: async ({ result }) => result,
  };
  return {
    ...store,
    db: store.db.withPlugin(plugin),
    transaction: (body) => store.transaction((db) => body(db.withPlugin(plugin))),
  };
}

const EVENTS = [
  ["a1", "ann"],
  ["b1", "ben"],
  ["a2", "ann"],
] as const;

/** False: the process has done all its work without coming to its n-th statement. */
async function dieAt(n: number): Promise<boolean> {
  const receiver = await openReceiver();
  const post = await openPost();
  await post.add(receiver.url);
  for (const [key, account] of EVENTS) await post.happen(key, { account });
  const doomed = webhooksRole({ ...post.parts, store: dying(post.store, n) });
  let died = false;
  try {
    while ((await doomed.step()) === "more");
  } catch {
    died = true;
  }
  await doomed.rest();
  // The next process makes the attempt that nobody has written down the end of.
  post.pass(16_000n);
  await settle(post);
  const heard = receiver.heard.map(({ headers }) => headers["x-webhook-id"]);
  const fresh = [...new Set(heard)];
  expect([n, [...fresh].sort()]).toEqual([n, EVENTS.map(([key]) => eventId({ key })).sort()]);
  const place = (key: string) => fresh.indexOf(eventId({ key }));
  expect(place("a1")).toBeLessThan(place("a2"));
  // One of them was under way, and no other is repeated.
  expect(heard.length - fresh.length).toBeLessThanOrEqual(died ? 1 : 0);
  await receiver.close();
  await post.store.close();
  return died;
}

describe("a process that dies", () => {
  it("before any of its statements loses nothing and changes no order", async () => {
    let n = 1;
    while (await dieAt(n)) n += 1;
    expect(n).toBeGreaterThan(20);
  });

  it("killed between sending and writing down, sends again under the same id", async () => {
    const path = join(folder(), "killed.sqlite");
    const store = openStore({ path, network: "regtest" });
    await store.db.insertInto("accounts").values(accountRow("ann")).execute();
    const receiver = await openReceiver();
    let now = BigInt(Date.now());
    const clock = () => now;
    const wish = { url: receiver.url, kinds: null, accounts: null, from: 1n };
    const added = await addEndpoint({ store, clock, allowed: PRIVATE }, wish);
    if (added.kind === "refused") throw new Error(added.reasons.join());
    for (const key of ["a1", "a2"]) {
      await tell(store.db, { kind: "deposit", key, account: "ann", data: {}, at: now });
    }
    const victim: ChildProcess = spawn(
      process.execPath,
      ["--import", "tsx", join(ROOT, "test/support/webhook-victim.ts"), path],
      { cwd: ROOT, stdio: "ignore" },
    );
    const dead = new Promise((resolve) => victim.once("exit", (_, signal) => resolve(signal)));
    receiver.behave(() => {
      victim.kill("SIGKILL");
      return "hang";
    });
    expect(await dead).toBe("SIGKILL");
    receiver.behave(200);
    now = BigInt(Date.now()) + 16_000n;
    const { parts } = await openPost();
    await settle({ parts: { ...parts, store, clock } });
    const heard = receiver.heard.map(({ headers }) => headers["x-webhook-id"]);
    expect(heard).toEqual(["a1", "a1", "a2"].map((key) => eventId({ key })));
    const bodies = receiver.heard.map(({ body }) => body);
    expect(bodies[0]).toBe(bodies[1]);
    const rows = await deliveriesOf(store.db, {
      ...{ endpoint: added.endpoint.id, state: "delivered", before: null, limit: 9 },
    });
    expect(rows.map(({ attempts }) => attempts)).toEqual([1n, 2n]);
    await receiver.close();
    await store.close();
  });
});
