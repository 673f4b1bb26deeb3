/** Certificates of the tests, made once a process, and requests that show one of them. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { request as httpsRequest } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PURPOSES } from "../../policies/intent.ts";
import { openMetrics } from "../../signer/metrics.ts";
import {
  type Certificates,
  provisionCertificates,
} from "../../signer/provisioning/certificates.ts";
import type { Client } from "../../signer/service/clients.ts";
import { openRequests } from "../../signer/service/requests.ts";
import {
  type Access,
  type SignerServer,
  type SignerServerOptions,
  serveSigner,
  type TlsIdentity,
} from "../../signer/service/server.ts";
import type { SignerRoom } from "./signer-room.ts";

const NAMES = ["orchestrator", "auditor", "monitor", "stranger"] as const;
export type Who = (typeof NAMES)[number];

const dir = mkdtempSync(join(tmpdir(), "ballast-tls-"));
process.once("exit", () => rmSync(dir, { recursive: true, force: true }));
export const CERTIFICATES: Certificates = await provisionCertificates({ dir, clients: NAMES });

/** Everybody but the stranger, whom the authority knows and the signer does not. */
export const CLIENTS: readonly Client[] = [
  client("orchestrator", PURPOSES),
  client("auditor"),
  client("monitor"),
];

function client(
  name: Exclude<Who, "stranger">,
  purposes: readonly Client["purposes"][number][] = [],
): Client {
  const certificate = CERTIFICATES.clients[name]?.fingerprint ?? "";
  return { name, certificate, role: name, purposes: [...purposes] };
}

export const ACCESS: Access = {
  tls: identity(CERTIFICATES.server),
  clients: CLIENTS,
  rate: { per_second: 100_000, burst: 100_000 },
};

function identity({ cert, key }: Certificates["server"]): TlsIdentity {
  const read = (file: string) => readFileSync(file, "utf8");
  return { ca: read(CERTIFICATES.ca), cert: read(cert), key: read(key) };
}

export function tlsOf(who: Who): TlsIdentity {
  const found = CERTIFICATES.clients[who];
  if (found === undefined) throw new Error(`no certificate of ${who}`);
  return identity(found);
}

/** An orchestrator of another authority. */
export const FOREIGN = await provisionCertificates({
  dir: join(dir, "foreign"),
  clients: ["orchestrator"],
});

/** A signer's server over a room of the tests; its requests are kept in memory. */
export async function serveRoom(
  room: Pick<SignerRoom, "signer" | "status" | "journal">,
  options: Partial<SignerServerOptions> = {},
): Promise<SignerServer> {
  const now = () => Date.now();
  const paused = () => room.journal.paused();
  return await serveSigner({
    ...{ signer: room.signer, status: room.status, access: ACCESS, now },
    policy: () => ({ inForce: { ...room.status().policy, document: {} } }),
    audit: (from, limit) => ({ ...room.journal.auditPage(from, limit), next: null }),
    unready: async () => (paused() ? ["it is paused"] : []),
    metrics: openMetrics({ keyProcess: () => null, paused, now }),
    requests: openRequests(":memory:"),
    ...{ host: "127.0.0.1", port: 0, log: () => undefined },
    ...options,
  });
}

export interface AskOptions {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  readonly as?: Who;
  readonly tls?: Partial<TlsIdentity> & { readonly maxVersion?: "TLSv1.2" };
}

/** `fetch` with a certificate; the answer is a Response like any other. */
export function ask(url: string, options: AskOptions = {}): Promise<Response> {
  const { method = "GET", headers = {}, body, as = "orchestrator", tls = tlsOf(as) } = options;
  return new Promise((resolve, reject) => {
    const asking = httpsRequest(url, { ...tls, method, headers, agent: false });
    asking.once("error", reject);
    asking.once("response", (response) => {
      const parts: Buffer[] = [];
      response.on("data", (part: Buffer) => parts.push(part));
      response.once("error", reject);
      response.once("end", () => {
        const pairs = Object.entries(response.headers).map(([key, value]) => [key, String(value)]);
        const init = { status: response.statusCode ?? 0, headers: pairs as [string, string][] };
        resolve(new Response(Buffer.concat(parts), init));
      });
    });
    asking.end(body);
  });
}
