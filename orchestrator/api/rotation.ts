/**
 * Further vaults for accounts, in two idempotent steps, as an account is opened: a rotation's takes the
 * place of the old one, a recovery's waits for the coins of a lost user.
 */
import express, { type Response, type Router } from "express";
import { z } from "zod";
import { POSSESSION_PROOF } from "../../policies/possession.ts";
import type { AccountParts } from "../accounts/accounts.ts";
import { beginRotation, completeRotation, type RotationOutcome } from "../accounts/rotation.ts";
import type { Log } from "../log.ts";
import { sendProblem } from "./problem.ts";

export interface RotationApiParts extends AccountParts {
  readonly log: Log;
}

/** An account key with its origin takes some 160 characters. */
const KEY_CHARACTERS_MAX = 300;

const key = z.string().max(KEY_CHARACTERS_MAX);
const keysBody = z.strictObject({ userKey: key, trusteeKey: key });
const recoveryBody = z.strictObject({ recoveryKey: key, trusteeKey: key });
const proof = z.string().regex(POSSESSION_PROOF, "must be a signature of 64 or 65 bytes in hex");
const proofsBody = z.strictObject({ user: proof, trustee: proof });

export function rotationRoutes(parts: RotationApiParts): Router {
  const router = express.Router();
  router.post("/v1/accounts/:id/rotation", async (request, response) => {
    const keys = keysBody.parse(request.body);
    answer(parts, response, await beginRotation(parts, request.params.id, "rotation", keys));
  });
  router.post("/v1/accounts/:id/recovery", async (request, response) => {
    const { recoveryKey: userKey, trusteeKey } = recoveryBody.parse(request.body);
    const keys = { userKey, trusteeKey };
    answer(parts, response, await beginRotation(parts, request.params.id, "recovery", keys));
  });
  for (const kind of ["rotation", "recovery"] as const) {
    router.post(`/v1/accounts/:id/${kind}/proofs`, async (request, response) => {
      const proofs = proofsBody.parse(request.body);
      const id = String(request.params["id"]);
      answer(parts, response, await completeRotation(parts, id, kind, proofs));
    });
  }
  return router;
}

function answer(
  { log }: RotationApiParts,
  response: Response,
  outcome: RotationOutcome | null,
): void {
  if (outcome === null) {
    const detail = "there is no such account, or nothing was begun for it";
    sendProblem(response, { code: "not-found", detail });
  } else if (outcome.kind === "refused") {
    const code = outcome.code === "conflict" ? "conflict" : "refused";
    sendProblem(response, { code, detail: outcome.reasons[0] ?? "", reasons: outcome.reasons });
  } else {
    const { rotation, fresh } = outcome;
    const { account, kind, number, state, vault } = rotation;
    if (fresh) log.info({ account, number, state, vault }, `${kind} moved`);
    response.status(fresh ? 201 : 200).json(rotation);
  }
}
