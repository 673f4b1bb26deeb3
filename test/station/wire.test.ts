/**
 * An orchestrator that wants a station to say what its person never meant. It listens on a real
 * socket and answers as it likes; the station's own client asks it.
 */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { base64 } from "@scure/base";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { fromHex } from "../../policies/bitcoin/hash.ts";
import {
  type CeremonyDocument,
  decodeReason,
  readCeremony,
  readEventLine,
} from "../../policies/ceremony.ts";
import { beginning, sealed } from "../../policies/ceremony-events.ts";
import { writeIntent } from "../../policies/intent.ts";
import { identityOf } from "../../signer/station/identity.ts";
import { httpRequests } from "../../signer/station/orchestrator.ts";
import type { Requests } from "../../signer/station/requests.ts";
import { faultOf } from "../support/signer-room.ts";
import { honest, recipient } from "../support/spend.ts";

const TOKEN = "ballast-station-secret";
const identity = identityOf(fromHex("11".repeat(32)));

let server: Server;
let requests: Requests;
/** What the orchestrator answers, by path; a function decides each time. */
let answers: Record<string, () => unknown> = {};
/** What the station has handed over. */
let handed: { path: string; body: { event?: { line: string }; line?: string } }[] = [];

beforeEach(async () => {
  answers = {};
  handed = [];
  server = createServer((request, response) => {
    let text = "";
    request.on("data", (chunk: Buffer) => {
      text += chunk.toString();
    });
    request.on("end", () => {
      const path = request.url ?? "";
      if (request.method === "POST") handed.push({ path, body: JSON.parse(text) });
      const answer = answers[path.split("?")[0] ?? ""]?.() ?? {};
      response.setHeader("content-type", "application/json");
      response.end(typeof answer === "string" ? answer : JSON.stringify(answer));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  requests = httpRequests({ url: `http://127.0.0.1:${port}`, token: TOKEN, identity });
});
afterEach(() => {
  server.closeAllConnections();
  server.close();
});

const spend = honest({ payments: [{ script: recipient(1), sats: 2_000_000n }] });
const other = honest({ payments: [{ script: recipient(2), sats: 2_000_000n }] });

function ceremonyOf(about: typeof spend, bend: Partial<CeremonyDocument> = {}): CeremonyDocument {
  return {
    format: "ballast/ceremony@1",
    network: "regtest",
    intent: about.intent.id,
    spend: { hash: about.case.facts.spendHash, txid: about.case.facts.txid },
    participants: [{ name: "cora", role: "trustee", key: identity.publicKey }],
    quorum: { approvals: ["trustee"] },
    opened: { height: 100, time: "2026-01-01T00:00:00.000Z" },
    deadline: { height: 200, time: "2026-01-02T00:00:00.000Z" },
    reminders: [],
    ...bend,
  };
}

function waits(document: CeremonyDocument, deadline: object = document.deadline) {
  const head = { sequence: 0, hash: "ab".repeat(32) };
  const request = {
    id: spend.intent.id,
    intent: writeIntent(spend.intent),
    psbt: base64.encode(spend.bytes),
    evidence: { format: "ballast/evidence@1" },
    vaults: [],
    ceremony: { document, head },
    deadline,
  };
  answers["/v1/station/requests"] = () => ({ requests: [request], ended: [] });
}

describe("a request in a ceremony", () => {
  it("of its own is listed, and a no is said in it", async () => {
    waits(ceremonyOf(spend));
    const [request] = await requests.list();
    if (request === undefined) throw new Error("nothing waits");
    await requests.decline(request, "no \u202e\u001b[2J reason");
    const said = readEventLine(handed[0]?.body.event?.line ?? "");
    expect(said).toMatchObject({
      ceremony: readCeremony(ceremonyOf(spend)).id,
      event: { by: "cora", do: "decline" },
    });
  });

  it.each([
    ["short", "no", "no"],
    ["of 200 signs that take nine each", "日".repeat(200), "日".repeat(66)],
    ["that would be cut within a sign", `${"x".repeat(199)}😀`, "x".repeat(199)],
    ["with half a sign", "a\ud83db", "a\ufffdb"],
  ])("hears a reason %s", async (_, reason, told) => {
    waits(ceremonyOf(spend));
    const [request] = await requests.list();
    if (request === undefined) throw new Error("nothing waits");
    await requests.decline(request, reason);
    const line = handed[0]?.body.event?.line ?? "";
    const said = readEventLine(line)?.event.detail["reason"];
    expect(decodeReason(said ?? "")).toBe(told);
    expect(handed[0]?.body).toMatchObject({ reason: told });
  });

  it.each([
    ["another intent", { intent: other.intent.id }],
    ["another transaction", { spend: ceremonyOf(other).spend }],
    [
      "another txid by the same hash",
      { spend: { ...ceremonyOf(spend).spend, txid: other.case.facts.txid } },
    ],
    ["another network", { network: "signet" as const }],
  ])("of %s is junk: the person's no would be heard there", async (_, bend) => {
    waits(ceremonyOf(spend, bend));
    expect(await faultOf(requests.list())).toMatchObject({
      name: "StationError",
      code: "malformed",
    });
  });

  it("whose deadline writes on the screen is junk", async () => {
    waits(ceremonyOf(spend), { height: 200, time: "\u001b[9A Pays 1 sat" });
    expect(await faultOf(requests.list())).toMatchObject({ code: "malformed" });
  });
});

describe("a transcript to attest", () => {
  const document = ceremonyOf(spend);
  const ceremony = readCeremony(document);
  const at = document.opened.time;
  /** Events of the orchestrator, one after the other. */
  function transcript(acts: readonly (readonly ["open" | "supersede" | "close", object])[]) {
    let { head } = beginning(ceremony);
    const events = acts.map(([act, detail], sequence) => {
      const content = { sequence, previous: head, by: "orchestrator", do: act };
      const event = sealed(
        ceremony,
        { ...content, detail: detail as Record<string, string> },
        { at, signature: null },
      );
      head = event.hash;
      return event;
    });
    const format = "ballast/ceremony-transcript@1";
    answers["/v1/station/requests"] = () => ({
      requests: [],
      ended: [{ format, ceremony: document, events, attestations: [] }],
    });
  }

  it("that is closed is attested", async () => {
    transcript([
      ["open", {}],
      ["supersede", { reason: "x" }],
      ["close", {}],
    ]);
    expect(await requests.attest()).toEqual([ceremony.id]);
    expect(handed[0]?.body.line).toContain("Ballast attest 1 regtest ");
  });

  it("that may still go on is not: what comes later would stand after everybody's word", async () => {
    transcript([
      ["open", {}],
      ["supersede", { reason: "x" }],
    ]);
    expect(await faultOf(requests.attest())).toMatchObject({ code: "refused" });
    expect(handed).toEqual([]);
  });
});

describe("an answer", () => {
  it("without an end is not read to its end", async () => {
    const page = `{"requests":[],"ended":[],"more":"${"x".repeat(1 << 20)}"}`;
    let sent = 0;
    server.removeAllListeners("request");
    server.on("request", (_, response) => {
      const more = () => {
        // Far more than any honest answer; a station that reads all of it runs out of memory.
        while (!response.destroyed && sent < 400) {
          sent += 1;
          if (!response.write(page)) return response.once("drain", more);
        }
        return response.end();
      };
      more();
    });
    expect(await faultOf(requests.list())).toMatchObject({ name: "StationError" });
    expect(sent).toBeLessThan(400);
  });

  it("says in words what was wrong, and never the token", async () => {
    answers["/v1/station/requests"] = () => `"${TOKEN}`;
    const fault = await faultOf(requests.list());
    expect(fault.message).not.toContain(TOKEN);
  });

  it("with notices page after page without end is left at some page", async () => {
    let sequence = 0;
    answers["/v1/station/notices"] = () => {
      sequence += 1;
      return { notices: [{ sequence, text: "x", signature: "", vaults: [] }] };
    };
    expect(await faultOf(requests.notices())).toMatchObject({ code: "malformed" });
  });
});
