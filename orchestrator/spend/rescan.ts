/**
 * Blocks that are looked through once more: when a payment moves a gap, the addresses that are new
 * may have been paid before, by somebody who derived them further than anybody gave them out.
 */
import type { Db } from "../io/store.ts";
import { firstScanned, lastScanned } from "./blocks.ts";

/** A day of blocks. Who was paid further ahead and longer ago asks a person for a longer rescan. */
const RESCAN_BLOCKS = 144;

/** One row: a pass looks for all scripts at once, so a second one makes it longer. */
const NAME = "blocks";

/** The blocks below a height, as far back as a gap that moved is worth. */
export async function wantRescanBelow(db: Db, height: number): Promise<void> {
  const first = await firstScanned(db);
  if (first === null) return;
  const from = Math.max(first.height + 1, height - RESCAN_BLOCKS);
  if (from < height) await wantRescan(db, from);
}

/**
 * From a height up to where the scanner is by then: what is found on the way may have been spent
 * since. In the caller's transaction: it reads, then writes.
 */
export async function wantRescan(db: Db, from: number): Promise<void> {
  const due = await dueRescan(db);
  const next = BigInt(Math.min(from, due ?? from));
  await db
    .insertInto("rescans")
    .values({ name: NAME, next })
    .onConflict((conflict) => conflict.column("name").doUpdateSet({ next }))
    .execute();
}

/** The next block to look through; null: none is. */
export async function dueRescan(db: Db): Promise<number | null> {
  const row = await db
    .selectFrom("rescans")
    .select("next")
    .where("name", "=", NAME)
    .executeTakeFirst();
  return row === undefined ? null : Number(row.next);
}

/** A block was looked through, in this transaction; false: it was not its turn. */
export async function rescanned(db: Db, height: number): Promise<boolean> {
  const mine = await db
    .updateTable("rescans")
    .set({ next: BigInt(height) + 1n })
    .where("name", "=", NAME)
    .where("next", "=", BigInt(height))
    .returning("next")
    .executeTakeFirst();
  if (mine === undefined) return false;
  await endRescanAt(db, (await lastScanned(db))?.height ?? 0);
  return true;
}

/** Blocks above are scanned anew anyway. */
export async function endRescanAt(db: Db, height: number): Promise<void> {
  await db
    .deleteFrom("rescans")
    .where("name", "=", NAME)
    .where("next", ">", BigInt(height))
    .execute();
}
