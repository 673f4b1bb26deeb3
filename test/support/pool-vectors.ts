/** Runs the pool's scenarios of seeds.json, each from the scenario that it continues. */
import { expect } from "vitest";
import type { Account } from "../../orchestrator/operations/account.ts";
import type { Deposits } from "../../orchestrator/pool/deposits.ts";
import { balanceOf, type Pool } from "../../orchestrator/pool/pool.ts";
import {
  accountFor,
  amountsOf,
  did,
  idleOf,
  idOf,
  poolOf,
  refusalOf,
  signedTransfer,
  turnAt,
} from "./pool-scenario.ts";

export interface Vector {
  readonly system: string;
  readonly case: string;
  // biome-ignore lint/suspicious/noExplicitAny: vectors of many shapes, each read where it is used.
  readonly input: any;
  // biome-ignore lint/suspicious/noExplicitAny: the same.
  readonly expected: any;
}

/** A pool and what its actions have told on the way. */
interface Scene {
  readonly pool: Pool;
  readonly price: number;
  /** By the name of an account: what it took out last. */
  readonly taken: Map<string, number[]>;
  readonly answers: string[];
  readonly v2: boolean;
  readonly requests: (bigint | "all")[];
}

const SEEDS: Readonly<Record<string, number>> = { s: 1, a: 2, b: 3, p: 4 };

function account(name: string): Account {
  return accountFor(name === "p" ? "provider" : "seeker", [SEEDS[name] ?? 9]);
}

/** How operations name it, and what the ledger knows it by. */
function named({ v2 }: Scene, name: string): string {
  return v2 ? idOf(account(name)) : name;
}

function keyOf(scene: Scene, name: string): string {
  const { holders } = scene.pool;
  return holders.keys[holders.names.indexOf(named(scene, name))] ?? "";
}

type Action = readonly (string | number)[];

function act(scene: Scene, [what, first, second, third]: Action): void {
  const { pool, taken } = scene;
  const who = String(first);
  const out = (msats: number) => taken.set(who, [...(taken.get(who) ?? []), msats]);
  switch (what) {
    case "turnover":
      turnAt(pool, scene.price);
      return;
    case "seek":
      did(pool, { kind: "seek", account: named(scene, who), msats: second });
      return;
    case "provide":
      did(pool, { kind: "provide", account: named(scene, who), msats: second, fee_ppb: third });
      return;
    case "cancel_renewal":
      scene.answers.push(refusalOf(pool, { kind: "cancel", account: who, bps: second }));
      return;
    case "withdraw_unlocked": {
      const msats = second === "all_idle" ? idleOf(pool, keyOf(scene, who)) : second;
      out(Number(did(pool, { kind: "withdraw", account: who, msats }).outMsats));
      return;
    }
    case "withdraw_idle": {
      const msats = idleOf(pool, keyOf(scene, who));
      out(Number(did(pool, { kind: "withdraw", account: account(who), msats }).outMsats));
      return;
    }
    case "unlock_fiat":
      did(pool, { kind: "unlock", account: account(who), cents: second });
      scene.requests.push(...[...pool.unlocks.values()].map(({ cents }) => cents));
      return;
    case "transfer": {
      const fields = { from: account(who), to: named(scene, String(second)), cents: third };
      did(pool, signedTransfer(pool, fields, [SEEDS[who] ?? 9]));
      return;
    }
    default:
      throw new Error(`there is no action ${what}`);
  }
}

function sceneOf({ system, input }: Vector, all: readonly Vector[]): Scene {
  const before = all.find((one) => one.system === system && one.case === input.continue_from);
  if (before !== undefined) {
    const scene = played(before, all);
    return { ...scene, price: input.price_cents ?? scene.price, taken: new Map() };
  }
  const v2 = system === "fedi_pool_v2";
  const pool = poolOf({
    rules: v2 ? "v2" : "v1",
    max_provide_fee_rate_ppb: 5_000,
    collateral: input.collateral_ratio ?? { provider: 1, seeker: 1 },
  });
  const price = input.price_cents_every_cycle ?? input.price_cents ?? 1_000_000;
  const scene = { pool, price, taken: new Map(), answers: [], v2, requests: [] };
  // v2 takes no deposit before the first cycle.
  if (v2) turnAt(pool, price);
  return scene;
}

/** The scene after the actions of a vector; some say what is there instead of what is done. */
function played(vector: Vector, all: readonly Vector[]): Scene {
  const { input } = vector;
  if (vector.case === "worked_example.t60_settle") return workedExample(all);
  const scene = sceneOf(vector, all);
  for (const [name, msats] of input.staged_seeks ?? []) act(scene, ["seek", name, msats]);
  for (const [name, msats, fee] of input.staged_provides ?? []) {
    act(scene, ["provide", name, msats, fee]);
  }
  if (input.actions === undefined) act(scene, ["turnover"]);
  for (const action of input.actions ?? []) act(scene, action);
  return scene;
}

