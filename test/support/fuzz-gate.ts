/**
 * `npm run fuzz:gate -- --cases N --seed S`: the gate against scure and a node, for as long as one
 * likes. Ends with exit code 1 at what nobody has explained; prints the slowest case.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Psbt, writePsbt } from "../../policies/bitcoin/psbt.ts";
import { equal } from "../../policies/bitcoin/wire.ts";
import { lookForBitcoind, type Regtest, startRegtest } from "../../scripts/regtest.ts";
import {
  type Disagreement,
  gateRead,
  nodeDisagreements,
  scureDisagreement,
  told,
} from "./gate-opinions.ts";
import { mutantBases, psbtMutants } from "./psbt-mutants.ts";

const BATCH = 1_000;
/** More than this of one kind says no more. */
const SHOWN_MAX = 5;
const TRIES = 5;

const { values } = parseArgs({
  options: {
    cases: { type: "string", default: "100000" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
  },
});
const cases = Number(values.cases);
const seed = Number(values.seed);
if (!(Number.isSafeInteger(cases) && cases > 0 && Number.isSafeInteger(seed))) {
  say("usage: npm run fuzz:gate -- [--cases N] [--seed S]");
  process.exit(2);
}
process.exitCode = await main();

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

async function main(): Promise<number> {
  const found = lookForBitcoind();
  if (found.kind === "missing") say(`without the node: ${found.reason}`);
  const dataDir = mkdtempSync(join(tmpdir(), "ballast-fuzz-"));
  const node = found.kind === "missing" ? null : await startRegtest({ dataDir });
  try {
    return await fuzz(node);
  } finally {
    await node?.stop();
    rmSync(dataDir, { recursive: true, force: true });
  }
}

interface Passed {
  readonly psbt: Psbt;
  readonly bytes: Uint8Array;
}

async function fuzz(node: Regtest | null): Promise<number> {
  const bases = mutantBases();
  const mutant = psbtMutants(bases, seed);
  say(`seed ${seed}, ${cases} mutants of ${bases.length} PSBTs`);
  const slowest = slowestCase();
  const found: Disagreement[] = [];
  const asked = { scure: 0, node: 0 };
  for (let first = 0; first < cases; first += BATCH) {
    const count = Math.min(BATCH, cases - first);
    const numbers = Array.from({ length: count }, (_, i) => first + i);
    const passed = numbers.flatMap((n) => passing(n, mutant(n), slowest));
    asked.scure += passed.length;
    found.push(...passed.flatMap(({ psbt, bytes }) => scureDisagreement(psbt, bytes) ?? []));
    if (node !== null) {
      const byNode = await nodeDisagreements(node.rpc, passed);
      asked.node += byNode.asked;
      found.push(...byNode.found);
    }
    if (first % (20 * BATCH) === 0) say(`${first + count} cases, ${asked.scure} passed the gate`);
  }
  say(`passed the gate and read by scure: ${asked.scure}; by the node: ${asked.node}`);
  say(slowest.told());
  return judged(found);
}

/** The case where the gate lets it through; its time goes to `slowest` either way. */
function passing(n: number, bytes: Uint8Array, slowest: Slowest): readonly Passed[] {
  const start = performance.now();
  const psbt = gateRead(bytes);
  slowest.take(n, bytes, performance.now() - start);
  if (psbt === null) return [];
  if (!equal(writePsbt(psbt), bytes)) throw new Error(`case ${n} is not written back as read`);
  return [{ psbt, bytes }];
}

function judged(found: readonly Disagreement[]): number {
  const known = new Map<string, number>();
  for (const { who, known: reason } of found) {
    if (reason === null) continue;
    known.set(`${who}: ${reason}`, (known.get(`${who}: ${reason}`) ?? 0) + 1);
  }
  for (const [reason, times] of known) say(`known, ${times} times, ${reason}`);
  const unknown = found.filter((one) => one.known === null);
  const kinds = new Map(unknown.map((one) => [`${one.who}: ${one.says}`, one]));
  for (const one of [...kinds.values()].slice(0, SHOWN_MAX)) say(`UNEXPLAINED ${told(one)}`);
  say(`${unknown.length} unexplained`);
  return unknown.length === 0 ? 0 : 1;
}

interface Slowest {
  readonly take: (n: number, bytes: Uint8Array, ms: number) => void;
  readonly told: () => string;
}

function slowestCase(): Slowest {
  let slowest = { ms: 0, n: 0, bytes: 0 };
  return {
    take: (n, bytes, ms) => {
      if (ms <= slowest.ms) return;
      const again = shortest(bytes);
      if (again > slowest.ms) slowest = { ms: again, n, bytes: bytes.length };
    },
    told: () =>
      `slowest: case ${slowest.n}, ${slowest.bytes} bytes, ${slowest.ms.toFixed(2)} ms in the gate`,
  };
}

/** The least of a few tries: what the machine did meanwhile is no work of the gate. */
function shortest(bytes: Uint8Array): number {
  const tries = Array.from({ length: TRIES }, () => {
    const start = performance.now();
    gateRead(bytes);
    return performance.now() - start;
  });
  return Math.min(...tries);
}
