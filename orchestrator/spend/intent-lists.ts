/** Intents as lists: what an API shows, a page at a time. Reads alone. */
import type { Db } from "../io/store.ts";
import type { IntentRow } from "./intents.ts";

/** Newest first. */
export function listIntents(db: Db, limit: number): Promise<readonly IntentRow[]> {
  return db
    .selectFrom("intents")
    .selectAll()
    .orderBy("created_at", "desc")
    .orderBy("id")
    .limit(limit)
    .execute();
}

export interface IntentPage {
  /** All accounts' where it is null. */
  readonly account: string | null;
  /** The last one of the page before. */
  readonly after: { readonly at: bigint; readonly id: string } | null;
  readonly limit: number;
}

/** Newest first. */
export function intentsPage(
  db: Db,
  { account, after, limit }: IntentPage,
): Promise<readonly IntentRow[]> {
  return db
    .selectFrom("intents")
    .selectAll()
    .$if(account !== null, (query) => query.where("account", "=", account ?? ""))
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

/** What waits for the account's user, oldest first. */
export function builtIntentsOf(
  db: Db,
  account: string,
  limit: number,
): Promise<readonly IntentRow[]> {
  return db
    .selectFrom("intents")
    .selectAll()
    .where("account", "=", account)
    .where("state", "=", "built")
    .orderBy("created_at")
    .orderBy("id")
    .limit(limit)
    .execute();
}
