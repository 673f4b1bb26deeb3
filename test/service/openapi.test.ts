/** The document says what the server does: every route both ways, every answer by its schema. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { base64 } from "@scure/base";
import { Ajv2020 } from "ajv/dist/2020.js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openCurvePool } from "../../signer/curve.ts";
import { routeOf } from "../../signer/service/routes.ts";
import type { SignerServer } from "../../signer/service/server.ts";
import { openRoom, registrationOf, requestOf, type SignerRoom } from "../support/signer-room.ts";
import { honest, USER_VAULT } from "../support/spend.ts";
import { ask, serveRoom, type Who } from "../support/tls-door.ts";

interface Document {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}
interface Operation {
  readonly requestBody?: { readonly content: Content };
  readonly responses: Readonly<Record<string, { readonly content: Content }>>;
}
type Content = Readonly<Record<string, { readonly schema: object }>>;

const curve = openCurvePool(1);
const folder = mkdtempSync(join(tmpdir(), "ballast-openapi-"));
const SPEND = honest();
const SIGN = { intent: requestOf(SPEND).intent, psbt: base64.encode(SPEND.bytes) };
let room: SignerRoom;
let server: SignerServer;
let document: Document;
const ajv = new Ajv2020({ strict: false, validateFormats: false });

beforeAll(async () => {
  room = await openRoom({ folder, curve });
  room.chain.show(SPEND);
  server = await serveRoom(room);
  document = (await (await ask(`${server.url}/openapi.json`)).json()) as Document;
});
afterAll(async () => {
  await server.close();
  await room.close();
  await curve.close();
  rmSync(folder, { recursive: true });
});

const operations = () =>
  Object.entries(document.paths).flatMap(([path, verbs]) =>
    Object.entries(verbs).map(([verb, operation]) => ({ path, verb, operation })),
  );

/** The answer fits what the document says of this route, status and type. */
async function fits(path: string, verb: string, response: Response): Promise<void> {
  const operation = document.paths[path]?.[verb];
  const status = String(response.status);
  const said = operation?.responses[status] ?? operation?.responses["default"];
  const type = (response.headers.get("content-type") ?? "").split(";")[0] ?? "";
  const schema = said?.content[type]?.schema;
  expect(schema, `${verb} ${path} ${status} ${type}`).toBeDefined();
  if (type === "text/plain") return;
  const validate = ajv.compile(schema ?? {});
  const body: unknown = await response.json();
  expect(validate(body), `${verb} ${path}: ${JSON.stringify(validate.errors)}`).toBe(true);
}

const JSON_TYPE = { "content-type": "application/json" };

describe("the OpenAPI document", () => {
  it("is 3.1, and has every route that is served and no other", async () => {
    expect(document.openapi).toMatch(/^3\.1\./);
    for (const { path, verb } of operations()) {
      expect(routeOf(verb.toUpperCase(), path.replace("{id}", "x")), path).not.toBeNull();
    }
    const paths = operations().map(({ path }) => path);
    for (const path of [
      "/livez",
      "/readyz",
      "/metrics",
      "/openapi.json",
      "/v1/sign",
      "/v1/audit",
    ]) {
      expect(paths).toContain(path);
    }
    expect(paths).toHaveLength(12);
  });

  it("has schemas that compile", () => {
    for (const { operation } of operations()) {
      for (const { content } of [
        ...Object.values(operation.responses),
        ...(operation.requestBody === undefined ? [] : [operation.requestBody]),
      ]) {
        for (const { schema } of Object.values(content)) ajv.compile(schema);
      }
    }
  });

  it.each<[string, string, Who, unknown]>([
    ["post", "/v1/sign", "orchestrator", SIGN],
    [
      "post",
      "/v1/sign",
      "orchestrator",
      { ...SIGN, psbt: base64.encode(honest({ signed: [] }).bytes) },
    ],
    ["post", "/v1/sign", "orchestrator", { ...SIGN, psbt: "" }],
    ["post", "/v1/sign", "auditor", SIGN],
    ["post", "/v1/accounts", "orchestrator", { label: "lsp" }],
    ["post", "/v1/vaults", "orchestrator", registrationOf(USER_VAULT)],
    ["post", "/v1/notices", "orchestrator", { text: "", signature: "" }],
    ["get", "/v1/policy", "auditor", null],
    ["get", "/v1/audit", "auditor", null],
    ["get", "/v1/status", "monitor", null],
    ["get", "/livez", "stranger", null],
    ["get", "/livez", "monitor", null],
    ["get", "/readyz", "monitor", null],
    ["get", "/metrics", "monitor", null],
  ])("tells what %s %s answers to the %s", async (verb, path, as, body) => {
    const asked =
      body === null
        ? { as }
        : { as, method: "POST", headers: JSON_TYPE, body: JSON.stringify(body) };
    await fits(path, verb, await ask(`${server.url}${path}`, asked));
  });

  it("tells what a request's record is, and that there is none", async () => {
    const signed = await ask(`${server.url}/v1/sign`, {
      ...{ method: "POST", headers: { ...JSON_TYPE, "idempotency-key": "one" } },
      body: JSON.stringify(SIGN),
    });
    expect(signed.status).toBe(200);
    for (const id of ["one", "none"]) {
      await fits("/v1/requests/{id}", "get", await ask(`${server.url}/v1/requests/${id}`));
    }
  });

  it("tells what not being ready is", async () => {
    room.journal.pause();
    const response = await ask(`${server.url}/readyz`, { as: "monitor" });
    expect(response.status).toBe(503);
    await fits("/readyz", "get", response);
  });
});
