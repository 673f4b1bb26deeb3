/** What stands in the store and on the chain at the moment of a look, as gauges. */

import type { Chain } from "../io/chain.ts";
import type { Clock } from "../io/clock.ts";
import type { Db, Store } from "../io/store.ts";
import { lastScanned } from "../spend/blocks.ts";
import { INTENT_STATES } from "../tables/schema.ts";
import { backlogOf } from "../webhooks/backlog.ts";
import type { Health } from "./health.ts";

export interface Reading {
  readonly name: string;
  readonly help: string;
  readonly values: readonly Value[];
}

export interface Value {
  readonly labels: Readonly<Record<string, string>>;
  /** A float: exact below 2^53, which is more sats than there are. */
  readonly value: number;
}

export interface ReadingParts {
  readonly store: Store;
  readonly chain: Chain;
  readonly clock: Clock;
  readonly health: Health;
}

export async function readingsOf(parts: ReadingParts): Promise<readonly Reading[]> {
  const { db } = parts.store;
  return [
    ...(await healthReadings(parts.health)),
    ...(await chainReadings(parts)),
    gauge("ballast_deposits", "Deposits, by state", await deposits(db)),
    gauge("ballast_intents", "Spends, by state", await intents(db)),
    gauge(
      "ballast_owed",
      "What accounts are owed, by currency in its smallest unit",
      await owed(db),
    ),
    ...(await webhookReadings(parts)),
  ];
}

function gauge(name: string, help: string, values: readonly Value[]): Reading {
  return { name, help, values };
}

const plain = (value: number): readonly Value[] => [{ labels: {}, value }];

async function healthReadings(health: Health): Promise<readonly Reading[]> {
  const { components } = await health.report();
  const grades = { ok: 1, degraded: 0.5, down: 0 };
  const values = Object.entries(components).map(([component, { status }]) => ({
    ...{ labels: { component }, value: grades[status] },
  }));
  return [gauge("ballast_component", "1: well, 0.5: degraded, 0: down", values)];
}

/** A node that hangs must not hold up the look; the health check says that it does. */
const TIP_MS_MAX = 500;

async function chainReadings({ store, chain }: ReadingParts): Promise<readonly Reading[]> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), TIP_MS_MAX);
  });
  const tip = await Promise.race([chain.tip().catch(() => null), late]);
  clearTimeout(timer);
  const scanned = (await lastScanned(store.db))?.height ?? 0;
  const lag = tip === null ? [] : plain(Math.max(0, tip.height - scanned));
  return [
    gauge("ballast_chain_height", "Of the node", tip === null ? [] : plain(tip.height)),
    gauge("ballast_scanned_height", "The last block that was scanned", plain(scanned)),
    gauge("ballast_chain_lag_blocks", "Blocks that are not scanned yet", lag),
  ];
}

async function deposits(db: Db): Promise<readonly Value[]> {
  const rows = await db
    .selectFrom("coins")
    .where("kind", "=", "deposit")
    .select((builder) => ["state", builder.fn.countAll<bigint>().as("count")])
    .groupBy("state")
    .execute();
  return rows.map(({ state, count }) => ({ labels: { state }, value: Number(count) }));
}

async function intents(db: Db): Promise<readonly Value[]> {
  const rows = await db
    .selectFrom("intents")
    .select((builder) => ["state", builder.fn.countAll<bigint>().as("count")])
    .groupBy("state")
    .execute();
  const counts = new Map<string, number>(rows.map(({ state, count }) => [state, Number(count)]));
  return INTENT_STATES.map((state) => ({ labels: { state }, value: counts.get(state) ?? 0 }));
}

async function owed(db: Db): Promise<readonly Value[]> {
  const rows = await db
    .selectFrom("balances")
    .where("account", "like", "user/%")
    .select((builder) => ["currency", builder.fn.sum<bigint>("amount").as("sum")])
    .groupBy("currency")
    .execute();
  return rows.map(({ currency, sum }) => ({ labels: { currency }, value: Number(sum) }));
}

async function webhookReadings({ store, clock }: ReadingParts): Promise<readonly Reading[]> {
  const { waiting, dead, oldestWaitingAt } = await backlogOf(store.db);
  const ageMs = oldestWaitingAt === null ? 0n : clock() - oldestWaitingAt;
  return [
    gauge("ballast_webhook_queue", "Deliveries that are not done", [
      { labels: { state: "waiting" }, value: Number(waiting) },
      { labels: { state: "dead" }, value: Number(dead) },
    ]),
    gauge(
      "ballast_webhook_oldest_seconds",
      "Since the oldest event that waits happened",
      plain(Number(ageMs) / 1_000),
    ),
  ];
}
