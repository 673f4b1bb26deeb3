/** The operator's routes for ceremonies: open, look, export, supersede. Signing is the stations'. */
import type { Response } from "express";
import { z } from "zod";
import { ASSENTS, PARTS, type QuorumPart, REASON_CHARACTERS_MAX } from "../../policies/ceremony.ts";
import { CEREMONY_STATES, namesOf, waitedFor } from "../../policies/ceremony-events.ts";
import { name } from "../../policies/evidence/scalar.ts";
import {
  findCeremony,
  type LoadedCeremony,
  listCeremonies,
  transcriptOf,
} from "../ceremony/ceremonies.ts";
import {
  type CeremonyOutcome,
  type CeremonyParts,
  openCeremony,
  supersede,
} from "../ceremony/opening.ts";
import { ceremonyView } from "../ceremony/requests.ts";
import { idOf, type Route } from "../doors/route.ts";
import type { RunningRoles } from "../role.ts";
import { type ProblemCode, sendProblem } from "./problem.ts";

export interface CeremonyApiParts extends CeremonyParts {
  readonly running: RunningRoles;
  readonly ceremonies: CeremonyTerms;
}

/** What a ceremony has unless its opener says otherwise. */
export interface CeremonyTerms {
  readonly hours: number;
  /** Basis points of the time to the deadline. */
  readonly remindersBps: readonly number[];
}

const QUORUM_PARTS = Object.keys(ASSENTS) as [QuorumPart, ...QuorumPart[]];
/** About a block every ten minutes. */
const BLOCKS_AN_HOUR = 6;
/** Six weeks: longer than any signature is worth something. */
const HOURS_MAX = 1_008;

const openBody = z.strictObject({
  intent: z.string().regex(/^[0-9a-f]{64}$/),
  participants: z
    .array(
      z.strictObject({
        name,
        role: z.enum(PARTS),
        key: z
          .string()
          .regex(/^[0-9a-f]{64}$/)
          .optional(),
      }),
    )
    .min(1)
    .max(20),
  quorum: z.strictObject({ approvals: z.array(z.enum(QUORUM_PARTS)).min(1).max(4) }),
  deadline: z
    .strictObject({
      hours: z.int().min(1).max(HOURS_MAX).optional(),
      blocks: z.int().min(1).max(10_000).optional(),
    })
    .default({}),
});

const supersedeBody = z.strictObject({
  reason: z.string().trim().min(1).max(REASON_CHARACTERS_MAX),
  /** `keep`: another ceremony may be opened for the intent. */
  intent: z.enum(["end", "keep"]).default("end"),
});

const SHOWN_MAX = 100;

const waitingFor = z.array(z.string());
const ceremonyAnswer = z.strictObject({
  id: z.string(),
  state: z.enum(CEREMONY_STATES),
  closed: z.boolean(),
  /** `ballast/ceremony@1` */
  document: z.looseObject({}),
  head: z.strictObject({ sequence: z.int(), hash: z.string() }),
  events: z.array(z.looseObject({})),
  waitingFor,
});
const ceremoniesAnswer = z.strictObject({
  ceremonies: z.array(
    z.strictObject({
      id: z.string(),
      intent: z.string(),
      state: z.enum(CEREMONY_STATES),
      closed: z.boolean(),
      deadline: z.looseObject({}),
      participants: z.array(z.strictObject({ name: z.string(), role: z.enum(PARTS) })),
      waitingFor,
    }),
  ),
});
const transcriptAnswer = z.looseObject({ format: z.literal("ballast/ceremony-transcript@1") });

