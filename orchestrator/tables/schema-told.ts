/** What happened and who is told of it; who does what alone. */
import type { Generated } from "kysely";

/** What happened, for whoever wants to be told. Written by accounts/events.ts, never changed. */
export interface EventTable {
  /** The order in which it was written. */
  readonly sequence: Generated<bigint>;
  /** The same each time it is looked at: told once. */
  readonly key: string;
  readonly kind: string;
  readonly account: string | null;
  /** JSON. */
  readonly data: string;
  readonly at: bigint;
}

/** Which process does what alone. Written by io/lease.ts. */
export interface LeaseTable {
  readonly name: string;
  readonly holder: string;
  /** Rises with each change of holder. */
  readonly token: bigint;
  readonly ends_at: bigint;
}

/** Who is told of events. Written by webhooks/endpoints.ts. */
export interface WebhookEndpointTable {
  /** Hash of its URL. */
  readonly id: string;
  readonly url: string;
  /** What its signatures are made with: in no answer and no log but the one answer that made it. */
  readonly secret: string;
  /** JSON arrays; null: all. */
  readonly kinds: string | null;
  readonly accounts: string | null;
  readonly disabled: bigint;
  /** The last event that was queued for it, or that it does not want. */
  readonly cursor: bigint;
  /** Attempts that failed in a row. */
  readonly failures: bigint;
  /** Nothing is sent before. */
  readonly resting_until: bigint;
  readonly created_at: bigint;
}

/** What each endpoint is told, and how that went. Written by webhooks/queue.ts. */
export interface WebhookDeliveryTable {
  readonly endpoint: string;
  readonly event: bigint;
  /** The event's account; empty for those of none. What is of one lane goes out in its order. */
  readonly lane: string;
  readonly state: "waiting" | "delivered" | "dead" | "dropped";
  /** How often it was taken up anew by a person. */
  readonly series: bigint;
  /** Attempts of this series, begun before they are made. */
  readonly attempts: bigint;
  /** When the first of them began. */
  readonly began_at: bigint | null;
  readonly retry_at: bigint;
  readonly ended_at: bigint | null;
  /** Of the last answer. */
  readonly status: bigint | null;
  /** Why the last attempt failed; empty. */
  readonly reason: string;
}
