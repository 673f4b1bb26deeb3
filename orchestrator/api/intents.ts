/** Spends at the API: raised, looked at, taken back, signed by the user, and what proves them. */
import { base64 } from "@scure/base";
import express, { type Request, type Response, type Router } from "express";
import { z } from "zod";
import { vaultId } from "../../policies/evidence/scalar.ts";
import { EvidenceError, readEvidence } from "../../policies/evidence.ts";
import { type MsatsPerVbyte, SATS_MAX } from "../../policies/money.ts";
import type { Scripts } from "../accounts/scripts.ts";
import { feeRateSchema } from "../config.ts";
import type { Chain } from "../io/chain.ts";
import type { Clock } from "../io/clock.ts";
import type { Store } from "../io/store.ts";
import type { Log } from "../log.ts";
import type { RunningRoles } from "../role.ts";
import type { Combiner } from "../spend/combiner.ts";
import {
  findIntent,
  historyOfIntent,
  type IntentRow,
  keepEvidence,
  objectionsOf,
} from "../spend/intents.ts";
import { raiseMigration } from "../spend/migrate.ts";
import { type RaiseOutcome, raise } from "../spend/raise.ts";
import { raiseLost } from "../spend/recover.ts";
import { cancel } from "../spend/reserve.ts";
import { acceptUserPsbt } from "../spend/sign.ts";
import type { PaymentPurpose } from "../spend/signers.ts";
import { PSBT_TEXT_CHARACTERS_MAX, printable, unknown } from "./body.ts";
import { type Problem, sendProblem } from "./problem.ts";

export interface IntentApiParts {
  readonly store: Store;
  readonly scripts: Scripts;
  readonly combiner: Combiner;
  readonly chain: Chain;
  readonly clock: Clock;
  readonly log: Log;
  readonly running: RunningRoles;
  readonly fees: {
    readonly least: MsatsPerVbyte;
    readonly most: MsatsPerVbyte;
    readonly targetBlocks: number;
  };
}

export function intentRoutes(parts: IntentApiParts): Router {
  const { store, running } = parts;
  const router = express.Router();
  router.post("/v1/withdrawals", raising(parts, "withdrawal"));
  // Without the LSP: the user signs first, then a trustee in a ceremony.
  router.post("/v1/recoveries", raising(parts, "recovery-lsp-gone"));
  router.post("/v1/migrations", async (request, response) => {
    const { feeRate, ...rest } = migrationBody(parts).parse(request.body);
    const rate = feeRate ?? (await usualRate(parts));
    await answerRaised(parts, response, await raiseMigration(parts, { ...rest, feeRate: rate }));
  });
  // Without the user: the LSP's signer first, then a trustee in a ceremony.
  router.post("/v1/recoveries/lost", async (request, response) => {
    const { feeRate, ...rest } = lostBody(parts).parse(request.body);
    const rate = feeRate ?? (await usualRate(parts));
    await answerRaised(parts, response, await raiseLost(parts, { ...rest, feeRate: rate }));
  });
  router.get("/v1/intents/:id", async (request, response) => {
    const intent = await findIntent(store.db, request.params.id);
    if (intent === null) return unknown(response, "intent");
    response.json(await intentView(parts, intent));
  });
  router.post("/v1/intents/:id/cancel", async (request, response) => {
    const { id } = request.params;
    const cancelled = await cancel(parts, id);
    const intent = await findIntent(store.db, id);
    if (intent === null) return unknown(response, "intent");
    if (!cancelled && intent.state !== "cancelled") {
      const detail = `the intent is ${intent.state}: only before the first signature`;
      return sendProblem(response, { code: "conflict", detail });
    }
    response.json(await intentView(parts, intent));
  });
  router.get("/v1/intents/:id/psbt", async (request, response) => {
    const intent = await findIntent(store.db, request.params.id);
    if (intent === null) return unknown(response, "intent");
    if (intent.psbt === null) {
      const detail = `the intent is ${intent.state}: there is no PSBT yet`;
      return sendProblem(response, { code: "conflict", detail });
    }
    const document = JSON.parse(intent.document) as unknown;
    response.json({ psbt: base64.encode(intent.psbt), intent: document, state: intent.state });
  });
  router.post("/v1/intents/:id/evidence", async (request, response) => {
    const { id } = request.params;
    const { evidence } = evidenceBody.parse(request.body);
    const reasons = evidenceReasons(evidence);
    const [detail = ""] = reasons;
    if (reasons.length > 0) return sendProblem(response, { code: "refused", detail, reasons });
    const kept = await keepEvidence(store.db, { id, evidence: JSON.stringify(evidence) });
    const intent = await findIntent(store.db, id);
    if (intent === null) return unknown(response, "intent");
    if (!kept) return sendProblem(response, { code: "conflict", detail: `it is ${intent.state}` });
    running.wake();
    response.json(await intentView(parts, intent));
  });
  router.post("/v1/intents/:id/psbt", async (request, response) => {
    const { id } = request.params;
    const { psbt: text } = psbtBody.parse(request.body);
    const outcome = await acceptUserPsbt(parts, { id, text });
    const intent = await findIntent(store.db, id);
    if (outcome === null || intent === null) return unknown(response, "intent");
    if (outcome.kind === "refused") {
      const [detail = ""] = outcome.reasons;
      const code = outcome.code === "state" ? "conflict" : "refused";
      return sendProblem(response, { code, detail, reasons: outcome.reasons });
    }
    if (outcome.fresh) running.wake();
    response.json({ ...(await intentView(parts, intent)), ignored: outcome.rejected });
  });
  return router;
}