/** The example's locks, reached by its own steps. */
function workedExample(all: readonly Vector[]): Scene {
  const lock = all.find((one) => one.case === "worked_example.t50_lock");
  if (lock === undefined) throw new Error("the example has no lock");
  return played(lock, all);
}

/** Whatever a scenario expects, by the words it uses. */
export function run(vector: Vector, all: readonly Vector[]): void {
  const { case: name, expected } = vector;
  if (name.startsWith("BUG.")) {
    wipedOut(vector);
    return;
  }
  if (name.startsWith("isolated.")) {
    isolated(vector);
    return;
  }
  const scene = played(vector, all);
  if (name === "scenario.2b_cancel_with_staged_seek_fails") {
    expect(expected).toBe("CannotCancel");
    expect(scene.answers).toEqual(["CannotCancelAutoRenewal"]);
    return;
  }
  for (const [word, value] of Object.entries(expected)) {
    expect(found(scene, word, vector), word).toEqual(value);
  }
}

const PARTS = {
  staged_seeks: ["seeks", "staged"],
  locked_seeks: ["seeks", "locked"],
  staged_provides: ["provides", "staged"],
  locked_provides: ["provides", "locked"],
} as const;

function held(scene: Scene, name: string) {
  const key = keyOf(scene, name);
  const parts = Object.entries(PARTS).map(([word, part]) => [
    word,
    amountsOf(scene.pool, key, part),
  ]);
  return { idle: idleOf(scene.pool, key), ...Object.fromEntries(parts) };
}

function found(scene: Scene, word: string, { input }: Vector): unknown {
  const { pool, taken } = scene;
  const only = (name: string, part: keyof typeof PARTS) => held(scene, name)[part];
  switch (word) {
    case "staged_seeks":
    case "locked_seeks":
      return only("s", word);
    case "staged_provides":
    case "locked_provides":
      return only("p", word);
    case "seeker":
      return held(scene, "s");
    case "provider":
      return held(scene, "p");
    case "provider_idle":
    case "provider_idle_total":
      return held(scene, "p").idle;
    case "locked_seek":
      return only("s", "locked_seeks")[0];
    case "locked_provide":
      return only("p", "locked_provides")[0];
    case "staged_seek":
    case "staged_seek_left":
      return only("s", "staged_seeks")[0];
    case "fee_rate":
      return Number(pool.cycle?.feePpb);
    case "fee":
    case "fee_pool":
      return Number(pool.cycle?.feesMsats);
    case "seeks_before_fees":
    case "seeks_sum_before_fees":
      return Number(pool.cycle?.lockedSeeksMsats) + Number(pool.cycle?.feesMsats);
    case "seeker_withdrawn_unlocked":
      return taken.get("s")?.[0];
    case "seeker_cancelled_refund":
    case "withdrawn_msat":
    case "combined_total_drop":
      return taken.get("s")?.at(-1);
    case "leftover_fiat_request":
      return Number(scene.requests.at(-1));
    case "a":
    case "b":
      return sides(scene, word);
    case "staged":
    case "locked":
      return sides(scene, "a")[word];
    default:
      throw new Error(`nothing is known of ${word} in ${JSON.stringify(input)}`);
  }
}

function sides(scene: Scene, name: string) {
  const { staged_seeks: staged, locked_seeks: locked } = held(scene, name);
  return { staged, locked };
}

function isolated({ case: name, input, expected }: Vector): void {
  const provider = name.includes(".provide.");
  const pool = poolOf();
  const put = (msats: number, side = provider ? "provide" : "seek") =>
    refusalOf(pool, {
      kind: side,
      account: "x",
      msats,
      ...(side === "provide" ? { fee_ppb: 10 } : {}),
    });
  const there = () => amountsOf(pool, "x", [provider ? "provides" : "seeks", "staged"]);
  if (input.then !== undefined) {
    put(150_000, input.staged_side);
    expect(put(150_000, input.then)).toBe(expected);
    return;
  }
  const amounts =
    input.staged ?? input.actions.map(([, msats]: readonly [string, number]) => msats);
  for (const msats of amounts) expect(put(msats)).toBe("done");
  const answer =
    input.withdraw === undefined
      ? "done"
      : refusalOf(pool, { kind: "withdraw", account: "x", msats: input.withdraw });
  if (typeof expected === "string") expect(answer).toBe(expected);
  else expect([answer, there()]).toEqual(["done", expected]);
}

