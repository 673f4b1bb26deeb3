/**
 * The book of what people own: one function a booking. Sats and dollars lie on `available` and
 * `reserved` of each account; `world` is the negative of all that the book holds. What was booked is
 * taken back by a reversal, once. After each booking the claims follow (claims.ts). Bookings want the
 * caller's transaction.
 */
import { centsOfSatsCeil, lesser, type Price, type Sats } from "../../policies/money.ts";
import {
  available,
  debt,
  FEES,
  HEDGE_UNALLOCATED,
  HEDGE_WALLET,
  reserved,
  WORLD,
} from "../book/names.ts";
import {
  balancesOn,
  type Currency,
  type Line,
  linesOf,
  type PostingName,
  post,
  postingOf,
  reverse,
} from "../book/postings.ts";
import type { Db } from "../io/store.ts";
import { type ClaimCause, follow } from "./claims.ts";

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

export interface StabiliseBooking extends DepositBooking {
  /** What the sats become. */
  readonly cents: bigint;
}

export interface WithdrawalBooking extends Booked {
  readonly intent: string;
  /** What leaves the vault, without the fee. */
  readonly sats: Sats;
  readonly feeSats: Sats;
  /** How often this step was booked before. */
  readonly turn: bigint;
}

export interface ReservationBooking extends WithdrawalBooking {
  /** What dollars are worth now; null where no price can be trusted, or none is needed. */
  readonly price?: Price | null;
  /** All but the fee stays the account's: in another vault. */
  readonly moves?: boolean;
}

export interface SpentBooking extends WithdrawalBooking {
  readonly txid: string;
  /** Whose coins it spends. */
  readonly vault: string;
  /** Where its coins go if they stay the account's, and the part of the vault that they are. */
  readonly into?: { readonly vault: string; readonly moved: bigint; readonly of: bigint };
}

/**
 * `again`: it stands in the book already. `overdrawn`: less is available. `unpriced`: dollars have to
 * pay for it and nobody knows what they are worth. Nothing was written but by `booked`.
 */
export type ReserveOutcome = "booked" | "again" | "overdrawn" | "unpriced";

/** world -> available */
export async function depositConfirmed(booking: DepositBooking): Promise<boolean> {
  const { db, account, outpoint, sats, at } = booking;
  const lines = move({ from: WORLD, to: available(account), currency: "sat", amount: sats });
  const posting = await post({ db, ...depositName(booking), lines, at });
  return settle(booking, posting, { kind: "deposit", reference: outpoint });
}

/** A reorg took the deposit's block. */
export function depositUnbooked(booking: DepositBooking): Promise<boolean> {
  const cause = { kind: "deposit" as const, reference: booking.outpoint };
  return takeBack(booking, depositName(booking), cause);
}

function depositName({ outpoint, turn }: DepositBooking): PostingName {
  return { kind: `deposit-confirmed ${turn}`, subject: outpoint };
}

/** available sats -> the hedge's wallet, and dollars for them -> available. */
export async function depositStabilised(booking: StabiliseBooking): Promise<boolean> {
  const { db, account, outpoint, sats, cents, at } = booking;
  const own = available(account);
  const lines = [
    ...move({ from: own, to: HEDGE_WALLET, currency: "sat", amount: sats }),
    ...move({ from: HEDGE_UNALLOCATED, to: own, currency: "usd", amount: cents }),
  ];
  const posting = await post({ db, ...stabiliseName(booking), lines, at });
  return settle(booking, posting, { kind: "deposit", reference: outpoint });
}

/** The sats come back as they went, whatever they are worth by now. */
export function depositUnstabilised(booking: Omit<DepositBooking, "sats">): Promise<boolean> {
  const cause = { kind: "deposit" as const, reference: booking.outpoint };
  return takeBack(booking, stabiliseName(booking), cause);
}

function stabiliseName({ outpoint, turn }: Pick<DepositBooking, "outpoint" | "turn">) {
  return { kind: `deposit-stabilised ${turn}`, subject: outpoint };
}

