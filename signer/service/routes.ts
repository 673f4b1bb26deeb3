/** What a signer can be asked over HTTP: each route reads its request, asks, and answers. */
import { createHash } from "node:crypto";
import { base64 } from "@scure/base";
import type { Express, Request, Response } from "express";
import type { Violation } from "../../policies/decide.ts";
import { canonical } from "../../policies/document/policy.ts";
import type { EvidenceDocument } from "../../policies/evidence.ts";
import { readIntent } from "../../policies/intent.ts";
import type { AuditHead, AuditLine } from "../audit.ts";
import type { Hears, Registers, Signer, SignOutcome } from "../signer.ts";
import { type Client, mayAskFor, type Route } from "./clients.ts";
import { openApiDocument } from "./openapi.ts";
import { bad, ProblemError, problemOf } from "./problem.ts";
import type { Asked, Requests } from "./requests.ts";
import {
  accountBody,
  auditQuery,
  noticeBody,
  REQUEST_ID,
  type SignerStatus,
  signBody,
  vaultBody,
} from "./wire.ts";

export interface RouteParts {
  readonly signer: Signer & Registers & Hears;
  readonly status: () => SignerStatus;
  /** The policy in force, and the one announced, with their documents. */
  readonly policy: () => unknown;
  readonly audit: (from: number, limit: number) => AuditPage;
  /** Why nothing would be signed now; empty where it would. */
  readonly unready: () => Promise<readonly string[]>;
  readonly metrics: ServiceMetrics;
  readonly requests: Requests;
  readonly now: () => number;
  readonly log: (event: string, fields: Readonly<Record<string, unknown>>) => void;
}

export interface AuditPage {
  readonly lines: readonly AuditLine[];
  readonly heads: readonly AuditHead[];
  /** Where the next page begins; null at the end. */
  readonly next: number | null;
}

export interface ServiceMetrics {
  /** Every request for a signature, once, by how it ended. */
  readonly request: (
    result: "approved" | "refused" | "held" | "failed",
    violations: readonly Violation[],
    ms: number,
  ) => void;
  readonly text: () => Promise<{ readonly contentType: string; readonly body: string }>;
}

const TABLE: readonly (readonly [string, RegExp, Route])[] = [
  ["GET", /^\/livez$/, "livez"],
  ["GET", /^\/readyz$/, "readyz"],
  ["GET", /^\/metrics$/, "metrics"],
  ["GET", /^\/openapi\.json$/, "openapi"],
  ["POST", /^\/v1\/sign$/, "sign"],
  ["GET", /^\/v1\/requests\/[^/]+$/, "requests"],
  ["POST", /^\/v1\/accounts$/, "accounts"],
  ["POST", /^\/v1\/vaults$/, "vaults"],
  ["POST", /^\/v1\/notices$/, "notices"],
  ["GET", /^\/v1\/policy$/, "policy"],
  ["GET", /^\/v1\/audit$/, "audit"],
  ["GET", /^\/v1\/status$/, "status"],
];

/** The route of a request line; null where there is none. */
export function routeOf(method: string, path: string): Route | null {
  return TABLE.find(([verb, form]) => verb === method && form.test(path))?.[2] ?? null;
}

export function addRoutes(app: Express, parts: RouteParts): void {
  const { signer, requests, metrics } = parts;
  const document = openApiDocument();

  app.get("/livez", (_request, response) => {
    response.json({ alive: true });
  });
  app.get("/openapi.json", (_request, response) => {
    response.json(document);
  });
  app.get("/readyz", async (_request, response) => {
    const reasons = await parts.unready();
    response.status(reasons.length === 0 ? 200 : 503);
    response.json({ ready: reasons.length === 0, reasons });
  });
  app.get("/metrics", async (_request, response) => {
    const { contentType, body } = await metrics.text();
    response.type(contentType).send(body);
  });
  app.get("/v1/status", (_request, response) => {
    response.json(parts.status());
  });
  app.get("/v1/policy", (_request, response) => {
    response.json(parts.policy());
  });
  app.get("/v1/audit", (request, response) => {
    const { from, limit } = auditQuery.parse(request.query);
    response.json(parts.audit(from, limit));
  });
  app.get("/v1/requests/:id", (request, response) => {
    const record = requests.read(clientOf(response).name, request.params.id);
    if (record === null) throw new ProblemError(bad("not-found", "no request has that id", 404));
    response.json(record);
  });
  app.post("/v1/sign", async (request, response) => {
    response.json(await sign(parts, request, response));
  });
  app.post("/v1/accounts", async (request, response) => {
    const { label } = accountBody.parse(request.body);
    response.json({ key: await signer.accountKey(label) });
  });
  app.post("/v1/vaults", async (request, response) => {
    response.json(await signer.registerVault(vaultBody.parse(request.body)));
  });
  app.post("/v1/notices", async (request, response) => {
    response.json(await signer.tell(noticeBody.parse(request.body)));
  });
}

/** Who asks: set before any route is reached. */
const clientOf = (response: Response) => response.locals["client"] as Client;

async function sign(parts: RouteParts, request: Request, response: Response): Promise<unknown> {
  const start = performance.now();
  const client = clientOf(response);
  const { intent, psbt, evidence } = signBody.parse(request.body);
  if (!mayAskFor(client, intent.purpose)) {
    const detail = `${client.name} may not ask for signatures of purpose ${intent.purpose}`;
    throw new ProblemError(bad("not-allowed", detail, 403));
  }
  const intentId = readIntent(intent).id;
  const fingerprint = fingerprintOf(intentId, psbt, evidence);
  const id = requestId(request) ?? fingerprint;
  response.set("Request-Id", id);
  const asked = { client: client.name, id, fingerprint, intent: intentId };
  if (!parts.requests.begin(asked, parts.now())) {
    const detail = "this Idempotency-Key stands for another request: give each its own";
    throw new ProblemError(bad("idempotency-conflict", detail, 422));
  }
  const document = evidence === undefined ? {} : { evidence: evidence as EvidenceDocument };
  try {
    const outcome = await parts.signer.sign({ intent, psbt, ...document });
    settle(parts, asked, { outcome, ms: performance.now() - start });
    return outcome.kind === "signed" ? { ...outcome, psbt: base64.encode(outcome.psbt) } : outcome;
  } catch (error) {
    const { code } = problemOf(error);
    parts.requests.end(asked, { state: "failed", violations: [], code }, parts.now());
    parts.metrics.request("failed", [], performance.now() - start);
    throw error;
  }
}

function settle(
  { requests, metrics, now }: RouteParts,
  asked: Asked,
  { outcome, ms }: { readonly outcome: SignOutcome; readonly ms: number },
): void {
  const violations = outcome.kind === "signed" ? [] : outcome.violations;
  requests.end(asked, { state: outcome.kind, violations, code: null }, now());
  metrics.request(outcome.kind === "signed" ? "approved" : outcome.kind, violations, ms);
}

/** Over what is asked, decoded: other blanks or another order of keys are the same request. */
function fingerprintOf(intent: string, psbt: Uint8Array, evidence: unknown): string {
  const hash = createHash("sha256").update(intent).update("\n").update(psbt);
  return hash.update(evidence === undefined ? "" : canonical(evidence)).digest("hex");
}

function requestId(request: Request): string | null {
  const given = request.get("idempotency-key");
  if (given === undefined) return null;
  if (REQUEST_ID.test(given)) return given;
  const detail = "Idempotency-Key has 1 to 64 of A-Z a-z 0-9 _ -";
  throw new ProblemError(bad("idempotency-key", detail));
}
