/** `npx ballast pool …`: a stability pool, recomputed from its log alone. */
import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import type { Command } from "commander";
import { balanceOf, type Pool } from "../orchestrator/pool/pool.ts";
import { PoolLogError } from "../orchestrator/pool/pool-log.ts";
import { openReplay, type Step } from "../orchestrator/pool/replay.ts";
import { stateHash } from "../orchestrator/pool/state-hash.ts";
import { InputError, withInput } from "./input.ts";

interface ReplayOptions {
  readonly json?: boolean;
}

export function addPool(program: Command): void {
  program
    .command("pool")
    .description("a stability pool and its turnovers")
    .command("replay")
    .description("recompute a pool from its operations and votes; ends at the first difference")
    .argument("<file>", "the log, format ballast/pool-log@1; - is standard input")
    .option("--json", "one JSON object a line: each cycle, then the state or the difference")
    .addHelpText("after", "\nExit: 0 all as the log says, 3 a difference, 2 not a log.")
    .action((file: string, options: ReplayOptions) =>
      withInput(options.json === true, () => replay(file, options.json === true)),
    );
}

async function replay(file: string, json: boolean): Promise<number> {
  const ledger = openReplay();
  let line = 0;
  try {
    for await (const text of linesOf(file)) {
      line += 1;
      const step = ledger.take(text);
      if (step.kind === "difference") {
        if (json) console.log(JSON.stringify({ difference: { line, detail: step.detail } }));
        else console.error(`line ${line}: ${step.detail}`);
        return 3;
      }
      if (step.kind === "turned") tellCycle(step, json);
    }
  } catch (error) {
    if (error instanceof PoolLogError) throw new InputError("pool-log", error.message);
    if (error instanceof Error && "code" in error && error.code === "ENOENT") {
      throw new InputError("pool-log", `${file}: there is no such file`);
    }
    throw error;
  }
  const pool = ledger.pool();
  if (pool === null) throw new InputError("pool-log", "the log is empty");
  tellState(pool, json);
  return 0;
}

function linesOf(file: string): AsyncIterable<string> {
  const input = file === "-" ? process.stdin : createReadStream(file);
  return createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY });
}

function tellCycle({ turnover }: Extract<Step, { kind: "turned" }>, json: boolean): void {
  const { cycle, events } = turnover;
  if (json) {
    const { startNanos, ...rest } = cycle;
    console.log(text({ cycle: { ...rest, startNanos: String(startNanos) }, events }));
    return;
  }
  const figures = [
    `cycle ${cycle.index}: ${cycle.price} cents/BTC`,
    `fee ${cycle.feePpb} ppb`,
    `seeks ${cycle.lockedSeeksMsats}`,
    `provides ${cycle.lockedProvidesMsats}`,
    `fees ${cycle.feesMsats} msats`,
    ...events.map(({ kind }) => kind),
  ];
  console.log(figures.join(", "));
}

function tellState(pool: Pool, json: boolean): void {
  const { names, keys } = pool.holders;
  const accounts = names.map((account, i) => ({ account, ...balanceOf(pool, keys[i] ?? "") }));
  const held = pool.heldMsats;
  const state = stateHash(pool);
  if (json) {
    console.log(text({ heldMsats: held, bailoutMsats: pool.bailoutMsats, accounts, state }));
    return;
  }
  for (const { account, idleMsats, stagedMsats, lockedMsats } of accounts) {
    console.log(`${account}: idle ${idleMsats}, staged ${stagedMsats}, locked ${lockedMsats}`);
  }
  console.log(`held: ${held} msats\nstate: ${state}`);
}

function text(value: unknown): string {
  return JSON.stringify(value, (_, part) => (typeof part === "bigint" ? String(part) : part));
}
