/**
 * Random histories of a pool, run on the ledger and on the pool of objects at once: the same answers,
 * the same balances after each turn, every msat accounted for. Each leaves a log for another process.
 */
import fc from "fast-check";
import { accountId, isSingle } from "../../orchestrator/operations/account.ts";
import { leavingHash } from "../../orchestrator/operations/authority.ts";
import { operate } from "../../orchestrator/operations/operate.ts";
import { turn } from "../../orchestrator/pool/cycle.ts";
import { assertConserved, balanceOf, openPool, type Pool } from "../../orchestrator/pool/pool.ts";
import { stateHash } from "../../orchestrator/pool/state-hash.ts";
import { hear } from "../../orchestrator/pool/votes.ts";
import { greater, lesser, price as priceOf } from "../../policies/money.ts";
import {
  type ObjectsOperation,
  type ObjectsPool,
  objectsOperate,
  objectsPool,
  objectsTurn,
} from "../../scripts/bench/pool-objects.ts";
import {
  accountFor,
  amountsOf,
  idOf,
  operationOf,
  poolConfig,
  signaturesOf,
  signedTransfer,
} from "./pool-scenario.ts";

const KINDS = ["withdraw", "cancel", "undo", "unlock", "transfer"] as const;

const asking = {
  who: fc.nat(6),
  to: fc.nat(6),
  /** An amount, or a share of what there is, in bps. */
  msats: fc.oneof(
    { weight: 9, arbitrary: fc.integer({ min: 100_000, max: 2_000_000_000 }) },
    { weight: 1, arbitrary: fc.nat(2_000) },
  ),
  bps: fc.integer({ min: 0, max: 11_000 }),
  all: fc.boolean(),
  fee: fc.oneof(
    { weight: 4, arbitrary: fc.nat(2_000) },
    { weight: 1, arbitrary: fc.integer({ min: -2_100, max: 2_100 }) },
  ),
};

const deposits = fc.record({
  kind: fc.constantFrom("seek" as const, "provide" as const),
  ...asking,
});
const turns = fc.record({
  kind: fc.constant("turn" as const),
  /** In bps: mostly a few per cent, sometimes from -99 % to +900 %. */
  change: fc.oneof(
    { weight: 2, arbitrary: fc.integer({ min: -1_000, max: 1_000 }) },
    { weight: 1, arbitrary: fc.integer({ min: -9_900, max: 90_000 }) },
    { weight: 1, arbitrary: fc.integer({ min: -9_900, max: -3_000 }) },
  ),
  randomness: fc.integer({ min: 0, max: 999_999_999 }),
});
const step = fc.oneof(
  { weight: 4, arbitrary: deposits },
  { weight: 4, arbitrary: fc.record({ kind: fc.constantFrom(...KINDS), ...asking }) },
  { weight: 4, arbitrary: turns },
);

export const history = fc.record({
  v2: fc.boolean(),
  bailout: fc.boolean(),
  provider: fc.integer({ min: 1, max: 4 }),
  seeker: fc.integer({ min: 1, max: 4 }),
  first: turns,
  steps: fc.array(step, { minLength: 10, maxLength: 60, size: "max" }),
});

export type History = typeof history extends fc.Arbitrary<infer Value> ? Value : never;
type Step = History["steps"][number];
type Asking = Exclude<Step, { kind: "turn" }>;

/** Seekers, one of them of three keys, and providers. */
const PEOPLE = [
  { account: accountFor("seeker", [1]), seeds: [1] },
  { account: accountFor("seeker", [2]), seeds: [2] },
  { account: accountFor("seeker", [3, 4, 5], 2), seeds: [3, 5] },
  { account: accountFor("provider", [6]), seeds: [6] },
  { account: accountFor("provider", [7]), seeds: [7] },
  { account: accountFor("provider", [8]), seeds: [8] },
  { account: accountFor("btc-depositor", [9]), seeds: [9] },
];

interface Run {
  readonly pool: Pool;
  readonly objects: ObjectsPool;
  readonly v2: boolean;
  readonly lines: string[];
  readonly seen: Set<string>;
  /** What has come in less what has gone out. */
  held: bigint;
  nonce: number;
}

export interface Told {
  readonly log: string;
  readonly state: string;
  /** What has happened in it: answers of operations, events of turns. */
  readonly seen: ReadonlySet<string>;
}

/** What a thousand histories must have seen, or they look at less than they say. */
export const WANTED = [
  "seek done",
  "seek CannotSeek",
  "provide done",
  "provide CannotProvide",
  "provide FeeRateTooLow",
  "withdraw done",
  "cancel done",
  "undo done",
  "unlock done",
  "unlock DuplicateUnlockRequest",
  "transfer done",
  "deposit done",
  "locked",
  "freed",
  "paid by providers",
  "provider-exhausted",
  "insolvent",
  "bailout",
] as const;

const PRICE_FIRST = priceOf(5_000_000n);
const MINIMUM = 1_000n;

