/**
 * Claims: what each account is owed, as statements prove it, with every change in a log that is
 * chained by hash (policies/evidence/account-log.ts). A claim follows the book: it is what lies on
 * `available` and `reserved`, so that a withdrawal counts when it is confirmed. An account of several
 * vaults has a claim by each, which add up to that; a change falls on the vault that it concerns, and
 * what that one's claim cannot bear on the next. Written in the transaction of the booking.
 */
import {
  type KeptEntry,
  type LogEntry,
  logStart,
  nextLogHead,
} from "../../policies/evidence/account-log.ts";
import { addSums, NOTHING_OWED, type Sums, TIERS } from "../../policies/evidence/sum-tree.ts";
import { greater } from "../../policies/money.ts";
import { available, reserved } from "../book/names.ts";
import { balancesOn } from "../book/postings.ts";
import type { Db, Row } from "../io/store.ts";
import { vaultsOf } from "./vaults.ts";

export interface ClaimCause {
  readonly kind: Exclude<LogEntry["kind"], "operation" | "fee">;
  /** Outpoint of a deposit, txid of a withdrawal. */
  readonly reference: string;
  readonly posting: string;
  /** The posting that this one takes back. */
  readonly undoes: string | null;
  /** The vault that is concerned; of a deposit the coin tells. */
  readonly vault?: string;
  /** The claim goes along with coins into another vault: `moved` of the `of` sats there were. */
  readonly into?: { readonly vault: string; readonly moved: bigint; readonly of: bigint };
}

export interface Following {
  readonly db: Db;
  readonly account: string;
  readonly at: bigint;
}

/** Makes the claims what the book says, and writes down why. */
export async function follow(following: Following, cause: ClaimCause): Promise<void> {
  const { db, account } = following;
  const heads = await headsOf(db, account);
  // Without a vault there is nobody whom a statement could prove anything.
  if (heads.length === 0) return;
  const concerned = cause.vault ?? (await vaultOfCoin(db, cause.reference)) ?? heads[0]?.vault;
  const ordered = [
    ...heads.filter(({ vault }) => vault === concerned),
    ...heads.filter(({ vault }) => vault !== concerned),
  ];
  const changes: Changes = new Map();
  const undone = cause.undoes === null ? [] : await causedBy(db, cause.undoes);
  undo(undone, ordered, changes);
  if (cause.into !== undefined) carry(ordered, changes, cause.into);
  spread(ordered, changes, await owedTo(db, account));
  for (const head of ordered) {
    const change = changes.get(head.vault) ?? NOTHING_OWED;
    if (TIERS.every((tier) => change[tier] === 0n)) continue;
    const { kind, reference } = wordsFor(head.vault, cause, undone);
    await append(following, head, { ...change, kind, reference, posting: cause.posting });
  }
}

type Words = Pick<LogEntry, "kind" | "reference">;

/** What is taken back goes by the words under which it came. */
function wordsFor(vault: string, cause: ClaimCause, undone: readonly Row<"claims">[]): Words {
  const came = undone.find((entry) => entry.vault === vault);
  if (came !== undefined) return came;
  // A move pays one output, the first.
  const arrived = vault === cause.into?.vault;
  return arrived ? { kind: "deposit", reference: `${cause.reference}:0` } : cause;
}

function causedBy(db: Db, posting: string): Promise<readonly Row<"claims">[]> {
  return db.selectFrom("claims").selectAll().where("posting", "=", posting).execute();
}

interface Head {
  readonly vault: string;
  readonly sequence: number;
  readonly head: string;
  readonly claim: Sums;
}

/** By vault, that in use first. */
async function headsOf(db: Db, account: string): Promise<readonly Head[]> {
  const heads: Head[] = [];
  for (const { id } of await vaultsOf(db, account)) heads.push(await headOf(db, id));
  return heads;
}

/** Where the log of a vault stands. */
export async function headOf(db: Db, vault: string): Promise<Head> {
  const row = await db
    .selectFrom("claims")
    .selectAll()
    .where("vault", "=", vault)
    .orderBy("sequence", "desc")
    .limit(1)
    .executeTakeFirst();
  if (row === undefined) return { vault, sequence: 0, head: logStart(vault), claim: NOTHING_OWED };
  const { sequence, head, claim } = entryOf(row);
  return { vault, sequence, head, claim };
}

/** What the book owes an account; pools and channels are no accounts of the book yet. */
async function owedTo(db: Db, account: string): Promise<Partial<Sums>> {
  const on = await balancesOn(db, [available(account), reserved(account)]);
  const sum = (currency: "sat" | "usd") =>
    (on(available(account), currency) ?? 0n) + (on(reserved(account), currency) ?? 0n);
  return { hedgedCents: sum("usd"), idleSats: sum("sat") };
}