/**
 * available -> reserved, fee included: sats that are idle first, and dollars for the rest, rounded up
 * against who asks. What only moves to another vault costs the fee. It reads, then writes.
 */
export async function withdrawalReserved(booking: ReservationBooking): Promise<ReserveOutcome> {
  const { db, account, intent, sats, feeSats, at } = booking;
  if ((await postingOf(db, reservationName(intent))) !== null) return "again";
  const on = await balancesOn(db, [available(account)]);
  const total = sats + feeSats;
  const ready = on(available(account), "sat") ?? 0n;
  const idle = ready < 0n ? 0n : lesser(ready, total);
  // Coins beyond the idle sats are there only where dollars are, or were.
  const dollars = on(available(account), "usd");
  if (idle < total && dollars === null) return "overdrawn";
  const needed = booking.moves === true ? feeSats : total;
  const short = needed > idle ? needed - idle : 0n;
  if (short > 0n && (booking.price ?? null) === null) return "unpriced";
  const cents = short === 0n ? 0n : centsOfSatsCeil(short, booking.price as Price);
  if (cents > 0n && cents > (dollars ?? 0n)) return "overdrawn";
  const between = { from: available(account), to: reserved(account) };
  const lines = [
    ...move({ ...between, currency: "sat", amount: idle }),
    ...move({ ...between, currency: "usd", amount: cents }),
  ];
  await post({ db, ...reservationName(intent), lines, at });
  return "booked";
}

/** An intent is reserved for once. */
function reservationName(intent: string): PostingName {
  return { kind: "withdrawal-reserved 0", subject: intent };
}

export interface Debit {
  readonly idleSats: bigint;
  readonly cents: bigint;
}

/** What an intent has reserved; null: nothing was. */
export async function debitOf(
  db: Db,
  { account, intent }: Pick<WithdrawalBooking, "account" | "intent">,
): Promise<Debit | null> {
  const posting = await postingOf(db, reservationName(intent));
  if (posting === null) return null;
  const lines = await linesOf(db, posting.id);
  const on = (currency: string) =>
    lines.find((line) => line.account === reserved(account) && line.currency === currency)
      ?.amount ?? 0n;
  return { idleSats: on("sat"), cents: on("usd") };
}

/**
 * reserved -> out of the house, and the fee to the miners. For dollars the hedge's wallet pays, and
 * they are owed no more. False: it was booked before, or nothing was reserved.
 */
export async function withdrawalConfirmed(booking: SpentBooking): Promise<boolean> {
  const { account, sats, feeSats } = booking;
  const debit = await debitOf(booking.db, booking);
  if (debit === null) return false;
  return spent(booking, "withdrawal-confirmed", [
    ...move({
      from: reserved(account),
      to: HEDGE_UNALLOCATED,
      currency: "usd",
      amount: debit.cents,
    }),
    { account: reserved(account), currency: "sat", amount: -debit.idleSats },
    { account: HEDGE_WALLET, currency: "sat", amount: debit.idleSats - sats - feeSats },
    { account: WORLD, currency: "sat", amount: sats },
    { account: FEES, currency: "sat", amount: feeSats },
  ]);
}

/** A reorg took the withdrawal's block: it is in flight again. */
export function withdrawalUnconfirmed(booking: SpentBooking): Promise<boolean> {
  return unspent(booking, "withdrawal-confirmed");
}

/** reserved -> available in another vault of the account, and the fee to the miners. */
export async function migrationConfirmed(booking: SpentBooking): Promise<boolean> {
  const { account, feeSats } = booking;
  const debit = await debitOf(booking.db, booking);
  if (debit === null) return false;
  const own = lesser<bigint>(debit.idleSats, feeSats);
  return spent(booking, "migration-confirmed", [
    ...move({
      from: reserved(account),
      to: HEDGE_UNALLOCATED,
      currency: "usd",
      amount: debit.cents,
    }),
    { account: reserved(account), currency: "sat", amount: -debit.idleSats },
    { account: available(account), currency: "sat", amount: debit.idleSats - own },
    { account: HEDGE_WALLET, currency: "sat", amount: own - feeSats },
    { account: FEES, currency: "sat", amount: feeSats },
  ]);
}

