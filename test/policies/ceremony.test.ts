/** Ceremonies: the documents read strictly, every act on both sides of what allows it, and transcripts bent. */
import fc from "fast-check";
import * as ecc from "tiny-secp256k1";
import { describe, expect, it } from "vitest";
import { fromHex, hex, sha256 } from "../../policies/bitcoin/hash.ts";
import { textHash } from "../../policies/bitcoin/message.ts";
import {
  type Act,
  attestLine,
  type CeremonyDocument,
  CeremonyError,
  decodeReason,
  encodeReason,
  eventHash,
  eventLine,
  psbtHash,
  readCeremony,
  readEventLine,
} from "../../policies/ceremony.ts";
import {
  after,
  beginning,
  type CeremonyEvent,
  objectionsTo,
  sealed,
  waitedFor,
} from "../../policies/ceremony-events.ts";
import { type TranscriptDocument, verifyTranscript } from "../../policies/transcript.ts";

const secretOf = (name: string) => sha256(new TextEncoder().encode(`station ${name}`));
const keyOf = (name: string) => hex(ecc.xOnlyPointFromScalar(secretOf(name)));
const signed = (name: string, line: string) => hex(ecc.signSchnorr(textHash(line), secretOf(name)));

const SPEND = { hash: "11".repeat(32), txid: "22".repeat(32) };
const PSBT = "33".repeat(32);

const DOCUMENT: CeremonyDocument = {
  format: "ballast/ceremony@1",
  network: "regtest",
  intent: "44".repeat(32),
  spend: SPEND,
  participants: [
    { name: "ada", role: "initiator", key: keyOf("ada") },
    { name: "bob", role: "verifier", key: keyOf("bob") },
    { name: "cora", role: "trustee", key: keyOf("cora") },
    { name: "dan", role: "witness", key: keyOf("dan") },
  ],
  quorum: { approvals: ["verifier", "trustee"] },
  opened: { height: 100, time: "2026-11-25T12:00:00.000Z" },
  deadline: { height: 200, time: "2026-11-26T12:00:00.000Z" },
  reminders: [5_000, 9_000],
};
const CEREMONY = readCeremony(DOCUMENT);

interface Deed {
  readonly by: string;
  readonly do: Act;
  readonly detail?: Readonly<Record<string, string>>;
  readonly at?: string;
  /** Whose key signs instead. */
  readonly key?: string;
}

const LATE = "2026-11-26T12:00:00.001Z";
const deeds = {
  open: { by: "orchestrator", do: "open" },
  seen: { by: "bob", do: "seen" },
  remind: { by: "orchestrator", do: "remind", detail: { part: "5000", to: "bob,cora" } },
  verified: { by: "bob", do: "verified", detail: { spend: SPEND.hash, policy: "none" } },
  approve: { by: "cora", do: "approve", detail: { psbt: PSBT, spend: SPEND.hash } },
  witnessed: { by: "dan", do: "witnessed", detail: { spend: SPEND.hash } },
  broadcast: { by: "orchestrator", do: "broadcast", detail: { txid: SPEND.txid } },
  confirmed: { by: "orchestrator", do: "confirmed", detail: { txid: SPEND.txid, height: "150" } },
  complete: { by: "orchestrator", do: "complete" },
  close: { by: "orchestrator", do: "close" },
  decline: { by: "cora", do: "decline", detail: { reason: encodeReason("wrong address") } },
  expire: { by: "orchestrator", do: "expire", detail: { height: "201" } },
  supersede: { by: "orchestrator", do: "supersede", detail: { reason: encodeReason("anew") } },
} satisfies Record<string, Deed>;

function next(standing: ReturnType<typeof beginning>, deed: Deed): CeremonyEvent {
  const { by, do: act, detail = {} } = deed;
  const content = { sequence: standing.sequence, previous: standing.head, by, do: act, detail };
  const line = eventLine("regtest", CEREMONY.id, content);
  const signature =
    by === "orchestrator" && deed.key === undefined ? null : signed(deed.key ?? by, line);
  return sealed(CEREMONY, content, { at: deed.at ?? standing.at, signature });
}

