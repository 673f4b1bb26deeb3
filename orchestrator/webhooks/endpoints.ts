/** Endpoints: who is told of what. The secret is shown once, to whoever adds or renews. */
import { randomBytes } from "node:crypto";
import { hex, taggedHash } from "../../policies/bitcoin/hash.ts";
import type { AccountEvent, EventKind } from "../accounts/events.ts";
import type { Clock } from "../io/clock.ts";
import type { Db, Row, Store } from "../io/store.ts";
import { type Allowances, objectionsTo, STRICT } from "./target.ts";

/** Without the secret: what is handed around cannot be logged by mistake. */
export interface Endpoint {
  readonly id: string;
  readonly url: string;
  /** Null: all. */
  readonly kinds: readonly EventKind[] | null;
  readonly accounts: readonly string[] | null;
  readonly disabled: boolean;
  readonly cursor: bigint;
  readonly failures: bigint;
  readonly restingUntil: bigint;
  readonly createdAt: bigint;
}

export interface EndpointWish {
  readonly url: string;
  readonly kinds: readonly EventKind[] | null;
  readonly accounts: readonly string[] | null;
  /** The first event it is told of; null: those from now on. */
  readonly from: bigint | null;
}

export interface EndpointParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly allowed?: Allowances | undefined;
}

export type EndpointOutcome =
  | {
      readonly kind: "done";
      readonly endpoint: Endpoint;
      /** Null when it was given out before. */
      readonly secret: string | null;
    }
  | {
      readonly kind: "refused";
      readonly code: "content" | "conflict";
      readonly reasons: readonly string[];
    };

/** Each is looked at in every step. */
const ENDPOINTS_MAX = 100;

/** Whoever hears of the one must hear that it is true no more. */
const TAKEN_BACK: readonly (readonly [EventKind, EventKind])[] = [
  ["deposit", "deposit_reversed"],
  ["withdrawal", "withdrawal_reversed"],
];

/** Adds an endpoint; the same words again get the same one, and no secret. */
export async function addEndpoint(
  { store, clock, allowed = STRICT }: EndpointParts,
  wish: EndpointWish,
): Promise<EndpointOutcome> {
  const reasons = [
    ...objectionsTo(wish.url, allowed).map((objection) => `url: ${objection}`),
    ...TAKEN_BACK.filter(([told, back]) => wants(wish, told) && !wants(wish, back)).map(
      ([told, back]) => `kinds: whoever wants ${told} must want ${back}`,
    ),
  ];
  if (reasons.length > 0) return { kind: "refused", code: "content", reasons };
  const secret = newSecret();
  return await store.transaction(async (db) => {
    const id = endpointId(wish.url);
    const known = await findEndpoint(db, id);
    if (known !== null) return again(known, wish);
    if ((await listEndpoints(db)).length >= ENDPOINTS_MAX) {
      return refused(`there are ${ENDPOINTS_MAX} endpoints`);
    }
    const row = await db
      .insertInto("webhook_endpoints")
      .values({
        ...{
          id,
          url: wish.url,
          secret,
          kinds: listed(wish.kinds),
          accounts: listed(wish.accounts),
        },
        cursor: wish.from === null ? await newestEvent(db) : wish.from - 1n,
        ...{ disabled: 0n, failures: 0n, resting_until: 0n, created_at: clock() },
      })
      .returningAll()
      .executeTakeFirstOrThrow();
    return { kind: "done", endpoint: endpointOf(row), secret } as const;
  });
}

function again(endpoint: Endpoint, { kinds, accounts }: EndpointWish): EndpointOutcome {
  const same =
    listed(endpoint.kinds) === listed(kinds) && listed(endpoint.accounts) === listed(accounts);
  return same
    ? { kind: "done", endpoint, secret: null }
    : refused("an endpoint with this URL wants other kinds or accounts");
}

function refused(reason: string): EndpointOutcome {
  return { kind: "refused", code: "conflict", reasons: [reason] };
}

/** Whether the endpoint is told of such an event. */
export function wantsEvent(
  endpoint: Pick<Endpoint, "kinds" | "accounts">,
  { kind, account }: Pick<AccountEvent, "kind" | "account">,
): boolean {
  const whose = endpoint.accounts === null || endpoint.accounts.includes(account ?? "");
  return wants(endpoint, kind) && whose;
}

