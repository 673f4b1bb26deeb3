/**
 * A signer behind mutual TLS. Who asks is its certificate, checked before a byte of a body is read;
 * what is asked is judged by the guard alone.
 */
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import type { TLSSocket } from "node:tls";
import express, { type NextFunction, type Request, type Response } from "express";
import { type Client, mayReach, type Route } from "./clients.ts";
import { bad, ProblemError, problemOf, send, tooMany } from "./problem.ts";
import { openBuckets, type Rate } from "./rate.ts";
import { addRoutes, type RouteParts, routeOf } from "./routes.ts";
import { parseStrictJson } from "./strict-json.ts";
import { BODY_BYTES_MAX } from "./wire.ts";

/** PEM texts. */
export interface TlsIdentity {
  /** Of the authority that signs the certificates of clients. */
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** What may change while the server runs. */
export interface Access {
  readonly tls: TlsIdentity;
  readonly clients: readonly Client[];
  readonly rate: Rate;
}

export interface SignerServerOptions extends RouteParts {
  readonly access: Access;
  readonly host: string;
  /** 0 takes a free port. */
  readonly port: number;
}

export interface SignerServer {
  readonly url: string;
  /** Takes other certificates, clients and limits; requests under way go on. */
  readonly change: (access: Access) => void;
  readonly close: () => Promise<void>;
}

/** A signature of 250 inputs is done by then. */
const CLOSE_MS = 800;
/** A request that takes longer to arrive than this is no orchestrator's. */
const REQUEST_MS_MAX = 30_000;
/** Headers come at once; who sends half of them holds a connection no longer. */
const HEADERS_MS_MAX = 5_000;
const HANDSHAKE_MS_MAX = 5_000;
/** Longer than clients keep an idle connection, so that it is theirs to close: see remote.ts. */
const IDLE_MS_MAX = 65_000;
/** The files and sockets of the signer itself must never run out. */
const CONNECTIONS_MAX = 64;

export async function serveSigner(options: SignerServerOptions): Promise<SignerServer> {
  const { log } = options;
  let { access } = options;
  const buckets = openBuckets(() => access.rate);
  const app = express();
  app.disable("x-powered-by");
  app.disable("etag");

  app.use((request, response, next) => {
    const client = clientOf(request, access.clients);
    if (client === null) throw new ProblemError(unknownClient());
    const route = routeOf(request.method, request.path);
    if (route === null) throw new ProblemError(bad("not-found", WHAT_THERE_IS, 404));
    if (!mayReach(client, route)) throw new ProblemError(notAllowed(client, route));
    const wait = buckets.take(client.name, Date.now());
    if (wait !== null) throw new ProblemError(tooMany(wait));
    refuseBody(request);
    response.locals["client"] = client;
    next();
  });
  app.use(express.text({ limit: BODY_BYTES_MAX, type: "application/json", inflate: false }));
  app.use((request, _response, next) => {
    if (typeof request.body === "string") request.body = parseStrictJson(request.body);
    next();
  });
  addRoutes(app, options);
  app.use((error: unknown, request: Request, response: Response, _next: NextFunction) => {
    const said = problemOf(error);
    if (said.status >= 500) {
      // The name and the words of the fault; they carry no request and no secret.
      const reason = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
      log("request failed", { path: request.path, code: said.code, reason });
    }
    // What was not read yet is not waited for.
    if (!request.complete) response.set("Connection", "close");
    send(response, said);
  });

  const server = createServer(
    {
      ...access.tls,
      requestCert: true,
      rejectUnauthorized: true,
      minVersion: "TLSv1.3",
      handshakeTimeout: HANDSHAKE_MS_MAX,
      connectionsCheckingInterval: 1_000,
    },
    app,
  );
  server.requestTimeout = REQUEST_MS_MAX;
  server.headersTimeout = HEADERS_MS_MAX;
  server.keepAliveTimeout = IDLE_MS_MAX;
  server.maxConnections = CONNECTIONS_MAX;
  await listen(server, options);
  const { port } = server.address() as AddressInfo;
  return {
    url: `https://${options.host}:${port}`,
    change(changed) {
      server.setSecureContext({ ...changed.tls, minVersion: "TLSv1.3" });
      access = changed;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeIdleConnections();
        // Requests under way get their answer; who never ends one is not waited for.
        setTimeout(() => server.closeAllConnections(), CLOSE_MS).unref();
      }),
  };
}

function listen(server: Server, { host, port }: SignerServerOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => resolve());
  });
}

/** Fingerprints of open connections: the certificate of a connection never changes. */
const fingerprints = new WeakMap<TLSSocket, string>();

/** The client of this connection's certificate, as the list is now; TLS has checked the authority. */
function clientOf(request: Request, clients: readonly Client[]): Client | null {
  const socket = request.socket as TLSSocket;
  if (!socket.authorized) return null;
  const fingerprint =
    fingerprints.get(socket) ??
    (socket.getPeerCertificate().fingerprint256 ?? "").replaceAll(":", "").toLowerCase();
  fingerprints.set(socket, fingerprint);
  return clients.find(({ certificate }) => certificate === fingerprint) ?? null;
}

/** Before a byte of it is read. */
function refuseBody(request: Request): void {
  if (request.method === "GET") return;
  if (!request.is("application/json")) {
    throw new ProblemError(bad("body", "the body must be application/json", 415));
  }
  if (Number(request.get("content-length") ?? 0) > BODY_BYTES_MAX) {
    throw new ProblemError(bad("body", `the body has more than ${BODY_BYTES_MAX} bytes`, 413));
  }
}

const WHAT_THERE_IS = "see /openapi.json for what a signer can be asked";

function unknownClient() {
  return bad("unknown-client", "this signer does not know this certificate", 403);
}

function notAllowed({ name, role }: Client, route: Route) {
  return bad("not-allowed", `${name} is ${role}, which may not reach ${route}`, 403);
}
