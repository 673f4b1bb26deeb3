/**
 * Postings: amounts that move between book accounts and add up to zero in each currency. A posting's
 * id is the hash of its content, so that booking twice is once; the database refuses one that does not
 * add up, and keeps the balances (tables/book-law.ts). A mistake is mended by a reversal. All of it wants
 * the caller's transaction.
 */
import { hex, taggedHash } from "../../policies/bitcoin/hash.ts";
import type { Db, Row } from "../io/store.ts";

/** `sat` counts satoshis, `usd` cents of the dollar. */
export type Currency = "sat" | "usd";

export interface Line {
  readonly account: string;
  readonly currency: Currency;
  readonly amount: bigint;
}

export interface NewPosting {
  readonly db: Db;
  readonly kind: string;
  /** What correlates postings; of each kind there is one. */
  readonly subject: string;
  /** Of nothing there is no line. */
  readonly lines: readonly Line[];
  readonly at: bigint;
}

/** The new posting's id; null when it stands in the book already. */
export function post({ lines, ...posting }: NewPosting): Promise<string | null> {
  return write({ ...posting, reverses: null, lines: lines.filter(({ amount }) => amount !== 0n) });
}

export interface PostingName {
  readonly kind: string;
  readonly subject: string;
}

export async function postingOf(
  db: Db,
  { kind, subject }: PostingName,
): Promise<Row<"postings"> | null> {
  const row = await db
    .selectFrom("postings")
    .selectAll()
    .where("subject", "=", subject)
    .where("kind", "=", kind)
    .executeTakeFirst();
  return row ?? null;
}

export async function linesOf(db: Db, posting: string): Promise<readonly Line[]> {
  const rows = await db
    .selectFrom("entries")
    .select(["account", "currency", "amount"])
    .where("posting", "=", posting)
    .execute();
  return rows as Line[];
}

export interface Reversal {
  /** The posting that did, and the one that undid it. */
  readonly original: string;
  readonly reversal: string;
}

/** Takes a posting back, once; null: there is none of this name, or it was taken back before. */
export async function reverse(db: Db, name: PostingName, at: bigint): Promise<Reversal | null> {
  const original = await postingOf(db, name);
  if (original === null) return null;
  const { id, kind, subject, reverses } = original;
  if (reverses !== null) throw new Error(`BUG: ${kind} of ${subject} is a reversal itself`);
  const lines = (await linesOf(db, id)).map((line) => ({ ...line, amount: -line.amount }));
  const reversal = await write({ db, kind: `${kind} reversed`, subject, lines, at, reverses: id });
  return reversal === null ? null : { original: id, reversal };
}

/** What stands on book accounts now, however long their history. */
export async function balancesOn(
  db: Db,
  accounts: readonly string[],
): Promise<(account: string, currency: Currency) => bigint | null> {
  const rows = await db
    .selectFrom("balances")
    .selectAll()
    .where("account", "in", accounts)
    .execute();
  return (account, currency) =>
    rows.find((row) => row.account === account && row.currency === currency)?.amount ?? null;
}

async function write(posting: NewPosting & { readonly reverses: string | null }) {
  const { db, kind, subject, lines, at, reverses } = posting;
  const id = balancedId(posting);
  const stands = await postingOf(db, { kind, subject });
  if (stands !== null) {
    if (stands.id === id) return null;
    throw new Error(`BUG: ${kind} of ${subject} was booked before, with other lines`);
  }
  if (lines.length > 0) {
    await db
      .insertInto("entries")
      .values(lines.map((line) => ({ ...line, posting: id })))
      .execute();
  }
  await db.insertInto("postings").values({ id, kind, subject, at, reverses }).execute();
  return id;
}

export type PostingContent = Pick<NewPosting, "kind" | "subject" | "lines">;

/** The hash of a posting's content. One out of balance is our mistake and goes nowhere. */
function balancedId(content: PostingContent): string {
  const { kind, subject, lines } = content;
  const sums = new Map<Currency, bigint>();
  for (const { currency, amount } of lines) {
    sums.set(currency, (sums.get(currency) ?? 0n) + amount);
  }
  for (const [currency, sum] of sums) {
    if (sum !== 0n) throw new Error(`BUG: ${kind} of ${subject} is out by ${sum} ${currency}`);
  }
  return idOf(content);
}

export function idOf({ kind, subject, lines }: PostingContent): string {
  const content = lines.map((line) => `${line.account} ${line.currency} ${line.amount}`).sort();
  // No field holds a line break, so the joined text has one reading.
  const text = [kind, subject, ...content].join("\n");
  return hex(taggedHash("ballast/posting@1", new TextEncoder().encode(text)));
}
