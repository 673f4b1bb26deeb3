/**
 * Who may ask at the API: tokens with one scope each, a user's bound to one account. A token is shown
 * once and its hash is kept. The token of the configuration is an operator's, and needs no row.
 */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { hex, taggedHash } from "../../policies/bitcoin/hash.ts";
import type { Clock } from "../io/clock.ts";
import type { Db, Row, Store } from "../io/store.ts";
import type { Scope } from "../tables/schema-doors.ts";
import type { Place } from "./cursor.ts";

export type TokenRow = Row<"tokens">;

/** Whoever asks, by their token. */
export interface Caller {
  /** Of the token. */
  readonly id: string;
  readonly name: string;
  readonly scope: Scope;
  /** Null for all but users. */
  readonly account: string | null;
  /** The token itself: what is kept for this caller alone is sealed under it. */
  readonly secret: string;
}

export interface TokenWish {
  readonly name: string;
  readonly scope: Scope;
  /** Of users, and of nobody else. */
  readonly account?: string | undefined;
  readonly days: number;
}

export type TokenOutcome =
  | {
      readonly kind: "done";
      readonly row: TokenRow;
      /** Null when it was given out before. */
      readonly token: string | null;
    }
  | {
      readonly kind: "refused";
      readonly code: "content" | "conflict";
      readonly reasons: readonly string[];
    };

export interface TokenParts {
  readonly store: Store;
  readonly clock: Clock;
}

/** Of the configuration's token; no issued one is called so. */
const FIRST_OPERATOR = "first-operator";
const DAY_MS = 86_400_000n;
/** When a token was used last is known to the hour: a write for each request would cost more than it tells. */
const USED_MS = 3_600_000n;

/** The same words again get the same token's row, and no token. */
export async function issueToken(
  { store, clock }: TokenParts,
  wish: TokenWish,
  by: string,
): Promise<TokenOutcome> {
  const { name, scope, account = null, days } = wish;
  const reasons = await unfit(store.db, wish);
  if (reasons.length > 0) return { kind: "refused", code: "content", reasons };
  const token = `ballast-${scope}-${randomBytes(32).toString("hex")}`;
  const now = clock();
  const inserted = await store.db
    .insertInto("tokens")
    .values({
      ...{ id: tokenId(name), name, scope, account, hash: hashOf(token), issued_by: by },
      ...{ created_at: now, expires_at: now + BigInt(days) * DAY_MS },
      ...{ disabled_at: null, used_at: null },
    })
    .onConflict((conflict) => conflict.doNothing())
    .returningAll()
    .executeTakeFirst();
  if (inserted !== undefined) return { kind: "done", row: inserted, token };
  const known = await findToken(store.db, tokenId(name));
  return known !== null && known.scope === scope && known.account === account
    ? { kind: "done", row: known, token: null }
    : { kind: "refused", code: "conflict", reasons: ["another token has this name"] };
}

async function unfit(db: Db, { name, scope, account }: TokenWish): Promise<readonly string[]> {
  const known =
    account === undefined
      ? undefined
      : await db.selectFrom("accounts").select("id").where("id", "=", account).executeTakeFirst();
  return [
    ...(name === FIRST_OPERATOR ? ["name: it is the configuration's own token's"] : []),
    ...((scope === "user") === (account !== undefined)
      ? []
      : ["account: a user's token has one, and no other"]),
    ...(account === undefined || known !== undefined ? [] : ["account: there is no such account"]),
  ];
}

/** From now on it opens nothing; null when there is no such token. Again is the same. */
export async function disableToken(
  { store, clock }: TokenParts,
  id: string,
): Promise<TokenRow | null> {
  await store.db
    .updateTable("tokens")
    .set({ disabled_at: clock() })
    .where("id", "=", id)
    .where("disabled_at", "is", null)
    .execute();
  return await findToken(store.db, id);
}

/** Newest first. */
export function tokensPage(
  db: Db,
  { after, limit }: { readonly after: Place | null; readonly limit: number },
): Promise<readonly TokenRow[]> {
  return db
    .selectFrom("tokens")
    .selectAll()
    .$if(after !== null, (query) =>
      query.where((eb) =>
        eb.or([
          eb("created_at", "<", after?.at ?? 0n),
          eb.and([eb("created_at", "=", after?.at ?? 0n), eb("id", "<", after?.id ?? "")]),
        ]),
      ),
    )
    .orderBy("created_at", "desc")
    .orderBy("id", "desc")
    .limit(limit)
    .execute();
}

/** Whether anybody but the first operator ever was one. */
export async function otherOperators(db: Db): Promise<boolean> {
  const row = await db
    .selectFrom("tokens")
    .select("id")
    .where("scope", "=", "operator")
    .limit(1)
    .executeTakeFirst();
  return row !== undefined;
}

export interface Callers {
  /** Null: nobody's token, or one that is disabled or has expired. */
  readonly of: (token: string) => Promise<Caller | null>;
}

/** @param first the configuration's token */
export function openCallers({ store, clock }: TokenParts, first: string): Callers {
  const firstHash = digest(first);

  async function noteUse({ id, used_at }: TokenRow, now: bigint): Promise<void> {
    if (used_at !== null && now - used_at < USED_MS) return;
    await store.db
      .updateTable("tokens")
      .set({ used_at: now })
      .where("id", "=", id)
      .where("used_at", used_at === null ? "is" : "=", used_at)
      .execute();
  }

  return {
    async of(secret) {
      // Hashes are compared and looked up, so that the time taken says nothing of the token.
      const hash = digest(secret);
      if (timingSafeEqual(hash, firstHash)) {
        const name = FIRST_OPERATOR;
        return { id: tokenId(name), name, scope: "operator", account: null, secret };
      }
      const row = await store.db
        .selectFrom("tokens")
        .selectAll()
        .where("hash", "=", hash.toString("hex"))
        .executeTakeFirst();
      const now = clock();
      if (row === undefined || row.disabled_at !== null || row.expires_at <= now) return null;
      await noteUse(row, now);
      const { id, name, scope, account } = row;
      return { id, name, scope, account, secret };
    },
  };
}

async function findToken(db: Db, id: string): Promise<TokenRow | null> {
  const row = await db.selectFrom("tokens").selectAll().where("id", "=", id).executeTakeFirst();
  return row ?? null;
}

function tokenId(name: string): string {
  const hash = taggedHash("ballast/token@1", new TextEncoder().encode(name));
  return `t-${hex(hash.subarray(0, 12))}`;
}

function digest(value: string): Buffer {
  return createHash("sha256").update(value).digest();
}

function hashOf(token: string): string {
  return digest(token).toString("hex");
}
