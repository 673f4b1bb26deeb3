/**
 * What leaves the locks at a turnover, after settling: v1's cancellations in basis points, v2's
 * unlocks in cents at the new price. The newest deposits give first, so that old ones keep their
 * place.
 */
import type { HistoryItem } from "../operations/history-item.ts";
import { type Deposits, type Drained, drain, sumDrained, sumOf } from "./deposits.ts";
import { centsOfMsats, msatsOfCents } from "./fiat.ts";
import { ceilDiv } from "./formula.ts";
import { addIdle, type Pool } from "./pool.ts";

const BPS_WHOLE = 10_000n;

export interface Releasing {
  /** The cycle that begins. */
  readonly index: number;
  readonly price: bigint;
}

export function release(pool: Pool, turn: Releasing): readonly HistoryItem[] {
  const history: HistoryItem[] = [];
  for (const [owner, bps] of pool.cancellations) {
    for (const side of [pool.seeks, pool.provides]) {
      const msats = ceilDiv(sumOf(side, owner, "locked") * bps, BPS_WHOLE);
      const drained = drain(side, { owner, part: "locked", msats });
      if (side === pool.seeks) noteWithdrawn(side, drained, turn.price);
      history.push(...toIdle(pool, { owner, drained, reference: "", index: turn.index }));
    }
  }
  pool.cancellations.clear();
  for (const [owner, { cents, reference }] of pool.unlocks) {
    for (const side of [pool.seeks, pool.provides]) {
      const all = sumOf(side, owner, "locked");
      const msats = cents === "all" ? all : msatsOfCents(cents, turn.price);
      const drained = drain(side, { owner, part: "locked", msats });
      history.push(...toIdle(pool, { owner, drained, reference, index: turn.index }));
    }
  }
  pool.unlocks.clear();
  return history;
}

/** The receipt of each seek says how much of it was cancelled, and what that was worth. */
function noteWithdrawn(seeks: Deposits, drained: readonly Drained[], price: bigint): void {
  for (const { row, msats } of drained) {
    seeks.withdrawn[row] = (seeks.withdrawn[row] ?? 0n) + msats;
    seeks.withdrawnCents[row] = (seeks.withdrawnCents[row] ?? 0n) + centsOfMsats(msats, price);
  }
}

interface Freed {
  readonly owner: number;
  readonly drained: readonly Drained[];
  readonly reference: string;
  readonly index: number;
}

function toIdle(pool: Pool, { owner, drained, reference, index }: Freed): readonly HistoryItem[] {
  addIdle(pool, owner, sumDrained(drained));
  const account = pool.holders.names[owner] ?? "";
  return drained.map(({ sequence, msats }) => ({
    account,
    cycle: index,
    kind: "LockedToIdle",
    reference,
    sequence,
    msats,
  }));
}