function wants({ kinds }: Pick<Endpoint, "kinds">, kind: EventKind): boolean {
  return kinds === null || kinds.includes(kind);
}

/** A new secret for one that was lost or known to others; the old one signs nothing any more. */
export async function renewSecret(
  { store }: Pick<EndpointParts, "store">,
  id: string,
): Promise<{ readonly endpoint: Endpoint; readonly secret: string } | null> {
  const secret = newSecret();
  const endpoint = await change(store.db, id, { secret });
  return endpoint === null ? null : { endpoint, secret };
}

/** Disabled, it is told nothing, and nothing is lost: enabled again, it hears what it has missed. */
export function setDisabled(db: Db, id: string, disabled: boolean): Promise<Endpoint | null> {
  return change(db, id, { disabled: disabled ? 1n : 0n, failures: 0n, resting_until: 0n });
}

/** How the last attempt went, for the next. In the caller's transaction. */
export async function noteFailures(
  db: Db,
  id: string,
  { failures, restingUntil }: Pick<Endpoint, "failures" | "restingUntil">,
): Promise<void> {
  await change(db, id, { failures, resting_until: restingUntil });
}

/** False: another process was faster. */
export async function moveCursor(
  db: Db,
  { id, cursor }: Pick<Endpoint, "id" | "cursor">,
  to: bigint,
): Promise<boolean> {
  const moved = await db
    .updateTable("webhook_endpoints")
    .set({ cursor: to })
    .where("id", "=", id)
    .where("cursor", "=", cursor)
    .where("disabled", "=", 0n)
    .returning("id")
    .executeTakeFirst();
  return moved !== undefined;
}

export async function listEndpoints(db: Db): Promise<readonly Endpoint[]> {
  const rows = await db
    .selectFrom("webhook_endpoints")
    .selectAll()
    .orderBy("created_at")
    .orderBy("id")
    .execute();
  return rows.map(endpointOf);
}

export async function findEndpoint(db: Db, id: string): Promise<Endpoint | null> {
  const row = await db
    .selectFrom("webhook_endpoints")
    .selectAll()
    .where("id", "=", id)
    .executeTakeFirst();
  return row === undefined ? null : endpointOf(row);
}

/** For signing, at the moment of sending, and for nothing else. */
export async function secretOf(db: Db, id: string): Promise<string> {
  const { secret } = await db
    .selectFrom("webhook_endpoints")
    .select("secret")
    .where("id", "=", id)
    .executeTakeFirstOrThrow();
  return secret;
}

async function newestEvent(db: Db): Promise<bigint> {
  const row = await db
    .selectFrom("events")
    .select("sequence")
    .orderBy("sequence", "desc")
    .limit(1)
    .executeTakeFirst();
  return row?.sequence ?? 0n;
}

type Changes = Partial<
  Pick<Row<"webhook_endpoints">, "secret" | "disabled" | "failures" | "resting_until">
>;

async function change(db: Db, id: string, changes: Changes): Promise<Endpoint | null> {
  const row = await db
    .updateTable("webhook_endpoints")
    .set(changes)
    .where("id", "=", id)
    .returningAll()
    .executeTakeFirst();
  return row === undefined ? null : endpointOf(row);
}

function endpointOf(row: Row<"webhook_endpoints">): Endpoint {
  return {
    ...{ id: row.id, url: row.url, cursor: row.cursor, failures: row.failures },
    kinds: row.kinds === null ? null : (JSON.parse(row.kinds) as EventKind[]),
    accounts: row.accounts === null ? null : (JSON.parse(row.accounts) as string[]),
    disabled: row.disabled === 1n,
    restingUntil: row.resting_until,
    createdAt: row.created_at,
  };
}

function listed(items: readonly string[] | null): string | null {
  return items === null ? null : JSON.stringify([...new Set(items)].sort());
}

function endpointId(url: string): string {
  const hash = taggedHash("ballast/webhook-endpoint@1", new TextEncoder().encode(url));
  return `w-${hex(hash.subarray(0, 12))}`;
}

/** 256 random bits; the prefix tells people and scanners of secrets what it is. */
function newSecret(): string {
  return `ballast-webhook-${randomBytes(32).toString("hex")}`;
}
