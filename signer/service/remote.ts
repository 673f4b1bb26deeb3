/** A Signer elsewhere: the same interface, over mutual TLS. It holds its own guard and decides again. */
import { createHash } from "node:crypto";
import { Agent, request as httpsRequest } from "node:https";
import { base64 } from "@scure/base";
import type { z } from "zod";
import type { Hears, Registers, Signer } from "../signer.ts";
import type { TlsIdentity } from "./server.ts";
import {
  accountAnswer,
  noticeAnswer,
  problemBody,
  type SignerStatus,
  signAnswer,
  statusAnswer,
  vaultAnswer,
} from "./wire.ts";

/** The signer could not be asked, or could not do it; a refusal is an answer, not this. */
export class RemoteSignerError extends Error {
  readonly code: string;
  readonly passing: boolean;
  constructor(code: string, detail: string, passing: boolean, options?: ErrorOptions) {
    super(detail, options);
    this.name = "RemoteSignerError";
    this.code = code;
    this.passing = passing;
  }
}

export interface RemoteSigner extends Signer, Registers, Hears {
  readonly status: () => Promise<SignerStatus>;
  /** Lets go of its connections. */
  readonly close: () => void;
}

export interface RemoteSignerOptions {
  readonly url: string;
  /** Our certificate and key, and the authority of the signer's own. */
  readonly tls: TlsIdentity;
  readonly timeoutMs?: number;
}

/** An orchestrator has few spends under way; a signer has few connections to give. */
const CONNECTIONS_MAX = 32;
/** Answers are a PSBT and little more. */
const ANSWER_BYTES_MAX = 4 * 1024 * 1024;

/** A hardware token takes its time, 250 inputs on a slow one some seconds. */
const TIMEOUT_MS = 30_000;

/** Connects to a signer and asks who it is. */
export async function openRemoteSigner(options: RemoteSignerOptions): Promise<RemoteSigner> {
  const { url, tls, timeoutMs = TIMEOUT_MS } = options;
  const agent = new Agent({ ...tls, keepAlive: true, maxSockets: CONNECTIONS_MAX });

  async function ask<Schema extends z.ZodType>(
    path: string,
    schema: Schema,
    body?: unknown,
  ): Promise<z.output<Schema>> {
    const { status, text } = await send(path, body);
    const json = parsed(text);
    if (status !== 200) {
      const problem = problemBody.safeParse(json);
      if (!problem.success) {
        throw new RemoteSignerError("protocol", `${url}${path}: HTTP ${status}`, false);
      }
      const { code, detail, retryable } = problem.data;
      throw new RemoteSignerError(code, detail, retryable);
    }
    const answer = schema.safeParse(json);
    if (answer.success) return answer.data;
    throw new RemoteSignerError("protocol", `${url}${path}: no answer of a signer`, false);
  }

  async function send(path: string, body: unknown): Promise<Answer> {
    const text = body === undefined ? null : JSON.stringify(body);
    const asked = { url: new URL(path, url), agent, text, timeoutMs };
    try {
      return await exchange(asked).catch((error: unknown) => {
        // An idle connection that the signer closed as we took it up; the same request is one request.
        if (error instanceof StaleConnection) return exchange(asked);
        throw error;
      });
    } catch (cause) {
      // Whether it signed is not known; asking again with the same request gets the same answer.
      const words = cause instanceof Error ? cause.message : "unknown";
      const detail = `the signer at ${url} does not answer: ${words}`;
      throw new RemoteSignerError("unreachable", detail, true, { cause });
    }
  }

  const { name, role } = await ask("/v1/status", statusAnswer);
  return {
    name,
    role,
    status: () => ask("/v1/status", statusAnswer),
    sign: ({ intent, psbt, evidence }) =>
      ask("/v1/sign", signAnswer, {
        intent,
        psbt: base64.encode(psbt),
        ...(evidence !== undefined && { evidence }),
      }),
    accountKey: async (label) => (await ask("/v1/accounts", accountAnswer, { label })).key,
    tell: ({ text, signature }) => ask("/v1/notices", noticeAnswer, { text, signature }),
    registerVault: (registration) => ask("/v1/vaults", vaultAnswer, registration),
    close: () => agent.destroy(),
  };
}

/** A connection that was kept open broke; nothing says that the request arrived. */
class StaleConnection extends Error {
  override readonly name = "StaleConnection";
  constructor(cause: Error) {
    super(cause.message, { cause });
  }
}

interface Answer {
  readonly status: number;
  readonly text: string;
}

function exchange(options: {
  readonly url: URL;
  readonly agent: Agent;
  readonly text: string | null;
  readonly timeoutMs: number;
}): Promise<Answer> {
  const { url, agent, text, timeoutMs } = options;
  return new Promise((resolve, reject) => {
    const asking = httpsRequest(url, {
      agent,
      method: text === null ? "GET" : "POST",
      headers: text === null ? {} : headersOf(text),
      signal: AbortSignal.timeout(timeoutMs),
    });
    asking.once("error", (error: NodeJS.ErrnoException) => {
      const stale = asking.reusedSocket && error.code === "ECONNRESET";
      reject(stale ? new StaleConnection(error) : error);
    });
    asking.once("response", (response) => {
      const parts: Buffer[] = [];
      let bytes = 0;
      response.on("data", (part: Buffer) => {
        bytes += part.length;
        if (bytes > ANSWER_BYTES_MAX) response.destroy(new Error("the answer is too long"));
        else parts.push(part);
      });
      response.once("error", reject);
      response.once("end", () => {
        resolve({ status: response.statusCode ?? 0, text: Buffer.concat(parts).toString("utf8") });
      });
    });
    asking.end(text ?? undefined);
  });
}

/** Sent again, the same text is the same request, under the same name. */
function headersOf(text: string) {
  return {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(text),
    "idempotency-key": createHash("sha256").update(text).digest("hex"),
  };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
