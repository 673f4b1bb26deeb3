/**
 * Blocks in, deposits out: each block is scanned once, in order, and what pays a watched script
 * becomes a coin. A deposit is booked once when it is buried deep enough; a reorg takes back what
 * stood above the fork. An output to a vault of a transaction that spends a vault of the same account
 * is change and never a deposit.
 */
import { depositConfirmed, depositUnbooked } from "../accounts/book.ts";
import { freeze, reburied } from "../accounts/freezes.ts";
import type { Scripts } from "../accounts/scripts.ts";
import { takeBack as takeBackValue } from "../accounts/stabilise.ts";
import { accountOfVault } from "../accounts/vaults.ts";
import type { Chain, ChainTx } from "../io/chain.ts";
import { blocksSince, type LinkedBlock, type NewBlocks } from "../io/chain-follow.ts";
import type { Clock } from "../io/clock.ts";
import type { Db, Store } from "../io/store.ts";
import type { Log } from "../log.ts";
import type { Role } from "../role.ts";
import {
  forgetBlocksAbove,
  lastScanned,
  rememberBlock,
  type ScannedBlock,
  scannedAt,
  scannedBelow,
} from "./blocks.ts";
import { appear, bury, type Coin, spend, unbury } from "./coins.ts";
import { reopen, takeBack } from "./confirm.ts";
import { coinOf, type FlagParts, tellFlags } from "./flags.ts";
import { dueRescan, endRescanAt, rescanned, wantRescanBelow } from "./rescan.ts";
import { sightingsIn } from "./sightings.ts";

export interface DepositParts extends FlagParts {
  readonly store: Store;
  readonly chain: Pick<Chain, "tip" | "hashAt" | "block">;
  readonly scripts: Scripts;
  readonly clock: Clock;
  readonly log: Log;
  /** Blocks that bury a coin, its own among them. */
  readonly confirmations: number;
  /** The same for what the house pays from buried coins of its own; at most as many. */
  readonly ownConfirmations?: number | undefined;
  /** First block that is looked at; the tip at the first start by default. */
  readonly startHeight?: number | undefined;
  /** So many blocks left the chain, for whoever counts. */
  readonly reorganised?: ((depth: number) => void) | undefined;
}

export class ReorgError extends Error {
  override readonly name = "ReorgError";
  readonly code = "reorg-too-deep";
}

/** Some seconds of work at most, so that a stop is heard. */
const BLOCKS_A_STEP = 10;

export function depositsRole(parts: DepositParts): Role {
  const { store, scripts } = parts;

  async function step(): Promise<"more" | "idle"> {
    await scripts.load(store.db);
    const last = await lastScanned(store.db);
    if (last === null) return start(parts);
    const { fork, blocks, more } = await newBlocks(parts, last);
    if (fork === null) throw new ReorgError("the node's chain has none of the scanned blocks");
    if (fork.height < last.height) {
      await rollBack(parts, last, fork.height);
      parts.reorganised?.(last.height - fork.height);
      return "more";
    }
    for (const block of blocks) if (!(await scan(parts, block))) return "more";
    return more || blocks.length > 0 ? "more" : lookAgain(parts, last.height);
  }

  return { name: "deposits", step };
}

async function start({ store, chain, startHeight }: DepositParts): Promise<"more" | "idle"> {
  const tip = await chain.tip();
  const height = startHeight === undefined ? tip.height : Math.max(0, startHeight - 1);
  const hash = await chain.hashAt(height);
  if (hash === null) return "idle";
  await rememberBlock(store.db, { height, hash });
  return "more";
}

/** Almost always the last block is still in the chain: only else the others are asked for. */
async function newBlocks({ store, chain }: DepositParts, last: ScannedBlock): Promise<NewBlocks> {
  const news = await blocksSince(chain, [last], BLOCKS_A_STEP);
  if (news.fork !== null) return news;
  return blocksSince(chain, await scannedBelow(store.db, last.height), 0);
}

/** One block in one transaction; false: another process has moved on meanwhile, or back. */
async function scan(parts: DepositParts, { height, block }: LinkedBlock): Promise<boolean> {
  const buried = await parts.store.transaction(async (db) => {
    if ((await lastScanned(db))?.hash !== block.previous) return null;
    if (!(await rememberBlock(db, { height, hash: block.hash }))) return null;
    await record(parts, db, block.transactions, height);
    return buryDown(parts, db, height);
  });
  tellBooked(parts, buried ?? [], height);
  return buried !== null;
}

