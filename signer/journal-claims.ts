/**
 * Writes a claim: coins, charges, places, what is used up and what is remembered, all or nothing; and
 * takes back one that came to nothing.
 */
import type Database from "better-sqlite3";
import type { ClaimContent } from "../policies/claim.ts";
import type { LastAccount } from "../policies/history.ts";
import { greater } from "../policies/money.ts";
import { JournalError } from "./journal-file.ts";

export interface NewClaim {
  readonly content: ClaimContent;
  /** Accounts that the spend rests on: what is remembered of them from now on. */
  readonly accounts: readonly LastAccount[];
  /** Intents whose coins it takes over. */
  readonly takes: readonly string[];
  readonly at: number;
  readonly height: number;
  /** Hash of the policy in force. */
  readonly policy: string;
}

/** Inside a transaction of the caller's. */
export function claimWriter(db: Database.Database): (claim: NewClaim) => void {
  // A claim whose signature has not left yet is charged when it is asked for again: what leaves late
  // leaves in that window (invariant 4).
  const again = `UPDATE SET at = excluded.at, height = excluded.height
    WHERE NOT EXISTS (SELECT 1 FROM signatures WHERE signatures.txid = excluded.txid)`;
  const statements = {
    anchor: db.prepare<[string], { anchor: string }>(
      "SELECT anchor FROM claims WHERE intent = ? LIMIT 1",
    ),
    claim: db.prepare(
      `INSERT INTO claims VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (intent, txid) DO ${again}`,
    ),
    chargedBefore: db.prepare<[string, string, string], { sats: bigint }>(
      `SELECT coalesce(sum(sats), 0) AS sats FROM charges
       WHERE account = ? AND intent = ? AND txid <> ?`,
    ),
    charge: db.prepare(
      `INSERT INTO charges VALUES (?, ?, ?, ?, ?, ?)
       ON CONFLICT (account, intent, txid) DO ${again}`,
    ),
    place: db.prepare("INSERT INTO places VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"),
    outpoint: db.prepare("INSERT INTO outpoints VALUES (?, ?) ON CONFLICT DO NOTHING"),
    others: db.prepare<[string, string], { intent: string }>(
      "SELECT intent FROM outpoints WHERE outpoint = ? AND intent <> ?",
    ),
    take: db.prepare("INSERT INTO takes VALUES (?, ?) ON CONFLICT DO NOTHING"),
    taken: db.prepare<[string, string, string, string], { n: bigint }>(
      `SELECT count(*) AS n FROM takes
       WHERE (intent = ? AND taken = ?) OR (intent = ? AND taken = ?)`,
    ),
    nonce: db.prepare("INSERT INTO nonces VALUES (?, ?) ON CONFLICT DO NOTHING"),
    account: db.prepare(
      `INSERT INTO accounts VALUES (?, ?, ?)
       ON CONFLICT (vault) DO UPDATE SET document = excluded.document, sequence = excluded.sequence
       WHERE excluded.sequence >= accounts.sequence`,
    ),
    accountBefore: db.prepare<[string], { document: string }>(
      "SELECT document FROM accounts WHERE vault = ?",
    ),
  };

  function bindCoins({ intent, outpoints }: ClaimContent, takes: readonly string[]): void {
    for (const taken of takes) statements.take.run(intent, taken);
    for (const outpoint of outpoints) {
      statements.outpoint.run(outpoint, intent);
      // The rule coins-unclaimed has refused a coin of another intent; this is the second lock.
      for (const other of statements.others.all(outpoint, intent)) {
        const known = statements.taken.get(intent, other.intent, other.intent, intent);
        if ((known?.n ?? 0n) > 0n) continue;
        throw new JournalError("damaged", `BUG: ${outpoint} would belong to two intents`);
      }
    }
  }

  function remember({ account, used }: LastAccount): void {
    const before = statements.accountBefore.get(account.vault)?.document;
    const last = before === undefined ? null : (JSON.parse(before) as LastAccount).used;
    const { vault, hedgedCents, poolMsats, channelCents, idleSats, sequence, log } = account;
    const document = {
      account: {
        vault,
        hedgedCents: String(hedgedCents),
        poolMsats: String(poolMsats),
        channelCents: String(channelCents),
        idleSats: String(idleSats),
        sequence,
        log,
      },
      used: used ?? last,
    };
    statements.account.run(vault, JSON.stringify(document), sequence);
  }

  function bindClaim({ content, at, height, policy }: NewClaim): void {
    const { intent, txid } = content;
    statements.claim.run(
      intent,
      txid,
      content.purpose,
      content.vault,
      statements.anchor.get(intent)?.anchor ?? content.anchor,
      JSON.stringify(content.outpoints),
      content.userSigned ? 1 : 0,
      content.fixed,
      JSON.stringify(content.nonces),
      at,
      height,
      policy,
    );
    for (const { account, sats } of content.charges) {
      // A second transaction of an intent replaces the first: it is charged what it takes more.
      const before = statements.chargedBefore.get(account, intent, txid)?.sats ?? 0n;
      const more = greater(sats - before, 0n);
      statements.charge.run(account, intent, txid, more, at, height);
    }
  }

  return (claim) => {
    const { intent, txid, places, nonces } = claim.content;
    bindClaim(claim);
    for (const { outpoint, vault, index, sats, gained } of places) {
      statements.place.run(outpoint, intent, txid, vault, index, sats, gained ? 1 : 0);
    }
    for (const nonce of nonces) statements.nonce.run(nonce, intent);
    bindCoins(claim.content, claim.takes);
    for (const account of claim.accounts) remember(account);
  };
}

