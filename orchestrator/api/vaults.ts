/** The vaults of an account, whole, for whoever keeps a copy; and the coins that want a refresh. */
import type { Request } from "express";
import { z } from "zod";
import { readVault } from "../../policies/vault.ts";
import { templateOf, VAULT_TEMPLATES, vaultsOf } from "../accounts/vaults.ts";
import { idOf, type Route } from "../doors/route.ts";
import type { Db, Store } from "../io/store.ts";
import { lastScanned } from "../spend/blocks.ts";
import { coinsToRefresh, type RestingCoin } from "../spend/refresh.ts";
import { unknown } from "./body.ts";

const REFRESH_MAX = 1_000;
const query = z.strictObject({
  limit: z.coerce.number().int().min(1).max(REFRESH_MAX).default(100),
});

const restingAnswer = z.strictObject({
  account: z.string(),
  vault: z.string(),
  outpoint: z.string(),
  sats: z.string().regex(/^[0-9]{1,16}$/),
  height: z.int(),
  age: z.int(),
  opensAt: z.int().nullable(),
  state: z.enum(["ripe", "due", "open"]),
  reservedBy: z.string().nullable(),
});

const height = z.int().nullable();
const refreshAnswer = z.strictObject({ height, coins: z.array(restingAnswer) });
const vaultsAnswer = z.strictObject({
  height,
  vaults: z.array(
    z.strictObject({
      vault: z.string(),
      state: z.enum(["in-use", "older", "recovery"]),
      template: z.enum(VAULT_TEMPLATES),
      /** `ballast/vault@1` */
      document: z.looseObject({}),
      proofs: z.record(z.string(), z.string()).nullable(),
      refresh: z.array(restingAnswer),
    }),
  ),
});

export function vaultRoutes({ store }: { readonly store: Store }): readonly Route[] {
  return [
    {
      ...{ method: "get", path: "/v1/accounts/{id}/vaults", answer: vaultsAnswer },
      opens: ["user", "operator", "auditor", "machine"],
      own: { what: "account", account: idOf },
      says: "All vaults of an account, whole, the one in use first.",
      async handle(request: Request, response) {
        const account = idOf(request);
        const vaults = await vaultsOf(store.db, account);
        if (vaults.length === 0) return unknown(response, "account");
        const [inUse] = vaults;
        const resting = await coinsToRefresh(store.db, { account, limit: REFRESH_MAX });
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
      },
    },
    {
      ...{ method: "get", path: "/v1/refresh", query, answer: refreshAnswer },
      opens: ["operator", "auditor"],
      says: "Coins of vaults with an exit that have rested long, the oldest first.",
      async handle(request, response) {
        const { limit } = query.parse(request.query);
        const coins = await coinsToRefresh(store.db, { limit });
        response.json({ height: await heightOf(store.db), coins: coins.map(shown) });
      },
    },
  ];
}

async function heightOf(db: Db): Promise<number | null> {
  return (await lastScanned(db))?.height ?? null;
}

function shown({ sats, ...coin }: RestingCoin) {
  return { ...coin, sats: String(sats) };
}
