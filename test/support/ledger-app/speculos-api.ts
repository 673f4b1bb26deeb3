/**
 * The app behind the part of Speculos' HTTP API that clients and persons use: APDUs, the texts on
 * the screen, the buttons. Three paths more are for tests alone: what a person without buttons
 * does, what the device does wrong, and the cable.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { hex } from "@scure/base";
import { type LedgerApp, openApp, UnpluggedError } from "./app.ts";
import { type Button, openButtons } from "./buttons.ts";
import { SIGNATURE_FAULTS } from "./faults.ts";
import type { NETWORKS } from "./network.ts";
import { ANSWERS, type Answer, reader } from "./review.ts";

export interface ApiOptions {
  readonly mnemonic: string;
  /** `auto` reads every page and does what `POST /person` said last, at first approves. */
  readonly person: "auto" | "buttons";
  readonly appName?: keyof typeof NETWORKS;
  readonly version?: string;
}

/** A line of text on the screen, as Speculos tells it. */
interface TextEvent {
  readonly text: string;
  readonly x: number;
  readonly y: number;
  readonly w: number;
  readonly h: number;
  readonly clear: boolean;
}

interface Api {
  readonly app: LedgerApp;
  readonly press: (button: Button) => void;
  readonly events: TextEvent[];
  readonly screen: () => readonly TextEvent[];
  readonly setAnswer: (answer: Answer) => void;
}

type Handler = (api: Api, body: unknown, url: URL) => unknown;

/** The screen of a Nano S Plus. */
const WIDTH = 128;
const LINE_HEIGHT = 14;

/** More than the longest APDU in hex. */
const BODY_MAX = 4096;

const HANDLERS: Readonly<Record<string, Handler>> = {
  "POST /apdu": async ({ app }, body) => {
    const apdu = hex.decode(field(body, "data", isText).toLowerCase());
    return { data: hex.encode(await app.exchange(apdu)) };
  },
  "GET /events": ({ events, screen }, _body, url) => ({
    events: url.searchParams.get("currentscreenonly") === "true" ? screen() : events,
  }),
  "DELETE /events": ({ events }) => {
    events.length = 0;
    return {};
  },
  "POST /button/left": ({ press }, body) => pressed(press, "left", body),
  "POST /button/right": ({ press }, body) => pressed(press, "right", body),
  "POST /button/both": ({ press }, body) => pressed(press, "both", body),
  "POST /person": ({ setAnswer }, body) => {
    setAnswer(field(body, "answer", isOneOf(ANSWERS)));
    return {};
  },
  "POST /faults": ({ app }, body) => {
    Object.assign(app.faults, {
      locked: field(body, "locked", isFlag),
      signature: field(body, "signature", isOneOf(SIGNATURE_FAULTS)),
    });
    return {};
  },
  "POST /cable": ({ app }, body) => {
    if (field(body, "plugged", isFlag)) app.plug();
    else app.unplug();
    return {};
  },
};

/** A server that is not listening yet; it opens the app. */
export function speculosApi({ person, ...options }: ApiOptions): Server {
  const events: TextEvent[] = [];
  let screen: readonly TextEvent[] = [];
  let answer: Answer = "approve";
  const buttons = openButtons();
  const app = openApp({
    ...options,
    person: person === "buttons" ? buttons.person : reader(() => answer),
    onScreen: (lines) => {
      screen = lines.map(textEvent);
      events.push(...screen);
    },
  });
  const api: Api = {
    app,
    press: buttons.press,
    events,
    screen: () => screen,
    setAnswer: (next) => {
      answer = next;
    },
  };
  return createServer((request, response) => {
    respond(api, request, response).catch(() => response.destroy());
  });
}

async function respond(
  api: Api,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const url = new URL(request.url ?? "/", "http://localhost");
  const handler = HANDLERS[`${request.method} ${url.pathname}`];
  if (handler === undefined) {
    send(response, 404, { error: "no such path" });
    return;
  }
  let isOpen = true;
  // A client that hangs up in the middle of a command has pulled the cable of its device.
  response.on("close", () => {
    if (!isOpen || url.pathname !== "/apdu") return;
    api.app.unplug();
    api.app.plug();
  });
  try {
    const answer = await handler(api, await readBody(request), url);
    isOpen = false;
    send(response, 200, answer);
  } catch (error) {
    isOpen = false;
    if (error instanceof UnpluggedError) response.destroy();
    else send(response, 400, { error: String(error) });
  }
}

function send(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(body));
}

async function readBody(request: IncomingMessage): Promise<unknown> {
  let text = "";
  for await (const chunk of request) {
    text += String(chunk);
    if (text.length > BODY_MAX) throw new Error("too long");
  }
  return text === "" ? {} : JSON.parse(text);
}

function pressed(press: Api["press"], button: Button, body: unknown): object {
  field(body, "action", isOneOf(["press-and-release"]));
  press(button);
  return {};
}

function textEvent(text: string, line: number): TextEvent {
  const y = LINE_HEIGHT * line;
  return { text, x: 0, y, w: WIDTH, h: LINE_HEIGHT, clear: false };
}

function field<T>(body: unknown, name: string, is: (value: unknown) => value is T): T {
  const value = new Map<string, unknown>(Object.entries(Object(body))).get(name);
  if (!is(value)) throw new Error(`${name} is missing or has another form`);
  return value;
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}

function isFlag(value: unknown): value is boolean {
  return typeof value === "boolean";
}

function isOneOf<T extends string>(list: readonly T[]): (value: unknown) => value is T {
  return (value): value is T => list.some((one) => one === value);
}
