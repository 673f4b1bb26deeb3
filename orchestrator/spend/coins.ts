/** Coins of the vaults as the chain has them, and which intent has reserved them. */
import { type Sats, sats } from "../../policies/money.ts";
import { type Branch, CHANGE, RECEIVE } from "../../policies/vault.ts";
import type { Db, Row } from "../io/store.ts";

export interface Coin {
  /** `txid:vout` */
  readonly outpoint: string;
  readonly vault: string;
  readonly branch: Branch;
  readonly index: number;
  readonly sats: Sats;
  readonly kind: Row<"coins">["kind"];
  readonly origin: Row<"coins">["origin"];
  readonly state: Row<"coins">["state"];
  readonly reused: boolean;
  readonly dust: boolean;
  readonly bookings: bigint;
  readonly height: number | null;
  readonly spentBy: string | null;
  readonly spentHeight: number | null;
  /** Milliseconds since 1970. */
  readonly seenAt: bigint;
}

export type NewCoin = Omit<
  Coin,
  "state" | "bookings" | "height" | "spentBy" | "spentHeight" | "reused"
>;

/**
 * A coin stands in a block. What was said of it while it was in no block gives way to what the block
 * says; how often it was booked, and who has reserved it, stays.
 */
export async function appear(db: Db, coin: NewCoin, height: number): Promise<Coin> {
  const reused = coin.kind === "deposit" && (await paidBefore(db, coin, height)) ? 1n : 0n;
  const { kind, origin, dust } = rowOf(coin);
  const stands = { state: "seen", height: BigInt(height), reused } as const;
  await db
    .insertInto("coins")
    .values({ ...rowOf(coin), ...stands })
    .onConflict((conflict) =>
      conflict
        .column("outpoint")
        .doUpdateSet({ ...stands, kind, origin, dust })
        .where("coins.state", "in", ["gone", "mempool"]),
    )
    .execute();
  const row = await db
    .selectFrom("coins")
    .selectAll()
    .where("outpoint", "=", coin.outpoint)
    .executeTakeFirstOrThrow();
  return coinOf(row);
}

/** Whether an earlier transaction of the chain pays the same address. */
async function paidBefore(
  db: Db,
  { outpoint, vault, branch, index }: NewCoin,
  height: number,
): Promise<boolean> {
  const others = await db
    .selectFrom("coins")
    .select("outpoint")
    .where("vault", "=", vault)
    .where("branch", "=", BigInt(branch))
    .where("position", "=", BigInt(index))
    .where("outpoint", "<>", outpoint)
    .where("height", "<=", BigInt(height))
    .execute();
  const txid = txidOf(outpoint);
  return others.some((other) => txidOf(other.outpoint) !== txid);
}

/** Of an outpoint. */
export function txidOf(outpoint: string): string {
  return outpoint.slice(0, outpoint.indexOf(":"));
}

export interface Spending {
  readonly outpoint: string;
  readonly txid: string;
  readonly height: number;
}

export async function spend(db: Db, { outpoint, txid, height }: Spending): Promise<void> {
  await db
    .updateTable("coins")
    .set({ spent_by: txid, spent_height: BigInt(height) })
    .where("outpoint", "=", outpoint)
    .execute();
}

/** SQLite takes 32,766 parameters; a few hundred at a time keep each look-up short. */
export const LOOKUP_MAX = 500;

export async function knownCoins(db: Db, outpoints: readonly string[]): Promise<readonly Coin[]> {
  const found: Coin[] = [];
  for (let at = 0; at < outpoints.length; at += LOOKUP_MAX) {
    const rows = await db
      .selectFrom("coins")
      .selectAll()
      .where("outpoint", "in", outpoints.slice(at, at + LOOKUP_MAX))
      .execute();
    found.push(...rows.map(coinOf));
  }
  return found;
}

/** The highest blocks that are deep enough, for strangers' payments and for the house's own. */
export interface Depths {
  readonly external: number;
  readonly own: number;
}

/**
 * Coins in blocks up to these heights are deep enough. Those returned were not before, each once; the
 * caller books the deposits among them in the same transaction.
 */
