/**
 * `bench sign`: what one decision and its signatures cost, beside the node's own wallet on the very
 * same PSBTs and beside the bare curve operations, all in one run and in turn. Each iteration has
 * coins, a PSBT and an intent of its own: a signature from a memory would end the bench.
 */
import { type CurvePool, openCurvePool } from "../../signer/curve.ts";
import { bareCurve, countedSigner, nodeWallet, SEATS, type Seat } from "./contenders.ts";
import { type Ground, openGround } from "./ground.ts";
import { refusalRow, timeRefusals } from "./hostile.ts";
import type { FreshSpend } from "./house.ts";
import {
  type Aim,
  aimAtMost,
  aimBelow,
  type Bench,
  type BenchOptions,
  type BenchResult,
  measured,
  type Row,
  rounded,
} from "./result.ts";
import { STAGES, type StageTimes } from "./stages.ts";
import {
  type Contender,
  growthExponent,
  interleaved,
  quantile,
  summarised,
  watchLoop,
} from "./timing.ts";

export const signBench: Bench = {
  name: "sign",
  says: "ms per PSBT of 1 to 250 inputs through the whole guard, beside the node's wallet and the bare curve",
  run,
};

const SIZES = [1, 10, 100, 250] as const;
type Size = (typeof SIZES)[number];
/** Growth is judged between these two: below ten inputs the fixed cost hides it. */
const GROWTH = { small: 10, large: 250 } as const;
/**
 * Rounds that do not count, and how many times ROUNDS count: what is short needs more of both before
 * compilers, caches and timers have settled.
 */
const PLAN: Readonly<Record<Size, { readonly warmUp: number; readonly times: number }>> = {
  1: { warmUp: 150, times: 4 },
  10: { warmUp: 50, times: 2 },
  100: { warmUp: 15, times: 1 },
  250: { warmUp: 10, times: 1 },
};
const ROUNDS = 25;
/** A size has its rounds by itself, the largest first: it derives every script that follows. */
const ORDER = [...SIZES].sort((a, b) => b - a);
/** Rounds with 250 inputs in which the main thread's delays are watched. */
const LAG_ROUNDS = 10;
const LAG_WARM_UP = 3;

const AIMS = {
  nodeRatio: 1,
  growthExponent: 1.05,
  loopLagMs: 20,
  refusalMs: 10,
} as const;

/** The measured ways to sign, in the order of a round. */
const WAYS = ["ballast", "node", "ballast + own node", "curve"] as const;
type Way = (typeof WAYS)[number];

async function run({ rounds, progress }: BenchOptions): Promise<BenchResult> {
  const curve = openCurvePool();
  progress("starting a regtest node, a vault and its signers");
  const ground = await openGround(curve);
  try {
    const stages = new Map<string, StageTimes[]>();
    const samples = new Map<string, readonly number[]>();
    for (const size of ORDER) {
      const counted = (rounds ?? ROUNDS) * PLAN[size].times;
      const { warmUp } = PLAN[size];
      progress(`${size} inputs: ${counted} rounds after ${warmUp} of warm-up`);
      const spends = await ground.spends(Array.from({ length: warmUp + counted }, () => size));
      const contenders = await contendersOf({ ground, curve, size, spends, stages });
      for (const [name, times] of await interleaved(contenders, { warmUp, counted })) {
        samples.set(name, times);
      }
    }
    progress("watching the main thread's delays");
    const lag = await loopLag(ground, curve);
    progress("refusing hostile PSBTs");
    const [large] = await ground.spends([GROWTH.large]);
    measured(large !== undefined, "there is no large PSBT");
    const refusals = timeRefusals(large.psbt);
    return {
      rows: [
        ...SEATS.flatMap((seat) => SIZES.map((size) => timeRow(samples, seat, size))),
        ...SEATS.flatMap((seat) => growthRows(samples, seat)),
        ...SEATS.flatMap((seat) => SIZES.map((size) => stageRow(stages, samples, seat, size))),
        ...lag,
        ...refusals.map(refusalRow),
      ],
      aims: aimsOf(
        samples,
        lag,
        refusals.map((refusal) => ({
          kind: refusal.kind,
          p99: quantile(refusal.samples, 0.99),
        })),
      ),
    };
  } finally {
    await ground.close();
    await curve.close();
  }
}

interface Field {
  readonly ground: Ground;
  readonly curve: CurvePool;
  readonly size: Size;
  /** One for each round. */
  readonly spends: readonly FreshSpend[];
  /** Takes the stages of every counted round. */
  readonly stages: Map<string, StageTimes[]>;
}

/** All that is timed, in the order of one round; the second signer takes the first one's answer. */
async function contendersOf(field: Field): Promise<readonly Contender[]> {
  const { ground, size, spends } = field;
  const bare = bareCurve();
  /** What the first signer has answered, by round. */
  const answers = new Map<number, Uint8Array>();
  const request = (seat: Seat, round: number): FreshSpend => {
    const spend = spends[round];
    measured(spend !== undefined, `no coins are left for round ${round}`);
    if (seat === "first") return spend;
    const psbt = answers.get(round);
    measured(psbt !== undefined, "the second signer was asked before the first");
    return { ...spend, psbt };
  };
  const contenders: Contender[] = [];
  for (const seat of SEATS) {
    const own = await countedSigner(field, seat, "prepared");
    const withNode = await countedSigner(field, seat, "node");
    const node = nodeWallet(ground, seat);
    const times: StageTimes[] = [];
    field.stages.set(idOf(seat, size, "ballast"), times);
    contenders.push(
      {
        name: idOf(seat, size, "ballast"),
        once: async (round) => {
          const { ms, psbt, stages } = await own.sign(request(seat, round));
          if (seat === "first") answers.set(round, psbt);
          if (round >= PLAN[size].warmUp) times.push(stages);
          return ms;
        },
      },
      { name: idOf(seat, size, "node"), once: (round) => node(request(seat, round)) },
      {
        name: idOf(seat, size, "ballast + own node"),
        once: async (round) => (await withNode.sign(request(seat, round))).ms,
      },
      {
        name: idOf(seat, size, "curve"),
        once: async () => bare(size, seat === "first" ? size : 2 * size),
      },
    );
  }
  return contenders;
}

