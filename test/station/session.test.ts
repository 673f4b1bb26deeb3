/**
 * A person at a station, scripted: what they are shown, what they may say, and what becomes of it.
 * Guard, journal and key are real; the coins lie on paper.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, it } from "vitest";
import { readPsbt } from "../../policies/bitcoin/psbt.ts";
import { price } from "../../policies/money.ts";
import { RECEIVE } from "../../policies/vault.ts";
import { openCurvePool } from "../../signer/curve.ts";
import { KeyError } from "../../signer/key-error.ts";
import {
  type CeremonyPlace,
  type Requests,
  type SaidWords,
  StationError,
  type StationRequest,
} from "../../signer/station/requests.ts";
import { goThrough, handle, type Person } from "../../signer/station/session.ts";
import { type Station, station } from "../../signer/station/station.ts";
import {
  faultOf,
  openRoom,
  registrationOf,
  requestOf,
  type SignerRoom,
} from "../support/signer-room.ts";
import { honest, recipient, type Spend, USER_VAULT } from "../support/spend.ts";

const curve = openCurvePool(2);
let folder = "";
let room: SignerRoom;
/** What the key answers next; null is a signature. */
let fault: KeyError | null = null;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "ballast-station-"));
  fault = null;
  room = await openRoom({
    ...{ folder, curve, vaults: [] },
    bend: (parts) => ({
      ...parts,
      key: {
        ...parts.key,
        sign: async (approval) => {
          if (fault !== null) throw fault;
          return await parts.key.sign(approval);
        },
      },
    }),
  });
});
afterEach(async () => {
  await room.close();
  rmSync(folder, { recursive: true, force: true });
});
afterAll(() => curve.close());

const QUOTE = { price: price(6_543_210n), source: "prices.example" };

interface Desk {
  readonly requests: Requests;
  readonly signed: { id: string; psbt: Uint8Array; spendHash: string }[];
  readonly declined: { id: string; reason: string }[];
}

/** The orchestrator's side: what waits, and what came back. */
function desk(waiting: readonly StationRequest[], words: readonly SaidWords[] = []): Desk {
  const signed: Desk["signed"] = [];
  const declined: Desk["declined"] = [];
  return {
    ...{ signed, declined },
    requests: {
      list: async () => waiting,
      signed: async ({ id }, answer) => void signed.push({ id, ...answer }),
      decline: async ({ id }, reason) => void declined.push({ id, reason }),
      assent: async () => undefined,
      attest: async () => [],
      notices: async () => words,
      say: async () => undefined,
    },
  };
}

/** Answers in their order; what was shown is kept. */
function person(...answers: readonly string[]): Person & { readonly seen: string[] } {
  const left = [...answers];
  const seen: string[] = [];
  return {
    seen,
    show: (lines) => void seen.push(...lines),
    ask: async (question) => {
      seen.push(question);
      return left.shift() ?? "";
    },
  };
}

function withdrawal(n = 1): Spend {
  const spend = honest({
    coins: [{ branch: RECEIVE, index: n }],
    payments: [{ script: recipient(n), sats: 2_000_000n }],
    bend: { intent: (content) => ({ ...content, reference: `withdrawal ${n}` }) },
  });
  room.chain.show(spend);
  return spend;
}

function waiting(spend: Spend): StationRequest {
  return {
    id: spend.intent.id,
    request: requestOf(spend),
    vaults: [registrationOf(USER_VAULT)],
    deadline: "block 900000",
    ceremony: null,
  };
}

function at({ requests }: Desk): Station {
  return station({
    ...{ room: room.signer, requests },
    quote: async () => QUOTE,
    enrol: null,
    log: () => undefined,
  });
}

