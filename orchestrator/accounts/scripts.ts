/**
 * The scripts that are watched: each address of each vault up to a gap ahead of the last used. Whoever
 * scans blocks holds a fingerprint of all of them in memory and asks the table for those alone that
 * look like one.
 */
import { fromHex, hex } from "../../policies/bitcoin/hash.ts";
import { type Branch, CHANGE, RECEIVE, readVault } from "../../policies/vault.ts";
import { type VaultScripts, vaultScripts } from "../../policies/vault-scripts.ts";
import type { Db, Row } from "../io/store.ts";
import { type Fingerprints, openFingerprints } from "./fingerprints.ts";

/** BIP44's gap: a wallet that finds this many unused addresses in a row looks no further. */
export const GAP = 20;

export interface WatchedScript {
  readonly script: string;
  readonly vault: string;
  readonly branch: Branch;
  readonly index: number;
}

export interface Scripts {
  /** The registered vault with its derivations; null when no such vault is registered. */
  readonly vault: (db: Db, id: string) => Promise<VaultScripts | null>;
  /**
   * Derives a branch up to GAP addresses after `used` (-1: none was); false: nothing was new. In the
   * caller's transaction.
   */
  readonly extend: (db: Db, at: ScriptPlace) => Promise<boolean>;
  /**
   * Reads on what was added to the table, by this or another process, so that `watched` need not ask
   * it for each script. The first call reads all of it, and lets others work meanwhile: never in a
   * transaction.
   */
  readonly load: (db: Db) => Promise<void>;
  /** Those of the scripts that are watched. Before `load` it asks the table for each. */
  readonly watched: (db: Db, scripts: readonly Uint8Array[]) => Promise<readonly WatchedScript[]>;
}

export interface ScriptPlace {
  readonly vault: string;
  readonly branch: Branch;
  readonly used: number;
}

/** SQLite takes 32,766 parameters; a few hundred at a time keep each look-up short. */
const LOOKUP_MAX = 500;
/** Rows that are read at once at the start: a few milliseconds. */
const LOAD_ROWS = 500;

interface Held {
  readonly prints: Fingerprints;
  /** The last run that is held for good. */
  run: bigint;
}

export function openScripts(): Scripts {
  // Registered vaults never change, so what was read once holds.
  const vaults = new Map<string, VaultScripts>();
  let loading: Promise<Held> | null = null;
  let held: Held | null = null;

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
      await insertRun(db, rows);
      return true;
    },
    async load(db) {
      loading ??= readAll(db).catch((error: unknown) => {
        loading = null;
        throw error;
      });
      held = await loading;
      held.run = await readOn(db, held);
    },
    async watched(db, scripts) {
      const taproot = scripts.filter(isTaproot);
      if (held === null) return lookedUp(db, taproot);
      const { prints } = held;
      const run = await readOn(db, held);
      // What a transaction has added may be undone, and its number be given to another run.
      if (!db.isTransaction) held.run = run;
      return lookedUp(
        db,
        taproot.filter((script) => prints.has(keyOf(script))),
      );
    },
  };
}

async function insertRun(db: Db, rows: readonly Row<"scripts">[]): Promise<void> {
  const [first, last] = [rows[0], rows.at(-1)];
  if (first === undefined || last === undefined) return;
  await db
    .insertInto("scripts")
    .values(rows)
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  const { vault, branch } = first;
  const run = { vault, branch, first: first.position, last: last.position };
  await db.insertInto("script_runs").values(run).execute();
}

async function readAll(db: Db): Promise<Held> {
  const prints = openFingerprints();
  // Read before the scripts: what is added meanwhile is read once more, and that is no harm.
  const { newest } = await db
    .selectFrom("script_runs")
    .select((eb) => eb.fn.max("sequence").as("newest"))
    .executeTakeFirstOrThrow();
  for (let after = "", more = true; more; ) {
    const rows = await db
      .selectFrom("scripts")
      .select("script")
      .where("script", ">", after)
      .orderBy("script")
      .limit(LOAD_ROWS)
      .execute();
    for (const { script } of rows) prints.add(keyOf(fromHex(script)));
    after = rows.at(-1)?.script ?? after;
    more = rows.length === LOAD_ROWS;
    await new Promise((resolve) => setImmediate(resolve));
  }
  return { prints, run: newest ?? 0n };
}

/** Adds the runs after the last one held; returns the newest. */
async function readOn(db: Db, { prints, run }: Held): Promise<bigint> {
  const rows = await db
    .selectFrom("script_runs")
    .innerJoin("scripts", (join) =>
      join
        .onRef("scripts.vault", "=", "script_runs.vault")
        .onRef("scripts.branch", "=", "script_runs.branch")
        .onRef("scripts.position", ">=", "script_runs.first")
        .onRef("scripts.position", "<=", "script_runs.last"),
    )
    .select(["script_runs.sequence", "scripts.script"])
    .where("script_runs.sequence", ">", run)
    .execute();
  let newest = run;
  for (const { sequence, script } of rows) {
    prints.add(keyOf(fromHex(script)));
    if (sequence > newest) newest = sequence;
  }
  return newest;
}

async function lookedUp(db: Db, scripts: readonly Uint8Array[]): Promise<readonly WatchedScript[]> {
  const found: WatchedScript[] = [];
  for (let at = 0; at < scripts.length; at += LOOKUP_MAX) {
    const rows = await db
      .selectFrom("scripts")
      .selectAll()
      .where("script", "in", scripts.slice(at, at + LOOKUP_MAX).map(hex))
      .execute();
    for (const { position, branch, ...row } of rows) {
      found.push({ ...row, branch: branch === 0n ? RECEIVE : CHANGE, index: Number(position) });
    }
  }
  return found;
}

/** All our vaults are Taproot: OP_1 and a key of 32 bytes. */
function isTaproot(script: Uint8Array): boolean {
  return script.length === 34 && script[0] === 0x51 && script[1] === 0x20;
}

function keyOf(script: Uint8Array): Uint8Array {
  return script.subarray(2);
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
