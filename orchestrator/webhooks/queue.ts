/**
 * Each endpoint's queue. Events are taken into it once, in their order; of one account only the
 * oldest that is neither delivered nor dropped goes out, so that nothing overtakes what it takes
 * back. A dead letter therefore holds what follows it until a person replays or drops it.
 */
import { hex, taggedHash } from "../../policies/bitcoin/hash.ts";
import { eventsAfter } from "../accounts/events.ts";
import type { Db, Row, Store } from "../io/store.ts";
import { type Endpoint, moveCursor, wantsEvent } from "./endpoints.ts";

export type Delivery = Row<"webhook_deliveries">;

/** Events looked at in one step for one endpoint. */
const EVENTS_MAX = 200;
/** Dead letters that are taken up anew by one request. */
const REPLAY_MAX = 1_000;

/** Takes what has happened since into the queue. False: nothing has. */
export async function takeIn(store: Store, endpoint: Endpoint, now: bigint): Promise<boolean> {
  const news = await eventsAfter(store.db, endpoint.cursor, EVENTS_MAX);
  const last = news.at(-1);
  if (last === undefined) return false;
  const rows = news
    .filter((event) => wantsEvent(endpoint, event))
    .map(({ sequence, account }) => ({
      ...{ endpoint: endpoint.id, event: sequence, lane: account ?? "", state: "waiting" as const },
      ...{ series: 0n, attempts: 0n, began_at: null, retry_at: now, ended_at: null },
      ...{ status: null, reason: "" },
    }));
  await store.transaction(async (db) => {
    if (!(await moveCursor(db, endpoint, last.sequence)) || rows.length === 0) return;
    await db.insertInto("webhook_deliveries").values(rows).execute();
  });
  return true;
}

/** The oldest that may go out now; null: none. */
export async function nextDue(db: Db, endpoint: string, now: bigint): Promise<Delivery | null> {
  const row = await db
    .selectFrom("webhook_deliveries as due")
    .selectAll()
    .where("endpoint", "=", endpoint)
    .where("state", "=", "waiting")
    .where("retry_at", "<=", now)
    .where(({ not, exists, selectFrom }) =>
      not(
        exists(
          selectFrom("webhook_deliveries as before")
            .select("before.event")
            .whereRef("before.endpoint", "=", "due.endpoint")
            .whereRef("before.lane", "=", "due.lane")
            .where("before.state", "in", ["waiting", "dead"])
            .whereRef("before.event", "<", "due.event"),
        ),
      ),
    )
    .orderBy("event")
    .limit(1)
    .executeTakeFirst();
  return row ?? null;
}

/**
 * Before it is sent: this attempt is counted, and the next one may begin at `until`, should nobody
 * write down how this one ended. Null: another process was faster.
 */
export async function begin(
  db: Db,
  due: Delivery,
  { now, until }: { readonly now: bigint; readonly until: bigint },
): Promise<Delivery | null> {
  const row = await as(db, due)
    .set({ attempts: due.attempts + 1n, began_at: due.began_at ?? now, retry_at: until })
    .returningAll()
    .executeTakeFirst();
  return row ?? null;
}

export type Ending = Pick<Delivery, "state" | "retry_at" | "ended_at" | "status" | "reason">;

/** False: a person has decided otherwise meanwhile, or it was sent once more. */
export async function end(db: Db, begun: Delivery, ending: Ending): Promise<boolean> {
  const row = await as(db, begun).set(ending).returning("event").executeTakeFirst();
  return row !== undefined;
}

/** By compare-and-set: the delivery as it was seen, and no other. */
function as(db: Db, { endpoint, event, series, attempts }: Delivery) {
  return db
    .updateTable("webhook_deliveries")
    .where("endpoint", "=", endpoint)
    .where("event", "=", event)
    .where("state", "=", "waiting")
    .where("series", "=", series)
    .where("attempts", "=", attempts);
}

export interface Letter {
  readonly endpoint: string;
  readonly event: bigint;
}

/** Takes a dead letter up anew, in a series of its own. Null: it is none. */
export function replay(db: Db, letter: Letter, now: bigint): Promise<Delivery | null> {
  return resolve(db, letter, {
    ...{ state: "waiting", attempts: 0n, began_at: null, retry_at: now, ended_at: null },
    reason: "",
  });
}

/** Nobody will be told of it; what it has held back may go out. Null: it is no dead letter. */
export function drop(db: Db, letter: Letter, now: bigint): Promise<Delivery | null> {
  return resolve(db, letter, { state: "dropped", ended_at: now });
}

async function resolve(
  db: Db,
  { endpoint, event }: Letter,
  changes: Partial<Omit<Delivery, "endpoint" | "event">>,
): Promise<Delivery | null> {
  const row = await db
    .updateTable("webhook_deliveries")
    .set((builder) => ({ ...changes, series: builder("series", "+", 1n) }))
    .where("endpoint", "=", endpoint)
    .where("event", "=", event)
    .where("state", "=", "dead")
    .returningAll()
    .executeTakeFirst();
  return row ?? null;
}

/** How many dead letters of an endpoint were taken up anew: the oldest, at most a thousand. */
export async function replayAll(db: Db, endpoint: string, now: bigint): Promise<number> {
  const dead = await deliveriesOf(db, {
    ...{ endpoint, state: "dead", before: null, limit: REPLAY_MAX, order: "asc" },
  });
  const taken = await Promise.all(dead.map(({ event }) => replay(db, { endpoint, event }, now)));
  return taken.filter((row) => row !== null).length;
}

export interface DeliveryPage {
  readonly endpoint: string;
  readonly state: Delivery["state"] | null;
  /** Only those before this event; null starts at the newest. */
  readonly before: bigint | null;
  readonly limit: number;
  readonly order?: "asc" | "desc";
}

/** Newest first, unless said otherwise. */
export function deliveriesOf(
  db: Db,
  { endpoint, state, before, limit, order = "desc" }: DeliveryPage,
): Promise<readonly Delivery[]> {
  return db
    .selectFrom("webhook_deliveries")
    .selectAll()
    .where("endpoint", "=", endpoint)
    .$if(state !== null, (query) => query.where("state", "=", state ?? "dead"))
    .$if(before !== null, (query) => query.where("event", "<", before ?? 0n))
    .orderBy("event", order)
    .limit(limit)
    .execute();
}

/** What was delivered is forgotten after this time; dead letters never are. */
const KEPT_MS = 30n * 24n * 3_600_000n;

export async function forget(db: Db, now: bigint): Promise<void> {
  await db
    .deleteFrom("webhook_deliveries")
    .where("state", "in", ["delivered", "dropped"])
    .where("ended_at", "<", now - KEPT_MS)
    .execute();
}

/** Of one series of attempts: a receiver sees by it what belongs together. */
export function deliveryId({ endpoint, event, series }: Delivery): string {
  const text = new TextEncoder().encode(`${endpoint} ${event} ${series}`);
  return `d-${hex(taggedHash("ballast/webhook-delivery@1", text).subarray(0, 16))}`;
}
