/**
 * An orchestrator to be killed: the real one over a configuration file, but that its LSP is a key of
 * software in the same process, which a test of deposits never asks to sign.
 */
import { readConfig, readSecretFile } from "../../orchestrator/config.ts";
import { systemClock } from "../../orchestrator/io/clock.ts";
import { openLog } from "../../orchestrator/log.ts";
import { openOrchestrator } from "../../orchestrator/orchestrator.ts";
import { softwareLsp } from "../orchestrator/holders.ts";

const config = readConfig(process.argv[2] ?? "");
const token = readSecretFile(config.token);
const { url } = await openOrchestrator({
  config,
  signer: softwareLsp("victim"),
  describeSigner: async () => ({
    ...{ name: "software lsp", role: "lsp", custody: "software", paused: false },
    policy: { name: "none", version: 1, hash: "00" },
  }),
  token,
  clock: systemClock,
  log: openLog({ level: config.log_level, secrets: [token] }),
});
process.stdout.write(`${JSON.stringify({ event: "ready", url })}\n`);
// Whoever started it closes the pipe when it ends, however it ends.
process.stdin
  .resume()
  .once("end", () => process.exit(0))
  .once("close", () => process.exit(0));
