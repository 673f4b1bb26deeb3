/** What goes out: whoever must keep it does so before the caller has it. */
import type { Response } from "express";

export interface Answer {
  readonly status: number;
  readonly type: string;
  readonly text: string;
}

/**
 * `keep` sees the answer before it is sent. Where it fails the answer goes out all the same: it is
 * true, and whoever asks again is answered anew.
 */
export function beforeAnswer(
  response: Response,
  keep: (answer: Answer) => Promise<void>,
  failed: (error: unknown) => void,
): void {
  const send = response.send.bind(response);
  response.send = (body: unknown) => {
    // Express writes an object as text and comes again.
    if (typeof body !== "string") return send(body);
    const answer = { status: response.statusCode, type: typeOf(response), text: body };
    keep(answer)
      .catch(failed)
      .finally(() => send(body));
    return response;
  };
}

function typeOf(response: Response): string {
  return String(response.get("content-type") ?? "application/json");
}
