/**
 * Pulser's registration, with what Pulser left out: the key is the user's own, and they prove it. The
 * same request begins and, with proofs, ends it. No seed is ever made here.
 */
import { z } from "zod";
import type { Network } from "../../policies/bitcoin/network.ts";
import { descriptorOf, readVault } from "../../policies/vault.ts";
import {
  type Account,
  type AccountOutcome,
  type Accounts,
  accountIdOf,
} from "../accounts/accounts.ts";
import { accountCalled, EXTERNAL_ID, keepAlias } from "../accounts/aliases.ts";
import { KEY_CHARACTERS_MAX, proofsBody } from "../api/accounts.ts";
import { ProblemError } from "../api/problem.ts";
import { logOf } from "../doors/request-id.ts";
import type { Route } from "../doors/route.ts";
import type { Store } from "../io/store.ts";
import { asked } from "./user.ts";

const key = z.string().max(KEY_CHARACTERS_MAX);
const body = z.strictObject({
  user_id: z.string().regex(EXTERNAL_ID, "must be a whole number as text"),
  /** The user's account key with its origin, from their own device. */
  xpub: key.optional(),
  trustee_xpub: key.optional(),
  /** Over the texts in `possession`, once they have signed them. */
  proofs: proofsBody.optional(),
  test_mode: z.literal(false, "there is no test mode: regtest is one").optional(),
});
const answer = z.strictObject({
  /** `begun`: user and trustee have not proven their keys yet. */
  status: z.enum(["registered", "begun"]),
  deposit_address: z.string().nullable(),
  user_xpub: z.string(),
  /** With this and two of the keys the coins are found and spent without us. */
  recovery_doc: z.strictObject({ descriptor: z.string(), vault: z.looseObject({}) }),
  possession: z.strictObject({ user: z.string(), trustee: z.string() }),
  account: z.string(),
  error: z.string().optional(),
});

const NO_SEED =
  "xpub: this service makes no seed; bring the account xpub of the user's own device, with its origin";
const NO_TRUSTEE = "trustee_xpub: the trustee's account xpub, with its origin, is needed too";

interface RegisterParts {
  readonly store: Store;
  readonly accounts: Accounts;
  readonly network: Network;
}

export function registerRoute(parts: RegisterParts): Route {
  return {
    ...{ method: "post", path: "/v1/register", aliases: ["/register"], body, answer },
    opens: ["operator", "machine"],
    says: "Registers a user by the account xpub of their own device; proofs open the vault.",
    async handle(request, response) {
      const { user_id, xpub, trustee_xpub, proofs } = asked(body, request.body);
      if (xpub === undefined) throw new ProblemError({ code: "bad-request", detail: NO_SEED });
      if (trustee_xpub === undefined) {
        throw new ProblemError({ code: "bad-request", detail: NO_TRUSTEE });
      }
      const keys = { name: `user ${user_id}`, userKey: xpub, trusteeKey: trustee_xpub };
      const begun = await begin(parts, user_id, keys);
      const outcome = proofs === undefined ? null : await parts.accounts.complete(begun.id, proofs);
      const account = outcome === null ? begun : done(outcome);
      const { id, state } = account;
      logOf(response).info({ account: id, state, user: user_id }, "user registered");
      response.json(view(account, xpub));
    },
  };
}

async function begin(
  { store, accounts, network }: RegisterParts,
  externalId: string,
  keys: { readonly name: string; readonly userKey: string; readonly trusteeKey: string },
): Promise<Account> {
  const known = await accountCalled(store.db, externalId);
  // Before an account is begun that would stay without a number.
  if (known !== null && known !== accountIdOf(network, keys.userKey)) throw taken();
  const account = done(await accounts.begin(keys));
  if (!(await keepAlias(store.db, { externalId, account: account.id }))) throw taken();
  return account;
}

function taken(): ProblemError {
  const detail = "this user_id has another key, or this key another user_id";
  return new ProblemError({ code: "conflict", detail });
}

function done(outcome: AccountOutcome): Account {
  if (outcome.kind === "done") return outcome.account;
  const { code, reasons } = outcome;
  const [detail = ""] = reasons;
  const said = code === "conflict" ? "conflict" : code === "keys" ? "bad-request" : "refused";
  throw new ProblemError({ code: said, detail, reasons });
}

function view({ id, address, document, possession }: Account, xpub: string) {
  return {
    status: address === null ? "begun" : "registered",
    deposit_address: address,
    user_xpub: xpub,
    recovery_doc: { descriptor: descriptorOf(readVault(document)), vault: document },
    possession,
    account: id,
  };
}
