/**
 * Settling what is locked at a new price: seekers get what keeps their value, providers the rest, and
 * no msat more or less than there was. Where collateral does not reach, the seekers get all there is
 * and the shortfall is told by account: the seed is silent about it.
 */
import { greater, lesser, type Msats, type Price } from "../../policies/money.ts";
import type { Deposits } from "./deposits.ts";
import { neededForSeeks } from "./formula.ts";
import { type Holders, itemAt } from "./holders.ts";
import type { Pool } from "./pool.ts";

export type SettleEvent =
  | { readonly kind: "provider-exhausted"; readonly providedMsats: Msats }
  | {
      readonly kind: "insolvent";
      readonly neededMsats: Msats;
      readonly shortfallMsats: Msats;
      /** By account, in all exactly the shortfall. */
      readonly seekers: readonly Shortfall[];
    }
  | { readonly kind: "bailout"; readonly paidMsats: Msats };

export interface Shortfall {
  readonly account: string;
  readonly msats: Msats;
}

export interface Settling {
  readonly start: Price;
  readonly price: Price;
  readonly randomness: bigint;
}

export function settle(pool: Pool, { start, price, randomness }: Settling): readonly SettleEvent[] {
  const { seeks, provides, holders } = pool;
  const before = lockedOf(seeks);
  const provided = lockedOf(provides);
  const needed = neededForSeeks(before.sum, { start, price });
  const bailout = lesser(pool.bailoutMsats, greater(needed - before.sum - provided.sum, 0n));
  const available = before.sum + provided.sum + bailout;
  const seekPool = lesser(needed, available);
  const short = needed - seekPool;
  const place = placeOf(holders, before, randomness);
  const seekers = short === 0n ? [] : shortfalls(pool, { ...before, place, short });
  pool.bailoutMsats -= bailout;
  share(seeks, { ...before, place, pool: seekPool });
  share(provides, {
    ...provided,
    place: placeOf(holders, provided, randomness),
    pool: available - seekPool,
  });
  const events: SettleEvent[] = [];
  if (bailout > 0n) events.push({ kind: "bailout", paidMsats: bailout as Msats });
  if (provided.sum > 0n && available === seekPool) {
    events.push({ kind: "provider-exhausted", providedMsats: provided.sum as Msats });
  }
  if (short > 0n) {
    const [neededMsats, shortfallMsats] = [needed as Msats, short as Msats];
    events.push({ kind: "insolvent", neededMsats, shortfallMsats, seekers });
  }
  return events;
}

interface Locked {
  readonly sum: bigint;
  /** The rows that have something locked. */
  readonly rows: Int32Array;
  readonly owners: Int32Array;
}

function lockedOf({ locked, owner, rows: count }: Deposits): Locked {
  const rows = new Int32Array(count);
  const owners = new Int32Array(count);
  let sum = 0n;
  let length = 0;
  for (let row = 0; row < count; row += 1) {
    const msats = locked[row] ?? 0n;
    if (msats === 0n) continue;
    sum += msats;
    rows[length] = row;
    owners[length] = owner[row] ?? 0;
    length += 1;
  }
  return { sum, rows: rows.subarray(0, length), owners: owners.subarray(0, length) };
}

/** The row that remainders go to: by account key, then as an account's deposits stand. */
function placeOf(holders: Holders, { rows, owners }: Locked, randomness: bigint): number {
  if (rows.length === 0) return -1;
  const { owner, item } = itemAt(holders, owners, Number(randomness % BigInt(rows.length)));
  let left = item;
  for (let i = 0; i < rows.length; i += 1) {
    if (owners[i] !== owner) continue;
    if (left === 0) return rows[i] ?? -1;
    left -= 1;
  }
  throw new RangeError("BUG: the account has fewer deposits than that");
}

interface Sharing extends Locked {
  readonly place: number;
  readonly pool: bigint;
}

/** Each gets its floor; what is left over goes whole to one. Of nothing nothing is shared. */
function share({ locked }: Deposits, { sum, rows, place, pool }: Sharing): void {
  let left = pool;
  for (const row of rows) {
    const part = (pool * (locked[row] ?? 0n)) / sum;
    locked[row] = part;
    left -= part;
  }
  if (left > 0n) locked[place] = (locked[place] ?? 0n) + left;
}

interface Shorting extends Locked {
  readonly place: number;
  readonly short: bigint;
}

/** Each bears its part of it, as it would have got its part of a pool that reaches. */
function shortfalls(
  { seeks, holders }: Pool,
  { sum, rows, place, short }: Shorting,
): readonly Shortfall[] {
  const borne = new Map<number, bigint>();
  const add = (row: number, msats: bigint) => {
    const owner = seeks.owner[row] ?? 0;
    borne.set(owner, (borne.get(owner) ?? 0n) + msats);
  };
  let left = short;
  for (const row of rows) {
    const part = (short * (seeks.locked[row] ?? 0n)) / sum;
    left -= part;
    add(row, part);
  }
  add(place, left);
  return [...borne].map(([owner, msats]) => ({
    account: holders.names[owner] ?? "",
    msats: msats as Msats,
  }));
}