/** A block that was scanned before, for scripts that are watched since. */
async function lookAgain(parts: DepositParts, tip: number): Promise<"more" | "idle"> {
  const { store, chain } = parts;
  const due = await dueRescan(store.db);
  if (due === null || due > tip) return "idle";
  const hash = await chain.hashAt(due);
  if (hash === null) return "more";
  const block = await chain.block(hash);
  const buried = await store.transaction(async (db) => {
    const scanned = await scannedAt(db, due);
    // The chain has moved, and the next step finds the fork.
    if (scanned !== null && scanned.hash !== hash) return [];
    if (!(await rescanned(db, due))) return [];
    await record(parts, db, block.transactions, due);
    return buryDown(parts, db, (await lastScanned(db))?.height ?? 0);
  });
  tellBooked(parts, buried, due);
  return "more";
}

async function record(
  parts: DepositParts,
  db: Db,
  transactions: readonly ChainTx[],
  height: number,
): Promise<void> {
  const { all, extended } = await sightingsIn(parts.scripts, db, transactions);
  // In the order of the block, a coin stands before its spending.
  for (const { txid, spends, coins } of all) {
    for (const outpoint of spends) await spend(db, { outpoint, txid, height });
    for (const sighted of coins) {
      const coin = await appear(db, coinOf(parts, sighted), height);
      await tellFlags(parts, db, sighted, coin);
    }
  }
  if (extended) await wantRescanBelow(db, height);
}

/** What the block at `height` has buried; the deposits that it credits come back. */
async function buryDown(parts: DepositParts, db: Db, height: number): Promise<readonly Coin[]> {
  const { confirmations, ownConfirmations = confirmations } = parts;
  const deep = { external: height - confirmations + 1, own: height - ownConfirmations + 1 };
  const deposits = (await bury(db, deep)).filter(isCredited);
  for (const coin of deposits) {
    const at = parts.clock();
    await depositConfirmed({ ...(await bookingOf(db, coin)), at });
    await reburied(db, { outpoint: coin.outpoint, at });
  }
  return deposits;
}

function tellBooked({ log }: DepositParts, buried: readonly Coin[], height: number): void {
  for (const { outpoint, vault, sats: amount } of buried) {
    log.info({ outpoint, vault, sats: String(amount), height }, "deposit booked");
  }
}

/** Change was never out of the book, and dust never comes in. */
function isCredited({ kind, dust }: Coin): boolean {
  return kind === "deposit" && !dust;
}

async function rollBack(parts: DepositParts, last: ScannedBlock, fork: number): Promise<void> {
  const { store, clock, log } = parts;
  const depth = last.height - fork;
  const unbooked = await store.transaction(async (db) => {
    // Another process has rolled back already, or moved on.
    if ((await lastScanned(db))?.hash !== last.hash) return null;
    const at = clock();
    await forgetBlocksAbove(db, fork);
    await endRescanAt(db, fork);
    await takeBack(db, { fork, at });
    await reopen(db, { fork, at });
    const credited = (await unbury(db, fork)).filter(isCredited);
    for (const coin of credited) await takeCreditBack(parts, db, { coin, depth, at });
    return credited;
  });
  if (unbooked === null) return;
  log.warn({ fork, depth, unbooked: unbooked.length }, "chain reorganised");
}

interface TakenBack {
  readonly coin: Coin;
  /** Blocks that left the chain. */
  readonly depth: number;
  readonly at: bigint;
}

/** All that a credited deposit has set in motion goes back here, in the order of undoing. */
async function takeCreditBack(
  { confirmations }: DepositParts,
  db: Db,
  { coin, depth, at }: TakenBack,
): Promise<void> {
  const booking = { ...(await bookingOf(db, coin)), at };
  await takeBackValue(db, coin, at);
  await depositUnbooked(booking);
  // What was paid by the house comes back with the next block, unless it went as deep as strangers'.
  if (depth < confirmations) return;
  const { account, outpoint, turn } = booking;
  await freeze(db, { account, outpoint, turn, depth, at });
}

async function bookingOf(db: Db, coin: Coin) {
  return {
    db,
    account: await accountOfVault(db, coin.vault),
    outpoint: coin.outpoint,
    sats: coin.sats,
    turn: coin.bookings,
  };
}
