/**
 * Sends what waits, one delivery at a time for each endpoint and all endpoints beside one another:
 * one that hangs holds up no other. An attempt is written down before it is made, so that a crash
 * anywhere costs a repetition under the same event id, and never an event.
 */
import { type AccountEvent, eventsAfter } from "../accounts/events.ts";
import type { Clock } from "../io/clock.ts";
import type { Db, Store } from "../io/store.ts";
import type { Log } from "../log.ts";
import type { Role } from "../role.ts";
import { bodyOf, eventId } from "./body.ts";
import { type Endpoint, findEndpoint, listEndpoints, noteFailures, secretOf } from "./endpoints.ts";
import { begin, type Delivery, deliveryId, end, forget, nextDue, takeIn } from "./queue.ts";
import { openMinutes } from "./rate.ts";
import { type Answer, type Draw, isPassing, type Next, nextOf, type Patience } from "./schedule.ts";
import { type Post, type Sender, TIMEOUT_MS } from "./send.ts";
import { signatureHeaders } from "./signature.ts";

export interface WebhookParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  readonly sender: Sender;
  readonly patience: Patience;
  readonly perMinute: number;
  readonly draw: Draw;
  /** How an attempt ended, for whoever counts. */
  readonly attempted?: ((result: Next["kind"], ms: number) => void) | undefined;
}

export interface WebhooksRole extends Role {
  /** Ends what is under way, as a crash would: it is sent again. */
  readonly rest: () => Promise<void>;
}

/** Pulser's circuit breaker (seeds.md 4.8): after so many failures in a row, a rest; then one try. */
const FAILURES_MAX = 5n;
const REST_MS = 60_000n;
/** Longer than an attempt takes: until then nobody else makes the next one. */
const ATTEMPT_MS = BigInt(TIMEOUT_MS) + 1_000n;
/** A step looks for new work at least so often, whatever is under way. */
const LOOK_MS = 200;
const FORGET_MS = 3_600_000n;

export function webhooksRole(parts: WebhookParts): WebhooksRole {
  const { store, clock } = parts;
  const stopping = new AbortController();
  const busy = new Map<string, Promise<void>>();
  const minutes = openMinutes(parts.perMinute);
  let fault: { readonly error: unknown } | null = null;
  let forgotten = clock();

  async function start(endpoint: Endpoint): Promise<void> {
    const now = clock();
    if (busy.has(endpoint.id) || endpoint.restingUntil > now) return;
    const due = await nextDue(store.db, endpoint.id, now);
    if (due === null || !minutes.take(endpoint.id, now)) return;
    const begun = await begin(store.db, due, { now, until: now + ATTEMPT_MS });
    if (begun === null) return;
    const work = attempt(parts, begun, stopping.signal)
      .catch((error: unknown) => {
        fault = { error };
      })
      .finally(() => busy.delete(endpoint.id));
    busy.set(endpoint.id, work);
  }

  async function step(): Promise<"more" | "idle"> {
    let more = false;
    for (const endpoint of await listEndpoints(store.db)) {
      if (endpoint.disabled) continue;
      more = (await takeIn(store, endpoint, clock())) || more;
      await start(endpoint);
    }
    if (clock() - forgotten > FORGET_MS) {
      forgotten = clock();
      await forget(store.db, forgotten);
    }
    if (busy.size > 0) {
      await firstOf([...busy.values()]);
      more = true;
    }
    const failed = fault;
    fault = null;
    if (failed !== null) throw failed.error;
    return more ? "more" : "idle";
  }

  return {
    name: "webhooks",
    step,
    async rest() {
      stopping.abort();
      await Promise.all(busy.values());
    },
  };
}

async function firstOf(work: readonly Promise<void>[]): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const look = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, LOOK_MS);
  });
  await Promise.race([...work, look]);
  clearTimeout(timer);
}

async function attempt(parts: WebhookParts, begun: Delivery, stop: AbortSignal): Promise<void> {
  const { store, sender, clock, patience, draw } = parts;
  const post = await postOf(store.db, begun, clock());
  const start = performance.now();
  let answer: Answer;
  try {
    answer = await sender.send(post, stop);
  } catch (error) {
    // Stopped half-way: nobody knows whether it arrived, so it is sent again.
    if (stop.aborted) return;
    throw error;
  }
  const now = clock();
  const sinceMs = now - (begun.began_at ?? now);
  const next = nextOf({ answer, attempts: Number(begun.attempts), sinceMs }, patience, draw);
  await store.transaction((db) => record(db, begun, { answer, next, now }));
  parts.attempted?.(next.kind, performance.now() - start);
  note(parts.log, begun, answer, next);
}

async function postOf(db: Db, begun: Delivery, now: bigint): Promise<Post> {
  const [event] = await eventsAfter(db, begun.event - 1n, 1);
  const endpoint = await findEndpoint(db, begun.endpoint);
  if (event === undefined || endpoint === null) throw new Error("a delivery has its event");
  const secret = await secretOf(db, endpoint.id);
  const body = bodyOf(event, { userId: await userIdOf(db, event) });
  return {
    url: endpoint.url,
    body,
    headers: {
      "user-agent": "ballast-webhooks/1",
      "x-request-id": deliveryId(begun),
      "x-retry-attempt": String(begun.attempts - 1n),
      "x-webhook-sequence": String(event.sequence),
      ...signatureHeaders(secret, { body, event: eventId(event), at: now / 1_000n }),
    },
  };
}

async function userIdOf(db: Db, { account }: AccountEvent): Promise<string | null> {
  if (account === null) return null;
  const row = await db
    .selectFrom("aliases")
    .select("external_id")
    .where("account", "=", account)
    .executeTakeFirst();
  return row?.external_id ?? account;
}

interface Ended {
  readonly answer: Answer;
  readonly next: Next;
  readonly now: bigint;
}

async function record(db: Db, begun: Delivery, { answer, next, now }: Ended): Promise<void> {
  const ended = next.kind !== "retry";
  const known = await end(db, begun, {
    state: next.kind === "retry" ? "waiting" : next.kind,
    retry_at: next.kind === "retry" ? now + next.afterMs : begun.retry_at,
    ended_at: ended ? now : null,
    status: answer.kind === "answered" ? BigInt(answer.status) : null,
    reason: reasonOf(answer, next),
  });
  if (!known) return;
  const endpoint = await findEndpoint(db, begun.endpoint);
  // A receiver that says no is there: the breaker is for those who cannot answer.
  const failures = isPassing(answer) ? (endpoint?.failures ?? 0n) + 1n : 0n;
  const restingUntil = failures >= FAILURES_MAX ? now + REST_MS : 0n;
  await noteFailures(db, begun.endpoint, { failures, restingUntil });
}

function reasonOf(answer: Answer, next: Next): string {
  if (next.kind === "delivered") return "";
  return answer.kind === "answered" ? `HTTP ${answer.status}` : answer.reason;
}

function note(log: Log, begun: Delivery, answer: Answer, next: Next): void {
  const fields = { endpoint: begun.endpoint, event: String(begun.event) };
  if (next.kind === "delivered") log.debug(fields, "webhook delivered");
  else if (next.kind === "dead")
    log.warn({ ...fields, reason: reasonOf(answer, next) }, "webhook dead");
  else log.info({ ...fields, reason: reasonOf(answer, next) }, "webhook failed");
}
