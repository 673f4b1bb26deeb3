/** A signer as a process of its own, over a software key, asked through its remote client. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { PolicyDocument } from "../../policies/document/policy.ts";
import { type Service, startService } from "../../scripts/service.ts";
import { createJournal } from "../../signer/journal-file.ts";
import { openRemoteSigner, type RemoteSigner } from "../../signer/service/remote.ts";
import { lspKeyFile } from "./signer-room.ts";
import { ACCESS, CERTIFICATES, CLIENTS, tlsOf } from "./tls-door.ts";

export interface SignerProcess {
  readonly url: string;
  readonly remote: RemoteSigner;
  readonly journal: string;
  readonly mirror: string;
  readonly pid: number;
  readonly stop: () => Promise<void>;
}

const MAIN = join(import.meta.dirname, "..", "..", "signer", "main.ts");
/** Of the heads of the decision log; no key of any vault. */
export const AUDIT_SECRET = "a5".repeat(32);

/** Provisions in an empty folder and starts: the key is that of `USER_VAULT`'s LSP. */
export async function startSigner(options: {
  readonly folder: string;
  readonly policy: PolicyDocument;
  readonly node: { readonly url: string; readonly cookieFile: string };
}): Promise<SignerProcess> {
  const { folder, policy, node } = options;
  const write = (name: string, content: string) => {
    const file = join(folder, name);
    writeFileSync(file, content, { mode: 0o600 });
    return file;
  };
  const journal = join(folder, "journal.db");
  const mirror = join(folder, "high-water.json");
  createJournal({ file: journal, network: "regtest", role: "lsp", mirror });
  const config = {
    format: "ballast/signer@1",
    name: "lsp",
    policy: write("policy.json", JSON.stringify(policy)),
    journal,
    mirror,
    audit_key: write("audit.key", AUDIT_SECRET),
    key: `software:${lspKeyFile(folder)}`,
    node: { url: node.url, cookie: node.cookieFile },
    tls: { ca: CERTIFICATES.ca, cert: CERTIFICATES.server.cert, key: CERTIFICATES.server.key },
    clients: CLIENTS,
    rate: ACCESS.rate,
    requests: join(folder, "requests.db"),
  };
  const service: Service = await startService({
    name: "the signer",
    command: [MAIN, "--config", write("signer.json", JSON.stringify(config)), "--with-parent"],
    log: join(folder, "signer.log"),
  });
  const remote = await openRemoteSigner({ url: service.url, tls: tlsOf("orchestrator") });
  return { url: service.url, remote, journal, mirror, pid: service.pid, stop: service.stop };
}
