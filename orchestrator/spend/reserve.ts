/**
 * raised -> built: coins are chosen, the PSBT is built, and coins and money are reserved, all in one
 * transaction. And the way back: coins are free again only when no honest signer would sign the
 * PSBT any more (architecture, invariant 2).
 */

import { writePsbt } from "../../policies/bitcoin/psbt.ts";
import { shown, txidOf } from "../../policies/bitcoin/transaction.ts";
import { sats } from "../../policies/money.ts";
import { CHANGE } from "../../policies/vault.ts";
import type { VaultScripts } from "../../policies/vault-scripts.ts";
import { withdrawalReleased, withdrawalReserved } from "../accounts/book.ts";
import { FROZEN, isFrozen } from "../accounts/freezes.ts";
import { freshPrice } from "../accounts/fresh-price.ts";
import type { Scripts } from "../accounts/scripts.ts";
import type { Chain } from "../io/chain.ts";
import type { Clock } from "../io/clock.ts";
import type { Db, Store } from "../io/store.ts";
import type { Log } from "../log.ts";
import type { Prices } from "../prices/prices.ts";
import type { Role } from "../role.ts";
import type { IntentState } from "../tables/schema.ts";
import { lastScanned } from "./blocks.ts";
import { buildPsbt } from "./build.ts";
import { lastChange, pending, release, reserve } from "./coins.ts";
import {
  defer,
  eachDue,
  findIntent,
  type IntentRow,
  markReleased,
  move,
  type Objection,
  settled,
} from "./intents.ts";
import { planOf } from "./plan.ts";
import { LOCKTIME_WINDOW_BLOCKS, needsCeremony, windowBlocks } from "./signers.ts";
import { sweeps } from "./sweep.ts";

export interface ReserveParts {
  readonly store: Store;
  readonly chain: Pick<Chain, "tip">;
  readonly scripts: Scripts;
  readonly clock: Clock;
  readonly log: Log;
  /** What dollars are worth that pay for a spend. */
  readonly prices?: Prices | undefined;
  /** Coins that one spend may take. */
  readonly inputsMax: number;
}

/** Blocks that come faster than a step are no catching up. */
const BLOCKS_BEHIND_MAX = 6;

const STUMBLE = { rule: "can-be-built", retry: "at the next step" };

export function reserveRole(parts: ReserveParts): Role {
  const { store } = parts;

  async function step(): Promise<"idle"> {
    const tip = await lastScanned(store.db);
    if (tip === null) return "idle";
    await expire(parts, tip.height);
    // While the scanner catches up its height dates a spend so far back that signers refuse it for good.
    const behind = (await parts.chain.tip()).height - tip.height;
    if (behind > BLOCKS_BEHIND_MAX) return "idle";
    await eachDue(parts, { states: ["raised"] }, STUMBLE, (intent) =>
      build(parts, intent, tip.height),
    );
    return "idle";
  }

  return { name: "reserve", step };
}

/**
 * Before the first signature an intent can be taken back. False: there is a signature already, or
 * the intent has ended.
 */
export function cancel(
  parts: Pick<ReserveParts, "store" | "clock">,
  id: string,
  detail = "on request",
): Promise<boolean> {
  return withdraw(parts, { id, from: ["raised", "built"], detail });
}

type BuildResult =
  | { readonly kind: "built"; readonly feeSats: bigint; readonly txid: string }
  | { readonly kind: "gone" }
  | { readonly kind: "refused" | "held"; readonly objection: Objection };

async function build(parts: ReserveParts, intent: IntentRow, height: number): Promise<void> {
  const { store, clock, log } = parts;
  const { id } = intent;
  const vault = await parts.scripts.vault(store.db, intent.vault);
  if (vault === null) throw new Error(`BUG: intent ${id} names vault ${intent.vault}`);
  const result = await store.transaction(async (db) => {
    const outcome = await attempt(parts, db, { intent, vault, height });
    if (outcome.kind === "refused") {
      const { objection } = outcome;
      await move(db, {
        id,
        from: "raised",
        to: "refused",
        at: clock(),
        detail: objection.detail,
        set: { violations: JSON.stringify([objection]), released: 1n },
      });
    }
    if (outcome.kind === "held") {
      await defer(db, { intent, now: clock(), violations: [outcome.objection] });
    }
    return outcome;
  });
  switch (result.kind) {
    case "built":
      log.info({ intent: id, txid: result.txid, feeSats: String(result.feeSats) }, "spend built");
      return;
    case "refused":
    case "held":
      log.info({ intent: id, ...result.objection }, `spend ${result.kind}`);
      return;
    case "gone":
      return;
  }
}

interface Attempt {
  readonly intent: IntentRow;
  readonly vault: VaultScripts;
  readonly height: number;
}

