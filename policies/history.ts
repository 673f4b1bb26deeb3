/**
 * What a signer has signed before, as the law needs it. The journal answers from its tables;
 * `historyOf` answers the same from a list of claims, for `explain` and for tests.
 */
import { z } from "zod";
import { isOutpoint } from "./bitcoin/transaction.ts";
import type { SpendFacts } from "./facts.ts";
import type { SpendIntent } from "./intent.ts";
import type { Policy } from "./policy.ts";
import { type Bound, boundKey, boundsOf, type Charge } from "./velocity.ts";

/** One spend that a signer has bound itself to: written before the key was asked. */
export interface Claim {
  readonly intent: string;
  readonly purpose: string;
  readonly vault: string;
  readonly txid: string;
  /** First input of the intent's first transaction: all its transactions spend it (invariant 2). */
  readonly anchor: string;
  readonly outpoints: readonly string[];
  /** What it took out of which account of the windows; see velocity.ts. */
  readonly charges: readonly Charge[];
  /** Index of its change, or null. */
  readonly changeIndex: number | null;
  /** Milliseconds since 1970 by the signer's monotone clock. */
  readonly at: number;
  /** Height of the signer's chain view, which never falls. */
  readonly height: number;
}

/** The part of the history that bears on one spend. */
export interface History {
  readonly paused: boolean;
  /** Highest height that the signer has seen; 0 when it has seen none. */
  readonly height: number;
  /** Claims that share an outpoint or the intent with this spend. */
  readonly related: readonly Claim[];
  /** Sats that other intents have charged to each window asked for, by `boundKey`. */
  readonly charged: ReadonlyMap<string, bigint>;
  /** Highest change index signed for this vault; -1 when there was none. */
  readonly changeIndex: number;
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

const outpointText = z.string().refine(isOutpoint, { message: "is no outpoint txid:vout" });

/** The history document, format `ballast/history@1`: a journal's claims for `explain`. */
export const historySchema = z.strictObject({
  format: z.literal("ballast/history@1"),
  paused: z.boolean(),
  height: z.int().nonnegative(),
  claims: z.array(
    z.strictObject({
      intent: z.string().regex(/^[0-9a-f]{64}$/),
      purpose: z.string(),
      vault: z.string().regex(/^[0-9a-f]{40}$/),
      txid: z.string().regex(/^[0-9a-f]{64}$/),
      anchor: outpointText,
      outpoints: z.array(outpointText).min(1),
      charges: z.array(
        z.strictObject({
          account: z.string().min(1).max(200),
          sats: z
            .union([z.int().nonnegative(), z.string().regex(/^[0-9]{1,16}$/)])
            .transform(BigInt),
        }),
      ),
      changeIndex: z.int().nonnegative().nullable(),
      at: z.int().nonnegative(),
      height: z.int().nonnegative(),
    }),
  ),
});

export type HistoryDocument = z.output<typeof historySchema>;

export const NO_HISTORY: HistoryDocument = {
  format: "ballast/history@1",
  paused: false,
  height: 0,
  claims: [],
};

export interface HistoryQuery {
  readonly intent: string;
  readonly vault: string;
  readonly outpoints: readonly string[];
  /** The windows to be summed. */
  readonly bounds: readonly Pick<Bound, "account" | "hours">[];
  /** Monotone milliseconds and height at which the spend is judged. */
  readonly now: number;
  readonly height: number;
}

/** What a spend of this intent and these facts asks of the history. */
export function historyQuery(
  facts: SpendFacts,
  intent: SpendIntent,
  policy: Policy,
  at: Pick<HistoryQuery, "now" | "height">,
): HistoryQuery {
  return {
    ...at,
    intent: intent.id,
    vault: intent.vault,
    outpoints: facts.inputs.map(({ outpoint }) => outpoint),
    bounds: boundsOf(facts, intent, policy),
  };
}

/** The history that bears on a spend, from all claims. */
export function historyOf(document: HistoryDocument, query: HistoryQuery): History {
  const outpoints = new Set(query.outpoints);
  const height = Math.max(document.height, query.height);
  const { claims } = document;
  const others = claims.filter(({ intent }) => intent !== query.intent);
  const sum = (some: readonly Claim[], account: string): bigint =>
    some
      .flatMap(({ charges }) => charges)
      .reduce((total, charge) => (charge.account === account ? total + charge.sats : total), 0n);
  return {
    paused: document.paused,
    height,
    related: claims.filter(
      (claim) =>
        claim.intent === query.intent ||
        claim.outpoints.some((outpoint) => outpoints.has(outpoint)),
    ),
    charged: new Map(
      query.bounds.map(({ account, hours }) => {
        const recent = others.filter(({ at }) => at > query.now - hours * HOUR_MS);
        const above = others.filter((claim) => claim.height > height - hours * BLOCKS_PER_HOUR);
        const byClock = sum(recent, account);
        const byHeight = sum(above, account);
        // A clock that jumps ahead, or blocks that come fast, must not reopen a window.
        // biome-ignore lint/complexity/useMathMinMax: Math.max takes no bigint.
        return [boundKey({ account, hours }), byClock > byHeight ? byClock : byHeight];
      }),
    ),
    changeIndex: claims
      .filter(({ vault }) => vault === query.vault)
      .reduce((highest, { changeIndex }) => Math.max(highest, changeIndex ?? -1), -1),
  };
}
