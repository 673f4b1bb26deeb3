/** An account's extract: every posting that touched it, with what it owned after each. */
import type { Db } from "../io/store.ts";
import { available, debt, reserved } from "./names.ts";
import type { Currency } from "./postings.ts";

export interface ExtractLine {
  readonly at: bigint;
  readonly posting: string;
  readonly kind: string;
  readonly subject: string;
  /** The account's part by its last word: available, reserved, debt. */
  readonly part: string;
  readonly currency: Currency;
  readonly amount: bigint;
  /** Of this part and currency, after this posting. */
  readonly balance: bigint;
}

/** Oldest first; postings of one moment in the order of their ids. */
export async function extractOf(db: Db, account: string): Promise<readonly ExtractLine[]> {
  const parts = new Map([
    [available(account), "available"],
    [reserved(account), "reserved"],
    [debt(account), "debt"],
  ]);
  const rows = await db
    .selectFrom("entries")
    .innerJoin("postings", "postings.id", "entries.posting")
    .select(["postings.id", "postings.kind", "postings.subject", "postings.at"])
    .select(["entries.account", "entries.currency", "entries.amount"])
    .where("entries.account", "in", [...parts.keys()])
    .orderBy("postings.at")
    .orderBy("postings.id")
    .execute();
  const balances = new Map<string, bigint>();
  return rows.map(({ id, account: name, currency, amount, ...row }) => {
    const balance = (balances.get(`${name} ${currency}`) ?? 0n) + amount;
    balances.set(`${name} ${currency}`, balance);
    const part = parts.get(name) ?? name;
    return { ...row, posting: id, part, currency: currency as Currency, amount, balance };
  });
}
