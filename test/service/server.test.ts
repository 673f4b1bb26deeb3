/** The signer's door: who knocks without a certificate that it knows, and what comes through with one. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import { gzipSync } from "node:zlib";
import { base64 } from "@scure/base";
import { afterAll, afterEach, beforeEach, describe, expect, it } from "vitest";
import { hex } from "../../policies/bitcoin/hash.ts";
import { openCurvePool } from "../../signer/curve.ts";
import type { GuardParts } from "../../signer/guard.ts";
import { KeyError } from "../../signer/key-error.ts";
import { openRemoteSigner } from "../../signer/service/remote.ts";
import type { SignerServer, SignerServerOptions } from "../../signer/service/server.ts";
import { BODY_BYTES_MAX, problemBody } from "../../signer/service/wire.ts";
import {
  faultOf,
  openRoom,
  type RoomLogLine,
  registrationOf,
  requestOf,
  type SignerRoom,
} from "../support/signer-room.ts";
import { honest, USER_VAULT } from "../support/spend.ts";
import {
  ACCESS,
  type AskOptions,
  ask,
  CLIENTS,
  FOREIGN,
  serveRoom,
  tlsOf,
  type Who,
} from "../support/tls-door.ts";

const JSON_TYPE = { "content-type": "application/json" };
const SPEND = honest();
const SIGN = { intent: requestOf(SPEND).intent, psbt: base64.encode(SPEND.bytes) };

const curve = openCurvePool(1);
let folder = "";
let room: SignerRoom;
let server: SignerServer;
const log: RoomLogLine[] = [];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "ballast-server-"));
  await serve();
});
afterEach(async () => {
  await server.close();
  await room.close();
  rmSync(folder, { recursive: true, force: true });
});
afterAll(() => curve.close());

async function serve(bend?: (parts: GuardParts) => GuardParts): Promise<void> {
  log.length = 0;
  const note = (event: string, fields: RoomLogLine["fields"]) => void log.push({ event, fields });
  room = await openRoom({
    folder,
    curve,
    bend: (parts) => ({ ...(bend?.(parts) ?? parts), log: note }),
  });
  room.chain.show(SPEND);
  server = await serveRoom(room, { log: note });
}

/** The same room behind another door. */
async function reopen(options: Partial<SignerServerOptions>): Promise<void> {
  await server.close();
  server = await serveRoom(room, options);
}

async function reserve(bend: (parts: GuardParts) => GuardParts): Promise<void> {
  await server.close();
  await room.close();
  await serve(bend);
}

function post(path: string, body: unknown, options: AskOptions = {}) {
  const text = typeof body === "string" || body instanceof Uint8Array ? body : JSON.stringify(body);
  return ask(`${server.url}${path}`, {
    ...options,
    method: "POST",
    headers: { ...JSON_TYPE, ...options.headers },
    body: text,
  });
}

const get = (path: string, as: Who = "orchestrator") => ask(`${server.url}${path}`, { as });

/** The answer is RFC 9457's and says the same in its status line and in its body. */
async function problemOf(response: Response) {
  expect(response.headers.get("content-type")).toMatch(/^application\/problem\+json/);
  const body = problemBody.parse(await response.json());
  expect(body.status).toBe(response.status);
  expect(body.detail).toMatch(/\w/);
  return { status: body.status, code: body.code, retryable: body.retryable };
}

const noTrace = () => {
  expect(room.key.signed()).toBe(0);
  expect(room.journal.counts()).toEqual({ claims: 0, answers: 0, decisions: 0 });
};

const PATHS = [
  ["POST", "/v1/sign", "orchestrator"],
  ["POST", "/v1/accounts", "orchestrator"],
  ["POST", "/v1/vaults", "orchestrator"],
  ["POST", "/v1/notices", "orchestrator"],
  ["GET", "/v1/requests/x", "orchestrator"],
  ["GET", "/v1/policy", "orchestrator auditor"],
  ["GET", "/v1/audit", "auditor"],
  ["GET", "/v1/status", "orchestrator auditor monitor"],
  ["GET", "/readyz", "monitor"],
  ["GET", "/metrics", "monitor"],
] as const;

