/**
 * Which transactions a device has been asked to sign, where it is not sure that it gave nothing. A
 * person's "no" frees the coins of a claim, which is right only if no earlier try has brought a
 * signature out: a signer that crashed while its device signed does not know. The table lies in the
 * journal's file, this file alone writes it.
 */
import type Database from "better-sqlite3";

export interface Asked {
  /** Durable when it returns. True where an earlier try of this transaction has no known end. */
  readonly begin: (txid: string) => boolean;
  /** The device has given nothing, this time and before. */
  readonly nothingGiven: (txid: string) => void;
}

export function openAsked(db: Database.Database): Asked {
  const insert = db.prepare("INSERT INTO device_asked VALUES (?) ON CONFLICT DO NOTHING");
  const remove = db.prepare("DELETE FROM device_asked WHERE txid = ?");
  return {
    begin: (txid) => insert.run(txid).changes === 0,
    nothingGiven: (txid) => {
      remove.run(txid);
    },
  };
}
