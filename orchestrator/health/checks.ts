/** What is looked at, part by part, and what is wrong when it is. */

import type { Network } from "../../policies/bitcoin/network.ts";
import type { SignerCard } from "../api/status.ts";
import type { Chain, ChainTip } from "../io/chain.ts";
import type { Clock } from "../io/clock.ts";
import type { Db, Store } from "../io/store.ts";
import type { Prices } from "../prices/prices.ts";
import type { RunningRoles } from "../role.ts";
import { lastScanned } from "../spend/blocks.ts";
import { backlogOf } from "../webhooks/backlog.ts";
import { type Check, type Finding, findingOf, fine } from "./health.ts";

export interface CheckParts {
  readonly store: Store;
  readonly chain: Chain;
  readonly clock: Clock;
  readonly network: Network;
  readonly describeSigner: () => Promise<SignerCard>;
  readonly running: RunningRoles;
  /** Left out where nobody is asked for prices. */
  readonly prices?: Prices | undefined;
}

/** On mainnet blocks are ten minutes apart: once in some 160,000 it takes two hours. */
const TIP_AGE_MS_MAX = 2n * 3_600_000n;
/** A price rests on answers of the last minute; after this it is about to be none. */
const PRICE_AGE_MS_MAX = 60_000n;
/** Back-off included, what an endpoint can take goes out well before. */
const WAITING_MS_MAX = 15n * 60_000n;

export function checksOf(parts: CheckParts): readonly Check[] {
  const { prices } = parts;
  return [
    { name: "node", look: nodeLook(parts) },
    { name: "store", look: () => storeFinding(parts.store) },
    { name: "signer", look: async () => signerFinding(await parts.describeSigner()) },
    { name: "roles", look: () => rolesFinding(parts.running.faults()) },
    { name: "webhooks", look: () => webhooksFinding(parts) },
    ...(prices === undefined
      ? []
      : [{ name: "price", look: () => priceFinding(prices, parts.clock()) }]),
  ];
}

function nodeLook({ chain, store, clock, network }: CheckParts): () => Promise<Finding> {
  let newest: { readonly hash: string; readonly at: bigint } | null = null;
  return async () => {
    const tip = await chain.tip();
    const now = clock();
    if (newest?.hash !== tip.hash) newest = { hash: tip.hash, at: now };
    const behind = backlog(tip, (await lastScanned(store.db))?.height ?? null);
    if (behind !== null) return findingOf("degraded", { wrong: [behind], ready: false });
    // Elsewhere nobody mines by the clock.
    const ageMs = network === "bitcoin" ? now - newest.at : 0n;
    const old = `no new block for ${ageMs / 60_000n} minutes`;
    return findingOf("degraded", { wrong: ageMs > TIP_AGE_MS_MAX ? [old] : [], ready: true });
  };
}

/** A block found this moment is being scanned; two are a backlog. */
function backlog({ height }: ChainTip, scanned: number | null): string | null {
  return scanned !== null && scanned >= height - 1
    ? null
    : `scanned up to block ${scanned ?? "none"} of ${height}`;
}

/** Takes the lock that writers take, and changes nothing. */
async function storeFinding(store: Store): Promise<Finding> {
  await store.transaction((db: Db) =>
    db.updateTable("balances").set({ amount: 0n }).where("account", "=", "").execute(),
  );
  return fine();
}

function signerFinding({ paused }: SignerCard): Finding {
  return findingOf("degraded", { wrong: paused ? ["the signer is paused"] : [], ready: true });
}

function rolesFinding(faults: ReturnType<RunningRoles["faults"]>): Finding {
  const wrong = [...faults].flatMap(([name, fault]) =>
    fault === null ? [] : [`role ${name}: ${fault}`],
  );
  return findingOf("down", { wrong, ready: false });
}

async function webhooksFinding({ store, clock }: CheckParts): Promise<Finding> {
  const { dead, oldestWaitingAt } = await backlogOf(store.db);
  const waitedMs = oldestWaitingAt === null ? 0n : clock() - oldestWaitingAt;
  const wrong = [
    ...(dead > 0n ? [`${dead} dead letters`] : []),
    ...(waitedMs > WAITING_MS_MAX ? [`a webhook waits for ${waitedMs / 60_000n} minutes`] : []),
  ];
  return findingOf("degraded", { wrong, ready: true });
}

function priceFinding(prices: Prices, now: bigint): Finding {
  const price = prices.latest("USD");
  if (price === null) {
    return findingOf("down", { wrong: ["no price in dollars can be trusted"], ready: true });
  }
  const ageMs = now - price.at;
  const old = `the price is ${ageMs / 1_000n} seconds old`;
  return findingOf("degraded", { wrong: ageMs > PRICE_AGE_MS_MAX ? [old] : [], ready: true });
}
