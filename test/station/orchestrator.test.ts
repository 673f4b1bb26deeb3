/** A station's requests over the orchestrator's real API: what is listed, answered, and attested. */
import { afterEach, describe, expect, it } from "vitest";
import type { Api } from "../../orchestrator/api/server.ts";
import { registerStation } from "../../orchestrator/ceremony/stations.ts";
import { answerWord } from "../../orchestrator/ceremony/words.ts";
import { readPsbt, writePsbt } from "../../policies/bitcoin/psbt.ts";
import { decodeReason, REASON_CHARACTERS_MAX } from "../../policies/ceremony.ts";
import { verifyTranscript } from "../../policies/transcript.ts";
import { identityOf } from "../../signer/station/identity.ts";
import { httpRequests } from "../../signer/station/orchestrator.ts";
import type { Requests, StationRequest } from "../../signer/station/requests.ts";
import { type Holder, signWith } from "../orchestrator/holders.ts";
import {
  approve,
  ceremonyOf,
  company,
  lineFor,
  OPERATOR_TOKEN,
  opened,
  openStage,
  recovery,
  type Stage,
  serveStage,
  stationKey,
  stationSecret,
  wishFor,
} from "../orchestrator/stage.ts";
import { userWord } from "../orchestrator/user-word.ts";
import { CONFIRMATIONS, intentOf, withdraw } from "../orchestrator/world.ts";
import { faultOf } from "../support/signer-room.ts";

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

interface Scene extends Stage {
  readonly api: Api;
}

async function open(): Promise<Scene> {
  const stage = await openStage();
  const api = await serveStage(stage);
  closing.push(() => api.close());
  return { ...stage, api };
}

function requestsOf({ api }: Scene, name: string, token: string): Requests {
  return httpRequests({ url: api.url, token, identity: identityOf(stationSecret(name)) });
}

/** The station of ann, the user. */
async function annAt(scene: Scene): Promise<Requests> {
  const wish = { name: "ann", role: "user" as const, account: scene.ann.account };
  const outcome = await registerStation(scene.parts, { ...wish, key: stationKey("ann") });
  if (outcome.kind === "refused" || outcome.token === null) throw new Error("no station");
  return requestsOf(scene, "ann", outcome.token);
}

const TRUSTEE_ONLY = {
  participants: [
    { name: "cora", role: "trustee" as const },
    { name: "dan", role: "witness" as const },
  ],
  quorum: { approvals: ["trustee" as const] },
};

/** A recovery of ann's in which cora is asked, and dan looks on. */
async function meeting() {
  const scene = await open();
  const people = await company(scene);
  const intent = await recovery(scene);
  const id = await opened(scene, wishFor(intent, TRUSTEE_ONLY));
  const cora = requestsOf(scene, "cora", people.cora.token);
  const dan = requestsOf(scene, "dan", people.dan.token);
  const witnessed = async () => {
    const { spend } = (await ceremonyOf(scene, id)).ceremony.document;
    const line = await lineFor(scene, id, {
      ...{ by: "dan", do: "witnessed", detail: { spend: spend.hash } },
    });
    const word = { ceremony: id, signed: people.dan.sign(line) };
    return await answerWord(scene.parts, people.dan.station, word);
  };
  return { scene, people, intent, id, cora, dan, witnessed };
}

function signedBy(scene: Scene, request: StationRequest, holder: Holder) {
  const psbt = writePsbt(signWith(readPsbt(request.request.psbt), scene.ann.vault, holder));
  return { psbt, spendHash: request.ceremony?.document.spend.hash ?? "" };
}

async function only(requests: Requests): Promise<StationRequest> {
  const [request, ...more] = await requests.list();
  if (request === undefined || more.length > 0) throw new Error("expected one request");
  return request;
}

