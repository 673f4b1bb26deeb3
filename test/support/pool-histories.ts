/**
 * `npm run fuzz:pool -- --cases N [--seed S]`: random histories of a pool on the ledger and on the pool
 * of objects, and their logs in a second process. Ends with 1 at the first disagreement, made small.
 */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { parseArgs } from "node:util";
import fc from "fast-check";
import { history, runHistory, type Told, WANTED } from "./pool-history.ts";

const SECOND = join(import.meta.dirname, "pool-second.ts");
/** Logs that go to the second process at once. */
const BATCH = 1_000;

const { values } = parseArgs({
  options: {
    cases: { type: "string", default: "10000" },
    seed: { type: "string", default: String(Math.floor(Math.random() * 1_000_000_000)) },
  },
});
const [cases, seed] = [Number(values.cases), Number(values.seed)];
const tell = (line: string) => process.stdout.write(`${line}\n`);

/** The first log that comes to another state in another process, or null. */
function apart(told: readonly Told[]): string | null {
  const { stdout, status, stderr } = spawnSync(process.execPath, ["--import", "tsx", SECOND], {
    input: JSON.stringify(told.map(({ log }) => log)),
    encoding: "utf8",
    maxBuffer: 1 << 28,
  });
  if (status !== 0) return stderr;
  const states: readonly string[] = JSON.parse(stdout);
  return told.find(({ state }, i) => state !== states[i])?.log ?? null;
}

function main(): number {
  tell(`pool: ${cases} histories from seed ${seed}`);
  const seen = new Set<string>();
  for (let done = 0; done < cases; done += BATCH) {
    const told: Told[] = [];
    const result = fc.check(
      fc.property(history, (one) => {
        told.push(runHistory(one));
      }),
      { numRuns: Math.min(BATCH, cases - done), seed: seed + done },
    );
    if (result.failed) {
      tell(fc.defaultReportMessage(result) ?? "it failed without a word");
      return 1;
    }
    const log = apart(told);
    if (log !== null) {
      tell(`another process comes to another state:\n${log}`);
      return 1;
    }
    for (const one of told) for (const what of one.seen) seen.add(what);
    process.stderr.write(`pool: ${done + told.length} histories\n`);
  }
  const missing = WANTED.filter((what) => !seen.has(what));
  tell(missing.length === 0 ? "no disagreement" : `never seen: ${missing.join(", ")}`);
  return missing.length === 0 ? 0 : 1;
}

process.exitCode = main();
