/**
 * The dealer's bookings, after stablesats: dollars bought and sold, quotes that were accepted, what
 * each exchange is to carry, and the positions there. Each is one posting; what was booked is taken
 * back by `reverse` (postings.ts). They want the caller's transaction.
 */
import type { Db } from "../io/store.ts";
import {
  allocated,
  HEDGE_UNALLOCATED,
  HEDGE_WALLET,
  POSITIONS,
  position,
  QUOTED_LIABILITY,
  QUOTED_WALLET,
  WORLD,
} from "./names.ts";
import { balancesOn, type Line, post } from "./postings.ts";

export interface Trade {
  readonly db: Db;
  /** The trade, quote or order that it is booked for: once. */
  readonly reference: string;
  readonly sats: bigint;
  readonly cents: bigint;
  readonly at: bigint;
}

/** Somebody outside of the accounts brings sats and is owed dollars. */
export function userBuysUsd(trade: Trade): Promise<string | null> {
  return bookTrade(trade, "user-buys-usd", tradeLines(trade, HEDGE_WALLET, HEDGE_UNALLOCATED));
}

/** Somebody outside of the accounts gives dollars up and takes sats. */
export function userSellsUsd(trade: Trade): Promise<string | null> {
  const lines = tradeLines(trade, HEDGE_WALLET, HEDGE_UNALLOCATED);
  return bookTrade(trade, "user-sells-usd", turned(lines));
}

/** A quote by which dollars will be bought was accepted: both sides are to come. */
export function buyQuoteAccepted(trade: Trade): Promise<string | null> {
  return bookTrade(trade, "buy-quote-accepted", tradeLines(trade, QUOTED_WALLET, QUOTED_LIABILITY));
}

export function sellQuoteAccepted(trade: Trade): Promise<string | null> {
  const lines = tradeLines(trade, QUOTED_WALLET, QUOTED_LIABILITY);
  return bookTrade(trade, "sell-quote-accepted", turned(lines));
}

export interface Allocation {
  readonly db: Db;
  readonly reference: string;
  readonly exchange: string;
  /** Above zero the exchange carries more of what is owed, below zero less. */
  readonly cents: bigint;
  readonly at: bigint;
}

/** Dollars that are owed move between what nobody carries and what an exchange does. */
export function allocationAdjusted(allocation: Allocation): Promise<string | null> {
  const { db, reference, exchange, cents, at } = allocation;
  const lines: readonly Line[] = [
    { account: HEDGE_UNALLOCATED, currency: "usd", amount: cents },
    { account: allocated(exchange), currency: "usd", amount: -cents },
  ];
  return post({ db, kind: "allocation-adjusted", subject: reference, lines, at });
}

export interface PositionReport {
  readonly db: Db;
  readonly reference: string;
  readonly exchange: string;
  /** The position as a whole, as the exchange reports it: below zero is short. */
  readonly cents: bigint;
  readonly at: bigint;
}

/** Books what a reported position differs by from the one before; null where it does not. */
export async function positionReported(report: PositionReport): Promise<string | null> {
  const { db, reference, exchange, cents, at } = report;
  const account = position(exchange);
  const change = cents - ((await balancesOn(db, [account]))(account, "usd") ?? 0n);
  if (change === 0n) return null;
  const lines: readonly Line[] = [
    { account, currency: "usd", amount: change },
    { account: POSITIONS, currency: "usd", amount: -change },
  ];
  const kind = change < 0n ? "position-increased" : "position-decreased";
  return post({ db, kind, subject: reference, lines, at });
}

function tradeLines({ sats, cents }: Trade, wallet: string, liability: string): readonly Line[] {
  return [
    { account: wallet, currency: "sat", amount: sats },
    { account: WORLD, currency: "sat", amount: -sats },
    { account: WORLD, currency: "usd", amount: cents },
    { account: liability, currency: "usd", amount: -cents },
  ];
}

function turned(lines: readonly Line[]): readonly Line[] {
  return lines.map((line) => ({ ...line, amount: -line.amount }));
}

function bookTrade(
  { db, reference, at }: Trade,
  kind: string,
  lines: readonly Line[],
): Promise<string | null> {
  return post({ db, kind, subject: reference, lines, at });
}
