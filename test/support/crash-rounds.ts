/**
 * `npm run crash`: whole signers are killed at random instants, round after round, and after each
 * death their memory is looked at. It needs no compiler and no shim: the time alone says where a
 * signer dies.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { inspect } from "./afterlife.ts";
import { buildProgram, startProgram } from "./disk-shim.ts";
import { joined, planOfLife, provisionLife, writeLifePlan } from "./life-plan.ts";
import { random } from "./random.ts";
import type { LifePlan, PlannedRequest } from "./whole-signer.ts";

const HELP = `usage: npm run crash -- [--rounds N] [--seed N]

Lets a whole signer (journal, mirror, audit key, software key, guard) sign, kills
it with SIGKILL at a random instant, opens its memory again by the normal code and
checks: nothing released without a claim, no coin for two intents, no window
counted short, the log and the mirror whole, the same bytes when asked again.
--rounds N  so many deaths, 1000 if not given
--seed N    where the random instants come from; what the scheduler adds does not
`;

/** A signer dies so often before another is made: what it remembers and must keep grows. */
const DEATHS_PER_SIGNER = 25;
/** Requests of so many lives are asked in one, so that most instants are within it. */
const LIVES_PER_ROUND = 2;
const PROGRESS_EVERY = 50;

interface Tally {
  rounds: number;
  /** Deaths before the first request, while the signer worked, and those that came too late. */
  early: number;
  working: number;
  late: number;
  released: number;
  readonly broken: string[];
}

const say = (line: string) => void process.stdout.write(`${line}\n`);

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rounds: { type: "string", default: "1000" },
      seed: { type: "string", default: String(Date.now() % 1_000_000) },
      help: { type: "boolean", short: "h" },
    },
  });
  const rounds = Number(values.rounds);
  const seed = Number(values.seed);
  if (values.help === true || !(rounds > 0) || !Number.isSafeInteger(rounds + seed)) {
    say(HELP);
    process.exitCode = values.help === true ? 0 : 2;
    return;
  }
  const folder = mkdtempSync(join(tmpdir(), "ballast-crash-"));
  const tally: Tally = { rounds: 0, early: 0, working: 0, late: 0, released: 0, broken: [] };
  try {
    const program = buildProgram(folder, "crash-victim");
    const pace = await paceOf(program, join(folder, "whole"));
    say(`seed ${seed}, ${rounds} rounds; a life has ${pace.words} words`);
    // One at a time: who looks at one signer's memory hears the words of another too late.
    const chance = random(seed);
    while (tally.rounds < rounds) {
      const home = mkdtempSync(join(folder, "signer-"));
      await oneSigner({ program, home, pace, chance, rounds, tally });
      rmSync(home, { recursive: true });
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  for (const fault of tally.broken) say(`BROKEN ${fault}`);
  say(`${inWords(tally)}; ${tally.broken.length} invariants broken`);
  if (tally.broken.length > 0) process.exitCode = 1;
}

/** An undisturbed life: how many words it says, and how long it takes from one to the next, in ms. */
interface Pace {
  readonly words: number;
  readonly gap: number;
}

async function paceOf(program: string, home: string): Promise<Pace> {
  mkdirSync(home);
  await provisionLife(home, { decisions: 0 });
  const planFile = writeLifePlan(home, planOfRound(0));
  let first = 0;
  const run = startProgram({
    program,
    args: [planFile, home],
    onLine: () => {
      first ||= performance.now();
    },
  });
  const { code, stderr, lines } = await run.ended;
  if (code !== 0) throw new Error(`a life without an end of ours failed: ${stderr}`);
  return { words: lines.length, gap: (performance.now() - first) / lines.length };
}

function planOfRound(round: number): LifePlan {
  const lives = Array.from({ length: LIVES_PER_ROUND }, (_, n) => round * LIVES_PER_ROUND + n);
  return joined(lives.map(planOfLife));
}

/** One signer that dies again and again, and is asked for something new in each life. */
async function oneSigner(options: {
  readonly program: string;
  readonly home: string;
  readonly pace: Pace;
  readonly chance: () => number;
  readonly rounds: number;
  readonly tally: Tally;
}): Promise<void> {
  const { program, home, pace, chance, rounds, tally } = options;
  await provisionLife(home, { decisions: 0 });
  const before: PlannedRequest[] = [];
  for (let death = 0; death < DEATHS_PER_SIGNER && tally.rounds < rounds; death += 1) {
    tally.rounds += 1;
    const number = tally.rounds;
    const plan = planOfRound(death);
    // By its words, so that a busy machine moves no death to another part of the life.
    let words = Math.floor(chance() * pace.words);
    const wait = chance() * pace.gap;
    const run = startProgram({
      program,
      args: [writeLifePlan(home, plan), home],
      onLine: () => {
        if (words === 0) setTimeout(run.kill, wait);
        words -= 1;
      },
    });
    const { lines, stderr } = await run.ended;
    if (stderr !== "") tally.broken.push(`round ${number}: ${stderr.slice(0, 500)}`);
    const after = await inspect({ folder: home, plan, lines, before });
    before.push(...after.signed);
    tally.broken.push(...after.broken.map((fault) => `round ${number}: ${fault}`));
    tally.released += after.released;
    if (lines.includes("closed")) tally.late += 1;
    else if (lines.length > 1) tally.working += 1;
    else tally.early += 1;
    if (number % PROGRESS_EVERY === 0) say(inWords(tally));
  }
}

function inWords({ rounds, early, working, late, released }: Tally): string {
  return `${rounds} rounds: ${working} died at work, ${early} before their first request, ${late} had ended; ${released} signatures had left`;
}

await main();
