/**
 * Stations at the API. The operator registers them; a station's own token opens its own pages and
 * nothing else: what waits for it, its answers, and the words of users. What is not its own is not
 * there for it.
 */
import express, { type NextFunction, type Request, type Response, type Router } from "express";
import { z } from "zod";
import { PARTS, REASON_CHARACTERS_MAX } from "../../policies/ceremony.ts";
import type { Standing } from "../../policies/ceremony-events.ts";
import { LINE_BYTES_MAX } from "../../policies/evidence/line.ts";
import { name } from "../../policies/evidence/scalar.ts";
import { answerDeclined, answerSigned } from "../ceremony/answers.ts";
import type { AnswerOutcome } from "../ceremony/heard.ts";
import { keepNotice, type NoticeParts, noticesFor } from "../ceremony/notices.ts";
import { requestsFor } from "../ceremony/requests.ts";
import {
  disableStation,
  listStations,
  registerStation,
  renewToken,
  type StationRow,
  stationOfToken,
} from "../ceremony/stations.ts";
import { answerWord } from "../ceremony/words.ts";
import type { RunningRoles } from "../role.ts";
import type { Combiner } from "../spend/combiner.ts";
import { sendProblem } from "./problem.ts";

export interface StationApiParts extends NoticeParts {
  readonly combiner: Combiner;
  readonly running: RunningRoles;
}

const xOnly = z.string().regex(/^[0-9a-f]{64}$/, "must be an x-only key of 32 bytes in hex");

const stationBody = z.strictObject({
  name,
  role: z.enum(["user", ...PARTS]),
  account: z.string().max(100).optional(),
  key: xOnly,
});

/** The operator's routes: behind the operator's token. */
export function stationRoutes(parts: StationApiParts): Router {
  const { store, log } = parts;
  const router = express.Router();
  router.post("/v1/stations", async (request, response) => {
    const outcome = await registerStation(parts, stationBody.parse(request.body));
    if (outcome.kind === "refused") return sendUnheard(response, outcome);
    const { station, token } = outcome;
    if (token !== null)
      log.info({ station: station.name, role: station.role }, "station registered");
    response.status(token === null ? 200 : 201).json({ ...stationView(station), token });
  });
  router.get("/v1/stations", async (_request, response) => {
    response.json({ stations: (await listStations(store.db)).map(stationView) });
  });
  router.post("/v1/stations/:id/token", async (request, response) => {
    const renewed = await renewToken(parts, request.params.id);
    if (renewed === null) return notThere(response, "station");
    log.info({ station: renewed.station.name }, "station has a new token");
    response.json({ ...stationView(renewed.station), token: renewed.token });
  });
  router.delete("/v1/stations/:id", async (request, response) => {
    const station = await disableStation(parts, request.params.id);
    if (station === null) return notThere(response, "station");
    log.info({ station: station.name }, "station disabled");
    response.json(stationView(station));
  });
  return router;
}

function stationView({ id, name: called, role, account, key, token_hash }: StationRow) {
  return { id, name: called, role, account, key, disabled: token_hash === null };
}

const hexSignature = z.string().regex(/^[0-9a-f]{128}$/, "must be a signature of 64 bytes in hex");
/** Lines of ceremonies are longer than what a device shows. */
const LINE_CHARACTERS_MAX = 1_200;

const eventBody = z.strictObject({
  line: z.string().max(LINE_CHARACTERS_MAX),
  signature: hexSignature,
});
const noticeBody = z.strictObject({
  text: z.string().max(LINE_BYTES_MAX),
  signature: z
    .string()
    .regex(/^(?:[0-9a-f]{128}|[0-9a-f]{130})$/, "must be a signature of 64 or 65 bytes in hex"),
});
const declinedBody = z.strictObject({
  reason: z.string().trim().min(1).max(REASON_CHARACTERS_MAX),
  event: eventBody.optional(),
});
const afterQuery = z.strictObject({
  after: z
    .string()
    .regex(/^[0-9]{1,15}$/)
    .default("0")
    .transform(Number),
});

