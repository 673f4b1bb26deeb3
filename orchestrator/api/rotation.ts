/** Newer vaults for accounts: a rotation in two idempotent steps, as an account is opened. */
import express, { type Response, type Router } from "express";
import { z } from "zod";
import type { AccountParts } from "../accounts/accounts.ts";
import { beginRotation, completeRotation, type RotationOutcome } from "../accounts/rotation.ts";
import type { Log } from "../log.ts";
import { sendProblem } from "./problem.ts";

export interface RotationApiParts extends AccountParts {
  readonly log: Log;
}

/** An account key with its origin takes some 160 characters. */
const KEY_CHARACTERS_MAX = 300;

const keysBody = z.strictObject({
  userKey: z.string().max(KEY_CHARACTERS_MAX),
  trusteeKey: z.string().max(KEY_CHARACTERS_MAX),
});
const proof = z.string().regex(/^[0-9a-f]{128}$/, "must be a signature of 64 bytes in hex");
const proofsBody = z.strictObject({ user: proof, trustee: proof });

export function rotationRoutes(parts: RotationApiParts): Router {
  const router = express.Router();
  router.post("/v1/accounts/:id/rotation", async (request, response) => {
    const keys = keysBody.parse(request.body);
    answer(parts, response, await beginRotation(parts, request.params.id, keys));
  });
  router.post("/v1/accounts/:id/rotation/proofs", async (request, response) => {
    const proofs = proofsBody.parse(request.body);
    answer(parts, response, await completeRotation(parts, request.params.id, proofs));
  });
  return router;
}

function answer(
  { log }: RotationApiParts,
  response: Response,
  outcome: RotationOutcome | null,
): void {
  if (outcome === null) {
    sendProblem(response, { code: "not-found", detail: "there is no such account, or rotation" });
  } else if (outcome.kind === "refused") {
    const code = outcome.code === "conflict" ? "conflict" : "refused";
    sendProblem(response, { code, detail: outcome.reasons[0] ?? "", reasons: outcome.reasons });
  } else {
    const { rotation, fresh } = outcome;
    const { account, number, state, vault } = rotation;
    if (fresh) log.info({ account, number, state, vault }, "rotation moved");
    response.status(fresh ? 201 : 200).json(rotation);
  }
}