/**
 * Takes back one transaction of an intent, of which no signature exists: its charges and places, and
 * what no other transaction of the intent holds. A bump was charged only what it takes more, so it
 * takes over the charges of what it replaces (invariant 4). What is remembered of accounts stays, for
 * that only moves forward. Inside a transaction of the caller's.
 */
export function claimEraser(
  db: Database.Database,
): (claim: Pick<ClaimContent, "intent" | "txid">) => void {
  const ofClaim = ["claims", "charges", "places"].map((table) =>
    db.prepare<[string, string]>(`DELETE FROM ${table} WHERE intent = ? AND txid = ?`),
  );
  const inherit = db.prepare<[string, string]>(
    `INSERT INTO charges
     SELECT charges.account, later.intent, later.txid, charges.sats, later.at, later.height
     FROM claims AS gone
     JOIN charges ON charges.intent = gone.intent AND charges.txid = gone.txid
     JOIN claims AS later ON later.rowid = (
       SELECT rowid FROM claims WHERE intent = gone.intent AND (at, rowid) > (gone.at, gone.rowid)
       ORDER BY at, rowid LIMIT 1
     )
     WHERE gone.intent = ? AND gone.txid = ?
     ON CONFLICT (account, intent, txid) DO UPDATE SET sats = sats + excluded.sats`,
  );
  const outpoints = db.prepare<[string, string]>(
    `DELETE FROM outpoints WHERE intent = ? AND outpoint NOT IN (
       SELECT json_each.value FROM claims, json_each(claims.outpoints) WHERE claims.intent = ?
     )`,
  );
  const others = db.prepare<[string], { n: bigint }>(
    "SELECT count(*) AS n FROM claims WHERE intent = ?",
  );
  const ofIntent = ["nonces", "takes"].map((table) =>
    db.prepare<[string]>(`DELETE FROM ${table} WHERE intent = ?`),
  );
  return ({ intent, txid }) => {
    inherit.run(intent, txid);
    for (const statement of ofClaim) statement.run(intent, txid);
    outpoints.run(intent, intent);
    if ((others.get(intent)?.n ?? 0n) > 0n) return;
    for (const statement of ofIntent) statement.run(intent);
  };
}
