/** What other services ask here, under Pulser's names: register, sync, trusted addresses, health. */
import { setTimeout as rest } from "node:timers/promises";
import { z } from "zod";
import { scriptOf } from "../../policies/bitcoin/taproot.ts";
import { EXTERNAL_ID } from "../accounts/aliases.ts";
import {
  distrustAddress,
  SERVICE_ADDRESSES_MAX,
  serviceAddresses,
  trustAddress,
} from "../accounts/service-addresses.ts";
import { ProblemError } from "../api/problem.ts";
import type { StatusParts } from "../api/status.ts";
import { idOf, type Route } from "../doors/route.ts";
import type { Health } from "../health/health.ts";
import { lastScanned } from "../spend/blocks.ts";
import { healthRoute } from "./health.ts";
import { registerRoute } from "./registration.ts";
import { asked, ownUser, type UserParts, userNamed } from "./user.ts";

export interface ServiceParts extends UserParts, StatusParts {
  /** How long a sync is waited for; 20 seconds where left out. */
  readonly syncMs?: number | undefined;
}

const userId = z.string().regex(EXTERNAL_ID, "must be a whole number as text");
const SERVICES = ["operator", "machine"] as const;

export function serviceRoutes(parts: ServiceParts, health: Health): readonly Route[] {
  return [
    registerRoute(parts),
    initRoute(parts),
    ...syncRoutes(parts),
    ...addressRoutes(parts),
    healthRoute(parts, health),
  ];
}

const initBody = z.strictObject({ user_id: userId });
const initAnswer = z.strictObject({
  user_id: z.string(),
  status: z.enum(["ready", "begun"]),
  address: z.string().nullable(),
});

function initRoute(parts: ServiceParts): Route {
  return {
    ...{ method: "post", path: "/v1/init_wallet", aliases: ["/init_wallet"], opens: SERVICES },
    ...{ body: initBody, answer: initAnswer },
    says: "Whether a registered user's vault is there: it is made by their registration alone.",
    async handle(request, response) {
      const { user_id } = asked(initBody, request.body);
      const { address } = await userNamed(parts, user_id);
      response.json({ user_id, status: address === null ? "begun" : "ready", address });
    },
  };
}

const syncAnswer = z.strictObject({ status: z.enum(["ok", "error"]), message: z.string() });
const SYNC_MS = 20_000;
const SYNC_LOOK_MS = 25;

/** Every block is scanned for all users at once: to sync is to wait until that is done. */
function syncRoutes(parts: ServiceParts): readonly Route[] {
  const { store, chain, running, syncMs = SYNC_MS } = parts;
  return (["sync", "force_sync"] as const).map((name) => ({
    ...{ method: "post", path: `/v1/${name}/{id}`, aliases: [`/${name}/{id}`] },
    ...{ opens: ["user", "operator", "machine"], own: ownUser(store), answer: syncAnswer },
    says: "Waits until the blocks of this moment are scanned, 20 seconds at most.",
    async handle(request, response) {
      await userNamed(parts, idOf(request));
      const { height } = await chain.tip();
      const end = performance.now() + syncMs;
      for (;;) {
        running.wake();
        const scanned = (await lastScanned(store.db))?.height ?? -1;
        if (scanned >= height) {
          response.json({ status: "ok", message: `scanned up to block ${scanned}` });
          return;
        }
        if (performance.now() > end) {
          const detail = `scanned up to block ${scanned} of ${height}`;
          throw new ProblemError({ code: "timeout", detail });
        }
        await rest(SYNC_LOOK_MS);
      }
    },
  }));
}

const addressBody = z.strictObject({ user_id: userId, address: z.string().max(100) });
const addressesAnswer = z.strictObject({
  user_id: z.string(),
  addresses: z.array(z.string()),
});

function addressRoutes(parts: ServiceParts): readonly Route[] {
  const { store, network, clock } = parts;
  const place = { path: "/v1/service_address", aliases: ["/service_address"] } as const;
  const said = { body: addressBody, answer: addressesAnswer } as const;
  return [
    {
      // What comes from there waits for fewer blocks: that is for two.
      ...{ ...place, ...said, method: "post", opens: ["operator"], second: true },
      says: "Trusts an address of the user's own services.",
      async handle(request, response) {
        const { user_id, address } = asked(addressBody, request.body);
        const { id: account } = await userNamed(parts, user_id);
        if (scriptOf(address, network) === null) {
          const detail = `address: it is none of ${network}`;
          throw new ProblemError({ code: "bad-request", detail });
        }
        if (!(await trustAddress(store.db, { account, address }, clock()))) {
          const detail = `there are ${SERVICE_ADDRESSES_MAX} already`;
          throw new ProblemError({ code: "conflict", detail });
        }
        response.json({ user_id, addresses: await serviceAddresses(store.db, account) });
      },
    },
    {
      ...{ ...place, ...said, method: "delete", opens: SERVICES },
      says: "Trusts it no more.",
      async handle(request, response) {
        const { user_id, address } = asked(addressBody, request.body);
        const { id: account } = await userNamed(parts, user_id);
        await distrustAddress(store.db, { account, address });
        response.json({ user_id, addresses: await serviceAddresses(store.db, account) });
      },
    },
    {
      ...{ method: "get", path: "/v1/service_address/{id}", aliases: ["/service_address/{id}"] },
      ...{ opens: ["user", "operator", "auditor", "machine"], own: ownUser(store) },
      answer: addressesAnswer,
      says: "The addresses that are trusted.",
      async handle(request, response) {
        const { id: account } = await userNamed(parts, idOf(request));
        const addresses = await serviceAddresses(store.db, account);
        response.json({ user_id: idOf(request), addresses });
      },
    },
  ];
}
