/** What an operation came to. */
import type { Msats } from "../../policies/money.ts";
import type { HistoryItem } from "./history-item.ts";
import type { Refusal } from "./refusal.ts";

export interface Done {
  readonly kind: "done";
  /** What the account pays into the pool, with the fee of the operation. */
  readonly inMsats: Msats;
  /** What the pool pays out. */
  readonly outMsats: Msats;
  /** The number of the deposit that was made. */
  readonly sequence: number | null;
  /**
   * Of an unlock: what its leftover loses by being registered in whole cents. It stays where it is,
   * the account's own (the seed's rounding).
   */
  readonly roundedMsats: Msats;
  readonly history: readonly HistoryItem[];
}

export type Outcome = Done | Refusal;

const NOTHING = 0n as Msats;

export function done(what: Partial<Omit<Done, "kind">>): Done {
  return {
    kind: "done",
    inMsats: NOTHING,
    outMsats: NOTHING,
    sequence: null,
    roundedMsats: NOTHING,
    history: [],
    ...what,
  };
}