/** A station's own routes, to be mounted at /v1/station: they have a token of their own. */
export function ownRoutes(parts: StationApiParts, bodyBytesMax: number): Router {
  const { store, running } = parts;
  const router = express.Router();
  router.use(stationOnly(parts));
  router.use(express.json({ limit: bodyBytesMax, strict: true }));
  const signedBody = z.strictObject({
    psbt: z.string().max(bodyBytesMax),
    event: eventBody.optional(),
  });

  router.get("/requests", async (_request, response) => {
    response.json(await requestsFor(store.db, stationOf(response)));
  });
  router.post("/requests/:intent/signed", async (request, response) => {
    const { psbt, event = null } = signedBody.parse(request.body);
    const signed = { intent: request.params.intent, psbt, event };
    const outcome = await answerSigned(parts, stationOf(response), signed);
    sendAnswer(response, outcome, "request");
    running.wake();
  });
  router.post("/requests/:intent/declined", async (request, response) => {
    const { reason, event = null } = declinedBody.parse(request.body);
    const declined = { intent: request.params.intent, reason, event };
    const outcome = await answerDeclined(parts, stationOf(response), declined);
    sendAnswer(response, outcome, "request");
    running.wake();
  });
  router.post("/ceremonies/:id/events", async (request, response) => {
    const signed = eventBody.parse(request.body);
    const word = { ceremony: request.params.id, signed };
    sendAnswer(response, await answerWord(parts, stationOf(response), word), "ceremony");
    running.wake();
  });
  router.get("/notices", async (request, response) => {
    const { after } = afterQuery.parse(request.query);
    response.json({ notices: await noticesFor(store.db, stationOf(response), after) });
  });
  router.post("/notices", async (request, response) => {
    const outcome = await keepNotice(parts, stationOf(response), noticeBody.parse(request.body));
    if (outcome.kind === "refused") return sendUnheard(response, outcome);
    const { notice, fresh } = outcome;
    if (fresh) running.wake();
    response.status(fresh ? 201 : 200).json({ notice: notice.kind, vault: notice.vault, fresh });
  });
  router.use((_request, response) => {
    sendProblem(response, { code: "not-found", detail: "there is no such page for a station" });
  });
  return router;
}

/** Before a byte of a body is read. */
function stationOnly({ store }: Pick<StationApiParts, "store">) {
  return async (request: Request, response: Response, next: NextFunction): Promise<void> => {
    const [, token] = /^Bearer (\S{1,200})$/.exec(request.get("authorization") ?? "") ?? [];
    const station = token === undefined ? null : await stationOfToken(store.db, token);
    if (station === null) {
      response.set("www-authenticate", "Bearer");
      const detail = "these pages want the token of a station";
      return sendProblem(response, { code: "unauthorized", detail });
    }
    response.locals["station"] = station;
    next();
  };
}

function stationOf(response: Response): StationRow {
  return response.locals["station"] as StationRow;
}

function sendAnswer(response: Response, outcome: AnswerOutcome | null, what: string): void {
  if (outcome === null) notThere(response, what);
  else if (outcome.kind === "refused") sendUnheard(response, outcome);
  else {
    const { fresh, standing } = outcome;
    response.json({ fresh, ceremony: standing && standingView(standing) });
  }
}

function standingView({ state, sequence, head }: Standing) {
  return { state, head: { sequence: sequence - 1, hash: head } };
}

function sendUnheard(
  response: Response,
  { code, reasons }: { readonly code: "conflict" | "content"; readonly reasons: readonly string[] },
): void {
  const [detail = ""] = reasons;
  sendProblem(response, { code: code === "conflict" ? "conflict" : "refused", detail, reasons });
}

/** What belongs to another is not there. */
function notThere(response: Response, what: string): void {
  sendProblem(response, { code: "not-found", detail: `there is no such ${what}` });
}
