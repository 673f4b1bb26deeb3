/**
 * Coins of `multi+exit` vaults that have rested long: their user will be able to leave with them
 * alone, and with whatever else lies on them, so they are moved before (architecture section 3).
 */
import { EXIT_BLOCKS } from "../../policies/exit.ts";
import type { Sats } from "../../policies/money.ts";
import { type Rest, refreshList, ripeAge } from "../../policies/rest.ts";
import type { Db } from "../io/store.ts";
import { lastScanned } from "./blocks.ts";
import { coinOf } from "./coins.ts";

export interface RestingCoin extends Rest {
  readonly account: string;
  readonly vault: string;
  readonly outpoint: string;
  readonly sats: Sats;
  readonly height: number;
  /** The intent that is moving it already. */
  readonly reservedBy: string | null;
}

export interface RefreshQuery {
  /** All accounts when left out. */
  readonly account?: string;
  readonly limit: number;
}

/** Ripe, due and open coins, those that have rested longest first. */
export async function coinsToRefresh(
  db: Db,
  { account, limit }: RefreshQuery,
): Promise<readonly RestingCoin[]> {
  const tip = (await lastScanned(db))?.height ?? 0;
  // Age counts the block that confirmed the coin: the youngest ripe one stands at this height.
  const ripe = tip + 1 - ripeAge(EXIT_BLOCKS);
  const rows = await db
    .selectFrom("coins")
    .innerJoin("vaults", "vaults.id", "coins.vault")
    .selectAll("coins")
    .select("vaults.account")
    .where("vaults.exit_blocks", "is not", null)
    .$if(account !== undefined, (query) => query.where("vaults.account", "=", account ?? ""))
    .where("coins.spent_by", "is", null)
    .where("coins.height", "<=", BigInt(ripe))
    .orderBy("coins.height")
    .orderBy("coins.outpoint")
    .limit(limit)
    .execute();
  const coins = rows.map(({ account: owner, reserved_by: reservedBy, ...row }) => {
    const { vault, outpoint, sats, height } = coinOf({ ...row, reserved_by: reservedBy });
    return { account: owner, vault, outpoint, sats, height: height ?? 0, reservedBy };
  });
  return refreshList(coins, { tip, blocks: EXIT_BLOCKS });
}
