/**
 * `bench law`: what one judgement costs, from bytes to verdict, on one thread and without key, journal
 * or node; beside @scure/btc-signer, which reads the same PSBT and computes the same signature
 * hashes, and beside the bare curve. Then what a hostile PSBT costs until it is refused.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Transaction } from "@scure/btc-signer";
import { hex, sha256 } from "../../policies/bitcoin/hash.ts";
import { readPsbt } from "../../policies/bitcoin/psbt.ts";
import { shown } from "../../policies/bitcoin/transaction.ts";
import { equal, u32 } from "../../policies/bitcoin/wire.ts";
import type { ChainView } from "../../policies/chain-view.ts";
import { type Decision, decide } from "../../policies/decide.ts";
import type { Policy } from "../../policies/document/policy.ts";
import { NO_EVIDENCE } from "../../policies/evidence.ts";
import { type SpendFacts, spendFacts } from "../../policies/facts.ts";
import { historyOf, historyQuery, NO_HISTORY } from "../../policies/history.ts";
import { type IntentDocument, readIntent } from "../../policies/intent.ts";
import { sats } from "../../policies/money.ts";
import { type VaultScripts, vaultScripts } from "../../policies/vault-scripts.ts";
import { openCurvePool } from "../../signer/curve.ts";
import { bareCurve } from "./contenders.ts";
import { type CostlyRow, timeControl, timeCostly } from "./costly.ts";
import { type Refusal, refusalRow, timeRefusals } from "./hostile.ts";
import {
  COIN_SATS,
  type Coin,
  coinsOf,
  type FreshSpend,
  freshSpend,
  type House,
  openHouse,
  policyOf,
  type Tip,
} from "./house.ts";
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
import { type Contender, interleaved, quantile } from "./timing.ts";

export const lawBench: Bench = {
  name: "law",
  says: "ms per judgement of 2 to 250 inputs beside @scure/btc-signer; refusals of hostile PSBTs; delays of the main thread",
  run,
};

const SIZES = [2, 20, 250] as const;
type Size = (typeof SIZES)[number];
/** What is short needs more rounds before compilers have settled and a tail means something. */
const PLAN: Readonly<Record<Size, { readonly warmUp: number; readonly times: number }>> = {
  2: { warmUp: 200, times: 4 },
  20: { warmUp: 50, times: 2 },
  250: { warmUp: 5, times: 1 },
};
const ROUNDS = 100;
const COSTLY_ROUNDS = 20;

const AIMS = { scureRatio: 1, refusalMs: 10, loopLagMs: 20 } as const;

/**
 * `unsigned`: nobody has signed; the vault's addresses are known from before. `new vault`: the same,
 * and every address is derived. `signed`: the user's signatures are verified, as the LSP does it.
 */
const WAYS = ["unsigned", "new vault", "signed", "scure", "curve"] as const;
type Way = (typeof WAYS)[number];

const TIP: Tip = { height: 1_000, tip: "00".repeat(32), medianTime: 1_800_000_000 };
const NOW = TIP.medianTime * 1_000;

