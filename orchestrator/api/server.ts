/**
 * The API: JSON over HTTP on loopback, with a bearer token. Everything that changes something is
 * idempotent: asked again, it answers again. Sats are decimal strings, times ISO 8601.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import express, { type NextFunction, type Request, type Response } from "express";
import { z } from "zod";
import { POSSESSION_PROOF } from "../../policies/possession.ts";
import {
  ACCOUNT_NAME_CHARACTERS_MAX,
  type Account,
  type AccountOutcome,
  type Accounts,
} from "../accounts/accounts.ts";
import { balancesOf } from "../accounts/book.ts";
import { VAULT_TEMPLATES } from "../accounts/vaults.ts";
import { lastScanned } from "../spend/blocks.ts";
import { depositsOf } from "../spend/coins.ts";
import { flagsOf } from "../spend/flags.ts";
import { BODY_BYTES_MAX, printable, unknown } from "./body.ts";
import { type CeremonyApiParts, ceremonyRoutes } from "./ceremonies.ts";
import { type IntentApiParts, intentRoutes } from "./intents.ts";
import { problemOf, sendProblem } from "./problem.ts";
import { type RotationApiParts, rotationRoutes } from "./rotation.ts";
import { ownRoutes, type StationApiParts, stationRoutes } from "./stations.ts";
import { type StatusParts, statusReport, unreadiness } from "./status.ts";
import { PAGE_SECURITY_POLICY, statusPage } from "./status-page.ts";
import { vaultRoutes } from "./vaults.ts";

export interface ApiParts
  extends StatusParts,
    IntentApiParts,
    StationApiParts,
    CeremonyApiParts,
    RotationApiParts {
  readonly accounts: Accounts;
  /** At least 32 characters; whoever knows it may raise withdrawals, and sign none. */
  readonly token: string;
  /** 0 takes a free port. */
  readonly port: number;
}

export interface Api {
  readonly url: string;
  readonly close: () => Promise<void>;
}

/** Plain HTTP with a token: where only this machine hears it. */
const HOST = "127.0.0.1";
/** A slow client holds a connection no longer than this. */
const REQUEST_MS_MAX = 30_000;
/** On loopback headers come at once. */
const HEADERS_MS_MAX = 5_000;
const CONNECTIONS_MAX = 256;

export async function serveApi(parts: ApiParts): Promise<Api> {
  const server = createServer({ connectionsCheckingInterval: 1_000 }, apiOf(parts));
  server.requestTimeout = REQUEST_MS_MAX;
  server.headersTimeout = HEADERS_MS_MAX;
  server.maxConnections = CONNECTIONS_MAX;
  await listen(server, parts.port);
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://${HOST}:${port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeIdleConnections();
      }),
  };
}

/** The report proves the whole book: one look serves all who ask within this time. */
const REPORT_MS = 1_000;

/** One piece of work for all callers within `ms`; a failed one is not kept. */
function sharedFor<Value>(ms: number, work: () => Promise<Value>): () => Promise<Value> {
  let last: { readonly value: Promise<Value>; readonly until: number } | null = null;
  return () => {
    const now = performance.now();
    if (last !== null && now < last.until) return last.value;
    const value = work();
    last = { value, until: now + ms };
    value.catch(() => {
      last = null;
    });
    return value;
  };
}

