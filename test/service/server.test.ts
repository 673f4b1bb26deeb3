/** The signer's door: who knocks without the secret, and what comes through with it. */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { base64 } from "@scure/base";
import { afterAll, afterEach, beforeEach, describe, expect, it } from "vitest";
import { hex } from "../../policies/bitcoin/hash.ts";
import { openCurvePool } from "../../signer/curve.ts";
import type { GuardParts } from "../../signer/guard.ts";
import { KeyError } from "../../signer/key-error.ts";
import { openRemoteSigner } from "../../signer/service/remote.ts";
import { type SignerServer, serveSigner } from "../../signer/service/server.ts";
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

const SECRET = "correct horse battery staple and more";
const BEARER = { authorization: `Bearer ${SECRET}` };
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
  const { signer, status } = room;
  server = await serveSigner({ signer, status, secret: SECRET, port: 0, log: note });
}

async function reserve(bend: (parts: GuardParts) => GuardParts): Promise<void> {
  await server.close();
  await room.close();
  await serve(bend);
}

function post(path: string, body: unknown, headers: Record<string, string> = BEARER) {
  const text = typeof body === "string" || body instanceof Uint8Array ? body : JSON.stringify(body);
  return fetch(`${server.url}${path}`, {
    method: "POST",
    headers: { ...JSON_TYPE, ...headers },
    body: text as string,
  });
}

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

describe("without the secret", () => {
  it.each([
    ["nothing", {}],
    ["another", { authorization: `Bearer ${SECRET.toUpperCase()}` }],
    ["its beginning", { authorization: `Bearer ${SECRET.slice(0, -1)}` }],
    ["more than it", { authorization: `Bearer ${SECRET}x` }],
    ["another scheme", { authorization: `Basic ${SECRET}` }],
    ["a bare secret", { authorization: SECRET }],
    ["a lower-case scheme", { authorization: `bearer ${SECRET}` }],
    ["nothing behind the scheme", { authorization: "Bearer " }],
  ])("but %s, every path is 401", async (_, headers) => {
    for (const path of ["/v1/sign", "/v1/accounts", "/v1/vaults", "/v1/status", "/nowhere"]) {
      const response = await post(path, SIGN, headers as Record<string, string>);
      expect(await problemOf(response)).toEqual({
        status: 401,
        code: "unauthorized",
        retryable: false,
      });
    }
    noTrace();
  });

  it("only /livez answers, and says nothing but that it lives", async () => {
    const response = await fetch(`${server.url}/livez`);
    expect([response.status, await response.json()]).toEqual([200, { alive: true }]);
    expect(response.headers.get("x-powered-by")).toBeNull();
  });

  it("the answer comes before a byte of the body was sent", async () => {
    const said = await speak(`POST /v1/sign HTTP/1.1\r\nhost: x\r\ncontent-length: 10485760\r\n`);
    expect(said).toMatch(/^HTTP\/1\.1 401 /);
  });

  it("10 MB are not kept: the server answers, and serves the next", async () => {
    const before = process.memoryUsage().arrayBuffers;
    const said = await speak(
      `POST /v1/sign HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 10485760\r\n`,
      10 * 1024 * 1024,
    );
    expect(said).toMatch(/^HTTP\/1\.1 401 /);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(8 * 1024 * 1024);
    expect((await post("/v1/sign", SIGN)).status).toBe(200);
  });

  it("a remote signer does not open, and says why", async () => {
    const opening = openRemoteSigner({ url: server.url, secret: "wrong" });
    expect(await faultOf(opening)).toMatchObject({
      name: "RemoteSignerError",
      code: "unauthorized",
      passing: false,
    });
  });
});

describe("with the secret", () => {
  it.each([
    ["/", "GET"],
    ["/v1", "GET"],
    ["/v1/sign", "GET"],
    ["/v1/sign/", "PUT"],
    ["/v2/sign", "POST"],
    ["/v1/status", "DELETE"],
    ["/v1/../v1/statu", "GET"],
  ])("%s by %s is not found", async (path, method) => {
    const response = await fetch(`${server.url}${path}`, { method, headers: BEARER });
    expect(await problemOf(response)).toMatchObject({ status: 404, code: "not-found" });
  });

  it.each([
    ["over the limit", () => `{"psbt":"${"A".repeat(BODY_BYTES_MAX)}"}`, {}, 413],
    [
      "over the limit once unpacked",
      () => gzipSync(`"${"A".repeat(BODY_BYTES_MAX)}"`),
      { "content-encoding": "gzip" },
      413,
    ],
    ["no JSON", () => "{", {}, 400],
    ["a bare word", () => '"sign"', {}, 400],
    ["null", () => "null", {}, 400],
    ["a list", () => "[]", {}, 400],
    ["nothing", () => "", {}, 400],
    ["of another type", () => JSON.stringify(SIGN), { "content-type": "text/plain" }, 400],
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
    const response = await post("/v1/sign", body(), { ...BEARER, ...headers } as Record<
      string,
      string
    >);
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
    ["/v1/vaults", { ...registrationOf(USER_VAULT), proofs: { user: "0".repeat(129) } }],
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
    const response = await fetch(`${server.url}/v1/status`, { headers: BEARER });
    const text = await response.text();
    expect(JSON.parse(text)).toMatchObject({ role: "lsp", paused: false, vaults: 1 });
    expect(text).not.toContain(SECRET);
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
  await post("/v1/sign", SIGN, { authorization: "Bearer guess" });
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
    SECRET,
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
    const socket = connect(Number(port), hostname);
    await new Promise((resolve) => socket.write("POST /v1/sign HTTP/1.1\r\nhost", resolve));
    await fetch(`${server.url}/livez`);
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
    const remote = await openRemoteSigner({ url: server.url, secret: SECRET });
    await server.close();
    const fault = await faultOf(remote.sign(requestOf(SPEND)));
    expect(fault).toMatchObject({ name: "RemoteSignerError", code: "unreachable", passing: true });
    const reopened = await serveSigner({
      signer: room.signer,
      status: room.status,
      secret: SECRET,
      port: Number(new URL(server.url).port),
      log: () => undefined,
    });
    server = reopened;
    expect((await remote.sign(requestOf(SPEND))).kind).toBe("signed");
  });

  /** Whether it signed is not known; only who asks again with the same request learns it. */
  it("is told that a broken answer may pass", async () => {
    const status = JSON.stringify(room.status());
    const dying = createServer((request, response) => {
      if (request.url === "/v1/status") return void response.end(status);
      response.writeHead(200, { "content-type": "application/json", "content-length": "5000" });
      response.write('{"kind":"signed","psbt":"', () => response.destroy());
    });
    await new Promise<void>((resolve) => dying.listen(0, "127.0.0.1", resolve));
    const { port } = dying.address() as AddressInfo;
    try {
      const remote = await openRemoteSigner({ url: `http://127.0.0.1:${port}`, secret: SECRET });
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
    const remote = await openRemoteSigner({ url: server.url, secret: SECRET, timeoutMs: 150 });
    expect(await faultOf(remote.sign(requestOf(SPEND)))).toMatchObject({ passing: true });
    // What was asked went on, and its answer waits for the next who asks.
    const patient = await openRemoteSigner({ url: server.url, secret: SECRET });
    expect((await patient.sign(requestOf(SPEND))).kind).toBe("signed");
    expect(room.journal.counts()).toMatchObject({ claims: 1, answers: 1 });
  });
});

/** Sends a request head, then `bodyBytes` of junk, by hand; returns what the server says. */
function speak(head: string, bodyBytes = 0): Promise<string> {
  const { hostname, port } = new URL(server.url);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname);
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
