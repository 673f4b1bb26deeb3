/** A route of the API: what is asked and answered, and who may ask. What is no such row is not there. */
import type { Request, Response } from "express";
import type { z } from "zod";
import type { Scope } from "../tables/schema-doors.ts";

export interface Route {
  readonly method: "get" | "post" | "delete";
  /** As OpenAPI writes it: `/v1/intents/{id}`. */
  readonly path: string;
  /** Old paths of the same. */
  readonly aliases?: readonly string[];
  /** One sentence, for the document. */
  readonly says: string;
  /** `anybody`: no token is asked for. `station`: a station's own. */
  readonly opens: readonly Scope[] | "anybody" | "station";
  /** Where a user may ask: whose it is. Left out: the handler shows a user's own by itself. */
  readonly own?: Own;
  /** Moves money or loosens something: under dual control a second operator must approve. */
  readonly second?: true;
  /** What is sent, and what is asked behind `?`: the schemas that the handler reads with. */
  readonly body?: z.ZodType;
  readonly query?: z.ZodType;
  /** Null: no JSON. */
  readonly answer: z.ZodType | null;
  /** What it is then; a page where left out. */
  readonly media?: string;
  /** Beside 200, with the same schema. */
  readonly also?: readonly number[];
  readonly handle: (request: Request, response: Response) => Promise<unknown> | unknown;
}

export interface Own {
  /** In "there is no such …". */
  readonly what: "account" | "intent" | "user";
  /** The account that is asked about; null: there is none. */
  readonly account: (request: Request) => Promise<string | null> | string | null;
}

export function idOf(request: Request): string {
  return String(request.params["id"]);
}

/** `/v1/intents/{id}` as Express writes it. */
export function expressPath(path: string): string {
  return path.replaceAll(/\{(\w+)\}/g, ":$1");
}

export interface Found {
  readonly route: Route;
  readonly params: Readonly<Record<string, string>>;
}

/** The route that a stored request is for; null where there is none any more. */
export function findRoute(
  routes: readonly Route[],
  { method, path }: { readonly method: string; readonly path: string },
): Found | null {
  for (const route of routes) {
    if (route.method !== method) continue;
    const form = route.path.replaceAll(/\{(\w+)\}/g, "(?<$1>[^/]+)");
    const match = new RegExp(`^${form}$`).exec(path);
    if (match !== null) return { route, params: decoded(match.groups ?? {}) };
  }
  return null;
}

function decoded(groups: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(groups).map(([name, value]) => [name, decodeURIComponent(value)]),
  );
}
