/**
 * What a signer has signed and heard before, as the law needs it. The journal answers from its
 * tables; `historyOf` answers the same from a document, for `explain` and for tests.
 */
import { z } from "zod";
import type { ChainView } from "./chain-view.ts";
import { type Claim, cancelNonce, claimSchema, isDeposit, noncesOf, placesOf } from "./claim.ts";
import type { Policy } from "./document/policy.ts";
import type { Remembered } from "./evidence/account-log.ts";
import { type Notice, readNotice } from "./evidence/notice.ts";
import { accountSchema } from "./evidence/remembered.ts";
import { type Standing, standingOf } from "./evidence/standing.ts";
import type { EvidenceFacts } from "./evidence.ts";
import type { SpendFacts } from "./facts.ts";
import { flowsOf } from "./flows.ts";
import type { SpendIntent } from "./intent.ts";
import { greater } from "./money.ts";
import { boundKey, type Count, countsOf, drawnAccount } from "./velocity.ts";

export type { Claim };

/** The part of the history that bears on one spend. */
export interface History {
  readonly paused: boolean;
  /** Milliseconds since 1970 by the signer's monotone clock. */
  readonly now: number;
  /** Highest height that the signer has seen; 0 when it has seen none. */
  readonly height: number;
  /** All claims of this intent, of the intent that it cancels, and of those that share a coin. */
  readonly related: readonly Claim[];
  /** Sats that other intents have charged to each window asked for, by `boundKey`. */
  readonly charged: ReadonlyMap<string, bigint>;
  /** By vault: the highest index signed for it; absent when there was none. */
  readonly indices: ReadonlyMap<string, number>;
  /** By vault: what the user has said outside of any spend. */
  readonly standings: ReadonlyMap<string, Standing>;
  /** By vault: the height of the last spend that the user had signed; absent when there was none. */
  readonly userSpoke: ReadonlyMap<string, number>;
  /** By vault: sats of its claim that other intents have signed away and the statement does not know. */
  readonly drawn: ReadonlyMap<string, bigint>;
  /** By vault: what other intents' transactions pay it that this signer has signed, still unspent. */
  readonly incoming: ReadonlyMap<string, readonly Incoming[]>;
  /** By vault: the account that this signer last acted on. */
  readonly accounts: ReadonlyMap<string, LastAccount>;
  /** Of the outpoints that logs credit as deposits: what this signer knows to be none. */
  readonly noDeposits: ReadonlySet<string>;
  /** By nonce: the intent that has used it. */
  readonly nonces: ReadonlyMap<string, string>;
}

export interface Incoming {
  readonly intent: string;
  readonly outpoint: string;
  readonly sats: bigint;
}

export interface LastAccount {
  readonly account: Remembered;
  /** The last statement that served a spend without the user, and which; null before the first. */
  readonly used: { readonly index: number; readonly intent: string } | null;
}

/** Six blocks stand for an hour in the clock-free count (architecture, invariant 4). */
export const BLOCKS_PER_HOUR = 6;
export const HOUR_MS = 3_600_000;

/**
 * How far a wall clock is believed ahead of the chain's median time. That lags an hour behind, three
 * when blocks are slow. A clock that was wrong once must not close the windows for years; and how
 * early it could open one is bounded by the count of blocks.
 */
const CLOCK_LEAD_MS = 6 * HOUR_MS;

/** The signer's clock: it never falls, and no machine's clock can throw it far ahead. */
export function nextClock(clock: {
  readonly before: number;
  readonly wall: number;
  readonly medianTime: number;
}): number {
  const believed = Math.min(clock.wall, clock.medianTime + CLOCK_LEAD_MS);
  return Math.max(clock.before, believed, clock.medianTime);
}

const noticeText = z.string().transform((text, context): Notice => {
  const notice = readNotice(text);
  if (notice !== null) return notice;
  context.addIssue({ code: "custom", message: "is no notice" });
  return z.NEVER;
});

