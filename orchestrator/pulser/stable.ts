/** What an account is worth in dollars as far as it was stabilised. */
import type { Db } from "../io/store.ts";

export interface StableValue {
  readonly cents: bigint;
}

/** Null: nothing of it was stabilised. */
export async function stableOf(_db: Db, _account: string): Promise<StableValue | null> {
  return null;
}
