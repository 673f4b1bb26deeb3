/** Who asks: found before a byte of a body is read, and known to every handler. */
import type { NextFunction, Request, Response } from "express";
import { sendProblem } from "../api/problem.ts";
import type { Caller, Callers } from "./tokens.ts";

export function callerOnly(callers: Callers) {
  return async (request: Request, response: Response, next: NextFunction): Promise<void> => {
    const token = bearerOf(request);
    const caller = token === null ? null : await callers.of(token);
    if (caller === null) {
      response.set("www-authenticate", "Bearer");
      const detail = "the API wants a bearer token that is in force";
      return sendProblem(response, { code: "unauthorized", detail });
    }
    response.locals["caller"] = caller;
    next();
  };
}

export function callerOf(response: Response): Caller {
  return response.locals["caller"] as Caller;
}

/** What stands behind `Bearer`; null where there is none, or something that no token of ours is. */
function bearerOf(request: Request): string | null {
  return /^Bearer (\S{1,200})$/.exec(request.get("authorization") ?? "")?.[1] ?? null;
}
