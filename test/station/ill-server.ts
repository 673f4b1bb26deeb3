/** A server on this machine that answers a station as a test says, and keeps what it was asked. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface IllServer {
  readonly url: string;
  /** Paths that were asked for, and bodies that were sent, in their order. */
  readonly asked: { readonly path: string; readonly body: string }[];
  readonly close: () => void;
}

export type Handler = (request: IncomingMessage, response: ServerResponse) => void;

export async function illServer(handler: () => Handler): Promise<IllServer> {
  const asked: { path: string; body: string }[] = [];
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (part: Buffer) => {
      body += part.toString();
    });
    request.on("end", () => {
      asked.push({ path: request.url ?? "", body });
      handler()(request, response);
    });
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

export function says(body: unknown, status = 200): Handler {
  return (_request, response) => {
    response.writeHead(status, { "content-type": "application/json" });
    response.end(typeof body === "string" ? body : JSON.stringify(body));
  };
}
