import { readFileSync } from "node:fs";
import { Agent, request as httpRequest } from "node:http";
import { BitcoindError, excerpt } from "./bitcoind-error.ts";
import { parseExactJson } from "./exact-json.ts";

/**
 * A client of bitcoind's JSON-RPC. Every fault is a `BitcoindError`; numbers that JavaScript could
 * round (anything with a point or an exponent, and integers past 2^53) arrive as the very text that
 * the node sent, so that an amount never passes through a float: see `satsOfBtc`.
 */
export interface Bitcoind {
  /** Where the node is, as "host:port": fit for logs, without credentials. */
  readonly where: string;
  /** `T` is what the caller knows about the method's answer; it is not checked here. */
  call<T>(method: string, params?: BitcoindParams, options?: BitcoindCallOptions): Promise<T>;
  /** One answer a call, in the order of the calls; one refused call does not fail the others. */
  batch(
    calls: readonly BitcoindCall[],
    options?: BitcoindCallOptions,
  ): Promise<readonly BitcoindAnswer[]>;
  /** Ends idle connections. Calls under way fail as unreachable. */
  close(): void;
}

/** Positional or named. An amount goes out as a string of `btcOfSats`, which the node accepts. */
export type BitcoindParams = readonly unknown[] | { readonly [name: string]: unknown };

export interface BitcoindCallOptions {
  /** Addresses one wallet of the node, where the method needs it. */
  readonly wallet?: string;
  /** For calls that are known to take long. */
  readonly timeoutMs?: number;
}

export interface BitcoindCall {
  readonly method: string;
  readonly params?: BitcoindParams;
}

export type BitcoindAnswer =
  | { readonly kind: "result"; readonly result: unknown }
  | { readonly kind: "error"; readonly error: BitcoindError };

export interface BitcoindOptions {
  /** `http://[user:password@]host:port[/wallet/name]` */
  readonly url: string;
  /** The node's `.cookie`, used where the URL names no user; read anew when the node says 401. */
  readonly cookieFile?: string;
  readonly timeoutMs?: number;
}

/** The longest honest answers are blocks as JSON, some tens of MB; more is a broken or evil peer. */
const RESPONSE_BYTES_MAX = 64 * 1024 * 1024;
/** Scans of the UTXO set take a minute; a caller who knows better says so. */
const TIMEOUT_MS = 60_000;
/** bitcoind drops idle connections after 30 s: we let go first, so no call meets a dying one. */
const IDLE_MS = 15_000;
/** Under the 16 calls that older nodes queue before they answer 503. */
const CONNECTIONS_MAX = 8;

export function openBitcoind(options: BitcoindOptions): Bitcoind {
  const { address, wallet: urlWallet, userinfo } = readUrl(options.url);
  const where = `${address.hostname}:${address.port}`;
  const timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
  const credentials = openCredentials({ where, userinfo, cookieFile: options.cookieFile });
  const agent = new Agent({ keepAlive: true, timeout: IDLE_MS, maxSockets: CONNECTIONS_MAX });
  let lastId = 0;

  /** Sends `body` and returns the parsed answer; a first 401 with a new cookie is asked again. */
  async function post(what: string, call: BitcoindCallOptions, body: unknown): Promise<unknown> {
    const wallet = call.wallet ?? urlWallet;
    const path = wallet === undefined ? "/" : `/wallet/${encodeURIComponent(wallet)}`;
    const payload = Buffer.from(JSON.stringify(body), "utf8");
    const send = () =>
      exchange({
        agent,
        address,
        path,
        auth: credentials.header(),
        payload,
        timeoutMs: call.timeoutMs ?? timeoutMs,
        what,
        where,
      });
    let reply = await send();
    if (reply.status === 401 && credentials.renew()) reply = await send();
    return readReply(reply, { what, where });
  }

  function envelope(call: BitcoindCall) {
    lastId += 1;
    return { jsonrpc: "1.0", id: lastId, method: call.method, params: call.params ?? [] };
  }

  return {
    where,
    async call<T>(method: string, params?: BitcoindParams, callOptions: BitcoindCallOptions = {}) {
      const asked = envelope(params === undefined ? { method } : { method, params });
      const answer = await post(method, callOptions, asked);
      const read = readAnswer(answer, { id: asked.id, method, where });
      if (read.kind === "error") throw read.error;
      return read.result as T;
    },
    async batch(calls, callOptions = {}) {
      // The node answers an empty batch with an empty array; the round trip says nothing.
      if (calls.length === 0) return [];
      const asked = calls.map(envelope);
      const what = `a batch of ${calls.length} calls`;
      const answers = await post(what, callOptions, asked);
      if (!Array.isArray(answers)) throw notJsonRpc({ what, where });
      const byId = new Map(
        answers.map((answer) => [isRecord(answer) ? answer["id"] : null, answer]),
      );
      return asked.map(({ id, method }) => readAnswer(byId.get(id), { id, method, where }));
    },
    close: () => agent.destroy(),
  };
}