/** The standing after these deeds, which all may stand. */
function played(list: readonly Deed[]) {
  const events: CeremonyEvent[] = [];
  let standing = beginning(CEREMONY);
  for (const deed of list) {
    const event = next(standing, deed);
    expect([deed.do, objectionsTo(CEREMONY, standing, event)]).toEqual([deed.do, []]);
    standing = after(CEREMONY, standing, event);
    events.push(event);
  }
  return { standing, events };
}

const { open, seen, remind, verified, approve, witnessed } = deeds;
const { broadcast, confirmed, complete, close, decline, expire, supersede } = deeds;
const WHOLE: readonly Deed[] = [
  ...[open, seen, remind, verified, approve, witnessed],
  ...[broadcast, confirmed, complete, close],
];

function transcript(list: readonly Deed[], attesting: readonly string[]): TranscriptDocument {
  const { standing, events } = played(list);
  const end = { sequence: standing.sequence - 1, head: standing.head };
  return {
    format: "ballast/ceremony-transcript@1",
    ceremony: DOCUMENT,
    events,
    attestations: attesting.map((by) => {
      const line = attestLine({ network: "regtest", ceremony: CEREMONY.id }, { ...end, by });
      return { ...end, by, signature: signed(by, line) };
    }),
  };
}

const ATTESTING = ["bob", "cora"];
const placesOf = (value: unknown, extent: "whole" | "so far" = "whole") => {
  const finding = verifyTranscript(value, extent);
  return finding.kind === "sound" ? [] : finding.faults.map(({ place }) => place);
};

describe("a ceremony document", () => {
  it("has the id of its content", () => {
    expect(CEREMONY.id).toBe("09181a6c59b21d4533cdf100b826e8c26850b7643240937dfc3339c5c16a7d17");
    expect(readCeremony({ ...DOCUMENT, reminders: [5_000] }).id).not.toBe(CEREMONY.id);
  });

  it.each([
    [
      "a name twice",
      {
        participants: [
          ...DOCUMENT.participants,
          { ...DOCUMENT.participants[0], key: keyOf("eve") },
        ],
      },
    ],
    [
      "a key twice",
      { participants: [...DOCUMENT.participants, { ...DOCUMENT.participants[0], name: "eve" }] },
    ],
    [
      "the orchestrator's name",
      { participants: [{ name: "orchestrator", role: "trustee", key: keyOf("o") }] },
    ],
    [
      "a key that is no point",
      { participants: [{ name: "cora", role: "trustee", key: "ff".repeat(32) }] },
    ],
    [
      "a part in the quorum that nobody has",
      { quorum: { approvals: ["trustee", "second-trustee"] } },
    ],
    ["a quorum without a key", { quorum: { approvals: ["verifier"] } }],
    ["a quorum of nobody", { quorum: { approvals: [] } }],
    ["a part twice in the quorum", { quorum: { approvals: ["trustee", "trustee"] } }],
    [
      "a deadline at its opening",
      { deadline: { ...DOCUMENT.deadline, time: DOCUMENT.opened.time } },
    ],
    ["a deadline at its height", { deadline: { ...DOCUMENT.deadline, height: 100 } }],
    [
      "a time in another form",
      { deadline: { ...DOCUMENT.deadline, time: "2026-11-26T12:00:00Z" } },
    ],
    ["reminders that do not ascend", { reminders: [9_000, 5_000] }],
    ["a reminder at the deadline", { reminders: [10_000] }],
    ["an unknown key", { secret: true }],
  ])("is none with %s", (_, bend) => {
    expect(() => readCeremony({ ...DOCUMENT, ...bend })).toThrow(CeremonyError);
  });
});

