/** SIGHUP: a signer's process takes another list of clients, and keeps the old one of a bad file. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type SignerProcess, startSigner } from "../support/signer-process.ts";
import { POLICY } from "../support/spend.ts";
import { ask, CERTIFICATES, CLIENTS, type Who } from "../support/tls-door.ts";

let folder: string;
let signer: SignerProcess;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "ballast-reload-"));
  // No spend is asked for, so no node is needed.
  const node = { url: "http://127.0.0.1:1", cookieFile: join(folder, "cookie") };
  signer = await startSigner({ folder, policy: POLICY, node });
});
afterAll(async () => {
  await signer?.stop();
  rmSync(folder, { recursive: true });
});

const file = () => join(folder, "signer.json");
const log = () => readFileSync(join(folder, "signer.log"), "utf8");
const status = async (as: Who) => (await ask(`${signer.url}/v1/status`, { as })).status;

/** Writes the configuration, signals, and waits for the word in the log. */
async function reload(text: string, word: string): Promise<void> {
  const before = log().split(word).length;
  writeFileSync(file(), text);
  process.kill(signer.pid, "SIGHUP");
  while (log().split(word).length === before) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

it("adds and takes away clients without a restart, and a bad file changes nothing", async () => {
  const original = readFileSync(file(), "utf8");
  expect([await status("auditor"), await status("stranger")]).toEqual([200, 403]);

  const config = JSON.parse(original);
  const certificate = CERTIFICATES.clients["stranger"]?.fingerprint;
  config.clients = [
    ...CLIENTS.filter(({ name }) => name !== "auditor"),
    { name: "stranger", certificate, role: "monitor" },
  ];
  await reload(JSON.stringify(config), "access read anew");
  expect([await status("auditor"), await status("stranger")]).toEqual([403, 200]);

  for (const bad of ["{", JSON.stringify({ ...config, clients: [{ name: "x" }] })]) {
    await reload(bad, "ALARM access not read anew");
    expect([await status("auditor"), await status("stranger")]).toEqual([403, 200]);
  }
  const twice = { ...config, clients: [...config.clients, ...config.clients] };
  await reload(JSON.stringify(twice), "ALARM access not read anew");
  expect(await status("stranger")).toBe(200);

  await reload(original, "access read anew");
  expect([await status("auditor"), await status("stranger")]).toEqual([200, 403]);
});