interface Place {
  readonly what: string;
  readonly where: string;
}

interface Exchange extends Place {
  readonly agent: Agent;
  readonly address: { readonly hostname: string; readonly port: string };
  readonly path: string;
  readonly auth: string;
  readonly payload: Uint8Array;
  readonly timeoutMs: number;
}

interface Reply {
  readonly status: number;
  readonly body: string;
}

/** One HTTP request and its whole answer, within the time and the size allowed. */
function exchange(asked: Exchange): Promise<Reply> {
  const { what, where } = asked;
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest(
      {
        agent: asked.agent,
        hostname: asked.address.hostname.replace(/^\[|\]$/g, ""),
        port: asked.address.port,
        path: asked.path,
        method: "POST",
        headers: {
          authorization: asked.auth,
          "content-type": "application/json",
          "content-length": asked.payload.length,
        },
      },
      (incoming) => {
        const chunks: Uint8Array[] = [];
        let size = 0;
        incoming.on("data", (chunk: Uint8Array) => {
          size += chunk.length;
          if (size <= RESPONSE_BYTES_MAX) chunks.push(chunk);
          else
            give(
              new BitcoindError(
                "protocol",
                `bitcoind at ${where}: answer to ${what} is over 64 MiB`,
              ),
            );
        });
        incoming.on("end", () => {
          if (!incoming.complete) return give(new Error("the answer broke off"));
          clearTimeout(timer);
          const body = Buffer.concat(chunks).toString("utf8");
          return resolve({ status: incoming.statusCode ?? 0, body });
        });
        incoming.on("error", give);
      },
    );
    // The whole exchange is bounded, waiting for a free connection included.
    const timer = setTimeout(() => {
      const seconds = asked.timeoutMs / 1000;
      give(
        new BitcoindError("timeout", `bitcoind at ${where}: no answer to ${what} in ${seconds} s`),
      );
    }, asked.timeoutMs);
    outgoing.on("error", give);
    outgoing.end(asked.payload);

    function give(cause: Error): void {
      clearTimeout(timer);
      outgoing.destroy();
      reject(cause instanceof BitcoindError ? cause : unreachable(cause, { what, where }));
    }
  });
}

function unreachable(cause: Error, { what, where }: Place): BitcoindError {
  const text = `bitcoind at ${where} cannot be reached for ${what} (${reasonOf(cause)})`;
  return new BitcoindError("unreachable", text, { cause });
}

function reasonOf(cause: Error): string {
  return "code" in cause && typeof cause.code === "string" ? cause.code : cause.message;
}

