/** The API over real HTTP, with the roles running on a chain in memory. */
import { request as httpRequest } from "node:http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Api, serveApi } from "../../orchestrator/api/server.ts";
import { type RunningRoles, runRoles } from "../../orchestrator/role.ts";
import { readPsbtText, writePsbtText } from "../../policies/bitcoin/psbt.ts";
import { scriptOf } from "../../policies/bitcoin/taproot.ts";
import { msatsPerVbyte, sats } from "../../policies/money.ts";
import { possessionHash } from "../../policies/possession.ts";
import { readVault } from "../../policies/vault.ts";
import { vaultScripts } from "../../policies/vault-scripts.ts";
import { type Fit, fitOf } from "../support/openapi-fit.ts";
import { holder, proofOf, signWith } from "./holders.ts";
import { type MemoryChain, memoryChain } from "./memory-chain.ts";
import { CONFIRMATIONS, ELSEWHERE, openWorld, type World } from "./world.ts";

const TOKEN = "a-token-that-is-long-enough-to-be-one";
const user = holder("user", "api");
const trustee = holder("trustee", "api");
const registration = { name: "Zoe", userKey: user.key, trusteeKey: trustee.key };

interface Answer {
  readonly status: number;
  readonly type: string;
  // biome-ignore lint/suspicious/noExplicitAny: answers are judged by what they hold
  readonly body: any;
}

