/** Contenders in turn, round by round, so that whatever slows the machine slows them alike. */
import { existsSync, readFileSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

export interface Contender {
  readonly name: string;
  /** Does the work once and returns the milliseconds of the part that counts. */
  readonly once: (round: number) => Promise<number>;
}

export interface Rounds {
  /** Rounds before the first that counts: compilers, caches and connections settle. */
  readonly warmUp: number;
  readonly counted: number;
}

/** Samples of each contender by its name; every round asks each of them once, in their order. */
export async function interleaved(
  contenders: readonly Contender[],
  { warmUp, counted }: Rounds,
): Promise<ReadonlyMap<string, readonly number[]>> {
  const samples = new Map<string, number[]>(contenders.map(({ name }) => [name, []]));
  for (let round = 0; round < warmUp + counted; round += 1) {
    for (const { name, once } of contenders) {
      scavenge();
      await rest();
      const ms = await once(round);
      if (round >= warmUp) samples.get(name)?.push(ms);
    }
  }
  return samples;
}

/** Long enough for what the one before has left under way: closed sockets, timers, messages. */
const REST_MS = 3;

setFlagsFromString("--expose-gc");
/**
 * Clears the young generation: the garbage of checking one answer is not the next one's time. (A
 * full collection would also throw away compiled code.)
 */
const collect = runInNewContext("gc") as (options: { readonly type: "minor" }) => void;

function scavenge(): void {
  collect({ type: "minor" });
}

function rest(ms = REST_MS): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

export interface LoopWatch {
  /** The longest time in milliseconds that the main thread kept a timer waiting, for any reason. */
  readonly end: () => Promise<number>;
}

const LAG_RESOLUTION_MS = 1;
const LAG_REST_MS = 10;

/** A delay counts when the timer fires after it: so the watch begins and ends at rest. */
export async function watchLoop(): Promise<LoopWatch> {
  const delays = monitorEventLoopDelay({ resolution: LAG_RESOLUTION_MS });
  delays.enable();
  await rest(LAG_REST_MS);
  delays.reset();
  return {
    end: async () => {
      await rest(LAG_REST_MS);
      delays.disable();
      return delays.max / 1e6 - LAG_RESOLUTION_MS;
    },
  };
}

/**
 * Milliseconds of processor time that the main thread has used so far, NaN where the system does not
 * tell. Between two readings it cannot have blocked itself for longer than their difference: what a
 * delay has beyond that is another program's doing. Linux counts each thread's; the main one has the
 * number of the process.
 */
export function mainThreadMs(): number {
  const file = `/proc/self/task/${process.pid}/schedstat`;
  return existsSync(file) ? Number(readFileSync(file, "utf8").split(" ")[0]) / 1e6 : Number.NaN;
}

export interface Timed<Value> {
  readonly ms: number;
  readonly value: Value;
}

export async function timed<Value>(work: () => Promise<Value>): Promise<Timed<Value>> {
  const start = performance.now();
  const value = await work();
  return { ms: performance.now() - start, value };
}

export interface Summary {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

export function summarised(samples: readonly number[]): Summary {
  const sorted = sortedOf(samples);
  return { median: quantile(sorted, 0.5), min: sorted[0] ?? NaN, max: sorted.at(-1) ?? NaN };
}

/** Nearest rank for the tails, the mean of the middle two for the median of an even count. */
export function quantile(samples: readonly number[], share: number): number {
  const sorted = sortedOf(samples);
  const middle = share === 0.5 && sorted.length % 2 === 0;
  const upper = Math.max(0, Math.ceil(share * sorted.length) - 1);
  const value = sorted[upper] ?? NaN;
  return middle ? (value + (sorted[upper + 1] ?? NaN)) / 2 : value;
}

/** The slope between two sizes on log-log axes: 1 is linear, 2 quadratic. */
export function growthExponent(
  small: { readonly size: number; readonly ms: number },
  large: { readonly size: number; readonly ms: number },
): number {
  return Math.log(large.ms / small.ms) / Math.log(large.size / small.size);
}

function sortedOf(samples: readonly number[]): readonly number[] {
  return [...samples].sort((a, b) => a - b);
}
