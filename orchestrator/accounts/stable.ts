/**
 * The stable record: which coin was given how many dollars, at which price, and by whose word (Pulser's
 * StableChain, in integers). Its history only grows: what a reorganisation takes back is reversed by
 * entries of its own. All records of an account and its adjustments add up to the dollars that the
 * book owes it. Written in the transaction of the booking.
 */
import type { Db, Row } from "../io/store.ts";
import type { TrustedPrice } from "../prices/prices.ts";
import { splitStable } from "./stable-split.ts";

const CURRENCY = "usd";

export interface DepositRecord {
  readonly db: Db;
  readonly account: string;
  readonly outpoint: string;
  readonly turn: bigint;
  /** What becomes dollars; 0: the coin stays in sats. */
  readonly sats: bigint;
  readonly cents: bigint;
  /** Null where it stays in sats. */
  readonly price: TrustedPrice | null;
  /** It was spent before anybody knew a price: no coin can carry its dollars. */
  readonly spent: boolean;
  readonly at: bigint;
}

/** False: this turn of the coin was recorded before. */
export async function recordDeposit(record: DepositRecord): Promise<boolean> {
  const { db, account, outpoint, turn, sats, cents, price, spent, at } = record;
  const fresh = await db
    .insertInto("stable_coins")
    .values({
      ...{ outpoint, turn, account, sats, cents, at },
      origin: "deposit",
      state: price === null ? "idle" : spent ? "loose" : "held",
      currency: CURRENCY,
      price: price?.price ?? null,
      sources: price?.sources.join(",") ?? "",
      price_at: price?.at ?? null,
      spent_by: null,
    })
    .onConflict((conflict) => conflict.doNothing())
    .returning("outpoint")
    .executeTakeFirst();
  if (fresh === undefined) return false;
  if (price !== null) {
    await note(db, {
      ...{ account, sats, cents, at },
      kind: spent ? "adjustment" : "deposit",
      outpoint: spent ? null : outpoint,
      reference: depositReference({ outpoint, turn }),
    });
  }
  return true;
}

/** The record of one turn of a coin that stands no more; null: there was none. */
export async function reverseDeposit(
  db: Db,
  { outpoint, turn, at }: Pick<DepositRecord, "outpoint" | "turn" | "at">,
): Promise<Row<"stable_coins"> | null> {
  const record = await db
    .updateTable("stable_coins")
    .set({ state: "reversed", spent_by: null })
    .where("outpoint", "=", outpoint)
    .where("turn", "=", turn)
    .where("state", "<>", "reversed")
    .returningAll()
    .executeTakeFirst();
  if (record === undefined) return null;
  await reverseHistory(db, await standing(db, depositReference({ outpoint, turn })), at);
  return record;
}

function depositReference({ outpoint, turn }: Pick<DepositRecord, "outpoint" | "turn">): string {
  return `${outpoint} ${turn}`;
}

export interface SpendRecord {
  readonly db: Db;
  readonly account: string;
  readonly intent: string;
  /** How often this spend was booked. */
  readonly turn: bigint;
  readonly txid: string;
  /** How many outputs it has. */
  readonly outputs: number;
  /** All coins that it spends. */
  readonly coins: readonly { readonly outpoint: string; readonly sats: bigint }[];
  /** Dollars that the account paid for it. */
  readonly paidCents: bigint;
  readonly at: bigint;
}