/** Writes nothing unless it returns `built`. */
async function attempt(parts: ReserveParts, db: Db, attempted: Attempt): Promise<BuildResult> {
  const { intent, height } = attempted;
  const { id } = intent;
  if ((await findIntent(db, id))?.state !== "raised") return { kind: "gone" };
  if (await isFrozen(db, intent.account)) {
    const retry = "when its deposits are buried again, or a person has looked";
    return { kind: "held", objection: { rule: "frozen", detail: FROZEN, retry } };
  }
  const plan = await planOf(parts, db, attempted);
  if (plan.kind === "unfunded") {
    const objection = { rule: "funds", detail: plan.detail };
    const later = !plan.enough && (await pending(db, intent.vault)) > 0n;
    return later
      ? { kind: "held", objection: { ...objection, retry: "when coins on their way are buried" } }
      : { kind: "refused", objection };
  }
  const { feeSats, changeIndex, build } = plan;
  const psbt = buildPsbt({ ...build, locktime: height });
  const bytes = writePsbt(psbt);
  const txid = shown(txidOf(psbt.tx));
  const booked = await withdrawalReserved({
    db,
    account: intent.account,
    intent: id,
    sats: sats(plan.sats),
    feeSats,
    turn: 0n,
    at: parts.clock(),
    price: freshPrice(parts.prices, parts.clock())?.price ?? null,
    moves: sweeps(intent.purpose),
  });
  if (booked === "unpriced") {
    const detail = "dollars pay for it, and no price can be trusted now";
    return { kind: "held", objection: { rule: "price", detail, retry: "when there is one" } };
  }
  if (booked === "overdrawn") {
    const detail = `less than ${plan.sats + feeSats} sat are available in the book`;
    return { kind: "refused", objection: { rule: "funds", detail } };
  }
  const outpoints = build.coins.map(({ outpoint }) => outpoint);
  const reserved = await reserve(db, { intent: id, outpoints });
  const moved = await move(db, {
    id,
    from: "raised",
    to: "built",
    at: parts.clock(),
    detail: `${outpoints.length} coins, fee ${feeSats} sat`,
    set: {
      ...settled,
      sats: plan.sats,
      fee_sats: feeSats,
      unsigned_psbt: bytes,
      psbt: bytes,
      txid,
      locktime: BigInt(height),
      change_position: changeIndex === null ? null : BigInt(changeIndex),
    },
  });
  // Both were read in this very transaction; throwing undoes the booking with the rest.
  if (!reserved || !moved) throw new Error(`BUG: coins of intent ${id} moved under a write lock`);
  const used = changeIndex ?? (await lastChange(db, intent.vault));
  await parts.scripts.extend(db, { vault: intent.vault, branch: CHANGE, used });
  return { kind: "built", feeSats, txid };
}

/** What a ceremony has not brought to an end either; a signer that was asked says so itself. */
const PENDING: readonly IntentState[] = ["built", "user-signed", "lsp-signed", "held", "refused"];

/** Intents that nobody may sign any more give back what they hold. */
async function expire(parts: ReserveParts, height: number): Promise<void> {
  const { store, clock } = parts;
  const rows = await store.db
    .selectFrom("intents")
    .selectAll()
    .where("state", "in", PENDING)
    .where("released", "=", 0n)
    .where("locktime", "<", BigInt(height - LOCKTIME_WINDOW_BLOCKS))
    .execute();
  for (const { id, state, purpose, locktime } of rows) {
    const blocks = windowBlocks(purpose);
    if (Number(locktime) >= height - blocks) continue;
    if (state === "refused") {
      await store.transaction(async (db) => {
        const freed = await markReleased(db, id);
        if (freed !== null) await giveBack(db, freed, clock());
      });
    } else if (state === "built" || needsCeremony(purpose)) {
      const detail = `not signed within ${blocks} blocks`;
      await withdraw(parts, { id, from: [state], detail });
    }
  }
}

interface Withdrawn {
  readonly id: string;
  readonly from: readonly IntentState[];
  readonly detail: string;
}

function withdraw(
  { store, clock }: Pick<ReserveParts, "store" | "clock">,
  withdrawn: Withdrawn,
): Promise<boolean> {
  return store.transaction((db) => undo(db, { ...withdrawn, at: clock() }));
}

async function undo(
  db: Db,
  { id, from, detail, at }: Withdrawn & { readonly at: bigint },
): Promise<boolean> {
  const moved = await move(db, { id, from, to: "cancelled", at, detail, set: { released: 1n } });
  const intent = moved ? await findIntent(db, id) : null;
  if (intent !== null) await giveBack(db, intent, at);
  return moved;
}

export interface Abandoned {
  readonly id: string;
  readonly objection: Objection;
  readonly at: bigint;
}

/**
 * The people said no, or nothing. Nobody has signed: the coins are free. Somebody has, or was asked
 * to: they stay where they are until nobody would add a signature any more (invariant 2). Inside the caller's transaction.
 */
export async function abandon(db: Db, { id, objection, at }: Abandoned): Promise<void> {
  const { rule, detail } = objection;
  if (await undo(db, { id, from: ["raised", "built"], detail: `${rule}: ${detail}`, at })) return;
  await move(db, {
    id,
    from: ["user-signed", "lsp-signed", "held"],
    to: "refused",
    at,
    detail: `${rule}: ${detail}`,
    set: { violations: JSON.stringify([objection]) },
  });
}

export interface Unsigned {
  readonly id: string;
  readonly violations: readonly Objection[];
  readonly at: bigint;
}

/** Who was to sign first has refused: there is no signature, and the coins are free (invariant 2). */
export async function refuseUnsigned(db: Db, { id, violations, at }: Unsigned): Promise<void> {
  const detail = violations.map(({ rule }) => rule).join(", ");
  const set = { violations: JSON.stringify(violations) };
  if (!(await move(db, { id, from: "held", to: "refused", at, detail, set }))) return;
  const freed = await markReleased(db, id);
  if (freed !== null) await giveBack(db, freed, at);
}

async function giveBack(db: Db, intent: IntentRow, at: bigint): Promise<void> {
  // Never built: nothing was taken.
  if (intent.fee_sats === null) return;
  await release(db, intent.id);
  await withdrawalReleased({
    db,
    account: intent.account,
    intent: intent.id,
    sats: sats(intent.sats),
    feeSats: sats(intent.fee_sats),
    turn: 0n,
    at,
  });
}
