/**
 * The signer's own process: `tsx signer/main.ts --config FILE`. It prints one JSON line when it is
 * ready, logs to stderr, and stops on SIGINT or SIGTERM after the requests under way.
 */
import { parseArgs } from "node:util";
import { pino } from "pino";
import { readAccess, readSignerConfig } from "./config.ts";
import { type Alarm, openMetrics } from "./metrics.ts";
import { openSigningRoom, type RoomLog, type SigningRoom } from "./room.ts";
import { openRequests } from "./service/requests.ts";
import { serveSigner } from "./service/server.ts";

const HELP = `usage: signer/main.ts --config FILE [--with-parent]

Runs one signer: it judges every request by its own policy, journal and node,
and signs only what they allow. FILE is a ballast/signer@1 document; see
signer/README.md. --with-parent stops it when its standard input ends.
SIGUSR2 pauses it for good: nothing leaves until the quorum of its policy agrees
(npx ballast journal resume --help). SIGHUP reads certificates, clients and
their limits anew, without a restart.
`;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      config: { type: "string" },
      "with-parent": { type: "boolean", default: false },
      help: { type: "boolean", short: "h" },
    },
  });
  if (values.help === true || values.config === undefined) {
    process.stdout.write(HELP);
    process.exitCode = values.help === true ? 0 : 2;
    return;
  }
  const file = values.config;
  const config = readSignerConfig(file);
  const logger = pino({ name: config.name, base: { name: config.name } }, pino.destination(2));
  const log = (event: string, fields: Readonly<Record<string, unknown>>) => {
    if (event.startsWith("ALARM")) logger.error(fields, event);
    else logger.info(fields, event);
  };
  const access = readAccess(config);
  const metrics = openMetrics({
    keyProcess: () => room?.key.process?.() ?? null,
    paused: () => room?.status().paused ?? false,
    now: () => Date.now(),
  });
  const counted: RoomLog = (event, fields) => {
    const alarm = ALARMS.get(event);
    if (alarm !== undefined) metrics.alarm(alarm);
    log(event, fields);
  };
  let room: SigningRoom | null = null;
  room = await openSigningRoom(config, counted, { stage: metrics.stage });
  const requests = openRequests(config.requests);
  const server = await serveSigner({
    ...{ signer: room, status: room.status, policy: room.policies, audit: room.audit },
    ...{ unready: room.unready, metrics, requests, access, log },
    ...{ host: config.host, port: config.port, now: () => Date.now() },
  });
  const { custody, policy } = room.status();
  log("signer ready", { custody, policy: `${policy.name} v${policy.version}`, url: server.url });
  process.stdout.write(`${JSON.stringify({ event: "ready", url: server.url, custody })}\n`);

  let stopping = false;
  const stop = async () => {
    if (stopping) return;
    stopping = true;
    await server.close();
    await room?.close();
    requests.close();
    metrics.close();
    log("signer stopped", {});
  };
  process.once("SIGINT", () => void stop());
  process.once("SIGTERM", () => void stop());
  // The kill switch that needs no network and no secret: whoever may signal the process.
  process.on("SIGUSR2", () => room?.pause());
  process.on("SIGHUP", () => {
    try {
      server.change(readAccess(readSignerConfig(file)));
      log("access read anew", {});
    } catch (error) {
      // What was good stays in force: a typo locks nobody out, and lets nobody in.
      log("ALARM access not read anew", { reason: reasonOf(error) });
    }
  });
  // A parent that dies without a word closes our standard input.
  if (values["with-parent"])
    process.stdin
      .once("close", () => void stop())
      .resume()
      .unref();
}

/** Alarms of the log that are counted, too: they must be zero. */
const ALARMS: ReadonlyMap<string, Alarm> = new Map([
  ["ALARM unverified signature", "unverified-signature"],
  ["ALARM token signature does not verify", "unverified-signature"],
  ["ALARM node set back", "rollback"],
]);

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

main().catch((error: unknown) => {
  // The first line is for the person who started it; no stack, no configuration values.
  const reason = reasonOf(error);
  process.stderr.write(`signer cannot start: ${reason}\n`);
  process.exit(1);
});
