/** An orchestrator that means ill, or is none: each answer is a fault in plain words, nothing signed. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { identityOf } from "../../signer/station/identity.ts";
import { httpRequests } from "../../signer/station/orchestrator.ts";
import type { Requests, StationRequest } from "../../signer/station/requests.ts";
import {
  approve,
  ceremonyOf,
  company,
  opened,
  openStage,
  recovery,
  serveStage,
  stationSecret,
  wishFor,
} from "../orchestrator/stage.ts";
import { CONFIRMATIONS } from "../orchestrator/world.ts";
import { faultOf } from "../support/signer-room.ts";
import { type Handler, type IllServer, illServer, says } from "./ill-server.ts";

// biome-ignore lint/suspicious/noExplicitAny: bent in every way
type Answer = any;

/** What the real orchestrator said to cora: a ceremony that waits for her, and one that has ended. */
let waiting: Answer;
let ended: Answer;
let server: IllServer;
let handler: Handler = says({});
let cora: Requests;

beforeAll(async () => {
  const stage = await openStage(2);
  const people = await company(stage);
  const api = await serveStage(stage);
  const listed = async () => {
    const headers = { authorization: `Bearer ${people.cora.token}` };
    return await (await fetch(`${api.url}/v1/station/requests`, { headers })).json();
  };
  const trustee = { quorum: { approvals: ["trustee" as const] } };
  const id = await opened(stage, wishFor(await recovery(stage), trustee));
  waiting = await listed();
  await approve(stage, id, people.cora);
  await stage.settle();
  await stage.mine(CONFIRMATIONS);
  expect((await ceremonyOf(stage, id)).standing.closed).toBe(true);
  ended = await listed();
  await api.close();
  server = await illServer(() => handler);
  cora = httpRequests(coraAt(server.url));
});
afterAll(() => server.close());
beforeEach(() => {
  server.asked.length = 0;
});

/** What was sent to the server beside questions. */
const said = () => server.asked.filter(({ body }) => body !== "");

async function refusal(promise: Promise<unknown>) {
  const fault = await faultOf(promise);
  expect(fault).toMatchObject({ name: "StationError" });
  // A person reads it: short, and nothing in it moves the cursor.
  expect(fault.message).toMatch(/^[\x20-\x7e]{10,800}$/);
  return fault;
}

describe("an answer", () => {
  it.each<readonly [string, Handler, string, string | RegExp]>([
    ["that is not JSON", says("<html>hello</html>"), "malformed", "no JSON"],
    ["that is empty", says(""), "malformed", "no JSON"],
    ["that is null", says("null"), "malformed", "no JSON"],
    ["of another form", says({ hello: 1 }), "malformed", "list cannot be read: requests"],
    ["that is a list", says([]), "malformed", "cannot be read"],
    ["of 401", says({ detail: "who are you?" }, 401), "refused", "says 401: who are you?"],
    ["of 409", says({ detail: "look again" }, 409), "refused", "says 409: look again"],
    ["of 500 without words", says("oh", 500), "refused", "says 500: no more"],
    [
      "that would write on the screen",
      says({ detail: "\u001b[2J\r\nSIGN IT", reasons: ["\u202egnis", "x".repeat(10_000)] }, 422),
      "refused",
      "\\u{1b}[2J\\u{d}\\u{a}SIGN IT; \\u{202e}gnis",
    ],
    [
      "that sends elsewhere",
      (_, response) => response.writeHead(307, { location: server.url }).end(),
      "refused",
      "elsewhere",
    ],
    ["that is cut off", (_, response) => response.socket?.destroy(), "unreachable", "nothing is"],
  ])("%s", async (_, given, code, words) => {
    handler = given;
    const fault = await refusal(cora.list());
    expect(fault).toMatchObject({ code, message: expect.stringContaining(String(words)) });
    expect(server.asked).toHaveLength(1);
  });

  it.each<readonly [string, Handler]>([
    ["that never comes", () => undefined],
    [
      "that comes without end",
      (_, response) => {
        response.write("[");
        const drip = setInterval(() => response.write(" "), 20);
        response.on("close", () => clearInterval(drip));
      },
    ],
  ])("%s is waited for no longer than was said", async (_, given) => {
    handler = given;
    const fault = await refusal(httpRequests({ ...coraAt(server.url), waitMs: 400 }).list());
    expect(fault).toMatchObject({ code: "unreachable" });
    expect(fault.message).toContain("nothing is lost, ask again later");
  });

  it("of 200 megabytes is read no further than it may be long", async () => {
    const part = Buffer.alloc(1 << 20, " ");
    let sent = 0;
    let gone: () => void = () => undefined;
    const closed = new Promise<void>((resolve) => {
      gone = resolve;
    });
    handler = (_, response) => {
      response.on("close", gone);
      const more = () => {
        while (sent < 200 && !response.destroyed) {
          sent += 1;
          if (!response.write(part)) return void response.once("drain", more);
        }
        response.end();
      };
      more();
    };
    const fault = await refusal(cora.list());
    expect(fault).toMatchObject({ code: "malformed" });
    expect(fault.message).toContain("longer than any may be");
    await closed;
    // Ten are read; the rest lies in the pipes between.
    expect(sent).toBeLessThan(40);
  });

  it("is missing where nobody listens", async () => {
    const fault = await refusal(httpRequests(coraAt("http://127.0.0.1:1")).list());
    expect(fault).toMatchObject({ code: "unreachable" });
    expect(fault.message).toContain("http://127.0.0.1:1 does not answer; nothing is lost");
  });
});