describe("without a certificate that it knows", () => {
  const { ca } = tlsOf("orchestrator");

  it("nobody gets as far as a request", async () => {
    for (const tls of [{ ca }, { ...foreign(), ca }]) {
      await expect(ask(`${server.url}/livez`, { tls })).rejects.toThrow();
    }
    noTrace();
  });

  it("nor with an older TLS", async () => {
    const tls = { ...tlsOf("orchestrator"), maxVersion: "TLSv1.2" } as const;
    await expect(ask(`${server.url}/livez`, { tls })).rejects.toThrow(/protocol version|alert/i);
  });

  it.each(PATHS)("%s %s is 403 to whom the authority alone knows", async (method, path) => {
    const body = method === "POST" ? { body: JSON.stringify(SIGN), headers: JSON_TYPE } : {};
    const response = await ask(`${server.url}${path}`, { method, as: "stranger", ...body });
    expect(await problemOf(response)).toMatchObject({ status: 403, code: "unknown-client" });
    noTrace();
  });

  it("a remote signer does not open, and says why", async () => {
    const opening = openRemoteSigner({ url: server.url, tls: tlsOf("stranger") });
    expect(await faultOf(opening)).toMatchObject({
      name: "RemoteSignerError",
      code: "unknown-client",
      passing: false,
    });
  });

  it("the answer comes before a byte of the body was sent", async () => {
    const head = `POST /v1/sign HTTP/1.1\r\nhost: x\r\ncontent-length: 10485760\r\n`;
    expect(await speak("stranger", head)).toMatch(/^HTTP\/1\.1 403 /);
  });

  it("10 MB are not kept: the server answers, and serves the next", async () => {
    const before = process.memoryUsage().arrayBuffers;
    const head = `POST /v1/sign HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 10485760\r\n`;
    const said = await speak("stranger", head, 10 * 1024 * 1024);
    expect(said).toMatch(/^HTTP\/1\.1 403 /);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(12 * 1024 * 1024);
    expect((await post("/v1/sign", SIGN)).status).toBe(200);
  });
});

describe("a client's role", () => {
  it.each(PATHS)("%s %s is for %s alone", async (method, path, roles) => {
    for (const who of ["orchestrator", "auditor", "monitor"] as const) {
      const body = method === "POST" ? { body: "{}", headers: JSON_TYPE } : {};
      const response = await ask(`${server.url}${path}`, { method, as: who, ...body });
      if (roles.split(" ").includes(who)) expect(response.status).not.toBe(403);
      else expect(await problemOf(response)).toMatchObject({ status: 403, code: "not-allowed" });
    }
    noTrace();
  });

  it("gives no signature of a purpose that is not named for it", async () => {
    const others = CLIENTS.map((each) => ({
      ...each,
      purposes: each.purposes.filter((purpose) => purpose !== SIGN.intent.purpose),
    }));
    server.change({ ...ACCESS, clients: others });
    expect(await problemOf(await post("/v1/sign", SIGN))).toMatchObject({
      status: 403,
      code: "not-allowed",
    });
    noTrace();
  });

  it("ends when the client is taken off the list, on an open connection, too", async () => {
    const remote = await openRemoteSigner({ url: server.url, tls: tlsOf("orchestrator") });
    server.change({ ...ACCESS, clients: CLIENTS.filter(({ name }) => name !== "orchestrator") });
    expect(await faultOf(remote.sign(requestOf(SPEND)))).toMatchObject({ code: "unknown-client" });
    server.change(ACCESS);
    expect((await remote.sign(requestOf(SPEND))).kind).toBe("signed");
    remote.close();
  });

  it("lives and says what there is to ask for, whoever it is", async () => {
    for (const who of ["orchestrator", "auditor", "monitor"] as const) {
      const response = await get("/livez", who);
      expect([response.status, await response.json()]).toEqual([200, { alive: true }]);
      expect(response.headers.get("x-powered-by")).toBeNull();
      expect((await get("/openapi.json", who)).status).toBe(200);
    }
  });
});

