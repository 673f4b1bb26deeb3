/**
 * The role that keeps prices fresh, and the record of what was believed when: whoever audits a
 * credit finds the price of its minute. A price is of use before it is written, and also when it
 * cannot be.
 */
import type { Clock } from "../io/clock.ts";
import type { Db, Row, Store } from "../io/store.ts";
import type { Role } from "../role.ts";
import type { CurrencyReport, PriceFeed } from "./feed.ts";
import type { TrustedPrice } from "./prices.ts";

export interface PriceKeeping {
  readonly store: Store;
  readonly clock: Clock;
}

export interface PriceRhythm {
  /** Null: no prices are configured, and there is nothing to do. */
  readonly feed: PriceFeed | null;
  readonly everyMs: number;
}

const RECORD_EVERY_MS = 60_000n;

export function pricesRole({ store, clock }: PriceKeeping, { feed, everyMs }: PriceRhythm): Role {
  let askedAt: bigint | null = null;
  const written = new Map<string, Written>();

  /** Also when the clock was put back: else nobody would ask until it has caught up. */
  function isDue(now: bigint): boolean {
    return askedAt === null || now < askedAt || now - askedAt >= BigInt(everyMs);
  }

  return {
    name: "prices",
    async step() {
      const now = clock();
      if (feed === null || !isDue(now)) return "idle";
      askedAt = now;
      await feed.refresh();
      for (const report of feed.report()) {
        const before = written.get(report.currency) ?? NOTHING_WRITTEN;
        written.set(report.currency, await record(store.db, report, before));
      }
      return "idle";
    },
  };
}

interface Written {
  readonly acceptedAt: bigint | null;
  readonly quarantineSince: bigint | null;
}

const NOTHING_WRITTEN: Written = { acceptedAt: null, quarantineSince: null };

async function record(
  db: Db,
  { trusted, quarantine }: CurrencyReport,
  before: Written,
): Promise<Written> {
  if (quarantine !== null) {
    if (before.quarantineSince === quarantine.since) return before;
    await write(db, "quarantined", quarantine.wanted);
    return { ...before, quarantineSince: quarantine.since };
  }
  if (trusted === null) return before;
  const { acceptedAt } = before;
  const due = acceptedAt === null || trusted.at < acceptedAt;
  if (!due && trusted.at - acceptedAt < RECORD_EVERY_MS) return before;
  await write(db, "accepted", trusted);
  return { ...before, acceptedAt: trusted.at };
}

async function write(db: Db, kind: Row<"prices">["kind"], trusted: TrustedPrice): Promise<void> {
  const { currency, at, price } = trusted;
  const sources = JSON.stringify(trusted.sources);
  await db.insertInto("prices").values({ currency, at, kind, price, sources }).execute();
}
