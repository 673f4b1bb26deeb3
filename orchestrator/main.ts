/**
 * The orchestrator's own process: `tsx orchestrator/main.ts --config FILE`. It prints one JSON line
 * when it listens, logs to stderr, and stops on SIGINT or SIGTERM after what is under way.
 */
import { parseArgs } from "node:util";
import {
  openRemoteSigner,
  type RemoteSigner,
  RemoteSignerError,
  type RemoteSignerOptions,
} from "../signer/service/remote.ts";
import { ConfigError, readConfig, readSecretFile, readTls } from "./config.ts";
import { systemClock } from "./io/clock.ts";
import { type Log, openLog } from "./log.ts";
import { openOrchestrator } from "./orchestrator.ts";

const HELP = `usage: orchestrator/main.ts --config FILE [--with-parent]

Runs the orchestrator: accounts, deposits, withdrawals, and the API with its
status page. It holds no key: it asks the LSP's signer, which may refuse. FILE
is a ballast/orchestrator@1 document in YAML or JSON; see orchestrator/README.md.
--with-parent stops it when its standard input ends.

When it listens, it prints one line: {"event":"ready","url":"http://…"}
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
  const config = readConfig(values.config);
  const token = readSecretFile(config.token);
  const log = openLog({ level: config.log_level, secrets: [token] });
  const { url, tls } = config.signer;
  const signer = await reachSigner({ url, tls: readTls(tls) }, log);
  if (signer.role !== "lsp") {
    throw new ConfigError(`signer ${signer.name} holds a key of the ${signer.role}, not the LSP's`);
  }
  const orchestrator = await openOrchestrator({
    config,
    signer,
    describeSigner: signer.status,
    token,
    clock: systemClock,
    log,
  });
  log.info({ url: orchestrator.url, signer: signer.name }, "orchestrator ready");
  process.stdout.write(`${JSON.stringify({ event: "ready", url: orchestrator.url })}\n`);

  let stopping = false;
  const stop = async () => {
    if (stopping) return;
    stopping = true;
    await orchestrator.close();
    log.info({}, "orchestrator stopped");
  };
  process.once("SIGINT", () => void stop());
  process.once("SIGTERM", () => void stop());
  // A parent that dies without a word closes our standard input.
  if (values["with-parent"])
    process.stdin
      .once("close", () => void stop())
      .resume()
      .unref();
}

/** A signer with a token takes some seconds to start; both may have been started together. */
const SIGNER_WAIT_MS_MAX = 30_000;
const SIGNER_RETRY_MS = 500;

async function reachSigner(options: RemoteSignerOptions, log: Log): Promise<RemoteSigner> {
  const deadline = performance.now() + SIGNER_WAIT_MS_MAX;
  for (;;) {
    try {
      return await openRemoteSigner(options);
    } catch (error) {
      const passing = error instanceof RemoteSignerError && error.passing;
      if (!passing || performance.now() > deadline) throw error;
      log.info({ url: options.url }, "waiting for the signer");
      await new Promise((resolve) => setTimeout(resolve, SIGNER_RETRY_MS));
    }
  }
}

main().catch((error: unknown) => {
  // For the person who started it: no stack, no configuration values.
  const reason = error instanceof Error ? error.message : String(error);
  process.stderr.write(`orchestrator cannot start: ${reason}\n`);
  process.exit(1);
});
