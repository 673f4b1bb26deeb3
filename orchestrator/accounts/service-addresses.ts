/** Addresses from which a user's own services pay: what comes from there is their own money. */
import type { Db } from "../io/store.ts";

export interface ServiceAddress {
  readonly account: string;
  readonly address: string;
}

/** More are a mistake of some program. */
export const SERVICE_ADDRESSES_MAX = 100;

/** Again is the same; false: there are as many as there may be. */
export async function trustAddress(
  db: Db,
  { account, address }: ServiceAddress,
  at: bigint,
): Promise<boolean> {
  const known = await serviceAddresses(db, account);
  if (known.includes(address)) return true;
  if (known.length >= SERVICE_ADDRESSES_MAX) return false;
  await db
    .insertInto("service_addresses")
    .values({ account, address, created_at: at })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  return true;
}

export async function distrustAddress(db: Db, { account, address }: ServiceAddress): Promise<void> {
  await db
    .deleteFrom("service_addresses")
    .where("account", "=", account)
    .where("address", "=", address)
    .execute();
}

export async function serviceAddresses(db: Db, account: string): Promise<readonly string[]> {
  const rows = await db
    .selectFrom("service_addresses")
    .select("address")
    .where("account", "=", account)
    .orderBy("created_at")
    .orderBy("address")
    .execute();
  return rows.map(({ address }) => address);
}