/** Older nodes answer JSON-RPC errors with HTTP 4xx and 5xx, so the body is looked at first. */
function readReply(reply: Reply, place: Place): unknown {
  const { status } = reply;
  const at = `bitcoind at ${place.where}`;
  if (status === 401) {
    throw new BitcoindError("unauthorized", `${at} does not accept the user or password`);
  }
  if (status === 403) {
    throw new BitcoindError("unauthorized", `${at} does not allow this machine (rpcallowip)`);
  }
  if (status === 503) {
    throw new BitcoindError("unreachable", `${at} is too busy for ${place.what} (HTTP 503)`);
  }
  try {
    return parseExactJson(reply.body);
  } catch (cause) {
    throw new BitcoindError(
      "protocol",
      `${at} answered ${place.what} with HTTP ${status} and no JSON: ${excerpt(reply.body)}`,
      { cause },
    );
  }
}

function readAnswer(
  answer: unknown,
  asked: { readonly id: number; readonly method: string; readonly where: string },
): BitcoindAnswer {
  const place = { what: asked.method, where: asked.where };
  if (!isRecord(answer) || answer["id"] !== asked.id) {
    return { kind: "error", error: notJsonRpc(place) };
  }
  const { error } = answer;
  if (error === null || error === undefined) {
    return "result" in answer
      ? { kind: "result", result: answer["result"] }
      : { kind: "error", error: notJsonRpc(place) };
  }
  if (!isRecord(error) || typeof error["code"] !== "number") {
    return { kind: "error", error: notJsonRpc(place) };
  }
  const rpcCode = error["code"];
  const said = typeof error["message"] === "string" ? error["message"] : "no reason given";
  const text = `bitcoind at ${asked.where} refused ${asked.method}: ${said} (${rpcCode})`;
  return { kind: "error", error: new BitcoindError("rpc", text, { rpcCode }) };
}

/** The answer itself is not quoted: it may hold what no log should. */
function notJsonRpc({ what, where }: Place): BitcoindError {
  return new BitcoindError("protocol", `bitcoind at ${where}: no JSON-RPC answer to ${what}`);
}

function isRecord(value: unknown): value is { readonly [name: string]: unknown } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

interface Credentials {
  header(): string;
  /** Reads them anew after a 401; says whether they are others than before. */
  renew(): boolean;
}

function openCredentials(from: {
  readonly where: string;
  readonly userinfo: string | null;
  readonly cookieFile: string | undefined;
}): Credentials {
  const basic = (userinfo: string) => `Basic ${Buffer.from(userinfo, "utf8").toString("base64")}`;
  const { userinfo, cookieFile, where } = from;
  if (userinfo !== null) {
    const header = basic(userinfo);
    return { header: () => header, renew: () => false };
  }
  if (cookieFile === undefined) {
    throw new BitcoindError(
      "unauthorized",
      `bitcoind at ${where}: no user and no cookie file given`,
    );
  }
  // A node writes its cookie at start and removes it at its end, so its absence means: not running.
  const read = () => {
    try {
      return basic(readFileSync(cookieFile, "utf8").trim());
    } catch (cause) {
      const text = `bitcoind at ${where}: its cookie file cannot be read; is the node running?`;
      throw new BitcoindError("unreachable", text, { cause });
    }
  };
  let current: string | null = null;
  return {
    header() {
      current ??= read();
      return current;
    },
    renew() {
      const before = current;
      current = read();
      return current !== before;
    },
  };
}

/** Messages never repeat the URL: it may hold a password. */
function readUrl(text: string): {
  readonly address: { readonly hostname: string; readonly port: string };
  readonly wallet: string | undefined;
  readonly userinfo: string | null;
} {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || url.protocol !== "http:") {
    throw new BitcoindError("protocol", "a bitcoind URL looks like http://user:password@host:port");
  }
  const wallet = /^\/wallet\/([^/]*)$/.exec(url.pathname)?.[1];
  if (wallet === undefined && url.pathname !== "/") {
    throw new BitcoindError("protocol", "the path of a bitcoind URL is empty or /wallet/NAME");
  }
  const userinfo =
    url.username === "" && url.password === ""
      ? null
      : `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  return {
    address: { hostname: url.hostname, port: url.port === "" ? "80" : url.port },
    wallet: wallet === undefined ? undefined : decodeURIComponent(wallet),
    userinfo,
  };
}
