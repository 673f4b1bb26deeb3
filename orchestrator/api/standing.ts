/** How an account stands: whether deposits become dollars, and whether a reorganisation froze it. */
import { z } from "zod";
import { chooseStable } from "../accounts/accounts.ts";
import { frozenAccounts, thaw } from "../accounts/freezes.ts";
import { callerOf } from "../doors/caller.ts";
import { idOf, type Route } from "../doors/route.ts";
import type { Clock } from "../io/clock.ts";
import type { Store } from "../io/store.ts";
import { unknown } from "./body.ts";
import { sendProblem } from "./problem.ts";

export interface StandingParts {
  readonly store: Store;
  readonly clock: Clock;
}

const stableBody = z.strictObject({ stabilise: z.boolean() });
const stableAnswer = z.strictObject({ account: z.string(), stabilise: z.boolean() });
const frozenAnswer = z.strictObject({
  accounts: z.array(
    z.strictObject({
      account: z.string(),
      at: z.iso.datetime(),
      outpoints: z.array(z.string()),
    }),
  ),
});
const thawAnswer = z.strictObject({ account: z.string(), frozen: z.literal(false) });

export function standingRoutes({ store, clock }: StandingParts): readonly Route[] {
  return [
    {
      ...{ method: "post", path: "/v1/accounts/{id}/stabilise", body: stableBody },
      ...{ answer: stableAnswer, opens: ["user", "operator"] },
      own: { what: "account", account: idOf },
      says: "Whether deposits from now on become dollars; what was credited stays as it is.",
      async handle(request, response) {
        const { stabilise } = stableBody.parse(request.body);
        const id = idOf(request);
        if (!(await chooseStable(store.db, { id, stabilise }))) return unknown(response, "account");
        response.json({ account: id, stabilise });
      },
    },
    {
      ...{ method: "get", path: "/v1/frozen", answer: frozenAnswer },
      opens: ["operator", "auditor"],
      says: "Accounts whose final credits a reorganisation took back, and which deposits are missing.",
      async handle(_request, response) {
        const frozen = await frozenAccounts(store.db);
        response.json({
          accounts: frozen.map(({ at, ...row }) => ({
            ...row,
            at: new Date(Number(at)).toISOString(),
          })),
        });
      },
    },
    {
      ...{ method: "post", path: "/v1/accounts/{id}/thaw", answer: thawAnswer },
      ...{ opens: ["operator"], second: true },
      says: "An operator has looked: the account may spend again, what is missing stays missing.",
      async handle(request, response) {
        const id = idOf(request);
        const by = callerOf(response).name;
        const thawed = await store.transaction((db) => thaw(db, id, { by, at: clock() }));
        if (!thawed) {
          return sendProblem(response, { code: "conflict", detail: "the account is not frozen" });
        }
        response.json({ account: id, frozen: false });
      },
    },
  ];
}
