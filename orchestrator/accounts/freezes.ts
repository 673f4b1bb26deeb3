/**
 * Accounts that a deep reorganisation has frozen: a credit that counted as final was taken back, and
 * what the account was told it has it may have spent. Nothing is spent for it until the same coins
 * are buried again, or a person has looked. Inside the caller's transaction.
 */
import type { Db } from "../io/store.ts";
import { tell } from "./events.ts";

/** Why nothing is spent, for whoever asks. */
export const FROZEN =
  "the account is frozen: a reorganisation has taken back deposits that counted as final";

export interface Freeze {
  readonly account: string;
  /** The deposit that was taken back. */
  readonly outpoint: string;
  /** Which of its bookings: a coin can be taken back more than once. */
  readonly turn: bigint;
  /** Blocks that left the chain. */
  readonly depth: number;
  readonly at: bigint;
}

export interface FrozenAccount {
  readonly account: string;
  /** Since the first of its deposits was taken back. */
  readonly at: bigint;
  /** Deposits that were taken back and are not buried again. */
  readonly outpoints: readonly string[];
}

/** Freezes the account; one that is frozen waits for this deposit too. */
export async function freeze(db: Db, { depth, ...row }: Freeze): Promise<void> {
  const { account, outpoint, turn, at } = row;
  const before = await isFrozen(db, account);
  await db
    .insertInto("freezes")
    .values(row)
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  if (before) return;
  await tell(db, {
    kind: "account_frozen",
    key: `account_frozen ${outpoint} ${turn}`,
    account,
    data: { outpoint, depth: String(depth) },
    at,
  });
}

/** A deposit is buried again: when it was the last one missing, its account thaws. */
export async function reburied(
  db: Db,
  { outpoint, at }: { readonly outpoint: string; readonly at: bigint },
): Promise<void> {
  const row = await db
    .deleteFrom("freezes")
    .where("outpoint", "=", outpoint)
    .returningAll()
    .executeTakeFirst();
  if (row === undefined || (await isFrozen(db, row.account))) return;
  await tellThawed(db, { ...row, by: "chain", at });
}

export interface Thaw {
  /** Who has looked, in words for the history. */
  readonly by: string;
  readonly at: bigint;
}

/** A person has looked: what is missing stays missing, and shows in the balance. False: not frozen. */
export async function thaw(db: Db, account: string, { by, at }: Thaw): Promise<boolean> {
  const rows = await db
    .deleteFrom("freezes")
    .where("account", "=", account)
    .returningAll()
    .execute();
  const [row] = rows.sort((a, b) => (a.outpoint < b.outpoint ? -1 : 1));
  if (row === undefined) return false;
  await tellThawed(db, { ...row, by, at });
  return true;
}

export async function isFrozen(db: Db, account: string): Promise<boolean> {
  const row = await db
    .selectFrom("freezes")
    .select("outpoint")
    .where("account", "=", account)
    .limit(1)
    .executeTakeFirst();
  return row !== undefined;
}

/** Longest frozen first. */
export async function frozenAccounts(db: Db): Promise<readonly FrozenAccount[]> {
  const rows = await db
    .selectFrom("freezes")
    .selectAll()
    .orderBy("at")
    .orderBy("account")
    .orderBy("outpoint")
    .execute();
  const frozen = new Map<string, { account: string; at: bigint; outpoints: string[] }>();
  for (const { account, at, outpoint } of rows) {
    const one = frozen.get(account) ?? { account, at, outpoints: [] };
    one.outpoints.push(outpoint);
    frozen.set(account, one);
  }
  return [...frozen.values()];
}

interface Thawed extends Thaw {
  readonly account: string;
  readonly outpoint: string;
  readonly turn: bigint;
}

async function tellThawed(db: Db, { account, outpoint, turn, by, at }: Thawed): Promise<void> {
  const key = `account_thawed ${outpoint} ${turn}`;
  await tell(db, { kind: "account_thawed", key, account, data: { by }, at });
}