describe("limits, before a body is read", () => {
  it("a client that asks too often waits, and no other one does", async () => {
    server.change({ ...ACCESS, rate: { per_second: 1, burst: 3 } });
    for (let n = 0; n < 3; n += 1) expect((await get("/livez")).status).toBe(200);
    const response = await post("/v1/sign", SIGN);
    expect(response.headers.get("retry-after")).toBe("1");
    const problem = problemBody.parse(await response.json());
    expect(problem).toMatchObject({ status: 429, code: "rate", retryable: true });
    expect(problem.retry_after_seconds).toBe(1);
    expect((await get("/livez", "monitor")).status).toBe(200);
    noTrace();
  });

  it("a body that says it is too long is not waited for", async () => {
    const head = (bytes: number) =>
      `POST /v1/sign HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${bytes}\r\n`;
    expect(await speak("orchestrator", head(BODY_BYTES_MAX + 1))).toMatch(/^HTTP\/1\.1 413 /);
    const most = await speak("orchestrator", head(BODY_BYTES_MAX), BODY_BYTES_MAX);
    expect(most).toMatch(/^HTTP\/1\.1 400 /);
  });
});

describe("an Idempotency-Key", () => {
  const named = (key: string) => ({ headers: { "idempotency-key": key } });

  it("gets the same bytes again, and tells what came of it", async () => {
    const first = await post("/v1/sign", SIGN, named("spend-1"));
    expect(first.headers.get("request-id")).toBe("spend-1");
    const bytes = await first.text();
    // The same request, written otherwise.
    const again = JSON.stringify({ psbt: SIGN.psbt, intent: SIGN.intent }, null, 2);
    expect(await (await post("/v1/sign", again, named("spend-1"))).text()).toBe(bytes);
    expect(room.key.signed()).toBe(1);
    expect(await (await get("/v1/requests/spend-1")).json()).toMatchObject({
      ...{ id: "spend-1", state: "signed", violations: [], code: null },
    });
  });

  it("stands for one request: with another one it is a conflict", async () => {
    await post("/v1/sign", SIGN, named("spend-1"));
    const other = honest({ coins: [{ branch: 0, index: 9 }] });
    room.chain.show(other);
    const body = { intent: requestOf(other).intent, psbt: base64.encode(other.bytes) };
    const response = await post("/v1/sign", body, named("spend-1"));
    expect(await problemOf(response)).toMatchObject({ status: 422, code: "idempotency-conflict" });
    expect(room.journal.counts()).toMatchObject({ claims: 1 });
    expect((await post("/v1/sign", body, named("spend-2"))).status).toBe(200);
  });

  it("of a refusal tells the rules", async () => {
    const psbt = base64.encode(honest({ signed: [] }).bytes);
    const response = await post("/v1/sign", { ...SIGN, psbt }, named("unsigned"));
    const { violations } = (await response.json()) as { violations: unknown };
    expect(await (await get("/v1/requests/unsigned")).json()).toMatchObject({
      ...{ state: "refused", violations },
    });
  });

  it("is its client's own, and nothing is known of one that was never asked", async () => {
    expect(await problemOf(await get("/v1/requests/never"))).toMatchObject({ status: 404 });
  });

  it("may be left out: the request's own fingerprint names it", async () => {
    const id = (await post("/v1/sign", SIGN)).headers.get("request-id") ?? "";
    expect(id).toMatch(/^[0-9a-f]{64}$/);
    expect(await (await get(`/v1/requests/${id}`)).json()).toMatchObject({ state: "signed" });
  });

  it.each([
    ["a", true],
    ["A-z_0".padEnd(64, "9"), true],
    ["x".repeat(65), false],
    ["a b", false],
    ["ä", false],
    ["a/b", false],
  ])("%j is one: %s", async (key, good) => {
    const response = await post("/v1/sign", SIGN, named(encodeURI(key) === key ? key : "a b"));
    if (good) expect(response.status).toBe(200);
    else expect(await problemOf(response)).toMatchObject({ status: 400, code: "idempotency-key" });
  });

  it("of a request that failed says so, until it is asked again", async () => {
    let away = true;
    await reserve((parts) => ({
      ...parts,
      key: {
        ...parts.key,
        sign: (approval) =>
          away
            ? Promise.reject(new KeyError("unavailable", "unplugged", { passing: true }))
            : parts.key.sign(approval),
      },
    }));
    expect((await post("/v1/sign", SIGN, named("away"))).status).toBe(503);
    expect(await (await get("/v1/requests/away")).json()).toMatchObject({
      ...{ state: "failed", code: "key-unavailable" },
    });
    away = false;
    expect((await post("/v1/sign", SIGN, named("away"))).status).toBe(200);
    expect(await (await get("/v1/requests/away")).json()).toMatchObject({ state: "signed" });
  });
});

