/** What others call our accounts: Pulser's clients number their users. One numbering for all of them. */
import type { Db } from "../io/store.ts";

/** Digits, as Pulser's user ids: an id of ours begins with a letter, so none is taken for the other. */
export const EXTERNAL_ID = /^(?:0|[1-9][0-9]{0,19})$/;

/** The account of an id of ours or of an external one; null where there is none. */
export async function accountCalled(db: Db, id: string): Promise<string | null> {
  if (EXTERNAL_ID.test(id)) {
    const row = await db
      .selectFrom("aliases")
      .select("account")
      .where("external_id", "=", id)
      .executeTakeFirst();
    return row?.account ?? null;
  }
  const row = await db.selectFrom("accounts").select("id").where("id", "=", id).executeTakeFirst();
  return row?.id ?? null;
}

export interface Alias {
  readonly externalId: string;
  readonly account: string;
}

/** Once, for good. False: one of the two has another partner. */
export async function keepAlias(db: Db, { externalId, account }: Alias): Promise<boolean> {
  await db
    .insertInto("aliases")
    .values({ external_id: externalId, account })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  return (await accountCalled(db, externalId)) === account;
}
