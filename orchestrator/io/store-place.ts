/** Where the store is: a file for SQLite, or a database of a Postgres server. */
import { isAbsolute } from "node:path";
import type { Network } from "../../policies/bitcoin/network.ts";
import type { Log } from "../log.ts";
import { isPostgresUrl, readAddress } from "../postgres/address.ts";
import { openPostgresStore } from "../postgres/store.ts";
import { openStore, type Store } from "./store.ts";

export type StorePlace =
  | { readonly kind: "sqlite"; readonly path: string }
  /** The URL may hold a password: it is never shown. */
  | { readonly kind: "postgres"; readonly url: string; readonly name: string };

/** An absolute path, `:memory:` or a `postgres://` URL; null for anything else. */
export function readStorePlace(text: string): StorePlace | null {
  if (isPostgresUrl(text)) {
    const address = readAddress(text);
    return address === null ? null : { kind: "postgres", url: text, name: address.place };
  }
  return isAbsolute(text) || text === ":memory:" ? { kind: "sqlite", path: text } : null;
}

export interface PlaceOptions {
  readonly network: Network;
  readonly log: Log;
}

/** Throws a StoreError. */
export async function openStoreAt(
  place: StorePlace,
  { network, log }: PlaceOptions,
): Promise<Store> {
  if (place.kind === "postgres") return await openPostgresStore({ url: place.url, network, log });
  log.info({ store: place.path }, "store is SQLite");
  return openStore({ path: place.path, network });
}
