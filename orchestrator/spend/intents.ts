/**
 * Spends that were asked for. An intent's id is the hash of its content, so raising twice is once;
 * its state moves by compare-and-set, so of two who move it one does, and a crash anywhere is
 * resumed by whoever looks next.
 */

import type { Violation } from "../../policies/decide.ts";
import type { EvidenceDocument } from "../../policies/evidence.ts";
import type { IntentDocument, Purpose, SpendIntent } from "../../policies/intent.ts";
import type { MsatsPerVbyte } from "../../policies/money.ts";
import type { Clock } from "../io/clock.ts";
import type { Db, Row, Store } from "../io/store.ts";
import type { Log } from "../log.ts";
import type { IntentState } from "../tables/schema.ts";

export type IntentRow = Row<"intents">;

/** An objection, of a signer's rule or of our own (`funds`, `mempool`, …). */
export interface Objection {
  readonly rule: string;
  readonly detail: string;
  readonly retry?: string;
}

export interface NewIntent {
  readonly intent: SpendIntent;
  readonly document: IntentDocument;
  readonly account: string;
  readonly sats: bigint;
  readonly feeRate: MsatsPerVbyte;
  readonly at: bigint;
}

/** False: it is there, or its reference was used. Call it in a transaction. */
export async function insertIntent(db: Db, fresh: NewIntent): Promise<boolean> {
  const { intent, document, account, sats, feeRate, at } = fresh;
  const inserted = await db
    .insertInto("intents")
    .values({
      id: intent.id,
      account,
      vault: intent.vault,
      reference: intent.reference,
      purpose: intent.purpose,
      document: JSON.stringify(document),
      state: "raised",
      sats,
      fee_rate: feeRate,
      fee_sats: null,
      unsigned_psbt: null,
      psbt: null,
      txid: null,
      locktime: null,
      change_position: null,
      raw_tx: null,
      evidence: null,
      violations: "[]",
      rules: "[]",
      retry_at: 0n,
      attempts: 0n,
      mined_height: null,
      bookings: 0n,
      released: 0n,
      created_at: at,
    })
    .onConflict((conflict) => conflict.doNothing())
    .returning("id")
    .executeTakeFirst();
  if (inserted === undefined) return false;
  await note(db, { id: intent.id, state: "raised", at, detail: "" });
  return true;
}

export async function findIntent(db: Db, id: string): Promise<IntentRow | null> {
  const row = await db.selectFrom("intents").selectAll().where("id", "=", id).executeTakeFirst();
  return row ?? null;
}

/** Which intents a step looks for. */
export interface Due {
  readonly states: readonly IntentState[];
  /** All of them when left out. */
  readonly purposes?: readonly Purpose[];
}

/** Those that may be tried now, oldest first. */
function dueIntents(
  db: Db,
  { states, purposes }: Due,
  now: bigint,
  after: IntentRow | null = null,
): Promise<readonly IntentRow[]> {
  const due = db
    .selectFrom("intents")
    .selectAll()
    .where("state", "in", states)
    .$if(purposes !== undefined, (query) => query.where("purpose", "in", purposes ?? []))
    .where("retry_at", "<=", now)
    .orderBy("created_at")
    .orderBy("id")
    .limit(DUE_MAX);
  if (after === null) return due.execute();
  const { created_at, id } = after;
  return due
    .where((row) =>
      row.or([
        row("created_at", ">", created_at),
        row.and([row("created_at", "=", created_at), row("id", ">", id)]),
      ]),
    )
    .execute();
}

export interface DueParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
}

/** Who stumbled, in the words of an objection. */
export interface Stumble {
  readonly rule: string;
  readonly retry: string;
}

/**
 * Does the work for every due intent, page by page. One that it stumbles over is put off, so that it
 * does not keep the others waiting.
 */
export async function eachDue(
  { store, clock, log }: DueParts,
  due: Due,
  { rule, retry }: Stumble,
  work: (intent: IntentRow) => Promise<void>,
): Promise<void> {
  const now = clock();
  let page = await dueIntents(store.db, due, now);
  while (page.length > 0) {
    for (const intent of page) {
      try {
        await work(intent);
      } catch (error) {
        const detail = error instanceof Error ? error.message : String(error);
        log.warn({ intent: intent.id, rule, detail }, "step stumbled");
        await defer(store.db, { intent, now: clock(), violations: [{ rule, detail, retry }] });
      }
    }
    page = await dueIntents(store.db, due, now, page.at(-1) ?? null);
  }
}

/** A step looks at so many and comes again. */
const DUE_MAX = 100;

export type IntentChange = Partial<
  Omit<
    IntentRow,
    "id" | "account" | "vault" | "reference" | "purpose" | "document" | "state" | "created_at"
  >
>;

export interface Move {
  readonly id: string;
  readonly from: IntentState | readonly IntentState[];
  readonly to: IntentState;
  readonly at: bigint;
  readonly detail?: string;
  readonly set?: IntentChange;
}

/** Compare-and-set; false when the intent is not, or no longer, where it should leave from. */
export async function move(db: Db, change: Move): Promise<boolean> {
  // State and event are one: a crash between them would lose the event.
  if (db.isTransaction) return await moveAndNote(db, change);
  return await db.transaction().execute((within) => moveAndNote(within, change));
}

