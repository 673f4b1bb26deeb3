/** Proposals at the API: those that wait, and the approval that has one done. */
import type { Request, Response } from "express";
import { z } from "zod";
import { sendProblem } from "../api/problem.ts";
import { beforeAnswer } from "./answer.ts";
import { callerOf } from "./caller.ts";
import { pageOf, pageQuery } from "./cursor.ts";
import {
  approve,
  findProposal,
  type ProposalParts,
  type ProposalRow,
  proposalsPage,
  settle,
  standing,
} from "./proposals.ts";
import { logOf } from "./request-id.ts";
import { findRoute, idOf, type Route } from "./route.ts";

export const proposalAnswer = z.strictObject({
  id: z.string(),
  /** `done` or `refused`: `status` says how. */
  state: z.enum(["waiting", "approved", "done", "refused", "expired"]),
  method: z.string(),
  path: z.string(),
  body: z.unknown(),
  proposer: z.string(),
  approver: z.string().nullable(),
  createdAt: z.iso.datetime(),
  expiresAt: z.iso.datetime(),
  status: z.int().nullable(),
});
const listAnswer = z.strictObject({
  proposals: z.array(proposalAnswer),
  next: z.string().nullable(),
});
const query = pageQuery("proposals");

/** @param routes all that can be proposed */
export function proposalRoutes(
  parts: ProposalParts,
  routes: () => readonly Route[],
): readonly Route[] {
  const { store, clock } = parts;
  /** One at a time: the second of two approvals finds the first at work. */
  const working = new Set<string>();
  return [
    {
      ...{ method: "get", path: "/v1/proposals", query, answer: listAnswer },
      opens: ["operator", "auditor"],
      says: "What waits for a second operator, and what came of it, newest first.",
      async handle(request, response) {
        const { cursor, limit } = query.parse(request.query);
        const rows = await proposalsPage(store.db, { after: cursor, limit: limit + 1 });
        const page = pageOf("proposals", { rows, limit }, (row) => ({
          at: row.created_at,
          id: row.id,
        }));
        const now = clock();
        response.json({
          proposals: page.rows.map((row) => proposalView(row, now)),
          next: page.next,
        });
      },
    },
    {
      ...{ method: "get", path: "/v1/proposals/{id}", answer: proposalAnswer },
      opens: ["operator", "auditor"],
      says: "One of them.",
      async handle(request, response) {
        const row = await findProposal(store.db, idOf(request));
        if (row === null) return notThere(response);
        response.json(proposalView(row, clock()));
      },
    },
    {
      ...{ method: "post", path: "/v1/proposals/{id}/approve", answer: z.looseObject({}) },
      also: [201],
      opens: ["operator"],
      says: "Has it done, once, and answers what the proposed request answers.",
      handle: (request, response) =>
        approval(parts, { working, routes: routes() }, request, response),
    },
  ];
}

async function approval(
  parts: ProposalParts,
  { working, routes }: { readonly working: Set<string>; readonly routes: readonly Route[] },
  request: Request,
  response: Response,
): Promise<void> {
  const id = idOf(request);
  const { id: approver } = callerOf(response);
  if (working.has(id)) {
    return sendProblem(response, { code: "conflict", detail: "the proposal is being done" });
  }
  working.add(id);
  let approved = false;
  beforeAnswer(
    response,
    async ({ status }) => {
      if (approved) await settle(parts.store.db, { id, status });
      working.delete(id);
    },
    (error) => {
      working.delete(id);
      logOf(response).error({ reason: String(error) }, "proposal not settled");
    },
  );
  const outcome = await approve(parts, { id, approver });
  if (outcome === null) return notThere(response);
  if (outcome.kind === "refused") {
    const code = outcome.code === "own" ? "forbidden" : "conflict";
    return sendProblem(response, { code, detail: outcome.detail });
  }
  approved = true;
  const { row } = outcome;
  const found = findRoute(routes, row);
  if (found === null) {
    return sendProblem(response, { code: "not-found", detail: "there is no such page any more" });
  }
  logOf(response).info({ proposal: id, path: row.path, approver }, "proposal approved");
  request.params = { ...found.params };
  request.body = JSON.parse(row.body);
  await found.route.handle(request, response);
}

export function proposalView(row: ProposalRow, now: bigint) {
  return {
    id: row.id,
    state: standing(row, now),
    method: row.method,
    path: row.path,
    body: JSON.parse(row.body) as unknown,
    proposer: row.proposer,
    approver: row.approver,
    createdAt: new Date(Number(row.created_at)).toISOString(),
    expiresAt: new Date(Number(row.expires_at)).toISOString(),
    status: row.status === null ? null : Number(row.status),
  };
}

function notThere(response: Response): void {
  sendProblem(response, { code: "not-found", detail: "there is no such proposal" });
}
