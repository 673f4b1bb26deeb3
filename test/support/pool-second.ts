/** Replays logs, a JSON array of them on standard input, and prints their states: another process. */
import { readFileSync } from "node:fs";
import { openReplay } from "../../orchestrator/pool/replay.ts";
import { stateHash } from "../../orchestrator/pool/state-hash.ts";

const logs: readonly string[] = JSON.parse(readFileSync(0, "utf8"));

function replayed(log: string): string {
  const replay = openReplay();
  for (const line of log.split("\n")) {
    const step = replay.take(line);
    if (step.kind === "difference") return step.detail;
  }
  const pool = replay.pool();
  return pool === null ? "an empty log" : stateHash(pool);
}

process.stdout.write(JSON.stringify(logs.map(replayed)));
