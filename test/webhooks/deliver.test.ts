/** What endpoints hear over real sockets, from receivers that are well and that are not. */
import { readFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { eventId } from "../../orchestrator/webhooks/body.ts";
import { webhooksRole } from "../../orchestrator/webhooks/deliver.ts";
import { listEndpoints, renewSecret, setDisabled } from "../../orchestrator/webhooks/endpoints.ts";
import {
  deliveriesOf,
  drop,
  forget,
  replay,
  replayAll,
} from "../../orchestrator/webhooks/queue.ts";
import { openSender } from "../../orchestrator/webhooks/send.ts";
import { bodySignature } from "../../orchestrator/webhooks/signature.ts";
import { type Heard, type Manner, openReceiver, type Receiver } from "../support/receiver.ts";
import { CERTIFICATES } from "../support/tls-door.ts";
import { openPost, type Post, PRIVATE, START, settle } from "./post.ts";

const keyOf = ({ headers }: Heard) => headers["x-webhook-id"];
const ids = (...keys: readonly string[]) => keys.map((key) => eventId({ key }));

describe("a webhook", () => {
  let receiver: Receiver;
  let post: Post;

  beforeEach(async () => {
    receiver = await openReceiver();
    post = await openPost();
  });
  afterEach(async () => {
    await receiver.close();
    await post.store.close();
  });

  const states = async (endpoint: string) => {
    const rows = await deliveriesOf(post.store.db, {
      ...{ endpoint, state: null, before: null, limit: 100, order: "asc" },
    });
    return rows.map(({ state, attempts, status, reason }) => ({
      ...{ state, attempts: Number(attempts) },
      ...{ status: status === null ? null : Number(status), reason },
    }));
  };

  it("is Pulser's, signed twice, under the number that others gave the account", async () => {
    const { secret } = await post.add(receiver.url);
    await post.store.db
      .insertInto("aliases")
      .values({ external_id: "17", account: "ann" })
      .execute();
    const data = { outpoint: "aa:1", sats: "1765", cents: "106", price: "1", currency: "USD" };
    await post.happen("d", { data });
    await post.happen("m", {
      ...{ kind: "deposit_mempool", account: "ben" },
      data: { outpoint: "aa:1", txid: "aa", sats: "2100000000000000" },
    });
    await settle(post);
    const [first, second] = receiver.heard;
    expect(JSON.parse(first?.body ?? "")).toEqual({
      ...{ event: "deposit", user_id: "17", timestamp: 1_800_000_000 },
      data: { amount_usd: 1.06, ...data },
    });
    expect(second?.body).toContain('"data":{"amount_btc":21000000.00000000,"amount_sats":210');
    expect(JSON.parse(second?.body ?? "")).toMatchObject({
      ...{ event: "deposit_mempool", user_id: "ben" },
      data: { amount_sats: 2_100_000_000_000_000, tx_count: 1, txids: ["aa"] },
    });
    const { headers = {}, body = "" } = first ?? {};
    const id = eventId({ key: "d" });
    expect(headers).toMatchObject({
      ...{ "x-webhook-signature": bodySignature(secret, body), "x-webhook-id": id },
      "x-webhook-signature-2": bodySignature(secret, `2.${id}.1800000000.${body}`),
      ...{ "x-webhook-timestamp": "1800000000", "x-retry-attempt": "0" },
      ...{ "content-type": "application/json", "x-webhook-sequence": "1" },
    });
  });

  it.each<[string, Manner, string]>([
    ["fails", 500, "HTTP 500"],
    ["is busy", 429, "HTTP 429"],
    ["hangs", "hang", "no answer in 100 ms"],
    ["closes", "cut", "ECONNRESET"],
    ["breaks off its answer", "half", "ECONNRESET"],
  ])("is repeated to one that %s, under one id", async (_, manner, reason) => {
    const { id } = await post.add(receiver.url);
    receiver.behave(manner);
    await post.happen("d");
    const timeoutMs = manner === "hang" ? 100 : 20_000;
    const sender = openSender({ allowed: PRIVATE, clock: post.parts.clock, timeoutMs });
    await settle({ parts: { ...post.parts, sender } });
    expect(await states(id)).toMatchObject([{ state: "waiting", attempts: 1, reason }]);
    receiver.behave(200);
    post.pass(499n);
    await settle(post);
    expect(receiver.heard).toHaveLength(1);
    post.pass(1n);
    await settle(post);
    expect(await states(id)).toEqual([
      { state: "delivered", attempts: 2, status: 200, reason: "" },
    ]);
    expect(new Set(receiver.heard.map(keyOf)).size).toBe(1);
    expect(new Set(receiver.heard.map(({ headers }) => headers["x-request-id"])).size).toBe(1);
    expect(receiver.heard.map(({ headers }) => headers["x-retry-attempt"])).toEqual(["0", "1"]);
    expect(receiver.heard[0]?.body).toBe(receiver.heard[1]?.body);
    await settle(post);
    expect(receiver.heard).toHaveLength(2);
  });

  it("is repeated at the times of the table, then is a dead letter", async () => {
    const { id } = await post.add(receiver.url);
    receiver.behave(503);
    await post.happen("d");
    await settle(post);
    for (const wait of [500n, 1_000n, 2_000n]) {
      const before = receiver.heard.length;
      post.pass(wait - 1n);
      await settle(post);
      expect([wait, receiver.heard.length]).toEqual([wait, before]);
      post.pass(1n);
      await settle(post);
      expect([wait, receiver.heard.length]).toEqual([wait, before + 1]);
    }
    expect(await states(id)).toEqual([
      { state: "dead", attempts: 4, status: 503, reason: "HTTP 503" },
    ]);
  });

  it("waits as long as it is asked to, in seconds or until a date", async () => {
    await post.add(receiver.url);
    const date = new Date(Number(START) + 3_000).toUTCString();
    for (const [rest, ms] of [
      ["2", 2_000n],
      [date, 1_000n],
      ["nonsense", 2_000n],
    ] as const) {
      receiver.behave({ status: 429, headers: { "retry-after": rest } });
      if (rest === "2") await post.happen("d");
      await settle(post);
      const before = receiver.heard.length;
      post.pass(ms - 1n);
      await settle(post);
      expect([rest, receiver.heard.length]).toEqual([rest, before]);
      post.pass(1n);
    }
  });

  it("follows no redirection, and reads no answer without end", async () => {
    const elsewhere = await openReceiver();
    const { id } = await post.add(receiver.url);
    receiver.behave({ status: 307, headers: { location: elsewhere.url } });
    await post.happen("d", { account: "ann" });
    await settle(post);
    receiver.behave("huge");
    await post.happen("e", { account: "ben" });
    await settle(post);
    expect(elsewhere.heard).toEqual([]);
    expect(await states(id)).toMatchObject([
      { state: "dead", status: 307 },
      { state: "delivered", status: 200 },
    ]);
    await elsewhere.close();
  });

  it("goes to no receiver whose certificate nobody vouches for", async () => {
    const { cert, key } = CERTIFICATES.server;
    const secure = await openReceiver({
      cert: readFileSync(cert, "utf8"),
      key: readFileSync(key, "utf8"),
    });
    const { id } = await post.add(secure.url);
    await post.happen("d");
    await settle(post);
    expect(secure.heard).toEqual([]);
    const [row] = await states(id);
    expect(row?.state).toBe("waiting");
    expect(row?.reason).toMatch(/SELF_SIGNED|UNABLE_TO|CERT/);
    await secure.close();
  });

  it("of an account never overtakes the one before, and accounts do not wait for each other", async () => {
    const { id } = await post.add(receiver.url);
    receiver.behave(({ body }) => (body.includes('"ann"') ? 500 : 200));
    await post.happen("a1");
    await post.happen("b1", { account: "ben" });
    await post.happen("a2", { kind: "deposit_reversed" });
    await post.happen("n1", { account: null, kind: "account_frozen" });
    await post.happen("b2", { account: "ben", kind: "deposit_reversed" });
    await settle(post);
    expect(receiver.heard.map(keyOf)).toEqual(ids("a1", "b1", "n1", "b2"));
    receiver.behave(400);
    post.pass(500n);
    await settle(post);
    // A dead letter holds what follows it.
    await settle(post);
    expect(receiver.heard.map(keyOf)).toEqual(ids("a1", "b1", "n1", "b2", "a1"));
    receiver.behave(200);
    expect(await replayAll(post.store.db, id, post.parts.clock())).toBe(1);
    await settle(post);
    expect(receiver.heard.slice(-2).map(keyOf)).toEqual(ids("a1", "a2"));
    const [first, , , , , again] = receiver.heard;
    expect(again?.headers["x-request-id"]).not.toBe(first?.headers["x-request-id"]);
    expect(again?.headers["x-retry-attempt"]).toBe("0");
  });

  it("that is dropped lets go what it held, and only dead letters are dropped or replayed", async () => {
    const { id } = await post.add(receiver.url);
    receiver.behave(404);
    await post.happen("a1");
    await post.happen("a2");
    await settle(post);
    const { db } = post.store;
    const letter = (event: bigint) => ({ endpoint: id, event });
    expect(await drop(db, letter(2n), 0n)).toBeNull();
    expect(await replay(db, letter(2n), 0n)).toBeNull();
    expect(await replay(db, letter(9n), 0n)).toBeNull();
    expect((await drop(db, letter(1n), 0n))?.state).toBe("dropped");
    expect(await replay(db, letter(1n), 0n)).toBeNull();
    receiver.behave(200);
    await settle(post);
    expect(receiver.heard.map(keyOf)).toEqual(ids("a1", "a2"));
    expect((await states(id)).map(({ state }) => state)).toEqual(["dropped", "delivered"]);
    expect(await replay(db, letter(2n), 0n)).toBeNull();
  });

  it("goes to those who want it: from now on, or from an event on", async () => {
    await post.happen("old");
    const { id } = await post.add(receiver.url);
    const all = await openReceiver();
    await post.add(all.url, { from: 1n });
    const second = await openReceiver();
    await post.add(second.url, { from: 2n });
    const some = await openReceiver();
    await post.add(some.url, { kinds: ["account_frozen"], accounts: ["ben"] });
    await post.happen("new");
    await post.happen("ben", { account: "ben", kind: "account_frozen" });
    await post.happen("ben d", { account: "ben" });
    await post.happen("frozen", { kind: "account_frozen" });
    await post.happen("nobody's", { kind: "account_frozen", account: null });
    await settle(post);
    const later = ["new", "ben", "ben d", "frozen", "nobody's"];
    expect(receiver.heard.map(keyOf)).toEqual(ids(...later));
    expect(all.heard.map(keyOf)).toEqual(ids("old", ...later));
    expect(second.heard.map(keyOf)).toEqual(ids(...later));
    expect(some.heard.map(keyOf)).toEqual(ids("ben"));
    await setDisabled(post.store.db, id, true);
    await post.happen("missed");
    await settle(post);
    expect(receiver.heard).toHaveLength(5);
    await setDisabled(post.store.db, id, false);
    await settle(post);
    expect(receiver.heard.slice(5).map(keyOf)).toEqual(ids("missed"));
    for (const other of [all, second, some]) await other.close();
  });

  it("is signed with the new secret once there is one", async () => {
    const { id, secret } = await post.add(receiver.url);
    const renewed = await renewSecret(post.parts, id);
    await post.happen("d");
    await settle(post);
    const [heard] = receiver.heard;
    const made = bodySignature(renewed?.secret ?? "", heard?.body ?? "");
    expect(heard?.headers["x-webhook-signature"]).toBe(made);
    expect(renewed?.secret).not.toBe(secret);
    expect((await post.add(receiver.url)).secret).toBe("");
  });

  it("rests a minute after five failures in a row, then one attempt is made", async () => {
    post = await openPost({ patience: { attemptsMax: 100, totalMs: 10_000_000n } });
    await post.add(receiver.url);
    receiver.behave(500);
    for (const account of ["ann", "ben", null]) {
      for (const n of [1, 2, 3]) await post.happen(`${account} ${n}`, { account });
    }
    await settle(post);
    expect(receiver.heard).toHaveLength(3);
    post.pass(500n);
    await settle(post);
    expect(receiver.heard).toHaveLength(5);
    post.pass(59_999n);
    await settle(post);
    expect(receiver.heard).toHaveLength(5);
    post.pass(1n);
    await settle(post);
    expect(receiver.heard).toHaveLength(6);
    receiver.behave(200);
    post.pass(60_000n);
    await settle(post);
    expect(receiver.heard).toHaveLength(6 + 9);
    expect((await listEndpoints(post.store.db))[0]?.failures).toBe(0n);
  });

  it("is sent so often a minute and no more", async () => {
    post = await openPost({ perMinute: 2 });
    await post.add(receiver.url);
    for (const n of [1, 2, 3]) await post.happen(`${n}`);
    const role = webhooksRole(post.parts);
    while ((await role.step()) === "more");
    expect(receiver.heard).toHaveLength(2);
    post.pass(60_000n);
    while ((await role.step()) === "more");
    expect(receiver.heard).toHaveLength(3);
  });

  it("to one that hangs does not hold up the others", async () => {
    const sender = openSender({ allowed: PRIVATE, clock: () => START });
    post = await openPost({ sender });
    await post.add(receiver.url);
    const well = await openReceiver();
    await post.add(well.url);
    receiver.behave("hang");
    for (const n of [1, 2, 3]) await post.happen(`${n}`);
    const role = webhooksRole(post.parts);
    while (well.heard.length < 3) await role.step();
    expect(receiver.heard).toHaveLength(1);
    // What hangs is cut off when the process ends, and nothing is written down of it.
    await role.rest();
    const [hanging] = await listEndpoints(post.store.db);
    expect(hanging?.failures).toBe(0n);
    await well.close();
  });

  it("that was delivered is forgotten after thirty days, and a dead letter never", async () => {
    const { id } = await post.add(receiver.url);
    receiver.behave(({ body }) => (body.includes('"ann"') ? 400 : 200));
    await post.happen("a");
    await post.happen("b", { account: "ben" });
    await settle(post);
    const { db } = post.store;
    const days = 30n * 86_400_000n;
    await forget(db, START + days);
    expect(await states(id)).toHaveLength(2);
    await forget(db, START + days + 1n);
    expect(await states(id)).toMatchObject([{ state: "dead" }]);
    // It was told of once, and is not told of again.
    await settle(post);
    expect(receiver.heard).toHaveLength(2);
  });

  it("goes to a hundred endpoints and no more", async () => {
    for (let n = 0; n < 100; n += 1) await post.add(`${receiver.url}${n}`);
    await expect(post.add(`${receiver.url}100`)).rejects.toThrow("100 endpoints");
    expect((await post.add(`${receiver.url}99`)).secret).toBe("");
  });

  it("leaves with a URL and an address that are open now, whatever they were before", async () => {
    const strict = { allowPrivate: false, hosts: [], ports: [443] };
    const { id } = await post.add(receiver.url);
    const sender = openSender({ allowed: strict, clock: post.parts.clock });
    await post.happen("d");
    const role = webhooksRole({ ...post.parts, sender });
    while ((await role.step()) === "more");
    expect(await states(id)).toMatchObject([
      { state: "dead", reason: expect.stringContaining("URL") },
    ]);
    expect(receiver.heard).toEqual([]);
  });
});

describe("a name that points home", () => {
  let receiver: Receiver;
  beforeEach(async () => {
    receiver = await openReceiver();
  });
  afterEach(() => receiver.close());

  /** The URL is as open as can be: the name server decides otherwise once it is asked. */
  it("is not connected to", async () => {
    const port = Number(new URL(receiver.url).port);
    const lookup = ((_: string, __: object, callback: (...told: unknown[]) => void) =>
      callback(null, [{ address: "127.0.0.1", family: 4 }])) as never;
    const allowed = { allowPrivate: false, hosts: [], ports: [port] };
    const sender = openSender({ allowed, clock: () => START, lookup });
    const url = `https://hooks.example:${port}/`;
    const post = { url, headers: {}, body: "{}" };
    const answer = await sender.send(post, new AbortController().signal);
    expect(answer).toMatchObject({
      kind: "forbidden",
      reason: expect.stringContaining("loopback"),
    });
    expect(receiver.heard).toEqual([]);
  });
});