describe("a person who is asked", () => {
  it("sees who gets what, in sats and dollars, and all that stands around it", async () => {
    const spend = withdrawal();
    const reader = person("later");
    await handle({ station: at(desk([])), person: reader, device: true }, waiting(spend));
    const page = reader.seen.join("\n");
    const { facts } = spend.case;
    expect(page).toContain("2,000,000 sat (about $1,308.64)");
    expect(page).toContain(`Fee      ${facts.feeSats} sat`.replace(/(\d)(\d{3}) sat/, "$1,$2 sat"));
    expect(page).toContain('For      "withdrawal 1" (so they say)');
    expect(page).toContain("$65,432.10 a bitcoin, by prices.example");
    expect(page).toContain("by the user");
    expect(page).toContain("Until    block 900000");
    expect(page).toMatch(/Your law agrees: \d+ rules of \d+/);
    expect(page).toMatch(/After it [0-9,]+ sat of [0-9,]+ sat are left for spends of/);
    expect(page).toContain(facts.txid);
    expect(page).toContain(facts.spendHash);
    // As the device writes it: testnet's prefix, and bitcoins.
    expect(page).toContain("Amount  0.02 TEST");
    expect(page).toMatch(/To {6}tb1/);
  });

  it("signs by saying so, and the answer is handed over", async () => {
    const spend = withdrawal();
    const board = desk([waiting(spend)]);
    const handled = await goThrough({
      ...{ station: at(board), person: person("sign"), device: false },
    });
    expect(handled).toEqual([{ kind: "signed", id: spend.intent.id }]);
    expect(board.signed).toMatchObject([
      { id: spend.intent.id, spendHash: spend.case.facts.spendHash },
    ]);
    expect(readPsbt(board.signed[0]?.psbt ?? new Uint8Array(0)).inputs).toHaveLength(1);
    expect(room.key.signed()).toBe(1);
  });

  it.each([
    ["no", ["no", "I know nothing of it"], "I know nothing of it"],
    ["no, without a reason", ["no"], "no reason given"],
  ])("refuses by saying %s, and the reason is told", async (_, answers, reason) => {
    const spend = withdrawal();
    const board = desk([waiting(spend)]);
    const parts = { station: at(board), person: person(...answers), device: false };
    expect(await goThrough(parts)).toEqual([{ kind: "declined", id: spend.intent.id, reason }]);
    expect(board.declined).toEqual([{ id: spend.intent.id, reason }]);
    expect(room.key.signed()).toBe(0);
  });

  it.each(["", "later", "yes", "sing", "sign it"])(
    "has said neither by %j: nothing is signed, nothing refused",
    async (answer) => {
      const board = desk([waiting(withdrawal())]);
      const parts = { station: at(board), person: person(answer), device: false };
      expect(await goThrough(parts)).toMatchObject([{ kind: "left" }]);
      expect([board.signed, board.declined, room.key.signed()]).toEqual([[], [], 0]);
    },
  );

  it("cannot sign what the law refuses, whatever they say", async () => {
    const spend = honest({ payments: [{ script: recipient(1), sats: 200_000_000n }] });
    const reader = person("sign");
    const board = desk([waiting(spend)]);
    room.chain.show(spend);
    const handled = await goThrough({ station: at(board), person: reader, device: false });
    expect(handled).toMatchObject([{ kind: "left" }]);
    expect(reader.seen.join("\n")).toContain("Your law says NO");
    expect(reader.seen.join("\n")).toContain("spend-limit: ");
    expect(reader.seen).not.toContain("sign, no, or later? ");
    expect(room.key.signed()).toBe(0);
  });

  it("is told of a vault that is new, and which is checked before it is taken", async () => {
    const spend = withdrawal();
    const reader = person("later");
    const bad = { ...waiting(spend), vaults: [{ vault: USER_VAULT.vault.document, proofs: {} }] };
    await handle({ station: at(desk([])), person: reader, device: false }, bad);
    expect(reader.seen.join("\n")).toContain("has not proven possession");
    expect(reader.seen.join("\n")).toContain("a vault that this station does not know");
    await handle({ station: at(desk([])), person: reader, device: false }, waiting(spend));
    expect(reader.seen.join("\n")).toContain("is new here, and was checked and registered");
  });
});

