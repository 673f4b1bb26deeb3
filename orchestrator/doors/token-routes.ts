/** Tokens at the API: issued, listed, disabled by operators. */
import { z } from "zod";
import { name } from "../../policies/evidence/scalar.ts";
import { sendProblem } from "../api/problem.ts";
import { SCOPES } from "../tables/schema-doors.ts";
import { callerOf } from "./caller.ts";
import { pageOf, pageQuery } from "./cursor.ts";
import { logOf } from "./request-id.ts";
import { idOf, type Route } from "./route.ts";
import { disableToken, issueToken, type TokenParts, type TokenRow, tokensPage } from "./tokens.ts";

/** A year and a day: a token for ever is one that nobody knows of. */
const DAYS_MAX = 366;
const DAYS_USUAL = 90;

const body = z.strictObject({
  name,
  scope: z.enum(SCOPES),
  account: z.string().max(100).optional(),
  days: z.int().min(1).max(DAYS_MAX).default(DAYS_USUAL),
});
const time = z.iso.datetime();
const tokenAnswer = z.strictObject({
  id: z.string(),
  name: z.string(),
  scope: z.enum(SCOPES),
  account: z.string().nullable(),
  issuedBy: z.string(),
  createdAt: time,
  expiresAt: time,
  disabledAt: time.nullable(),
  /** To the hour. */
  usedAt: time.nullable(),
});
const issuedAnswer = tokenAnswer.extend({ token: z.string().nullable() });
const listAnswer = z.strictObject({ tokens: z.array(tokenAnswer), next: z.string().nullable() });
const query = pageQuery("tokens");

export function tokenRoutes(parts: TokenParts): readonly Route[] {
  return [
    {
      ...{ method: "post", path: "/v1/tokens", body, answer: issuedAnswer, also: [201] },
      ...{ opens: ["operator"], second: true },
      says: "Issues a token, which is shown once; again the same without it.",
      async handle(request, response) {
        const outcome = await issueToken(parts, body.parse(request.body), callerOf(response).id);
        if (outcome.kind === "refused") {
          const [detail = ""] = outcome.reasons;
          const code = outcome.code === "conflict" ? "conflict" : "refused";
          return sendProblem(response, { code, detail, reasons: outcome.reasons });
        }
        const { row, token } = outcome;
        const { name: called, scope } = row;
        if (token !== null) logOf(response).info({ token: called, scope }, "token issued");
        response.status(token === null ? 200 : 201).json({ ...tokenView(row), token });
      },
    },
    {
      ...{ method: "get", path: "/v1/tokens", query, answer: listAnswer },
      opens: ["operator", "auditor"],
      says: "Every token ever issued, newest first, without the tokens themselves.",
      async handle(request, response) {
        const { cursor, limit } = query.parse(request.query);
        const rows = await tokensPage(parts.store.db, { after: cursor, limit: limit + 1 });
        const page = pageOf("tokens", { rows, limit }, (row) => ({
          at: row.created_at,
          id: row.id,
        }));
        response.json({ tokens: page.rows.map(tokenView), next: page.next });
      },
    },
    {
      ...{ method: "delete", path: "/v1/tokens/{id}", answer: tokenAnswer },
      opens: ["operator"],
      // Not for two: whoever sees a stolen token must be able to stop it at once.
      says: "Disables a token for good.",
      async handle(request, response) {
        const row = await disableToken(parts, idOf(request));
        if (row === null) {
          return sendProblem(response, { code: "not-found", detail: "there is no such token" });
        }
        logOf(response).info({ token: row.name }, "token disabled");
        response.json(tokenView(row));
      },
    },
  ];
}

function tokenView(row: TokenRow) {
  return {
    id: row.id,
    name: row.name,
    scope: row.scope,
    account: row.account,
    issuedBy: row.issued_by,
    createdAt: timeOf(row.created_at),
    expiresAt: timeOf(row.expires_at),
    disabledAt: row.disabled_at === null ? null : timeOf(row.disabled_at),
    usedAt: row.used_at === null ? null : timeOf(row.used_at),
  };
}

function timeOf(at: bigint): string {
  return new Date(Number(at)).toISOString();
}
