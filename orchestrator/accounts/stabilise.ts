/**
 * A buried deposit gets its value in dollars, once a turn and as soon as a price can be trusted: record,
 * booking, claim and event in one transaction. Where an account wants to stay in sats, or nobody is
 * asked for prices, it is told as it is. A reorganisation takes all of it back.
 */
import { fromHex } from "../../policies/bitcoin/hash.ts";
import type { Network } from "../../policies/bitcoin/network.ts";
import { addressOf } from "../../policies/bitcoin/taproot.ts";
import { centsOfSatsFloor, lesser, sats } from "../../policies/money.ts";
import type { Clock } from "../io/clock.ts";
import type { Db, Store } from "../io/store.ts";
import type { Log } from "../log.ts";
import type { Prices, TrustedPrice } from "../prices/prices.ts";
import type { Role } from "../role.ts";
import { balancesOf, depositStabilised, depositUnstabilised } from "./book.ts";
import { tell } from "./events.ts";
import { freshPrice } from "./fresh-price.ts";
import { recordDeposit, reverseDeposit } from "./stable.ts";

export interface StabiliseParts {
  readonly store: Store;
  readonly network: Network;
  readonly clock: Clock;
  readonly log: Log;
  /** Left out, all deposits stay in sats. */
  readonly prices?: Prices | undefined;
}

/** Deposits wait for a price: shown as the role's fault until there is one. */
export class NoPriceError extends Error {
  override readonly name = "NoPriceError";
  readonly code = "no-price";
}

/** A step looks at so many and comes again. */
const COINS_MAX = 100;

export function stabiliseRole(parts: StabiliseParts): Role {
  const { store, log } = parts;

  async function step(): Promise<"more" | "idle"> {
    const coins = await undecided(store.db);
    let waiting = false;
    for (const { outpoint, bookings: turn, wanted } of coins) {
      const price = priceFor(parts, wanted);
      if (price === "none-yet") waiting = true;
      else {
        const cents = await store.transaction((db) => decide(parts, db, { outpoint, turn, price }));
        if (cents !== null) log.info({ outpoint, cents: String(cents) }, "deposit credited");
      }
    }
    if (waiting) throw new NoPriceError("deposits wait: no price in dollars can be trusted now");
    return coins.length === COINS_MAX ? "more" : "idle";
  }

  return { name: "stabilise", step };
}

/** Null: the deposit stays in sats, by its account's wish or because nobody is asked for prices. */
function priceFor(
  { prices, clock }: StabiliseParts,
  wanted: bigint,
): TrustedPrice | null | "none-yet" {
  if (prices === undefined || wanted === 0n) return null;
  return freshPrice(prices, clock()) ?? "none-yet";
}

/** Buried deposits of which nothing is recorded in their present turn; those that want no price first. */
function undecided(db: Db) {
  return buriedDeposits(db)
    .leftJoin("stable_coins", (join) =>
      join
        .onRef("stable_coins.outpoint", "=", "coins.outpoint")
        .onRef("stable_coins.turn", "=", "coins.bookings"),
    )
    .where("stable_coins.outpoint", "is", null)
    .select(["coins.outpoint", "coins.bookings", "accounts.stabilise as wanted"])
    .orderBy("accounts.stabilise")
    .orderBy("coins.height")
    .orderBy("coins.outpoint")
    .limit(COINS_MAX)
    .execute();
}

function buriedDeposits(db: Db) {
  return db
    .selectFrom("coins")
    .innerJoin("vaults", "vaults.id", "coins.vault")
    .innerJoin("accounts", "accounts.id", "vaults.account")
    .where("coins.state", "=", "confirmed")
    .where("coins.kind", "=", "deposit")
    .where("coins.dust", "=", 0n);
}

interface Decision {
  readonly outpoint: string;
  readonly turn: bigint;
  readonly price: TrustedPrice | null;
}

/** The cents that it became; null: it was decided before, or a reorg took it meanwhile. */
async function decide(
  { network, clock }: StabiliseParts,
  db: Db,
  { outpoint, turn, price }: Decision,
): Promise<bigint | null> {
  const coin = await buriedDeposits(db)
    .innerJoin("scripts", (join) =>
      join
        .onRef("scripts.vault", "=", "coins.vault")
        .onRef("scripts.branch", "=", "coins.branch")
        .onRef("scripts.position", "=", "coins.position"),
    )
    .where("coins.outpoint", "=", outpoint)
    .where("coins.bookings", "=", turn)
    .select(["coins.sats", "coins.spent_by", "vaults.account", "scripts.script"])
    .executeTakeFirst();
  if (coin === undefined) return null;
  const { account } = coin;
  const at = clock();
  // What idle sats have paid for meanwhile is gone: only what is left can become dollars.
  const ready = (await balancesOf(db, account)).available;
  const amount = price === null || ready < 0n ? 0n : lesser(coin.sats, ready);
  const cents = price === null ? 0n : centsOfSatsFloor(amount, price.price);
  // Less than a cent is no dollars: the sats stay.
  const given = cents === 0n ? null : price;
  const record = { db, account, outpoint, turn, cents, price: given, at };
  const became = given === null ? 0n : amount;
  const fresh = await recordDeposit({ ...record, sats: became, spent: coin.spent_by !== null });
  if (!fresh) return null;
  if (given !== null) await depositStabilised({ ...record, sats: sats(became) });
  const address = addressOf(fromHex(coin.script), network);
  await tell(db, {
    kind: "deposit",
    key: `deposit ${outpoint} ${turn}`,
    account,
    data: { outpoint, sats: String(coin.sats), ...credited(cents, given), address },
    at,
  });
  return cents;
}

/** Null is said of a deposit that stays in sats. */
function credited(cents: bigint, price: TrustedPrice | null) {
  return price === null
    ? { cents: null, price: null, currency: null }
    : { cents: String(cents), price: String(price.price), currency: price.currency };
}

export interface TakenCoin {
  readonly outpoint: string;
  readonly bookings: bigint;
}

/** A reorg unburies a deposit: what its value did is undone, and told. In the caller's transaction. */
export async function takeBack(db: Db, coin: TakenCoin, at: bigint): Promise<void> {
  const { outpoint, bookings: turn } = coin;
  const record = await reverseDeposit(db, { outpoint, turn, at });
  if (record === null) return;
  const { account, cents } = record;
  await depositUnstabilised({ db, account, outpoint, turn, at });
  await tell(db, {
    kind: "deposit_reversed",
    key: `deposit_reversed ${outpoint} ${turn}`,
    account,
    data: { outpoint, cents: cents === 0n ? null : String(cents) },
    at,
  });
}