/** The seed divides by zero; its note says what is right. */
function wipedOut({ input }: Vector): void {
  const pool = locked({
    seeks: input.locked_seeks,
    provides: input.locked_provides.map((msats: number) => [msats, 0]),
    price: input.start_price_cents,
  });
  const { cycle, events } = turnAt(pool, input.new_price_cents);
  expect(amountsOf(pool, "s0", ["seeks", "staged"])).toEqual([2_000_000]);
  expect(amountsOf(pool, "p0", ["provides", "staged"])).toEqual([]);
  expect([pool.seeks, pool.provides].map(lockedRows)).toEqual([0, 0]);
  expect(cycle.feePpb).toBe(0n);
  expect(events.map(({ kind }) => kind)).toEqual(["provider-exhausted"]);
}

function lockedRows({ locked: column, rows }: Deposits): number {
  return [...column.slice(0, rows)].filter((msats) => msats > 0n).length;
}

interface Locked {
  readonly seeks: readonly number[];
  readonly provides: readonly (readonly [number, number])[];
  readonly price: number;
  readonly settings?: Record<string, unknown>;
}

/** A pool after its first lock, one account a deposit. */
function locked({ seeks, provides, price, settings }: Locked): Pool {
  const pool = poolOf({ min_seek_msats: 0, min_provide_msats: 0, ...settings });
  seeks.forEach((msats, i) => {
    did(pool, { kind: "seek", account: `s${i}`, msats });
  });
  provides.forEach(([msats, fee], i) => {
    did(pool, { kind: "provide", account: `p${i}`, msats, fee_ppb: fee });
  });
  turnAt(pool, price);
  return pool;
}

const PPB_PER_PPM = 1_000;

/** The module of 2023: fees in ppm, taken on top. */
export function ppmModule({ input, expected }: Vector): void {
  const seeks = input.seekers ?? [input.seeker_locked];
  const bids: readonly (readonly [number, number])[] = input.providers ?? [
    [input.provider_locked, input.feerate],
  ];
  const pool = locked({
    seeks,
    provides: bids.map(([msats, ppm]) => [msats, ppm * PPB_PER_PPM]),
    price: input.start_price ?? 2_000_000,
    settings: { fee_on: "net", max_provide_fee_rate_ppb: 999_999_999 },
  });
  const ppm = Number(pool.cycle?.feePpb) / PPB_PER_PPM;
  const gross = seeks
    .map((_: number, i: number) => grossOf(pool, `s${i}`))
    .filter((msats: number) => msats > 0);
  const bound = bids.flatMap((_, i) => amountsOf(pool, `p${i}`, ["provides", "locked"]));
  const net = Number(pool.cycle?.lockedSeeksMsats);
  const words: Record<string, () => unknown> = {
    feerate_ppm: () => ppm,
    feerate: () => ppm,
    seeker_entries: () => gross,
    provider_entries: () => bound,
    seeker_count: () => gross.length,
    provider_count: () => bound.length,
    provider_position_minus_seeker_position_abs_max: () =>
      Math.abs(Number(pool.cycle?.lockedProvidesMsats) - net) <= 1 ? 1 : "more",
  };
  const settled = input.end_price === undefined ? null : ended(pool, input.end_price);
  for (const [word, value] of Object.entries(expected)) {
    if (word === "seeker_payout") expect(near(settled?.seeker, Number(value))).toBe(true);
    else if (word === "provider_payout") expect(settled?.provider).toBe(value);
    else if (word === "total_conserved") expect(settled?.conserved).toBe(value);
    else expect(words[word]?.(), word).toEqual(value);
  }
}

function near(value: number | undefined, to: number): boolean {
  return value !== undefined && Math.abs(value - to) <= 1;
}

/** What was locked of an account before its fee: its receipt says it. */
function grossOf(pool: Pool, key: string): number {
  const owner = pool.holders.numbers.get(key) ?? -1;
  const row = pool.seeks.owner.subarray(0, pool.seeks.rows).indexOf(owner);
  return row < 0 ? 0 : Number(pool.seeks.initial[row]);
}

/** What each side is paid at a price: what is not locked is withdrawn, and the rest cancelled. */
function ended(pool: Pool, price: number) {
  for (const account of ["s0", "p0"]) {
    const { idleMsats, stagedMsats } = balanceOf(pool, account);
    const msats = String(idleMsats + stagedMsats);
    if (msats !== "0") did(pool, { kind: "withdraw", account, msats });
    did(pool, { kind: "cancel", account, bps: 10_000 });
  }
  const locked = Number(pool.heldMsats);
  turnAt(pool, price);
  const [seeker, provider] = [idleOf(pool, "s0"), idleOf(pool, "p0")];
  return { seeker, provider, conserved: seeker + provider === locked };
}
