/** What transactions of a block or of the mempool have to do with the vaults: coins made and spent. */
import { hex } from "../../policies/bitcoin/hash.ts";
import { isSats, sats } from "../../policies/money.ts";
import { CHANGE } from "../../policies/vault.ts";
import type { Scripts, WatchedScript } from "../accounts/scripts.ts";
import { accountOfVault } from "../accounts/vaults.ts";
import type { ChainTx } from "../io/chain.ts";
import type { Db } from "../io/store.ts";
import { type Coin, knownCoins } from "./coins.ts";

export type SightedCoin = Pick<
  Coin,
  "outpoint" | "vault" | "branch" | "index" | "sats" | "kind" | "origin"
> & {
  readonly account: string;
  readonly script: Uint8Array;
};

export interface Sighting {
  readonly txid: string;
  /** Coins of the vaults that it spends. */
  readonly spends: readonly string[];
  readonly coins: readonly SightedCoin[];
}

export interface Sightings {
  /** In the order of the transactions. */
  readonly all: readonly Sighting[];
  /** A payment has moved a gap: more scripts are watched than before. */
  readonly extended: boolean;
}

/** In the caller's transaction: what is paid moves the gap of its vault on. */
export async function sightingsIn(
  scripts: Scripts,
  db: Db,
  txs: readonly ChainTx[],
): Promise<Sightings> {
  const { paid, extended } = await paidScripts(scripts, db, txs);
  const hits = txs.map((tx) => (paid.size === 0 ? [] : hitsOf(tx, paid)));
  const known = await knownCoins(
    db,
    txs.flatMap(({ spends }) => spends),
  );
  const payers = new Map<string, Payer>(
    known.map(({ outpoint, vault, state }) => [outpoint, { vault, buried: state === "confirmed" }]),
  );
  // Also those made by these very transactions, which may come in any order.
  for (const [i, tx] of txs.entries()) {
    for (const { vout, place } of hits[i] ?? []) {
      payers.set(`${tx.txid()}:${vout}`, { vault: place.vault, buried: false });
    }
  }
  const all: Sighting[] = [];
  for (const [i, tx] of txs.entries()) {
    const paying = tx.spends.filter((outpoint) => payers.has(outpoint));
    const own = hits[i] ?? [];
    if (paying.length === 0 && own.length === 0) continue;
    const txid = tx.txid();
    const coins: SightedCoin[] = [];
    for (const hit of own) {
      coins.push(await coinOf(db, txid, hit, await sourceOf(scripts, db, tx, payers)));
    }
    all.push({ txid, spends: paying, coins });
  }
  return { all, extended };
}

interface Payer {
  readonly vault: string;
  readonly buried: boolean;
}

interface Hit {
  readonly vout: number;
  readonly sats: bigint;
  readonly script: Uint8Array;
  readonly place: WatchedScript;
}

interface Source {
  readonly accounts: ReadonlySet<string>;
  /** A vault of the house's own is among them. */
  readonly house: boolean;
  /** There is no other, and all of their coins are buried. */
  readonly ours: boolean;
}

async function sourceOf(
  scripts: Scripts,
  db: Db,
  tx: ChainTx,
  payers: ReadonlyMap<string, Payer>,
): Promise<Source> {
  const paying = tx.spends.flatMap((outpoint) => payers.get(outpoint) ?? []);
  const accounts = new Set<string>();
  let house = false;
  for (const { vault } of paying) {
    accounts.add(await accountOfVault(db, vault));
    if ((await scripts.vault(db, vault))?.vault.kind !== "user") house = true;
  }
  const ours = paying.length === tx.spends.length && paying.every(({ buried }) => buried);
  return { accounts, house, ours: ours && paying.length > 0 };
}

async function coinOf(
  db: Db,
  txid: string,
  { vout, place, script, ...hit }: Hit,
  { accounts, house, ours }: Source,
): Promise<SightedCoin> {
  const { vault, branch, index } = place;
  const account = await accountOfVault(db, vault);
  const coin = { outpoint: `${txid}:${vout}`, vault, branch, index, sats: sats(hit.sats) };
  const shared = { ...coin, account, script };
  if (accounts.has(account)) return { ...shared, kind: "change", origin: "change" };
  // What the house adds to a vault covers a claim and is none (architecture, section 3).
  if (house) return { ...shared, kind: "change", origin: "service" };
  if (branch === CHANGE) return { ...shared, kind: "deposit", origin: "unexpected" };
  return { ...shared, kind: "deposit", origin: ours ? "service" : "external" };
}

function hitsOf(tx: ChainTx, paid: ReadonlyMap<string, WatchedScript>): readonly Hit[] {
  return tx.outputs.flatMap(({ sats: amount, script }, vout) => {
    const place = paid.get(hex(script));
    return place === undefined || !isSats(amount) ? [] : [{ vout, sats: amount, script, place }];
  });
}

/** The watched scripts that are paid, looked up until no payment moves a gap any further. */
async function paidScripts(scripts: Scripts, db: Db, txs: readonly ChainTx[]) {
  const outputs = txs.flatMap((tx) => tx.outputs.map(({ script }) => script));
  const paid = new Map<string, WatchedScript>();
  let extended = false;
  for (let again = true; again; ) {
    again = false;
    for (const watched of await scripts.watched(db, outputs)) {
      if (paid.has(watched.script)) continue;
      paid.set(watched.script, watched);
      const { vault, branch, index } = watched;
      if (await scripts.extend(db, { vault, branch, used: index })) again = true;
    }
    extended ||= again;
  }
  return { paid, extended };
}
