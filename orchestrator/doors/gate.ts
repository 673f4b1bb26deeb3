/**
 * The doors before each route, in their order: who asks, what they may ask, how often; then the body
 * is read; then whether it is theirs, whether it was asked before, and whether a second person must
 * agree.
 */
import express, {
  type NextFunction,
  type Request,
  type RequestHandler,
  type Response,
} from "express";
import { sendProblem } from "../api/problem.ts";
import type { Clock } from "../io/clock.ts";
import type { Store } from "../io/store.ts";
import { answeredOnce } from "./answers.ts";
import { callerOf, callerOnly } from "./caller.ts";
import { type Limits, tokenLimit } from "./limits.ts";
import { proposalView } from "./proposal-routes.ts";
import { propose } from "./proposals.ts";
import type { Own, Route } from "./route.ts";
import { type Caller, openCallers, otherOperators } from "./tokens.ts";

export interface GateParts {
  readonly store: Store;
  readonly clock: Clock;
  /** The configuration's token. */
  readonly token: string;
  readonly limits: Limits;
  readonly dualControl: boolean;
  readonly bodyBytesMax: number;
  /** For the routes of stations, which have tokens of their own. */
  readonly stationOnly: RequestHandler;
}

export interface Gate {
  /** What stands before the route's handler. */
  readonly before: (route: Route) => readonly RequestHandler[];
  /** Whoever has no token in force comes no further. */
  readonly callerOnly: RequestHandler;
}

export function openGate(parts: GateParts): Gate {
  const known = callerOnly(openCallers(parts, parts.token));
  const often = tokenLimit(parts.limits);
  const body = express.json({ limit: parts.bodyBytesMax, strict: true });
  const once = answeredOnce(parts);
  return {
    callerOnly: known,
    before({ opens, method, own, second, ...route }) {
      if (opens === "anybody") return [];
      const reads = method === "get" ? [] : [body];
      if (opens === "station") return [parts.stationOnly, ...reads];
      return [
        known,
        ofScope(opens),
        often,
        ...reads,
        ...(own === undefined ? [] : [ownOnly(own)]),
        ...(method === "get" ? [] : [once]),
        ...(second === true && parts.dualControl ? [byTwo(parts, route)] : []),
      ];
    },
  };
}

function ofScope(scopes: readonly Caller["scope"][]): RequestHandler {
  return (_request, response, next) => {
    const { scope } = callerOf(response);
    if (scopes.includes(scope)) return next();
    const detail = `a token of scope ${scope} does not open this`;
    sendProblem(response, { code: "forbidden", detail });
  };
}

/** What is another's is not there, whether it is or not: the same words for both. */
function ownOnly({ what, account }: Own): RequestHandler {
  return async (request, response, next) => {
    const caller = callerOf(response);
    if (caller.scope !== "user" || (await account(request)) === caller.account) return next();
    const code = what === "user" ? "user-not-found" : "not-found";
    sendProblem(response, { code, detail: `there is no such ${what}` });
  };
}

/** An operator's request becomes a proposal. Users act for themselves alone, and for that have a key. */
function byTwo(parts: GateParts, { body }: Pick<Route, "body">) {
  return async (request: Request, response: Response, next: NextFunction): Promise<void> => {
    const { scope, id } = callerOf(response);
    if (scope !== "operator" || (await isSecondOperator(parts, request))) return next();
    // Nobody is asked to approve what no handler would read.
    body?.parse(request.body);
    const wish = { path: request.path, body: request.body as unknown, proposer: id };
    const { row } = await propose(parts, { method: request.method.toLowerCase(), ...wish });
    response.status(202).json({ proposal: proposalView(row, parts.clock()) });
  };
}

/**
 * The first operator alone issues the second's token, once: who else could approve it? From then on
 * two must agree, also when one of the tokens was disabled.
 */
async function isSecondOperator({ store }: GateParts, { method, path, body }: Request) {
  const scope = (body as { readonly scope?: unknown } | undefined)?.scope;
  if (method !== "POST" || path !== "/v1/tokens" || scope !== "operator") return false;
  return !(await otherOperators(store.db));
}
