/** The blocks that were scanned: where we stand, and where we and the node part after a reorg. */
import type { Db } from "../io/store.ts";

export interface ScannedBlock {
  readonly height: number;
  readonly hash: string;
}

/** Blocks remembered for finding a fork; a deeper reorg is no reorg but another chain. */
const BLOCKS_KEPT = 1_000;

/** The newest scanned block; null before the first start. */
export async function lastScanned(db: Db): Promise<ScannedBlock | null> {
  const [newest] = await scannedBelow(db, null);
  return newest ?? null;
}

/** The oldest remembered block; the first start's, which was never looked through, or a later one. */
export async function firstScanned(db: Db): Promise<ScannedBlock | null> {
  const row = await db
    .selectFrom("blocks")
    .selectAll()
    .orderBy("height")
    .limit(1)
    .executeTakeFirst();
  return row === undefined ? null : { height: Number(row.height), hash: row.hash };
}

/** Newest first; all that are remembered below a height, or the newest alone without one. */
export async function scannedBelow(
  db: Db,
  height: number | null,
): Promise<readonly ScannedBlock[]> {
  const all = db.selectFrom("blocks").selectAll().orderBy("height", "desc");
  const rows = await (height === null
    ? all.limit(1)
    : all.where("height", "<", BigInt(height))
  ).execute();
  return rows.map((row) => ({ height: Number(row.height), hash: row.hash }));
}

/** What stands at a height; null where nothing is remembered. */
export async function scannedAt(db: Db, height: number): Promise<ScannedBlock | null> {
  const row = await db
    .selectFrom("blocks")
    .select("hash")
    .where("height", "=", BigInt(height))
    .executeTakeFirst();
  return row === undefined ? null : { height, hash: row.hash };
}

/** False: it stands here already, another process has scanned it meanwhile. */
export async function rememberBlock(db: Db, { height, hash }: ScannedBlock): Promise<boolean> {
  const fresh = await db
    .insertInto("blocks")
    .values({ height: BigInt(height), hash })
    .onConflict((conflict) => conflict.doNothing())
    .returning("height")
    .executeTakeFirst();
  if (fresh === undefined) return false;
  await db
    .deleteFrom("blocks")
    .where("height", "<", BigInt(height - BLOCKS_KEPT))
    .execute();
  return true;
}

export async function forgetBlocksAbove(db: Db, height: number): Promise<void> {
  await db.deleteFrom("blocks").where("height", ">", BigInt(height)).execute();
}