/** Coins are spent: what comes back keeps its part of their dollars. */
export async function recordSpend(spend: SpendRecord): Promise<void> {
  const { db, account, txid, turn, coins, paidCents, at } = spend;
  const reference = spendReference(spend);
  const records = await db
    .updateTable("stable_coins")
    .set({ state: "spent", spent_by: txid })
    .where(
      "outpoint",
      "in",
      coins.map(({ outpoint }) => outpoint),
    )
    .where("state", "=", "held")
    .returningAll()
    .execute();
  if (records.length === 0 && paidCents === 0n) return;
  for (const { outpoint, sats, cents } of records) {
    const line = { account, kind: "withdrawal" as const, outpoint, sats: -sats, cents: -cents };
    await note(db, { ...line, reference, at });
  }
  const kept = await keptOutputs(spend);
  const { keptCents, adjustmentCents } = splitStable({
    inSats: coins.reduce((sum, { sats }) => sum + sats, 0n),
    inCents: records.reduce((sum, { cents }) => sum + cents, 0n),
    keptSats: kept.map(({ sats }) => sats),
    paidCents,
  });
  for (const [i, { outpoint, sats }] of kept.entries()) {
    const cents = keptCents[i] ?? 0n;
    await db
      .insertInto("stable_coins")
      .values({
        ...{ outpoint, turn, account, sats, cents, at, origin: "change", state: "held" },
        ...{ currency: CURRENCY, price: null, sources: "", price_at: null, spent_by: null },
      })
      .execute();
    const line = { account, kind: "withdrawal-change" as const, outpoint, sats, cents };
    await note(db, { ...line, reference, at });
  }
  if (adjustmentCents !== 0n) {
    const line = { account, kind: "adjustment" as const, outpoint: null, sats: 0n };
    await note(db, { ...line, cents: adjustmentCents, reference, at });
  }
}

/** A reorganisation took the spend's block: all is as it was before. */
export async function reverseSpend(
  db: Db,
  spend: Pick<SpendRecord, "intent" | "turn" | "txid" | "at">,
): Promise<void> {
  const { turn, txid, at } = spend;
  const lines = await standing(db, spendReference(spend));
  await db
    .updateTable("stable_coins")
    .set({ state: "held", spent_by: null })
    .where("spent_by", "=", txid)
    .execute();
  await db
    .updateTable("stable_coins")
    .set({ state: "reversed" })
    .where(
      "outpoint",
      "in",
      lines.flatMap(({ kind, outpoint }) => (kind === "withdrawal-change" ? (outpoint ?? []) : [])),
    )
    .where("turn", "=", turn)
    .where("origin", "=", "change")
    .execute();
  await reverseHistory(db, lines, at);
}

function spendReference({ intent, turn }: Pick<SpendRecord, "intent" | "turn">): string {
  return `${intent} ${turn}`;
}

/** Outputs of a transaction to any vault of the account. */
function keptOutputs({ db, account, txid, outputs }: SpendRecord) {
  const all = Array.from({ length: outputs }, (_, vout) => `${txid}:${vout}`);
  return db
    .selectFrom("coins")
    .innerJoin("vaults", "vaults.id", "coins.vault")
    .select(["coins.outpoint", "coins.sats"])
    .where("vaults.account", "=", account)
    .where("coins.outpoint", "in", all)
    .where("coins.state", "<>", "gone")
    .orderBy("coins.outpoint")
    .execute();
}

type Line = Omit<Row<"stable_history">, "sequence" | "currency" | "reverses">;

async function note(db: Db, line: Line, reverses: bigint | null = null): Promise<void> {
  await db
    .insertInto("stable_history")
    .values({ ...line, currency: CURRENCY, reverses })
    .execute();
}

/** What was noted under a reference, newest first. */
function standing(db: Db, reference: string): Promise<readonly Row<"stable_history">[]> {
  return db
    .selectFrom("stable_history")
    .selectAll()
    .where("reference", "=", reference)
    .where("kind", "<>", "reorg")
    .orderBy("sequence", "desc")
    .execute();
}

async function reverseHistory(
  db: Db,
  lines: readonly Row<"stable_history">[],
  at: bigint,
): Promise<void> {
  for (const { sequence, account, reference, outpoint, sats, cents } of lines) {
    const back = { account, reference, outpoint, sats: -sats, cents: -cents, at };
    await note(db, { ...back, kind: "reorg" }, sequence);
  }
}
