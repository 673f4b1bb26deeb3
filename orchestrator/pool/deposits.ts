/**
 * The deposits of one side of a pool, as columns: a row is one deposit, with what of it is staged
 * and what is locked. A deposit that is locked in part is one row, so that restaging is an addition.
 *
 * Rows of seeks stand by sequence, rows of provides by fee and sequence as of the last turnover, and
 * new ones at the end: within an account this is the seed's order of its lists, and "newest first"
 * walks it backwards.
 *
 * Columns are u64 and i32, not objects: a million deposits are walked in tens of milliseconds. A
 * column would wrap at 2^64; the bound of the pool (POOL_MSATS_MAX < 2^61) keeps every amount and
 * every sum below, and `turn` asserts it.
 */
export interface Deposits {
  rows: number;
  owner: Int32Array;
  /** A counter, exact in a double below 2^53. */
  sequence: Float64Array;
  /** What a provide asks for, in ppb; zero for others. */
  fee: Int32Array;
  staged: BigUint64Array;
  locked: BigUint64Array;
  /** Fees that this deposit has paid so far. */
  paid: BigUint64Array;
  /** What was locked first, before its fee, and what it was worth; then what was cancelled of it. */
  initial: BigUint64Array;
  initialCents: BigUint64Array;
  withdrawn: BigUint64Array;
  withdrawnCents: BigUint64Array;
  /** The cycle of the first lock, or -1. */
  since: Int32Array;
  /** The row before this one of the same account, or -1. */
  previous: Int32Array;
  /** By account: its last row, or -1. */
  newest: Int32Array;
}

export type Part = "staged" | "locked";

const ROWS_FIRST = 64;
/** The columns that hold amounts. */
export const AMOUNTS = [
  "staged",
  "locked",
  "paid",
  "initial",
  "initialCents",
  "withdrawn",
  "withdrawnCents",
] as const;
const NUMBERS = ["owner", "fee", "since"] as const;

export function noDeposits(): Deposits {
  return {
    rows: 0,
    owner: new Int32Array(ROWS_FIRST),
    sequence: new Float64Array(ROWS_FIRST),
    fee: new Int32Array(ROWS_FIRST),
    staged: new BigUint64Array(ROWS_FIRST),
    locked: new BigUint64Array(ROWS_FIRST),
    paid: new BigUint64Array(ROWS_FIRST),
    initial: new BigUint64Array(ROWS_FIRST),
    initialCents: new BigUint64Array(ROWS_FIRST),
    withdrawn: new BigUint64Array(ROWS_FIRST),
    withdrawnCents: new BigUint64Array(ROWS_FIRST),
    since: new Int32Array(ROWS_FIRST),
    previous: new Int32Array(ROWS_FIRST),
    newest: new Int32Array(ROWS_FIRST).fill(-1),
  };
}

export interface NewDeposit {
  readonly owner: number;
  readonly sequence: number;
  readonly feePpb: bigint;
  readonly staged: bigint;
  readonly locked: bigint;
}

export function addDeposit(deposits: Deposits, deposit: NewDeposit): void {
  const row = deposits.rows;
  if (row === deposits.owner.length) grow(deposits);
  const { owner } = deposit;
  growNewest(deposits, owner);
  deposits.owner[row] = owner;
  deposits.sequence[row] = deposit.sequence;
  deposits.fee[row] = Number(deposit.feePpb);
  deposits.staged[row] = deposit.staged;
  deposits.locked[row] = deposit.locked;
  for (const column of AMOUNTS.slice(2)) deposits[column][row] = 0n;
  deposits.since[row] = -1;
  deposits.previous[row] = newestOf(deposits, owner);
  deposits.newest[owner] = row;
  deposits.rows = row + 1;
}

export function newestOf({ newest }: Deposits, owner: number): number {
  return newest[owner] ?? -1;
}

/** What an account has in one part of a side. */
export function sumOf(deposits: Deposits, owner: number, part: Part): bigint {
  const column = deposits[part];
  let sum = 0n;
  for (let row = newestOf(deposits, owner); row >= 0; row = deposits.previous[row] ?? -1) {
    sum += column[row] ?? 0n;
  }
  return sum;
}

export function totalOf(deposits: Deposits, part: Part): bigint {
  const column = deposits[part];
  let sum = 0n;
  for (let row = 0; row < deposits.rows; row += 1) sum += column[row] ?? 0n;
  return sum;
}