describe("a user's station", () => {
  it("lists what was built, and hands in a signature, once or again", async () => {
    const scene = await open();
    const ann = await annAt(scene);
    expect(await ann.list()).toEqual([]);
    const { id } = await withdraw(scene, scene.ann, { sats: 40_000n, reference: "w-1" });
    await scene.settle();
    const request = await only(ann);
    expect(request).toMatchObject({
      id,
      ceremony: null,
      request: { intent: { reference: "w-1" } },
    });
    expect(request.deadline).toMatch(/^block \d+$/);
    expect(request.vaults).toMatchObject([{ vault: scene.ann.vault.vault.document }]);
    const answer = signedBy(scene, request, scene.ann.user);
    for (const _ of [1, 2]) await ann.signed(request, answer);
    expect(await intentOf(scene, id)).toMatchObject({ state: "user-signed" });
    expect(await ann.list()).toEqual([]);
  });

  it("is refused in words with a PSBT that nobody signed, and may sign after all", async () => {
    const scene = await open();
    const ann = await annAt(scene);
    const { id } = await withdraw(scene, scene.ann, { sats: 40_000n, reference: "w-1" });
    await scene.settle();
    const request = await only(ann);
    const { psbt } = request.request;
    expect(await faultOf(ann.signed(request, { psbt, spendHash: "" }))).toMatchObject({
      ...{ name: "StationError", code: "refused" },
      message: expect.stringMatching(/^the orchestrator says 422: ./),
    });
    expect((await intentOf(scene, id)).state).toBe("built");
    await ann.signed(request, signedBy(scene, request, scene.ann.user));
  });

  it("declines, and its words arrive; after a signature it is too late", async () => {
    const scene = await open();
    const ann = await annAt(scene);
    const { id } = await withdraw(scene, scene.ann, { sats: 40_000n, reference: "w-1" });
    await scene.settle();
    await ann.decline(await only(ann), "not my address");
    expect((await intentOf(scene, id)).state).toBe("cancelled");
    const next = await withdraw(scene, scene.ann, { sats: 30_000n, reference: "w-2" });
    await scene.settle();
    const request = await only(ann);
    await ann.signed(request, signedBy(scene, request, scene.ann.user));
    expect(await faultOf(ann.decline(request, "no"))).toMatchObject({
      message: expect.stringContaining("the orchestrator says 409: "),
    });
    expect((await intentOf(scene, next.id)).state).toBe("user-signed");
  });
});

describe("a trustee's station in a ceremony", () => {
  it("signs, is heard with its own event, and attests the end", async () => {
    const { scene, intent, id, cora } = await meeting();
    const request = await only(cora);
    expect(request).toMatchObject({ id: intent, ceremony: { id, sequence: 1 } });
    expect(request.deadline).toMatch(/^block \d+, at the latest \d{4}-.*Z$/);
    expect(await cora.attest()).toEqual([]);
    const answer = signedBy(scene, request, scene.ann.trustee);
    for (const _ of [1, 2]) await cora.signed(request, answer);
    const { events } = await ceremonyOf(scene, id);
    expect(events.map(({ by, do: act }) => `${by} ${act}`)).toContain("cora approve");
    await scene.settle();
    await scene.mine(CONFIRMATIONS);
    expect(await cora.attest()).toEqual([id]);
    expect(await cora.attest()).toEqual([]);
    const response = await fetch(`${scene.api.url}/v1/ceremonies/${id}/transcript`, {
      headers: { authorization: `Bearer ${OPERATOR_TOKEN}` },
    });
    expect(verifyTranscript(await response.json(), "whole")).toMatchObject({
      ...{ kind: "sound", facts: { standing: { state: "complete" }, attested: ["cora"] } },
    });
  });

  it("declines with a reason, and the coins are free", async () => {
    const { scene, intent, id, cora } = await meeting();
    await cora.decline(await only(cora), "the address was read to me otherwise");
    const { events, standing } = await ceremonyOf(scene, id);
    const said = events.find(({ do: act }) => act === "decline");
    expect(decodeReason(said?.detail["reason"] ?? "")).toBe("the address was read to me otherwise");
    expect(standing.state).toBe("declined");
    expect((await intentOf(scene, intent)).state).toBe("refused");
  });

  it.each([
    ["nothing", "", "no reason given"],
    ["blanks", " \t ", "no reason given"],
    ["blanks around it", "  no  ", "no"],
    ["two writings of a letter", "u\u0308ber", "\u00fcber"],
    ["as much as goes", "x".repeat(REASON_CHARACTERS_MAX), "x".repeat(REASON_CHARACTERS_MAX)],
    ["a letter more", "x".repeat(REASON_CHARACTERS_MAX + 1), "x".repeat(REASON_CHARACTERS_MAX)],
    // Four bytes each, twelve characters as an event writes them.
    ["as many signs as an event takes", "\u{1f512}".repeat(51), "\u{1f512}".repeat(50)],
    ["half a sign", "\ud83d no", "\ufffd no"],
  ])("is heard with a reason of %s", async (_, words, heard) => {
    const { scene, id, cora } = await meeting();
    await cora.decline(await only(cora), words);
    const { events } = await ceremonyOf(scene, id);
    const said = events.find(({ do: act }) => act === "decline");
    expect(decodeReason(said?.detail["reason"] ?? "")).toBe(heard);
  });

  it("that speaks after another writes its line anew, at the new end", async () => {
    const { scene, id, cora, witnessed } = await meeting();
    const request = await only(cora);
    expect(await witnessed()).toMatchObject({ kind: "heard" });
    await cora.signed(request, signedBy(scene, request, scene.ann.trustee));
    const { events, standing } = await ceremonyOf(scene, id);
    expect(events.map(({ by, do: act }) => `${by} ${act}`)).toEqual([
      ...["orchestrator open", "dan witnessed", "cora approve"],
    ]);
    expect(standing.state).toBe("approved");
  });

  it("that speaks at once with another is heard, and so is the other", async () => {
    const { scene, id, cora, witnessed } = await meeting();
    const request = await only(cora);
    const answer = signedBy(scene, request, scene.ann.trustee);
    await Promise.all([cora.signed(request, answer), witnessed()]);
    await witnessed();
    const { events } = await ceremonyOf(scene, id);
    expect(events.map(({ by }) => by).sort()).toEqual(["cora", "dan", "orchestrator"]);
  });

  it("is not heard where the ceremony has ended meanwhile", async () => {
    const { scene, id, people, cora } = await meeting();
    const request = await only(cora);
    await approve(scene, id, people.cora);
    expect(await faultOf(cora.decline(request, "too late"))).toMatchObject({
      ...{ name: "StationError", code: "refused" },
      message: expect.stringContaining("409"),
    });
  });

  it("of the wrong key says nothing: it takes no part", async () => {
    const { scene, people, cora } = await meeting();
    const request = await only(cora);
    const eve = requestsOf(scene, "eve", people.cora.token);
    for (const word of [
      eve.signed(request, signedBy(scene, request, scene.ann.trustee)),
      eve.decline(request, "no"),
    ]) {
      expect(await faultOf(word)).toMatchObject({
        message: "this station's key takes no part in the ceremony",
      });
    }
  });

  it("without its token is told so", async () => {
    const { scene } = await meeting();
    for (const word of ["list", "attest", "notices"] as const) {
      expect(await faultOf(requestsOf(scene, "cora", "nobody")[word]())).toMatchObject({
        ...{ name: "StationError", code: "refused" },
        message: "the orchestrator says 401: these pages want the token of a station",
      });
    }
  });
});

