/** Accounts at the API: begun, opened, listed, looked at. */
import type { Response } from "express";
import { z } from "zod";
import { POSSESSION_PROOF } from "../../policies/possession.ts";
import {
  ACCOUNT_NAME_CHARACTERS_MAX,
  type Account,
  type AccountOutcome,
  type Accounts,
  accountsPage,
} from "../accounts/accounts.ts";
import { balancesOf, centsOf } from "../accounts/book.ts";
import { isFrozen } from "../accounts/freezes.ts";
import { VAULT_TEMPLATES } from "../accounts/vaults.ts";
import { pageOf, pageQuery } from "../doors/cursor.ts";
import { logOf } from "../doors/request-id.ts";
import { idOf, type Route } from "../doors/route.ts";
import type { Db, Store } from "../io/store.ts";
import { lastScanned } from "../spend/blocks.ts";
import { depositsOf } from "../spend/coins.ts";
import { flagsOf } from "../spend/flags.ts";
import { printable, unknown } from "./body.ts";
import { sendProblem } from "./problem.ts";

export interface AccountApiParts {
  readonly store: Store;
  readonly accounts: Accounts;
}

/** An account key with its origin takes some 160 characters. */
export const KEY_CHARACTERS_MAX = 300;

const accountBody = z.strictObject({
  name: printable(ACCOUNT_NAME_CHARACTERS_MAX),
  userKey: z.string().max(KEY_CHARACTERS_MAX),
  trusteeKey: z.string().max(KEY_CHARACTERS_MAX),
  template: z.enum(VAULT_TEMPLATES).optional(),
});

const proof = z.string().regex(POSSESSION_PROOF, "must be a signature of 64 or 65 bytes in hex");
export const proofsBody = z.strictObject({ user: proof, trustee: proof });

/** Below zero where a reorganisation took back what was spent. */
const sum = z.string().regex(/^-?[0-9]{1,16}$/);

const balances = z.strictObject({
  availableSats: sum,
  reservedSats: sum,
  availableCents: sum,
  reservedCents: sum,
});

const accountAnswer = z.strictObject({
  id: z.string(),
  name: z.string(),
  state: z.enum(["begun", "open"]),
  /** `ballast/vault@1` */
  document: z.looseObject({}),
  vault: z.string(),
  template: z.enum(VAULT_TEMPLATES),
  possession: z.strictObject({ user: z.string(), trustee: z.string() }),
  proofs: z.record(z.string(), z.string()).nullable(),
  address: z.string().nullable(),
  older: z.array(z.string()),
  balances,
  /** A deep reorganisation took back what it was credited: nothing is spent until that is mended. */
  frozen: z.boolean(),
  /** The newest hundred. */
  deposits: z.array(
    z.looseObject({
      outpoint: z.string(),
      sats: sum,
      state: z.string(),
      origin: z.string(),
      flags: z.array(z.string()),
      height: z.int().nullable(),
      confirmations: z.int(),
      spentBy: z.string().nullable(),
    }),
  ),
});

const query = pageQuery("accounts");
const accountsAnswer = z.strictObject({
  accounts: z.array(
    z.strictObject({
      ...{ id: z.string(), name: z.string(), state: z.enum(["begun", "open"]) },
      balances,
    }),
  ),
  next: z.string().nullable(),
});

export function accountRoutes(parts: AccountApiParts): readonly Route[] {
  const { store, accounts } = parts;
  const moves = { answer: accountAnswer, also: [201], opens: ["operator", "machine"] } as const;
  return [
    {
      ...{ ...moves, method: "post", path: "/v1/accounts", body: accountBody },
      says: "Begins an account: keys in, what user and trustee sign out.",
      async handle(request, response) {
        const outcome = await accounts.begin(accountBody.parse(request.body));
        await answerAccount(store.db, response, outcome);
      },
    },
    {
      ...{ ...moves, method: "post", path: "/v1/accounts/{id}/proofs", body: proofsBody },
      says: "Opens it: user and trustee have proven their keys.",
      async handle(request, response) {
        const outcome = await accounts.complete(idOf(request), proofsBody.parse(request.body));
        if (outcome === null) return unknown(response, "account");
        await answerAccount(store.db, response, outcome);
      },
    },
    {
      ...{ method: "get", path: "/v1/accounts", query, answer: accountsAnswer },
      opens: ["operator", "auditor", "machine"],
      says: "Every account, oldest first.",
      async handle(request, response) {
        const { cursor, limit } = query.parse(request.query);
        const found = await accountsPage(store.db, { after: cursor, limit: limit + 1 });
        const page = pageOf("accounts", { rows: found, limit }, (row) => ({
          at: row.created_at,
          id: row.id,
        }));
        const lines = page.rows.map(async ({ id, name, state }) => {
          return { id, name, state, balances: await balancesView(store.db, id) };
        });
        response.json({ accounts: await Promise.all(lines), next: page.next });
      },
    },
    {
      ...{ method: "get", path: "/v1/accounts/{id}", answer: accountAnswer },
      opens: ["user", "operator", "auditor", "machine"],
      own: { what: "account", account: idOf },
      says: "Address, balances, deposits.",
      async handle(request, response) {
        const account = await accounts.find(idOf(request));
        if (account === null) return unknown(response, "account");
        response.json(await accountView(store.db, account));
      },
    },
  ];
}

async function answerAccount(db: Db, response: Response, outcome: AccountOutcome): Promise<void> {
  if (outcome.kind === "done") {
    const { account, fresh } = outcome;
    const { id, state } = account;
    if (fresh) logOf(response).info({ account: id, state }, "account moved");
    response.status(fresh ? 201 : 200).json(await accountView(db, account));
    return;
  }
  const [detail = ""] = outcome.reasons;
  const code = outcome.code === "conflict" ? "conflict" : "refused";
  sendProblem(response, { code, detail, reasons: outcome.reasons });
}

async function accountView(db: Db, account: Account) {
  const height = (await lastScanned(db))?.height ?? 0;
  const deposits = await depositsOf(db, account.id);
  return {
    ...account,
    balances: await balancesView(db, account.id),
    frozen: await isFrozen(db, account.id),
    deposits: deposits.map((coin) => ({
      outpoint: coin.outpoint,
      sats: String(coin.sats),
      state: coin.state,
      origin: coin.origin,
      flags: flagsOf(coin),
      height: coin.height,
      confirmations: coin.height === null ? 0 : height - coin.height + 1,
      spentBy: coin.spentBy,
    })),
  };
}

async function balancesView(db: Db, account: string) {
  const { available, reserved } = await balancesOf(db, account);
  const cents = await centsOf(db, account);
  return {
    availableSats: String(available),
    reservedSats: String(reserved),
    availableCents: String(cents.available),
    reservedCents: String(cents.reserved),
  };
}
