/** Coins that are in no block: in the mempool, or gone from it. What stands in a block is not touched. */
import type { Db } from "../io/store.ts";
import { LOOKUP_MAX, type NewCoin, rowOf } from "./coins.ts";

/** A coin of the mempool. True: nobody has seen it before, there or in a block. */
export async function appearUnmined(db: Db, coin: NewCoin): Promise<boolean> {
  const fresh = await db
    .insertInto("coins")
    .values({ ...rowOf(coin), state: "mempool", height: null, reused: 0n })
    .onConflict((conflict) => conflict.doNothing())
    .returning("outpoint")
    .executeTakeFirst();
  if (fresh !== undefined) return true;
  await reappear(db, [coin.outpoint]);
  return false;
}

/** The mempool has again what was thought gone. */
export async function reappear(db: Db, outpoints: readonly string[]): Promise<void> {
  for (let at = 0; at < outpoints.length; at += LOOKUP_MAX) {
    await db
      .updateTable("coins")
      .set({ state: "mempool" })
      .where("outpoint", "in", outpoints.slice(at, at + LOOKUP_MAX))
      .where("state", "=", "gone")
      .execute();
  }
}

/** Outpoints of the coins that are in no block yet. */
export async function unminedCoins(db: Db): Promise<readonly string[]> {
  const rows = await db
    .selectFrom("coins")
    .select("outpoint")
    .where("state", "=", "mempool")
    .execute();
  return rows.map(({ outpoint }) => outpoint);
}

/** Pushed out, replaced or conflicting: of those that are still in no block. */
export async function vanish(db: Db, outpoints: readonly string[]): Promise<void> {
  for (let at = 0; at < outpoints.length; at += LOOKUP_MAX) {
    await db
      .updateTable("coins")
      .set({ state: "gone" })
      .where("outpoint", "in", outpoints.slice(at, at + LOOKUP_MAX))
      .where("state", "=", "mempool")
      .execute();
  }
}