/** The history document, format `ballast/history@1`: a journal's memory for `explain`. */
export const historySchema = z.strictObject({
  format: z.literal("ballast/history@1"),
  paused: z.boolean(),
  height: z.int().nonnegative(),
  claims: z.array(claimSchema),
  /** In the order in which they were heard. */
  notices: z.array(z.strictObject({ text: noticeText, height: z.int().nonnegative() })).default([]),
  accounts: z.array(accountSchema).default([]),
});

export type HistoryDocument = z.output<typeof historySchema>;

export const NO_HISTORY: HistoryDocument = {
  format: "ballast/history@1",
  paused: false,
  height: 0,
  claims: [],
  notices: [],
  accounts: [],
};

/** What a spend asks of the history. */
export interface HistoryQuery {
  readonly intent: string;
  readonly cancels: string | null;
  readonly outpoints: readonly string[];
  /** The windows to be summed. */
  readonly counts: readonly Count[];
  /** Every vault that the spend or its proofs touch. */
  readonly vaults: readonly string[];
  /** What the statement knows of each account: claims that spend these coins came after it. */
  readonly statement: {
    readonly height: number;
    readonly coins: ReadonlyMap<string, readonly string[]>;
  } | null;
  /** Outpoints that the logs credit as deposits. */
  readonly deposits: readonly string[];
  readonly nonces: readonly string[];
}

interface Asked {
  readonly facts: SpendFacts;
  readonly intent: SpendIntent;
  readonly policy: Policy;
  readonly evidence: EvidenceFacts;
  readonly chain: ChainView | null;
}

export function historyQuery(spend: Asked): HistoryQuery {
  const { facts, intent, policy, evidence } = spend;
  const touched = [
    intent.vault,
    ...intent.parties,
    ...flowsOf(facts).vaults.map(({ vault }) => vault),
    ...placesOf(facts).map(({ vault }) => vault),
    // Whose operation it is need not be whose coins they are: the treasury locks for accounts.
    ...evidence.operations.map(({ vault }) => vault),
  ];
  const vaults = new Set(touched);
  const { statement } = evidence;
  return {
    intent: intent.id,
    cancels: intent.cancels,
    outpoints: [
      ...facts.inputs.map(({ outpoint }) => outpoint),
      // A true-up is refused while a credited coin is in flight in this journal.
      ...(statement?.accounts ?? []).flatMap(({ vault, outpoints }) =>
        vaults.has(vault) ? outpoints : [],
      ),
      ...escrowCoins(spend),
    ],
    counts: countsOf(facts, intent, policy),
    vaults: [...vaults],
    statement:
      statement === null
        ? null
        : {
            height: statement.header.height,
            coins: new Map(statement.accounts.map(({ vault, outpoints }) => [vault, outpoints])),
          },
    deposits: evidence.logs.flatMap(({ vault, entries }) =>
      (vaults.has(vault) ? entries : []).flatMap(({ kind, reference }) =>
        kind === "deposit" ? reference : [],
      ),
    ),
    nonces: [...noncesOf({ intent, evidence }), cancelNonce(intent.id)],
  };
}

/** What is left in escrow is what no other spend of this journal takes. */
function escrowCoins({ facts, intent, chain }: Asked): readonly string[] {
  if (intent.purpose !== "escrow-out" || chain === null) return [];
  return flowsOf(facts)
    .vaults.filter(({ kind }) => kind === "escrow")
    .flatMap(({ vault }) => chain.vaults.get(vault) ?? [])
    .map(({ outpoint }) => outpoint);
}

/** When a spend is judged: monotone milliseconds and height. */
export interface Moment {
  readonly now: number;
  readonly height: number;
}

