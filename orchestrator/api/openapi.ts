/** The OpenAPI 3.1 document: made of the routes, and of the very schemas that check what travels. */
import { z } from "zod";
import { proposalAnswer } from "../doors/proposal-routes.ts";
import type { Route } from "../doors/route.ts";
import { problemAnswer } from "./problem.ts";

type Json = Readonly<Record<string, unknown>>;

export function documentRoute(routes: () => readonly Route[]): Route {
  let document: Json | null = null;
  return {
    ...{ method: "get", path: "/v1/openapi.json", aliases: ["/openapi.json"], opens: "anybody" },
    answer: z.looseObject({ openapi: z.string() }),
    says: "This document.",
    handle: (_request, response) => {
      document ??= openApiDocument(routes());
      response.json(document);
    },
  };
}

export function openApiDocument(routes: readonly Route[]): Json {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const route of routes) {
    for (const path of [route.path, ...(route.aliases ?? [])]) {
      const old = path === route.path ? {} : { deprecated: true };
      paths[path] = { ...paths[path], [route.method]: { ...operation(route, path), ...old } };
    }
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Ballast orchestrator",
      version: "1",
      description: "JSON on loopback. Tokens have a scope; a user's sees one account and no other.",
    },
    paths,
    components: {
      schemas: { Problem: schemaOf(problemAnswer, "output") },
      securitySchemes: {
        token: { type: "http", scheme: "bearer", description: "Of a scope, see each operation" },
        station: { type: "http", scheme: "bearer", description: "A station's own" },
      },
    },
  };
}

function operation(route: Route, path: string): Json {
  const { says, opens, body } = route;
  const scopes = typeof opens === "string" ? [] : opens;
  return {
    summary: says,
    ...(scopes.length > 0 && { description: `Scopes: ${scopes.join(", ")}.` }),
    security: opens === "anybody" ? [] : [{ [opens === "station" ? "station" : "token"]: [] }],
    parameters: parametersOf(route, path),
    ...(body !== undefined && {
      requestBody: {
        required: true,
        content: { "application/json": { schema: schemaOf(body, "input") } },
      },
    }),
    responses: responsesOf(route),
  };
}

const PROPOSED = schemaOf(z.strictObject({ proposal: proposalAnswer }), "output");
const PROBLEM = { $ref: "#/components/schemas/Problem" };

function responsesOf({ answer, media = "text/html", also = [], second }: Route): Json {
  const content =
    answer === null
      ? { [media]: { schema: { type: "string" } } }
      : { "application/json": { schema: schemaOf(answer, "output") } };
  const said = { description: "The answer", content };
  const proposed = { "application/json": { schema: PROPOSED } };
  const wrong = { "application/problem+json": { schema: PROBLEM } };
  // A status of its own may also be a problem's: a probe says 503, and so does a node that is away.
  const both = (status: number) =>
    status < 400 ? said : { ...said, content: { ...content, ...wrong } };
  return {
    200: said,
    ...Object.fromEntries(also.map((status) => [status, both(status)])),
    ...(second === true && {
      202: { description: "Waits for a second operator", content: proposed },
    }),
    default: { description: "What is wrong (RFC 9457)", content: wrong },
  };
}

function parametersOf({ query, method, opens }: Route, path: string): readonly Json[] {
  const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
  const keyed = method !== "get" && typeof opens !== "string";
  return [
    ...names.map((name) => ({ name, in: "path", required: true, schema: { type: "string" } })),
    ...(query === undefined ? [] : queryOf(schemaOf(query, "input"))),
    ...(keyed ? [KEY] : []),
    { name: "X-Request-ID", in: "header", schema: { type: "string" } },
  ];
}

const KEY = {
  ...{ name: "Idempotency-Key", in: "header" },
  schema: { type: "string", pattern: "^[A-Za-z0-9_-]{1,64}$" },
};

function queryOf({ properties = {} }: { readonly properties?: object }): readonly Json[] {
  return Object.entries(properties).map(([name, schema]) => ({ name, in: "query", schema }));
}

/** As it travels: what a body is read into is ours alone. */
function schemaOf(schema: z.ZodType, io: "input" | "output"): Json {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: "any" });
  return rest;
}
