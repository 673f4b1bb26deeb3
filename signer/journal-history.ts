/** The journal's memory as the law asks for it: each answer from an index, none from a scan. */
import type Database from "better-sqlite3";
import { type Claim, isDeposit, type Place } from "../policies/claim.ts";
import { readNotice } from "../policies/evidence/notice.ts";
import { accountSchema } from "../policies/evidence/remembered.ts";
import { type HeardNotice, type Standing, standingOf } from "../policies/evidence/standing.ts";
import {
  BLOCKS_PER_HOUR,
  type History,
  type HistoryQuery,
  HOUR_MS,
  type LastAccount,
  type Moment,
} from "../policies/history.ts";
import { greater } from "../policies/money.ts";
import { boundKey, type Charge, type Count, drawnAccount } from "../policies/velocity.ts";
import { JournalError } from "./journal-file.ts";

export type ReadHistory = (query: HistoryQuery, moment: Moment & { paused: boolean }) => History;

export function historyReader(db: Database.Database): ReadHistory {
  const claims = claimReader(db);
  const statements = {
    owners: db.prepare<[string], { intent: string }>(
      "SELECT intent FROM outpoints WHERE outpoint = ?",
    ),
    byClock: db.prepare<[string, bigint, string], { sats: bigint }>(
      `SELECT coalesce(sum(sats), 0) AS sats FROM charges
       WHERE account = ? AND at > ? AND intent <> ?`,
    ),
    byHeight: db.prepare<[string, bigint, string], { sats: bigint }>(
      `SELECT coalesce(sum(sats), 0) AS sats FROM charges
       WHERE account = ? AND height > ? AND intent <> ?`,
    ),
    index: db.prepare<[string], { highest: bigint | null }>(
      "SELECT max(place) AS highest FROM places WHERE vault = ?",
    ),
    notices: db.prepare<[string], NoticeRow>(
      "SELECT text, height FROM notices WHERE vault = ? ORDER BY heard",
    ),
    userSpoke: db.prepare<[string], { height: bigint | null }>(
      "SELECT max(height) AS height FROM claims WHERE vault = ? AND user_signed = 1",
    ),
    drawn: db.prepare<[string, string], { sats: bigint }>(
      "SELECT coalesce(sum(sats), 0) AS sats FROM charges WHERE account = ? AND intent <> ?",
    ),
    drawnSince: db.prepare<[string, bigint, string], { sats: bigint }>(
      `SELECT coalesce(sum(sats), 0) AS sats FROM charges
       WHERE account = ? AND height >= ? AND intent <> ?`,
    ),
    incoming: db.prepare<[string, string, string], IncomingRow>(
      `SELECT intent, outpoint, sats FROM places
       WHERE vault = ? AND gained = 1 AND intent <> ? AND NOT EXISTS (
         SELECT 1 FROM outpoints
         WHERE outpoints.outpoint = places.outpoint AND outpoints.intent <> ?
       ) ORDER BY outpoint`,
    ),
    account: db.prepare<[string], { document: string }>(
      "SELECT document FROM accounts WHERE vault = ?",
    ),
    origin: db.prepare<[string], { gained: bigint; purpose: string }>(
      `SELECT places.gained, claims.purpose FROM places
       JOIN claims ON claims.intent = places.intent AND claims.txid = places.txid
       WHERE places.outpoint = ?`,
    ),
    nonce: db.prepare<[string], { intent: string }>("SELECT intent FROM nonces WHERE nonce = ?"),
  };

  function related({ intent, cancels, outpoints }: HistoryQuery): readonly Claim[] {
    const intents = new Set([intent, ...(cancels === null ? [] : [cancels])]);
    for (const outpoint of outpoints) {
      for (const owner of statements.owners.all(outpoint)) intents.add(owner.intent);
    }
    return [...intents].flatMap(claims);
  }

  function charged(
    { account, hours }: Count,
    { now, height, intent }: Moment & { readonly intent: string },
  ): readonly [string, bigint] {
    const since = BigInt(now - hours * HOUR_MS);
    const above = BigInt(height - hours * BLOCKS_PER_HOUR);
    const byClock = statements.byClock.get(account, since, intent)?.sats ?? 0n;
    const byHeight = statements.byHeight.get(account, above, intent)?.sats ?? 0n;
    return [boundKey({ account, hours }), greater(byClock, byHeight)];
  }

  /** What is not in the statement yet: signed at its height or later, or of a coin that it counts. */
  function drawn(vault: string, { intent, statement }: HistoryQuery): bigint {
    const account = drawnAccount(vault);
    if (statement === null) return statements.drawn.get(account, intent)?.sats ?? 0n;
    const height = BigInt(statement.height);
    const later = statements.drawnSince.get(account, height, intent)?.sats ?? 0n;
    const coins = new Set(statement.coins.get(vault));
    const owners = new Set(
      [...coins].flatMap((coin) => statements.owners.all(coin).map((owner) => owner.intent)),
    );
    owners.delete(intent);
    return [...owners]
      .flatMap(claims)
      .filter((claim) => claim.height < statement.height)
      .filter(({ outpoints }) => outpoints.some((outpoint) => coins.has(outpoint)))
      .flatMap(({ charges }) => charges.filter((charge) => charge.account === account))
      .reduce((sum, { sats }) => sum + sats, later);
  }

  function isNoDeposit(outpoint: string): boolean {
    const known = statements.origin.get(outpoint);
    return known !== undefined && !isDeposit({ gained: known.gained !== 0n }, known.purpose);
  }

  function standing(vault: string): Standing {
    return standingOf(statements.notices.all(vault).map(heardNotice));
  }

  return (query, { now, height, paused }) => {
    const { intent, vaults } = query;
    const each = <Value>(value: (vault: string) => Value | null) => byVault(vaults, value);
    return {
      paused,
      now,
      height,
      related: related(query),
      charged: new Map(query.counts.map((count) => charged(count, { now, height, intent }))),
      indices: each((vault) => numberOf(statements.index.get(vault)?.highest)),
      standings: each(standing),
      userSpoke: each((vault) => numberOf(statements.userSpoke.get(vault)?.height)),
      drawn: each((vault) => drawn(vault, query)),
      incoming: each((vault) => statements.incoming.all(vault, intent, intent)),
      accounts: each((vault) => accountFrom(statements.account.get(vault)?.document)),
      noDeposits: new Set(query.deposits.filter(isNoDeposit)),
      nonces: new Map(
        query.nonces.flatMap((nonce) => {
          const row = statements.nonce.get(nonce);
          return row === undefined ? [] : [[nonce, row.intent] as const];
        }),
      ),
    };
  };
}