describe("the API", () => {
  let chain: MemoryChain;
  let world: World;
  let running: RunningRoles;
  let api: Api;
  let fit: Fit;

  beforeAll(async () => {
    chain = memoryChain();
    world = openWorld(chain);
    running = runRoles(Object.values(world.roles), { log: world.parts.log, paceMs: 5 });
    api = await serveApi({
      ...world.parts,
      accounts: world.accounts,
      ceremonies: { hours: 72, remindersBps: [5_000] },
      fees: { least: msatsPerVbyte(1_000n), most: msatsPerVbyte(50_000n), targetBlocks: 6 },
      token: TOKEN,
      port: 0,
      describeSigner: async () => ({
        name: "software lsp",
        role: "lsp",
        custody: "software",
        policy: { name: "none", version: 1, hash: "00" },
        paused: false,
      }),
      running,
    });
    fit = await fitOf(api.url);
  });

  afterAll(async () => {
    await api.close();
    await running.stop();
    await world.store.close();
  });

  async function ask(
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<Answer> {
    const response = await fetch(api.url + path, {
      method: body === undefined ? "GET" : "POST",
      headers: {
        authorization: `Bearer ${TOKEN}`,
        "content-type": "application/json",
        ...headers,
      },
      ...(body !== undefined && { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
    const type = response.headers.get("content-type") ?? "";
    const text = await response.text();
    const answered = type.includes("json") ? JSON.parse(text) : text;
    const answer = { status: response.status, type, body: answered };
    fit.check({ ...answer, method: body === undefined ? "GET" : "POST", path });
    return answer;
  }

  async function until(path: string, done: (body: Answer["body"]) => boolean) {
    for (;;) {
      const { body } = await ask(path);
      if (done(body)) return body;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  const inState = (id: string, state: string) =>
    until(`/v1/intents/${id}`, (intent) => intent.state === state);

  /** Registers once; later calls find it open. */
  async function account() {
    const begun = await ask("/v1/accounts", registration);
    const vault = readVault(begun.body.document);
    const proofs = { user: proofOf(vault, user), trustee: proofOf(vault, trustee) };
    const opened = await ask(`/v1/accounts/${begun.body.id}/proofs`, proofs);
    return { id: begun.body.id as string, vault: vaultScripts(vault), begun, opened };
  }

  async function fund(id: string, amount: bigint): Promise<void> {
    const { body } = await ask(`/v1/accounts/${id}`);
    const before = BigInt(body.balances.availableSats);
    chain.pay(scriptOf(body.address, "regtest") ?? new Uint8Array(0), sats(amount));
    chain.mine(CONFIRMATIONS);
    await until(
      `/v1/accounts/${id}`,
      ({ balances }) => BigInt(balances.availableSats) === before + amount,
    );
  }

  it("registers, funds, withdraws and confirms", async () => {
    const { id, vault, begun, opened } = await account();
    expect(begun.status).toBe(201);
    expect(begun.body).toMatchObject({ state: "begun", address: null });
    expect(possessionHash(begun.body.possession.user)).toHaveLength(32);
    expect(opened).toMatchObject({ status: 201, body: { state: "open" } });
    await fund(id, 100_000n);
    const wish = { account: id, address: ELSEWHERE, sats: 40_000, reference: "w-1", feeRate: 1.5 };
    const raised = await ask("/v1/withdrawals", wish);
    expect(raised).toMatchObject({ status: 201, body: { sats: "40000", feeRate: "1.500" } });
    const intent = raised.body.id as string;
    await inState(intent, "built");
    const { body: built } = await ask(`/v1/intents/${intent}/psbt`);
    expect(built.intent).toMatchObject({ format: "ballast/intent@1", reference: "w-1" });

    const psbt = writePsbtText(signWith(readPsbtText(built.psbt), vault, user));
    expect((await ask(`/v1/intents/${intent}/psbt`, { psbt })).status).toBe(200);
    await inState(intent, "broadcast");
    // The user's client did not hear the answer and sends again.
    expect((await ask(`/v1/intents/${intent}/psbt`, { psbt })).status).toBe(200);
    chain.mine(CONFIRMATIONS);
    const confirmed = await inState(intent, "confirmed");
    expect(confirmed.history.at(-1).state).toBe("confirmed");
    const again = await ask("/v1/withdrawals", wish);
    expect(again).toMatchObject({ status: 200, body: { id: intent, state: "confirmed" } });
    const { body: after } = await ask(`/v1/accounts/${id}`);
    const left = 100_000n - 40_000n - BigInt(confirmed.feeSats);
    expect(after.balances).toEqual({
      ...{ availableSats: String(left), reservedSats: "0" },
      ...{ availableCents: "0", reservedCents: "0" },
    });
    expect(after.deposits).toHaveLength(1);
    const { body: status } = await ask("/v1/status");
    expect(status).toMatchObject({ book: { balances: true }, cover: { exact: true } });
  });

  it("raises once for two who ask at once", async () => {
    const { id } = await account();
    await fund(id, 10_000n);
    const wish = { account: id, address: ELSEWHERE, sats: "5000", reference: "twice" };
    const both = await Promise.all([ask("/v1/withdrawals", wish), ask("/v1/withdrawals", wish)]);
    expect(both.map(({ status }) => status).sort()).toEqual([200, 201]);
    expect(both[0]?.body.id).toBe(both[1]?.body.id);
    const other = await ask("/v1/withdrawals", { ...wish, sats: "5001" });
    expect(other).toMatchObject({ status: 409, body: { code: "conflict" } });
    await inState(both[0]?.body.id, "built");
    const cancelled = await ask(`/v1/intents/${both[0]?.body.id}/cancel`, {});
    expect(cancelled).toMatchObject({ status: 200, body: { state: "cancelled" } });
    expect((await ask(`/v1/intents/${both[0]?.body.id}/cancel`, {})).status).toBe(200);
  });

  it("takes no PSBT without the user's valid signatures", async () => {
    const { id, vault } = await account();
    await fund(id, 20_000n);
    const wish = { account: id, address: ELSEWHERE, sats: "5000", reference: "unsigned" };
    const intent = (await ask("/v1/withdrawals", wish)).body.id as string;
    await inState(intent, "built");
    const { psbt } = (await ask(`/v1/intents/${intent}/psbt`)).body;
    const byTrustee = writePsbtText(signWith(readPsbtText(psbt), vault, trustee));
    for (const bad of [psbt, byTrustee, `${psbt}\n`, "", "cHNidP8="]) {
      const answer = await ask(`/v1/intents/${intent}/psbt`, { psbt: bad });
      expect(answer).toMatchObject({ status: 422, body: { code: "refused" } });
      expect(answer.type).toContain("application/problem+json");
    }
    expect((await ask(`/v1/intents/${intent}`)).body.state).toBe("built");
    await ask(`/v1/intents/${intent}/cancel`, {});
    expect((await ask(`/v1/intents/${intent}/psbt`, { psbt })).status).toBe(409);
  });

  it("answers 401 without the token, before it reads the body", async () => {
    const wrong = [
      {},
      { authorization: "" },
      { authorization: `Bearer ${TOKEN}x` },
      { authorization: TOKEN },
    ];
    for (const headers of wrong) {
      const response = await fetch(`${api.url}/v1/withdrawals`, {
        method: "POST",
        headers,
        body: "{ no json",
      });
      expect(response.status).toBe(401);
      expect(response.headers.get("www-authenticate")).toBe("Bearer");
    }
    expect((await fetch(`${api.url}/v1/nowhere`)).status).toBe(401);
  });

  it("answers 404 for what is not there", async () => {
    const { id } = await account();
    const nobody = { account: "a-0", address: ELSEWHERE, sats: 1_000, reference: "r" };
    for (const answer of [
      await ask("/v1/nowhere"),
      await ask("/v1/accounts/a-0"),
      await ask(`/v1/intents/${"00".repeat(32)}`),
      await ask(`/v1/intents/${id}/psbt`),
      await ask(`/v1/intents/${id}/psbt`, { psbt: "" }),
      await ask(`/v1/intents/${id}/cancel`, {}),
      await ask("/v1/withdrawals", nobody),
    ]) {
      expect(answer).toMatchObject({ status: 404, body: { status: 404, code: "not-found" } });
    }
  });

  it("answers 422 with every reason for what is not valid", async () => {
    const { id } = await account();
    const { address: own } = (await ask(`/v1/accounts/${id}`)).body;
    const wish = { account: id, address: ELSEWHERE, sats: 1_000, reference: "bad" };
    const bad = [
      { ...wish, sats: 0 },
      { ...wish, sats: -1 },
      { ...wish, sats: 1.5 },
      { ...wish, sats: 329 },
      { ...wish, sats: "0x10" },
      { ...wish, sats: "2100000000000001" },
      { ...wish, address: "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu" },
      { ...wish, address: own },
      { ...wish, reference: "" },
      { ...wish, reference: "line\nbreak" },
      { ...wish, feeRate: 0.5 },
      { ...wish, feeRate: 1.0001 },
      { ...wish, feeRate: 51 },
      { ...wish, feerate: 2 },
      {},
      [],
    ];
    for (const body of bad) {
      const answer = await ask("/v1/withdrawals", body);
      expect([answer.status, body]).toEqual([422, body]);
      expect(answer.body.reasons.length).toBeGreaterThan(0);
    }
    expect((await ask("/v1/accounts", { ...registration, userKey: "tpub" })).status).toBe(422);
    expect((await ask(`/v1/accounts/${id}/proofs`, { user: "00", trustee: "00" })).status).toBe(
      422,
    );
  });

  it("answers 400 and 413 for bodies that are none, and keeps its faults to itself", async () => {
    expect(await ask("/v1/withdrawals", "{ no json")).toMatchObject({ status: 400 });
    const large = await ask("/v1/withdrawals", { psbt: "A".repeat(600_000) });
    expect(large).toMatchObject({ status: 413, body: { code: "body" } });
  });

  it("serves only those who call it by its own name", async () => {
    const status = await new Promise<number>((resolve, reject) => {
      const outgoing = httpRequest(api.url, { headers: { host: "evil.example" } }, (incoming) => {
        incoming.resume();
        resolve(incoming.statusCode ?? 0);
      });
      outgoing.on("error", reject).end();
    });
    expect(status).toBe(421);
  });

  it("shows its state without a token, and no script may run there", async () => {
    const page = await fetch(`${api.url}/`);
    expect(page.status).toBe(200);
    expect(page.headers.get("content-security-policy")).toContain("default-src 'none'");
    expect(await page.text()).toContain("Withdrawals");
    expect((await ask("/livez")).body).toEqual({ alive: true });
    expect(await ask("/readyz")).toMatchObject({ status: 200, body: { ready: true, reasons: [] } });
  });
});
