/**
 * The signer's own process: `tsx signer/main.ts --config FILE`. It prints one JSON line when it is
 * ready, logs to stderr, and stops on SIGINT or SIGTERM after the requests under way.
 */
import { parseArgs } from "node:util";
import { pino } from "pino";
import { readSecret, readSignerConfig } from "./config.ts";
import { openSigningRoom } from "./room.ts";
import { serveSigner } from "./service/server.ts";

const HELP = `usage: signer/main.ts --config FILE [--with-parent]

Runs one signer: it judges every request by its own policy, journal and node,
and signs only what they allow. FILE is a ballast/signer@1 document; see
signer/README.md. --with-parent stops it when its standard input ends.
SIGUSR2 pauses it for good: nothing leaves until the quorum of its policy agrees
(npx ballast journal resume --help).
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
  const config = readSignerConfig(values.config);
  const logger = pino({ name: config.name, base: { name: config.name } }, pino.destination(2));
  const log = (event: string, fields: Readonly<Record<string, unknown>>) => {
    if (event.startsWith("ALARM")) logger.error(fields, event);
    else logger.info(fields, event);
  };
  const room = await openSigningRoom(config, log);
  const secret = readSecret(config.secret);
  const server = await serveSigner({
    signer: room,
    status: room.status,
    secret,
    port: config.port,
    log,
  });
  const { custody, policy } = room.status();
  log("signer ready", { custody, policy: `${policy.name} v${policy.version}`, url: server.url });
  process.stdout.write(`${JSON.stringify({ event: "ready", url: server.url, custody })}\n`);

  let stopping = false;
  const stop = async () => {
    if (stopping) return;
    stopping = true;
    await server.close();
    await room.close();
    log("signer stopped", {});
  };
  process.once("SIGINT", () => void stop());
  process.once("SIGTERM", () => void stop());
  // The kill switch that needs no network and no secret: whoever may signal the process.
  process.on("SIGUSR2", () => room.pause());
  // A parent that dies without a word closes our standard input.
  if (values["with-parent"])
    process.stdin
      .once("close", () => void stop())
      .resume()
      .unref();
}

main().catch((error: unknown) => {
  // The first line is for the person who started it; no stack, no configuration values.
  const reason = error instanceof Error ? error.message : String(error);
  process.stderr.write(`signer cannot start: ${reason}\n`);
  process.exit(1);
});
