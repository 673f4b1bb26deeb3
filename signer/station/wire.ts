/** One question to the orchestrator, over HTTP, bounded in time and size. */
import { z } from "zod";
import { PSBT_BYTES_MAX } from "../../policies/bitcoin/psbt.ts";
import { boundedText } from "./answer.ts";
import { plain } from "./plain.ts";
import { StationError } from "./requests.ts";

export interface Wire {
  readonly url: string;
  readonly token: string;
  /** For the whole answer, in milliseconds. */
  readonly waitMs?: number;
}

const WAIT_MS = 30_000;
/** Twenty requests of the largest size. */
const ANSWER_BYTES_MAX = 20 * 2 * PSBT_BYTES_MAX;
/** Of what the orchestrator says to a question that it does not answer. */
const SAID_CHARACTERS_MAX = 500;

/** Something happened meanwhile: look again. */
export class Conflict extends StationError {}

const problemSchema = z.object({
  detail: z.string().optional(),
  reasons: z.array(z.string()).optional(),
});

/** Asks with GET, or with POST where there is a body; throws a StationError in plain words. */
export async function askOrchestrator(wire: Wire, path: string, body?: unknown): Promise<unknown> {
  const { status, text } = await answerOf(wire, path, body);
  if (text === null) {
    throw new StationError("malformed", "the orchestrator's answer is longer than any may be");
  }
  if (status >= 300 && status < 400) {
    const detail = "the orchestrator sends this station elsewhere, and it does not go";
    throw new StationError("refused", `${detail}: correct the configured url`);
  }
  const answer = json(text);
  if (status < 300 && answer !== null) return answer;
  if (status < 300) throw new StationError("malformed", "the orchestrator's answer is no JSON");
  const detail = `the orchestrator says ${status}: ${problemIn(answer)}`;
  if (status === 409) throw new Conflict("refused", detail);
  throw new StationError("refused", detail);
}

async function answerOf(
  { url, token, waitMs = WAIT_MS }: Wire,
  path: string,
  body: unknown,
): Promise<{ readonly status: number; readonly text: string | null }> {
  try {
    const response = await fetch(`${url}${path}`, {
      method: body === undefined ? "GET" : "POST",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(waitMs),
      // Followed, the token would go where the configuration does not say.
      redirect: "manual",
    });
    return { status: response.status, text: await boundedText(response, ANSWER_BYTES_MAX) };
  } catch (error) {
    const detail = `the orchestrator at ${url} does not answer; nothing is lost, ask again later`;
    throw new StationError("unreachable", detail, { cause: error });
  }
}

function problemIn(answer: unknown): string {
  const { data } = problemSchema.safeParse(answer);
  const said = [...new Set([data?.detail ?? "", ...(data?.reasons ?? [])])].filter(Boolean);
  return plain(said.join("; ").slice(0, SAID_CHARACTERS_MAX)) || "no more";
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