/** The history that bears on a spend, from a document. */
export function historyOf(document: HistoryDocument, query: HistoryQuery, moment: Moment): History {
  const height = Math.max(document.height, moment.height);
  const others = document.claims.filter(({ intent }) => intent !== query.intent);
  const byVault = <Value>(value: (vault: string) => Value | null) =>
    new Map(
      query.vaults.flatMap((vault) => {
        const found = value(vault);
        return found === null ? [] : [[vault, found] as const];
      }),
    );
  return {
    paused: document.paused,
    now: moment.now,
    height,
    related: relatedClaims(document.claims, query),
    charged: chargedBy(others, query.counts, { now: moment.now, height }),
    indices: byVault((vault) => highest(document.claims, vault)),
    standings: byVault((vault) =>
      standingOf(
        document.notices
          .map(({ text, height: at }) => ({ notice: text, height: at }))
          .filter(({ notice }) => notice.vault === vault),
      ),
    ),
    userSpoke: byVault((vault) => lastUserSpend(document.claims, vault)),
    drawn: byVault((vault) => drawnSince(others, vault, query.statement)),
    incoming: byVault((vault) => incomingTo(others, vault)),
    accounts: byVault(
      (vault) => document.accounts.find(({ account }) => account.vault === vault) ?? null,
    ),
    noDeposits: noDepositsOf(document.claims, query.deposits),
    nonces: new Map(
      document.claims.flatMap(({ nonces, intent }) =>
        nonces.filter((nonce) => query.nonces.includes(nonce)).map((nonce) => [nonce, intent]),
      ),
    ),
  };
}

function noDepositsOf(claims: readonly Claim[], deposits: readonly string[]): ReadonlySet<string> {
  const credited = new Set(deposits);
  const places = claims.flatMap(({ purpose, places: own }) =>
    own.filter((place) => !isDeposit(place, purpose)),
  );
  return new Set(places.map(({ outpoint }) => outpoint).filter((id) => credited.has(id)));
}

/** All claims of an intent count, if one of them shares a coin. */
function relatedClaims(claims: readonly Claim[], query: HistoryQuery): readonly Claim[] {
  const wanted = new Set(query.outpoints);
  const intents = new Set(
    claims.flatMap(({ intent, outpoints }) =>
      outpoints.some((outpoint) => wanted.has(outpoint)) ? intent : [],
    ),
  );
  return claims.filter(
    ({ intent }) => intent === query.intent || intent === query.cancels || intents.has(intent),
  );
}

function chargedBy(
  claims: readonly Claim[],
  counts: readonly Count[],
  { now, height }: Moment,
): ReadonlyMap<string, bigint> {
  return new Map(
    counts.map(({ account, hours }) => {
      const byClock = sum(
        claims.filter(({ at }) => at > now - hours * HOUR_MS),
        account,
      );
      const byHeight = sum(
        claims.filter((claim) => claim.height > height - hours * BLOCKS_PER_HOUR),
        account,
      );
      // A clock that jumps ahead, or blocks that come fast, must not reopen a window.
      return [boundKey({ account, hours }), greater(byClock, byHeight)];
    }),
  );
}

function sum(claims: readonly Claim[], account: string): bigint {
  return claims
    .flatMap(({ charges }) => charges)
    .reduce((total, charge) => (charge.account === account ? total + charge.sats : total), 0n);
}

function highest(claims: readonly Claim[], vault: string): number | null {
  const indices = claims.flatMap(({ places }) =>
    places.flatMap((place) => (place.vault === vault ? place.index : [])),
  );
  return indices.length === 0 ? null : Math.max(...indices);
}

function lastUserSpend(claims: readonly Claim[], vault: string): number | null {
  const heights = claims.flatMap((claim) =>
    claim.userSigned && claim.vault === vault ? claim.height : [],
  );
  return heights.length === 0 ? null : Math.max(...heights);
}

/**
 * A claim is not in the statement yet if it spends a coin that the statement still counts, or was
 * signed at the statement's height or later.
 */
function drawnSince(
  claims: readonly Claim[],
  vault: string,
  statement: HistoryQuery["statement"],
): bigint {
  const coins = new Set(statement?.coins.get(vault));
  const unknown = claims.filter(
    (claim) =>
      statement === null ||
      claim.height >= statement.height ||
      claim.outpoints.some((outpoint) => coins.has(outpoint)),
  );
  return sum(unknown, drawnAccount(vault));
}

function incomingTo(claims: readonly Claim[], vault: string): readonly Incoming[] {
  const spent = new Set(claims.flatMap(({ outpoints }) => outpoints));
  return claims.flatMap(({ intent, places }) =>
    places.flatMap((place) =>
      place.vault === vault && place.gained && !spent.has(place.outpoint)
        ? [{ intent, outpoint: place.outpoint, sats: place.sats }]
        : [],
    ),
  );
}
