/** The API before a stage, asked by callers of every scope; each answer is held against the document. */
import type { ApiParts } from "../../orchestrator/api/server.ts";
import type { Scope } from "../../orchestrator/tables/schema-doors.ts";
import { fitOf } from "../support/openapi-fit.ts";
import { OPERATOR_TOKEN, openStage, type Stage, serveStage } from "./stage.ts";

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: answers are judged by what they hold
  readonly body: any;
}

export interface Asking {
  readonly token?: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Doors {
  readonly stage: Stage;
  readonly url: string;
  readonly ask: (line: string, asking?: Asking) => Promise<Answer>;
  /** A new token; of the stage's account where it is a user's. */
  readonly tokenOf: (scope: Scope, name: string, account?: string) => Promise<string>;
  readonly close: () => Promise<void>;
}

export async function openDoors(terms: Partial<ApiParts> = {}, deposits = 1): Promise<Doors> {
  const stage = await openStage(deposits);
  const api = await serveStage(stage, terms);
  const fit = await fitOf(api.url);

  async function ask(line: string, asking: Asking = {}): Promise<Answer> {
    const [method = "", path = ""] = line.split(" ");
    const { token = OPERATOR_TOKEN, body, headers = {} } = asking;
    const response = await fetch(api.url + path, {
      method,
      headers: {
        ...(token !== "" && { authorization: `Bearer ${token}` }),
        ...(body !== undefined && { "content-type": "application/json" }),
        ...headers,
      },
      ...(body !== undefined && { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    const type = response.headers.get("content-type") ?? "";
    const parsed: unknown = type.includes("json") ? JSON.parse(text) : text;
    fit.check({ method, path, status: response.status, type, body: parsed });
    return { status: response.status, headers: response.headers, text, body: parsed };
  }

  async function tokenOf(scope: Scope, name: string, account = stage.ann.account) {
    const whose = scope === "user" ? { account } : {};
    const { body } = await ask("POST /v1/tokens", { body: { name, scope, ...whose } });
    return String(body.token);
  }

  return {
    ...{ stage, url: api.url, ask, tokenOf },
    close: async () => {
      await api.close();
      await stage.store.close();
    },
  };
}
