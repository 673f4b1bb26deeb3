/** The configuration of a signer process: one strict document, so that a typo stops the start. */
import { readFileSync } from "node:fs";
import { isAbsolute } from "node:path";
import { parseDocument } from "yaml";
import { z } from "zod";
import { fromHex } from "../policies/bitcoin/hash.ts";
import { clientsSchema } from "./service/clients.ts";
import type { Access } from "./service/server.ts";

const path = z.string().refine(isAbsolute, { message: "must be an absolute path" });

const schema = z.strictObject({
  format: z.literal("ballast/signer@1"),
  /** For people, in logs and on status pages. */
  name: z.string().regex(/^[a-z0-9][a-z0-9.-]{0,62}$/),
  /** The law: a policy document. It names the network and the role. */
  policy: path,
  /** The signer's memory; made by provisioning, never by a start. */
  journal: path,
  /** The journal's high-water mark in a second place, best on another disk; see mirror.ts. */
  mirror: path.optional(),
  /**
   * Signs the heads of the decision log: a file with 64 hex digits, or `token` for the audit key of
   * the token that holds the account keys.
   */
  audit_key: z.union([path, z.literal("token")]).optional(),
  /** `pkcs11:…`, `ledger:…` or `software:…`. */
  key: z.string(),
  /** Added to the environment of a token's process, for libraries configured that way. */
  token_environment: z.record(z.string(), z.string()).default({}),
  /** The signer's own node; `since` in seconds since 1970: see watch.ts. */
  node: z.strictObject({
    url: z.url(),
    cookie: path.optional(),
    since: z.int().nonnegative().optional(),
  }),
  /** Files in PEM: the authority of the clients' certificates, and the signer's own. */
  tls: z.strictObject({ ca: path, cert: path, key: path }),
  /** Who may ask for what; see service/clients.ts. Read anew on SIGHUP, with `tls` and `rate`. */
  clients: clientsSchema,
  /** Requests of one client: so many at once, so many a second for long. */
  rate: z
    .strictObject({
      per_second: z.int().min(1).max(100_000),
      burst: z.int().min(1).max(100_000),
    })
    .default({ per_second: 500, burst: 1_000 }),
  /** What clients asked and what came of it; made where it is missing. See service/requests.ts. */
  requests: path,
  /** An address of this machine; another than loopback is reached from outside. */
  host: z.string().default("127.0.0.1"),
  /** 0 takes a free port. */
  port: z.int().min(0).max(65_535).default(0),
});

export type SignerConfig = z.output<typeof schema>;

export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

export function readSignerConfig(file: string): SignerConfig {
  const parsed = schema.safeParse(readDocument(file));
  if (parsed.success) return parsed.data;
  const reasons = parsed.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`);
  throw new ConfigError(`${file}: ${reasons.join("; ")}`);
}

/** YAML or JSON (which is YAML). Repeated keys are an error: the second would win unseen. */
export function readDocument(file: string): unknown {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "unknown";
    throw new ConfigError(`${file} cannot be read: ${code}`, { cause: error });
  }
  // The core schema has no tags that make objects; numbers stay as they are written.
  const document = parseDocument(text, { uniqueKeys: true, schema: "core", strict: true });
  const [fault] = [...document.errors, ...document.warnings];
  if (fault !== undefined) throw new ConfigError(`${file}: ${fault.message.split("\n")[0]}`);
  try {
    // Aliases could make a small file grow without bound.
    return document.toJS({ maxAliasCount: 0 });
  } catch {
    throw new ConfigError(`${file}: aliases (*name) are not read; write the values out`);
  }
}

/** The secret of the audit heads: 32 bytes in hex. */
export function readAuditKey(file: string): Uint8Array {
  const text = readFileSync(file, "utf8").trim();
  if (!/^[0-9a-f]{64}$/.test(text)) throw new ConfigError(`${file} does not hold 64 hex digits`);
  return fromHex(text);
}

/** What the service reads anew on SIGHUP. */
export function readAccess({ tls, clients, rate }: SignerConfig): Access {
  return {
    tls: { ca: readPem(tls.ca), cert: readPem(tls.cert), key: readPem(tls.key) },
    clients,
    rate,
  };
}

function readPem(file: string): string {
  try {
    const text = readFileSync(file, "utf8");
    if (text.includes("-----BEGIN ")) return text;
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "unknown";
    throw new ConfigError(`${file} cannot be read: ${code}`, { cause: error });
  }
  throw new ConfigError(`${file} is no PEM file`);
}
