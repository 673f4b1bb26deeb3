/** Puts the orchestrator together: store, node, signer, roles and API. `main.ts` runs it. */
import { randomInt, randomUUID } from "node:crypto";
import { openBitcoind } from "../signer/node/bitcoind.ts";
import type { Hears, Registers, Signer } from "../signer/signer.ts";
import { openAccounts } from "./accounts/accounts.ts";
import { openScripts } from "./accounts/scripts.ts";
import { stabiliseRole } from "./accounts/stabilise.ts";
import { type ApiParts, serveApi } from "./api/server.ts";
import type { SignerCard } from "./api/status.ts";
import { noticesRole } from "./ceremony/notices.ts";
import { ceremoniesRole } from "./ceremony/watch.ts";
import { type OrchestratorConfig, type RoleName, storeOf } from "./config.ts";
import { openMetrics } from "./health/metrics.ts";
import { type Chain, openChain } from "./io/chain.ts";
import { pollHints } from "./io/chain-follow.ts";
import type { Clock } from "./io/clock.ts";
import { openEsplora } from "./io/esplora.ts";
import { leased } from "./io/lease.ts";
import { openStoreAt } from "./io/store-place.ts";
import type { Log } from "./log.ts";
import { openPrices } from "./prices/feed.ts";
import { pricesRole } from "./prices/history.ts";
import { type Role, runRoles } from "./role.ts";
import { broadcastRole } from "./spend/broadcast.ts";
import { openCombiner } from "./spend/combiner.ts";
import { confirmRole } from "./spend/confirm.ts";
import { depositsRole } from "./spend/deposits.ts";
import { mempoolRole } from "./spend/mempool.ts";
import { reserveRole } from "./spend/reserve.ts";
import { signRole } from "./spend/sign.ts";
import { type WebhookParts, webhooksRole } from "./webhooks/deliver.ts";
import { openSender } from "./webhooks/send.ts";
import type { Allowances } from "./webhooks/target.ts";

export interface OrchestratorOptions {
  readonly config: OrchestratorConfig;
  readonly signer: Signer & Registers & Hears;
  /** What the signer says of itself now, for the status page. */
  readonly describeSigner: () => Promise<SignerCard>;
  readonly token: string;
  readonly clock: Clock;
  readonly log: Log;
}

export interface Orchestrator {
  readonly url: string;
  /** Requests and steps under way end first. */
  readonly close: () => Promise<void>;
}

/** The own node's new block wakes all roles within a second, however long an idle one sleeps. */
const HINT_MS_MAX = 1_000;

export async function openOrchestrator(options: OrchestratorOptions): Promise<Orchestrator> {
  const { config, signer, clock, log } = options;
  const { network } = config;
  const { external: confirmations, own: ownConfirmations } = config.confirmations;
  const { place, by } = storeOf(config, process.env);
  log.info({ by }, "where the store is");
  const metrics = openMetrics();
  const store = metrics.store(await openStoreAt(place, { network, log }));
  const { chain, close: closeChain } = chainOf(config);
  const scripts = openScripts();
  const combiner = openCombiner();
  const feed = config.prices === undefined ? null : openPrices({ ...config.prices, clock, log });
  const shared = {
    ...{ store, chain, scripts, signer, combiner, clock, log, confirmations, network },
    // Nobody is asked for prices: deposits stay in sats.
    prices: feed ?? undefined,
  };
  const watching = { ...shared, depositMinSats: config.deposit_min_sats };
  const webhooks = webhooksOf(config, { ...shared, attempted: metrics.webhook });
  const roles: Readonly<Record<RoleName, Role>> = {
    deposits: depositsRole({
      ...{ ...watching, ownConfirmations, startHeight: config.scan_from },
      reorganised: metrics.reorganised,
    }),
    mempool: mempoolRole(watching),
    stabilise: stabiliseRole(shared),
    reserve: reserveRole({ ...shared, inputsMax: config.inputs_max }),
    sign: signRole(shared),
    broadcast: broadcastRole(shared),
    confirm: confirmRole(shared),
    ceremonies: ceremoniesRole(shared),
    notices: noticesRole(shared, signer),
    prices: pricesRole(shared, { feed, everyMs: config.prices?.every_ms ?? 0 }),
    webhooks,
  };
  // Several orchestrators may share one Postgres; a file has one by its nature.
  const holder = randomUUID();
  const leases =
    place.kind === "postgres"
      ? config.roles.map((name) =>
          leased(roles[name], { db: store.db, clock, holder, ms: config.lease_ms }),
        )
      : config.roles.map((name) => ({ role: roles[name], close: async () => undefined }));
  const running = runRoles(
    leases.map(({ role }) => metrics.role(role)),
    { log, paceMs: config.pace_ms },
  );
  // Somebody else's server is asked no more often than its roles are to.
  const paceMs = "esplora" in config.node ? config.pace_ms : Math.min(config.pace_ms, HINT_MS_MAX);
  const hints = pollHints(chain, { paceMs, onHint: running.wake });
  const closeRest = async () => {
    await hints.stop();
    await running.stop();
    // What cannot be given away ends by itself.
    await Promise.allSettled(leases.map(({ close }) => close()));
    await webhooks.rest();
    await combiner.close();
    closeChain();
    metrics.close();
    await store.close();
  };
  const parts: ApiParts = {
    ...shared,
    accounts: openAccounts(shared),
    fees: {
      least: config.fees.sat_per_vbyte_min,
      most: config.fees.sat_per_vbyte_max,
      targetBlocks: config.fees.target_blocks,
    },
    ceremonies: {
      hours: config.ceremonies.hours,
      remindersBps: config.ceremonies.reminders_bps,
    },
    token: options.token,
    dualControl: config.dual_control,
    limits: config.limits && {
      perAddress: config.limits.per_address,
      perToken: config.limits.per_token,
    },
    port: config.port,
    describeSigner: options.describeSigner,
    running,
    allowed: allowancesOf(config),
    metrics,
    metricsOpen: config.metrics.open,
  };
  try {
    const api = await serveApi(parts);
    return {
      url: api.url,
      close: async () => {
        await api.close();
        await closeRest();
      },
    };
  } catch (error) {
    await closeRest();
    throw error;
  }
}

function chainOf({ node, network }: OrchestratorConfig): {
  readonly chain: Chain;
  readonly close: () => void;
} {
  if ("esplora" in node) {
    return { chain: openEsplora({ url: node.esplora, network }), close: () => undefined };
  }
  const { url, cookie } = node;
  const rpc = openBitcoind({ url, ...(cookie !== undefined && { cookieFile: cookie }) });
  return { chain: openChain(rpc), close: rpc.close };
}

function webhooksOf(
  config: OrchestratorConfig,
  shared: Pick<WebhookParts, "store" | "clock" | "log" | "attempted">,
) {
  const { attempts_max: attemptsMax, hours, per_minute: perMinute } = config.webhooks;
  return webhooksRole({
    ...shared,
    perMinute,
    sender: openSender({ allowed: allowancesOf(config), clock: shared.clock }),
    patience: { attemptsMax, totalMs: BigInt(hours) * 3_600_000n },
    draw: (most) => randomInt(most + 1),
  });
}

function allowancesOf({ webhooks }: OrchestratorConfig): Allowances {
  return { allowPrivate: webhooks.allow_private, hosts: webhooks.hosts, ports: webhooks.ports };
}
