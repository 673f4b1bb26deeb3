/** A receiver of webhooks on a real socket, which answers as it is told and remembers what it heard. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { AddressInfo } from "node:net";

export interface Heard {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/**
 * - a number: that status, with an empty body
 * - `hang`: no answer ever; `cut`: the connection is closed without one
 * - `half`: closed in the middle of an answer of 200
 * - `huge`: 200, and a body without end
 */
export type Manner =
  | number
  | "hang"
  | "cut"
  | "half"
  | "huge"
  | { readonly status: number; readonly headers: Readonly<Record<string, string>> };

export interface Receiver {
  readonly url: string;
  readonly heard: readonly Heard[];
  /** From now on; a function sees the request. */
  readonly behave: (manner: Manner | ((heard: Heard) => Manner)) => void;
  readonly close: () => Promise<void>;
}

/** With a certificate it speaks HTTPS. */
export async function openReceiver(tls?: {
  readonly cert: string;
  readonly key: string;
}): Promise<Receiver> {
  const heard: Heard[] = [];
  let manner: (heard: Heard) => Manner = () => 200;
  const listener = (request: IncomingMessage, response: ServerResponse) => {
    const chunks: Uint8Array[] = [];
    request.on("data", (chunk: Uint8Array) => chunks.push(chunk));
    request.on("end", () => {
      const headers = Object.fromEntries(
        Object.entries(request.headers).map(([name, value]) => [name, String(value)]),
      );
      const one = { headers, body: Buffer.concat(chunks).toString("utf8") };
      heard.push(one);
      answer(response, manner(one));
    });
  };
  const server = tls === undefined ? createServer(listener) : createSecureServer(tls, listener);
  await listen(server);
  const { port } = server.address() as AddressInfo;
  return {
    url: `${tls === undefined ? "http" : "https"}://127.0.0.1:${port}/`,
    heard,
    behave: (next) => {
      manner = typeof next === "function" ? next : () => next;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function answer(response: ServerResponse, manner: Manner): void {
  if (typeof manner === "number") response.writeHead(manner).end();
  else if (typeof manner === "object") response.writeHead(manner.status, manner.headers).end();
  else if (manner === "cut") response.destroy();
  else if (manner === "half") {
    response.writeHead(200, { "content-length": "100" }).write("half", () => response.destroy());
  } else if (manner === "huge") {
    const more = () => {
      while (!response.destroyed && response.write("x".repeat(4_096)));
    };
    response
      .writeHead(200)
      .on("drain", more)
      .on("error", () => undefined);
    more();
  }
}

function listen(server: Pick<Server, "listen" | "once">): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => resolve());
  });
}
