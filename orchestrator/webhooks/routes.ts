/** The operator's routes for webhooks: endpoints, what they were told, dead letters. */
import type { Response } from "express";
import { z } from "zod";
import { EVENT_KINDS } from "../accounts/events.ts";
import { sendProblem } from "../api/problem.ts";
import { pageOf, pageQuery } from "../doors/cursor.ts";
import { logOf } from "../doors/request-id.ts";
import { idOf, type Route } from "../doors/route.ts";
import {
  addEndpoint,
  type Endpoint,
  type EndpointParts,
  findEndpoint,
  listEndpoints,
  renewSecret,
  setDisabled,
} from "./endpoints.ts";
import { type Delivery, deliveriesOf, deliveryId, drop, replay, replayAll } from "./queue.ts";
import { URL_CHARACTERS_MAX } from "./target.ts";

const ACCOUNTS_MAX = 1_000;
const sequence = z.string().regex(/^[0-9]{1,18}$/, "must be the sequence of an event");
const body = z.strictObject({
  url: z.string().max(URL_CHARACTERS_MAX),
  kinds: z.array(z.enum(EVENT_KINDS)).min(1).optional(),
  accounts: z.array(z.string().min(1).max(100)).min(1).max(ACCOUNTS_MAX).optional(),
  from: sequence.optional(),
});
const time = z.iso.datetime();
const endpointAnswer = z.strictObject({
  id: z.string(),
  url: z.string(),
  kinds: z.array(z.enum(EVENT_KINDS)).nullable(),
  accounts: z.array(z.string()).nullable(),
  disabled: z.boolean(),
  cursor: z.string(),
  failures: z.int(),
  restingUntil: time.nullable(),
  createdAt: time,
});
const secretAnswer = endpointAnswer.extend({ secret: z.string().nullable() });
const listAnswer = z.strictObject({ endpoints: z.array(endpointAnswer) });
const STATES = ["waiting", "delivered", "dead", "dropped"] as const;
const deliveryAnswer = z.strictObject({
  event: z.string(),
  id: z.string(),
  account: z.string().nullable(),
  state: z.enum(STATES),
  attempts: z.int(),
  status: z.int().nullable(),
  reason: z.string(),
  retryAt: time.nullable(),
  endedAt: time.nullable(),
});
const query = pageQuery("deliveries").extend({ state: z.enum(STATES).optional() });
const deliveriesAnswer = z.strictObject({
  deliveries: z.array(deliveryAnswer),
  next: z.string().nullable(),
});
const replayedAnswer = z.strictObject({ replayed: z.int() });

export function webhookRoutes(parts: EndpointParts): readonly Route[] {
  return [...endpointRoutes(parts), ...deliveryRoutes(parts)];
}

function endpointRoutes(parts: EndpointParts): readonly Route[] {
  const { db } = parts.store;
  return [
    {
      ...{ method: "post", path: "/v1/webhooks", body, answer: secretAnswer, also: [201] },
      // What is said of accounts goes to strangers from then on.
      ...{ opens: ["operator"], second: true },
      says: "Adds an endpoint; its secret is shown once. Again the same without it.",
      async handle(request, response) {
        const { url, kinds = null, accounts = null, from } = body.parse(request.body);
        const wish = { url, kinds, accounts, from: from === undefined ? null : BigInt(from) };
        const outcome = await addEndpoint(parts, wish);
        if (outcome.kind === "refused") {
          const [detail = ""] = outcome.reasons;
          const code = outcome.code === "conflict" ? "conflict" : "refused";
          return sendProblem(response, { code, detail, reasons: outcome.reasons });
        }
        const { endpoint, secret } = outcome;
        if (secret !== null) logOf(response).info({ endpoint: endpoint.id }, "webhook added");
        response.status(secret === null ? 200 : 201).json({ ...endpointView(endpoint), secret });
      },
    },
    {
      ...{ method: "get", path: "/v1/webhooks", answer: listAnswer },
      opens: ["operator", "auditor"],
      says: "Every endpoint, without its secret.",
      async handle(_request, response) {
        response.json({ endpoints: (await listEndpoints(db)).map(endpointView) });
      },
    },
    {
      ...{ method: "post", path: "/v1/webhooks/{id}/secret", answer: secretAnswer },
      ...{ opens: ["operator"], second: true },
      says: "A new secret, shown once; the old one signs nothing any more.",
      async handle(request, response) {
        const renewed = await renewSecret(parts, idOf(request));
        if (renewed === null) return notThere(response, "endpoint");
        logOf(response).info({ endpoint: renewed.endpoint.id }, "webhook has a new secret");
        response.json({ ...endpointView(renewed.endpoint), secret: renewed.secret });
      },
    },
    ...[true, false].map((disabled): Route => {
      const word = disabled ? "disable" : "enable";
      return {
        ...{ method: "post", path: `/v1/webhooks/{id}/${word}`, answer: endpointAnswer },
        opens: ["operator"],
        says: disabled
          ? "It is told nothing, and nothing is lost."
          : "It hears what it has missed.",
        async handle(request, response) {
          const endpoint = await setDisabled(db, idOf(request), disabled);
          if (endpoint === null) return notThere(response, "endpoint");
          logOf(response).info({ endpoint: endpoint.id }, `webhook ${word}d`);
          response.json(endpointView(endpoint));
        },
      };
    }),
  ];
}

