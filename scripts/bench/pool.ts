/**
 * `bench pool`: one turnover at 10,000, 100,000 and 1,000,000 seeks with a tenth as many provides,
 * everything locked before it and settled, restaged and locked again by it, beside a pool of objects
 * in the same run. Nothing is persisted here.
 */
import { turn } from "../../orchestrator/pool/cycle.ts";
import { addDeposit, totalOf } from "../../orchestrator/pool/deposits.ts";
import { numberOf } from "../../orchestrator/pool/holders.ts";
import { assertConserved, openPool, type Pool } from "../../orchestrator/pool/pool.ts";
import { poolConfigSchema } from "../../orchestrator/pool/pool-config.ts";
import { stateHash } from "../../orchestrator/pool/state-hash.ts";
import { hex, sha256 } from "../../policies/bitcoin/hash.ts";
import { price } from "../../policies/money.ts";
import { type ObjectsPool, objectsPool, objectsTurn } from "./pool-objects.ts";
import {
  aimAtMost,
  aimBelow,
  type Bench,
  type BenchOptions,
  type BenchResult,
  measured,
  rounded,
} from "./result.ts";
import { growthExponent, summarised, timed } from "./timing.ts";

export const poolBench: Bench = {
  name: "pool",
  says: "one turnover of up to 1,000,000 seeks and a tenth as many provides, beside a pool of objects",
  run,
};

const SIZES = [10_000, 100_000, 1_000_000] as const;
const ROUNDS = 3;
const WARM_UP = 1;
/** A tenth as many provides, so each is for ten seeks. */
const SEEKS_PER_PROVIDE = 10;
const SEEK_MSATS = 1_000_000n;
const START = 6_000_000n;
/** Up and down by a few per cent, so that nobody is wiped out over the rounds. */
const PRICES = [6_120_000n, 5_940_000n, 6_060_000n, 5_880_000n];
const COMPUTE_MS_MAX = 1_000;
const GROWTH_MAX = 1.1;

async function run({ rounds, progress }: BenchOptions): Promise<BenchResult> {
  const counted = rounds ?? ROUNDS;
  const rows: Awaited<ReturnType<typeof row>>[] = [];
  for (const seeks of SIZES) {
    progress(`${seeks.toLocaleString("en")} seeks`);
    rows.push(await row(seeks, counted));
  }
  const ms = (seeks: number) => rows.find((one) => one.seeks === seeks)?.["turn ms"] ?? NaN;
  const growth = growthExponent(
    { size: SIZES[1], ms: ms(SIZES[1]) },
    { size: SIZES[2], ms: ms(SIZES[2]) },
  );
  return {
    rows,
    aims: [
      aimBelow("1,000,000 seeks: compute of a turnover, ms", ms(SIZES[2]), COMPUTE_MS_MAX),
      aimAtMost("growth exponent from 100,000 to 1,000,000", growth, GROWTH_MAX),
    ],
  };
}

async function row(seeks: number, counted: number) {
  const before = process.memoryUsage();
  const pool = openPool(poolConfigSchema.parse({ pool: "usd", currency: "USD", rules: "v2" }));
  const objects = objectsPool({
    v2: true,
    provider: 1n,
    seeker: 1n,
    minimum: 100_000n,
    maxFee: 2_000n,
    minFee: 0n,
  });
  fill(pool, objects, seeks);
  const first = await timed(async () => turn(pool, termsOf(pool, START)));
  const memory = process.memoryUsage();
  objectsTurn(objects, START, 0n);
  const samples = { ours: [] as number[], cpu: [] as number[], objects: [] as number[] };
  for (let round = 0; round < WARM_UP + counted; round += 1) {
    const at = PRICES[round % PRICES.length] ?? START;
    const cpu = process.cpuUsage();
    const ours = await timed(async () => turn(pool, termsOf(pool, at)));
    const { user, system } = process.cpuUsage(cpu);
    const theirs = await timed(async () => {
      objectsTurn(objects, at, BigInt(round + 1));
    });
    sameSums(pool, objects);
    if (round < WARM_UP) continue;
    samples.ours.push(ours.ms);
    samples.cpu.push((user + system) / 1e3);
    samples.objects.push(theirs.ms);
  }
  const root = await timed(async () => stateHash(pool));
  const [ours, theirs] = [summarised(samples.ours).median, summarised(samples.objects).median];
  const grown = (what: "rss" | "arrayBuffers") => rounded((memory[what] - before[what]) / 1e6);
  return {
    table: "one turnover, everything locked before and after",
    seeks,
    provides: seeks / SEEKS_PER_PROVIDE,
    "turn ms": rounded(ours),
    // Of all threads, the collector's too: what a busy machine does not stretch.
    "turn cpu ms": rounded(summarised(samples.cpu).median),
    "first turn ms": rounded(first.ms),
    "objects ms": rounded(theirs),
    "objects/ours": rounded(theirs / ours),
    "state hash ms": rounded(root.ms),
    "columns MB": grown("arrayBuffers"),
    "memory MB": grown("rss"),
  };
}

/** Seeks of unequal size, and bids that are not sorted, each of an account of its own. */
function fill(pool: Pool, objects: ObjectsPool, seeks: number): void {
  for (let n = 0; n < seeks; n += 1) {
    put({ pool, objects, side: "seeks", n, fee: 0n, msats: SEEK_MSATS + BigInt(n % 1_009) });
  }
  for (let n = 0; n < seeks / SEEKS_PER_PROVIDE; n += 1) {
    const msats = SEEK_MSATS * 11n + BigInt(n % 997);
    put({ pool, objects, side: "provides", n, fee: BigInt((n * 7_919) % 2_001), msats });
  }
  assertConserved(pool);
}

interface Put {
  readonly pool: Pool;
  readonly objects: ObjectsPool;
  readonly side: "seeks" | "provides";
  readonly n: number;
  readonly fee: bigint;
  readonly msats: bigint;
}

/** Straight into the ledger: what an operation costs is another matter. */
function put({ pool, objects, side, n, fee, msats }: Put): void {
  const key = hex(sha256(new TextEncoder().encode(`${side} ${n}`)));
  const owner = numberOf(pool.holders, { key, name: key });
  const sequence = pool.nextSeek;
  addDeposit(pool[side], { owner, sequence, feePpb: fee, staged: msats, locked: 0n });
  pool.nextSeek += 1;
  pool.heldMsats += msats;
  objects.staged[side].set(key, [{ sequence, fee, amount: msats }]);
  objects.next.seeks = pool.nextSeek;
}

function termsOf(pool: Pool, at: bigint) {
  const index = pool.cycle === null ? 0 : pool.cycle.index + 1;
  const startNanos = BigInt(index) * 600_000_000_000n;
  return { index, startNanos, price: price(at), reused: false, randomness: BigInt(index) };
}

/** The two must have done the same work. */
function sameSums(pool: Pool, objects: ObjectsPool): void {
  for (const side of ["seeks", "provides"] as const) {
    let sum = 0n;
    for (const items of objects.locked[side].values()) {
      for (const { amount } of items) sum += amount;
    }
    const ours = totalOf(pool[side], "locked");
    measured(sum === ours, `the ${side} locked differ: ${ours} and ${sum} msats`);
  }
  measured(pool.cycle?.feePpb === objects.fee, "the fees differ");
}