/** Throws where the two disagree, or a msat is missing. */
export function runHistory({ v2, bailout, provider, seeker, first, steps }: History): Told {
  const settings = {
    rules: v2 ? "v2" : "v1",
    collateral: { provider, seeker },
    min_seek_msats: Number(MINIMUM),
    min_provide_msats: Number(MINIMUM),
    min_provide_fee_rate_ppb: bailout ? -2_000 : 0,
  };
  const config = poolConfig(settings);
  const run: Run = {
    pool: openPool(config),
    objects: objectsPool({
      v2,
      provider: BigInt(provider),
      seeker: BigInt(seeker),
      minimum: MINIMUM,
      maxFee: 2_000n,
      minFee: config.min_provide_fee_rate_ppb,
    }),
    v2,
    lines: [],
    seen: new Set(),
    held: 0n,
    nonce: 0,
  };
  const head = { pool: "usd", currency: "USD", ...settings };
  run.lines.push(JSON.stringify({ format: "ballast/pool-log@1", config: head }));
  for (const one of [first, ...steps]) {
    if (one.kind === "turn") turnBoth(run, one);
    else askBoth(run, one);
    assertConserved(run.pool);
    if (run.pool.heldMsats !== run.held) throw new Error("a msat came from nowhere, or went there");
  }
  const state = stateHash(run.pool);
  run.lines.push(JSON.stringify({ claim: { state } }));
  return { log: run.lines.join("\n"), state, seen: run.seen };
}

function person(run: Run, who: number) {
  const one = PEOPLE[who];
  if (one === undefined) throw new Error("nobody");
  if (!run.v2) return { ...one, name: `k${who}`, key: `k${who}`, side: null };
  const { kind, hash } = accountId(one.account);
  const side = { seeker: "seeks", provider: "provides", "btc-depositor": "bitcoin" } as const;
  return { ...one, name: idOf(one.account), key: hash, side: side[kind] };
}

/** The fields of a log's operation, and the same for the pool of objects where it knows it. */
function askBoth(run: Run, one: Asking): void {
  const fields = fieldsOf(run, one);
  if (fields === null) return;
  const outcome = operate(run.pool, operationOf(fields.log));
  const answer = outcome.kind === "refused" ? outcome.error : "done";
  run.seen.add(`${fields.log["kind"]} ${answer}`);
  const refused = answer === "done" ? {} : { refused: answer };
  run.lines.push(JSON.stringify({ operation: fields.log, ...refused }));
  if (outcome.kind === "done") run.held += outcome.inMsats - outcome.outMsats;
  if (fields.objects === null) return;
  const other = objectsOperate(run.objects, fields.objects);
  if (answer !== other) throw new Error(`${one.kind}: the ledger says ${answer}, objects ${other}`);
}

interface Fields {
  readonly log: Record<string, unknown>;
  readonly objects: ObjectsOperation | null;
}

function fieldsOf(run: Run, one: Asking): Fields | null {
  const { v2, pool } = run;
  const { key, name, side } = person(run, one.who);
  const msats = BigInt(one.msats);
  switch (one.kind) {
    case "seek":
    case "provide":
      return depositFields(run, one);
    case "cancel":
      return v2
        ? null
        : {
            log: { kind: "cancel", account: name, bps: one.bps },
            objects: { kind: "cancel", key, bps: BigInt(one.bps) },
          };
    case "undo":
      return v2 ? null : { log: { kind: "undo", account: name }, objects: { kind: "undo", key } };
    case "withdraw": {
      const there = balanceOf(pool, key);
      const all = there.idleMsats + (v2 ? 0n : there.stagedMsats);
      const amount = one.all ? all : (all * BigInt(one.bps)) / 10_000n || msats % 3n;
      return leavingFields(run, one, { kind: "withdraw", msats: amount });
    }
    case "unlock":
      return v2 ? leavingFields(run, one, { kind: "unlock", cents: centsOf(run, one) }) : null;
    case "transfer":
      return v2 && side !== null ? transferFields(run, one) : null;
    default:
      return one satisfies never;
  }
}

function depositFields(run: Run, one: Asking): Fields {
  // In v1 a key is on one side at a time: most keep to theirs, the last tries both.
  const own = one.kind === "seek" ? one.who % 4 : 3 + (one.who % 4);
  const { name, key, side } = person(run, run.v2 ? one.who : own);
  const msats = BigInt(one.msats);
  const what = run.v2
    ? ({ seeks: "seek", provides: "provide", bitcoin: "deposit" } as const)
    : null;
  const kind = what === null || side === null ? one.kind : what[side];
  const log = { kind, account: name, msats: one.msats };
  if (kind === "deposit") return { log: { ...log, metadata: "00" }, objects: null };
  if (kind !== "provide") return { log, objects: { kind: "seek", key, msats } };
  return {
    log: { ...log, fee_ppb: one.fee },
    objects: { kind: "provide", key, msats, fee: BigInt(one.fee) },
  };
}

