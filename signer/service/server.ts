/**
 * A signer behind HTTP on loopback, guarded by a shared secret. Who asks is checked before a byte
 * of the body is read; what is asked is judged by the guard alone.
 */
import { timingSafeEqual } from "node:crypto";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { base64 } from "@scure/base";
import express, { type NextFunction, type Request, type Response } from "express";
import { z } from "zod";
import { PsbtFault } from "../../policies/bitcoin/psbt.ts";
import { type EvidenceDocument, EvidenceError } from "../../policies/evidence.ts";
import { IntentError } from "../../policies/intent.ts";
import { CurveError } from "../curve.ts";
import { KeyError } from "../key-error.ts";
import type { Hears, Registers, Signer } from "../signer.ts";
import { JsonError, parseStrictJson } from "./strict-json.ts";
import {
  accountBody,
  BODY_BYTES_MAX,
  noticeBody,
  type Problem,
  type SignerStatus,
  signBody,
  vaultBody,
} from "./wire.ts";

export interface SignerServerOptions {
  readonly signer: Signer & Registers & Hears;
  readonly status: () => SignerStatus;
  /** At least 32 characters; known to the orchestrator and to nobody else. */
  readonly secret: string;
  /** 0 takes a free port. */
  readonly port: number;
  readonly log: (event: string, fields: Readonly<Record<string, unknown>>) => void;
}

export interface SignerServer {
  readonly url: string;
  readonly close: () => Promise<void>;
}

/** This server speaks plain HTTP, so it listens where only this machine hears it. */
const HOST = "127.0.0.1";
/** A signature of 250 inputs is done by then. */
const CLOSE_MS = 800;
/** A request that takes longer to arrive than this is no orchestrator's. */
const REQUEST_MS_MAX = 30_000;
/** On loopback headers come at once; who sends half of them holds a connection no longer. */
const HEADERS_MS_MAX = 5_000;
/** One orchestrator asks; the files and sockets of the signer itself must never run out. */
const CONNECTIONS_MAX = 64;

export async function serveSigner(options: SignerServerOptions): Promise<SignerServer> {
  const { signer, status, secret, log } = options;
  const app = express();
  app.disable("x-powered-by");

  app.get("/livez", (_request, response) => {
    response.json({ alive: true });
  });
  app.use((request, response, next) => {
    if (knowsSecret(request.get("authorization"), secret)) return next();
    problem(response, {
      title: "Unauthorized",
      status: 401,
      code: "unauthorized",
      detail: "this signer wants its shared secret as a bearer token",
      retryable: false,
    });
  });
  app.use(express.text({ limit: BODY_BYTES_MAX, type: "application/json" }));
  app.use((request, _response, next) => {
    if (typeof request.body === "string") request.body = parseStrictJson(request.body);
    next();
  });

  app.get("/v1/status", (_request, response) => {
    response.json(status());
  });
  app.post("/v1/sign", async (request, response) => {
    const { intent, psbt, evidence } = signBody.parse(request.body);
    const outcome = await signer.sign({
      intent,
      psbt,
      ...(evidence !== undefined && { evidence: evidence as EvidenceDocument }),
    });
    const body =
      outcome.kind === "signed" ? { ...outcome, psbt: base64.encode(outcome.psbt) } : outcome;
    response.json(body);
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
  app.use((_request, response) => {
    problem(response, {
      title: "Not Found",
      status: 404,
      code: "not-found",
      detail: "a signer has /v1/sign, /v1/accounts, /v1/vaults, /v1/notices, /v1/status and /livez",
      retryable: false,
    });
  });
  app.use((error: unknown, request: Request, response: Response, _next: NextFunction) => {
    const said = problemOf(error);
    if (said.status >= 500) {
      // The name and the words of the fault; they carry no request and no secret.
      const reason = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
      log("request failed", { path: request.path, code: said.code, reason });
    }
    problem(response, said);
  });

  const server = createServer({ connectionsCheckingInterval: 1_000 }, app);
  server.requestTimeout = REQUEST_MS_MAX;
  server.headersTimeout = HEADERS_MS_MAX;
  server.maxConnections = CONNECTIONS_MAX;
  await listen(server, options.port);
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://${HOST}:${port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeIdleConnections();
        // Requests under way get their answer; who never ends one is not waited for.
        setTimeout(() => server.closeAllConnections(), CLOSE_MS).unref();
      }),
  };
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, HOST, () => resolve());
  });
}

function knowsSecret(header: string | undefined, secret: string): boolean {
  const given = new TextEncoder().encode(header ?? "");
  const wanted = new TextEncoder().encode(`Bearer ${secret}`);
  return given.length === wanted.length && timingSafeEqual(given, wanted);
}

function problem(response: Response, body: Problem): void {
  response.status(body.status).type("application/problem+json").json(body);
}

function problemOf(error: unknown): Problem {
  if (error instanceof PsbtFault) return bad(error.code, error.message);
  if (error instanceof IntentError) return bad("intent", error.message);
  if (error instanceof EvidenceError) return bad("evidence", error.message);
  if (error instanceof JsonError) return bad("body", error.message);
  if (error instanceof z.ZodError) {
    const [first] = error.issues;
    return bad("body", `${first?.path.join(".") ?? ""}: ${first?.message ?? "has a wrong form"}`);
  }
  if (error instanceof KeyError && error.code === "unknown-account") {
    return { ...bad("unknown-account", "this signer has no account of that name"), status: 404 };
  }
  if (error instanceof KeyError) return broken(`key-${error.code}`, error.message, error.passing);
  if (error instanceof CurveError) return broken("curve", error.message, true);
  const status = bodyParserStatus(error);
  if (status !== null) return { ...bad("body", "the body is too large or no JSON"), status };
  return broken("internal", "the signer failed; its log says more", false);
}

function bad(code: string, detail: string): Problem {
  return { title: "Bad Request", status: 400, code, detail, retryable: false };
}

function broken(code: string, detail: string, retryable: boolean): Problem {
  const status = retryable ? 503 : 500;
  return { title: "The signer could not do it", status, code, detail, retryable };
}

/** Express's body parser throws errors with a client status; everything else is ours. */
function bodyParserStatus(error: unknown): number | null {
  const status = error instanceof Error && "status" in error ? error.status : null;
  return typeof status === "number" && status >= 400 && status < 500 ? status : null;
}