describe("an event's line", () => {
  const content = { sequence: 4, previous: "55".repeat(32), ...deeds.approve };
  const line = eventLine("regtest", CEREMONY.id, content);

  it("has one form and one hash", () => {
    expect(line).toBe(
      `Ballast ceremony 1 regtest id=${CEREMONY.id} seq=4 prev=${"55".repeat(32)} by=cora do=approve psbt=${PSBT} spend=${SPEND.hash}`,
    );
    expect(readEventLine(line)).toEqual({
      network: "regtest",
      ceremony: CEREMONY.id,
      event: content,
    });
    const sealing = { at: "2026-11-25T12:00:00.000Z", signature: null };
    expect(eventHash(line, sealing)).toBe(
      "18914dae0af92f5c21159a2b16bd860469fd8576c19143bfbb70b1a92e50e235",
    );
    expect(eventHash(line, { ...sealing, signature: "00" })).not.toBe(eventHash(line, sealing));
    expect(psbtHash(fromHex("70736274ff"))).toBe(
      "4faafe979b4b98b760ef59b472dace542a030e670801fc79c6f6b7c292303ee4",
    );
  });

  it.each([
    ["another kind", line.replace("ceremony", "approval")],
    ["another version", line.replace("ceremony 1", "ceremony 2")],
    ["an act that is none", line.replace("do=approve", "do=agree")],
    ["a field more", `${line} more=1`],
    ["a field less", line.replace(/ spend=.*/, "")],
    ["fields in another order", line.replace(/(psbt=\S+) (spend=\S+)/, "$2 $1")],
    ["a number with a zero before it", line.replace("seq=4", "seq=04")],
    ["a prototype's name for an act", line.replace("do=approve", "do=constructor")],
    ["a line break", `${line}\n`],
  ])("is none with %s", (_, text) => {
    expect(readEventLine(text)).toBeNull();
  });

  it("carries a person's words and gives them back", () => {
    for (const words of ["wrong address", "50 % zu viel = Ärger", "e\u0301", "a=b c"]) {
      const detail = { reason: encodeReason(words) };
      const spoken = { sequence: 1, previous: PSBT, by: "cora", do: "decline" as const, detail };
      const read = readEventLine(eventLine("regtest", CEREMONY.id, spoken));
      expect(decodeReason(read?.event.detail["reason"] ?? "")).toBe(words.normalize("NFC"));
    }
    for (const reason of ["", "%", "%e4", "%20".repeat(201), "a%41"]) {
      const bad = {
        sequence: 1,
        previous: PSBT,
        by: "cora",
        do: "decline" as const,
        detail: { reason },
      };
      expect([reason, readEventLine(eventLine("regtest", CEREMONY.id, bad))]).toEqual([
        reason,
        null,
      ]);
    }
  });
});

describe("the states of a ceremony", () => {
  it.each<[string, readonly Deed[], string, boolean]>([
    ["opened", [open], "open", false],
    ["verified, and no key yet", [open, verified], "open", false],
    ["agreed to by all whom it asks for", [open, verified, approve], "approved", false],
    ["confirmed", [open, verified, approve, confirmed, complete], "complete", false],
    [
      "confirmed though nobody here agreed",
      [open, broadcast, confirmed, complete],
      "complete",
      false,
    ],
    ["declined", [open, decline, close], "declined", true],
    ["too late by height", [open, expire], "expired", false],
    [
      "too late by the clock",
      [open, { ...expire, at: LATE, detail: { height: "100" } }],
      "expired",
      false,
    ],
    ["superseded", [open, supersede, close], "superseded", true],
    [
      "superseded by another spend of its coins",
      [open, verified, approve, supersede],
      "superseded",
      false,
    ],
    ["closed", WHOLE, "complete", true],
  ])("%s", (_, list, state, closed) => {
    expect(played(list).standing).toMatchObject({ state, closed });
  });

  it("say whom they wait for", () => {
    const names = (list: readonly Deed[]) =>
      waitedFor(CEREMONY, played(list).standing).map(({ name }) => name);
    expect(names([open])).toEqual(["bob", "cora"]);
    expect(names([open, verified])).toEqual(["cora"]);
    expect(names([open, verified, approve])).toEqual([]);
  });

  it.each<[string, readonly Deed[], Deed, string]>([
    ["an opening again", [open], open, "begins with its opening"],
    ["no opening", [], seen, "begins with its opening"],
    ["a key before the verifier", [open], approve, "bob must speak before"],
    [
      "an approval of another spend",
      [open, verified],
      { ...approve, detail: { ...approve.detail, spend: PSBT } },
      "another spend",
    ],
    [
      "a verification of another spend",
      [open],
      { ...verified, detail: { ...verified.detail, spend: PSBT } },
      "another spend",
    ],
    [
      "a broadcast of another spend",
      [open],
      { ...broadcast, detail: { txid: PSBT } },
      "another spend",
    ],
    ["a foreign key", [open], { ...verified, key: "dan" }, "not bob's"],
    ["a stranger", [open], { ...seen, by: "eve" }, "eve takes no part"],
    ["a part that has no say in it", [open], { ...witnessed, by: "bob" }, "does not say"],
    ["somebody not in the quorum", [open], { ...decline, by: "dan" }, "does not ask for a witness"],
    [
      "an approval by a verifier",
      [open, verified],
      { ...approve, by: "bob" },
      "does not say approve",
    ],
    [
      "the orchestrator for a person",
      [open],
      { ...verified, by: "orchestrator" },
      "not the orchestrator's",
    ],
    ["a signature of the orchestrator", [open], { ...remind, key: "ada" }, "signs nothing"],
    ["words said twice", [open, verified], verified, "already"],
    ["no when all have agreed", [open, verified, approve], decline, "is approved"],
    ["an approval after a no", [open, verified, decline], approve, "is declined"],
    [
      "an approval after the deadline",
      [open, verified],
      { ...approve, at: LATE },
      "deadline has passed",
    ],
    [
      "an expiry before the deadline",
      [open],
      { ...expire, detail: { height: "200" } },
      "has not passed",
    ],
    [
      "an expiry when all have agreed",
      [open, verified, approve],
      { ...expire, at: LATE },
      "is approved",
    ],
    ["an end without a confirmation", [open, verified, approve], complete, "not confirmed"],
    ["a closing while it is open", [open], close, "is open"],
    ["anything after the closing", [open, decline, close], close, "closed"],
    [
      "an earlier time",
      [open, { ...seen, at: "2026-11-25T13:00:00.000Z" }],
      { ...verified, at: "2026-11-25T12:59:59.999Z" },
      "earlier",
    ],
  ])("do not allow %s", (_, before, deed, words) => {
    const { standing } = played(before);
    const objections = objectionsTo(CEREMONY, standing, next(standing, deed));
    expect(objections.join("; ")).toContain(words);
  });

  it.each<[string, readonly Deed[], Deed]>([
    ["a no after the deadline", [open], { ...decline, at: LATE }],
    ["an approval at the deadline", [open, verified], { ...approve, at: DOCUMENT.deadline.time }],
    ["a witness after all have agreed", [open, verified, approve], { ...witnessed, at: LATE }],
    ["an expiry one block after the deadline", [open], expire],
  ])("allow %s", (_, before, deed) => {
    played([...before, deed]);
  });
});

