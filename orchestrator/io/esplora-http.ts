/** Questions to an Esplora server: bounded in bytes and time, asked again where that may help. */
import { EsploraError } from "./esplora-error.ts";

export interface EsploraHttp {
  /** Host and port: fit for logs. */
  readonly where: string;
  /** The answer's bytes; null where the server has no such thing (HTTP 404). */
  readonly get: (path: string, bytesMax: number) => Promise<Uint8Array | null>;
  /** Status and text of any answer that is no passing fault. Sent again, it must be the same. */
  readonly post: (path: string, body: string) => Promise<HttpAnswer>;
}

export interface HttpAnswer {
  readonly status: number;
  readonly text: string;
}

export interface EsploraHttpOptions {
  /** The API's root, as `https://blockstream.info/api`. */
  readonly url: string;
  /** For one answer, its body included. */
  readonly timeoutMs?: number | undefined;
  /** The first pause before asking again; each next one is twice as long. */
  readonly pauseMs?: number | undefined;
}

/** A block of 4 MB from a slow server takes some seconds. */
const TIMEOUT_MS = 30_000;
const PAUSE_MS = 250;
/** Whoever asks has a back-off of its own: here only hiccups are bridged. */
const TRIES = 4;
/** A server that wants a longer rest is asked again by the role, later. */
const PAUSE_MS_MAX = 10_000;
/** What a server says to a transaction is a line, and never a page. */
const POST_BYTES_MAX = 64 * 1024;

export function openEsploraHttp(options: EsploraHttpOptions): EsploraHttp {
  const { timeoutMs = TIMEOUT_MS, pauseMs = PAUSE_MS } = options;
  const root = options.url.replace(/\/+$/, "");
  const where = new URL(root).host;

  async function once({ path, body, bytesMax }: Asked): Promise<Reply> {
    const at = `Esplora at ${where}`;
    const { response, bytes } = await exchange({ path, body, bytesMax }).catch((cause) => {
      if (cause instanceof Error && cause.name === "TimeoutError") {
        throw new EsploraError("timeout", `${at}: no answer to ${path} in ${timeoutMs} ms`);
      }
      const text = `${at} cannot be reached (${reasonOf(cause)})`;
      throw new EsploraError("unreachable", text, { cause });
    });
    const { status } = response;
    if (status === 429 || status >= 500) {
      const text = `${at} is too busy for ${path} (HTTP ${status})`;
      throw new EsploraError("busy", text, { restMs: restMs(response) });
    }
    if (bytes !== null) return { status, bytes };
    const kib = Math.ceil(bytesMax / 1024);
    throw new EsploraError("protocol", `${at}: answer to ${path} is over ${kib} KiB`);
  }

  async function exchange({ path, body, bytesMax }: Asked) {
    const response = await fetch(`${root}${path}`, {
      method: body === undefined ? "GET" : "POST",
      ...(body !== undefined && { body, headers: { "content-type": "text/plain" } }),
      signal: AbortSignal.timeout(timeoutMs),
      // Followed, an answer would come from somebody whom the configuration does not name.
      redirect: "manual",
    });
    return { response, bytes: await boundedBytes(response, bytesMax) };
  }

  async function ask(asked: Asked): Promise<Reply> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await once(asked);
      } catch (error) {
        const passing = error instanceof EsploraError && error.passing;
        if (!passing || attempt === TRIES) throw error;
        await pause(Math.min(Math.max(backOff(pauseMs, attempt), error.restMs), PAUSE_MS_MAX));
      }
    }
  }

  return {
    where,
    async get(path, bytesMax) {
      const { status, bytes } = await ask({ path, bytesMax });
      if (status === 404) return null;
      if (status === 200) return bytes;
      throw new EsploraError("protocol", `Esplora at ${where}: HTTP ${status} to ${path}`);
    },
    async post(path, body) {
      const { status, bytes } = await ask({ path, body, bytesMax: POST_BYTES_MAX });
      return { status, text: new TextDecoder().decode(bytes).trim() };
    },
  };
}

interface Asked {
  readonly path: string;
  readonly body?: string | undefined;
  readonly bytesMax: number;
}

interface Reply {
  readonly status: number;
  readonly bytes: Uint8Array;
}

/** With up to a quarter on top, so that many who were turned away do not come back together. */
function backOff(pauseMs: number, attempt: number): number {
  return pauseMs * 2 ** (attempt - 1) * (1 + Math.random() / 4);
}

/** Only the form in seconds: the other one needs the server's clock to be ours. */
function restMs(response: Response): number {
  const text = response.headers.get("retry-after") ?? "";
  return /^[0-9]{1,6}$/.test(text) ? Number(text) * 1000 : 0;
}

/** The whole body, or null where it is longer: then the rest is not waited for. */
export async function boundedBytes(
  response: Response,
  bytesMax: number,
): Promise<Uint8Array | null> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  if (response.body === null) return new Uint8Array(0);
  for await (const chunk of response.body) {
    size += chunk.length;
    // Leaving the loop ends the answer.
    if (size > bytesMax) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

export function reasonOf(error: unknown): string {
  // What went wrong stands in the cause; the message of fetch itself is "fetch failed".
  const { cause } = error instanceof Error ? error : {};
  if (cause instanceof Error) return "code" in cause ? String(cause.code) : cause.message;
  return error instanceof Error ? error.message : String(error);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}
