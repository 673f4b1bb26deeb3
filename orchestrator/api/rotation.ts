/**
 * Further vaults for accounts, in two idempotent steps, as an account is opened: a rotation's takes the
 * place of the old one, a recovery's waits for the coins of a lost user.
 */
import type { Response } from "express";
import { z } from "zod";
import { POSSESSION_PROOF } from "../../policies/possession.ts";
import type { AccountParts } from "../accounts/accounts.ts";
import { beginRotation, completeRotation, type RotationOutcome } from "../accounts/rotation.ts";
import { logOf } from "../doors/request-id.ts";
import { idOf, type Route } from "../doors/route.ts";
import { sendProblem } from "./problem.ts";

/** An account key with its origin takes some 160 characters. */
const KEY_CHARACTERS_MAX = 300;

const key = z.string().max(KEY_CHARACTERS_MAX);
const keysBody = z.strictObject({ userKey: key, trusteeKey: key });
const recoveryBody = z.strictObject({ recoveryKey: key, trusteeKey: key });
const proof = z.string().regex(POSSESSION_PROOF, "must be a signature of 64 or 65 bytes in hex");
const proofsBody = z.strictObject({ user: proof, trustee: proof });

const rotationAnswer = z.strictObject({
  account: z.string(),
  kind: z.enum(["rotation", "recovery"]),
  number: z.int(),
  state: z.enum(["begun", "open"]),
  /** `ballast/vault@1` */
  document: z.looseObject({}),
  vault: z.string(),
  possession: z.strictObject({ user: z.string(), trustee: z.string() }),
});
const RULES = { answer: rotationAnswer, also: [201], opens: ["operator"] } as const;

export function rotationRoutes(parts: AccountParts): readonly Route[] {
  const keys: readonly Route[] = [
    {
      ...{ ...RULES, method: "post", path: "/v1/accounts/{id}/rotation", body: keysBody },
      says: "Begins a newer vault of other keys.",
      async handle(request, response) {
        const wanted = keysBody.parse(request.body);
        answer(response, await beginRotation(parts, idOf(request), "rotation", wanted));
      },
    },
    {
      ...{ ...RULES, method: "post", path: "/v1/accounts/{id}/recovery", body: recoveryBody },
      says: "Begins the vault of the recovery key that the user's mandate names.",
      async handle(request, response) {
        const { recoveryKey: userKey, trusteeKey } = recoveryBody.parse(request.body);
        const wanted = { userKey, trusteeKey };
        answer(response, await beginRotation(parts, idOf(request), "recovery", wanted));
      },
    },
  ];
  // From here on coins go elsewhere: that is for two.
  const proofs = (["rotation", "recovery"] as const).map((kind): Route => {
    const path = `/v1/accounts/{id}/${kind}/proofs`;
    return {
      ...{ ...RULES, method: "post", path, body: proofsBody, second: true },
      says: `Opens the vault of the ${kind}: its holders have proven their keys.`,
      async handle(request, response) {
        const proven = proofsBody.parse(request.body);
        answer(response, await completeRotation(parts, idOf(request), kind, proven));
      },
    };
  });
  return [...keys, ...proofs];
}

function answer(response: Response, outcome: RotationOutcome | null): void {
  if (outcome === null) {
    const detail = "there is no such account, or nothing was begun for it";
    sendProblem(response, { code: "not-found", detail });
  } else if (outcome.kind === "refused") {
    const code = outcome.code === "conflict" ? "conflict" : "refused";
    sendProblem(response, { code, detail: outcome.reasons[0] ?? "", reasons: outcome.reasons });
  } else {
    const { rotation, fresh } = outcome;
    const { account, kind, number, state, vault } = rotation;
    if (fresh) logOf(response).info({ account, number, state, vault }, `${kind} moved`);
    response.status(fresh ? 201 : 200).json(rotation);
  }
}
