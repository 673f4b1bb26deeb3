/**
 * How long the coins of a `multi+exit` vault have rested. Their timelock counts blocks from the one
 * that confirmed the coin (BIP68, BIP112); a coin is moved in time, or its user may leave with
 * whatever else lies on it (architecture section 3).
 */

/** Shares of the timelock, in percent. */
const RIPE_PERCENT = 60;
const DUE_PERCENT = 80;

/**
 * - `resting`: a refresh is not worth its fee, and the law refuses it
 * - `ripe`: past 60 % of the timelock, may be refreshed
 * - `due`: past 80 %, must not wait
 * - `open`: the user's key alone may spend it, in the next block already
 */
export type RestState = "resting" | "ripe" | "due" | "open";

export interface Rest {
  /** Blocks, counting the one that confirmed it; 0 in the mempool. */
  readonly age: number;
  /** The first block in which the user may leave with it; null while it is unconfirmed. */
  readonly opensAt: number | null;
  readonly state: RestState;
}

/** Heights of the coin (0 is the mempool) and of the best block, and blocks of the timelock. */
export interface RestingCoin {
  readonly height: number;
  readonly tip: number;
  readonly blocks: number;
}

export function restOf({ height, tip, blocks }: RestingCoin): Rest {
  const age = ageOf({ height, tip });
  const state =
    age >= blocks
      ? "open"
      : age >= shareOf(blocks, DUE_PERCENT)
        ? "due"
        : age >= ripeAge(blocks)
          ? "ripe"
          : "resting";
  return { age, opensAt: height === 0 ? null : height + blocks, state };
}

/** Blocks that a coin has rested, as a node counts confirmations. */
export function ageOf({ height, tip }: Pick<RestingCoin, "height" | "tip">): number {
  return height === 0 ? 0 : tip - height + 1;
}

/** The age from which the law lets a coin be refreshed. */
export function ripeAge(blocks: number): number {
  return shareOf(blocks, RIPE_PERCENT);
}

/** The coins that want a refresh, those that have rested longest first; ripe, due and open ones. */
export function refreshList<Coin extends { readonly height: number }>(
  coins: readonly Coin[],
  { tip, blocks }: Pick<RestingCoin, "tip" | "blocks">,
): readonly (Coin & Rest)[] {
  return coins
    .map((coin) => ({ ...coin, ...restOf({ height: coin.height, tip, blocks }) }))
    .filter(({ state }) => state !== "resting")
    .sort((a, b) => b.age - a.age);
}

/** Whole blocks; what is not whole comes one block later. */
function shareOf(blocks: number, percent: number): number {
  return Math.ceil((blocks * percent) / 100);
}
