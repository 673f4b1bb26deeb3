/**
 * From broadcast to booked: the scanner has seen who spends a coin, so here only rows are read. Also
 * the way back, when a reorg takes the block, and the case that nobody asked for: the coins of an
 * intent were spent by another transaction.
 */
import { readPsbt } from "../../policies/bitcoin/psbt.ts";
import { readIntent } from "../../policies/intent.ts";
import { type Sats, sats } from "../../policies/money.ts";
import {
  debitOf,
  migrationConfirmed,
  migrationUnconfirmed,
  withdrawalConfirmed,
  withdrawalUnconfirmed,
} from "../accounts/book.ts";
import { recordSpend, reverseSpend } from "../accounts/stable.ts";
import { adoptVault } from "../accounts/vaults.ts";
import type { Clock } from "../io/clock.ts";
import type { Db, Store } from "../io/store.ts";
import type { Log } from "../log.ts";
import type { Role } from "../role.ts";
import type { IntentState } from "../tables/schema.ts";
import { lastScanned } from "./blocks.ts";
import { type Coin, heldIn, reservedCoins } from "./coins.ts";
import { type IntentRow, move } from "./intents.ts";
import { sweeps } from "./sweep.ts";

export interface ConfirmParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  readonly confirmations: number;
}

/**
 * Intents that hold coins and whose end is open. Also one that was refused: its PSBT is out, and any
 * two keys could finish it until its nLockTime window has passed.
 */
const LIVE: readonly IntentState[] = [
  "built",
  "user-signed",
  "lsp-signed",
  "held",
  "signed",
  "broadcast",
  "refused",
];

export function confirmRole(parts: ConfirmParts): Role {
  const { store } = parts;

  async function step(): Promise<"idle"> {
    const tip = await lastScanned(store.db);
    if (tip === null) return "idle";
    const deep = tip.height - parts.confirmations + 1;
    // Only those with a coin that somebody has spent: the rest has nothing to be confirmed by.
    const rows = await store.db
      .selectFrom("intents")
      .innerJoin("coins", "coins.reserved_by", "intents.id")
      .selectAll("intents")
      .distinct()
      .where("intents.state", "in", LIVE)
      .where("coins.spent_height", "<=", BigInt(deep))
      .execute();
    for (const intent of rows) {
      await settle(parts, intent, await reservedCoins(store.db, intent.id));
    }
    return "idle";
  }

  return { name: "confirm", step };
}

async function settle(
  { store, clock, log }: ConfirmParts,
  intent: IntentRow,
  coins: readonly Coin[],
): Promise<void> {
  const { id } = intent;
  const stranger = coins.find(({ spentBy }) => spentBy !== null && spentBy !== intent.txid);
  if (stranger !== undefined) {
    const detail = `${stranger.outpoint} was spent by ${stranger.spentBy}`;
    // The reservation stays: a person has to find out whose signatures these are.
    if (await move(store.db, { id, from: LIVE, to: "conflicted", at: clock(), detail })) {
      log.error({ intent: id, detail }, "intent conflicted");
    }
    return;
  }
  const height = coins.reduce((highest, coin) => Math.max(highest, coin.spentHeight ?? 0), 0);
  const booked = await store.transaction(async (db) => {
    const turn = intent.bookings + 1n;
    const moved = await move(db, {
      id,
      // Somebody else may have sent it: what counts is that it stands in the chain.
      from: LIVE,
      to: "confirmed",
      at: clock(),
      detail: `in block ${height}`,
      set: { mined_height: BigInt(height), bookings: turn, violations: "[]" },
    });
    if (!moved) return false;
    const booking = bookingOf(db, intent, turn, clock());
    const into = sweeps(intent.purpose) ? await movedBy(db, intent, coins) : undefined;
    await bookingsOf(intent).confirmed({ ...booking, ...(into !== undefined && { into }) });
    const paidCents = (await debitOf(db, booking))?.cents ?? 0n;
    await recordSpend({ ...booking, coins, outputs: outputsOf(intent), paidCents });
    // From here on the account is the recovery key's; a reorg does not bring a lost user back.
    if (intent.purpose === "recovery-user-lost") await adoptVault(db, partyOf(intent), intent);
    return true;
  });
  if (booked) log.info({ intent: id, txid: intent.txid, height }, "spend confirmed");
}

