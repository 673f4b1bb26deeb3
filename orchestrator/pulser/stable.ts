/** What an account is worth in dollars as far as it was stabilised. */
import { centsOf } from "../accounts/book.ts";
import type { Db } from "../io/store.ts";

export interface StableValue {
  readonly cents: bigint;
}

/** Null: nothing of it was stabilised. */
export async function stableOf(db: Db, account: string): Promise<StableValue | null> {
  const { available, reserved } = await centsOf(db, account);
  const cents = available + reserved;
  return cents === 0n ? null : { cents };
}
