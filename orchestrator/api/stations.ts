/** Stations at the API, as the operator registers them; their own pages are in station-own.ts. */
import type { Response } from "express";
import { z } from "zod";
import { PARTS } from "../../policies/ceremony.ts";
import { name } from "../../policies/evidence/scalar.ts";
import type { NoticeParts } from "../ceremony/notices.ts";
import {
  disableStation,
  listStations,
  registerStation,
  renewToken,
  type StationRow,
} from "../ceremony/stations.ts";
import { logOf } from "../doors/request-id.ts";
import { idOf, type Route } from "../doors/route.ts";
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

const stationAnswer = z.strictObject({
  id: z.string(),
  name: z.string(),
  role: z.enum(["user", ...PARTS]),
  account: z.string().nullable(),
  key: z.string(),
  disabled: z.boolean(),
});
const registeredAnswer = stationAnswer.extend({ token: z.string().nullable() });
const stationsAnswer = z.strictObject({ stations: z.array(stationAnswer) });

/** The operator's routes. */
export function stationRoutes(parts: StationApiParts): readonly Route[] {
  const { store } = parts;
  return [
    {
      ...{ method: "post", path: "/v1/stations", body: stationBody, answer: registeredAnswer },
      ...{ also: [201], opens: ["operator"], second: true },
      says: "Registers a station; its token is shown once.",
      async handle(request, response) {
        const outcome = await registerStation(parts, stationBody.parse(request.body));
        if (outcome.kind === "refused") return sendUnheard(response, outcome);
        const { station, token } = outcome;
        const { name: called, role } = station;
        if (token !== null) logOf(response).info({ station: called, role }, "station registered");
        response.status(token === null ? 200 : 201).json({ ...stationView(station), token });
      },
    },
    {
      ...{ method: "get", path: "/v1/stations", answer: stationsAnswer },
      opens: ["operator", "auditor"],
      says: "Every station, without tokens.",
      async handle(_request, response) {
        response.json({ stations: (await listStations(store.db)).map(stationView) });
      },
    },
    {
      ...{ method: "post", path: "/v1/stations/{id}/token", answer: registeredAnswer },
      ...{ opens: ["operator"], second: true },
      says: "A new token; the old one opens nothing any more.",
      async handle(request, response) {
        const renewed = await renewToken(parts, idOf(request));
        if (renewed === null) return notThere(response, "station");
        logOf(response).info({ station: renewed.station.name }, "station has a new token");
        response.json({ ...stationView(renewed.station), token: renewed.token });
      },
    },
    {
      ...{ method: "delete", path: "/v1/stations/{id}", answer: stationAnswer },
      opens: ["operator"],
      says: "Its token opens nothing any more.",
      async handle(request, response) {
        const station = await disableStation(parts, idOf(request));
        if (station === null) return notThere(response, "station");
        logOf(response).info({ station: station.name }, "station disabled");
        response.json(stationView(station));
      },
    },
  ];
}

function stationView({ id, name: called, role, account, key, token_hash }: StationRow) {
  return { id, name: called, role, account, key, disabled: token_hash === null };
}

export function sendUnheard(
  response: Response,
  { code, reasons }: { readonly code: "conflict" | "content"; readonly reasons: readonly string[] },
): void {
  const [detail = ""] = reasons;
  sendProblem(response, { code: code === "conflict" ? "conflict" : "refused", detail, reasons });
}

/** What belongs to another is not there. */
export function notThere(response: Response, what: string): void {
  sendProblem(response, { code: "not-found", detail: `there is no such ${what}` });
}