async function moveAndNote(db: Db, { id, from, to, at, detail, set }: Move): Promise<boolean> {
  const states = typeof from === "string" ? [from] : from;
  const moved = await db
    .updateTable("intents")
    .set({ ...set, state: to })
    .where("id", "=", id)
    .where("state", "in", states)
    .returning("id")
    .executeTakeFirst();
  if (moved === undefined) return false;
  await note(db, { id, state: to, at, detail: detail ?? "" });
  return true;
}

export interface Deferral {
  readonly intent: IntentRow;
  readonly now: bigint;
  readonly violations: readonly Objection[];
}

/** A held intent is tried again after two seconds, then twice as long, up to five minutes. */
const RETRY_MS_MIN = 2_000n;
const RETRY_MS_MAX = 300_000n;

/** When to try an intent again that was in the way of something, and why. */
export function deferral({ intent, now, violations }: Deferral): IntentChange {
  const doubled = RETRY_MS_MIN << (intent.attempts < 10n ? intent.attempts : 10n);
  return {
    violations: JSON.stringify(violations),
    attempts: intent.attempts + 1n,
    retry_at: now + (doubled < RETRY_MS_MAX ? doubled : RETRY_MS_MAX),
  };
}

/** Stays where it is and is tried again later. */
export async function defer(db: Db, deferred: Deferral): Promise<void> {
  const { intent } = deferred;
  await db
    .updateTable("intents")
    .set(deferral(deferred))
    .where("id", "=", intent.id)
    .where("state", "=", intent.state)
    .execute();
}

/** The change that an intent gets when a step succeeded: old objections are history. */
export const settled: IntentChange = { violations: "[]", attempts: 0n, retry_at: 0n };

/** One signature more, and others still to come: it stays where it is. False: it moved meanwhile. */
export async function keepPartial(
  db: Db,
  { id, psbt }: { readonly id: string; readonly psbt: Uint8Array },
): Promise<boolean> {
  const kept = await db
    .updateTable("intents")
    .set({ psbt })
    .where("id", "=", id)
    .where("state", "in", ["user-signed", "lsp-signed"])
    .returning("id")
    .executeTakeFirst();
  return kept !== undefined;
}

/** Whom evidence can still move. */
const UNSIGNED: readonly IntentState[] = ["raised", "built", "user-signed", "lsp-signed", "held"];

/** What the signers ask for besides; the last that was brought counts. False: it is too late. */
export async function keepEvidence(
  db: Db,
  { id, evidence }: { readonly id: string; readonly evidence: string },
): Promise<boolean> {
  const kept = await db
    .updateTable("intents")
    // A signer that held it for want of this is asked again at once.
    .set({ evidence, retry_at: 0n, attempts: 0n })
    .where("id", "=", id)
    .where("state", "in", UNSIGNED)
    .returning("id")
    .executeTakeFirst();
  return kept !== undefined;
}

/** Something happened that whoever holds it will want to know: it is asked again at once. */
export async function askAgain(db: Db, id: string): Promise<void> {
  await db
    .updateTable("intents")
    .set({ retry_at: 0n, attempts: 0n })
    .where("id", "=", id)
    .where("state", "=", "held")
    .execute();
}

/** The bytes that go out, written once. */
export async function keepRawTx(
  db: Db,
  { id, rawTx }: { readonly id: string; readonly rawTx: Uint8Array },
): Promise<void> {
  await db
    .updateTable("intents")
    .set({ raw_tx: rawTx })
    .where("id", "=", id)
    .where("raw_tx", "is", null)
    .execute();
}

/** A refused intent lets go of what it held, once; null: it had before. */
export async function markReleased(db: Db, id: string): Promise<IntentRow | null> {
  const row = await db
    .updateTable("intents")
    .set({ released: 1n })
    .where("id", "=", id)
    .where("state", "=", "refused")
    .where("released", "=", 0n)
    .returningAll()
    .executeTakeFirst();
  return row ?? null;
}

export interface IntentEvent {
  readonly at: bigint;
  readonly state: IntentState;
  readonly detail: string;
}

export function historyOfIntent(db: Db, id: string): Promise<readonly IntentEvent[]> {
  return db
    .selectFrom("intent_events")
    .select(["at", "state", "detail"])
    .where("intent", "=", id)
    .orderBy("sequence")
    .execute();
}

/** Null where none was brought. */
export function evidenceOf({ evidence }: IntentRow): EvidenceDocument | null {
  return evidence === null ? null : (JSON.parse(evidence) as EvidenceDocument);
}

export function objectionsOf(row: IntentRow): readonly Objection[] {
  return JSON.parse(row.violations) as readonly Objection[];
}

/** A signer's violations as we keep them. */
export function objections(violations: readonly Violation[]): readonly Objection[] {
  return violations.map((violation) => ({ ...violation }));
}

async function note(
  db: Db,
  event: {
    readonly id: string;
    readonly state: IntentState;
    readonly at: bigint;
    readonly detail: string;
  },
): Promise<void> {
  const { count } = await db
    .selectFrom("intent_events")
    .select((eb) => eb.fn.countAll<bigint>().as("count"))
    .where("intent", "=", event.id)
    .executeTakeFirstOrThrow();
  await db
    .insertInto("intent_events")
    .values({
      intent: event.id,
      sequence: count,
      at: event.at,
      state: event.state,
      detail: event.detail,
    })
    .execute();
}
