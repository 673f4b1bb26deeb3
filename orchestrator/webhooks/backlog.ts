/** How much waits to be sent, and how much waits for a person. */
import type { Db } from "../io/store.ts";
import type { Delivery } from "./queue.ts";

export interface Backlog {
  readonly waiting: bigint;
  readonly dead: bigint;
  /** When the oldest event that waits happened; null: none waits. */
  readonly oldestWaitingAt: bigint | null;
}

/** Of the endpoints that are not disabled; what was delivered is not looked at. */
export async function backlogOf(db: Db): Promise<Backlog> {
  const endpoints = await db
    .selectFrom("webhook_endpoints")
    .select("id")
    .where("disabled", "=", 0n)
    .execute();
  const ids = endpoints.map(({ id }) => id);
  if (ids.length === 0) return { waiting: 0n, dead: 0n, oldestWaitingAt: null };
  const oldest = await deliveries(db, ids, "waiting")
    .innerJoin("events", "events.sequence", "webhook_deliveries.event")
    .select("events.at")
    .orderBy("webhook_deliveries.event")
    .limit(1)
    .executeTakeFirst();
  return {
    waiting: await count(db, ids, "waiting"),
    dead: await count(db, ids, "dead"),
    oldestWaitingAt: oldest?.at ?? null,
  };
}

function deliveries(db: Db, endpoints: readonly string[], state: Delivery["state"]) {
  return db
    .selectFrom("webhook_deliveries")
    .where("webhook_deliveries.endpoint", "in", endpoints)
    .where("webhook_deliveries.state", "=", state);
}

async function count(
  db: Db,
  endpoints: readonly string[],
  state: Delivery["state"],
): Promise<bigint> {
  const row = await deliveries(db, endpoints, state)
    .select((builder) => builder.fn.countAll<bigint>().as("count"))
    .executeTakeFirst();
  return BigInt(row?.count ?? 0n);
}
