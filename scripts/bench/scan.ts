/**
 * `bench scan`: what a block costs that is looked through for watched scripts, at up to a million of
 * them, and how many addresses a second are derived, beside the node's own `deriveaddresses` of the
 * same descriptor. Scripts are random: no look-up can tell them from real ones.
 */
import { mkdirSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import Sqlite from "better-sqlite3";
import { openScripts } from "../../orchestrator/accounts/scripts.ts";
import { type ParsedBlock, parseBlock } from "../../orchestrator/io/chain-block.ts";
import { openStore, type Store } from "../../orchestrator/io/store.ts";
import { descriptorChecksum } from "../../policies/bitcoin/descriptor.ts";
import { hex } from "../../policies/bitcoin/hash.ts";
import { addressOf } from "../../policies/bitcoin/taproot.ts";
import { descriptorOf, RECEIVE } from "../../policies/vault.ts";
import type { VaultScripts } from "../../policies/vault-scripts.ts";
import { openCurvePool } from "../../signer/curve.ts";
import { startRegtest } from "../regtest.ts";
import { NETWORK, openHouse } from "./house.ts";
import {
  aimAtMost,
  type Bench,
  type BenchOptions,
  type BenchResult,
  measured,
  rounded,
} from "./result.ts";
import { blockBytes, OUTPUTS, watchedScript } from "./scan-block.ts";
import { interleaved, quantile, summarised, timed } from "./timing.ts";

export const scanBench: Bench = {
  name: "scan",
  says: "a block of 5,000 outputs against up to 1,000,000 watched scripts; addresses a second beside the node's deriveaddresses",
  run,
};

const WATCHED = [1_000, 10_000, 100_000, 1_000_000] as const;
/** Of the outputs of a block; on mainnet it is none in most. */
const PAID = [0, 50] as const;
const ROUNDS = 15;
const WARM_UP = 3;
/** Derived in one round by either side. */
const ADDRESSES = 250;
/** A block comes every ten minutes; catching up on a year of them takes 52,560 times as long. */
const MATCH_MS_MAX = 50;
/** A thousand times as many scripts: a look-up in a tree of them may be twice as deep. */
const GROWTH_MAX = 2.5;

async function run({ rounds, progress }: BenchOptions): Promise<BenchResult> {
  const counted = rounds ?? ROUNDS;
  const folder = mkdtempSync(join(tmpdir(), "ballast-bench-"));
  try {
    const matching = await matchingRows({ folder, counted, progress });
    progress("deriving addresses");
    const deriving = await derivingRow(folder, counted);
    const at = (watched: number) => matching.find((row) => row.watched === watched)?.match ?? NaN;
    const [few, most] = [at(WATCHED[0]), at(1_000_000)];
    return {
      rows: [...matching, deriving],
      aims: [
        aimAtMost("1,000,000 scripts, 5,000 outputs: matching a block, ms", most, MATCH_MS_MAX),
        aimAtMost("1,000,000 scripts beside 1,000: times as long", most / few, GROWTH_MAX),
        aimAtMost("the node's addresses a second beside ours", deriving["node/ours"], 3),
      ],
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

interface Matching {
  readonly folder: string;
  readonly counted: number;
  readonly progress: (line: string) => void;
}

async function matchingRows({ folder, counted, progress }: Matching) {
  const path = join(folder, "orchestrator.db");
  const store = openStore({ path, network: NETWORK });
  const rows = [];
  try {
    let filled = 0;
    for (const watched of WATCHED) {
      progress(`${watched.toLocaleString("en")} watched scripts`);
      fill(path, filled, watched);
      filled = watched;
      const hash = hashOfAll(watched);
      for (const paid of PAID) {
        rows.push(await matchingRow({ store, path, watched, paid, counted, hash }));
      }
    }
  } finally {
    await store.close();
  }
  return rows;
}

interface MatchingRow {
  readonly store: Store;
  readonly path: string;
  readonly watched: number;
  readonly paid: number;
  readonly counted: number;
  readonly hash: ReturnType<typeof hashOfAll>;
}

async function matchingRow({ store, path, watched, paid, counted, hash }: MatchingRow) {
  const scripts = openScripts();
  const loaded = await loadedIn(() => scripts.load(store.db));
  const samples = {
    parse: [] as number[],
    prove: [] as number[],
    match: [] as number[],
    hash: [] as number[],
  };
  for (let round = 0; round < WARM_UP + counted; round += 1) {
    const bytes = blockBytes({ round, watched, paid });
    const parsed = await timed(async () => parseBlock(bytes));
    const proven = await timed(async () => parsed.value.doubt(NETWORK));
    measured(proven.value === null, `the block proves nothing: ${proven.value}`);
    const found = await timed(() => scripts.watched(store.db, scriptsOf(parsed.value)));
    measured(found.value.length === paid, `${found.value.length} of ${paid} payments were found`);
    const beside = await timed(async () =>
      scriptsOf(parsed.value).filter((one) => hash.has(hex(one))),
    );
    measured(beside.value.length === paid, "the hash in memory finds others");
    if (round < WARM_UP) continue;
    samples.parse.push(parsed.ms);
    samples.prove.push(proven.ms);
    samples.match.push(found.ms);
    samples.hash.push(beside.ms);
  }
  return {
    table: `a block of ${OUTPUTS.toLocaleString("en")} outputs, ms`,
    watched,
    paid,
    parse: rounded(summarised(samples.parse).median),
    prove: rounded(summarised(samples.prove).median),
    match: rounded(summarised(samples.match).median),
    "match p99": rounded(quantile(samples.match, 0.99)),
    ...loaded,
    "file MB": rounded(statSync(path).size / 1e6),
    "in a hash": rounded(summarised(samples.hash).median),
  };
}

/** How long the fingerprints take to be read, who waits meanwhile how long, and what they weigh. */
async function loadedIn(load: () => Promise<void>) {
  const before = process.memoryUsage().arrayBuffers;
  const delays = monitorEventLoopDelay({ resolution: 1 });
  delays.enable();
  const { ms } = await timed(load);
  delays.disable();
  return {
    "load ms": rounded(ms),
    "p99 pause": rounded(delays.percentile(99) / 1e6),
    "memory MB": rounded((process.memoryUsage().arrayBuffers - before) / 1e6),
  };
}

/** What it is measured beside: all of them in hexadecimal, in a Set. */
function hashOfAll(watched: number): ReadonlySet<string> {
  const set = new Set<string>();
  for (let n = 0; n < watched; n += 1) set.add(watchedScript(n).toString("hex"));
  return set;
}

function scriptsOf({ block }: ParsedBlock): readonly Uint8Array[] {
  return block.transactions.flatMap(({ outputs }) => outputs.map(({ script }) => script));
}

/** Straight into the table: registering a thousand accounts is another bench's matter. */
function fill(path: string, from: number, to: number): void {
  const sqlite = new Sqlite(path);
  sqlite.pragma("foreign_keys = OFF");
  const insert = sqlite.prepare(
    "insert into scripts (script, vault, branch, position) values (?, 'bench', 0, ?)",
  );
  sqlite.transaction(() => {
    for (let n = from; n < to; n += 1) insert.run(hex(watchedScript(n)), n);
  })();
  sqlite.pragma("wal_checkpoint(TRUNCATE)");
  sqlite.close();
}

async function derivingRow(folder: string, counted: number) {
  const curve = openCurvePool(1);
  const dataDir = join(folder, "node");
  mkdirSync(dataDir);
  const house = await openHouse(folder, curve);
  const node = await startRegtest({ dataDir });
  try {
    const body = (descriptorOf(house.vault).split("#")[0] ?? "").replaceAll("<0;1>", `${RECEIVE}`);
    const descriptor = `${body}#${descriptorChecksum(body)}`;
    const theirs: (readonly string[])[] = [];
    const samples = await interleaved(
      [
        {
          name: "node",
          once: async (round) => {
            const range = [round * ADDRESSES, (round + 1) * ADDRESSES - 1];
            const { ms, value } = await timed(() =>
              node.rpc.call<readonly string[]>("deriveaddresses", [descriptor, range]),
            );
            theirs[round] = value;
            return ms;
          },
        },
        {
          name: "ours",
          once: async (round) => {
            const { ms, value } = await timed(async () => derived(house.scripts, round));
            measured(value.join() === theirs[round]?.join(), "the node derives other addresses");
            return ms;
          },
        },
      ],
      { warmUp: WARM_UP, counted },
    );
    const rate = (name: string) => (ADDRESSES * 1000) / summarised(samples.get(name) ?? []).median;
    return {
      table: "addresses a second",
      ours: rounded(rate("ours")),
      node: rounded(rate("node")),
      "node/ours": rounded(rate("node") / rate("ours")),
    };
  } finally {
    await node.stop();
    house.close();
    await curve.close();
  }
}

function derived(scripts: VaultScripts, round: number): readonly (string | null)[] {
  return Array.from({ length: ADDRESSES }, (_, i) =>
    addressOf(scripts.at(RECEIVE, round * ADDRESSES + i).script, NETWORK),
  );
}