describe("what users say", () => {
  it("is read over as many pages as there are, the oldest first", async () => {
    const { scene, cora } = await meeting();
    const ann = await annAt(scene);
    expect(await cora.notices()).toEqual([]);
    const said = Array.from({ length: 105 }, (_, i) => userWord(scene.ann, "stop", i + 1));
    for (const words of said) await ann.say(words);
    const heard = await cora.notices();
    expect(heard.map(({ words }) => words)).toEqual(said);
    expect(heard[0]?.vaults).toMatchObject([{ vault: scene.ann.vault.vault.document }]);
    expect(await ann.notices()).toHaveLength(105);
  });

  it("is refused in words where another has signed it", async () => {
    const { scene } = await meeting();
    const ann = await annAt(scene);
    const words = { ...userWord(scene.ann, "stop", 1), signature: "00".repeat(64) };
    expect(await faultOf(ann.say(words))).toMatchObject({ name: "StationError", code: "refused" });
    expect(await ann.notices()).toEqual([]);
  });
});

describe("a verifier's and a witness's station", () => {
  it("say their words where the quorum waits for them, and the trustee signs after", async () => {
    const scene = await open();
    const people = await company(scene);
    const intent = await recovery(scene);
    const id = await opened(scene, wishFor(intent));
    const [bob, dan] = [
      requestsOf(scene, "bob", people.bob.token),
      requestsOf(scene, "dan", people.dan.token),
    ];
    const request = await only(bob);
    const spendHash = request.ceremony?.document.spend.hash ?? "";
    await bob.assent(request, { do: "verified", spendHash, policy: "11".repeat(32) });
    // Said at the old end, and written anew at the new one.
    await dan.assent(request, { do: "witnessed", spendHash });
    const cora = requestsOf(scene, "cora", people.cora.token);
    const waits = await only(cora);
    await cora.signed(waits, signedBy(scene, waits, scene.ann.trustee));
    const { standing } = await ceremonyOf(scene, id);
    expect(standing).toMatchObject({
      state: "approved",
      said: ["bob verified", "dan witnessed", "cora approve"],
    });
  });

  it("cannot speak for another part, nor about a request of no ceremony", async () => {
    const { dan } = await meeting();
    const request = await only(dan);
    const spendHash = request.ceremony?.document.spend.hash ?? "";
    const verified = { do: "verified", spendHash, policy: "none" } as const;
    expect(await faultOf(dan.assent(request, verified))).toMatchObject({ code: "refused" });
    expect(
      await faultOf(dan.assent({ ...request, ceremony: null }, { do: "witnessed", spendHash })),
    ).toMatchObject({ code: "refused", message: expect.stringContaining("no ceremony") });
  });
});
