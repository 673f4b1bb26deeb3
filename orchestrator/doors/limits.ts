/** How often who may ask: a count a minute for each address, and for each token. */
import type { RequestHandler } from "express";
import { rateLimit } from "express-rate-limit";
import { sendProblem } from "../api/problem.ts";
import { callerOf } from "./caller.ts";

/** Requests in a minute. */
export interface Limits {
  readonly perAddress: number;
  readonly perToken: number;
}

/** Clients on this machine share one address. */
export const LIMITS: Limits = { perAddress: 12_000, perToken: 6_000 };

const MINUTE_MS = 60_000;

/** Before anything else is looked at. */
export function addressLimit({ perAddress }: Limits): RequestHandler {
  return limiter("address", perAddress);
}

/** Once it is known who asks, and before a byte of a body is read. */
export function tokenLimit({ perToken }: Limits): RequestHandler {
  return limiter("token", perToken);
}

function limiter(identifier: "address" | "token", limit: number): RequestHandler {
  return rateLimit({
    windowMs: MINUTE_MS,
    limit,
    identifier,
    standardHeaders: "draft-8",
    legacyHeaders: false,
    ...(identifier === "token" && {
      keyGenerator: (_request: unknown, response: Parameters<RequestHandler>[1]) =>
        callerOf(response).id,
    }),
    handler: (_request, response) => {
      const detail = `this ${identifier} asks more than ${limit} times a minute`;
      const retryAfterSeconds = Number(response.get("retry-after") ?? MINUTE_MS / 1000);
      sendProblem(response, { code: "too-many", detail, retryAfterSeconds });
    },
  });
}