function apiOf(parts: ApiParts): express.Express {
  const { accounts, log } = parts;
  const report = sharedFor(REPORT_MS, () => statusReport(parts));
  const app = express();
  app.disable("x-powered-by");
  app.use(ownHostOnly);
  app.get("/livez", (_request, response) => {
    response.json({ alive: true });
  });
  app.get("/readyz", async (_request, response) => {
    const reasons = await unreadiness(parts);
    response
      .status(reasons.length === 0 ? 200 : 503)
      .json({ ready: reasons.length === 0, reasons });
  });
  // Figures for whoever sits at this machine; nothing here changes anything or is a secret.
  app.get("/", async (_request, response) => {
    response
      .set("content-security-policy", PAGE_SECURITY_POLICY)
      .set("cache-control", "no-store")
      .set("referrer-policy", "no-referrer")
      .set("x-content-type-options", "nosniff")
      .type("html")
      .send(statusPage(await statusReport(parts)));
  });
  // Stations have tokens of their own, which open nothing below.
  app.use("/v1/station", ownRoutes(parts, BODY_BYTES_MAX));
  // Before a byte of a body is read.
  app.use(bearer(parts.token));
  app.use(express.json({ limit: BODY_BYTES_MAX, strict: true }));
  app.use(stationRoutes(parts));
  app.use(ceremonyRoutes(parts));
  app.use(rotationRoutes(parts));
  app.use(intentRoutes(parts));
  app.use(vaultRoutes(parts));

  app.get("/v1/status", async (_request, response) => {
    response.json(await report());
  });
  app.post("/v1/accounts", async (request, response) => {
    const outcome = await accounts.begin(accountBody.parse(request.body));
    await answerAccount(parts, response, outcome);
  });
  app.post("/v1/accounts/:id/proofs", async (request, response) => {
    const outcome = await accounts.complete(request.params.id, proofsBody.parse(request.body));
    if (outcome === null) return unknown(response, "account");
    await answerAccount(parts, response, outcome);
  });
  app.get("/v1/accounts/:id", async (request, response) => {
    const account = await accounts.find(request.params.id);
    if (account === null) return unknown(response, "account");
    response.json(await accountView(parts, account));
  });
  app.use((_request, response) => {
    sendProblem(response, { code: "not-found", detail: "there is no such page" });
  });
  app.use((error: unknown, request: Request, response: Response, _next: NextFunction) => {
    const { problem, status } = problemOf(error);
    if (problem.code === "internal" || problem.code === "unavailable") {
      const reason = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
      log.error({ path: request.path, reason }, "request failed");
    }
    sendProblem(response, problem, status);
  });
  return app;
}

/** An account key with its origin takes some 160 characters. */
const KEY_CHARACTERS_MAX = 300;

const accountBody = z.strictObject({
  name: printable(ACCOUNT_NAME_CHARACTERS_MAX),
  userKey: z.string().max(KEY_CHARACTERS_MAX),
  trusteeKey: z.string().max(KEY_CHARACTERS_MAX),
  template: z.enum(VAULT_TEMPLATES).optional(),
});

const proof = z.string().regex(POSSESSION_PROOF, "must be a signature of 64 or 65 bytes in hex");
const proofsBody = z.strictObject({ user: proof, trustee: proof });

async function answerAccount(
  parts: ApiParts,
  response: Response,
  outcome: AccountOutcome,
): Promise<void> {
  if (outcome.kind === "done") {
    const { account, fresh } = outcome;
    if (fresh) parts.log.info({ account: account.id, state: account.state }, "account moved");
    response.status(fresh ? 201 : 200).json(await accountView(parts, account));
    return;
  }
  const [detail = ""] = outcome.reasons;
  const code = outcome.code === "conflict" ? "conflict" : "refused";
  sendProblem(response, { code, detail, reasons: outcome.reasons });
}

async function accountView({ store }: ApiParts, account: Account) {
  const balances = await balancesOf(store.db, account.id);
  const height = (await lastScanned(store.db))?.height ?? 0;
  const deposits = await depositsOf(store.db, account.id);
  return {
    ...account,
    balances: {
      availableSats: String(balances.available),
      reservedSats: String(balances.reserved),
    },
    deposits: deposits.map((coin) => ({
      outpoint: coin.outpoint,
      sats: String(coin.sats),
      state: coin.state,
      origin: coin.origin,
      flags: flagsOf(coin),
      height: coin.height,
      confirmations: coin.height === null ? 0 : height - coin.height + 1,
      spentBy: coin.spentBy,
    })),
  };
}

/** A page of a stranger may point its own name at this machine (DNS rebinding): not with us. */
function ownHostOnly(request: Request, response: Response, next: NextFunction): void {
  const host = (request.get("host") ?? "").replace(/:[0-9]+$/, "");
  if (host === HOST || host === "localhost") next();
  else sendProblem(response, { code: "wrong-host", detail: `this is not ${host}` });
}

function bearer(token: string) {
  const wanted = digest(`Bearer ${token}`);
  return (request: Request, response: Response, next: NextFunction): void => {
    // Hashes are compared, so that neither content nor length shows in the time taken.
    if (timingSafeEqual(digest(request.get("authorization") ?? ""), wanted)) {
      next();
      return;
    }
    response.set("www-authenticate", "Bearer");
    sendProblem(response, { code: "unauthorized", detail: "the API wants its bearer token" });
  };
}

function digest(value: string): Uint8Array {
  return createHash("sha256").update(value).digest();
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, HOST, () => resolve());
  });
}