export async function bury(db: Db, { external, own }: Depths): Promise<readonly Coin[]> {
  const rows = await db
    .updateTable("coins")
    .set((eb) => ({ state: "confirmed", bookings: eb("bookings", "+", 1n) }))
    .where("state", "=", "seen")
    .where((eb) =>
      eb.or([
        eb("height", "<=", BigInt(external)),
        eb.and([eb("height", "<=", BigInt(own)), eb("origin", "in", ["service", "change"])]),
      ]),
    )
    .returningAll()
    .execute();
  return rows.map(coinOf);
}

/**
 * Forgets all that stood in blocks above `height`. Returns the coins that were buried: the caller
 * takes the bookings of the deposits among them back, in the same transaction.
 */
export async function unbury(db: Db, height: number): Promise<readonly Coin[]> {
  await db
    .updateTable("coins")
    .set({ spent_by: null, spent_height: null })
    .where("spent_height", ">", BigInt(height))
    .execute();
  const buried = await db
    .selectFrom("coins")
    .selectAll()
    .where("height", ">", BigInt(height))
    .where("state", "=", "confirmed")
    .execute();
  await db
    .updateTable("coins")
    .set({ state: "gone", height: null })
    .where("height", ">", BigInt(height))
    .execute();
  return buried.map(coinOf);
}

/**
 * What an intent may take: buried, unspent, and nobody else's. Dust stays where it is: it is credited
 * to nobody, and to spend it beside other coins would tell whoever sent it whose they are.
 */
export async function spendable(db: Db, vault: string): Promise<readonly Coin[]> {
  const rows = await db
    .selectFrom("coins")
    .selectAll()
    .where("vault", "=", vault)
    .where("state", "=", "confirmed")
    .where("dust", "=", 0n)
    .where("spent_by", "is", null)
    .where("reserved_by", "is", null)
    .orderBy("outpoint")
    .execute();
  return rows.map(coinOf);
}

/** What the vault may have later: coins not buried or not mined yet, and change to come of reserved ones. */
export async function pending(db: Db, vault: string): Promise<bigint> {
  const row = await db
    .selectFrom("coins")
    .select((eb) => eb.fn.sum<bigint | null>("sats").as("sats"))
    .where("vault", "=", vault)
    .where("spent_by", "is", null)
    .where("dust", "=", 0n)
    .where((eb) =>
      eb.or([
        eb("state", "in", ["mempool", "seen"]),
        eb.and([eb("state", "=", "confirmed"), eb("reserved_by", "is not", null)]),
      ]),
    )
    .executeTakeFirstOrThrow();
  return row.sats ?? 0n;
}

export interface Reservation {
  readonly intent: string;
  readonly outpoints: readonly string[];
}

/** All coins or none, inside the caller's transaction; false when one of them is taken. */
export async function reserve(db: Db, { intent, outpoints }: Reservation): Promise<boolean> {
  const rows = await db
    .updateTable("coins")
    .set({ reserved_by: intent })
    .where("outpoint", "in", outpoints)
    .where("reserved_by", "is", null)
    .where("spent_by", "is", null)
    .where("state", "=", "confirmed")
    .where("dust", "=", 0n)
    .returning("outpoint")
    .execute();
  return rows.length === outpoints.length;
}

export async function release(db: Db, intent: string): Promise<void> {
  await db
    .updateTable("coins")
    .set({ reserved_by: null })
    .where("reserved_by", "=", intent)
    .execute();
}

export async function reservedCoins(db: Db, intent: string): Promise<readonly Coin[]> {
  const rows = await db
    .selectFrom("coins")
    .selectAll()
    .where("reserved_by", "=", intent)
    .orderBy("outpoint")
    .execute();
  return rows.map(coinOf);
}

/** Deposits of an account into any of its vaults, newest first. */
export async function depositsOf(db: Db, account: string): Promise<readonly Coin[]> {
  const rows = await db
    .selectFrom("coins")
    .innerJoin("vaults", "vaults.id", "coins.vault")
    .selectAll("coins")
    .where("account", "=", account)
    .where("kind", "=", "deposit")
    .orderBy("seen_at", "desc")
    .orderBy("height", (order) => order.desc().nullsLast())
    .orderBy("outpoint")
    .limit(DEPOSITS_MAX)
    .execute();
  return rows.map(coinOf);
}

