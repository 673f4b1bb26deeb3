/** The OpenAPI 3.1 document of a signer: made of the very schemas that check what travels. */
import { z } from "zod";
import {
  accountAnswer,
  accountBody,
  aliveAnswer,
  auditAnswer,
  noticeAnswer,
  noticeBody,
  policyAnswer,
  problemBody,
  readyAnswer,
  requestAnswer,
  signAnswer,
  signBody,
  statusAnswer,
  vaultAnswer,
  vaultBody,
} from "./wire.ts";

interface Operation {
  readonly method: "get" | "post";
  readonly path: string;
  readonly says: string;
  readonly body?: z.ZodType;
  /** Null: text. */
  readonly answer: z.ZodType | null;
  readonly parameters?: readonly unknown[];
  /** Beside 200, with the same schema. */
  readonly also?: string;
}

const text = (name: string, place: "header" | "path" | "query", more: object) => ({
  ...{ name, in: place, required: place === "path" },
  schema: { type: "string", ...more },
});
const REQUEST_NAME = { pattern: "^[A-Za-z0-9_-]{1,64}$" };

const OPERATIONS: readonly Operation[] = [
  {
    ...{ method: "post", path: "/v1/sign", body: signBody, answer: signAnswer },
    says: "Asks for signatures. A refusal is an answer. The same request gets the same bytes.",
    parameters: [text("Idempotency-Key", "header", REQUEST_NAME)],
  },
  {
    ...{ method: "get", path: "/v1/requests/{id}", answer: requestAnswer },
    says: "What came of a request of this client, by its Idempotency-Key or Request-Id.",
    parameters: [text("id", "path", REQUEST_NAME)],
  },
  {
    ...{ method: "post", path: "/v1/accounts", body: accountBody, answer: accountAnswer },
    says: "The account key of a label, made on first use.",
  },
  {
    ...{ method: "post", path: "/v1/vaults", body: vaultBody, answer: vaultAnswer },
    says: "Registers a vault whose holders have all proven possession.",
  },
  {
    ...{ method: "post", path: "/v1/notices", body: noticeBody, answer: noticeAnswer },
    says: "Tells what a user has signed outside of any spend.",
  },
  {
    ...{ method: "get", path: "/v1/policy", answer: policyAnswer },
    says: "The policy in force, and the loosening that waits.",
  },
  {
    ...{ method: "get", path: "/v1/audit", answer: auditAnswer },
    says: "A page of the decision log, with the signed heads that attest it.",
    parameters: [
      text("from", "query", { pattern: "^[0-9]{1,9}$" }),
      text("limit", "query", { pattern: "^[0-9]{1,4}$" }),
    ],
  },
  {
    ...{ method: "get", path: "/v1/status", answer: statusAnswer },
    says: "Who this is, how it keeps its keys, and how much it has done.",
  },
  { method: "get", path: "/livez", answer: aliveAnswer, says: "That the process listens." },
  {
    ...{ method: "get", path: "/readyz", answer: readyAnswer, also: "503" },
    says: "Whether it would sign now: by a signature made and verified in the last ten seconds.",
  },
  { method: "get", path: "/metrics", answer: null, says: "Prometheus' text format." },
  { method: "get", path: "/openapi.json", answer: z.looseObject({}), says: "This document." },
];

export function openApiDocument(): Readonly<Record<string, unknown>> {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const operation of OPERATIONS) {
    paths[operation.path] = { ...paths[operation.path], [operation.method]: said(operation) };
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Ballast signer",
      version: "1",
      description: "Over mutual TLS: who asks is its certificate, and has what its role gives it.",
    },
    paths,
  };
}

function said({ says, body, answer, parameters, also }: Operation) {
  const content =
    answer === null
      ? { "text/plain": { schema: { type: "string" } } }
      : { "application/json": { schema: schemaOf(answer, "output") } };
  const problem = { "application/problem+json": { schema: schemaOf(problemBody, "output") } };
  return {
    summary: says,
    ...(parameters !== undefined && { parameters }),
    ...(body !== undefined && {
      requestBody: {
        required: true,
        content: { "application/json": { schema: schemaOf(body, "input") } },
      },
    }),
    responses: {
      200: { description: "The answer", content },
      ...(also !== undefined && { [also]: { description: "The answer, and it is no", content } }),
      default: { description: "What is wrong (RFC 9457)", content: problem },
    },
  };
}

/** As it travels: a PSBT is base64 text, whatever it is read into. */
function schemaOf(schema: z.ZodType, io: "input" | "output") {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, {
    io: schema === signAnswer ? "input" : io,
  });
  return rest;
}
