/** A Signer elsewhere: the same interface, over HTTP. It holds its own guard and decides again. */
import { base64 } from "@scure/base";
import type { z } from "zod";
import type { Hears, Registers, Signer } from "../signer.ts";
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
}

export interface RemoteSignerOptions {
  readonly url: string;
  readonly secret: string;
  readonly timeoutMs?: number;
}

/** A hardware token takes its time, 250 inputs on a slow one some seconds. */
const TIMEOUT_MS = 30_000;

/** Connects to a signer and asks who it is. */
export async function openRemoteSigner(options: RemoteSignerOptions): Promise<RemoteSigner> {
  const { url, secret, timeoutMs = TIMEOUT_MS } = options;

  async function ask<Schema extends z.ZodType>(
    path: string,
    schema: Schema,
    body?: unknown,
  ): Promise<z.output<Schema>> {
    const response = await send(path, body);
    const json: unknown = await response.json().catch((cause: unknown) => {
      // Cut off in the middle: whether it signed is not known, and asking again tells.
      throw new RemoteSignerError("unreachable", `the signer at ${url} broke off`, true, { cause });
    });
    if (!response.ok) {
      const problem = problemBody.safeParse(json);
      if (!problem.success) {
        throw new RemoteSignerError("protocol", `${url}${path}: HTTP ${response.status}`, false);
      }
      const { code, detail, retryable } = problem.data;
      throw new RemoteSignerError(code, detail, retryable);
    }
    const answer = schema.safeParse(json);
    if (answer.success) return answer.data;
    throw new RemoteSignerError("protocol", `${url}${path}: no answer of a signer`, false);
  }

  async function send(path: string, body: unknown): Promise<Response> {
    try {
      return await fetch(`${url}${path}`, {
        method: body === undefined ? "GET" : "POST",
        headers: { authorization: `Bearer ${secret}`, "content-type": "application/json" },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal: AbortSignal.timeout(timeoutMs),
        redirect: "error",
      });
    } catch (error) {
      // Whether it signed is not known; asking again with the same request gets the same answer.
      throw new RemoteSignerError("unreachable", `the signer at ${url} does not answer`, true, {
        cause: error,
      });
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
  };
}
