/**
 * Locking: everything goes back to staged, then seeks are matched with the cheapest collateral that
 * covers them. The dearest provide that is needed sets the one fee of the cycle; seekers pay it up
 * front to the providers.
 */
import { lesser, PPB_WHOLE } from "../../policies/money.ts";
import type { Deposits } from "./deposits.ts";
import { centsOfMsats } from "./fiat.ts";
import { ceilDiv, collateralMissing, type Kept, kept, seeksCovered } from "./formula.ts";
import { itemAt } from "./holders.ts";
import { type Moves, movesOf, note } from "./moves.ts";
import { addIdle, type Pool } from "./pool.ts";

export interface Locking {
  /** The cycle that begins. */
  readonly index: number;
  readonly price: bigint;
  readonly randomness: bigint;
}

export interface Locks {
  readonly feePpb: bigint;
  readonly seeksMsats: bigint;
  readonly providesMsats: bigint;
  /** What seekers have paid providers. */
  readonly feesMsats: bigint;
  readonly moves: readonly Moves[];
}

/** Rows of both sides stand in the order in which they are served, and hold something. */
export function lock(pool: Pool, turn: Locking): Locks {
  const was = { seeks: restage(pool.seeks), provides: restage(pool.provides) };
  const chosen = lockProvides(pool, was.provides.locked, was.seeks.staged);
  const provided = chosen.providesMsats - payBailout(pool, chosen.feePpb);
  const terms = kept(chosen.feePpb, pool.config.fee_on);
  const covered = seeksCovered(provided, terms, pool.config.collateral);
  const seeks = lockSeeks(pool.seeks, { was: was.seeks.locked, covered, terms, turn });
  payProviders(pool, { fees: seeks.fees, provided, randomness: turn.randomness });
  return {
    feePpb: chosen.feePpb,
    seeksMsats: seeks.sum,
    providesMsats: provided,
    feesMsats: seeks.fees,
    moves: [seeks.moves, chosen.moves],
  };
}

interface Restaged {
  /** What is staged now. */
  readonly staged: bigint;
  /** By row: what was locked. */
  readonly locked: BigUint64Array;
}

function restage(side: Deposits): Restaged {
  const { staged, rows } = side;
  const locked = side.locked.slice(0, rows);
  let sum = 0n;
  for (let row = 0; row < rows; row += 1) {
    const all = (staged[row] ?? 0n) + (locked[row] ?? 0n);
    staged[row] = all;
    sum += all;
  }
  side.locked.fill(0n, 0, rows);
  return { staged: sum, locked };
}

interface Chosen {
  readonly feePpb: bigint;
  readonly providesMsats: bigint;
  readonly moves: Moves;
}

function lockProvides(pool: Pool, was: BigUint64Array, seeks: bigint): Chosen {
  const { staged, locked, fee, rows } = pool.provides;
  const moves = movesOf(pool.provides);
  const auction = openAuction(pool, seeks);
  let row = 0;
  for (; row < rows && wants(auction, BigInt(fee[row] ?? 0)); row += 1) {
    const there = staged[row] ?? 0n;
    const used = lesser(there, auction.left);
    auction.sum += used;
    auction.left -= used;
    staged[row] = there - used;
    locked[row] = used;
    note(moves, row, { was: was[row] ?? 0n, now: used });
  }
  for (; row < rows; row += 1) note(moves, row, { was: was[row] ?? 0n, now: 0n });
  return { feePpb: auction.sum === 0n ? 0n : auction.feePpb, providesMsats: auction.sum, moves };
}

interface Auction {
  feePpb: bigint;
  /** Collateral taken so far, and what is still missing at this fee. */
  sum: bigint;
  left: bigint;
  readonly missing: (feePpb: bigint, providesMsats: bigint) => bigint;
}

