/**
 * The book: double entry. A posting moves amounts between book accounts and adds up to zero in each
 * currency; its id is the hash of its content, so that booking twice is once. `world` stands for
 * everything outside: it is the negative of all that the book holds. Bookings of more than one row
 * want the caller's transaction.
 */
import { hex, taggedHash } from "../../policies/bitcoin/hash.ts";
import type { Sats } from "../../policies/money.ts";
import type { Db } from "../io/store.ts";

export interface Booked {
  readonly db: Db;
  readonly account: string;
  readonly at: bigint;
}

export interface DepositBooking extends Booked {
  readonly outpoint: string;
  readonly sats: Sats;
  /** How often this coin was booked before: a reorg can take a booking back, and give it again. */
  readonly turn: bigint;
}

export interface WithdrawalBooking extends Booked {
  readonly intent: string;
  /** What leaves the vault, without the fee. */
  readonly sats: Sats;
  readonly feeSats: Sats;
  /** How often this step was booked before. */
  readonly turn: bigint;
}

/** `again`: it stands in the book already. `overdrawn`: less is available, nothing was written. */
export type ReserveOutcome = "booked" | "again" | "overdrawn";

const CURRENCY = "sat";
const WORLD = "world";
/** Mining fees that withdrawals have paid. */
const FEES = "fees";

export function depositConfirmed(booking: DepositBooking): Promise<boolean> {
  const { account, outpoint, sats, turn } = booking;
  return post(booking, `deposit-confirmed ${turn}`, outpoint, [
    { account: WORLD, amount: -sats },
    { account: available(account), amount: sats },
  ]);
}

/** A reorg took the deposit's block. What was withdrawn meanwhile leaves the account below zero. */
export function depositUnbooked(booking: DepositBooking): Promise<boolean> {
  const { account, outpoint, sats, turn } = booking;
  return post(booking, `deposit-unbooked ${turn}`, outpoint, [
    { account: available(account), amount: -sats },
    { account: WORLD, amount: sats },
  ]);
}

/** available -> reserved, fee included. Call it in a transaction: it reads, then writes. */
export async function withdrawalReserved(booking: WithdrawalBooking): Promise<ReserveOutcome> {
  const { db, account, intent, sats, feeSats, turn } = booking;
  const total = sats + feeSats;
  const posting = postingOf(`withdrawal-reserved ${turn}`, intent, [
    { account: available(account), amount: -total },
    { account: reserved(account), amount: total },
  ]);
  if (await stands(db, posting.id)) return "again";
  if ((await balancesOf(db, account)).available < total) return "overdrawn";
  return (await write(booking, posting)) ? "booked" : "again";
}

/** reserved -> out of the house, and the fee to the miners. */
export function withdrawalConfirmed(booking: WithdrawalBooking): Promise<boolean> {
  const { account, intent, sats, feeSats, turn } = booking;
  return post(booking, `withdrawal-confirmed ${turn}`, intent, [
    { account: reserved(account), amount: -(sats + feeSats) },
    { account: WORLD, amount: sats },
    { account: FEES, amount: feeSats },
  ]);
}

/** A reorg took the withdrawal's block: it is in flight again. */
export function withdrawalUnconfirmed(booking: WithdrawalBooking): Promise<boolean> {
  const { account, intent, sats, feeSats, turn } = booking;
  return post(booking, `withdrawal-unconfirmed ${turn}`, intent, [
    { account: reserved(account), amount: sats + feeSats },
    { account: WORLD, amount: -sats },
    { account: FEES, amount: -feeSats },
  ]);
}

/** reserved -> available in another vault of the account, and the fee to the miners. */
export function migrationConfirmed(booking: WithdrawalBooking): Promise<boolean> {
  const { account, intent, sats, feeSats, turn } = booking;
  return post(booking, `migration-confirmed ${turn}`, intent, [
    { account: reserved(account), amount: -(sats + feeSats) },
    { account: available(account), amount: sats },
    { account: FEES, amount: feeSats },
  ]);
}

/** A reorg took the migration's block: it is in flight again. */
export function migrationUnconfirmed(booking: WithdrawalBooking): Promise<boolean> {
  const { account, intent, sats, feeSats, turn } = booking;
  return post(booking, `migration-unconfirmed ${turn}`, intent, [
    { account: reserved(account), amount: sats + feeSats },
    { account: available(account), amount: -sats },
    { account: FEES, amount: -feeSats },
  ]);
}

/** reserved -> available: the withdrawal will not happen. */
export function withdrawalReleased(booking: WithdrawalBooking): Promise<boolean> {
  const { account, intent, sats, feeSats, turn } = booking;
  const total = sats + feeSats;
  return post(booking, `withdrawal-released ${turn}`, intent, [
    { account: reserved(account), amount: -total },
    { account: available(account), amount: total },
  ]);
}

export interface AccountBalances {
  readonly available: bigint;
  readonly reserved: bigint;
}