/** A share of what is staged and locked, in cents at the cycle's price. */
function centsOf({ pool }: Run, { who, bps, all }: Asking): bigint | "all" {
  if (all) return "all";
  const one = PEOPLE[who];
  const key = one === undefined ? "" : accountId(one.account).hash;
  const { stagedMsats, lockedMsats } = balanceOf(pool, key);
  const price = pool.cycle?.price ?? PRICE_FIRST;
  return ((stagedMsats + lockedMsats) * price * BigInt(bps)) / 1_000_000_000_000_000n;
}

type Leaving =
  | { readonly kind: "withdraw"; readonly msats: bigint }
  | { readonly kind: "unlock"; readonly cents: bigint | "all" };

function leavingFields(run: Run, one: Asking, leaving: Leaving): Fields {
  const { account, seeds, name, key, side } = person(run, one.who);
  const amount =
    leaving.kind === "withdraw"
      ? { msats: String(leaving.msats) }
      : { cents: String(leaving.cents) };
  const log = { kind: leaving.kind, account: run.v2 ? account : name, ...amount };
  const objects: ObjectsOperation | null =
    side === "bitcoin"
      ? null
      : leaving.kind === "withdraw"
        ? { kind: "withdraw", key, msats: leaving.msats }
        : { kind: "unlock", key, cents: leaving.cents, side: side ?? "seeks" };
  if (!run.v2 || isSingle(account)) return { log, objects };
  run.nonce += 1;
  const authority = { nonce: run.nonce, until: 1_000 };
  const hash = leavingHash(run.pool.config, { ...leaving, account }, authority);
  const signatures = signaturesOf(account, seeds, hash);
  return { log: { ...log, authority: { ...authority, signatures } }, objects };
}

function transferFields(run: Run, one: Asking): Fields | null {
  const from = person(run, one.who);
  const to = person(run, one.to);
  const cents = centsOf(run, { ...one, all: false });
  if (from.side !== to.side || from.key === to.key || cents === 0n || cents === "all") return null;
  run.nonce += 1;
  const fee = from.side === "provides" ? { fee_ppb: Math.abs(one.fee) % 2_000 } : {};
  const asked = { from: from.account, to: to.name, cents: String(cents), nonce: run.nonce, ...fee };
  const log = signedTransfer(run.pool, asked, from.seeds);
  if (from.side === "bitcoin" || from.side === null) return { log, objects: null };
  const { key, side } = from;
  const feePpb = BigInt(fee.fee_ppb ?? 0);
  return { log, objects: { kind: "transfer", key, to: to.key, cents, side, fee: feePpb } };
}

function turnBoth(run: Run, { change, randomness }: Extract<Step, { kind: "turn" }>): void {
  const { pool, objects } = run;
  const last = pool.cycle?.price ?? PRICE_FIRST;
  const moved = (last * BigInt(10_000 + change)) / 10_000n;
  const price = priceOf(greater(100n, lesser(100_000_000_000n, moved)));
  const index = pool.cycle === null ? 0 : pool.cycle.index + 1;
  const nanos = BigInt(1_700_000_000 + index) * 1_000_000_000n + BigInt(randomness);
  const vote = { guardian: "g", index, time_nanos: String(nanos), price: String(price) };
  run.lines.push(JSON.stringify({ vote }));
  const heard = hear(
    { guardian: "g", index, timeNanos: nanos, price },
    { votes: pool.votes, cycle: pool.cycle, threshold: 1, guardians: [] },
  );
  if (heard.kind !== "agreed") throw new Error("one vote of one does not turn the cycle");
  const { cycle, events, released } = turn(pool, heard.terms);
  for (const { kind } of events) run.seen.add(kind);
  if (cycle.lockedSeeksMsats > 0n) run.seen.add("locked");
  if (cycle.feePpb < 0n) run.seen.add("paid by providers");
  if (released.length > 0) run.seen.add("freed");
  objectsTurn(objects, price, BigInt(randomness));
  same(run);
}

/** Fee, fund and every list of every account. */
function same(run: Run): void {
  const { pool, objects } = run;
  const [ours, theirs]: [unknown[], unknown[]] = [[], []];
  ours.push(pool.cycle?.feePpb, pool.bailoutMsats);
  theirs.push(objects.fee, objects.bailout);
  for (let who = 0; who < PEOPLE.length; who += 1) {
    const { key, side } = person(run, who);
    if (side === "bitcoin") continue;
    ours.push(balanceOf(pool, key).idleMsats);
    theirs.push(objects.idle.get(key) ?? 0n);
    for (const part of ["staged", "locked"] as const) {
      for (const place of ["seeks", "provides"] as const) {
        const items = [...(objects[part][place].get(key) ?? [])];
        items.sort((a, b) => a.sequence - b.sequence);
        ours.push(...amountsOf(pool, key, [place, part]));
        theirs.push(...items.map(({ amount }) => Number(amount)));
      }
    }
  }
  const [left, right] = [ours.join(), theirs.join()];
  if (left !== right) throw new Error(`the ledger has ${left}\nobjects have    ${right}`);
}