function coraAt(url: string) {
  return { url, token: "cora's token", identity: identityOf(stationSecret("cora")) };
}

/** The list, bent: `request` is the one that waits. */
function bent(bend: (request: Answer, list: Answer) => void): Handler {
  const list = structuredClone(waiting);
  bend(list.requests[0], list);
  return says(list);
}

/** A bend that puts a value where names with points between lead; undefined takes it away. */
function set(path: string, value: unknown): (target: Answer) => void {
  const names = path.split(".");
  const last = names.pop() ?? "";
  return (target) => {
    names.reduce((at, name) => at[name], target)[last] = value;
  };
}

const OTHER = "5a".repeat(32);

describe("a list", () => {
  it("is read as the orchestrator gives it", async () => {
    handler = bent(() => undefined);
    expect(await cora.list()).toMatchObject([{ ceremony: { sequence: 1 } }]);
  });

  it.each<readonly [string, (request: Answer, list: Answer) => void, string]>([
    ["another id", set("id", OTHER), `request ${OTHER} carries another intent: `],
    ["an id that is none", set("id", "../notices"), "requests.0.id"],
    ["no intent", set("intent", undefined), "intent"],
    ["an intent for another sum", set("intent.outputs.0.sats", 1), "another intent"],
    ["a reference of two lines", set("intent.reference", "a\nb"), "reference"],
    ["junk for a PSBT", set("psbt", "%%%"), "not base64"],
    ["a PSBT that is none", set("psbt", "AAAA"), "psbt: "],
    ["evidence that is none", set("evidence", { format: "x" }), "evidence"],
    ["no vaults", set("vaults", undefined), "requests.0.vaults"],
    ["a ceremony that is none", set("ceremony.document", {}), "not a ceremony: "],
    ["another's ceremony", set("ceremony.document.intent", OTHER), "another spend"],
    ["a ceremony without end", set("ceremony.head", null), "requests.0.ceremony.head"],
    ["a head that is none", set("ceremony.head.hash", "00"), "ceremony.head.hash"],
    ["a place before the first", set("ceremony.head.sequence", -2), "head.sequence"],
    ["a deadline of words", set("deadline.time", "\u001b[2Jsoon"), "deadline.time"],
    ["a height that is none", set("deadline.height", 1.5), "deadline.height"],
    ["too many requests", (r, list) => void list.requests.push(...Array(20).fill(r)), "requests"],
    ["too many transcripts", (_, list) => void list.ended.push(...Array(21).fill({})), "ended"],
  ])("with %s is refused whole", async (_, bend, words) => {
    handler = bent(bend);
    const fault = await refusal(cora.list());
    expect(fault).toMatchObject({ code: "malformed" });
    expect(fault.message).toContain(words);
    expect(said()).toEqual([]);
  });
});

