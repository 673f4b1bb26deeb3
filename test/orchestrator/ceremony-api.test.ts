/** Stations and ceremonies over real HTTP: both sides of each boundary of what a token opens. */
import { base64 } from "@scure/base";
import { afterEach, describe, expect, it } from "vitest";
import { signRole } from "../../orchestrator/spend/sign.ts";
import { readPsbtText, writePsbt } from "../../policies/bitcoin/psbt.ts";
import { encodeReason, psbtHash } from "../../policies/ceremony.ts";
import { verifyTranscript } from "../../policies/transcript.ts";
import { readVault } from "../../policies/vault.ts";
import { fitOf } from "../support/openapi-fit.ts";
import { type Holder, holder, proofOf, signWith } from "./holders.ts";
import {
  lineFor,
  openStage,
  recovery,
  serveStage,
  signLine,
  stationKey,
  OPERATOR_TOKEN as TOKEN,
} from "./stage.ts";
import { userWord } from "./user-word.ts";
import { CONFIRMATIONS, ELSEWHERE, moveIn, userSigns, withdraw } from "./world.ts";

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

interface Answer {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: answers are judged by what they hold
  readonly body: any;
}

async function open() {
  const stage = await openStage();
  const api = await serveStage(stage);
  closing.push(() => api.close());
  const fit = await fitOf(api.url);
  async function ask(method: string, path: string, token: string, body?: unknown): Promise<Answer> {
    const response = await fetch(api.url + path, {
      method,
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const answer = { status: response.status, body: await response.json() };
    const type = response.headers.get("content-type") ?? "";
    fit.check({ ...answer, method, path, type });
    return answer;
  }
  const get = (path: string, token = TOKEN) => ask("GET", path, token);
  const post = (path: string, body: unknown, token = TOKEN) => ask("POST", path, token, body);
  const station = async (name: string, role: string, account?: string) => {
    const { body } = await post("/v1/stations", { name, role, account, key: stationKey(name) });
    return body as { id: string; token: string };
  };
  return { ...stage, ask, get, post, station };
}

type Scene = Awaited<ReturnType<typeof open>>;

const QUORUM = {
  participants: [
    { name: "cora", role: "trustee" },
    { name: "dan", role: "witness" },
  ],
  quorum: { approvals: ["trustee"] },
};

/** A ceremony of cora and dan, with their tokens, and what a stranger of each kind has. */
async function meeting() {
  const scene = await open();
  const cora = await scene.station("cora", "trustee");
  const dan = await scene.station("dan", "witness");
  const eve = await scene.station("eve", "trustee");
  const ann = await scene.station("ann", "user", scene.ann.account);
  const intent = await recovery(scene);
  const opened = await scene.post("/v1/ceremonies", { intent, ...QUORUM });
  return { scene, cora, dan, eve, ann, intent, opened, id: opened.body.id as string };
}

function approvalOf(scene: Scene, request: Answer["body"], holder: Holder) {
  const bytes = writePsbt(signWith(readPsbtText(request.psbt), scene.ann.vault, holder));
  const { spend } = request.ceremony.document;
  return { psbt: base64.encode(bytes), detail: { psbt: psbtHash(bytes), spend: spend.hash } };
}

describe("a station", () => {
  it("is registered by the operator, and its token is shown once", async () => {
    const { get, post, ask } = await open();
    const wish = { name: "cora", role: "trustee", key: stationKey("cora") };
    const first = await post("/v1/stations", wish);
    expect(first).toMatchObject({
      status: 201,
      body: { name: "cora", disabled: false, account: null },
    });
    expect(first.body.token).toMatch(/^ballast-station-[0-9a-f]{64}$/);
    expect(await post("/v1/stations", wish)).toMatchObject({ status: 200, body: { token: null } });
    for (const other of [{ role: "verifier" }, { key: stationKey("eve") }, { name: "coral" }]) {
      expect(await post("/v1/stations", { ...wish, ...other })).toMatchObject({ status: 409 });
    }
    expect(JSON.stringify((await get("/v1/stations")).body)).not.toContain("token");

    const { id, token } = first.body;
    expect((await get("/v1/station/requests", token)).status).toBe(200);
    const renewed = await post(`/v1/stations/${id}/token`, {});
    expect((await get("/v1/station/requests", token)).status).toBe(401);
    expect((await get("/v1/station/requests", renewed.body.token)).status).toBe(200);
    const gone = await ask("DELETE", `/v1/stations/${id}`, TOKEN);
    expect(gone).toMatchObject({ status: 200, body: { disabled: true } });
    expect((await get("/v1/station/requests", renewed.body.token)).status).toBe(401);
    expect((await ask("DELETE", "/v1/stations/s-00", TOKEN)).status).toBe(404);
  });

  it.each([
    ["a user without an account", { name: "ann", role: "user" }],
    ["a user of an account that is not there", { name: "ann", role: "user", account: "a-0" }],
    ["a part that is none", { name: "ann", role: "lsp" }],
    ["a name that is none", { name: "Ann", role: "trustee" }],
    ["a key that is no point", { name: "ann", role: "trustee", key: "ff".repeat(32) }],
    ["a word too many", { name: "ann", role: "trustee", token: "mine" }],
  ])("is not registered as %s", async (_, wish) => {
    const { post } = await open();
    expect((await post("/v1/stations", { key: stationKey("ann"), ...wish })).status).toBe(422);
  });

  it("has an account only as a user", async () => {
    const { post, ann } = await open();
    const wish = { name: "ann", role: "trustee", account: ann.account, key: stationKey("ann") };
    expect((await post("/v1/stations", wish)).status).toBe(422);
    expect((await post("/v1/stations", { ...wish, role: "user" })).status).toBe(201);
  });
});

describe("a token", () => {
  it("of a station opens no page of the operator", async () => {
    const { scene, cora, intent, id } = await meeting();
    const account = scene.ann.account;
    const asks: readonly (readonly [string, string, unknown?])[] = [
      ["GET", "/v1/status"],
      ["GET", `/v1/accounts/${account}`],
      ["GET", `/v1/intents/${intent}`],
      ["GET", `/v1/intents/${intent}/psbt`],
      ["POST", `/v1/intents/${intent}/psbt`, { psbt: "" }],
      ["POST", `/v1/intents/${intent}/cancel`, {}],
      ["POST", `/v1/intents/${intent}/evidence`, { evidence: {} }],
      ["POST", "/v1/withdrawals", { account, address: ELSEWHERE, sats: 1_000, reference: "x" }],
      ["POST", "/v1/migrations", { account, reference: "x" }],
      ["POST", `/v1/accounts/${account}/rotation`, { userKey: "", trusteeKey: "" }],
      ["POST", `/v1/accounts/${account}/rotation/proofs`, {}],
      ["POST", "/v1/recoveries", { account, address: ELSEWHERE, sats: 1_000, reference: "x" }],
      ["POST", "/v1/stations", { name: "mallory", role: "trustee", key: stationKey("m") }],
      ["GET", "/v1/stations"],
      ["POST", "/v1/ceremonies", { intent, ...QUORUM }],
      ["GET", "/v1/ceremonies"],
      ["GET", `/v1/ceremonies/${id}`],
      ["GET", `/v1/ceremonies/${id}/transcript`],
      ["POST", `/v1/ceremonies/${id}/supersede`, { reason: "mine" }],
    ];
    for (const [method, path, body] of asks) {
      expect([path, (await scene.ask(method, path, cora.token, body)).status]).toEqual([path, 401]);
    }
    expect((await scene.get("/v1/station/nowhere", cora.token)).status).toBe(404);
  });

  it("of the operator, or none, opens no page of a station", async () => {
    const { scene, intent, id } = await meeting();
    for (const token of [TOKEN, "", "ballast-station-0", `ballast-station-${"0".repeat(64)}`]) {
      for (const path of ["/v1/station/requests", "/v1/station/notices", "/v1/station/nowhere"]) {
        expect([path, (await scene.get(path, token)).status]).toEqual([path, 401]);
      }
      const signed = await scene.post(`/v1/station/requests/${intent}/signed`, { psbt: "" }, token);
      expect(signed.status).toBe(401);
      const event = { line: "", signature: "00" };
      const word = await scene.post(`/v1/station/ceremonies/${id}/events`, event, token);
      expect(word.status).toBe(401);
    }
  });

  it("of one user shows and signs nothing of another's", async () => {
    const scene = await open();
    const bea = await moveIn(scene, "bea");
    const own = await scene.station("ann", "user", scene.ann.account);
    const other = await scene.station("bea", "user", bea.account);
    const { id } = await withdraw(scene, scene.ann, { sats: 40_000n, reference: "w-1" });
    await scene.settle();
    expect((await scene.get("/v1/station/requests", other.token)).body).toEqual({
      requests: [],
      ended: [],
    });
    const { body } = await scene.get("/v1/station/requests", own.token);
    expect(body.requests).toMatchObject([
      {
        id,
        ceremony: null,
        signedBy: [],
        intent: { purpose: "withdrawal" },
        deadline: { time: null },
      },
    ]);
    const bytes = writePsbt(
      signWith(readPsbtText(body.requests[0].psbt), scene.ann.vault, scene.ann.user),
    );
    const psbt = base64.encode(bytes);
    const path = `/v1/station/requests/${id}`;
    for (const [what, answer] of [
      ["signed", { psbt }],
      ["declined", { reason: "not mine" }],
    ] as const) {
      expect(await scene.post(`${path}/${what}`, answer, other.token)).toMatchObject({
        status: 404,
      });
    }
    const bad = await scene.post(`${path}/signed`, { psbt: body.requests[0].psbt }, own.token);
    expect(bad.status).toBe(422);
    for (const fresh of [true, false]) {
      const signed = await scene.post(`${path}/signed`, { psbt }, own.token);
      expect(signed).toMatchObject({ status: 200, body: { fresh, ceremony: null } });
    }
    expect((await scene.get("/v1/station/requests", own.token)).body.requests).toEqual([]);
    const late = await scene.post(`${path}/declined`, { reason: "too late" }, own.token);
    expect(late.status).toBe(409);
  });

  it("of a user declines before the first signature, and says why", async () => {
    const scene = await open();
    const own = await scene.station("ann", "user", scene.ann.account);
    const { id } = await withdraw(scene, scene.ann, { sats: 40_000n, reference: "w-1" });
    await scene.settle();
    const path = `/v1/station/requests/${id}/declined`;
    expect((await scene.post(path, { reason: "" }, own.token)).status).toBe(422);
    expect((await scene.post(path, { reason: "x".repeat(201) }, own.token)).status).toBe(422);
    for (const fresh of [true, false]) {
      const declined = await scene.post(path, { reason: "not my address" }, own.token);
      expect(declined).toMatchObject({ status: 200, body: { fresh } });
    }
    const { body } = await scene.get(`/v1/intents/${id}`);
    expect(body.history.at(-1)).toMatchObject({
      state: "cancelled",
      detail: "declined by the user: not my address",
    });
  });

  it("of a station shows no ceremony in which it takes no part, and says nothing there", async () => {
    const { scene, cora, dan, eve, ann, intent, id } = await meeting();
    for (const { token } of [eve, ann]) {
      expect((await scene.get("/v1/station/requests", token)).body).toEqual({
        requests: [],
        ended: [],
      });
    }
    const seen = await lineFor(scene, id, { by: "eve", do: "seen" });
    const events = `/v1/station/ceremonies/${id}/events`;
    expect((await scene.post(events, signLine("eve", seen), eve.token)).status).toBe(404);
    const request = (await scene.get("/v1/station/requests", cora.token)).body.requests[0];
    const { psbt, detail } = approvalOf(scene, request, scene.ann.trustee);
    const line = await lineFor(scene, id, { by: "cora", do: "approve", detail });
    const signed = `/v1/station/requests/${intent}/signed`;
    const answer = { psbt, event: signLine("cora", line) };
    expect((await scene.post(signed, answer, eve.token)).status).toBe(404);
    // The PSBT bears the user's own signature, which is known; the trustee's counts with its event.
    const repeated = await scene.post(signed, answer, ann.token);
    expect(repeated).toMatchObject({ status: 200, body: { fresh: false, ceremony: null } });
    expect((await scene.get(`/v1/intents/${intent}`)).body.state).toBe("user-signed");
    expect((await scene.post(signed, answer, dan.token)).status).toBe(422);
    const no = await lineFor(scene, id, {
      by: "dan",
      do: "decline",
      detail: { reason: encodeReason("no") },
    });
    const declined = `/v1/station/requests/${intent}/declined`;
    const refusal = { reason: "no", event: signLine("dan", no) };
    // Dan watches: the quorum does not ask for him.
    expect((await scene.post(declined, refusal, dan.token)).status).toBe(409);
    expect((await scene.post(events, answer.event, cora.token)).status).toBe(422);
    expect((await scene.post(signed, answer, cora.token)).status).toBe(200);
  });
});

describe("a ceremony over HTTP", () => {
  it("is opened, fetched, approved, completed, attested and exported", async () => {
    const { scene, cora, dan, intent, opened, id } = await meeting();
    expect(opened).toMatchObject({ status: 201, body: { state: "open", waitingFor: ["cora"] } });
    expect((await scene.post("/v1/ceremonies", { intent, ...QUORUM })).status).toBe(200);
    const request = (await scene.get("/v1/station/requests", cora.token)).body.requests[0];
    expect(request).toMatchObject({ id: intent, signedBy: ["user"], ceremony: { id } });
    const say = async (by: string, act: "seen" | "witnessed", token: string) => {
      const detail: Record<string, string> =
        act === "seen" ? {} : { spend: request.ceremony.document.spend.hash };
      const line = await lineFor(scene, id, { by, do: act, detail });
      return await scene.post(`/v1/station/ceremonies/${id}/events`, signLine(by, line), token);
    };
    expect(await say("cora", "seen", cora.token)).toMatchObject({
      status: 200,
      body: { fresh: true, ceremony: { state: "open", head: { sequence: 1 } } },
    });
    const { psbt, detail } = approvalOf(scene, request, scene.ann.trustee);
    const line = await lineFor(scene, id, { by: "cora", do: "approve", detail });
    const answer = { psbt, event: signLine("cora", line) };
    for (const fresh of [true, false]) {
      const approved = await scene.post(
        `/v1/station/requests/${intent}/signed`,
        answer,
        cora.token,
      );
      expect(approved).toMatchObject({
        status: 200,
        body: { fresh, ceremony: { state: "approved" } },
      });
    }
    expect((await say("dan", "witnessed", dan.token)).status).toBe(200);
    await scene.settle();
    await scene.mine(CONFIRMATIONS);
    for (const [name, { token }] of [
      ["cora", cora],
      ["dan", dan],
    ] as const) {
      const { ended } = (await scene.get("/v1/station/requests", token)).body;
      const last = ended[0].events.at(-1);
      const words = `Ballast attest 1 regtest id=${id} seq=${last.sequence} head=${last.hash} by=${name}`;
      const events = `/v1/station/ceremonies/${id}/events`;
      const wrong = signLine(name, words.replace(/seq=\d+/, "seq=1"));
      expect((await scene.post(events, wrong, token)).status).toBe(422);
      expect((await scene.post(events, signLine(name, words), token)).status).toBe(200);
    }
    const { body: transcript } = await scene.get(`/v1/ceremonies/${id}/transcript`);
    expect(verifyTranscript(transcript, "whole")).toMatchObject({
      kind: "sound",
      facts: { standing: { state: "complete" }, attested: ["cora", "dan"] },
    });
    const { body: list } = await scene.get("/v1/ceremonies");
    expect(list.ceremonies).toMatchObject([
      { id, intent, state: "complete", closed: true, waitingFor: [] },
    ]);
  });

  it("is superseded by the operator, once, and only while it is open", async () => {
    const { scene, id, intent } = await meeting();
    const path = `/v1/ceremonies/${id}/supersede`;
    expect((await scene.post(path, {})).status).toBe(422);
    const kept = await scene.post(path, { reason: "cora is away", intent: "keep" });
    expect(kept).toMatchObject({ status: 200, body: { state: "superseded" } });
    expect((await scene.post(path, { reason: "again" })).status).toBe(200);
    const next = await scene.post("/v1/ceremonies", { intent, ...QUORUM, deadline: { hours: 1 } });
    expect(next.status).toBe(201);
    expect(next.body.document.deadline.height - next.body.document.opened.height).toBe(6);
    expect((await scene.post("/v1/ceremonies/00/supersede", { reason: "none" })).status).toBe(404);
    expect((await scene.get("/v1/ceremonies/00")).status).toBe(404);
    expect((await scene.get("/v1/ceremonies/00/transcript")).status).toBe(404);
    const none = await scene.post("/v1/ceremonies", { ...QUORUM, intent: "00".repeat(32) });
    expect(none.status).toBe(404);
  });
});

describe("a rotation over HTTP", () => {
  it("opens a newer vault, and its migration waits for the user's station", async () => {
    const scene = await open();
    const own = await scene.station("ann", "user", scene.ann.account);
    const user = holder("user", "anew");
    const trustee = holder("trustee", "anew");
    const path = `/v1/accounts/${scene.ann.account}/rotation`;
    const keys = { userKey: user.key, trusteeKey: trustee.key };
    expect((await scene.post("/v1/accounts/a-0/rotation", keys)).status).toBe(404);
    expect((await scene.post(path, { ...keys, userKey: "tpub" })).status).toBe(422);
    const begun = await scene.post(path, keys);
    expect(begun).toMatchObject({ status: 201, body: { number: 1, state: "begun" } });
    const vault = readVault(begun.body.document);
    const proofs = { user: proofOf(vault, user), trustee: proofOf(vault, trustee) };
    const swapped = { user: proofs.trustee, trustee: proofs.user };
    expect((await scene.post(`${path}/proofs`, swapped)).status).toBe(422);
    expect(await scene.post(`${path}/proofs`, proofs)).toMatchObject({
      status: 201,
      body: { state: "open" },
    });
    expect((await scene.post(`${path}/proofs`, proofs)).status).toBe(200);
    const wish = { account: scene.ann.account, reference: "m-1" };
    const raised = await scene.post("/v1/migrations", wish);
    expect(raised).toMatchObject({ status: 201, body: { purpose: "migration" } });
    await scene.settle();
    expect((await scene.post("/v1/migrations", wish)).status).toBe(200);
    const { requests } = (await scene.get("/v1/station/requests", own.token)).body;
    expect(requests).toMatchObject([{ id: raised.body.id, intent: { parties: [vault.id] } }]);
    // Both vaults with their proofs: the station registers the new one before it signs.
    expect(
      requests[0].vaults.map((one: { proofs: object }) => Object.keys(one.proofs).length),
    ).toEqual([3, 3]);
  });
});

describe("evidence", () => {
  const evidence = { format: "ballast/evidence@1", burials: [] };

  it("goes to whoever is asked from then on", async () => {
    const scene = await open();
    const own = await scene.station("ann", "user", scene.ann.account);
    const { id } = await withdraw(scene, scene.ann, { sats: 40_000n, reference: "w-1" });
    await scene.settle();
    await userSigns(scene, scene.ann, id);
    // An LSP that waits for evidence, and signs when it has some.
    const { lsp, parts } = scene;
    const waiting = signRole({
      ...parts,
      signer: {
        ...lsp,
        sign: async (request) =>
          request.evidence === undefined
            ? {
                kind: "held",
                violations: [{ rule: "approvals-enough", detail: "nobody has", retry: "later" }],
              }
            : await lsp.sign(request),
      },
    });
    await waiting.step();
    const path = `/v1/intents/${id}`;
    expect((await scene.get(path)).body).toMatchObject({ state: "held", evidence: null });
    expect((await scene.post(`${path}/evidence`, { evidence: { format: "x" } })).status).toBe(422);
    expect((await scene.post(`${path}/evidence`, { evidence }, own.token)).status).toBe(401);
    expect((await scene.post(`${path}/evidence`, { evidence })).body).toMatchObject({ evidence });
    await waiting.step();
    expect((await scene.get(path)).body.state).toBe("signed");
    expect((await scene.post(`${path}/evidence`, { evidence })).status).toBe(409);
    expect((await scene.post("/v1/intents/00/evidence", { evidence })).status).toBe(404);
  });

  it("stands in the requests of stations", async () => {
    const { scene, cora, intent } = await meeting();
    await scene.post(`/v1/intents/${intent}/evidence`, { evidence });
    const { requests } = (await scene.get("/v1/station/requests", cora.token)).body;
    expect(requests).toMatchObject([{ id: intent, evidence }]);
  });
});

describe("what users say", () => {
  it("is kept once, told to the LSP's signer until it hears, and shown to those who judge", async () => {
    const scene = await open();
    const own = await scene.station("ann", "user", scene.ann.account);
    const cora = await scene.station("cora", "trustee");
    const dan = await scene.station("dan", "witness");
    const gone = userWord(scene.ann, "lsp-gone", 1);
    expect(await scene.post("/v1/station/notices", gone, own.token)).toMatchObject({
      status: 201,
      body: { notice: "lsp-gone", vault: scene.ann.vault.vault.id, fresh: true },
    });
    expect((await scene.post("/v1/station/notices", gone, own.token)).status).toBe(200);
    const { hears, told } = scene.lsp;
    hears.push(new Error("unplugged"), { kind: "held", reasons: ["the node is behind"] });
    for (const times of [1, 1, 2, 3, 3]) {
      await scene.roles.notices.step();
      expect(told).toHaveLength(times);
      if (times === told.length) scene.pass(times === 1 ? 1_000n : 10_000n);
    }
    expect(told).toEqual([gone, gone, gone]);
    const shown = await scene.get("/v1/station/notices", cora.token);
    expect(shown.body.notices).toMatchObject([
      { ...gone, told: "heard", vaults: [{ vault: scene.ann.vault.vault.document }] },
    ]);
    const { sequence } = shown.body.notices[0];
    expect(
      (await scene.get(`/v1/station/notices?after=${sequence}`, cora.token)).body.notices,
    ).toEqual([]);
    expect((await scene.get("/v1/station/notices?after=x", cora.token)).status).toBe(422);
    expect((await scene.get("/v1/station/notices", dan.token)).body.notices).toEqual([]);
    expect((await scene.get("/v1/station/notices", own.token)).body.notices).toHaveLength(1);
  });

  it("is refused for good where the signer does, and is not told again", async () => {
    const scene = await open();
    const own = await scene.station("ann", "user", scene.ann.account);
    scene.lsp.hears.push({ kind: "refused", reasons: ["not registered here"] });
    await scene.post("/v1/station/notices", userWord(scene.ann, "stop", 1), own.token);
    await scene.settle();
    scene.pass(1_000_000n);
    await scene.settle();
    expect(scene.lsp.told).toHaveLength(1);
    const { body } = await scene.get("/v1/station/notices", own.token);
    expect(body.notices).toMatchObject([{ told: "refused" }]);
  });

  it("counts by its signature, whoever carries it", async () => {
    const scene = await open();
    const bea = await moveIn(scene, "bea");
    const own = await scene.station("ann", "user", scene.ann.account);
    const other = await scene.station("bea", "user", bea.account);
    const cora = await scene.station("cora", "trustee");
    const stop = userWord(scene.ann, "stop", 1);
    const send = async (body: unknown, token: string) =>
      (await scene.post("/v1/station/notices", body, token)).status;
    expect(await send({ ...stop, signature: userWord(bea, "stop", 1).signature }, own.token)).toBe(
      422,
    );
    expect(await send({ ...stop, text: stop.text.replace("no=1", "no=2") }, own.token)).toBe(422);
    expect(await send({ ...stop, text: stop.text.replace("regtest", "signet") }, own.token)).toBe(
      422,
    );
    expect(await send({ ...stop, text: "stop" }, own.token)).toBe(422);
    // A user's station carries the words of its own account.
    expect(await send(stop, other.token)).toBe(422);
    expect((await scene.get("/v1/station/notices", own.token)).body.notices).toEqual([]);
    expect(await send(stop, cora.token)).toBe(201);
    expect(await send(stop, own.token)).toBe(200);
    expect((await scene.get("/v1/station/notices", other.token)).body.notices).toEqual([]);
  });
});