/** More than a person looks through; the service for accounts pages. */
const DEPOSITS_MAX = 100;

/** All that a vault holds on the chain and may spend, whoever has reserved it. */
export async function heldIn(db: Db, vault: string): Promise<bigint> {
  const row = await db
    .selectFrom("coins")
    .select((eb) => eb.fn.sum<bigint | null>("sats").as("sats"))
    .where("vault", "=", vault)
    .where("spent_by", "is", null)
    .where("dust", "=", 0n)
    .where("state", "in", MINED)
    .executeTakeFirstOrThrow();
  return row.sats ?? 0n;
}

/**
 * The first receive index after the last one that was ever paid, were it by a transaction that never
 * came into a block: whoever sent it knows the address.
 */
export async function nextReceive(db: Db, vault: string): Promise<number> {
  const { used } = await db
    .selectFrom("coins")
    .select((eb) => eb.fn.max("position").as("used"))
    .where("vault", "=", vault)
    .where("branch", "=", BigInt(RECEIVE))
    .executeTakeFirstOrThrow();
  return used === null ? 0 : Number(used) + 1;
}

/** The highest change index that the chain or a living intent has; -1 when there is none. */
export async function lastChange(db: Db, vault: string): Promise<number> {
  const onChain = await db
    .selectFrom("coins")
    .select((eb) => eb.fn.max("position").as("position"))
    .where("vault", "=", vault)
    .where("branch", "=", BigInt(CHANGE))
    .executeTakeFirstOrThrow();
  const planned = await db
    .selectFrom("intents")
    .select((eb) => eb.fn.max("change_position").as("position"))
    .where("vault", "=", vault)
    .where("released", "=", 0n)
    .executeTakeFirstOrThrow();
  return Math.max(Number(onChain.position ?? -1n), Number(planned.position ?? -1n));
}

/** All that the vaults hold on the chain, and the part of it that is not booked: not yet, or dust. */
export async function heldOnChain(
  db: Db,
): Promise<{ readonly unspentSats: bigint; readonly unbookedSats: bigint }> {
  const unspent = await db
    .selectFrom("coins")
    .select((eb) => eb.fn.sum<bigint | null>("sats").as("sats"))
    .where("spent_by", "is", null)
    .where("state", "in", MINED)
    .executeTakeFirstOrThrow();
  const unbooked = await db
    .selectFrom("coins")
    .select((eb) => eb.fn.sum<bigint | null>("sats").as("sats"))
    .where("kind", "=", "deposit")
    .where((eb) =>
      eb.or([
        eb.and([eb("state", "=", "seen"), eb("dust", "=", 0n)]),
        eb.and([eb("state", "in", MINED), eb("dust", "=", 1n), eb("spent_by", "is", null)]),
      ]),
    )
    .executeTakeFirstOrThrow();
  return { unspentSats: unspent.sats ?? 0n, unbookedSats: unbooked.sats ?? 0n };
}

/** States of a coin that stands in a block. */
const MINED = ["seen", "confirmed"] as const;

/** As it is written down the first time. */
export function rowOf(coin: NewCoin) {
  return {
    outpoint: coin.outpoint,
    vault: coin.vault,
    branch: BigInt(coin.branch),
    position: BigInt(coin.index),
    sats: coin.sats,
    kind: coin.kind,
    origin: coin.origin,
    dust: coin.dust ? 1n : 0n,
    bookings: 0n,
    spent_by: null,
    spent_height: null,
    reserved_by: null,
    seen_at: coin.seenAt,
  };
}

export function coinOf(row: Row<"coins">): Coin {
  return {
    outpoint: row.outpoint,
    vault: row.vault,
    branch: row.branch === 0n ? RECEIVE : CHANGE,
    index: Number(row.position),
    sats: sats(row.sats),
    kind: row.kind,
    origin: row.origin,
    state: row.state,
    reused: row.reused === 1n,
    dust: row.dust === 1n,
    bookings: row.bookings,
    height: row.height === null ? null : Number(row.height),
    spentBy: row.spent_by,
    spentHeight: row.spent_height === null ? null : Number(row.spent_height),
    seenAt: row.seen_at,
  };
}