describe("what it tells", () => {
  it("of its readiness: yes, and why not", async () => {
    const ready = await get("/readyz", "monitor");
    expect([ready.status, await ready.json()]).toEqual([200, { ready: true, reasons: [] }]);
    room.journal.pause();
    const not = await get("/readyz", "monitor");
    expect([not.status, await not.json()]).toEqual([
      503,
      { ready: false, reasons: ["it is paused"] },
    ]);
  });

  it("of what happened: counts, refusals by rule, stages, and alarms at zero", async () => {
    await post("/v1/sign", SIGN);
    await post("/v1/sign", { ...SIGN, psbt: base64.encode(honest({ signed: [] }).bytes) });
    const text = await (await get("/metrics", "monitor")).text();
    expect(text).toContain('signer_requests_total{result="approved"} 1');
    expect(text).toContain('signer_requests_total{result="refused"} 1');
    expect(text).toMatch(/signer_refusals_total\{rule="user-signs-first"\} 1/);
    for (const alarm of ["conflict", "unverified-signature", "rollback"]) {
      expect(text).toContain(`signer_alarms_total{alarm="${alarm}"} 0`);
    }
  });

  it("of its decisions, a page at a time", async () => {
    await post("/v1/sign", SIGN);
    await post("/v1/sign", { ...SIGN, psbt: base64.encode(honest({ signed: [] }).bytes) });
    const page = await (await get("/v1/audit?from=2&limit=1", "auditor")).json();
    expect(page).toMatchObject({ lines: [{ sequence: 2 }], heads: [] });
    for (const query of ["from=0", "limit=1001", "from=x", "from=1&more=1", "from=1&from=2"]) {
      expect((await get(`/v1/audit?${query}`, "auditor")).status).toBe(400);
    }
  });
});

