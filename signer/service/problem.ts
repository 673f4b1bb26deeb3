/** What is wrong with a request, or with the signer, as RFC 9457 wants it said. */
import type { Response } from "express";
import { z } from "zod";
import { PsbtFault } from "../../policies/bitcoin/psbt.ts";
import { EvidenceError } from "../../policies/evidence.ts";
import { IntentError } from "../../policies/intent.ts";
import { CurveError } from "../curve.ts";
import { KeyError } from "../key-error.ts";
import { JsonError } from "./strict-json.ts";
import type { Problem } from "./wire.ts";

/** A request that is not answered: who asks may not, or asks too much. */
export class ProblemError extends Error {
  override readonly name = "ProblemError";
  readonly problem: Problem;
  constructor(problem: Problem) {
    super(problem.detail);
    this.problem = problem;
  }
}

export function send(response: Response, problem: Problem): void {
  if (problem.retry_after_seconds !== undefined) {
    response.set("Retry-After", String(problem.retry_after_seconds));
  }
  response.status(problem.status).type("application/problem+json").json(problem);
}

/** A client's own mistake. */
export function bad(code: string, detail: string, status = 400): Problem {
  const title = TITLES[status] ?? "Bad Request";
  return { title, status, code, detail, retryable: false };
}

const TITLES: Readonly<Record<number, string>> = {
  403: "Forbidden",
  404: "Not Found",
  413: "Content Too Large",
  415: "Unsupported Media Type",
  422: "Unprocessable Content",
};

export function tooMany(seconds: number): Problem {
  return {
    ...{ title: "Too Many Requests", status: 429, code: "rate", retryable: true },
    detail: "this client asks more often than its limit allows",
    retry_after_seconds: seconds,
  };
}

/** How long to wait before a fault that passes by itself has had a chance to. */
const RETRY_SECONDS = 1;

function broken(code: string, detail: string, retryable: boolean): Problem {
  return {
    title: "The signer could not do it",
    status: retryable ? 503 : 500,
    ...{ code, detail, retryable },
    ...(retryable && { retry_after_seconds: RETRY_SECONDS }),
  };
}

export function problemOf(error: unknown): Problem {
  if (error instanceof ProblemError) return error.problem;
  if (error instanceof PsbtFault) return bad(error.code, error.message);
  if (error instanceof IntentError) return bad("intent", error.message);
  if (error instanceof EvidenceError) return bad("evidence", error.message);
  if (error instanceof JsonError) return bad("body", error.message);
  if (error instanceof z.ZodError) {
    const [first] = error.issues;
    return bad("body", `${first?.path.join(".") ?? ""}: ${first?.message ?? "has a wrong form"}`);
  }
  if (error instanceof KeyError && error.code === "unknown-account") {
    return bad("unknown-account", "this signer has no account of that name", 404);
  }
  // A person's word is no fault of the signer.
  if (error instanceof KeyError && error.code === "rejected") {
    return bad("key-rejected", error.message, 422);
  }
  if (error instanceof KeyError) return broken(`key-${error.code}`, error.message, error.passing);
  if (error instanceof CurveError) return broken("curve", error.message, true);
  const status = bodyParserStatus(error);
  if (status !== null) return bad("body", "the body is too large or no JSON", status);
  return broken("internal", "the signer failed; its log says more", false);
}

/** Express's body parser throws errors with a client status; everything else is ours. */
function bodyParserStatus(error: unknown): number | null {
  const status = error instanceof Error && "status" in error ? error.status : null;
  return typeof status === "number" && status >= 400 && status < 500 ? status : null;
}
