/** What the API says when it does not do what was asked: problem documents (RFC 9457). */
import type { Response } from "express";
import { z } from "zod";
import { BitcoindError } from "../../signer/node/bitcoind-error.ts";
import { requestIdOf } from "../doors/request-id.ts";

/** How each is answered; those of one status tell callers apart what to do. */
const FORMS = {
  unauthorized: { status: 401, title: "Unauthorized" },
  forbidden: { status: 403, title: "Forbidden" },
  "wrong-host": { status: 421, title: "Misdirected Request" },
  "not-found": { status: 404, title: "Not Found" },
  "user-not-found": { status: 404, title: "Not Found" },
  "bad-request": { status: 400, title: "Bad Request" },
  "insufficient-funds": { status: 402, title: "Payment Required" },
  timeout: { status: 408, title: "Request Timeout" },
  invalid: { status: 422, title: "The request is not valid" },
  body: { status: 400, title: "The body cannot be read" },
  conflict: { status: 409, title: "Conflict" },
  "idempotency-conflict": { status: 422, title: "The key stands for another request" },
  refused: { status: 422, title: "Refused" },
  "too-many": { status: 429, title: "Too Many Requests" },
  unavailable: { status: 503, title: "Not now" },
  internal: { status: 500, title: "The orchestrator failed" },
} as const satisfies Record<string, { readonly status: number; readonly title: string }>;

export type ProblemCode = keyof typeof FORMS;

export interface Problem {
  readonly code: ProblemCode;
  readonly detail: string;
  /** Every reason, where there is more than one. */
  readonly reasons?: readonly string[];
  readonly retryAfterSeconds?: number;
}

/** Waiting may help; with all others the request itself must change. */
const RETRYABLE: readonly number[] = [408, 429, 503];

export const problemAnswer = z.strictObject({
  type: z.literal("about:blank"),
  title: z.string(),
  status: z.int(),
  code: z.enum(Object.keys(FORMS) as [ProblemCode, ...ProblemCode[]]),
  detail: z.string(),
  reasons: z.array(z.string()).optional(),
  retryable: z.boolean(),
  retryAfterSeconds: z.int().optional(),
  /** As in `X-Request-ID` and in the log. */
  requestId: z.string().optional(),
});

export function sendProblem(response: Response, problem: Problem, status?: number): void {
  const form = FORMS[problem.code];
  const body = {
    type: "about:blank",
    ...form,
    ...(status !== undefined && { status }),
    ...problem,
    retryable: RETRYABLE.includes(status ?? form.status),
    requestId: requestIdOf(response),
  };
  response.status(body.status).type("application/problem+json").json(body);
}

/** A request that is not done: thrown where an answer would have to be carried through many hands. */
export class ProblemError extends Error {
  override readonly name = "ProblemError";
  readonly problem: Problem;

  constructor(problem: Problem) {
    super(problem.detail);
    this.problem = problem;
  }
}

/** The problem that a fault is for whoever asked; its details stay in the log. */
export function problemOf(error: unknown): { readonly problem: Problem; readonly status?: number } {
  if (error instanceof ProblemError) return { problem: error.problem };
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