describe("what is asked", () => {
  it.each([
    ["/", "GET"],
    ["/v1", "GET"],
    ["/v1/sign", "GET"],
    ["/v1/sign/", "PUT"],
    ["/v2/sign", "POST"],
    ["/v1/status", "DELETE"],
    ["/v1/../v1/statu", "GET"],
  ])("%s by %s is not found", async (path, method) => {
    const response = await ask(`${server.url}${path}`, { method });
    expect(await problemOf(response)).toMatchObject({ status: 404, code: "not-found" });
  });

  it.each([
    ["over the limit", () => `{"psbt":"${"A".repeat(BODY_BYTES_MAX)}"}`, {}, 413],
    [
      "that is packed",
      () => gzipSync(`"${"A".repeat(BODY_BYTES_MAX)}"`),
      { "content-encoding": "gzip" },
      415,
    ],
    ["no JSON", () => "{", {}, 400],
    ["a bare word", () => '"sign"', {}, 400],
    ["null", () => "null", {}, 400],
    ["a list", () => "[]", {}, 400],
    ["nothing", () => "", {}, 400],
    ["of another type", () => JSON.stringify(SIGN), { "content-type": "text/plain" }, 415],
    [
      "in another alphabet",
      () => JSON.stringify(SIGN),
      { "content-type": "application/json; charset=klingon" },
      415,
    ],
    [
      "nested a hundred thousand deep",
      () => `{"intent":${"[".repeat(1e5)}${"]".repeat(1e5)}}`,
      {},
      400,
    ],
  ])("a body %s is refused", async (_, body, headers, status) => {
    const response = await post("/v1/sign", body(), { headers: headers as Record<string, string> });
    expect(await problemOf(response)).toEqual({ status, code: "body", retryable: false });
    noTrace();
  });

  it("takes the largest PSBT that the gate reads, and leaves the rest to the gate", async () => {
    const most = base64.encode(new Uint8Array(256 * 1024));
    const response = await post("/v1/sign", { ...SIGN, psbt: most });
    expect(await problemOf(response)).toMatchObject({ status: 400, code: "psbt-magic" });
    const over = base64.encode(new Uint8Array(256 * 1024 + 1));
    const next = await post("/v1/sign", { ...SIGN, psbt: over });
    expect(await problemOf(next)).toMatchObject({ status: 400, code: "psbt-oversized" });
  });

  it.each([
    ["an unknown key", { ...SIGN, force: true }],
    ["an unknown key of the intent", { ...SIGN, intent: { ...SIGN.intent, fee: 1 } }],
    ["no PSBT", { intent: SIGN.intent }],
    ["no intent", { psbt: SIGN.psbt }],
    ["a PSBT that is a number", { ...SIGN, psbt: 7 }],
    ["a PSBT in hex", { ...SIGN, psbt: hex(SPEND.bytes) }],
    ["a PSBT in the URL alphabet", { ...SIGN, psbt: `${SIGN.psbt.slice(0, -4)}-_-_` }],
    [
      "a PSBT with a line break",
      { ...SIGN, psbt: `${SIGN.psbt.slice(0, 76)}\n${SIGN.psbt.slice(76)}` },
    ],
    [
      "a PSBT without its padding",
      { ...SIGN, psbt: base64.encode(SPEND.bytes.slice(0, 100)).replace(/=+$/, "") },
    ],
    [
      "an amount as a float",
      { ...SIGN, intent: { ...SIGN.intent, outputs: [{ address: "x", sats: 0.5 }] } },
    ],
    [
      "an amount past 2^53",
      { ...SIGN, intent: { ...SIGN.intent, outputs: [{ address: "x", sats: 2 ** 53 }] } },
    ],
  ])("a request with %s is 400", async (_, body) => {
    expect((await problemOf(await post("/v1/sign", body))).status).toBe(400);
    noTrace();
  });

  it.each([
    [
      "beside the rest",
      `{"__proto__":{"psbt":"x"},"intent":${JSON.stringify(SIGN.intent)},"psbt":"${SIGN.psbt}"}`,
    ],
    ["instead of the rest", `{"__proto__":${JSON.stringify(SIGN)}}`],
    ["in the intent", `{"intent":{"__proto__":{"purpose":"withdrawal"}},"psbt":"${SIGN.psbt}"}`],
    ["as a constructor", `{"constructor":{"prototype":{"polluted":1}},"psbt":"${SIGN.psbt}"}`],
  ])("__proto__ %s is a key like any other, and unknown", async (_, body) => {
    expect(await problemOf(await post("/v1/sign", body))).toMatchObject({ status: 400 });
    expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
    expect(({} as Record<string, unknown>)["psbt"]).toBeUndefined();
    noTrace();
  });

  /** attacks.md 92. Harmless while this server alone reads the body; a proxy might read the first. */
  it("a key that stands twice is refused", async () => {
    const body = `{"psbt":"AAAA","intent":${JSON.stringify(SIGN.intent)},"psbt":"${SIGN.psbt}"}`;
    expect((await post("/v1/sign", body)).status).toBe(400);
  });

  it.each([
    ["/v1/accounts", { label: "" }],
    ["/v1/accounts", { label: "x".repeat(65) }],
    ["/v1/accounts", { label: "vault", network: "bitcoin" }],
    ["/v1/vaults", { vault: registrationOf(USER_VAULT).vault }],
    ["/v1/vaults", { ...registrationOf(USER_VAULT), proofs: { user: "0".repeat(131) } }],
    ["/v1/vaults", { ...registrationOf(USER_VAULT), proofs: { thief: "00" } }],
  ])("%s with a body of another form is 400: %j", async (path, body) => {
    expect((await problemOf(await post(path, body))).status).toBe(400);
  });

  it("a refusal is an answer, 200, and not a problem", async () => {
    const response = await post("/v1/sign", {
      ...SIGN,
      psbt: base64.encode(honest({ signed: [] }).bytes),
    });
    expect([response.status, await response.json()]).toMatchObject([200, { kind: "refused" }]);
  });

  it("its status says whom one talks to, and nothing secret", async () => {
    const response = await get("/v1/status");
    const text = await response.text();
    expect(JSON.parse(text)).toMatchObject({ role: "lsp", paused: false, vaults: 1 });
    expect(text).not.toContain("PRIVATE KEY");
  });
});

