/**
 * Proofs of the book: that postings add up, that balances are the sums of their lines, that claims
 * follow from their logs and are what the book owes, and that the records of coins account for every
 * dollar. Faults are told in words.
 */
import {
  type BrokenEntry,
  brokenEntry,
  type KeptEntry,
} from "../../policies/evidence/account-log.ts";
import { headOf, logAfter } from "../accounts/claims.ts";
import type { Db } from "../io/store.ts";
import { available, debt, FEES, HEDGE_WALLET, isDebt, isUsers, reserved } from "./names.ts";
import { balancesOn, type Currency, idOf, type Line } from "./postings.ts";

export interface BookCheck {
  readonly balances: boolean;
  readonly postings: bigint;
  /** Owed to all users, available and reserved. */
  readonly usersSats: bigint;
  readonly usersCents: bigint;
  readonly feesSats: bigint;
  /** What coins must stand for: sats of users less what they owe, and those behind dollars. */
  readonly coinsSats: bigint;
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
    truth.delete(id);
  }
  for (const id of truth.keys()) faults.push(`${id} has entries and no balance`);
  faults.push(...overdrawn(kept));
  const { postings } = await db
    .selectFrom("postings")
    .select((eb) => eb.fn.countAll<bigint>().as("postings"))
    .executeTakeFirstOrThrow();
  const total = (currency: Currency, ...of: readonly ((account: string) => boolean)[]) =>
    kept
      .filter((row) => row.currency === currency && of.some((match) => match(row.account)))
      .reduce((sum, { amount }) => sum + amount, 0n);
  return {
    balances: faults.length === 0,
    postings,
    usersSats: total("sat", isUsers),
    usersCents: total("usd", isUsers),
    feesSats: total("sat", (account) => account === FEES),
    coinsSats: total("sat", isUsers, isDebt, (account) => account === HEDGE_WALLET),
    faults,
  };
}

interface Balance {
  readonly account: string;
  readonly currency: string;
  readonly amount: bigint;
}

/** What is reserved may be missing from what is available, while a reorg has taken its deposit. */
function overdrawn(kept: readonly Balance[]): readonly string[] {
  const owned = new Map<string, bigint>();
  for (const { account, currency, amount } of kept) {
    if (!isUsers(account)) continue;
    const person = `${account.slice(0, account.lastIndexOf("/"))} ${currency}`;
    owned.set(person, (owned.get(person) ?? 0n) + amount);
  }
  return [...owned].flatMap(([person, sum]) =>
    sum < 0n ? [`${person} is overdrawn by ${-sum}`] : [],
  );
}

/** All of it; empty when all is well. Reads every row: for a command, not for a page. */
export async function proveBook(db: Db): Promise<readonly string[]> {
  const { faults } = await checkBook(db);
  return [
    ...faults,
    ...(await contentFaults(db)),
    ...(await claimFaults(db)),
    ...(await recordFaults(db)),
  ];
}

/** As many postings are looked at together. */
const PAGE = 500;

/** A posting whose id is not the hash of its content was changed behind our back. */
async function contentFaults(db: Db): Promise<readonly string[]> {
  const faults: string[] = [];
  for (let after = ""; ; ) {
    const page = await db
      .selectFrom("postings")
      .selectAll()
      .where("id", ">", after)
      .orderBy("id")
      .limit(PAGE)
      .execute();
    const last = page.at(-1);
    if (last === undefined) return faults;
    const ids = page.map(({ id }) => id);
    const entries = await db
      .selectFrom("entries")
      .selectAll()
      .where("posting", "in", ids)
      .execute();
    for (const { id, kind, subject } of page) {
      const lines = entries.filter(({ posting }) => posting === id) as readonly Line[];
      if (idOf({ kind, subject, lines }) !== id) {
        faults.push(`posting ${id} (${kind} of ${subject}) is not what was booked under this id`);
      }
    }
    after = last.id;
  }
}

async function claimFaults(db: Db): Promise<readonly string[]> {
  const faults: string[] = [];
  const owed = new Map<string, { hedgedCents: bigint; idleSats: bigint }>();
  const vaults = await db.selectFrom("vaults").select(["id", "account"]).orderBy("id").execute();
  for (const { id, account } of vaults) {
    const broken = await brokenLog(db, id);
    if (broken !== null) {
      faults.push(`entry ${broken.sequence} of the log of vault ${id}: ${broken.why}`);
    }
    const { claim } = await headOf(db, id);
    const before = owed.get(account) ?? { hedgedCents: 0n, idleSats: 0n };
    owed.set(account, {
      hedgedCents: before.hedgedCents + claim.hedgedCents,
      idleSats: before.idleSats + claim.idleSats,
    });
  }
  for (const [account, claim] of owed) {
    const on = await balancesOn(db, [available(account), reserved(account)]);
    const sum = (currency: Currency) =>
      (on(available(account), currency) ?? 0n) + (on(reserved(account), currency) ?? 0n);
    const [sats, cents] = [sum("sat"), sum("usd")];
    if (claim.idleSats !== sats) {
      faults.push(`the claim of ${account} is ${claim.idleSats} sat, the book owes ${sats}`);
    }
    if (claim.hedgedCents !== cents) {
      faults.push(`the claim of ${account} is ${claim.hedgedCents} cents, the book owes ${cents}`);
    }
  }
  return faults;
}

async function brokenLog(db: Db, vault: string): Promise<BrokenEntry | null> {
  const entries: KeptEntry[] = [];
  for (;;) {
    const page = await logAfter(db, { vault, after: entries.length });
    if (page.length === 0) return brokenEntry(vault, entries);
    entries.push(...page);
  }
}

/** Records of coins and adjustments of an account come to what the book owes, less what it has lent. */
async function recordFaults(db: Db): Promise<readonly string[]> {
  const faults: string[] = [];
  const history = await db
    .selectFrom("stable_history")
    .select(["account", "outpoint", (eb) => eb.fn.sum<bigint>("cents").as("cents")])
    .groupBy(["account", "outpoint"])
    .execute();
  const held = await db
    .selectFrom("stable_coins")
    .select(["outpoint", "cents"])
    .where("state", "=", "held")
    .execute();
  const carried = new Map(held.map(({ outpoint, cents }) => [outpoint, cents]));
  const recorded = new Map<string, bigint>();
  for (const { account, outpoint, cents } of history) {
    recorded.set(account, (recorded.get(account) ?? 0n) + cents);
    if (outpoint === null) continue;
    const now = carried.get(outpoint) ?? 0n;
    if (now !== cents) faults.push(`coin ${outpoint} carries ${now} cents, its history ${cents}`);
    carried.delete(outpoint);
  }
  for (const [outpoint, cents] of carried) {
    if (cents !== 0n) faults.push(`coin ${outpoint} carries ${cents} cents and has no history`);
  }
  const accounts = await db.selectFrom("accounts").select("id").orderBy("id").execute();
  for (const { id } of accounts) {
    const on = await balancesOn(db, [available(id), reserved(id), debt(id)]);
    const booked = [available(id), reserved(id), debt(id)].reduce(
      (sum, name) => sum + (on(name, "usd") ?? 0n),
      0n,
    );
    const cents = recorded.get(id) ?? 0n;
    if (booked !== cents) {
      faults.push(`the records of ${id} come to ${cents} cents, the book to ${booked}`);
    }
  }
  return faults;
}
