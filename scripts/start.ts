/**
 * Starts the whole system on a private regtest chain and plays the tour once. stdout carries the
 * result, stderr the progress.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { MissingPartError, type PersonFiles, provision } from "./provision.ts";
import { RegtestError, startRegtest } from "./regtest.ts";
import { type Service, startService } from "./service.ts";
import { tellTour } from "./tour/story.ts";
import { playTour, type Tour } from "./tour/tour.ts";

/** Where the services are, start after start. */
const PORTS = { signer: 38_471, api: 38_470 };

/** It stands with the tests, because it guards nothing. */
const EMULATOR = join(import.meta.dirname, "../test/support/ledger-app/main.ts");

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
    let signer = await service("signer", system.signerConfig);
    running.push({ name: "the LSP's signer", stop: () => signer.stop() });
    say(`starting the orchestrator; custody of the LSP's keys: ${signer.ready["custody"]}`);
    const api = await service("orchestrator", system.orchestratorConfig);
    running.push({ name: "the orchestrator", stop: api.stop });

    const file = join(data, "tour.json");
    const kept = existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as Partial<Tour>) : {};
    // A record of before there was a recovery is no whole tour: it is played on.
    const record = kept.recovery === undefined ? null : (kept as Tour);
    if (record !== null) {
      say(`the tour was played on ${record.played}; this is its record`);
      say("(another --data folder plays it anew)");
    }
    async function withoutLsp<Value>(work: () => Promise<Value>): Promise<Value> {
      say("stopping the LSP's signer: from here on it is gone");
      await signer.stop();
      const value = await work();
      signer = await service("signer", system.signerConfig);
      say("the LSP's signer is back");
      return value;
    }
    async function played(): Promise<Tour> {
      const { user, trustee } = system.people;
      const devices = { user: await device(user), trustee: await device(trustee) };
      return await playTour({ node, system, api: api.url, devices, withoutLsp, say });
    }
    const tour = record
      ? { ...record, statusPage: `${api.url}/` }
      : await Promise.race([played(), stopped.then(() => null)]);
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

  /** A person's Ledger, emulated, as a process of its own; says its port. */
  async function device({ name, seed, home }: PersonFiles): Promise<number> {
    const emulator = await startService({
      name: `the ${name}'s emulated Ledger`,
      command: [EMULATOR, "--seed-file", seed, "--with-parent"],
      log: join(home, "device-log"),
    });
    running.push({ name: `the ${name}'s emulated Ledger`, stop: emulator.stop });
    return Number(emulator.ready["port"]);
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
