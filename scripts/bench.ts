/**
 * `npm run bench -- NAME`: one harness for all benches. Progress goes to stderr; stdout holds the
 * tables, or with --json one object. A missed aim fails nothing; a bench that did not measure what
 * it says ends with exit code 1.
 */
import { availableParallelism, cpus } from "node:os";
import { parseArgs } from "node:util";
import { apiBench } from "./bench/api.ts";
import { applianceBench } from "./bench/appliance.ts";
import { lawBench } from "./bench/law.ts";
import { ledgerBench } from "./bench/ledger.ts";
import { poolBench } from "./bench/pool.ts";
import { type Bench, BenchError, resultText } from "./bench/result.ts";
import { scanBench } from "./bench/scan.ts";
import { signBench } from "./bench/sign.ts";
import { RegtestError } from "./regtest.ts";

const BENCHES: readonly Bench[] = [
  signBench,
  lawBench,
  applianceBench,
  ledgerBench,
  scanBench,
  apiBench,
  poolBench,
];

/** More rounds than this need more blocks and coins than regtest's subsidy pays for. */
const ROUNDS_MAX = 200;

const USAGE = `usage: npm run bench -- NAME [--json] [--rounds N]
       npm run bench -- --list

  --json      one JSON object on stdout: {"name","rows","aims"}
  --rounds N  measured rounds, 1 to ${ROUNDS_MAX}; each bench has a sensible number of its own
  --list      the benches, one a line
  --help      this text`;

/** Asked for something that there is not. */
class UsageError extends Error {
  override readonly name = "UsageError";
}

process.exitCode = await main(process.argv.slice(2));

async function main(args: readonly string[]): Promise<number> {
  try {
    const asked = readArguments(args);
    switch (asked.kind) {
      case "help":
        console.log(USAGE);
        return 0;
      case "list":
        for (const { name, says } of BENCHES) console.log(`${name}  ${says}`);
        return 0;
      case "run":
        await run(asked);
        return 0;
      default:
        return asked satisfies never;
    }
  } catch (error) {
    if (error instanceof UsageError) {
      console.error(`${error.message}\n\n${USAGE}`);
      return 2;
    }
    if (error instanceof BenchError || error instanceof RegtestError) {
      console.error(`${error.name}: ${error.message}`);
      return 1;
    }
    throw error;
  }
}

type Asked =
  | { readonly kind: "help" }
  | { readonly kind: "list" }
  | {
      readonly kind: "run";
      readonly bench: Bench;
      readonly json: boolean;
      readonly rounds: number | null;
    };

function readArguments(args: readonly string[]): Asked {
  const { values, positionals } = parsed(args);
  if (values.help === true) return { kind: "help" };
  if (values.list === true) return { kind: "list" };
  const [name, ...more] = positionals;
  if (name === undefined || more.length > 0) throw new UsageError("name one bench");
  const bench = BENCHES.find((candidate) => candidate.name === name);
  if (bench === undefined) {
    throw new UsageError(`no bench "${name}": ${BENCHES.map((known) => known.name).join(", ")}`);
  }
  const rounds = values.rounds === undefined ? null : Number(values.rounds);
  if (rounds !== null && !(Number.isInteger(rounds) && rounds >= 1 && rounds <= ROUNDS_MAX)) {
    throw new UsageError(`--rounds takes a whole number from 1 to ${ROUNDS_MAX}`);
  }
  return { kind: "run", bench, json: values.json === true, rounds };
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        json: { type: "boolean" },
        list: { type: "boolean" },
        help: { type: "boolean", short: "h" },
        rounds: { type: "string" },
      },
    });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

async function run({ bench, json, rounds }: Extract<Asked, { kind: "run" }>): Promise<void> {
  const machine = machineText();
  const progress = (line: string) => console.error(`${bench.name}: ${line}`);
  progress(machine);
  const { rows, aims } = await bench.run({ rounds, progress });
  if (json) console.log(JSON.stringify({ name: bench.name, rows, aims }));
  else console.log(`${machine}\n\n${resultText({ rows, aims })}`);
}

function machineText(): string {
  const model = cpus()[0]?.model.trim() ?? "unknown processor";
  return `${availableParallelism()} cores, ${model}, Node ${process.version}, ${process.platform} ${process.arch}`;
}