/** A reorg down to `fork`: what was confirmed above it is in flight again. */
export async function takeBack(
  db: Db,
  { fork, at }: { readonly fork: number; readonly at: bigint },
): Promise<void> {
  const rows = await db
    .selectFrom("intents")
    .selectAll()
    .where("state", "=", "confirmed")
    .where("mined_height", ">", BigInt(fork))
    .orderBy("mined_height", "desc")
    .execute();
  for (const intent of rows) {
    await move(db, {
      id: intent.id,
      from: "confirmed",
      to: "broadcast",
      at,
      detail: `block ${intent.mined_height} left the chain`,
      set: { mined_height: null },
    });
    const booking = bookingOf(db, intent, intent.bookings, at);
    await bookingsOf(intent).unconfirmed(booking);
    await reverseSpend(db, booking);
  }
}

/**
 * A reorg that unburies a stranger's spend may bury ours instead: a conflict is open again. It runs
 * before the coins forget who spent them.
 */
export async function reopen(
  db: Db,
  { fork, at }: { readonly fork: number; readonly at: bigint },
): Promise<void> {
  const rows = await db
    .selectFrom("intents")
    .innerJoin("coins", "coins.reserved_by", "intents.id")
    .select("intents.id")
    .distinct()
    .where("intents.state", "=", "conflicted")
    .where("coins.spent_height", ">", BigInt(fork))
    .execute();
  for (const { id } of rows) {
    const detail = "the block of the other spend left the chain";
    await move(db, { id, from: "conflicted", to: "broadcast", at, detail });
  }
}

/** What mined transactions took out of the vaults that the book does not know yet. */
export async function minedUnbooked(db: Db): Promise<bigint> {
  const rows = await db
    .selectFrom("intents")
    .innerJoin("coins", "coins.reserved_by", "intents.id")
    .select(["intents.id", "intents.purpose", "intents.sats", "intents.fee_sats"])
    .distinct()
    .where("intents.state", "<>", "confirmed")
    .whereRef("coins.spent_by", "=", "intents.txid")
    .execute();
  // What moves to another vault is still ours.
  const leaving = (row: (typeof rows)[number]) => (sweeps(row.purpose) ? 0n : row.sats);
  return rows.reduce((sum, row) => sum + leaving(row) + (row.fee_sats ?? 0n), 0n);
}

const PAID = { confirmed: withdrawalConfirmed, unconfirmed: withdrawalUnconfirmed };
const MOVED = { confirmed: migrationConfirmed, unconfirmed: migrationUnconfirmed };

function bookingsOf({ purpose }: IntentRow) {
  return sweeps(purpose) ? MOVED : PAID;
}

/** What part of its vault's coins a move has taken along, before it is booked. */
async function movedBy(db: Db, intent: IntentRow, coins: readonly Coin[]) {
  const moved = coins.reduce((sum, coin) => sum + coin.sats, 0n);
  return { vault: partyOf(intent), moved, of: moved + (await heldIn(db, intent.vault)) };
}

function outputsOf({ id, unsigned_psbt: psbt }: IntentRow): number {
  if (psbt === null) throw new Error(`BUG: intent ${id} was never built`);
  return readPsbt(psbt).tx.outputs.length;
}

/** The vault that the coins go to. */
function partyOf({ id, document }: IntentRow): string {
  const [party] = readIntent(JSON.parse(document)).parties;
  if (party === undefined) throw new Error(`BUG: intent ${id} names no vault to go to`);
  return party;
}

function bookingOf(db: Db, intent: IntentRow, turn: bigint, at: bigint) {
  return {
    db,
    account: intent.account,
    vault: intent.vault,
    intent: intent.id,
    txid: txidOf(intent),
    sats: sats(intent.sats),
    feeSats: feeOf(intent),
    turn,
    at,
  };
}

function txidOf({ id, txid }: IntentRow): string {
  if (txid === null) throw new Error(`BUG: intent ${id} was never built`);
  return txid;
}

function feeOf({ id, fee_sats }: IntentRow): Sats {
  if (fee_sats === null) throw new Error(`BUG: intent ${id} was built without a fee`);
  return sats(fee_sats);
}
