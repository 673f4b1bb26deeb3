/**
 * Blocks in, deposits out: each block is scanned once, in order, and what pays a watched script
 * becomes a coin. A deposit is booked once when it is buried deep enough; a reorg takes back what
 * stood above the fork. An output to a vault of a transaction that spends a vault of the same account
 * is change and never a deposit.
 */
import { hex } from "../../policies/bitcoin/hash.ts";
import { isSats, sats } from "../../policies/money.ts";
import { depositConfirmed, depositUnbooked } from "../accounts/book.ts";
import type { Scripts, WatchedScript } from "../accounts/scripts.ts";
import { accountOfVault } from "../accounts/vaults.ts";
import type { Chain, ChainBlock } from "../io/chain.ts";
import type { Clock } from "../io/clock.ts";
import type { Db, Store } from "../io/store.ts";
import type { Log } from "../log.ts";
import type { Role } from "../role.ts";
import { forgetBlocksAbove, lastScanned, rememberBlock, scannedBelow } from "./blocks.ts";
import { appear, bury, type Coin, knownCoins, type NewCoin, spend, unbury } from "./coins.ts";
import { reopen, takeBack } from "./confirm.ts";

export interface DepositParts {
  readonly store: Store;
  readonly chain: Chain;
  readonly scripts: Scripts;
  readonly clock: Clock;
  readonly log: Log;
  /** Blocks that bury a coin, its own among them. */
  readonly confirmations: number;
  /** First block that is looked at; the tip at the first start by default. */
  readonly startHeight?: number | undefined;
  /** So many blocks left the chain, for whoever counts. */
  readonly reorganised?: ((depth: number) => void) | undefined;
}

export class ReorgError extends Error {
  override readonly name = "ReorgError";
  readonly code = "reorg-too-deep";
}

export function depositsRole(parts: DepositParts): Role {
  const { store, chain, log } = parts;

  async function step(): Promise<"more" | "idle"> {
    const last = await lastScanned(store.db);
    if (last === null) return start(parts);
    if ((await chain.hashAt(last.height)) !== last.hash) {
      const fork = await forkBelow(parts, last.height);
      await rollBack(parts, fork);
      parts.reorganised?.(last.height - fork);
      return "more";
    }
    const hash = await chain.hashAt(last.height + 1);
    if (hash === null) return "idle";
    const block = await chain.block(hash);
    // The chain moved between our questions; the next step finds the fork.
    if (block.previous !== last.hash) return "more";
    const height = last.height + 1;
    const booked = await store.transaction((db) => scan(parts, db, block, height));
    for (const { outpoint, vault, sats: amount } of booked) {
      log.info({ outpoint, vault, sats: String(amount), height }, "deposit booked");
    }
    return "more";
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

/** One block in one transaction; returns the deposits that it buried. */
async function scan(
  parts: DepositParts,
  db: Db,
  block: ChainBlock,
  height: number,
): Promise<readonly Coin[]> {
  if (!(await rememberBlock(db, { height, hash: block.hash }))) return [];
  await record(parts, db, block, height);
  const buried = await bury(db, height - parts.confirmations + 1);
  const deposits = buried.filter(({ kind }) => kind === "deposit");
  for (const coin of deposits) {
    await depositConfirmed({ ...(await bookingOf(db, coin)), at: parts.clock() });
  }
  return deposits;
}

async function record(
  parts: DepositParts,
  db: Db,
  block: ChainBlock,
  height: number,
): Promise<void> {
  const paid = await paidScripts(parts.scripts, db, block);
  const before = await knownCoins(
    db,
    block.transactions.flatMap(({ spends }) => spends),
  );
  const coins = new Map<string, Pick<Coin, "outpoint" | "vault">>(
    before.map((coin) => [coin.outpoint, coin]),
  );
  // In the order of the block, a coin stands before its spending.
  for (const tx of block.transactions) {
    const spent = tx.spends.flatMap((outpoint) => coins.get(outpoint) ?? []);
    const hits = tx.outputs.flatMap((output, vout) => {
      const place = paid.get(hex(output.script));
      return place === undefined || !isSats(output.sats) ? [] : { place, vout, output };
    });
    if (spent.length === 0 && hits.length === 0) continue;
    const txid = tx.txid();
    for (const { outpoint } of spent) await spend(db, { outpoint, txid, height });
    const payers = new Set<string>();
    for (const { vault } of spent) payers.add(await accountOfVault(db, vault));
    for (const { place, vout, output } of hits) {
      const coin: NewCoin = {
        outpoint: `${txid}:${vout}`,
        vault: place.vault,
        branch: place.branch,
        index: place.index,
        sats: sats(output.sats),
        kind: payers.has(await accountOfVault(db, place.vault)) ? "change" : "deposit",
      };
      await appear(db, coin, height);
      coins.set(coin.outpoint, coin);
    }
  }
}

/** The watched scripts that the block pays, looked up until no payment moves a gap any further. */
async function paidScripts(
  scripts: Scripts,
  db: Db,
  block: ChainBlock,
): Promise<ReadonlyMap<string, WatchedScript>> {
  const taproot = block.transactions.flatMap(({ outputs }) =>
    outputs.flatMap(({ script }) => (isTaproot(script) ? hex(script) : [])),
  );
  const found = new Map<string, WatchedScript>();
  for (let extended = true; extended; ) {
    extended = false;
    const unknown = taproot.filter((script) => !found.has(script));
    for (const watched of await scripts.watched(db, unknown)) {
      found.set(watched.script, watched);
      const { vault, branch, index } = watched;
      if (await scripts.extend(db, { vault, branch, used: index })) extended = true;
    }
  }
  return found;
}

function isTaproot(script: Uint8Array): boolean {
  return script.length === 34 && script[0] === 0x51 && script[1] === 0x20;
}

/** The highest block that we and the node have in common. */
async function forkBelow({ store, chain }: DepositParts, height: number): Promise<number> {
  const below = await scannedBelow(store.db, height);
  for (const block of below) {
    if ((await chain.hashAt(block.height)) === block.hash) return block.height;
  }
  throw new ReorgError(`the node's chain has none of the last ${below.length + 1} scanned blocks`);
}

async function rollBack({ store, clock, log }: DepositParts, fork: number): Promise<void> {
  const unbooked = await store.transaction(async (db) => {
    await forgetBlocksAbove(db, fork);
    await takeBack(db, { fork, at: clock() });
    await reopen(db, { fork, at: clock() });
    const buried = await unbury(db, fork);
    const deposits = buried.filter(({ kind }) => kind === "deposit");
    for (const coin of deposits) {
      await depositUnbooked({ ...(await bookingOf(db, coin)), at: clock() });
    }
    return deposits;
  });
  log.warn({ fork, unbooked: unbooked.length }, "chain reorganised");
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
