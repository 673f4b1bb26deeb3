/**
 * `npm run fuzz -- --cases N [--seed S]`: honest spends with 1 to 4 mutations, judged by the law and by
 * an independent model. Ends with 1 at the first disagreement, which its seed finds again.
 */
import { parseArgs } from "node:util";
import { type Compared, compare } from "./compare.ts";

const USAGE = `usage: npm run fuzz -- [--cases N] [--seed S] [--json]

  --cases N  how many cases (20000)
  --seed S   seed of the first case; the others follow it (a random one)
  --all      goes on after a disagreement and lists them all
  --json     one JSON object at the end`;

const { values } = parseArgs({
  options: {
    cases: { type: "string", default: "20000" },
    seed: { type: "string" },
    all: { type: "boolean" },
    json: { type: "boolean" },
    help: { type: "boolean", short: "h" },
  },
});
const say = (line: string) => process.stderr.write(`${line}\n`);

interface Tally {
  readonly counts: ReadonlyMap<string, number>;
  readonly apart: readonly Compared[];
  readonly seconds: number;
}

function fuzz(cases: number, seed: number): Tally {
  const counts = new Map<string, number>();
  const count = (key: string) => counts.set(key, (counts.get(key) ?? 0) + 1);
  const apart: Compared[] = [];
  const start = performance.now();
  const elapsed = () => Math.round((performance.now() - start) / 1000);
  for (let i = 0; i < cases && (apart.length === 0 || values.all === true); i += 1) {
    const one = compare(seed + i);
    for (const key of [one.model, `${one.purpose} ${one.law}`]) count(key);
    for (const rule of one.rules) count(`rule ${rule}`);
    if (one.law !== one.model) {
      apart.push(one);
      say(`law says ${one.law}, model says ${one.model}: ${JSON.stringify(one)}`);
    }
    if ((i + 1) % 10_000 === 0) say(`fuzz: ${i + 1} cases in ${elapsed()} s`);
  }
  return { counts, apart, seconds: elapsed() };
}

function main(): number {
  const cases = Number(values.cases);
  const seed = Number(values.seed ?? Math.floor(Math.random() * 1_000_000_000));
  if (values.help === true || !Number.isInteger(cases) || !Number.isInteger(seed)) {
    process.stdout.write(`${USAGE}\n`);
    return values.help === true ? 0 : 2;
  }
  say(`fuzz: ${cases} cases from seed ${seed}`);
  const { counts, apart, seconds } = fuzz(cases, seed);
  const shares = Object.fromEntries([...counts].sort(([a], [b]) => (a < b ? -1 : 1)));
  if (values.json === true) {
    process.stdout.write(`${JSON.stringify({ cases, seed, seconds, shares, apart })}\n`);
  } else {
    for (const [key, n] of Object.entries(shares)) process.stdout.write(`${key}: ${n}\n`);
    process.stdout.write(`${apart.length} disagreements in ${seconds} s, seed ${seed}\n`);
  }
  return apart.length === 0 ? 0 : 1;
}

process.exitCode = main();
