import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { ConfigError, ROLE_NAMES, readConfig, readSecretFile } from "../../orchestrator/config.ts";
import { temporaryFolder } from "../support/node.ts";

const folder = temporaryFolder();
const MAIN = join(import.meta.dirname, "../../orchestrator/main.ts");

const NODE = 'node: { url: "http://127.0.0.1:18443", cookie: /tmp/.cookie }';
const GOOD = `
format: ballast/orchestrator@1
network: regtest
store: /tmp/ballast.sqlite
${NODE}
signer: { url: "https://127.0.0.1:7001", tls: { ca: /tmp/ca.pem, cert: /tmp/o.pem, key: /tmp/o.key } }
token: /tmp/api.token
fees: { sat_per_vbyte_min: 1.5, sat_per_vbyte_max: 200 }
`;

function read(text: string) {
  const file = join(folder(), "config.yaml");
  writeFileSync(file, text);
  return readConfig(file);
}

function faultOf(text: string): string {
  try {
    read(text);
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  return "";
}

function run(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ["--import", "tsx", MAIN, ...args],
    { encoding: "utf8", cwd: join(import.meta.dirname, "../..") },
  );
  return { status, stdout, stderr };
}

describe("the configuration", () => {
  it("has defaults for what need not be said", () => {
    expect(read(GOOD)).toMatchObject({
      port: 0,
      confirmations: { external: 3, own: 3 },
      deposit_min_sats: 1_000n,
      roles: ROLE_NAMES,
      fees: { sat_per_vbyte_min: 1_500n, sat_per_vbyte_max: 200_000n, target_blocks: 6 },
      ceremonies: { hours: 72, reminders_bps: [5_000, 7_500, 9_000] },
      webhooks: { allow_private: false, hosts: [], ports: [443, 8443], attempts_max: 36 },
      metrics: { open: false },
    });
  });

  it("has no prices unless it says so, and all sources of dollars if it says no more", () => {
    expect(read(GOOD).prices).toBeUndefined();
    const { prices } = read(`${GOOD}prices: {}\n`);
    expect(prices).toMatchObject({ currencies: ["USD"], method: "consensus" });
    expect(faultOf(`${GOOD}prices: { sources: [{ name: okx }] }\n`)).toContain(
      "prices.sources: USD has 1 sources for consensus, fewer than 2",
    );
  });

  it.each([
    ["2", { external: 2, own: 2 }],
    ["{ external: 4 }", { external: 4, own: 1 }],
    ["{ external: 4, own: 4 }", { external: 4, own: 4 }],
  ])("takes confirmations by source: %s", (text, confirmations) => {
    expect(read(`${GOOD}confirmations: ${text}\n`)).toMatchObject({ confirmations });
  });

  it("takes an Esplora server in the place of a node", () => {
    const esplora = "https://esplora.example/api";
    const node = `node: { esplora: "${esplora}" }`;
    expect(read(GOOD.replace(NODE, node)).node).toEqual({ esplora });
  });

  it.each([
    [
      "two nodes",
      GOOD.replace("cookie:", "esplora: https://e.example, cookie:"),
      "node: has `url`",
    ],
    ["no node", GOOD.replace(NODE, "node: {}"), "node: has `url`"],
    [
      "an Esplora of files",
      GOOD.replace(NODE, 'node: { esplora: "file:///e" }'),
      "node.esplora: Invalid URL",
    ],
    ["an unknown key", `${GOOD}confirmatons: 2\n`, "confirmatons"],
    ["a key that stands twice", `${GOOD}network: signet\n`, "unique"],
    ["a relative path", GOOD.replace("store: /tmp/", "store: "), "store: must be an absolute path"],
    ["no confirmations", `${GOOD}confirmations: 0\n`, "confirmations"],
    ["own at the mempool", `${GOOD}confirmations: { own: 0 }\n`, "confirmations"],
    ["own above", `${GOOD}confirmations: { external: 3, own: 4 }\n`, "own is above external"],
    ["an unknown role", `${GOOD}roles: [deposits, mint]\n`, "roles"],
    ["fees upside down", GOOD.replace("1.5", "300"), "fees: sat_per_vbyte_min is above"],
    ["a rate with four decimals", GOOD.replace("1.5", "1.5001"), "three decimals"],
    ["reminders that do not ascend", `${GOOD}ceremonies: { reminders_bps: [9, 5] }\n`, "ascend"],
    ["a reminder at the deadline", `${GOOD}ceremonies: { reminders_bps: [10000] }\n`, "reminders"],
    ["a ceremony of no time", `${GOOD}ceremonies: { hours: 0 }\n`, "hours"],
    ["a webhook to port 0", `${GOOD}webhooks: { ports: [0] }\n`, "webhooks.ports"],
    ["webhooks that are never tried", `${GOOD}webhooks: { attempts_max: 0 }\n`, "attempts_max"],
    ["webhooks without a pace", `${GOOD}webhooks: { per_minute: 0 }\n`, "per_minute"],
    ["an unknown wish for metrics", `${GOOD}metrics: { opn: true }\n`, "opn"],
    ["no document", "", "document"],
  ])("refuses %s", (_, text, words) => {
    expect(faultOf(text)).toContain(words);
  });

  it("lists every fault at once", () => {
    const fault = faultOf(`${GOOD}confirmations: 0\nport: -1\n`);
    expect(fault).toContain("confirmations");
    expect(fault).toContain("port");
  });

  it("refuses a secret that can be guessed, and never repeats it", () => {
    const file = join(folder(), "short.secret");
    writeFileSync(file, "hunter2");
    expect(() => readSecretFile(file)).toThrow("fewer than 32 characters");
    expect(() => readSecretFile(file)).not.toThrow("hunter2");
  });
});

describe("the process", () => {
  it("says how it is used", () => {
    expect(run("--help")).toMatchObject({ status: 0, stderr: "" });
    expect(run()).toMatchObject({ status: 2 });
  });

  it("does not start on a configuration with a fault, and says which", () => {
    const file = join(folder(), "bad.yaml");
    writeFileSync(file, `${GOOD}colour: blue\n`);
    const { status, stdout, stderr } = run("--config", file);
    expect([status, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(/^orchestrator cannot start: .*colour.*\n$/);
  });
});