function deliveryRoutes({ store, clock }: EndpointParts): readonly Route[] {
  const { db } = store;
  return [
    {
      ...{ method: "get", path: "/v1/webhooks/{id}/deliveries", query, answer: deliveriesAnswer },
      opens: ["operator", "auditor"],
      says: "What the endpoint was told, newest first; `?state=dead` are the dead letters.",
      async handle(request, response) {
        const { cursor, limit, state = null } = query.parse(request.query);
        const endpoint = idOf(request);
        if ((await findEndpoint(db, endpoint)) === null) return notThere(response, "endpoint");
        const wish = { endpoint, state, before: cursor?.at ?? null, limit: limit + 1 };
        const rows = await deliveriesOf(db, wish);
        const page = pageOf("deliveries", { rows, limit }, ({ event }) => ({ at: event, id: "" }));
        response.json({ deliveries: page.rows.map(deliveryView), next: page.next });
      },
    },
    {
      ...{ method: "post", path: "/v1/webhooks/{id}/replay", answer: replayedAnswer },
      opens: ["operator"],
      says: "Takes up the endpoint's dead letters anew, the oldest first, a thousand at most.",
      async handle(request, response) {
        const endpoint = idOf(request);
        if ((await findEndpoint(db, endpoint)) === null) return notThere(response, "endpoint");
        response.json({ replayed: await replayAll(db, endpoint, clock()) });
      },
    },
    ...(["replay", "drop"] as const).map((word): Route => {
      const path = `/v1/webhooks/{id}/deliveries/{event}/${word}`;
      return {
        ...{ method: "post", path, answer: deliveryAnswer, opens: ["operator"] },
        says:
          word === "replay" ? "Takes a dead letter up anew." : "Lets what it holds back go out.",
        async handle(request, response) {
          const event = sequence.safeParse(request.params["event"]);
          if (!event.success) return notThere(response, "dead letter");
          const letter = { endpoint: idOf(request), event: BigInt(event.data) };
          const row = await { replay, drop }[word](db, letter, clock());
          if (row === null) return notThere(response, "dead letter");
          const fields = { endpoint: row.endpoint, event: String(row.event) };
          logOf(response).info(fields, `webhook ${word === "drop" ? "dropped" : "replayed"}`);
          response.json(deliveryView(row));
        },
      };
    }),
  ];
}

function endpointView(endpoint: Endpoint) {
  return {
    ...{ id: endpoint.id, url: endpoint.url, kinds: endpoint.kinds, accounts: endpoint.accounts },
    disabled: endpoint.disabled,
    cursor: String(endpoint.cursor),
    failures: Number(endpoint.failures),
    restingUntil: endpoint.restingUntil === 0n ? null : timeOf(endpoint.restingUntil),
    createdAt: timeOf(endpoint.createdAt),
  };
}

function deliveryView(row: Delivery) {
  return {
    event: String(row.event),
    id: deliveryId(row),
    account: row.lane === "" ? null : row.lane,
    state: row.state,
    attempts: Number(row.attempts),
    status: row.status === null ? null : Number(row.status),
    reason: row.reason,
    retryAt: row.state === "waiting" ? timeOf(row.retry_at) : null,
    endedAt: row.ended_at === null ? null : timeOf(row.ended_at),
  };
}

function timeOf(at: bigint): string {
  return new Date(Number(at)).toISOString();
}

function notThere(response: Response, what: string): void {
  sendProblem(response, { code: "not-found", detail: `there is no such ${what}` });
}
