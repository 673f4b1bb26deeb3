/** What the API says when it does not do what was asked: problem documents (RFC 9457). */
import type { Response } from "express";
import { z } from "zod";
import { BitcoindError } from "../../signer/node/bitcoind-error.ts";

export type ProblemCode =
  | "unauthorized"
  | "wrong-host"
  | "not-found"
  | "invalid"
  | "body"
  | "conflict"
  | "refused"
  | "unavailable"
  | "internal";

export interface Problem {
  readonly code: ProblemCode;
  readonly detail: string;
  /** Every reason, where there is more than one. */
  readonly reasons?: readonly string[];
}

const FORMS: Readonly<Record<ProblemCode, { readonly status: number; readonly title: string }>> = {
  unauthorized: { status: 401, title: "Unauthorized" },
  "wrong-host": { status: 421, title: "Misdirected Request" },
  "not-found": { status: 404, title: "Not Found" },
  invalid: { status: 422, title: "The request is not valid" },
  body: { status: 400, title: "The body cannot be read" },
  conflict: { status: 409, title: "Conflict" },
  refused: { status: 422, title: "Refused" },
  unavailable: { status: 503, title: "Not now" },
  internal: { status: 500, title: "The orchestrator failed" },
};

export function sendProblem(response: Response, problem: Problem, status?: number): void {
  const form = FORMS[problem.code];
  const body = {
    type: "about:blank",
    ...form,
    ...(status !== undefined && { status }),
    ...problem,
  };
  response.status(body.status).type("application/problem+json").json(body);
}

/** The problem that a fault is for whoever asked; its details stay in the log. */
export function problemOf(error: unknown): { readonly problem: Problem; readonly status?: number } {
  if (error instanceof z.ZodError) {
    const reasons = error.issues.map(
      (issue) => `${issue.path.join(".") || "body"}: ${issue.message}`,
    );
    return { problem: { code: "invalid", detail: reasons[0] ?? "", reasons } };
  }
  const status = bodyStatus(error);
  if (status !== null) {
    return { problem: { code: "body", detail: "it is too large or no JSON" }, status };
  }
  if (isPassing(error)) {
    const detail = error instanceof BitcoindError ? "the node does not answer" : error.message;
    return { problem: { code: "unavailable", detail } };
  }
  return { problem: { code: "internal", detail: "the log says more" } };
}

/** Faults of the node and of signers say whether the same may succeed later. */
function isPassing(error: unknown): error is Error {
  return error instanceof Error && "passing" in error && error.passing === true;
}

/** Express's body parser throws errors with a client's status; all else is ours. */
function bodyStatus(error: unknown): number | null {
  const status = error instanceof Error && "status" in error ? error.status : null;
  return typeof status === "number" && status >= 400 && status < 500 ? status : null;
}