async function run({ rounds, progress }: BenchOptions): Promise<BenchResult> {
  const curve = openCurvePool();
  const folder = mkdtempSync(join(tmpdir(), "ballast-bench-"));
  const house = await openHouse(folder, curve);
  try {
    const chain = house.prepared.chain;
    const user = await house.signer("user", { curve, chain });
    const largest = spendOf(house, 250);
    // Before scure: what it leaves to the garbage collector is nobody's delay.
    progress("refusing PSBTs that are well-formed");
    const asked = {
      signer: await house.signer("lsp", { curve, chain }),
      curve,
      scripts: house.scripts,
      intent: largest.intent,
      rounds: rounds ?? COSTLY_ROUNDS,
    };
    const costly = await timeCostly(asked);
    const control = await timeControl(asked);
    progress("refusing PSBTs that are malformed");
    const refusals = timeRefusals(largest.psbt);
    const samples = new Map<string, readonly number[]>();
    for (const size of SIZES) {
      const { warmUp, times } = PLAN[size];
      const counted = (rounds ?? ROUNDS) * times;
      progress(`${size} inputs: ${counted} rounds after ${warmUp} of warm-up`);
      const spend = spendOf(house, size);
      const outcome = await user.sign(spend);
      measured(outcome.kind === "signed", "the user did not sign");
      const contenders = contendersOf(house, { size, spend, signed: outcome.psbt });
      for (const [name, ms] of await interleaved(contenders, { warmUp, counted })) {
        samples.set(name, ms);
      }
    }
    return {
      rows: [
        ...SIZES.map((size) => timeRow(samples, size)),
        ...SIZES.map((size) => ratioRow(samples, size)),
        ...refusals.map(refusalRow),
        ...costly,
        control,
      ],
      aims: aimsOf(samples, refusals, costly),
    };
  } finally {
    house.close();
    await curve.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A withdrawal of coins that the prepared chain view has, and nobody else. */
function spendOf(house: House, size: Size): FreshSpend {
  const coins = Array.from(
    { length: size },
    (_, index): Coin => ({
      outpoint: `${shown(sha256(u32(size * 1_000 + index)))}:0`,
      sats: sats(COIN_SATS),
      index,
    }),
  );
  house.prepared.put(TIP, coinsOf(house.scripts, coins, TIP.height));
  return freshSpend(house.scripts, coins, { locktime: TIP.height, number: size });
}

interface Judged {
  readonly facts: SpendFacts;
  readonly decision: Decision;
}

/** What `guard.ts` does between the request and the claim: gate, facts, history, every rule. */
function judged(
  request: { readonly psbt: Uint8Array; readonly intent: IntentDocument },
  law: { readonly policy: Policy; readonly scripts: VaultScripts; readonly chain: ChainView },
): Judged {
  const { policy, scripts, chain } = law;
  const psbt = readPsbt(request.psbt);
  const intent = readIntent(request.intent);
  const facts = spendFacts(psbt, [scripts]);
  const spend = { facts, intent, policy, evidence: NO_EVIDENCE };
  const moment = { now: NOW, height: chain.height };
  const history = historyOf(NO_HISTORY, historyQuery({ ...spend, chain }), moment);
  const { vault } = scripts;
  return { facts, decision: decide({ ...spend, vault, parties: [], history, chain }) };
}

interface Field {
  readonly size: Size;
  readonly spend: FreshSpend;
  /** The same with the user's signatures. */
  readonly signed: Uint8Array;
}

function contendersOf(house: House, { size, spend, signed }: Field): readonly Contender[] {
  const user = policyOf("user");
  const lsp = policyOf("lsp");
  const outpoints = readPsbt(spend.psbt).tx.inputs.map(
    ({ txid, vout }) => `${shown(txid)}:${vout}`,
  );
  const chain = house.prepared.chain.view({ outpoints });
  const bare = bareCurve();
  const one = (way: Way, once: Contender["once"]): Contender => ({ name: idOf(size, way), once });
  const law = async (
    request: Parameters<typeof judged>[0],
    with_: { readonly policy: Policy; readonly scripts: VaultScripts },
  ): Promise<number> => {
    const view = await chain;
    const start = performance.now();
    const { decision } = judged(request, { ...with_, chain: view });
    const ms = performance.now() - start;
    measured(decision.kind === "approved", `an honest spend was ${decision.kind}`);
    return ms;
  };
  const { scripts, vault } = house;
  return [
    one("unsigned", () => law(spend, { policy: user, scripts })),
    one("new vault", () => law(spend, { policy: user, scripts: vaultScripts(vault) })),
    one("signed", () => law({ ...spend, psbt: signed }, { policy: lsp, scripts })),
    one("scure", async () => scure(spend.psbt, wantedHashes(spend.psbt, scripts))),
    one("curve", async () => bare(0, size)),
  ];
}

interface Wanted {
  readonly spent: readonly { readonly script: Uint8Array; readonly sats: bigint }[];
  readonly leaves: readonly Uint8Array[];
  readonly sighashes: readonly Uint8Array[];
}

const hashes = new Map<string, Wanted>();

/** By our own facts: what scure is given beside the PSBT, and what it must find. */
function wantedHashes(psbt: Uint8Array, scripts: VaultScripts): Wanted {
  const id = hex(sha256(psbt));
  const known = hashes.get(id);
  if (known !== undefined) return known;
  const { inputs } = spendFacts(readPsbt(psbt), [scripts]);
  const wanted: Wanted = {
    spent: inputs.map(({ script, sats: amount }) => {
      measured(script !== null && amount !== null, "an honest input says not what it spends");
      return { script, sats: amount };
    }),
    leaves: inputs.map(({ coin }) => {
      measured(coin !== null, "an honest input is not the vault's");
      return scripts.at(coin.branch, coin.index).leaf;
    }),
    sighashes: inputs.map(({ signing }) => signing?.sighash ?? new Uint8Array(0)),
  };
  hashes.set(id, wanted);
  return wanted;
}

/** scure reads the PSBT and hashes every input; it asks no rule and derives no address. */
function scure(psbt: Uint8Array, { spent, leaves, sighashes }: Wanted): number {
  const outputs = spent.map(({ script }) => script);
  const amounts = spent.map((output) => output.sats);
  const start = performance.now();
  const tx = Transaction.fromPSBT(psbt);
  const found = leaves.map((leaf, i) =>
    tx.preimageWitnessV1(i, outputs, 0, amounts, undefined, leaf),
  );
  const ms = performance.now() - start;
  measured(
    found.every((hash, i) => equal(hash, sighashes[i] ?? new Uint8Array(0))),
    "scure and the law compute different signature hashes",
  );
  return ms;
}

function idOf(size: Size, way: Way): string {
  return `${size} ${way}`;
}

type Samples = ReadonlyMap<string, readonly number[]>;

function at(samples: Samples, size: Size, way: Way, share: number): number {
  return quantile(samples.get(idOf(size, way)) ?? [], share);
}

function timeRow(samples: Samples, size: Size): Row {
  return {
    table: "ms per judgement (unsigned, new vault, signed: gate, facts, history, rules, decision)",
    inputs: size,
    ...Object.fromEntries(
      WAYS.flatMap((way) => [
        [`${way} p50`, rounded(at(samples, size, way, 0.5))],
        [`${way} p99`, rounded(at(samples, size, way, 0.99))],
      ]),
    ),
  };
}

function ratioRow(samples: Samples, size: Size): Row {
  const ratio = (way: Way, peer: Way) =>
    rounded(at(samples, size, way, 0.5) / at(samples, size, peer, 0.5));
  return {
    table: "ratios of the medians (curve: one bare verification an input)",
    inputs: size,
    "unsigned/scure": ratio("unsigned", "scure"),
    "new vault/scure": ratio("new vault", "scure"),
    "unsigned/curve": ratio("unsigned", "curve"),
    "new vault/curve": ratio("new vault", "curve"),
    "signed/curve": ratio("signed", "curve"),
  };
}

function aimsOf(
  samples: Samples,
  refusals: readonly Refusal[],
  costly: readonly CostlyRow[],
): readonly Aim[] {
  const p99 = (refusal: Refusal) => quantile(refusal.samples, 0.99);
  const slowest = refusals.reduce((a, b) => (p99(b) > p99(a) ? b : a));
  const longest = costly.reduce((a, b) => (b["longest delay"] > a["longest delay"] ? b : a));
  return [
    ...SIZES.map((size) =>
      aimBelow(
        `${size} inputs, unsigned: ratio to scure`,
        at(samples, size, "unsigned", 0.5) / at(samples, size, "scure", 0.5),
        AIMS.scureRatio,
      ),
    ),
    aimAtMost(`structural refusal, worst p99, ms (${slowest.kind})`, p99(slowest), AIMS.refusalMs),
    aimBelow(
      `refusal by rules, longest delay of the main thread, ms (${longest.kind})`,
      longest["longest delay"],
      AIMS.loopLagMs,
    ),
  ];
}
