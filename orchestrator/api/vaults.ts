/** The vaults of an account, whole, for whoever keeps a copy; and the coins that want a refresh. */
import express, { type Router } from "express";
import { z } from "zod";
import { readVault } from "../../policies/vault.ts";
import { templateOf, vaultsOf } from "../accounts/vaults.ts";
import type { Db, Store } from "../io/store.ts";
import { lastScanned } from "../spend/blocks.ts";
import { coinsToRefresh, type RestingCoin } from "../spend/refresh.ts";
import { unknown } from "./body.ts";

export interface VaultApiParts {
  readonly store: Store;
}

const REFRESH_MAX = 1_000;
const refreshQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(REFRESH_MAX).default(100),
});

export function vaultRoutes({ store }: VaultApiParts): Router {
  const router = express.Router();
  router.get("/v1/accounts/:id/vaults", async (request, response) => {
    const vaults = await vaultsOf(store.db, request.params.id);
    if (vaults.length === 0) return unknown(response, "account");
    const [inUse] = vaults;
    const resting = await coinsToRefresh(store.db, {
      account: request.params.id,
      limit: REFRESH_MAX,
    });
    response.json({
      height: await heightOf(store.db),
      vaults: vaults.map(({ id, number, document, proofs }) => {
        const vault = readVault(JSON.parse(document));
        return {
          vault: id,
          state: number < 0n ? "recovery" : id === inUse?.id ? "in-use" : "older",
          template: templateOf(vault),
          document: vault.document,
          proofs: proofs === null ? null : JSON.parse(proofs),
          refresh: resting.filter((coin) => coin.vault === id).map(shown),
        };
      }),
    });
  });
  router.get("/v1/refresh", async (request, response) => {
    const { limit } = refreshQuery.parse(request.query);
    const coins = await coinsToRefresh(store.db, { limit });
    response.json({ height: await heightOf(store.db), coins: coins.map(shown) });
  });
  return router;
}

async function heightOf(db: Db): Promise<number | null> {
  return (await lastScanned(db))?.height ?? null;
}

function shown({ sats, ...coin }: RestingCoin) {
  return { ...coin, sats: String(sats) };
}
