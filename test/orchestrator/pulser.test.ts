/** Pulser's endpoints, by both paths, as its clients ask them. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { btc, exactText, usd } from "../../orchestrator/pulser/decimal.ts";
import { readVault } from "../../policies/vault.ts";
import { parseExactJson } from "../../signer/node/exact-json.ts";
import { type Doors, openDoors } from "./door-stage.ts";
import { holder, proofOf } from "./holders.ts";
import { DEPOSIT } from "./stage.ts";
import { CONFIRMATIONS, ELSEWHERE, intentOf, moveIn, userSigns, withdraw } from "./world.ts";

let doors: Doors;
let machine = "";
const user = holder("user", "pulser");
const trustee = holder("trustee", "pulser");
const wish = { user_id: "42", xpub: user.key, trustee_xpub: trustee.key };
const ask = (line: string, body?: unknown) =>
  doors.ask(line, { token: machine, ...(body !== undefined && { body }) });

beforeAll(async () => {
  doors = await openDoors({ syncMs: 100 }, 3);
  machine = await doors.tokenOf("machine", "deposits");
});
afterAll(() => doors.close());

describe("an amount", () => {
  it.each([
    [0n, "0.00000000"],
    [1n, "0.00000001"],
    [-1n, "-0.00000001"],
    [100_000_000n, "1.00000000"],
    [2_099_999_997_690_000n, "20999999.97690000"],
    [2_100_000_000_000_000n, "21000000.00000000"],
  ])("of %s sats is the JSON number %s", (sats, text) => {
    expect(exactText({ a: [btc(sats)], b: undefined, c: '"' })).toBe(`{"a":[${text}],"c":"\\""}`);
    expect(parseExactJson(exactText([btc(sats)]))).toEqual([text]);
  });

  it.each([
    [0n, "0.00"],
    [-5n, "-0.05"],
    [123_456_789_012_345_678n, "1234567890123456.78"],
  ])("of %s cents is the JSON number %s", (cents, text) => {
    expect(exactText(usd(cents))).toBe(text);
  });
});

describe("registration", () => {
  it("takes the user's own key, and opens the vault when it is proven", async () => {
    const begun = await ask("POST /register", wish);
    expect(begun).toMatchObject({
      ...{ status: 200, body: { status: "begun", deposit_address: null, user_xpub: user.key } },
    });
    expect((await ask("POST /init_wallet", { user_id: "42" })).body.status).toBe("begun");
    const vault = readVault(begun.body.recovery_doc.vault);
    expect(begun.body.recovery_doc.descriptor).toContain("sortedmulti_a");
    const proofs = { user: proofOf(vault, user), trustee: proofOf(vault, trustee) };
    const crossed = { user: proofs.trustee, trustee: proofs.user };
    expect((await ask("POST /v1/register", { ...wish, proofs: crossed })).status).toBe(422);
    for (const path of ["/register", "/v1/register"]) {
      const done = await ask(`POST ${path}`, { ...wish, proofs });
      expect(done).toMatchObject({ status: 200, body: { status: "registered" } });
      expect(done.body.deposit_address).toMatch(/^bcrt1p/);
    }
    const { body } = await ask("GET /user/42/address");
    expect(body).toEqual({ address: expect.stringMatching(/^bcrt1p/), ready: true });
    expect((await ask("POST /init_wallet", { user_id: "42" })).body.status).toBe("ready");
  });

  it.each([
    ["without a key, because no seed is made here", { user_id: "43" }, 400, "no seed"],
    ["without the trustee's key", { user_id: "43", xpub: user.key }, 400, "trustee"],
    ["with a number that is none", { ...wish, user_id: "0x2a" }, 400, "user_id"],
    ["with a key that is none", { ...wish, user_id: "43", xpub: "tpub" }, 400, "account key"],
    ["in test mode", { ...wish, test_mode: true }, 400, "test mode"],
    ["with a word too many", { ...wish, seed: "abandon" }, 400, "seed"],
    ["of another user's key", { ...wish, user_id: "43" }, 409, "name"],
    [
      "of another key under a known number",
      { ...wish, xpub: holder("user", "other").key },
      409,
      "another key",
    ],
  ])("is refused %s", async (_, body, status, words) => {
    const answer = await ask("POST /register", body);
    expect([answer.status, answer.text]).toEqual([status, expect.stringContaining(words)]);
  });
});

describe("a user", () => {
  it("has exact balances, coins, and the same on both paths", async () => {
    const { account, address } = doors.stage.ann;
    const old = await ask(`GET /user/${account}`);
    expect((await ask(`GET /v1/user/${account}`)).text).toBe(old.text);
    expect(old.text).toContain('"confirmed_btc":0.00300000,"unconfirmed_btc":0.00000000');
    expect(old.body).toMatchObject({
      user_id: account,
      balance: { stable_value_usd: null },
      deposit: { utxo_count: 3, last_deposit_time: null },
    });
    expect(old.body.deposit.address).not.toBe(address);
    expect(old.body.utxos).toHaveLength(3);
    const coin = { amount_sat: Number(DEPOSIT), address, keychain: "External", spendable: true };
    expect(old.body.utxos[0]).toMatchObject(coin);
    expect((await ask(`GET /sync_utxos/${account}`)).body.utxos).toEqual(old.body.utxos);
  });

  it("has transactions by pages: in flight first, then the newest", async () => {
    const { stage } = doors;
    const { id } = await withdraw(stage, stage.ann, { sats: 40_000n, reference: "w-1" });
    await stage.settle();
    await userSigns(stage, stage.ann, id);
    await stage.settle();
    expect((await intentOf(stage, id)).state).toBe("broadcast");
    const found: { type: string; amount_sat: number; block_height: number | null }[] = [];
    for (let cursor = ""; ; ) {
      const { body } = await ask(`GET /user/${stage.ann.account}/txs?limit=1${cursor}`);
      found.push(...body.transactions);
      if (body.next === null) break;
      cursor = `&cursor=${body.next}`;
    }
    expect(found.map(({ type }) => type)).toEqual(["withdrawal", "deposit", "deposit", "deposit"]);
    expect(found[0]).toMatchObject({ amount_sat: -40_000, block_height: null, intent: id });
    await stage.mine(CONFIRMATIONS);
    const { body } = await ask(`GET /v1/user/${stage.ann.account}/txs`);
    expect(body.transactions[0]).toMatchObject({ confirmations: CONFIRMATIONS });
  });

  it("has activity by pages, newest first", async () => {
    const { db } = doors.stage.store;
    const { account } = doors.stage.ann;
    for (const n of [1, 2, 3]) {
      const event = { kind: "deposit", key: `d ${n}`, account, data: `{"n":"${n}"}`, at: 5_000n };
      await db.insertInto("events").values(event).execute();
    }
    const first = await ask(`GET /activity/${account}?limit=2`);
    expect(first.body.activity.map(({ data }: { data: object }) => data)).toEqual([
      ...[{ n: "3" }, { n: "2" }],
    ]);
    const rest = await ask(`GET /activity/${account}?limit=2&cursor=${first.body.next}`);
    expect(rest.body).toMatchObject({ activity: [{ data: { n: "1" } }], next: null });
    expect((await ask(`GET /user/${account}`)).body.deposit.last_deposit_time).toBe(5);
    expect((await ask(`GET /activity/${account}?cursor=zz`)).status).toBe(400);
  });

  it("that is none is 404, by Pulser's name", async () => {
    for (const line of [
      ...["GET /user/7", "GET /user/a-0", "GET /user/7/txs", "GET /user/7/address"],
      ...["GET /activity/7", "POST /sync/7", "GET /sync_utxos/7", "GET /service_address/7"],
    ]) {
      const answer = await ask(line);
      expect([line, answer.status, answer.body.code]).toEqual([line, 404, "user-not-found"]);
    }
  });

  it("cannot withdraw more than the vaults hold", async () => {
    const { account } = await moveIn(doors.stage, "poor");
    const body = { account, address: ELSEWHERE, sats: 1_000, reference: "w", feeRate: 2 };
    const answer = await doors.ask("POST /v1/withdrawals", { body });
    expect(answer).toMatchObject({ status: 402, body: { code: "insufficient-funds" } });
  });
});

describe("the service", () => {
  it("syncs what it has scanned, and says when it does not come through", async () => {
    const { account } = doors.stage.ann;
    for (const line of [`POST /sync/${account}`, `POST /v1/force_sync/${account}`]) {
      expect(await ask(line)).toMatchObject({ status: 200, body: { status: "ok" } });
    }
    doors.stage.chain.mine(1);
    const late = await ask(`POST /sync/${account}`);
    expect(late).toMatchObject({ status: 408, body: { code: "timeout", retryable: true } });
    await doors.stage.settle();
    expect((await ask(`POST /sync/${account}`)).status).toBe(200);
  });

  it("trusts addresses by an operator's word, and lets a service forget them", async () => {
    const body = { user_id: "42", address: ELSEWHERE };
    expect((await ask("POST /service_address", body)).status).toBe(403);
    for (const path of ["/service_address", "/v1/service_address"]) {
      expect((await doors.ask(`POST ${path}`, { body })).body.addresses).toEqual([ELSEWHERE]);
    }
    expect((await ask("GET /service_address/42")).body.addresses).toEqual([ELSEWHERE]);
    const mainnet = { ...body, address: "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu" };
    expect((await doors.ask("POST /service_address", { body: mainnet })).status).toBe(400);
    expect((await ask("DELETE /service_address", body)).body.addresses).toEqual([]);
    expect((await ask("DELETE /service_address", body)).status).toBe(200);
  });

  it("says what of it works", async () => {
    // The stage has no signer that describes itself.
    const { status, body } = await ask("GET /health");
    expect(status).toBe(503);
    expect(body).toMatchObject({
      status: "unhealthy",
      components: { node: "ok", store: "ok", signer: "down", roles: "ok" },
    });
    expect((await ask("GET /status")).body.network).toBe("regtest");
  });
});