describe("a device that is in the way", () => {
  it("rejected by the person: told as their refusal, and the coin is free", async () => {
    const spend = withdrawal();
    const board = desk([waiting(spend)]);
    fault = new KeyError("rejected", "the person said no on the device");
    const parts = { station: at(board), person: person("sign"), device: true };
    expect(await goThrough(parts)).toMatchObject([{ kind: "declined" }]);
    expect(board.declined).toEqual([{ id: spend.intent.id, reason: "rejected on the device" }]);
    expect(room.journal.counts().claims).toBe(0);
  });

  it("away: nothing is lost, and asked again it signs", async () => {
    const board = desk([waiting(withdrawal())]);
    fault = new KeyError("unavailable", "no Ledger is plugged in", { passing: true });
    const first = person("sign");
    const parts = { station: at(board), device: true };
    expect(await goThrough({ ...parts, person: first })).toMatchObject([
      { kind: "left", why: "no Ledger is plugged in" },
    ]);
    expect(first.seen.join("\n")).toContain("Nothing was signed: no Ledger is plugged in");
    expect(board.declined).toEqual([]);
    fault = null;
    expect(await goThrough({ ...parts, person: person("sign") })).toMatchObject([
      { kind: "signed" },
    ]);
  });
});

describe("a request that changes after it was shown", () => {
  it("is not signed: the yes was for another transaction", async () => {
    const [shown, other] = [withdrawal(1), withdrawal(2)];
    const sitting = at(desk([]));
    await sitting.meet(waiting(shown));
    const sight = await sitting.look(waiting(shown));
    expect(await faultOf(sitting.approve(waiting(other), sight.spendHash))).toMatchObject({
      name: "StationError",
      code: "changed",
    });
    expect(room.key.signed()).toBe(0);
  });

  it("is not signed where the ceremony is about another transaction", async () => {
    const spend = withdrawal();
    const { spendHash } = spend.case.facts;
    const other = { spend: { hash: "5a".repeat(32) } } as CeremonyPlace["document"];
    const ceremony = { id: "00", document: other, sequence: 1, head: "00" };
    const sitting = at(desk([]));
    await sitting.meet(waiting(spend));
    const fault = await faultOf(sitting.approve({ ...waiting(spend), ceremony }, spendHash));
    expect(fault).toMatchObject({ name: "StationError", code: "changed" });
    expect(room.key.signed()).toBe(0);
  });
});

describe("an orchestrator that is in the way", () => {
  const away = async () => Promise.reject(new StationError("unreachable", "nobody answers"));

  it("after the signature: it is told so, and asked again the same is handed over", async () => {
    const board = desk([waiting(withdrawal())]);
    const gone = { ...board, requests: { ...board.requests, signed: away } };
    const first = person("sign");
    const parts = { person: first, device: false };
    expect(await goThrough({ ...parts, station: at(gone) })).toMatchObject([{ kind: "left" }]);
    expect(first.seen.at(-1)).toBe(
      "Not done: it is signed here, and not handed over yet: nobody answers",
    );
    const again = { person: person("sign"), device: false, station: at(board) };
    expect(await goThrough(again)).toMatchObject([{ kind: "signed" }]);
    expect([board.signed.length, room.journal.counts().claims]).toEqual([1, 1]);
  });

  it("with a transcript that is not attested: what waits is shown all the same", async () => {
    const board = desk([waiting(withdrawal())]);
    const bad = { ...board, requests: { ...board.requests, attest: away } };
    const reader = person("sign");
    const parts = { station: at(bad), person: reader, device: false };
    expect(await goThrough(parts)).toMatchObject([{ kind: "signed" }]);
    expect(reader.seen).toContain("No transcript was attested: nobody answers");
  });
});
