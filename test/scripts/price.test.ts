/** `ballast price` as a user calls it: a process that asks a local server, a table, exit codes. */
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { temporaryFolder } from "../support/node.ts";
import { openPriceServer, type PriceServer } from "../support/price-server.ts";

const ROOT = join(import.meta.dirname, "../..");
const folder = temporaryFolder();

let server: PriceServer;
beforeAll(async () => {
  server = await openPriceServer();
});
afterAll(() => server.close());

interface Run {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** The server answers from this process: it must not wait for the command. */
function ballast(...words: readonly string[]): Promise<Run> {
  return new Promise((resolve) => {
    const child = spawn(join(ROOT, "scripts/ballast"), words);
    let [stdout, stderr] = ["", ""];
    child.stdout.on("data", (text) => {
      stdout += text;
    });
    child.stderr.on("data", (text) => {
      stderr += text;
    });
    child.on("close", (status) => resolve({ status, stdout, stderr }));
  });
}

function configFile(): string {
  const names = ["kraken", "bitstamp", "coinbase"];
  const sources = names.map((name) => `{ name: ${name}, url: "${server.root(name)}" }`).join(", ");
  const file = join(folder(), "orchestrator.yaml");
  writeFileSync(
    file,
    `
format: ballast/orchestrator@1
network: regtest
store: /tmp/ballast.sqlite
node: { url: "http://127.0.0.1:18443" }
signer: { url: "https://127.0.0.1:7001", tls: { ca: /tmp/ca, cert: /tmp/c, key: /tmp/k } }
token: /tmp/api.token
fees: { sat_per_vbyte_min: 1, sat_per_vbyte_max: 200 }
prices: { currencies: [USD, EUR], sources: [${sources}] }
`,
  );
  return file;
}

describe("ballast price", () => {
  it("shows what each source says, what they agree on, and what is left out", async () => {
    server.prices.set("coinbase", "64123.45");
    server.prices.set("kraken", "84125");
    const { status, stdout } = await ballast(
      "price",
      "--config",
      configFile(),
      "--currency",
      "usd",
    );
    expect(stdout.trimEnd().split("\n")).toEqual([
      "kraken    84,125.00 USD  counts",
      "bitstamp  84,123.45 USD  counts",
      "coinbase  64,123.45 USD  over 5 % from the median",
      "consensus of 2: 84,124.22 USD",
    ]);
    expect(status).toBe(0);
  });

  it("prints all currencies of a configuration as JSON, and exits 4 where one has no price", async () => {
    server.prices.clear();
    server.prices.set("default", "84123.45");
    for (const name of ["kraken", "coinbase"]) {
      server.bends.set(name, (honest) => (honest.includes("EUR") ? "<html>" : honest));
    }
    const { status, stdout } = await ballast("price", "--config", configFile(), "--json");
    const reports: readonly { currency: string; trusted: unknown; reason: unknown }[] =
      JSON.parse(stdout);
    expect(reports.map(({ currency, trusted, reason }) => ({ currency, trusted, reason }))).toEqual(
      [
        {
          currency: "USD",
          trusted: {
            price: "8412345",
            currency: "USD",
            at: expect.stringMatching(/^[0-9]{13}$/),
            sources: ["bitstamp", "coinbase", "kraken"],
          },
          reason: null,
        },
        { currency: "EUR", trusted: null, reason: "1 of the 2 sources that must agree" },
      ],
    );
    expect(status).toBe(4);
  });

  it.each([
    { words: ["--currency", "XYZ"], says: "XYZ is none of USD" },
    { words: ["--config", "/nowhere/at/all.yaml"], says: "cannot be read: ENOENT" },
    { words: ["--loudly"], says: "unknown option" },
  ])("refuses $words", async ({ words, says }) => {
    const { status, stdout, stderr } = await ballast("price", ...words);
    expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
    expect(stderr).toContain(says);
  });
});