/** A payment of the account's coins to an address. */
function raising(parts: IntentApiParts, purpose: PaymentPurpose) {
  return async (request: Request, response: Response): Promise<void> => {
    const { feeRate, ...rest } = paymentBody(parts).parse(request.body);
    const rate = feeRate ?? (await usualRate(parts));
    await answerRaised(parts, response, await raise(parts, { ...rest, purpose, feeRate: rate }));
  };
}

async function answerRaised(
  parts: IntentApiParts,
  response: Response,
  outcome: RaiseOutcome,
): Promise<void> {
  if (outcome.kind === "refused") return sendProblem(response, raiseProblem(outcome));
  const { intent, fresh } = outcome;
  if (fresh) {
    const { id, account, purpose, sats } = intent;
    parts.log.info({ intent: id, account, purpose, sats: String(sats) }, "spend raised");
    parts.running.wake();
  }
  response.status(fresh ? 201 : 200).json(await intentView(parts, intent));
}

const psbtBody = z.strictObject({ psbt: z.string().max(PSBT_TEXT_CHARACTERS_MAX) });
const evidenceBody = z.strictObject({ evidence: z.unknown() });

/** What no signer could read is not kept. */
function evidenceReasons(evidence: unknown): readonly string[] {
  try {
    readEvidence(evidence);
    return [];
  } catch (error) {
    if (error instanceof EvidenceError) return error.reasons;
    throw error;
  }
}

/** A whole number of sats, as a number or, beyond its safety, as a decimal string. */
const satsSchema = z
  .union([z.int().positive(), z.string().regex(/^[1-9][0-9]{0,15}$/, "must be whole sats")])
  .transform(BigInt)
  .refine((value) => value <= SATS_MAX, { message: "more than there will ever be" });

function paymentBody(parts: IntentApiParts) {
  return migrationBody(parts).extend({ address: z.string().max(100), sats: satsSchema });
}

function lostBody(parts: IntentApiParts) {
  return migrationBody(parts).extend({ vault: vaultId.optional() });
}

function migrationBody({ fees }: IntentApiParts) {
  return z.strictObject({
    account: z.string().max(100),
    reference: printable(64),
    feeRate: feeRateSchema
      .refine((rate) => rate >= fees.least && rate <= fees.most, {
        message: `must lie between ${perVbyte(fees.least)} and ${perVbyte(fees.most)} sat/vB`,
      })
      .optional(),
  });
}

/** What the node thinks, within our own bounds. */
async function usualRate({ chain, fees }: IntentApiParts): Promise<MsatsPerVbyte> {
  const rate = (await chain.feeRate(fees.targetBlocks)) ?? fees.least;
  if (rate > fees.most) return fees.most;
  if (rate < fees.least) return fees.least;
  return rate;
}

function perVbyte(rate: bigint): string {
  return `${rate / 1000n}.${String(rate % 1000n).padStart(3, "0")}`;
}

async function intentView({ store }: IntentApiParts, row: IntentRow) {
  const history = await historyOfIntent(store.db, row.id);
  return {
    id: row.id,
    account: row.account,
    vault: row.vault,
    reference: row.reference,
    purpose: row.purpose,
    state: row.state,
    intent: JSON.parse(row.document) as unknown,
    sats: String(row.sats),
    feeSats: row.fee_sats === null ? null : String(row.fee_sats),
    feeRate: perVbyte(row.fee_rate),
    txid: row.txid,
    height: row.mined_height === null ? null : Number(row.mined_height),
    violations: objectionsOf(row),
    evidence: row.evidence === null ? null : (JSON.parse(row.evidence) as unknown),
    rules: JSON.parse(row.rules) as readonly string[],
    history: history.map(({ at, state, detail }) => ({
      at: new Date(Number(at)).toISOString(),
      state,
      detail,
    })),
  };
}

function raiseProblem(outcome: Extract<RaiseOutcome, { kind: "refused" }>): Problem {
  const [detail = ""] = outcome.reasons;
  switch (outcome.code) {
    case "no-account":
      return { code: "not-found", detail };
    case "reference-used":
    case "frozen":
      return { code: "conflict", detail };
    case "content":
      return { code: "refused", detail, reasons: outcome.reasons };
  }
}