async function vaultOfCoin(db: Db, outpoint: string): Promise<string | undefined> {
  const row = await db
    .selectFrom("coins")
    .select("vault")
    .where("outpoint", "=", outpoint)
    .executeTakeFirst();
  return row?.vault;
}

type Changes = Map<string, Sums>;

/** What the claim of a vault would be by the changes so far. */
function changed({ vault, claim }: Head, changes: Changes, tier: keyof Sums): bigint {
  return claim[tier] + (changes.get(vault) ?? NOTHING_OWED)[tier];
}

function add(changes: Changes, vault: string, part: Partial<Sums>): void {
  const before = changes.get(vault) ?? NOTHING_OWED;
  changes.set(vault, addSums(before, { ...NOTHING_OWED, ...part }));
}

/** The entries of the posting that is taken back, the other way round. */
function undo(undone: readonly Row<"claims">[], heads: readonly Head[], changes: Changes): void {
  for (const entry of undone.map(entryOf)) {
    const head = heads.find(({ vault }) => vault === entry.vault);
    if (head === undefined) continue;
    for (const tier of TIERS) {
      // Never below nothing: the rest is found by what the book says.
      add(changes, head.vault, { [tier]: greater(-entry[tier], -changed(head, changes, tier)) });
    }
  }
}

function carry(
  heads: readonly Head[],
  changes: Changes,
  { vault, moved, of }: NonNullable<ClaimCause["into"]>,
): void {
  const [from] = heads;
  if (from === undefined || from.vault === vault || of === 0n) return;
  for (const tier of TIERS) {
    const part = (from.claim[tier] * moved) / of;
    add(changes, from.vault, { [tier]: -part });
    add(changes, vault, { [tier]: part });
  }
}

/** What more is owed, the first vault gets; what less is owed, each bears as far as it can. */
function spread(heads: readonly Head[], changes: Changes, owed: Partial<Sums>): void {
  for (const tier of TIERS) {
    const total = heads.reduce((sum, head) => sum + changed(head, changes, tier), 0n);
    let rest = (owed[tier] ?? total) - total;
    for (const head of heads) {
      const part = rest > 0n ? rest : greater(rest, -changed(head, changes, tier));
      add(changes, head.vault, { [tier]: part });
      rest -= part;
    }
    if (rest !== 0n) throw new Error(`BUG: ${rest} of ${tier} are owed by nobody's claim`);
  }
}

async function append(
  { db, account, at }: Following,
  { vault, sequence, head, claim }: Head,
  { posting, ...entry }: LogEntry & { readonly posting: string },
): Promise<void> {
  await db
    .insertInto("claims")
    .values({
      vault,
      sequence: BigInt(sequence + 1),
      account,
      kind: entry.kind,
      reference: entry.reference,
      posting,
      hedged_cents: entry.hedgedCents,
      pool_msats: entry.poolMsats,
      channel_cents: entry.channelCents,
      idle_sats: entry.idleSats,
      previous: head,
      head: nextLogHead(head, entry),
      claim_hedged_cents: claim.hedgedCents + entry.hedgedCents,
      claim_pool_msats: claim.poolMsats + entry.poolMsats,
      claim_channel_cents: claim.channelCents + entry.channelCents,
      claim_idle_sats: claim.idleSats + entry.idleSats,
      at,
    })
    .execute();
}

/** A signer that remembers an older claim is shown so many entries at once. */
const LOG_PAGE = 1_000;

/** Entries of a vault's log behind `after`, oldest first: what a request brings as its evidence. */
export async function logAfter(
  db: Db,
  { vault, after }: { readonly vault: string; readonly after: number },
): Promise<readonly KeptEntry[]> {
  const rows = await db
    .selectFrom("claims")
    .selectAll()
    .where("vault", "=", vault)
    .where("sequence", ">", BigInt(after))
    .orderBy("sequence")
    .limit(LOG_PAGE)
    .execute();
  return rows.map(entryOf);
}

function entryOf(row: Row<"claims">): KeptEntry & { readonly vault: string } {
  return {
    vault: row.vault,
    sequence: Number(row.sequence),
    kind: row.kind,
    reference: row.reference,
    hedgedCents: row.hedged_cents,
    poolMsats: row.pool_msats,
    channelCents: row.channel_cents,
    idleSats: row.idle_sats,
    previous: row.previous,
    head: row.head,
    claim: {
      hedgedCents: row.claim_hedged_cents,
      poolMsats: row.claim_pool_msats,
      channelCents: row.claim_channel_cents,
      idleSats: row.claim_idle_sats,
    },
  };
}