/** Two rows, however long the history. */
export async function balancesOf(db: Db, account: string): Promise<AccountBalances> {
  const rows = await db
    .selectFrom("balances")
    .select(["account", "amount"])
    .where("account", "in", [available(account), reserved(account)])
    .where("currency", "=", CURRENCY)
    .execute();
  const of = (name: string) => rows.find((row) => row.account === name)?.amount ?? 0n;
  return { available: of(available(account)), reserved: of(reserved(account)) };
}

export interface BookCheck {
  readonly balances: boolean;
  readonly postings: bigint;
  /** Owed to all users, available and reserved. */
  readonly usersSats: bigint;
  readonly feesSats: bigint;
  /** What is wrong, in words; empty when the book balances. */
  readonly faults: readonly string[];
}

/** Proves the book from its entries alone, and the balances against them. */
export async function checkBook(db: Db): Promise<BookCheck> {
  const faults: string[] = [];
  const unbalanced = await db
    .selectFrom("entries")
    .select(["posting", "currency"])
    .groupBy(["posting", "currency"])
    .having((eb) => eb.fn.sum("amount"), "<>", 0n)
    .execute();
  for (const { posting, currency } of unbalanced) {
    faults.push(`posting ${posting} does not balance in ${currency}`);
  }
  const summed = await db
    .selectFrom("entries")
    .select(["account", "currency", (eb) => eb.fn.sum<bigint>("amount").as("amount")])
    .groupBy(["account", "currency"])
    .execute();
  const kept = await db.selectFrom("balances").selectAll().execute();
  const truth = new Map(summed.map((row) => [`${row.account} ${row.currency}`, row.amount]));
  for (const { account, currency, amount } of kept) {
    const id = `${account} ${currency}`;
    const sum = truth.get(id) ?? 0n;
    if (sum !== amount) faults.push(`balance of ${id} is ${amount}, its entries make ${sum}`);
    if (amount < 0n && account.startsWith(USER)) faults.push(`${id} is overdrawn by ${-amount}`);
    truth.delete(id);
  }
  for (const id of truth.keys()) faults.push(`${id} has entries and no balance`);
  const { postings } = await db
    .selectFrom("postings")
    .select((eb) => eb.fn.countAll<bigint>().as("postings"))
    .executeTakeFirstOrThrow();
  const total = (match: (account: string) => boolean) =>
    kept.reduce((sum, { account, amount }) => (match(account) ? sum + amount : sum), 0n);
  return {
    balances: faults.length === 0,
    postings,
    usersSats: total((account) => account.startsWith(USER)),
    feesSats: total((account) => account === FEES),
    faults,
  };
}

const USER = "user/";

function available(account: string): string {
  return `${USER}${account}/available`;
}

function reserved(account: string): string {
  return `${USER}${account}/reserved`;
}

interface Line {
  readonly account: string;
  readonly amount: bigint;
}

interface Posting {
  readonly id: string;
  readonly kind: string;
  readonly subject: string;
  readonly lines: readonly Line[];
}

/** The posting with its id; a posting out of balance is our mistake and goes nowhere. */
function postingOf(kind: string, subject: string, all: readonly Line[]): Posting {
  const lines = all.filter(({ amount }) => amount !== 0n);
  const sum = lines.reduce((total, { amount }) => total + amount, 0n);
  if (sum !== 0n) throw new Error(`BUG: ${kind} of ${subject} is out of balance by ${sum}`);
  const content = lines.map(({ account, amount }) => `${account} ${CURRENCY} ${amount}`).sort();
  // No field holds a line break, so the joined text has one reading.
  const text = [kind, subject, ...content].join("\n");
  const id = hex(taggedHash("ballast/posting@1", new TextEncoder().encode(text)));
  return { id, kind, subject, lines };
}

function post(
  booked: Booked,
  kind: string,
  subject: string,
  lines: readonly Line[],
): Promise<boolean> {
  return write(booked, postingOf(kind, subject, lines));
}

async function stands(db: Db, id: string): Promise<boolean> {
  const row = await db.selectFrom("postings").select("id").where("id", "=", id).executeTakeFirst();
  return row !== undefined;
}

/** Writes a posting with its lines and balances; false when it stands in the book already. */
async function write({ db, at }: Booked, { id, kind, subject, lines }: Posting): Promise<boolean> {
  const fresh = await db
    .insertInto("postings")
    .values({ id, kind, subject, at })
    .onConflict((conflict) => conflict.doNothing())
    .returning("id")
    .executeTakeFirst();
  if (fresh === undefined) return false;
  for (const { account, amount } of lines) {
    await db
      .insertInto("entries")
      .values({ posting: id, account, currency: CURRENCY, amount })
      .execute();
    await db
      .insertInto("balances")
      .values({ account, currency: CURRENCY, amount })
      .onConflict((conflict) =>
        conflict
          .columns(["account", "currency"])
          .doUpdateSet((eb) => ({ amount: eb("balances.amount", "+", amount) })),
      )
      .execute();
  }
  return true;
}
