/**
 * Makes what a private regtest system needs, once: token, journals, secrets, configurations. What is
 * there already stays as it is, so that an interrupted start goes on where it stopped.
 */
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createJournal } from "../signer/journal-file.ts";
import { createMirror } from "../signer/mirror.ts";
import { findSoftHsm, provisionSoftHsm } from "../signer/pkcs11/softhsm.ts";
import { initToken } from "../signer/pkcs11/token.ts";
import {
  type Certificates,
  type Identity,
  provisionCertificates,
} from "../signer/provisioning/certificates.ts";
import type { Regtest } from "./regtest.ts";

export interface Provisioned {
  /** Configuration files of the two services. */
  readonly signerConfig: string;
  readonly orchestratorConfig: string;
  /** The bearer token of the orchestrator's API. */
  readonly apiToken: string;
  /** The people of the tour, each with a station and an emulated Ledger. */
  readonly people: Readonly<Record<PersonName, PersonFiles>>;
}

export type PersonName = "user" | "trustee";

export interface PersonFiles {
  readonly name: PersonName;
  readonly home: string;
  /** What the emulated device's seed is made of: for trials only. */
  readonly seed: string;
  readonly journal: string;
  readonly policy: string;
  readonly identity: string;
  /** The station's token, once the operator has given it. */
  readonly token: string;
}

export interface StationPlaces {
  /** Where the emulated device answers. */
  readonly device: number;
  readonly node: Pick<Regtest, "url" | "cookieFile">;
  /** The orchestrator's URL; null as long as the station has no token. */
  readonly api: string | null;
}

/** Writes the configuration of a person's station, and says where it is. */
export function provisionStation(
  person: PersonFiles,
  { device, node, api }: StationPlaces,
): string {
  const { name, home, policy, journal, identity, token } = person;
  return write(join(home, "station.json"), {
    format: "ballast/station@1",
    ...{ name, policy, journal, identity },
    key: `ledger:emulator?port=${device}`,
    node: { url: node.url, cookie: node.cookieFile },
    ...(api !== null && { orchestrator: { url: api, token } }),
  });
}

/** A part that the machine lacks, with what to install. */
export class MissingPartError extends Error {
  override readonly name = "MissingPartError";
}

const NETWORK = "regtest";
const TOKEN_LABEL = "ballast-lsp";

/** The root of the project, where the policies are. */
const ROOT = join(import.meta.dirname, "..");

export interface ProvisionOptions {
  readonly data: string;
  readonly node: Regtest;
  /** Ports of the two services, kept from start to start. */
  readonly ports: { readonly signer: number; readonly api: number };
}

export async function provision({ data, node, ports }: ProvisionOptions): Promise<Provisioned> {
  if (findSoftHsm() === null) {
    throw new MissingPartError(
      "SoftHSM is missing: install the package softhsm2 (Debian, Ubuntu), softhsm (Fedora, Homebrew), then start again",
    );
  }
  const folder = (name: string) => {
    const path = join(data, name);
    mkdirSync(path, { recursive: true, mode: 0o700 });
    return path;
  };
  const signer = folder("signer");
  const token = await provisionSoftHsm({ dir: folder("token"), label: TOKEN_LABEL });
  await initToken({ uri: token.uri, network: NETWORK, env: token.env });
  once(join(signer, "journal.db"), (file) =>
    createJournal({ file, network: NETWORK, role: "lsp" }),
  );
  // On a private chain both lie on one disk; in earnest the mark belongs on another.
  const mirror = once(join(signer, "high-water.json"), createMirror);
  const certificates = await provisionCertificates({
    dir: folder("tls"),
    clients: ["orchestrator", "auditor", "monitor"],
  });
  const signerConfig = write(join(signer, "config.json"), {
    format: "ballast/signer@1",
    name: "lsp",
    policy: join(ROOT, "policies", "lsp.regtest.yaml"),
    journal: join(signer, "journal.db"),
    mirror,
    audit_key: "token",
    key: token.uri,
    token_environment: token.env,
    node: { url: node.url, cookie: node.cookieFile },
    tls: tlsFiles(certificates, certificates.server),
    clients: clientsOf(certificates),
    requests: join(signer, "requests.db"),
    port: ports.signer,
  });

  const orchestrator = folder("orchestrator");
  const apiToken = secret(join(orchestrator, "api-token"));
  const orchestratorConfig = write(join(orchestrator, "config.json"), {
    format: "ballast/orchestrator@1",
    network: NETWORK,
    store: join(orchestrator, "ballast.db"),
    node: { url: node.url, cookie: node.cookieFile },
    signer: {
      url: `https://127.0.0.1:${ports.signer}`,
      tls: tlsFiles(certificates, certificates.clients["orchestrator"]),
    },
    token: apiToken,
    port: ports.api,
    // One block is one confirmation on a chain that only we mine.
    confirmations: 1,
    fees: { sat_per_vbyte_min: 1, sat_per_vbyte_max: 100 },
    pace_ms: 200,
  });
  return {
    signerConfig,
    orchestratorConfig,
    apiToken: readFileSync(apiToken, "utf8").trim(),
    people: { user: person("user", folder), trustee: person("trustee", folder) },
  };
}

function tlsFiles({ ca }: Certificates, identity: Identity | undefined) {
  if (identity === undefined) throw new Error("BUG: no certificate was made");
  return { ca, cert: identity.cert, key: identity.key };
}

/** Each with the role of its name; the orchestrator may ask for what orchestrators here ask for. */
function clientsOf({ clients }: Certificates) {
  return Object.entries(clients).map(([name, { fingerprint }]) => ({
    ...{ name, certificate: fingerprint, role: name },
    ...(name === "orchestrator" && { purposes: ["withdrawal", "migration", "recovery-user-lost"] }),
  }));
}

function person(name: PersonName, folder: (name: string) => string): PersonFiles {
  const home = folder(name);
  return {
    ...{ name, home },
    seed: secret(join(home, "device-seed")),
    identity: secret(join(home, "identity")),
    journal: once(join(home, "journal.db"), (file) =>
      createJournal({ file, network: NETWORK, role: name }),
    ),
    policy: join(ROOT, "policies", `${name}.regtest.yaml`),
    token: join(home, "api-token"),
  };
}

function once(file: string, make: (file: string) => void): string {
  if (!existsSync(file)) make(file);
  return file;
}

/** 256 random bits, readable by the owner alone. */
function secret(file: string): string {
  return once(file, (path) =>
    writeFileSync(path, `${randomBytes(32).toString("hex")}\n`, { mode: 0o600, flag: "wx" }),
  );
}

function write(file: string, content: unknown): string {
  writeFileSync(file, `${JSON.stringify(content, null, 2)}\n`, { mode: 0o600 });
  return file;
}
