/**
 * A station's own pages: what waits for it, its answers, and the words of users. Its token opens them
 * and nothing else; what is not its own is not there for it.
 */
import type { NextFunction, Request, Response } from "express";
import { z } from "zod";
import { REASON_CHARACTERS_MAX } from "../../policies/ceremony.ts";
import type { Standing } from "../../policies/ceremony-events.ts";
import { LINE_BYTES_MAX } from "../../policies/evidence/line.ts";
import { NOTICE_KINDS } from "../../policies/evidence/notice.ts";
import { answerDeclined, answerSigned } from "../ceremony/answers.ts";
import type { AnswerOutcome } from "../ceremony/heard.ts";
import { keepNotice, noticesFor } from "../ceremony/notices.ts";
import { requestsFor } from "../ceremony/requests.ts";
import { type StationRow, stationOfToken } from "../ceremony/stations.ts";
import { answerWord } from "../ceremony/words.ts";
import { idOf, type Route } from "../doors/route.ts";
import { BODY_BYTES_MAX } from "./body.ts";
import { sendProblem } from "./problem.ts";
import { notThere, type StationApiParts, sendUnheard } from "./stations.ts";

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

const signedBody = z.strictObject({
  psbt: z.string().max(BODY_BYTES_MAX),
  event: eventBody.optional(),
});
const heardAnswer = z.strictObject({
  fresh: z.boolean(),
  ceremony: z
    .strictObject({
      state: z.string(),
      head: z.strictObject({ sequence: z.int(), hash: z.string() }),
    })
    .nullable(),
});
const requestsAnswer = z.strictObject({
  requests: z.array(z.looseObject({ id: z.string() })),
  ended: z.array(z.looseObject({})),
});
const noticesAnswer = z.strictObject({ notices: z.array(z.looseObject({ sequence: z.int() })) });
const noticeAnswer = z.strictObject({
  notice: z.enum(NOTICE_KINDS),
  vault: z.string(),
  fresh: z.boolean(),
});

/** A station's own routes: they have a token of their own. */
export function ownRoutes(parts: StationApiParts): readonly Route[] {
  const { store, running } = parts;
  const opens = "station";
  return [
    {
      ...{ method: "get", path: "/v1/station/requests", answer: requestsAnswer, opens },
      says: "What waits for this station.",
      async handle(_request, response) {
        response.json(await requestsFor(store.db, stationOf(response)));
      },
    },
    {
      ...{ method: "post", path: "/v1/station/requests/{id}/signed", body: signedBody },
      ...{ answer: heardAnswer, opens },
      says: "Its signatures, and in a ceremony the line that says so.",
      async handle(request, response) {
        const { psbt, event = null } = signedBody.parse(request.body);
        const signed = { intent: idOf(request), psbt, event };
        const outcome = await answerSigned(parts, stationOf(response), signed);
        sendAnswer(response, outcome, "request");
        running.wake();
      },
    },
    {
      ...{ method: "post", path: "/v1/station/requests/{id}/declined", body: declinedBody },
      ...{ answer: heardAnswer, opens },
      says: "Its no, and why.",
      async handle(request, response) {
        const { reason, event = null } = declinedBody.parse(request.body);
        const declined = { intent: idOf(request), reason, event };
        const outcome = await answerDeclined(parts, stationOf(response), declined);
        sendAnswer(response, outcome, "request");
        running.wake();
      },
    },
    {
      ...{ method: "post", path: "/v1/station/ceremonies/{id}/events", body: eventBody },
      ...{ answer: heardAnswer, opens },
      says: "A line of a ceremony that it has signed.",
      async handle(request, response) {
        const signed = eventBody.parse(request.body);
        const word = { ceremony: idOf(request), signed };
        sendAnswer(response, await answerWord(parts, stationOf(response), word), "ceremony");
        running.wake();
      },
    },
    ...noticeRoutes(parts),
  ];
}

function noticeRoutes(parts: StationApiParts): readonly Route[] {
  const { store, running } = parts;
  const place = { path: "/v1/station/notices", opens: "station" } as const;
  return [
    {
      ...{ ...place, method: "get", query: afterQuery, answer: noticesAnswer },
      says: "What users have said outside of any spend.",
      async handle(request, response) {
        const { after } = afterQuery.parse(request.query);
        response.json({ notices: await noticesFor(store.db, stationOf(response), after) });
      },
    },
    {
      ...{ ...place, method: "post", body: noticeBody, answer: noticeAnswer, also: [201] },
      says: "A user's signed words.",
      async handle(request, response) {
        const heard = noticeBody.parse(request.body);
        const outcome = await keepNotice(parts, stationOf(response), heard);
        if (outcome.kind === "refused") return sendUnheard(response, outcome);
        const { notice, fresh } = outcome;
        if (fresh) running.wake();
        const said = { notice: notice.kind, vault: notice.vault, fresh };
        response.status(fresh ? 201 : 200).json(said);
      },
    },
  ];
}

/** Before a byte of a body is read. */
export function stationOnly({ store }: Pick<StationApiParts, "store">) {
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
