/** One question to the orchestrator, over HTTP, bounded in time and size. */
import { z } from "zod";
import { PSBT_BYTES_MAX } from "../../policies/bitcoin/psbt.ts";
import { boundedText } from "./bounded-text.ts";
import { StationError } from "./requests.ts";

export interface Wire {
  readonly url: string;
  readonly token: string;
}

const WAIT_MS = 30_000;
/** Twenty requests of the largest size. */
const ANSWER_BYTES_MAX = 20 * 2 * PSBT_BYTES_MAX;

/** Something happened meanwhile: look again. */
export class Conflict extends StationError {}

const problemSchema = z.object({
  detail: z.string().optional(),
  reasons: z.array(z.string()).optional(),
});

/** Asks with GET, or with POST where there is a body; throws a StationError in plain words. */
export async function askOrchestrator(
  { url, token }: Wire,
  path: string,
  body: unknown,
): Promise<unknown> {
  let response: Response;
  let text: string | null;
  try {
    response = await fetch(`${url}${path}`, {
      method: body === undefined ? "GET" : "POST",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(WAIT_MS),
      redirect: "error",
    });
    text = await boundedText(response, ANSWER_BYTES_MAX);
  } catch (error) {
    const detail = `the orchestrator at ${url} does not answer; nothing is lost, ask again later`;
    throw new StationError("unreachable", detail, { cause: error });
  }
  const answer = text === null ? null : json(text);
  if (response.ok && answer !== null) return answer;
  const { data } = problemSchema.safeParse(answer);
  const said = [...new Set([data?.detail ?? "", ...(data?.reasons ?? [])])].filter(Boolean);
  const detail = `the orchestrator says ${response.status}: ${said.join("; ") || "no more"}`;
  if (response.status === 409) throw new Conflict("refused", detail);
  throw new StationError("refused", detail);
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
