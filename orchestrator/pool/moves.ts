/**
 * What a turnover moves between staged and locked, by deposit: the difference to what was locked
 * before, so that what is renewed tells nothing. Columns, because a first lock moves all there is.
 */
import type { HistoryItem } from "../operations/history-item.ts";
import type { Deposits } from "./deposits.ts";
import type { Holders } from "./holders.ts";

export interface Moves {
  count: number;
  readonly side: Deposits;
  owner: Int32Array;
  sequence: Float64Array;
  /** Above zero from staged to locked, below from locked to staged. */
  msats: BigInt64Array;
}

/** Most turnovers renew nearly everything. */
const MOVES_FIRST = 1_024;

export function movesOf(side: Deposits): Moves {
  return {
    count: 0,
    side,
    owner: new Int32Array(MOVES_FIRST),
    sequence: new Float64Array(MOVES_FIRST),
    msats: new BigInt64Array(MOVES_FIRST),
  };
}

export function note(
  moves: Moves,
  row: number,
  { was, now }: { readonly was: bigint; readonly now: bigint },
): void {
  if (was === now) return;
  const at = moves.count;
  if (at === moves.owner.length) grow(moves);
  moves.owner[at] = moves.side.owner[row] ?? 0;
  moves.sequence[at] = moves.side.sequence[row] ?? 0;
  moves.msats[at] = now - was;
  moves.count = at + 1;
}

function grow(moves: Moves): void {
  const { owner, sequence, msats } = moves;
  moves.owner = new Int32Array(owner.length * 2);
  moves.owner.set(owner);
  moves.sequence = new Float64Array(owner.length * 2);
  moves.sequence.set(sequence);
  moves.msats = new BigInt64Array(owner.length * 2);
  moves.msats.set(msats);
}

/** The same as lines of the accounts' histories. */
export function* historyOf(
  { names }: Holders,
  moves: Moves,
  cycle: number,
): Generator<HistoryItem> {
  for (let i = 0; i < moves.count; i += 1) {
    const msats = moves.msats[i] ?? 0n;
    yield {
      account: names[moves.owner[i] ?? 0] ?? "",
      cycle,
      kind: msats > 0n ? "StagedToLocked" : "LockedToStaged",
      reference: "",
      sequence: moves.sequence[i] ?? 0,
      msats: msats > 0n ? msats : -msats,
    };
  }
}