function openAuction({ config, provides }: Pool, seeksMsats: bigint): Auction {
  const missing = (feePpb: bigint, providesMsats: bigint) =>
    collateralMissing(
      { seeksMsats, providesMsats },
      kept(feePpb, config.fee_on),
      config.collateral,
    );
  // Bids stand by fee, so the first is the lowest; from zero upwards the seed starts at zero.
  const lowest = provides.rows === 0 ? 0 : Math.min(provides.fee[0] ?? 0, 0);
  const feePpb = BigInt(lowest);
  return { feePpb, sum: 0n, left: missing(feePpb, 0n), missing };
}

/** Whether a bid is needed; a dearer one raises the fee, which may make what is there enough. */
function wants(auction: Auction, asked: bigint): boolean {
  if (auction.left === 0n) return false;
  if (asked <= auction.feePpb) return true;
  const left = auction.missing(asked, auction.sum);
  if (left === 0n) return false;
  auction.feePpb = asked;
  auction.left = left;
  return true;
}

/** A fee below zero is paid by providers, out of what they lock, into the bailout fund. */
function payBailout(pool: Pool, feePpb: bigint): bigint {
  if (feePpb >= 0n) return 0n;
  const { locked, paid, rows } = pool.provides;
  let sum = 0n;
  for (let row = 0; row < rows; row += 1) {
    const there = locked[row] ?? 0n;
    const fee = ceilDiv(there * -feePpb, PPB_WHOLE);
    locked[row] = there - fee;
    paid[row] = (paid[row] ?? 0n) + fee;
    sum += fee;
  }
  pool.bailoutMsats += sum;
  return sum;
}

interface Covering {
  readonly was: BigUint64Array;
  readonly covered: bigint;
  readonly terms: Kept;
  readonly turn: Locking;
}

function lockSeeks(seeks: Deposits, { was, covered, terms, turn }: Covering) {
  const { staged, locked, paid, rows } = seeks;
  const { part, whole } = terms;
  const moves = movesOf(seeks);
  let left = covered;
  let sum = 0n;
  let fees = 0n;
  for (let row = 0; row < rows; row += 1) {
    const there = staged[row] ?? 0n;
    const used = lesser(there, left);
    note(moves, row, { was: was[row] ?? 0n, now: used });
    if (used === 0n) continue;
    left -= used;
    // The fee is rounded up by rounding down what is left.
    const remains = (used * part) / whole;
    staged[row] = there - used;
    locked[row] = remains;
    sum += remains;
    fees += used - remains;
    paid[row] = (paid[row] ?? 0n) + used - remains;
    if ((seeks.since[row] ?? -1) < 0) openReceipt(seeks, row, { used, turn });
  }
  return { sum, fees, moves };
}

function openReceipt(
  seeks: Deposits,
  row: number,
  { used, turn }: { readonly used: bigint; readonly turn: Locking },
): void {
  seeks.since[row] = turn.index;
  seeks.initial[row] = used;
  seeks.initialCents[row] = centsOfMsats(used, turn.price);
}

interface Paying {
  readonly fees: bigint;
  readonly provided: bigint;
  readonly randomness: bigint;
}

/** By account, each its floor; what is left over goes whole to one of them. */
function payProviders(pool: Pool, { fees, provided, randomness }: Paying): void {
  const { owner, locked, rows } = pool.provides;
  if (fees === 0n) return;
  const shares = new Map<number, bigint>();
  for (let row = 0; row < rows; row += 1) {
    const there = locked[row] ?? 0n;
    if (there === 0n) continue;
    const whose = owner[row] ?? 0;
    shares.set(whose, (shares.get(whose) ?? 0n) + there);
  }
  let left = fees;
  for (const [whose, share] of shares) {
    const owed = (share * fees) / provided;
    left -= owed;
    addIdle(pool, whose, owed);
  }
  if (left === 0n) return;
  const owners = Int32Array.from(shares.keys());
  const place = itemAt(pool.holders, owners, Number(randomness % BigInt(owners.length)));
  addIdle(pool, place.owner, left);
}