export interface Drained {
  readonly row: number;
  readonly sequence: number;
  readonly msats: bigint;
}

/** Takes so much, or all there is, from the newest deposits of an account. */
export function drain(
  deposits: Deposits,
  { owner, part, msats }: { readonly owner: number; readonly part: Part; readonly msats: bigint },
): readonly Drained[] {
  const column = deposits[part];
  const drained: Drained[] = [];
  let left = msats;
  for (let row = newestOf(deposits, owner); row >= 0 && left > 0n; ) {
    const there = column[row] ?? 0n;
    const taken = there < left ? there : left;
    if (taken > 0n) {
      column[row] = there - taken;
      left -= taken;
      drained.push({ row, sequence: deposits.sequence[row] ?? 0, msats: taken });
    }
    row = deposits.previous[row] ?? -1;
  }
  return drained;
}

export function sumDrained(drained: readonly Drained[]): bigint {
  return drained.reduce((sum, { msats }) => sum + msats, 0n);
}

/**
 * The order that deposits are served in: seeks as they stand, which is by sequence; provides the
 * cheapest first, the oldest of equals.
 */
type Order = "as-they-stand" | "by-fee";

/** Drops the rows that hold nothing, telling each before, and puts the others in their order. */
export function arrange(
  deposits: Deposits,
  order: Order,
  dropping: (row: number) => void = () => undefined,
): void {
  const kept = held(deposits, dropping);
  if (order === "by-fee") sortByFee(deposits, kept);
  else if (kept.length === deposits.rows) return;
  const { length } = deposits.owner;
  deposits.sequence = picked(deposits.sequence, kept, new Float64Array(length));
  for (const column of NUMBERS) {
    deposits[column] = picked(deposits[column], kept, new Int32Array(length));
  }
  for (const column of AMOUNTS) deposits[column] = pickedAmounts(deposits[column], kept);
  deposits.rows = kept.length;
  link(deposits);
}

function held({ staged, locked, rows }: Deposits, dropping: (row: number) => void): Int32Array {
  const kept = new Int32Array(rows);
  let count = 0;
  for (let row = 0; row < rows; row += 1) {
    if ((staged[row] ?? 0n) === 0n && (locked[row] ?? 0n) === 0n) dropping(row);
    else {
      kept[count] = row;
      count += 1;
    }
  }
  return kept.subarray(0, count);
}

function sortByFee({ fee, sequence }: Deposits, rows: Int32Array): void {
  rows.sort((a, b) => (fee[a] ?? 0) - (fee[b] ?? 0) || (sequence[a] ?? 0) - (sequence[b] ?? 0));
}

function picked<Column extends Int32Array | Float64Array>(
  from: Column,
  rows: Int32Array,
  into: Column,
): Column {
  for (let i = 0; i < rows.length; i += 1) into[i] = from[rows[i] ?? 0] ?? 0;
  return into;
}

function pickedAmounts(from: BigUint64Array, rows: Int32Array): BigUint64Array {
  const into = new BigUint64Array(from.length);
  for (let i = 0; i < rows.length; i += 1) into[i] = from[rows[i] ?? 0] ?? 0n;
  return into;
}

function link(deposits: Deposits): void {
  const { owner, previous, newest } = deposits;
  newest.fill(-1);
  for (let row = 0; row < deposits.rows; row += 1) {
    const whose = owner[row] ?? 0;
    previous[row] = newest[whose] ?? -1;
    newest[whose] = row;
  }
}

function grow(deposits: Deposits): void {
  const length = deposits.owner.length * 2;
  const wider = <Column extends { set: (from: Column) => void }>(from: Column, into: Column) => {
    into.set(from);
    return into;
  };
  deposits.sequence = wider(deposits.sequence, new Float64Array(length));
  deposits.previous = wider(deposits.previous, new Int32Array(length));
  for (const column of NUMBERS) deposits[column] = wider(deposits[column], new Int32Array(length));
  for (const column of AMOUNTS) {
    deposits[column] = wider(deposits[column], new BigUint64Array(length));
  }
}

function growNewest(deposits: Deposits, owner: number): void {
  if (owner < deposits.newest.length) return;
  const wider = new Int32Array(Math.max(owner + 1, deposits.newest.length * 2)).fill(-1);
  wider.set(deposits.newest);
  deposits.newest = wider;
}
