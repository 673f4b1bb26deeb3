/** The scripts that are watched: each address of each vault up to a gap ahead of the last used. */
import { hex } from "../../policies/bitcoin/hash.ts";
import { type Branch, CHANGE, RECEIVE, readVault } from "../../policies/vault.ts";
import { type VaultScripts, vaultScripts } from "../../policies/vault-scripts.ts";
import type { Db } from "../io/store.ts";

/** BIP44's gap: a wallet that finds this many unused addresses in a row looks no further. */
const GAP = 20;

export interface WatchedScript {
  readonly script: string;
  readonly vault: string;
  readonly branch: Branch;
  readonly index: number;
}

export interface Scripts {
  /** The registered vault with its derivations; null when no such vault is registered. */
  readonly vault: (db: Db, id: string) => Promise<VaultScripts | null>;
  /** Derives a branch up to GAP addresses after `used` (-1: none was); false: nothing was new. */
  readonly extend: (db: Db, at: ScriptPlace) => Promise<boolean>;
  /** Those of the scripts, in hex, that are watched. */
  readonly watched: (db: Db, scripts: readonly string[]) => Promise<readonly WatchedScript[]>;
}

export interface ScriptPlace {
  readonly vault: string;
  readonly branch: Branch;
  readonly used: number;
}

/** SQLite takes 32,766 parameters; a few hundred at a time keep each look-up short. */
const LOOKUP_MAX = 500;

export function openScripts(): Scripts {
  // Registered vaults never change, so what was read once holds.
  const vaults = new Map<string, VaultScripts>();

  async function vault(db: Db, id: string): Promise<VaultScripts | null> {
    const known = vaults.get(id);
    if (known !== undefined) return known;
    const row = await db
      .selectFrom("vaults")
      .select("document")
      .where("id", "=", id)
      .executeTakeFirst();
    if (row === undefined) return null;
    const scripts = vaultScripts(readVault(JSON.parse(row.document)));
    vaults.set(id, scripts);
    return scripts;
  }

  return {
    vault,
    async extend(db, { vault: id, branch, used }) {
      const scripts = await vault(db, id);
      if (scripts === null) throw new Error(`BUG: vault ${id} is not registered`);
      const last = await lastIndex(db, id, branch);
      if (last >= used + GAP) return false;
      const rows = Array.from({ length: used + GAP - last }, (_, i) => {
        const index = last + 1 + i;
        const script = hex(scripts.at(branch, index).script);
        return { script, vault: id, branch: BigInt(branch), position: BigInt(index) };
      });
      await db
        .insertInto("scripts")
        .values(rows)
        .onConflict((conflict) => conflict.doNothing())
        .execute();
      return true;
    },
    async watched(db, scripts) {
      const found: WatchedScript[] = [];
      for (let at = 0; at < scripts.length; at += LOOKUP_MAX) {
        const rows = await db
          .selectFrom("scripts")
          .selectAll()
          .where("script", "in", scripts.slice(at, at + LOOKUP_MAX))
          .execute();
        for (const { position, branch, ...row } of rows) {
          found.push({ ...row, branch: branch === 0n ? RECEIVE : CHANGE, index: Number(position) });
        }
      }
      return found;
    },
  };
}

async function lastIndex(db: Db, vault: string, branch: Branch): Promise<number> {
  const row = await db
    .selectFrom("scripts")
    .select((eb) => eb.fn.max("position").as("last"))
    .where("vault", "=", vault)
    .where("branch", "=", BigInt(branch))
    .executeTakeFirst();
  return row?.last === null || row?.last === undefined ? -1 : Number(row.last);
}