export function ceremonyRoutes(parts: CeremonyApiParts): readonly Route[] {
  const { store } = parts;
  const reads = ["operator", "auditor"] as const;
  return [
    {
      ...{ method: "get", path: "/v1/ceremonies", answer: ceremoniesAnswer, opens: reads },
      says: "The newest ceremonies.",
      async handle(_request, response) {
        const list = await listCeremonies(store.db, SHOWN_MAX);
        response.json({ ceremonies: list.map(summary) });
      },
    },
    {
      ...{ method: "get", path: "/v1/ceremonies/{id}", answer: ceremonyAnswer, opens: reads },
      says: "One of them, with its events.",
      async handle(request, response) {
        const loaded = await findCeremony(store.db, idOf(request));
        if (loaded === null) return notThere(response);
        response.json(operatorView(loaded));
      },
    },
    {
      ...{ method: "get", path: "/v1/ceremonies/{id}/transcript", answer: transcriptAnswer },
      opens: reads,
      says: "What is kept of it, to be verified offline.",
      async handle(request, response) {
        const loaded = await findCeremony(store.db, idOf(request));
        if (loaded === null) return notThere(response);
        response.json(await transcriptOf(store.db, loaded));
      },
    },
    ...changingRoutes(parts),
  ];
}

/** Not for two: who takes part in a ceremony decides there, and each signs with a key. */
function changingRoutes(parts: CeremonyApiParts): readonly Route[] {
  const { running, ceremonies } = parts;
  return [
    {
      ...{ method: "post", path: "/v1/ceremonies", body: openBody, answer: ceremonyAnswer },
      ...{ also: [201], opens: ["operator"] },
      says: "Opens a ceremony for a spend that waits for people.",
      async handle(request, response) {
        const { deadline, ...rest } = openBody.parse(request.body);
        const hours = deadline.hours ?? ceremonies.hours;
        const blocks = deadline.blocks ?? hours * BLOCKS_AN_HOUR;
        const wish = { ...rest, hours, blocks, reminders: ceremonies.remindersBps };
        const outcome = await openCeremony(parts, wish);
        if (outcome.kind === "refused") return sendRefusal(response, outcome);
        running.wake();
        response.status(outcome.fresh ? 201 : 200).json(operatorView(outcome.loaded));
      },
    },
    {
      ...{ method: "post", path: "/v1/ceremonies/{id}/supersede", body: supersedeBody },
      ...{ answer: ceremonyAnswer, opens: ["operator"] },
      says: "Ends a ceremony, and its spend unless that is to be kept.",
      async handle(request, response) {
        const body = supersedeBody.parse(request.body);
        const outcome = await supersede(parts, { id: idOf(request), ...body });
        if (outcome === null) return notThere(response);
        if (outcome.kind === "refused") return sendRefusal(response, outcome);
        running.wake();
        response.json(operatorView(outcome.loaded));
      },
    },
  ];
}

function operatorView(loaded: LoadedCeremony) {
  return { ...ceremonyView(loaded), waitingFor: waiting(loaded) };
}

function summary(loaded: LoadedCeremony) {
  const { ceremony, standing } = loaded;
  const { intent, deadline, participants } = ceremony.document;
  return {
    id: ceremony.id,
    intent,
    state: standing.state,
    closed: standing.closed,
    deadline,
    participants: participants.map(({ name: called, role }) => ({ name: called, role })),
    waitingFor: waiting(loaded),
  };
}

/** By name; nobody once it has ended. */
function waiting({ ceremony, standing }: LoadedCeremony): readonly string[] {
  const names = standing.state === "open" ? namesOf(waitedFor(ceremony, standing)) : "";
  return names === "" ? [] : names.split(",");
}

const CODES: Readonly<Record<Extract<CeremonyOutcome, { kind: "refused" }>["code"], ProblemCode>> =
  { "no-intent": "not-found", conflict: "conflict", content: "refused" };

function sendRefusal(
  response: Response,
  { code, reasons }: Extract<CeremonyOutcome, { kind: "refused" }>,
): void {
  sendProblem(response, { code: CODES[code], detail: reasons[0] ?? "", reasons });
}

function notThere(response: Response): void {
  sendProblem(response, { code: "not-found", detail: "there is no such ceremony" });
}