describe("a fault inside", () => {
  const broken = (fault: Error) => (parts: GuardParts) => ({
    ...parts,
    key: { ...parts.key, sign: () => Promise.reject(fault) },
  });

  it.each([
    [
      "that passes is 503",
      new KeyError("unavailable", "unplugged", { passing: true }),
      503,
      "key-unavailable",
    ],
    ["that stays is 500", new KeyError("unverified", "it lies"), 500, "key-unverified"],
    ["of no known kind is 500", new TypeError("undefined is not a function"), 500, "internal"],
  ])("%s", async (_, fault, status, code) => {
    await reserve(broken(fault));
    const response = await post("/v1/sign", SIGN);
    expect(await problemOf(response)).toEqual({ status, code, retryable: status === 503 });
  });

  it("of no known kind is not told to whoever asked", async () => {
    await reserve(broken(new TypeError("password is hunter2")));
    expect(await (await post("/v1/sign", SIGN)).text()).not.toContain("hunter2");
  });

  /** The answer says "its log says more". */
  it("of no known kind is told to the operator", async () => {
    await reserve(broken(new TypeError("undefined is not a function")));
    await post("/v1/sign", SIGN);
    expect(JSON.stringify(log)).toContain("undefined is not a function");
  });
});

it("logs no secret, no proof and no PSBT, whatever was asked", async () => {
  const refused = honest({ signed: [] });
  const unknown = honest({ from: USER_VAULT, coins: [{ branch: 0, index: 7 }] });
  for (const spend of [SPEND, SPEND, refused, unknown]) {
    await post("/v1/sign", { ...SIGN, psbt: base64.encode(spend.bytes) });
  }
  await post("/v1/sign", { ...SIGN, psbt: SIGN.psbt.slice(0, 100) });
  await post("/v1/sign", SIGN, { as: "stranger" });
  const registration = registrationOf(USER_VAULT);
  await post("/v1/vaults", registration);
  room.chain.gone = true;
  await post("/v1/sign", { ...SIGN, psbt: base64.encode(unknown.bytes) });
  await reserve((parts) => ({
    ...parts,
    key: { ...parts.key, sign: () => Promise.reject(new KeyError("unavailable", "unplugged")) },
  }));
  const next = honest({ coins: [{ branch: 0, index: 9 }] });
  room.chain.show(next);
  await post("/v1/sign", { ...SIGN, psbt: base64.encode(next.bytes) });

  expect(log.length).toBeGreaterThan(0);
  const lines = JSON.stringify([...log, ...room.log]);
  const lspSecret = USER_VAULT.parties.get("lsp")?.account.privateKey ?? new Uint8Array(0);
  for (const secret of [
    "PRIVATE KEY",
    "cHNidP8",
    "70736274ff",
    SIGN.psbt.slice(200, 240),
    hex(SPEND.bytes.subarray(200, 240)),
    hex(lspSecret),
    registration.proofs.user ?? "",
  ]) {
    expect(lines).not.toContain(secret);
  }
});

