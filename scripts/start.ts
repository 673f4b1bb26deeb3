/**
 * Starts the whole system on a private regtest chain and plays the tour once. stdout carries the
 * result, stderr the progress.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { MissingPartError, provision } from "./provision.ts";
import { RegtestError, startRegtest } from "./regtest.ts";
import { type Service, startService } from "./service.ts";
import { playTour, type Tour, tellTour } from "./tour.ts";

/** Where the services are, start after start. */
const PORTS = { signer: 38_471, api: 38_470 };

const began = Date.now();

function say(line: string): void {
  const seconds = String(Math.floor((Date.now() - began) / 1000)).padStart(3);
  process.stderr.write(`[${seconds}s] ${line}\n`);
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      json: { type: "boolean", default: false },
      exit: { type: "boolean", default: false },
      data: { type: "string" },
    },
  });
  const data = resolve(values.data ?? join(import.meta.dirname, "..", ".ballast"));
  mkdirSync(data, { recursive: true, mode: 0o700 });
  /** In the order of their start; stopped in reverse. */
  const running: { readonly name: string; readonly stop: () => Promise<void> }[] = [];
  const stopped = stopOnSignal();

  try {
    say("starting bitcoind on regtest");
    const node = await startRegtest({ dataDir: join(data, "node") });
    running.push({ name: "bitcoind", stop: node.stop });
    const ports = await portsFor();
    const system = await provision({ data, node, ports });
    say("starting the LSP's signer on its token, as its own process");
    const signer = await service("signer", system.signerConfig);
    running.push({ name: "the LSP's signer", stop: signer.stop });
    say(`starting the orchestrator; custody of the LSP's keys: ${signer.ready["custody"]}`);
    const api = await service("orchestrator", system.orchestratorConfig);
    running.push({ name: "the orchestrator", stop: api.stop });

    const file = join(data, "tour.json");
    const record = existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as Tour) : null;
    if (record !== null) {
      say(`the tour was played on ${record.played}; this is its record`);
      say("(another --data folder plays it anew)");
    }
    const tour = record
      ? { ...record, statusPage: `${api.url}/` }
      : await Promise.race([
          playTour({ node, system, api: api.url, say }),
          stopped.then(() => null),
        ]);
    if (tour === null) return;
    writeFileSync(file, `${JSON.stringify(tour, null, 2)}\n`);
    process.stdout.write(values.json ? `${JSON.stringify(tour)}\n` : `${tellTour(tour)}\n`);
    if (values.exit) return;
    say(`the system runs; status page: ${api.url}/ (Ctrl-C stops it)`);
    const how = await Promise.race([
      stopped.then(() => null),
      signer.ended.then((why) => `the LSP's signer ended: ${why}`),
      api.ended.then((why) => `the orchestrator ended: ${why}`),
    ]);
    if (how !== null) throw new MissingPartError(how);
  } finally {
    for (const { name, stop } of running.reverse()) {
      say(`stopping ${name}`);
      await stop();
    }
  }

  function service(name: string, config: string): Promise<Service> {
    const main = join(import.meta.dirname, "..", name, "main.ts");
    const log = join(data, name, "log");
    return startService({ name, command: [main, "--config", config, "--with-parent"], log });
  }
}

/** The usual ports, so that the status page stays where it was; a free one where that is taken. */
async function portsFor(): Promise<typeof PORTS> {
  return { signer: await portOr(PORTS.signer), api: await portOr(PORTS.api) };
}

function portOr(usual: number): Promise<number> {
  const listen = (port: number) =>
    new Promise<number | null>((give) => {
      const server = createServer();
      server.once("error", () => give(null));
      server.listen(port, "127.0.0.1", () => {
        const address = server.address();
        server.close(() =>
          give(address === null || typeof address === "string" ? null : address.port),
        );
      });
    });
  return listen(usual).then(async (port) => port ?? (await listen(0)) ?? usual);
}

function stopOnSignal(): Promise<void> {
  return new Promise((done) => {
    process.once("SIGINT", () => done());
    process.once("SIGTERM", () => done());
  });
}

main().then(
  () => process.exit(process.exitCode ?? 0),
  (error: unknown) => {
    const expected = error instanceof MissingPartError || error instanceof RegtestError;
    const reason = error instanceof Error ? error.message : String(error);
    process.stderr.write(`start failed: ${reason}\n`);
    if (!expected && error instanceof Error) process.stderr.write(`${error.stack}\n`);
    process.exit(1);
  },
);
