/**
 * `npm run fuzz -- --cases N [--seed S]`: honest spends with one to four bends, judged by the law and by
 * an independent model. Ends with 1 at the first disagreement, told with its number and the bends that
 * it needs.
 */
import { parseArgs } from "node:util";
import { agree, type Compared, compare, narrowed } from "./compare.ts";
import { type Tally, tally, tallyOf } from "./tally.ts";

const USAGE = `usage: npm run fuzz -- [--cases N] [--seed S] [--only N] [--all] [--json]

  --cases N  how many cases (20000)
  --seed S   number of the first case; the others follow it (a random one)
  --only N   shows the case of this number, and what both say of it
  --all      goes on after a disagreement and lists them all
  --json     one JSON object at the end

A case is an honest spend and its bends, all drawn from its number: the same number, the same case.`;

const { values } = parseArgs({
  options: {
    cases: { type: "string", default: "20000" },
    seed: { type: "string", default: String(Math.floor(Math.random() * 1_000_000_000)) },
    only: { type: "string" },
    all: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    help: { type: "boolean", short: "h", default: false },
  },
});
const PROGRESS = 10_000;

const say = (line: string) => process.stderr.write(`${line}\n`);
const tell = (line: string) => process.stdout.write(`${line}\n`);

function shown({ seed, purpose, bends, law, model }: Compared): string {
  const said = ({ verdict, rules }: Compared["law"]) => `${verdict} (${rules.join(", ")})`;
  return [
    `case ${seed}: ${purpose}, ${bends.length === 0 ? "as it is" : bends.join("; ")}`,
    `  the law:   ${said(law)}`,
    `  the model: ${said(model)}`,
    `  again:     npm run fuzz -- --only ${seed}`,
  ].join("\n");
}

function fuzz(cases: number, seed: number): { readonly counts: Tally; readonly seconds: number } {
  const counts = tallyOf();
  const start = performance.now();
  const elapsed = () => Math.round((performance.now() - start) / 1_000);
  for (let i = 0; i < cases && (counts.apart.length === 0 || values.all); i += 1) {
    const one = compare(seed + i);
    tally(counts, one);
    if (!agree(one)) {
      say(shown(one));
      say(`  narrowed:  ${narrowed(seed + i).bends.join("; ")}`);
    }
    if ((i + 1) % PROGRESS === 0) say(`fuzz: ${i + 1} cases in ${elapsed()} s`);
  }
  return { counts, seconds: elapsed() };
}

function report(counts: Tally, seconds: number, seed: number): void {
  const { cases, apart } = counts;
  const share = (n: number) => `${n} (${((100 * n) / cases).toFixed(1)} %)`;
  for (const part of ["verdicts", "purposes", "rules", "bends"] as const) {
    tell(`${part}:`);
    const sorted = [...counts[part]].sort(([a], [b]) => (a < b ? -1 : 1));
    for (const [key, n] of sorted) tell(`  ${key}: ${part === "verdicts" ? share(n) : n}`);
  }
  tell(`${cases} cases from seed ${seed} in ${seconds} s: ${apart.length} disagreements`);
}

function main(): number {
  const [cases, seed] = [Number(values.cases), Number(values.seed)];
  const only = values.only === undefined ? null : Number(values.only);
  const whole = [cases, seed, only ?? 0].every((n) => Number.isSafeInteger(n) && n >= 0);
  if (values.help || !whole) {
    tell(USAGE);
    return values.help ? 0 : 2;
  }
  if (only !== null) {
    const one = compare(only);
    tell(shown(one));
    return agree(one) ? 0 : 1;
  }
  say(`fuzz: ${cases} cases from seed ${seed}`);
  const { counts, seconds } = fuzz(cases, seed);
  if (values.json) tell(JSON.stringify({ ...plain(counts), seed, seconds }));
  else report(counts, seconds, seed);
  return counts.apart.length === 0 ? 0 : 1;
}

function plain({ cases, apart, ...counts }: Tally) {
  const entries = Object.entries(counts).map(([key, map]) => [key, Object.fromEntries(map)]);
  return { cases, ...Object.fromEntries(entries), apart };
}

process.exitCode = main();
