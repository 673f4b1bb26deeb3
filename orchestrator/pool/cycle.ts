/**
 * The turn of a cycle: settle, release, restage, lock, pay fees. A function of the ledger and of the
 * terms that the guardians agreed on; every msat that went in comes out, which is asserted.
 *
 * A fall that takes everything from the providers ends in a cycle without locks and an event, where
 * the seed divides by zero and halts: deposits that hold nothing are dropped before anything is
 * sorted or shared.
 */
import type { Msats, Ppb } from "../../policies/money.ts";
import type { HistoryItem } from "../operations/history-item.ts";
import { arrange } from "./deposits.ts";
import { lock } from "./lock.ts";
import type { Moves } from "./moves.ts";
import { assertConserved, type Cycle, type Pool } from "./pool.ts";
import { type Receipt, receiptAt } from "./receipt.ts";
import { release } from "./release.ts";
import { type SettleEvent, settle } from "./settle.ts";
import type { Terms } from "./votes.ts";

export interface Turnover {
  readonly cycle: Cycle;
  readonly events: readonly (SettleEvent | { readonly kind: "price-reused" })[];
  /** What cancellations and unlocks have freed. */
  readonly released: readonly HistoryItem[];
  /** What went between staged and locked. */
  readonly moves: readonly Moves[];
  /** Of seeks of which nothing is left. */
  readonly closed: readonly Receipt[];
}

/** Throws a PoolFault where the ledger does not come out even: it must not be used further. */
export function turn(pool: Pool, terms: Terms): Turnover {
  const { index, price, randomness } = terms;
  const start = pool.cycle?.price ?? price;
  const settled = settle(pool, { start, price, randomness });
  const released = release(pool, { index, price });
  const closed: Receipt[] = [];
  arrange(pool.seeks, "as-they-stand", (row) => {
    const receipt = receiptAt(pool, row);
    if (receipt !== null) closed.push(receipt);
  });
  arrange(pool.provides, "by-fee");
  arrange(pool.bitcoin, "as-they-stand");
  const locks = lock(pool, { index, price, randomness });
  for (const [hash, until] of pool.used) if (until < index) pool.used.delete(hash);
  const cycle: Cycle = {
    index,
    startNanos: terms.startNanos,
    price,
    feePpb: locks.feePpb as Ppb,
    lockedSeeksMsats: locks.seeksMsats as Msats,
    lockedProvidesMsats: locks.providesMsats as Msats,
    feesMsats: locks.feesMsats as Msats,
  };
  pool.cycle = cycle;
  assertConserved(pool);
  const reused = terms.reused ? [{ kind: "price-reused" as const }] : [];
  return { cycle, events: [...reused, ...settled], released, moves: locks.moves, closed };
}
