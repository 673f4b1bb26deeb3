/** Spends at the API: raised, looked at, taken back, signed by the user, and what proves them. */
import { base64 } from "@scure/base";
import type { Request, Response } from "express";
import { z } from "zod";
import { EvidenceError, readEvidence } from "../../policies/evidence.ts";
import { callerOf } from "../doors/caller.ts";
import { pageOf, pageQuery } from "../doors/cursor.ts";
import { idOf, type Own, type Route } from "../doors/route.ts";
import type { Store } from "../io/store.ts";
import type { Combiner } from "../spend/combiner.ts";
import { intentsPage } from "../spend/intent-lists.ts";
import { findIntent, keepEvidence } from "../spend/intents.ts";
import { cancel } from "../spend/reserve.ts";
import { acceptUserPsbt } from "../spend/sign.ts";
import { INTENT_STATES } from "../tables/schema.ts";
import { PSBT_TEXT_CHARACTERS_MAX, unknown } from "./body.ts";
import { intentAnswer, intentSummary, intentsAnswer, intentView } from "./intent-view.ts";
import { sendProblem } from "./problem.ts";
import { type RaisingParts, raisingRoutes } from "./raising.ts";

const intentsQuery = pageQuery("intents");

export interface IntentApiParts extends RaisingParts {
  readonly combiner: Combiner;
}

const psbtAnswer = z.strictObject({
  psbt: z.string(),
  intent: z.looseObject({}),
  state: z.enum(INTENT_STATES),
});
const signedAnswer = intentAnswer.extend({ ignored: z.array(z.looseObject({})) });

/** What is raised and taken back. An operator who asks for a user has a second one agree. */
export function intentRoutes(parts: IntentApiParts): readonly Route[] {
  const { store } = parts;
  const own = ownIntent(store);
  return [
    ...raisingRoutes(parts),
    {
      ...{ method: "get", path: "/v1/intents", query: intentsQuery, answer: intentsAnswer },
      opens: ["user", "operator", "auditor"],
      says: "Spends, newest first; a user's own.",
      handle: (request, response) => listIntents(parts, request, response),
    },
    {
      ...{ method: "get", path: "/v1/intents/{id}", answer: intentAnswer },
      ...{ opens: ["user", "operator", "auditor"], own },
      says: "A spend with its history.",
      async handle(request, response) {
        const intent = await findIntent(store.db, idOf(request));
        if (intent === null) return unknown(response, "intent");
        response.json(await intentView(store.db, intent));
      },
    },
    {
      ...{ method: "post", path: "/v1/intents/{id}/cancel", answer: intentAnswer },
      ...{ opens: ["user", "operator"], own },
      says: "Takes a spend back, before the first signature.",
      async handle(request, response) {
        const id = idOf(request);
        const cancelled = await cancel(parts, id);
        const intent = await findIntent(store.db, id);
        if (intent === null) return unknown(response, "intent");
        if (!cancelled && intent.state !== "cancelled") {
          const detail = `the intent is ${intent.state}: only before the first signature`;
          return sendProblem(response, { code: "conflict", detail });
        }
        response.json(await intentView(store.db, intent));
      },
    },
    ...signingRoutes(parts),
  ];
}

function signingRoutes(parts: IntentApiParts): readonly Route[] {
  const { store, running } = parts;
  const own = ownIntent(store);
  return [
    {
      ...{ method: "get", path: "/v1/intents/{id}/psbt", answer: psbtAnswer },
      ...{ opens: ["user", "operator", "auditor"], own },
      says: "What the user's signer is to sign.",
      async handle(request, response) {
        const intent = await findIntent(store.db, idOf(request));
        if (intent === null) return unknown(response, "intent");
        if (intent.psbt === null) {
          const detail = `the intent is ${intent.state}: there is no PSBT yet`;
          return sendProblem(response, { code: "conflict", detail });
        }
        const document = JSON.parse(intent.document) as unknown;
        const psbt = base64.encode(intent.psbt);
        response.json({ psbt, intent: document, state: intent.state });
      },
    },
    {
      ...{ method: "post", path: "/v1/intents/{id}/psbt", body: psbtBody, answer: signedAnswer },
      ...{ opens: ["user", "operator"], own },
      says: "Brings the user's signatures.",
      async handle(request, response) {
        const id = idOf(request);
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
        const view = await intentView(store.db, intent);
        response.json({ ...view, ignored: outcome.rejected });
      },
    },
    {
      ...{ method: "post", path: "/v1/intents/{id}/evidence", body: evidenceBody },
      ...{ answer: intentAnswer, opens: ["operator"] },
      says: "Brings what signers ask for besides; the last that was brought counts.",
      async handle(request, response) {
        const id = idOf(request);
        const { evidence } = evidenceBody.parse(request.body);
        const reasons = evidenceReasons(evidence);
        const [detail = ""] = reasons;
        if (reasons.length > 0) return sendProblem(response, { code: "refused", detail, reasons });
        const kept = await keepEvidence(store.db, { id, evidence: JSON.stringify(evidence) });
        const intent = await findIntent(store.db, id);
        if (intent === null) return unknown(response, "intent");
        if (!kept) {
          return sendProblem(response, { code: "conflict", detail: `it is ${intent.state}` });
        }
        running.wake();
        response.json(await intentView(store.db, intent));
      },
    },
  ];
}

function ownIntent({ db }: Store): Own {
  return {
    what: "intent",
    account: async (request) => (await findIntent(db, idOf(request)))?.account ?? null,
  };
}

async function listIntents(
  { store }: IntentApiParts,
  request: Request,
  response: Response,
): Promise<void> {
  const { cursor, limit } = intentsQuery.parse(request.query);
  const { account } = callerOf(response);
  const rows = await intentsPage(store.db, { account, after: cursor, limit: limit + 1 });
  const page = pageOf("intents", { rows, limit }, (row) => ({ at: row.created_at, id: row.id }));
  response.json({ intents: page.rows.map(intentSummary), next: page.next });
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
