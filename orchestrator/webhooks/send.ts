/** One POST and its answer: bounded in time and bytes, to open addresses alone, never redirected. */
import { request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest, type RequestOptions } from "node:https";
import type { Clock } from "../io/clock.ts";
import type { Answer } from "./schedule.ts";
import { type Allowances, ClosedAddressError, objectionsTo, openLookup } from "./target.ts";

export interface Post {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface Sender {
  readonly send: (post: Post, stop: AbortSignal) => Promise<Answer>;
}

export interface SenderOptions {
  readonly allowed: Allowances;
  readonly clock: Clock;
  /** For the whole of it: name, connection, request, answer. */
  readonly timeoutMs?: number | undefined;
  /** Replaced by tests alone. */
  readonly lookup?: typeof import("node:dns").lookup | undefined;
}

/** Pulser's (seeds.md 4.8). */
export const TIMEOUT_MS = 15_000;
/** What a receiver says is not read; so much is taken in, so that it hears no reset. */
const ANSWER_BYTES_MAX = 4_096;
const HEADER_BYTES_MAX = 8_192;

export function openSender(options: SenderOptions): Sender {
  const { allowed, clock, timeoutMs = TIMEOUT_MS } = options;
  return {
    async send(post, stop) {
      // The configuration may have become stricter since the URL was brought.
      const [objection] = objectionsTo(post.url, allowed);
      if (objection !== undefined) return { kind: "forbidden", reason: `the URL ${objection}` };
      const signal = AbortSignal.any([stop, AbortSignal.timeout(timeoutMs)]);
      const { hostname } = new URL(post.url);
      try {
        const answer = await exchange(post, {
          ...{ signal, maxHeaderSize: HEADER_BYTES_MAX, agent: false },
          lookup: openLookup(hostname, allowed, options.lookup),
        });
        return { ...answer, restMs: restMs(answer.retryAfter, clock()) };
      } catch (error) {
        if (error instanceof ClosedAddressError)
          return { kind: "forbidden", reason: error.message };
        if (stop.aborted) throw error;
        const late = signal.aborted ? `no answer in ${timeoutMs} ms` : null;
        return { kind: "unreachable", reason: late ?? codeOf(error) };
      }
    },
  };
}

interface Heard {
  readonly kind: "answered";
  readonly status: number;
  readonly retryAfter: string | null;
}

function exchange({ url, headers, body }: Post, options: RequestOptions): Promise<Heard> {
  const ask = url.startsWith("https:") ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    const length = String(Buffer.byteLength(body));
    const outgoing = ask(url, {
      ...options,
      method: "POST",
      headers: { ...headers, "content-type": "application/json", "content-length": length },
    });
    outgoing.once("error", reject);
    outgoing.once("response", (incoming) => {
      const retryAfter = incoming.headers["retry-after"] ?? null;
      drain(incoming).then(
        () => resolve({ kind: "answered", status: incoming.statusCode ?? 0, retryAfter }),
        reject,
      );
    });
    outgoing.end(body);
  });
}

/** Until its end, or until it has said more than anybody wants to hear. */
function drain(incoming: IncomingMessage): Promise<void> {
  let bytes = 0;
  return new Promise((resolve, reject) => {
    incoming.on("data", (chunk: Uint8Array) => {
      bytes += chunk.length;
      if (bytes <= ANSWER_BYTES_MAX) return;
      resolve();
      incoming.destroy();
    });
    incoming.once("end", resolve);
    incoming.once("error", reject);
    // Cut off before its end: whether the receiver has done what it said, nobody knows.
    incoming.once("close", () => reject(new Error("the answer was cut off")));
  });
}

/** Seconds or a date (RFC 9110); null for anything else. */
function restMs(retryAfter: string | null, now: bigint): bigint | null {
  if (retryAfter === null) return null;
  if (/^[0-9]{1,9}$/.test(retryAfter)) return BigInt(retryAfter) * 1_000n;
  const at = Date.parse(retryAfter);
  return Number.isNaN(at) || BigInt(at) <= now ? null : BigInt(at) - now;
}

/** A code or the words for it: never what the other side has written. */
function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return "unknown";
  return "code" in error && typeof error.code === "string" ? error.code : error.message;
}
