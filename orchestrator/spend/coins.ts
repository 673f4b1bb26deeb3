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
  readonly kind: "deposit" | "change";
  readonly state: "seen" | "confirmed" | "gone";
  readonly bookings: bigint;
  readonly height: number | null;
  readonly spentBy: string | null;
  readonly spentHeight: number | null;
}

export type NewCoin = Pick<Coin, "outpoint" | "vault" | "branch" | "index" | "sats" | "kind">;

/** A coin stands in a block; one that a reorg took away comes back as it was. */
export async function appear(db: Db, coin: NewCoin, height: number): Promise<void> {
  await db
    .insertInto("coins")
    .values({
      outpoint: coin.outpoint,
      vault: coin.vault,
      branch: BigInt(coin.branch),
      position: BigInt(coin.index),
      sats: coin.sats,
      kind: coin.kind,
      state: "seen",
      bookings: 0n,
      height: BigInt(height),
      spent_by: null,
      spent_height: null,
      reserved_by: null,
    })
    .onConflict((conflict) =>
      conflict
        .column("outpoint")
        .doUpdateSet({ state: "seen", height: BigInt(height) })
        .where("coins.state", "=", "gone"),
    )
    .execute();
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
const LOOKUP_MAX = 500;

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

/**
 * Coins in blocks up to `height` are deep enough. Those returned were not before, each once; the
 * caller books the deposits among them in the same transaction.
 */
export async function bury(db: Db, height: number): Promise<readonly Coin[]> {
  const rows = await db
    .updateTable("coins")
    .set((eb) => ({ state: "confirmed", bookings: eb("bookings", "+", 1n) }))
    .where("state", "=", "seen")
    .where("height", "<=", BigInt(height))
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

/** What an intent may take: buried, unspent, and nobody else's. */
export async function spendable(db: Db, vault: string): Promise<readonly Coin[]> {
  const rows = await db
    .selectFrom("coins")
    .selectAll()
    .where("vault", "=", vault)
    .where("state", "=", "confirmed")
    .where("spent_by", "is", null)
    .where("reserved_by", "is", null)
    .orderBy("outpoint")
    .execute();
  return rows.map(coinOf);
}

/** What the vault may have later: coins not buried yet, and change to come of reserved ones. */
export async function pending(db: Db, vault: string): Promise<bigint> {
  const row = await db
    .selectFrom("coins")
    .select((eb) => eb.fn.sum<bigint | null>("sats").as("sats"))
    .where("vault", "=", vault)
    .where("spent_by", "is", null)
    .where("state", "<>", "gone")
    .where((eb) => eb.or([eb("state", "=", "seen"), eb("reserved_by", "is not", null)]))
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
    .orderBy("height", "desc")
    .orderBy("outpoint")
    .limit(DEPOSITS_MAX)
    .execute();
  return rows.map(coinOf);
}

/** More than a person looks through; the service for accounts pages. */
const DEPOSITS_MAX = 100;

/** All that a vault holds on the chain, whoever has reserved it. */
export async function heldIn(db: Db, vault: string): Promise<bigint> {
  const row = await db
    .selectFrom("coins")
    .select((eb) => eb.fn.sum<bigint | null>("sats").as("sats"))
    .where("vault", "=", vault)
    .where("spent_by", "is", null)
    .where("state", "<>", "gone")
    .executeTakeFirstOrThrow();
  return row.sats ?? 0n;
}

/** The first receive index after the last one that was ever paid. */
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

/** All that the vaults hold on the chain, and the part of it that was not booked yet. */
export async function heldOnChain(
  db: Db,
): Promise<{ readonly unspentSats: bigint; readonly unbookedSats: bigint }> {
  const unspent = await db
    .selectFrom("coins")
    .select((eb) => eb.fn.sum<bigint | null>("sats").as("sats"))
    .where("spent_by", "is", null)
    .where("state", "<>", "gone")
    .executeTakeFirstOrThrow();
  const unbooked = await db
    .selectFrom("coins")
    .select((eb) => eb.fn.sum<bigint | null>("sats").as("sats"))
    .where("kind", "=", "deposit")
    .where("state", "=", "seen")
    .executeTakeFirstOrThrow();
  return { unspentSats: unspent.sats ?? 0n, unbookedSats: unbooked.sats ?? 0n };
}

export function coinOf(row: Row<"coins">): Coin {
  return {
    outpoint: row.outpoint,
    vault: row.vault,
    branch: row.branch === 0n ? RECEIVE : CHANGE,
    index: Number(row.position),
    sats: sats(row.sats),
    kind: row.kind,
    state: row.state,
    bookings: row.bookings,
    height: row.height === null ? null : Number(row.height),
    spentBy: row.spent_by,
    spentHeight: row.spent_height === null ? null : Number(row.spent_height),
  };
}
