/**
 * Payments that are in no block yet: shown, told once, and the next address is another. They credit
 * nothing and nothing is spent from them; only a block makes a coin. What leaves the mempool is in a
 * block that the scanner finds, or gone.
 */
import { tell } from "../accounts/events.ts";
import type { Chain, ChainTx } from "../io/chain.ts";
import { followMempool } from "../io/chain-follow.ts";
import type { Db, Store } from "../io/store.ts";
import type { Role } from "../role.ts";
import { lastScanned } from "./blocks.ts";
import { txidOf } from "./coins.ts";
import { coinOf, depositData, type FlagParts } from "./flags.ts";
import { wantRescanBelow } from "./rescan.ts";
import { type Sighting, sightingsIn } from "./sightings.ts";
import { appearUnmined, reappear, unminedCoins, vanish } from "./unmined.ts";

export interface MempoolParts extends FlagParts {
  readonly store: Store;
  readonly chain: Pick<Chain, "mempool" | "tip">;
}

export function mempoolRole(parts: MempoolParts): Role {
  const { store, chain, scripts } = parts;
  /** Outpoints of coins in the mempool as it was at the last look, by transaction. */
  const held = new Map<string, readonly string[]>();
  const follower = followMempool(chain, async (txs) => {
    const sightings = await store.transaction((db) => note(parts, db, txs));
    const concerned = new Map(sightings.map(({ txid, coins }) => [txid, coins]));
    for (const [txid, coins] of concerned) {
      held.set(
        txid,
        coins.map(({ outpoint }) => outpoint),
      );
    }
    return txs.filter((tx) => concerned.has(tx.txid()));
  });

  async function step(): Promise<"more" | "idle"> {
    await scripts.load(store.db);
    const { left, more } = await follower.look();
    for (const txid of left) held.delete(txid);
    if (more) return "more";
    await reconcile(parts, held);
    return "idle";
  }

  return { name: "mempool", step };
}

/** Those of the transactions that pay a vault. Seen again after a restart, they are the same. */
async function note(
  parts: MempoolParts,
  db: Db,
  txs: readonly ChainTx[],
): Promise<readonly Sighting[]> {
  if (txs.length === 0) return [];
  const { all, extended } = await sightingsIn(parts.scripts, db, txs);
  const paying = all.filter(({ coins }) => coins.length > 0);
  for (const sighted of paying.flatMap(({ coins }) => coins)) {
    const fresh = await appearUnmined(db, coinOf(parts, sighted));
    // What was in a block before a reorganisation is no news.
    if (!fresh || sighted.kind !== "deposit") continue;
    await tell(db, {
      kind: "deposit_mempool",
      key: `deposit_mempool ${sighted.outpoint}`,
      account: sighted.account,
      data: await depositData(parts, db, sighted),
      at: parts.clock(),
    });
  }
  const scanned = extended ? await lastScanned(db) : null;
  if (scanned !== null) await wantRescanBelow(db, scanned.height + 1);
  return paying;
}

/**
 * Makes the rows what the mempool was at the last look: those written before a restart too, and what
 * another process has thought gone.
 */
async function reconcile(
  { store, chain }: MempoolParts,
  held: ReadonlyMap<string, readonly string[]>,
): Promise<void> {
  const known = new Set(await unminedCoins(store.db));
  const there = [...held.values()].flat();
  const lost = [...known].filter((outpoint) => !held.has(txidOf(outpoint)));
  const missing = there.filter((outpoint) => !known.has(outpoint));
  if (lost.length === 0 && missing.length === 0) return;
  const tip = await chain.tip();
  await store.transaction(async (db) => {
    // A block that we have not looked through may hold what has left.
    if ((await lastScanned(db))?.hash !== tip.hash) return;
    await vanish(db, lost);
    await reappear(db, missing);
  });
}
