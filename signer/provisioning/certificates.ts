/**
 * Certificates for the mutual TLS of one signer and its clients, by the program `openssl`: an
 * authority of its own, which signs nothing else. What is there already stays as it is.
 */
import { execFile } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";

export interface Identity {
  /** Paths of PEM files. */
  readonly cert: string;
  readonly key: string;
  /** SHA-256 of the certificate's DER, in hex: what a signer's list of clients names. */
  readonly fingerprint: string;
}

export interface Certificates {
  /** Path of the authority's certificate. */
  readonly ca: string;
  readonly server: Identity;
  readonly clients: Readonly<Record<string, Identity>>;
}

/** `openssl` is not here, or did not do it. */
export class CertificateError extends Error {
  override readonly name = "CertificateError";
}

const AUTHORITY_DAYS = 3650;
const LEAF_DAYS = 730;

/** Makes what is missing in `dir`; keys are their owner's alone. `names`: DNS names or addresses. */
export async function provisionCertificates(options: {
  readonly dir: string;
  readonly clients: readonly string[];
  readonly names?: readonly string[];
}): Promise<Certificates> {
  const { dir, clients, names = [] } = options;
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const ca = join(dir, "ca.pem");
  const caKey = join(dir, "ca.key");
  if (!existsSync(ca)) {
    await self({ cert: ca, key: caKey });
  }
  const leaf = (name: string, extensions: readonly string[]) =>
    issued({ dir, ca, caKey, name, extensions });
  const alternatives = ["localhost", "127.0.0.1", ...names].map(alternative).join(",");
  const server = await leaf("signer", [
    "extendedKeyUsage=serverAuth",
    `subjectAltName=${alternatives}`,
  ]);
  const made: Record<string, Identity> = {};
  for (const name of clients) made[name] = await leaf(name, ["extendedKeyUsage=clientAuth"]);
  return { ca, server, clients: made };
}

/** What a signer's list of clients names this certificate by. */
function fingerprint(pem: string): string {
  return new X509Certificate(pem).fingerprint256.replaceAll(":", "").toLowerCase();
}

const EC = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-sha256"] as const;
/** No configuration of the machine adds anything to what is asked here. */
const EMPTY_CONFIG = "[req]\ndistinguished_name=name\n[name]\n";

async function self({ cert, key }: Pick<Identity, "cert" | "key">): Promise<void> {
  await written({ cert, key }, (to, config) => [
    ...["req", "-x509", "-config", config, ...EC, "-days", String(AUTHORITY_DAYS)],
    ...["-subj", "/CN=ballast signer authority", "-keyout", to.key, "-out", to.cert],
    ...["-addext", "basicConstraints=critical,CA:TRUE,pathlen:0"],
    ...["-addext", "keyUsage=critical,keyCertSign,cRLSign"],
  ]);
}

async function issued(options: {
  readonly dir: string;
  readonly ca: string;
  readonly caKey: string;
  readonly name: string;
  readonly extensions: readonly string[];
}): Promise<Identity> {
  const { dir, ca, caKey, name, extensions } = options;
  if (!/^[a-z0-9][a-z0-9.-]{0,62}$/.test(name)) {
    throw new CertificateError(`"${name}" is no name of a client: a-z, 0-9, . and -`);
  }
  const files = { cert: join(dir, `${name}.pem`), key: join(dir, `${name}.key`) };
  if (!existsSync(files.cert)) {
    await written(files, (to, config) => [
      ...["req", "-x509", "-config", config, ...EC, "-days", String(LEAF_DAYS)],
      ...["-subj", `/CN=${name}`, "-CA", ca, "-CAkey", caKey],
      ...["-keyout", to.key, "-out", to.cert],
      ...["-addext", "basicConstraints=critical,CA:FALSE"],
      ...["-addext", "keyUsage=critical,digitalSignature"],
      ...extensions.flatMap((extension) => ["-addext", extension]),
    ]);
  }
  return { ...files, fingerprint: fingerprint(readFileSync(files.cert, "utf8")) };
}

/** The key first, the certificate last: where the certificate is, both are whole. */
async function written(
  files: Pick<Identity, "cert" | "key">,
  args: (to: Pick<Identity, "cert" | "key">, config: string) => readonly string[],
): Promise<void> {
  const to = { cert: `${files.cert}.new`, key: `${files.key}.new` };
  const config = `${files.cert}.config`;
  writeFileSync(config, EMPTY_CONFIG, { mode: 0o600 });
  // openssl creates keys readable by their owner alone; the file is here before it, to be sure.
  writeFileSync(to.key, "", { mode: 0o600 });
  try {
    await promisify(execFile)("openssl", [...args(to, config)]);
  } catch (error) {
    const missing = error instanceof Error && "code" in error && error.code === "ENOENT";
    const words = missing
      ? "is missing: install the package openssl"
      : "did not make a certificate";
    throw new CertificateError(`openssl ${words}`, { cause: error });
  } finally {
    rmSync(config, { force: true });
  }
  renameSync(to.key, files.key);
  renameSync(to.cert, files.cert);
}

function alternative(name: string): string {
  return /^[0-9.]+$|:/.test(name) ? `IP:${name}` : `DNS:${name}`;
}