/** All claims of an intent, whole. */
export function claimReader(db: Database.Database): (intent: string) => readonly Claim[] {
  const byIntent = db.prepare<[string], ClaimRow>("SELECT * FROM claims WHERE intent = ?");
  const charges = db.prepare<[string, string], Charge>(
    "SELECT account, sats FROM charges WHERE intent = ? AND txid = ? ORDER BY account",
  );
  const places = db.prepare<[string, string], PlaceRow>(
    `SELECT outpoint, vault, place, sats, gained FROM places
     WHERE intent = ? AND txid = ? ORDER BY outpoint`,
  );
  return (intent) =>
    byIntent.all(intent).map((row) => ({
      intent: row.intent,
      purpose: row.purpose,
      vault: row.vault,
      txid: row.txid,
      anchor: row.anchor,
      outpoints: JSON.parse(row.outpoints),
      charges: charges.all(row.intent, row.txid),
      places: places.all(row.intent, row.txid).map(placeOf),
      userSigned: row.user_signed !== 0n,
      fixed: row.fixed,
      nonces: JSON.parse(row.nonces),
      at: Number(row.at),
      height: Number(row.height),
    }));
}

function byVault<Value>(
  vaults: readonly string[],
  value: (vault: string) => Value | null,
): ReadonlyMap<string, Value> {
  return new Map(
    vaults.flatMap((vault) => {
      const found = value(vault);
      return found === null ? [] : [[vault, found] as const];
    }),
  );
}

function numberOf(value: bigint | null | undefined): number | null {
  return value === null || value === undefined ? null : Number(value);
}

function heardNotice({ text, height }: NoticeRow): HeardNotice {
  const notice = readNotice(text);
  if (notice === null) throw new JournalError("damaged", "the journal holds a notice that is none");
  return { notice, height: Number(height) };
}

function accountFrom(document: string | undefined): LastAccount | null {
  return document === undefined ? null : accountSchema.parse(JSON.parse(document));
}

function placeOf({ outpoint, vault, place, sats, gained }: PlaceRow): Place {
  return { outpoint, vault, index: Number(place), sats, gained: gained !== 0n };
}

interface ClaimRow {
  readonly intent: string;
  readonly txid: string;
  readonly purpose: string;
  readonly vault: string;
  readonly anchor: string;
  /** JSON: the inputs in their order. */
  readonly outpoints: string;
  readonly user_signed: bigint;
  readonly fixed: string;
  readonly nonces: string;
  readonly at: bigint;
  readonly height: bigint;
}

interface PlaceRow {
  readonly outpoint: string;
  readonly vault: string;
  readonly place: bigint;
  readonly sats: bigint;
  readonly gained: bigint;
}

interface NoticeRow {
  readonly text: string;
  readonly height: bigint;
}

interface IncomingRow {
  readonly intent: string;
  readonly outpoint: string;
  readonly sats: bigint;
}
