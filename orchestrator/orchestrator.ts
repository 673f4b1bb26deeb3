/** Puts the orchestrator together: store, node, signer, roles and API. `main.ts` runs it. */

import { randomInt } from "node:crypto";
import { openBitcoind } from "../signer/node/bitcoind.ts";
import type { Hears, Registers, Signer } from "../signer/signer.ts";
import { openAccounts } from "./accounts/accounts.ts";
import { openScripts } from "./accounts/scripts.ts";
import { type ApiParts, serveApi } from "./api/server.ts";
import type { SignerCard } from "./api/status.ts";
import { noticesRole } from "./ceremony/notices.ts";
import { ceremoniesRole } from "./ceremony/watch.ts";
import type { OrchestratorConfig, RoleName } from "./config.ts";
import { openMetrics } from "./health/metrics.ts";
import { type Chain, openChain } from "./io/chain.ts";
import type { Clock } from "./io/clock.ts";
import { openEsplora } from "./io/esplora.ts";
import { openStore } from "./io/store.ts";
import type { Log } from "./log.ts";
import { type Role, runRoles } from "./role.ts";
import { broadcastRole } from "./spend/broadcast.ts";
import { openCombiner } from "./spend/combiner.ts";
import { confirmRole } from "./spend/confirm.ts";
import { depositsRole } from "./spend/deposits.ts";
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

export async function openOrchestrator(options: OrchestratorOptions): Promise<Orchestrator> {
  const { config, signer, clock, log } = options;
  const { network, confirmations } = config;
  const metrics = openMetrics();
  const store = metrics.store(openStore({ path: config.store, network }));
  const { chain, close: closeChain } = chainOf(config);
  const scripts = openScripts();
  const combiner = openCombiner();
  const shared = { store, chain, scripts, signer, combiner, clock, log, confirmations };
  const webhooks = webhooksOf(config, { ...shared, attempted: metrics.webhook });
  const roles: Readonly<Record<RoleName, Role>> = {
    deposits: depositsRole({
      ...shared,
      startHeight: config.scan_from,
      reorganised: metrics.reorganised,
    }),
    reserve: reserveRole({ ...shared, inputsMax: config.inputs_max }),
    sign: signRole(shared),
    broadcast: broadcastRole(shared),
    confirm: confirmRole(shared),
    ceremonies: ceremoniesRole(shared),
    notices: noticesRole(shared, signer),
    webhooks,
  };
  const running = runRoles(
    config.roles.map((name) => metrics.role(roles[name])),
    { log, paceMs: config.pace_ms },
  );
  const closeRest = async () => {
    await running.stop();
    await webhooks.rest();
    await combiner.close();
    closeChain();
    metrics.close();
    await store.close();
  };
  const parts: ApiParts = {
    ...shared,
    accounts: openAccounts({ ...shared, network }),
    network,
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
