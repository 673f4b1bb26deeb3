/** Asking the orchestrator's API from the command line: a token from a file, faults in words. */
import type { Command } from "commander";
import { InputError, readTextFile } from "./input.ts";

export interface ApiOptions {
  readonly api: string;
  /** A file. */
  readonly token: string;
}

/** The options of a verb that asks. */
export function asking(command: Command): Command {
  return command
    .requiredOption("--api <url>", "the orchestrator's API")
    .requiredOption("--token <file>", "file with the operator's token")
    .option("--json", "machine-readable output");
}

/** GET, or POST where there is a body, unless a method is named. */
export type Ask = <Answer>(path: string, body?: unknown, method?: "DELETE") => Promise<Answer>;

/** Whatever the API says no to, and whatever is no answer, ends the command with its words. */
export function openAsk({ api, token: file }: ApiOptions): Ask {
  const token = readTextFile("token", file).trim();
  if (!URL.canParse(api)) throw new InputError("api", `--api ${api} is no URL`);
  return async <Answer>(path: string, body?: unknown, method?: "DELETE") => {
    const response = await fetch(new URL(path, api), {
      method: method ?? (body === undefined ? "GET" : "POST"),
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    }).catch((error: unknown) => {
      const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
      throw new InputError("api", `${api} does not answer: ${String(cause)}`);
    });
    const answer: unknown = await response.json().catch(() => null);
    if (response.ok && answer !== null) return answer as Answer;
    throw new InputError("api", `${path}: ${saidBy(answer) ?? `HTTP ${response.status}`}`);
  };
}

/** The reasons of a problem document. */
function saidBy(answer: unknown): string | null {
  if (typeof answer !== "object" || answer === null) return null;
  if ("reasons" in answer && Array.isArray(answer.reasons)) return answer.reasons.join("; ");
  return "detail" in answer ? String(answer.detail) : null;
}
