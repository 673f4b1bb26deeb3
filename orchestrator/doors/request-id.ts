/** A name for each request, the same in its answer, in problem documents and in every line of the log. */
import { randomUUID } from "node:crypto";
import type { NextFunction, Request, Response } from "express";
import type { Log } from "../log.ts";

/** What a caller may bring: it goes into logs, so nothing that could be read as more than a name. */
const SANE = /^[A-Za-z0-9._-]{1,64}$/;

export function named(log: Log) {
  return (request: Request, response: Response, next: NextFunction): void => {
    const given = request.get("x-request-id");
    const id = given !== undefined && SANE.test(given) ? given : randomUUID();
    response.locals["requestId"] = id;
    response.locals["log"] = log.child({ request: id });
    response.set("X-Request-ID", id);
    next();
  };
}

export function requestIdOf(response: Response): string | undefined {
  return response.locals["requestId"] as string | undefined;
}

/** Its lines bear the request's id. */
export function logOf(response: Response): Log {
  return response.locals["log"] as Log;
}