describe("closing", () => {
  /** Ctrl-C must not wait for the slowest client: headers may take a minute, a body five. */
  it("does not wait for a client that never ends its request", async () => {
    const { hostname, port } = new URL(server.url);
    const socket = connect({ host: hostname, port: Number(port), ...tlsOf("orchestrator") });
    await new Promise((resolve) => socket.write("POST /v1/sign HTTP/1.1\r\nhost", resolve));
    await get("/livez");
    const closing = server.close().then(() => "closed");
    const waited = new Promise((resolve) => setTimeout(resolve, 1_000, "waiting"));
    try {
      expect(await Promise.race([closing, waited])).toBe("closed");
    } finally {
      socket.destroy();
      await closing;
    }
  });
});

describe("the remote signer", () => {
  it("is told by a fault that nobody answers, and that this may pass", async () => {
    const remote = await openRemoteSigner({ url: server.url, tls: tlsOf("orchestrator") });
    await server.close();
    const fault = await faultOf(remote.sign(requestOf(SPEND)));
    expect(fault).toMatchObject({ name: "RemoteSignerError", code: "unreachable", passing: true });
    await reopen({ port: Number(new URL(server.url).port) });
    expect((await remote.sign(requestOf(SPEND))).kind).toBe("signed");
  });

  /** Whether it signed is not known; only who asks again with the same request learns it. */
  it("is told that a broken answer may pass", async () => {
    const status = JSON.stringify(room.status());
    const dying = createServer(ACCESS.tls, (request, response) => {
      if (request.url === "/v1/status") return void response.end(status);
      response.writeHead(200, { "content-type": "application/json", "content-length": "5000" });
      response.write('{"kind":"signed","psbt":"', () => response.destroy());
    });
    await new Promise<void>((resolve) => dying.listen(0, "127.0.0.1", resolve));
    const { port } = dying.address() as AddressInfo;
    try {
      const remote = await openRemoteSigner({
        url: `https://127.0.0.1:${port}`,
        tls: tlsOf("orchestrator"),
      });
      expect(await faultOf(remote.sign(requestOf(SPEND)))).toMatchObject({ passing: true });
    } finally {
      dying.closeAllConnections();
      dying.close();
    }
  });

  it("waits no longer than it was told to", async () => {
    await reserve((parts) => ({
      ...parts,
      key: {
        ...parts.key,
        sign: async (approval) => {
          await new Promise((resolve) => setTimeout(resolve, 400));
          return parts.key.sign(approval);
        },
      },
    }));
    const remote = await openRemoteSigner({
      url: server.url,
      tls: tlsOf("orchestrator"),
      timeoutMs: 150,
    });
    expect(await faultOf(remote.sign(requestOf(SPEND)))).toMatchObject({ passing: true });
    // What was asked went on, and its answer waits for the next who asks.
    const patient = await openRemoteSigner({ url: server.url, tls: tlsOf("orchestrator") });
    expect((await patient.sign(requestOf(SPEND))).kind).toBe("signed");
    expect(room.journal.counts()).toMatchObject({ claims: 1, answers: 1 });
  });
});

/** Sends a request head, then `bodyBytes` of junk, by hand; returns what the server says. */
function speak(who: Who, head: string, bodyBytes = 0): Promise<string> {
  const { hostname, port } = new URL(server.url);
  return new Promise((resolve, reject) => {
    const socket = connect({ host: hostname, port: Number(port), ...tlsOf(who) });
    let said = "";
    const done = () => {
      socket.destroy();
      resolve(said);
    };
    socket.setEncoding("latin1");
    socket.on("error", (error) => (said === "" ? reject(error) : done()));
    socket.on("close", done);
    socket.on("data", (text: string) => {
      said += text;
      if (left === 0) done();
    });
    let left = bodyBytes;
    const piece = new Uint8Array(64 * 1024).fill(0x41);
    const send = () => {
      while (left > 0) {
        left = Math.max(0, left - piece.length);
        if (!socket.write(piece)) return;
      }
      if (said !== "") done();
    };
    socket.on("drain", send);
    socket.write(`${head}\r\n`, () => send());
  });
}

/** A client whose certificate another authority has signed. */
function foreign() {
  const { cert = "", key = "" } = FOREIGN.clients["orchestrator"] ?? {};
  return { cert: readFileSync(cert, "utf8"), key: readFileSync(key, "utf8") };
}