function idOf(seat: Seat, size: Size, way: Way): string {
  return `${seat} ${size} ${way}`;
}

type Samples = ReadonlyMap<string, readonly number[]>;

function medianOf(samples: Samples, seat: Seat, size: Size, way: Way): number {
  return summarised(samples.get(idOf(seat, size, way)) ?? []).median;
}

function timeRow(samples: Samples, seat: Seat, size: Size): Row {
  const own = summarised(samples.get(idOf(seat, size, "ballast")) ?? []);
  const node = summarised(samples.get(idOf(seat, size, "node")) ?? []);
  const curve = medianOf(samples, seat, size, "curve");
  return {
    table: "ms per PSBT, medians (node times include RPC and base64)",
    signer: seat,
    inputs: size,
    ballast: rounded(own.median),
    "ballast min": rounded(own.min),
    "ballast max": rounded(own.max),
    node: rounded(node.median),
    "node min": rounded(node.min),
    "node max": rounded(node.max),
    "ballast/node": rounded(own.median / node.median),
    curve: rounded(curve),
    "ballast/curve": rounded(own.median / curve),
    "ballast with chain view over RPC": rounded(
      medianOf(samples, seat, size, "ballast + own node"),
    ),
  };
}

function growthRows(samples: Samples, seat: Seat): readonly Row[] {
  return [
    {
      table: `growth exponent between ${GROWTH.small} and ${GROWTH.large} inputs`,
      signer: seat,
      ballast: rounded(growthOf(samples, seat, "ballast")),
      node: rounded(growthOf(samples, seat, "node")),
      curve: rounded(growthOf(samples, seat, "curve")),
    },
  ];
}

function growthOf(samples: Samples, seat: Seat, way: Way): number {
  const { small, large } = GROWTH;
  return growthExponent(
    { size: small, ms: medianOf(samples, seat, small, way) },
    { size: large, ms: medianOf(samples, seat, large, way) },
  );
}

function stageRow(
  stages: ReadonlyMap<string, readonly StageTimes[]>,
  samples: Samples,
  seat: Seat,
  size: Size,
): Row {
  const times = stages.get(idOf(seat, size, "ballast")) ?? [];
  const medians = STAGES.map((stage) => {
    const { median } = summarised(times.map((each) => each[stage]));
    return [stage, median] as const;
  });
  const sum = medians.reduce((total, [, ms]) => total + ms, 0);
  return {
    table: "where it goes: medians of each stage, ms (rest: parse, copies, hashes, serialise)",
    signer: seat,
    inputs: size,
    ...Object.fromEntries(medians.map(([stage, ms]) => [stage, rounded(ms)])),
    rest: rounded(medianOf(samples, seat, size, "ballast") - sum),
  };
}

/** The longest time that the main thread kept a timer waiting, while 250 inputs were signed. */
async function loopLag(ground: Ground, curve: CurvePool): Promise<readonly LagRow[]> {
  const signers = {
    first: await countedSigner({ ground, curve }, "first", "prepared"),
    second: await countedSigner({ ground, curve }, "second", "prepared"),
  };
  const worst = { first: 0, second: 0 };
  const rounds = Array.from({ length: LAG_WARM_UP + LAG_ROUNDS }, () => GROWTH.large);
  for (const [round, spend] of (await ground.spends(rounds)).entries()) {
    let request = spend;
    for (const seat of SEATS) {
      const watch = await watchLoop();
      let lag = 0;
      const { psbt } = await signers[seat].sign(request, async () => {
        lag = await watch.end();
      });
      if (round >= LAG_WARM_UP) worst[seat] = Math.max(worst[seat], lag);
      request = { ...request, psbt };
    }
  }
  return SEATS.map((seat) => ({
    table: `longest delay of the main thread while ${GROWTH.large} inputs are signed, ms`,
    signer: seat,
    max: rounded(worst[seat]),
  }));
}

interface LagRow extends Row {
  readonly max: number;
  readonly signer: string;
}

function aimsOf(
  samples: Samples,
  lag: readonly LagRow[],
  refusals: readonly { readonly kind: string; readonly p99: number }[],
): readonly Aim[] {
  const worst = refusals.reduce((a, b) => (b.p99 > a.p99 ? b : a));
  return [
    ...SIZES.map((size) =>
      aimBelow(
        `first signer, ${size} ${size === 1 ? "input" : "inputs"}: ratio to the node`,
        medianOf(samples, "first", size, "ballast") / medianOf(samples, "first", size, "node"),
        AIMS.nodeRatio,
      ),
    ),
    aimAtMost(
      `first signer: growth exponent between ${GROWTH.small} and ${GROWTH.large} inputs`,
      growthOf(samples, "first", "ballast"),
      AIMS.growthExponent,
    ),
    ...lag.map(({ signer, max }) =>
      aimBelow(
        `${signer} signer, ${GROWTH.large} inputs: longest delay of the main thread, ms`,
        max,
        AIMS.loopLagMs,
      ),
    ),
    aimAtMost(
      `refusal of a hostile PSBT, worst p99, ms (${worst.kind})`,
      worst.p99,
      AIMS.refusalMs,
    ),
  ];
}