/** A reorg took the migration's block: it is in flight again. */
export function migrationUnconfirmed(booking: SpentBooking): Promise<boolean> {
  return unspent(booking, "migration-confirmed");
}

/** reserved -> available: the withdrawal will not happen. What was dollars is as many dollars again. */
export async function withdrawalReleased(booking: WithdrawalBooking): Promise<boolean> {
  return (await reverse(booking.db, reservationName(booking.intent), booking.at)) !== null;
}

type Spent = "withdrawal-confirmed" | "migration-confirmed";

async function spent(booking: SpentBooking, kind: Spent, lines: readonly Line[]): Promise<boolean> {
  const { db, intent, turn, at, txid, vault, into } = booking;
  const posting = await post({ db, kind: `${kind} ${turn}`, subject: intent, lines, at });
  return settle(booking, posting, {
    kind: "withdrawal",
    reference: txid,
    vault,
    ...(into !== undefined && { into }),
  });
}

function unspent(booking: SpentBooking, kind: Spent): Promise<boolean> {
  const { intent, turn, txid, vault } = booking;
  const name = { kind: `${kind} ${turn}`, subject: intent };
  return takeBack(booking, name, { kind: "withdrawal", reference: txid, vault });
}

/** What a change of a claim is put down to. */
type Cause = Omit<ClaimCause, "posting" | "undoes">;

async function settle(booked: Booked, posting: string | null, cause: Cause): Promise<boolean> {
  if (posting === null) return false;
  await squareUp(booked, posting);
  await follow(booked, { ...cause, posting, undoes: null });
  return true;
}

async function takeBack(booked: Booked, name: PostingName, cause: Cause): Promise<boolean> {
  const reversed = await reverse(booked.db, name, booked.at);
  if (reversed === null) return false;
  await squareUp(booked, reversed.reversal);
  await follow(booked, { ...cause, posting: reversed.reversal, undoes: reversed.original });
  return true;
}

/**
 * Nobody is owed less than nothing. Where a deposit is gone for good and its value was paid out, the
 * account owes it, on an account of its own, until something comes in again.
 */
async function squareUp({ db, account, at }: Booked, cause: string): Promise<void> {
  const on = await balancesOn(db, [available(account), reserved(account), debt(account)]);
  const lines = (["sat", "usd"] as const).flatMap((currency) => {
    const of = (name: string) => on(name, currency) ?? 0n;
    const owned = of(available(account)) + of(reserved(account));
    const owed = -of(debt(account));
    const amount = owned < 0n ? -owned : -lesser(owned, owed);
    return move({ from: debt(account), to: available(account), currency, amount });
  });
  if (lines.length > 0) await post({ db, kind: "debt-changed", subject: cause, lines, at });
}

interface Movement {
  readonly from: string;
  readonly to: string;
  readonly currency: Currency;
  readonly amount: bigint;
}

function move({ from, to, currency, amount }: Movement): readonly Line[] {
  return amount === 0n
    ? []
    : [
        { account: from, currency, amount: -amount },
        { account: to, currency, amount },
      ];
}

export interface AccountBalances {
  readonly available: bigint;
  readonly reserved: bigint;
}

/** In sats. Available is below zero while a payment is under way whose coin a reorg has taken. */
export function balancesOf(db: Db, account: string): Promise<AccountBalances> {
  return ownedOf(db, account, "sat");
}

/** In cents of the dollar. */
export function centsOf(db: Db, account: string): Promise<AccountBalances> {
  return ownedOf(db, account, "usd");
}

async function ownedOf(db: Db, account: string, currency: Currency): Promise<AccountBalances> {
  const on = await balancesOn(db, [available(account), reserved(account)]);
  return {
    available: on(available(account), currency) ?? 0n,
    reserved: on(reserved(account), currency) ?? 0n,
  };
}
