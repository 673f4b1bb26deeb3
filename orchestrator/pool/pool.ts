/**
 * A stability pool's ledger in memory. `operate` and `turn` change it in place, the same way
 * everywhere: the state is a function of the configuration, the operations and the votes, in their
 * order. A copy is made by replaying, or by `structuredClone`.
 */
import type { Msats, Ppb, Price } from "../../policies/money.ts";
import { type AccountKind, readAccountId } from "../operations/account.ts";
import { type Deposits, noDeposits, sumOf, totalOf } from "./deposits.ts";
import { type Holder, type Holders, noHolders } from "./holders.ts";
import type { PoolConfig } from "./pool-config.ts";
import { PoolFault } from "./pool-fault.ts";
import type { Vote } from "./votes.ts";

export interface Cycle {
  readonly index: number;
  /** Nanoseconds since 1970. */
  readonly startNanos: bigint;
  readonly price: Price;
  readonly feePpb: Ppb;
  readonly lockedSeeksMsats: Msats;
  readonly lockedProvidesMsats: Msats;
  /** What seekers paid providers up front. */
  readonly feesMsats: Msats;
}

export interface UnlockRequest {
  readonly reference: string;
  readonly cents: bigint | "all";
  /** Cents that were asked for in all, at the price of the request. */
  readonly totalCents: bigint;
}

export interface Pool {
  readonly config: PoolConfig;
  readonly holders: Holders;
  readonly seeks: Deposits;
  readonly provides: Deposits;
  /** Deposits that are no part of any cycle. */
  readonly bitcoin: Deposits;
  /** By account: msats that may be withdrawn. */
  readonly idle: Map<number, bigint>;
  readonly cancellations: Map<number, bigint>;
  readonly unlocks: Map<number, UnlockRequest>;
  /** Signed requests by hash, until the cycle that they expire with. */
  readonly used: Map<string, number>;
  /** v2 counts seeks, provides and depositors' with the first counter. */
  nextSeek: number;
  nextProvide: number;
  cycle: Cycle | null;
  /** For the next cycle, by guardian. */
  readonly votes: Map<string, Vote>;
  /** Fees of operations, which are the house's. */
  feesMsats: bigint;
  bailoutMsats: bigint;
  /** What has come in less what has gone out. All of the above comes to it, to the last msat. */
  heldMsats: bigint;
}

export function openPool(config: PoolConfig): Pool {
  return {
    config,
    holders: noHolders(),
    seeks: noDeposits(),
    provides: noDeposits(),
    bitcoin: noDeposits(),
    idle: new Map(),
    cancellations: new Map(),
    unlocks: new Map(),
    used: new Map(),
    nextSeek: 0,
    nextProvide: 0,
    cycle: null,
    votes: new Map(),
    feesMsats: 0n,
    bailoutMsats: 0n,
    heldMsats: 0n,
  };
}

export type Side = "seeks" | "provides" | "bitcoin";

const SIDES: Readonly<Record<AccountKind, Side>> = {
  seeker: "seeks",
  provider: "provides",
  "btc-depositor": "bitcoin",
};

export interface PoolAccount extends Holder {
  /** Null in v1, where a key may be on either side. */
  readonly side: Side | null;
}

/** Null for a text that names no account under the pool's rules. */
export function accountOf({ config }: Pool, name: string): PoolAccount | null {
  if (config.rules === "v1") {
    return /^[0-9a-z.-]{1,80}$/.test(name) ? { key: name, name, side: null } : null;
  }
  const id = readAccountId(name);
  return id === null ? null : { key: id.hash, name, side: SIDES[id.kind] };
}

export function addIdle({ idle }: Pool, owner: number, msats: bigint): void {
  if (msats !== 0n) idle.set(owner, (idle.get(owner) ?? 0n) + msats);
}

export interface Balance {
  readonly idleMsats: bigint;
  readonly stagedMsats: bigint;
  readonly lockedMsats: bigint;
}

/** What an account has; zeros for one that the pool does not know. */
export function balanceOf(pool: Pool, key: string): Balance {
  const owner = pool.holders.numbers.get(key) ?? -1;
  const sum = (part: "staged" | "locked") =>
    sumOf(pool.seeks, owner, part) +
    sumOf(pool.provides, owner, part) +
    sumOf(pool.bitcoin, owner, part);
  return {
    idleMsats: pool.idle.get(owner) ?? 0n,
    stagedMsats: sum("staged"),
    lockedMsats: sum("locked"),
  };
}

/** Throws where the parts of the ledger do not come to what is held: nothing is believed then. */
export function assertConserved(pool: Pool): void {
  let sum = pool.feesMsats + pool.bailoutMsats;
  for (const msats of pool.idle.values()) sum += msats;
  for (const side of ["seeks", "provides", "bitcoin"] as const) {
    sum += totalOf(pool[side], "staged") + totalOf(pool[side], "locked");
  }
  if (sum === pool.heldMsats) return;
  throw new PoolFault(
    "not-conserved",
    `the parts come to ${sum} msats, ${pool.heldMsats} are held`,
  );
}