describe("a transcript", () => {
  const whole = transcript(WHOLE, ATTESTING);
  const last = whole.events.length - 1;
  const without = (i: number) => ({ ...whole, events: whole.events.filter((_, n) => n !== i) });
  const bent = (i: number, bend: (event: CeremonyEvent) => unknown) => ({
    ...whole,
    events: whole.events.map((event, n) => (n === i ? bend(event) : event)),
  });
  const indices = whole.events.map(({ do: act }, i) => ({ i, act }));

  it("whole, says who agreed and how it ended", () => {
    const finding = verifyTranscript(JSON.parse(JSON.stringify(whole)), "whole");
    expect(finding).toMatchObject({
      kind: "sound",
      facts: {
        ceremony: { id: CEREMONY.id },
        standing: { state: "complete", closed: true, txid: SPEND.txid, height: 150 },
        agreed: [
          { name: "bob", part: "verifier" },
          { name: "cora", part: "trustee" },
        ],
        attested: ATTESTING,
      },
    });
    expect(whole.events[last]?.hash).toBe(
      "e772591a1c57a6b32ee5050dea4b864b577cf2bb374552ee169551fa1fe3b42c",
    );
  });

  it.each(indices)("shows that line $i ($act) was removed", ({ i }) => {
    const places = placesOf(without(i));
    expect(places.length).toBeGreaterThan(0);
    // The place is that of the line that stands there now; after the last there is only the tail.
    expect(places[0]).toBe(i === last ? "attestations.0" : `events.${i}`);
  });

  it.each(indices.slice(1))(
    "shows that line $i ($act) stands before the one before it",
    ({ i }) => {
      const events = [...whole.events];
      const [moved] = events.splice(i, 1);
      if (moved !== undefined) events.splice(i - 1, 0, moved);
      expect(placesOf({ ...whole, events })).toContain(`events.${i - 1}`);
    },
  );

  it.each(indices)("shows that line $i ($act) was edited", ({ i }) => {
    const time = bent(i, (event) => ({ ...event, at: "2026-11-25T23:59:59.999Z" }));
    expect(placesOf(time)).toContain(`events.${i}`);
    const hand = bent(i, (event) => ({ ...event, by: event.by === "cora" ? "bob" : "cora" }));
    expect(placesOf(hand)).toContain(`events.${i}`);
    // Whoever edits and makes all hashes anew is found by the signatures, or by the attested head.
    const forged = bent(i, (event) => {
      const at = event.at.replace("12:00:00.000", "12:00:00.001");
      return sealed(CEREMONY, event, { at, signature: event.signature });
    });
    expect(placesOf(forged).length).toBeGreaterThan(0);
  });

  it.each(indices)("shows that it was cut off before line $i ($act)", ({ i }) => {
    const cut = { ...whole, events: whole.events.slice(0, i) };
    expect(placesOf(cut)).toContain("attestations.0");
    const alone = { ...cut, attestations: [] };
    expect(placesOf(alone)).toContain("tail");
    // So far, it is what it was then.
    expect(placesOf(alone, "so far")).toEqual([]);
  });

  it("shows that lines were cut off and it was closed anew", () => {
    const shorter = transcript([open, verified, decline, close], []);
    expect(placesOf({ ...shorter, attestations: whole.attestations })).toContain("attestations.0");
  });

  it.each<[string, readonly string[], readonly string[]]>([
    ["nobody", [], ["tail", "tail", "tail"]],
    ["one of two who agreed", ["bob"], ["tail"]],
    ["a stranger besides", [...ATTESTING, "eve"], ["attestations.2"]],
    ["one twice", [...ATTESTING, "bob"], ["attestations.2"]],
    ["a witness besides", [...ATTESTING, "dan"], []],
  ])("attested by %s", (_, attesting, places) => {
    expect(placesOf(transcript(WHOLE, attesting))).toEqual(places);
  });

  /** Every place that holds a text or a number. */
  function leaves(value: unknown, path: readonly (string | number)[] = []): (string | number)[][] {
    if (typeof value !== "object" || value === null) return [[...path]];
    return Object.entries(value).flatMap(([key, item]) =>
      leaves(item, [...path, Array.isArray(value) ? Number(key) : key]),
    );
  }

  it("is at fault wherever a value is another, and never throws", () => {
    const places = leaves(whole);
    const other = fc.oneof(fc.string(), fc.integer(), fc.constant(null), fc.constant("__proto__"));
    const flip = (text: string, at: number) => {
      const i = at % Math.max(1, text.length);
      return text.slice(0, i) + (text[i] === "0" ? "1" : "0") + text.slice(i + 1);
    };
    fc.assert(
      fc.property(fc.nat(), fc.nat(), fc.boolean(), other, (place, at, small, value) => {
        const copy = structuredClone(whole) as unknown;
        const path = places[place % places.length] ?? [];
        // biome-ignore lint/suspicious/noExplicitAny: walks to a place in a document
        const parent = path.slice(0, -1).reduce<any>((node, key) => node[key], copy);
        const last = path.at(-1) ?? "";
        const before: unknown = parent[last];
        const bend = small && typeof before === "string" ? flip(before, at) : value;
        fc.pre(bend !== before);
        parent[last] = bend;
        expect(verifyTranscript(copy, "whole").kind).toBe("faulty");
      }),
      { numRuns: 1_000 },
    );
  });

  it("shows a foreign attestation", () => {
    const [first, second] = whole.attestations;
    const swapped = [
      { ...first, signature: second?.signature },
      { ...second, signature: first?.signature },
    ];
    expect(placesOf({ ...whole, attestations: swapped })).toEqual([
      "attestations.0",
      "attestations.1",
    ]);
  });

  it.each<[string, unknown, string]>([
    ["nothing", null, "document"],
    ["another format", { ...whole, format: "ballast/hsm-transcript@1" }, "format"],
    ["an unknown key", { ...whole, more: 1 }, "document"],
    ["no ceremony", { ...whole, ceremony: {} }, "ceremony"],
    ["another ceremony", { ...whole, ceremony: { ...DOCUMENT, reminders: [] } }, "events.0"],
    ["an act that is none", bent(1, (event) => ({ ...event, do: "constructor" })), "events.1.do"],
    [
      "a blank in a name",
      bent(2, (event) => ({ ...event, detail: { part: "5000", to: "a b" } })),
      "events.2",
    ],
  ])("is none with %s", (_, value, place) => {
    expect(placesOf(value)).toContain(place);
  });
});
