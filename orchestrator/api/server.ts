/**
 * The API: JSON over HTTP on loopback, with bearer tokens. Everything that changes something is
 * idempotent: asked again, it answers again. Sats are decimal strings, times ISO 8601.
 */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import express, { type NextFunction, type Request, type Response } from "express";
import type { AccountParts } from "../accounts/accounts.ts";
import { openGate } from "../doors/gate.ts";
import { addressLimit, LIMITS, type Limits } from "../doors/limits.ts";
import { proposalRoutes } from "../doors/proposal-routes.ts";
import { logOf, named } from "../doors/request-id.ts";
import { expressPath, type Route } from "../doors/route.ts";
import { tokenRoutes } from "../doors/token-routes.ts";
import { type CheckParts, checksOf } from "../health/checks.ts";
import { openHealth } from "../health/health.ts";
import { type MetricsParts, metricsRoutes } from "../health/metrics-route.ts";
import { type ServiceParts, serviceRoutes } from "../pulser/service-routes.ts";
import { userRoutes } from "../pulser/user-routes.ts";
import type { EndpointParts } from "../webhooks/endpoints.ts";
import { webhookRoutes } from "../webhooks/routes.ts";
import { type AccountApiParts, accountRoutes } from "./accounts.ts";
import { BODY_BYTES_MAX } from "./body.ts";
import { type CeremonyApiParts, ceremonyRoutes } from "./ceremonies.ts";
import { type IntentApiParts, intentRoutes } from "./intents.ts";
import { documentRoute } from "./openapi.ts";
import { problemOf, sendProblem } from "./problem.ts";
import { publicRoutes } from "./public.ts";
import { rotationRoutes } from "./rotation.ts";
import { standingRoutes } from "./standing.ts";
import { ownRoutes, stationOnly } from "./station-own.ts";
import { type StationApiParts, stationRoutes } from "./stations.ts";
import type { StatusParts } from "./status.ts";
import { vaultRoutes } from "./vaults.ts";

export interface ApiParts
  extends StatusParts,
    AccountParts,
    AccountApiParts,
    IntentApiParts,
    StationApiParts,
    CeremonyApiParts,
    ServiceParts,
    EndpointParts,
    CheckParts,
    MetricsParts {
  /** The first operator's: at least 32 characters. Whoever knows it may raise spends, and sign none. */
  readonly token: string;
  /** Two operators for what moves money or loosens; off on regtest alone where left out. */
  readonly dualControl?: boolean | undefined;
  readonly limits?: Limits | undefined;
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

/** Every route there is, in the order in which they are looked through. */
export function routesOf(parts: ApiParts): readonly Route[] {
  const health = openHealth({ checks: checksOf(parts), clock: parts.clock });
  const routes: readonly Route[] = [
    ...publicRoutes(parts, health),
    ...ownRoutes(parts),
    ...stationRoutes(parts),
    ...ceremonyRoutes(parts),
    ...rotationRoutes(parts),
    ...accountRoutes(parts),
    ...standingRoutes(parts),
    ...vaultRoutes(parts),
    ...intentRoutes(parts),
    ...tokenRoutes(parts),
    ...proposalRoutes(parts, () => routes),
    ...userRoutes(parts),
    ...serviceRoutes(parts, health),
    ...webhookRoutes(parts),
    ...metricsRoutes(parts, health),
    documentRoute(() => routes),
  ];
  return routes;
}

export function apiOf(parts: ApiParts): express.Express {
  const { limits = LIMITS } = parts;
  const gate = openGate({
    ...parts,
    limits,
    dualControl: parts.dualControl ?? parts.network !== "regtest",
    bodyBytesMax: BODY_BYTES_MAX,
    stationOnly: stationOnly(parts),
  });
  const app = express();
  app.disable("x-powered-by");
  app.disable("etag");
  app.use(named(parts.log));
  app.use(noted(parts));
  app.use(ownHostOnly);
  app.use(addressLimit(limits));
  for (const route of routesOf(parts)) {
    const paths = [route.path, ...(route.aliases ?? [])].map(expressPath);
    app[route.method](paths, ...gate.before(route), route.handle);
  }
  app.use("/v1/station", stationOnly(parts), noPage);
  app.use(gate.callerOnly, noPage);
  app.use((error: unknown, request: Request, response: Response, _next: NextFunction) => {
    const { problem, status } = problemOf(error);
    if (problem.code === "internal" || problem.code === "unavailable") {
      const reason = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
      logOf(response).error({ path: request.path, reason }, "request failed");
    }
    sendProblem(response, problem, status);
  });
  return app;
}

function noPage(_request: Request, response: Response): void {
  sendProblem(response, { code: "not-found", detail: "there is no such page" });
}

/** One line for each request, for whoever follows one through the log; and one more that is counted. */
function noted({ metrics }: Pick<ApiParts, "metrics">) {
  return (request: Request, response: Response, next: NextFunction): void => {
    const start = performance.now();
    const { method, path } = request;
    response.once("finish", () => {
      const status = response.statusCode;
      const ms = performance.now() - start;
      metrics?.request({ method, route: declared(request), status, ms });
      logOf(response).debug({ method, path, status, ms: Math.round(ms) }, "request answered");
    });
    next();
  };
}

/** The route's own path, whatever alias was asked; `none` is one of the few, for all that is none. */
function declared({ route }: Request): string {
  const [path] = [
    (route as { readonly path: string | readonly string[] } | undefined)?.path,
  ].flat();
  return path ?? "none";
}

/** A page of a stranger may point its own name at this machine (DNS rebinding): not with us. */
function ownHostOnly(request: Request, response: Response, next: NextFunction): void {
  const host = (request.get("host") ?? "").replace(/:[0-9]+$/, "");
  if (host === HOST || host === "localhost") next();
  else sendProblem(response, { code: "wrong-host", detail: `this is not ${host}` });
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, HOST, () => resolve());
  });
}
