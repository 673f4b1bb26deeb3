/**
 * What happened, in order, for whoever wants to be told: activity lists, webhooks. An event is
 * written in the transaction that makes it true, so that none is told of what was never kept, and
 * what it said stays: what is no longer true is told by another event.
 */
import type { Db, Row } from "../io/store.ts";

/**
 * Kinds; the first two are Pulser's webhooks by name (seeds.md 4.8).
 * - `deposit_mempool`: seen, in no block yet; it may never be
 * - `deposit`: buried and stabilised; the account is credited
 * - `deposit_reversed`: a reorganisation took back what `deposit` said
 * - `deposit_flagged`: paid to a used address, too small, or an output nobody expected
 * - `account_frozen`, `account_thawed`: a deep reorganisation; nothing is spent meanwhile
 */
export const EVENT_KINDS = [
  "deposit_mempool",
  "deposit",
  "deposit_reversed",
  "deposit_flagged",
  "account_frozen",
  "account_thawed",
  "withdrawal",
  "withdrawal_reversed",
] as const;
export type EventKind = (typeof EVENT_KINDS)[number];

export type EventData = Readonly<Record<string, string | boolean | null>>;

export interface NewEvent {
  readonly kind: EventKind;
  /** What happened, in a form that is the same each time it is looked at: told once. */
  readonly key: string;
  /** Null: it concerns no single account. */
  readonly account: string | null;
  /** Amounts and heights are decimal strings. */
  readonly data: EventData;
  readonly at: bigint;
}

export interface AccountEvent {
  readonly sequence: bigint;
  readonly key: string;
  readonly kind: EventKind;
  readonly account: string | null;
  readonly data: EventData;
  readonly at: bigint;
}

/** False: it was told before. In the caller's transaction. */
export async function tell(db: Db, { data, ...event }: NewEvent): Promise<boolean> {
  const fresh = await db
    .insertInto("events")
    .values({ ...event, data: JSON.stringify(data) })
    .onConflict((conflict) => conflict.doNothing())
    .returning("sequence")
    .executeTakeFirst();
  return fresh !== undefined;
}

/** Oldest first, from behind `after`; 0n is the beginning. */
export async function eventsAfter(
  db: Db,
  after: bigint,
  limit: number,
): Promise<readonly AccountEvent[]> {
  const rows = await db
    .selectFrom("events")
    .selectAll()
    .where("sequence", ">", after)
    .orderBy("sequence")
    .limit(limit)
    .execute();
  return rows.map(eventOf);
}

export interface EventPage {
  readonly account: string;
  /** Only those before this one; null starts at the newest. */
  readonly before: bigint | null;
  readonly limit: number;
}

/** Of one account, newest first. */
export async function eventsOf(
  db: Db,
  { account, before, limit }: EventPage,
): Promise<readonly AccountEvent[]> {
  const rows = await db
    .selectFrom("events")
    .selectAll()
    .where("account", "=", account)
    .$if(before !== null, (query) => query.where("sequence", "<", before ?? 0n))
    .orderBy("sequence", "desc")
    .limit(limit)
    .execute();
  return rows.map(eventOf);
}

function eventOf({ kind, data, ...row }: Row<"events">): AccountEvent {
  return { ...row, kind: kind as EventKind, data: JSON.parse(data) as EventData };
}