describe("a conflict", () => {
  const answer = { psbt: new Uint8Array(3), spendHash: OTHER };

  /** Says 409 to every answer; the head in the list moves on as `move` says. */
  function quarrel(move: (head: Answer, asked: number) => void): Handler {
    return (request, response) => {
      if (request.method === "POST")
        return says({ detail: "another spoke" }, 409)(request, response);
      const list = structuredClone(waiting);
      move(list.requests[0].ceremony.head, server.asked.length);
      says(list)(request, response);
    };
  }

  async function waitingOne(): Promise<StationRequest> {
    handler = bent(() => undefined);
    const [request] = await cora.list();
    if (request === undefined) throw new Error("nothing waits");
    return request;
  }

  it("without end is given up after some tries, each a line at the new end", async () => {
    const request = await waitingOne();
    handler = quarrel((head, asked) => {
      head.sequence = asked;
      head.hash = asked.toString(16).padStart(64, "0");
    });
    const fault = await refusal(cora.signed(request, answer));
    expect(fault.message).toContain("another spoke");
    const lines = said().map(({ body }) => JSON.parse(body).event.line);
    expect([lines.length, new Set(lines).size]).toEqual([8, 8]);
    expect(lines[7]).toContain("prev=0000");
  });

  it("where nobody has spoken is the end of it", async () => {
    const request = await waitingOne();
    handler = quarrel(() => undefined);
    expect((await refusal(cora.decline(request, "no"))).message).toContain("another spoke");
    expect(said()).toHaveLength(1);
  });

  it("after which another ceremony is shown is the end of it", async () => {
    const request = await waitingOne();
    handler = (asked, response) => {
      if (asked.method === "POST") return says({ detail: "another spoke" }, 409)(asked, response);
      bent(({ ceremony }) => {
        ceremony.document.deadline.height += 1;
        ceremony.head.hash = OTHER;
      })(asked, response);
    };
    await refusal(cora.signed(request, answer));
    expect(said()).toHaveLength(1);
  });
});

describe("a transcript offered for attesting", () => {
  /** The list with a transcript that has ended, bent. */
  function offered(bend: (transcript: Answer) => void): Handler {
    const list = structuredClone(ended);
    bend(list.ended[0]);
    return says(list);
  }

  it("is attested as the orchestrator gives it", async () => {
    handler = (request, response) =>
      request.method === "POST"
        ? says({})(request, response)
        : offered(() => undefined)(request, response);
    expect(await cora.attest()).toHaveLength(1);
    expect(said()).toHaveLength(1);
  });

  it.each<readonly [string, (transcript: Answer) => void, string]>([
    ["a line removed", (t) => void t.events.splice(2, 1), "events.2"],
    ["its first line removed", (t) => void t.events.shift(), "events.0"],
    ["an edited line", set("events.1.by", "dan"), "events.1"],
    ["a line twice", (t) => void t.events.splice(2, 0, t.events[1]), "events.2"],
    ["its end cut off", (t) => void t.events.pop(), "has not ended"],
    ["nothing in it", set("events", []), "has not ended"],
    ["another ceremony above it", set("ceremony.reminders", []), "events.0"],
    ["no ceremony", set("ceremony", null), "ceremony: "],
    ["a word too many", set("\u001b[2J", 1), "document: "],
  ])("with %s is not", async (_, bend, words) => {
    handler = offered(bend);
    const fault = await refusal(cora.attest());
    expect(fault).toMatchObject({ code: "refused" });
    expect(fault.message).toContain(words);
    expect(said()).toEqual([]);
  });

  it("of a ceremony in which the station takes no part is not", async () => {
    handler = offered(() => undefined);
    const eve = httpRequests({ ...coraAt(server.url), identity: identityOf(stationSecret("eve")) });
    expect((await refusal(eve.attest())).message).toContain("takes no part");
    expect(said()).toEqual([]);
  });
});

describe("pages of notices", () => {
  const word = (sequence: number) => ({ sequence, text: "x", signature: "00", vaults: [] });
  const page = (...sequences: number[]) => says({ notices: sequences.map(word) });

  it.each([
    ["stay where they are", () => page(1), 1],
    ["go back", () => page(3, 2), 2],
    ["begin before the first", () => page(0), 0],
  ] as const)("that %s end it", async (_, pages, known) => {
    handler = pages();
    expect((await cora.notices()).length).toBeGreaterThanOrEqual(known);
    expect(server.asked.length).toBeLessThanOrEqual(2);
  });

  it("without end are no answer", async () => {
    handler = (request, response) => page(server.asked.length)(request, response);
    expect((await refusal(cora.notices())).message).toContain("have no end");
    expect(server.asked).toHaveLength(100);
  });

  it.each([
    ["no list", {}],
    ["too long a text", { notices: [{ ...word(1), text: "x".repeat(301) }] }],
    ["too long a signature", { notices: [{ ...word(1), signature: "0".repeat(131) }] }],
    ["a number that is none", { notices: [{ ...word(1), sequence: -1 }] }],
    ["too many vaults", { notices: [{ ...word(1), vaults: [1, 2, 3] }] }],
    ["too many words", { notices: Array(1_001).fill(word(1)) }],
  ])("with %s are refused", async (_, body) => {
    handler = says(body);
    expect(await refusal(cora.notices())).toMatchObject({ code: "malformed" });
  });
});
