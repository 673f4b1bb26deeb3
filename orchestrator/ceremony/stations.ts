/**
 * Stations: the computers of those who sign. Each has a name, one part to play, a key that signs its
 * events, and a token that opens its own few pages. The token is shown once; its hash is kept.
 */
import { createHash, randomBytes } from "node:crypto";
import { fromHex, hex, taggedHash } from "../../policies/bitcoin/hash.ts";
import { isStationKey } from "../../policies/ceremony.ts";
import type { Clock } from "../io/clock.ts";
import type { Db, Row, Store } from "../io/store.ts";

export type StationRow = Row<"stations">;

export interface StationWish {
  readonly name: string;
  readonly role: StationRow["role"];
  /** Of users, and of nobody else. */
  readonly account?: string | undefined;
  /** x-only, in hex. */
  readonly key: string;
}

export type StationOutcome =
  | {
      readonly kind: "done";
      readonly station: StationRow;
      /** Null when it was given out before. */
      readonly token: string | null;
    }
  | {
      readonly kind: "refused";
      readonly code: "content" | "conflict";
      readonly reasons: readonly string[];
    };

export interface StationParts {
  readonly store: Store;
  readonly clock: Clock;
}

/** Registers a station; the same words again get the same station, and no token. */
export async function registerStation(
  { store, clock }: StationParts,
  wish: StationWish,
): Promise<StationOutcome> {
  const { name, role, account = null, key } = wish;
  const reasons = await unfit(store.db, wish);
  if (reasons.length > 0) return { kind: "refused", code: "content", reasons };
  const token = newToken();
  const inserted = await store.db
    .insertInto("stations")
    .values({
      ...{ id: stationId(key), name, role, account, key },
      token_hash: tokenHash(token),
      created_at: clock(),
    })
    .onConflict((conflict) => conflict.doNothing())
    .returningAll()
    .executeTakeFirst();
  if (inserted !== undefined) return { kind: "done", station: inserted, token };
  const known = await stationNamed(store.db, name);
  const same = known?.key === key && known.role === role && known.account === account;
  return same
    ? { kind: "done", station: known, token: null }
    : {
        kind: "refused",
        code: "conflict",
        reasons: ["a station of this name or of this key is registered with other words"],
      };
}

async function unfit(db: Db, { role, account, key }: StationWish): Promise<readonly string[]> {
  const known =
    account === undefined
      ? undefined
      : await db.selectFrom("accounts").select("id").where("id", "=", account).executeTakeFirst();
  return [
    ...(isStationKey(key) ? [] : ["key: is no x-only key"]),
    ...((role === "user") === (account !== undefined)
      ? []
      : ["account: a user's station has one, and no other"]),
    ...(account === undefined || known !== undefined ? [] : ["account: there is no such account"]),
  ];
}

/** A new token for one that was lost or known to others; the old one opens nothing any more. */
export async function renewToken(
  { store }: Pick<StationParts, "store">,
  id: string,
): Promise<{ readonly station: StationRow; readonly token: string } | null> {
  const token = newToken();
  const station = await setToken(store.db, id, tokenHash(token));
  return station === null ? null : { station, token };
}

/** Null when there is no such station. */
export function disableStation(
  { store }: Pick<StationParts, "store">,
  id: string,
): Promise<StationRow | null> {
  return setToken(store.db, id, null);
}

async function setToken(db: Db, id: string, hash: string | null): Promise<StationRow | null> {
  const row = await db
    .updateTable("stations")
    .set({ token_hash: hash })
    .where("id", "=", id)
    .returningAll()
    .executeTakeFirst();
  return row ?? null;
}

export function listStations(db: Db): Promise<readonly StationRow[]> {
  return db.selectFrom("stations").selectAll().orderBy("name").execute();
}

/** Whose token this is; null: nobody's, or a disabled station's. */
export async function stationOfToken(db: Db, token: string): Promise<StationRow | null> {
  // The hash is looked up, so that the time taken says nothing of the token.
  const row = await db
    .selectFrom("stations")
    .selectAll()
    .where("token_hash", "=", tokenHash(token))
    .executeTakeFirst();
  return row ?? null;
}

export async function stationNamed(db: Db, name: string): Promise<StationRow | null> {
  const row = await db
    .selectFrom("stations")
    .selectAll()
    .where("name", "=", name)
    .executeTakeFirst();
  return row ?? null;
}

export async function stationOfKey(db: Db, key: string): Promise<StationRow | null> {
  const row = await db.selectFrom("stations").selectAll().where("key", "=", key).executeTakeFirst();
  return row ?? null;
}

function stationId(key: string): string {
  return `s-${hex(taggedHash("ballast/station@1", fromHex(key)).subarray(0, 12))}`;
}

/** 256 random bits; the prefix tells people and scanners of secrets what it is. */
function newToken(): string {
  return `ballast-station-${randomBytes(32).toString("hex")}`;
}

function tokenHash(token: string): string {
  return createHash("sha256").update(token).digest("hex");
}
