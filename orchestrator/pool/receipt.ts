/** What became of a seek since it was first locked: the seed's `SeekMetadata`. */
import type { Deposits } from "./deposits.ts";
import { newestOf } from "./deposits.ts";
import type { Pool } from "./pool.ts";

export interface Receipt {
  readonly account: string;
  readonly sequence: number;
  /** The cycle of the first lock. */
  readonly since: number;
  /** What was locked first, before its fee, and what it was worth then. */
  readonly initialMsats: bigint;
  readonly initialCents: bigint;
  readonly withdrawnMsats: bigint;
  readonly withdrawnCents: bigint;
  readonly feesMsats: bigint;
  /** Nothing of it is left. */
  readonly closed: boolean;
}

/** Null for a seek that has not been locked yet. */
export function receiptAt({ seeks, holders }: Pool, row: number): Receipt | null {
  const since = seeks.since[row] ?? -1;
  if (since < 0) return null;
  return {
    account: holders.names[seeks.owner[row] ?? 0] ?? "",
    sequence: seeks.sequence[row] ?? 0,
    since,
    initialMsats: seeks.initial[row] ?? 0n,
    initialCents: seeks.initialCents[row] ?? 0n,
    withdrawnMsats: seeks.withdrawn[row] ?? 0n,
    withdrawnCents: seeks.withdrawnCents[row] ?? 0n,
    feesMsats: seeks.paid[row] ?? 0n,
    closed: isEmpty(seeks, row),
  };
}

function isEmpty({ staged, locked }: Deposits, row: number): boolean {
  return (staged[row] ?? 0n) === 0n && (locked[row] ?? 0n) === 0n;
}

/** Of an account's seeks that have been locked and are not gone, the newest first. */
export function receiptsOf(pool: Pool, key: string): readonly Receipt[] {
  const owner = pool.holders.numbers.get(key) ?? -1;
  const found: Receipt[] = [];
  for (let row = newestOf(pool.seeks, owner); row >= 0; row = pool.seeks.previous[row] ?? -1) {
    const receipt = receiptAt(pool, row);
    if (receipt !== null) found.push(receipt);
  }
  return found;
}
