/** A SoftHSM token of a test's own: made in a temporary folder, removed with it. */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { TokenNetwork } from "../../signer/pkcs11/blob.ts";
import { initKek, openSealedToken, type SealedToken } from "../../signer/pkcs11/sealed.ts";
import { findSoftHsm, provisionSoftHsm } from "../../signer/pkcs11/softhsm.ts";
import type { SupervisorLimits } from "../../signer/pkcs11/supervisor.ts";
import { parsePkcs11Uri } from "../../signer/pkcs11/uri.ts";
import type { RealPart } from "./real-part.ts";

export const SOFTHSM: RealPart = {
  name: "SoftHSM",
  missing: findSoftHsm() === null ? "install softhsm2 or set SOFTHSM2_MODULE" : null,
};

export interface LogLine {
  readonly event: string;
  readonly fields: Record<string, unknown>;
}

export interface SoftToken {
  readonly dir: string;
  readonly blobs: string;
  readonly pinFile: string;
  readonly latchFile: string;
  readonly uri: string;
  readonly env: { readonly SOFTHSM2_CONF: string };
  /** Everything the signer logged, over all of its openings. */
  readonly log: LogLine[];
  readonly logins: () => number;
  open(options?: OpenOptions): Promise<SealedToken>;
  initKek(): Promise<"made" | "existed">;
  /** What somebody else who knows the PIN does to the token, in a process of its own. */
  intrude(act: "extractable-key" | "imported-key" | "destroy-keys" | "second-key"): Promise<void>;
  remove(): Promise<void>;
}

export interface OpenOptions {
  readonly uri?: string;
  readonly network?: TokenNetwork;
  readonly limits?: Partial<SupervisorLimits>;
}

/** A token with no sealing key yet. */
export async function softToken(options?: { readonly maxSessions?: number }): Promise<SoftToken> {
  const dir = mkdtempSync(join(tmpdir(), "ballast-token-"));
  const { uri, env } = await provisionSoftHsm({ dir, label: "ballast-lsp", ...options });
  const { blobs, pinSource } = parsePkcs11Uri(uri);
  const log: LogLine[] = [];
  const opened: SealedToken[] = [];
  const write = (event: string, fields: Record<string, unknown>) =>
    void log.push({ event, fields });
  return {
    dir,
    blobs,
    pinFile: pinSource,
    latchFile: join(blobs, "pin-latch.json"),
    uri,
    env,
    log,
    logins: () => log.filter(({ event }) => event === "token login").length,
    async open(how = {}) {
      const token = await openSealedToken({ uri, env, network: "regtest", log: write, ...how });
      opened.push(token);
      return token;
    },
    initKek: () => initKek({ uri, env, network: "regtest", log: write }),
    async intrude(act) {
      const script = fileURLToPath(new URL("./token-intruder.ts", import.meta.url));
      const args = ["--import", "tsx", script, act, pinSource];
      await promisify(execFile)(process.execPath, args, { env: { ...process.env, ...env } });
    },
    async remove() {
      await Promise.all(opened.map((token) => token.close()));
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** A token that is ready to make accounts. */
export async function readyToken(options?: { readonly maxSessions?: number }): Promise<SoftToken> {
  const token = await softToken(options);
  await token.initKek();
  return token;
}
