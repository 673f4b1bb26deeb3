/**
 * The heads of the decision log over a real journal, with a clock of the test's own and a key that can
 * be slow, away or wrong as a token can.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as ecc from "tiny-secp256k1";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { hex, sha256 } from "../../policies/bitcoin/hash.ts";
import { u32 } from "../../policies/bitcoin/wire.ts";
import { decide } from "../../policies/decide.ts";
import { signHead, softwareHeadKey, verifyAudit } from "../../signer/audit.ts";
import { type HeadPace, type Heads, openHeads } from "../../signer/heads.ts";
import { type Journal, openJournal } from "../../signer/journal.ts";
import { createJournal } from "../../signer/journal-file.ts";
import type { HeadKey } from "../../signer/signer.ts";
import { victimClaim } from "../support/journal-claims.ts";
import { honest } from "../support/spend.ts";

const APPROVED = decide(honest().case);
const SECRET = sha256(u32(7));
const PACE: HeadPace = {
  ...{ decisions: 4, waitMs: 5_000 },
  ...{ pauseMs: 1_000, pauseMsMax: 6_000 },
  ...{ overdueMs: 60_000, closeMs: 2_000 },
};

let folder = "";
let journal: Journal;
let heads: Heads;
let token: TestToken;
let log: string[] = [];
let decided = 0;

beforeEach(() => {
  vi.useFakeTimers();
  folder = mkdtempSync(join(tmpdir(), "ballast-heads-"));
  mkdirSync(join(folder, "mirror"));
  createJournal(places());
  journal = openJournal(places());
  token = testToken();
  log = [];
  decided = 0;
  start();
});
afterEach(() => {
  vi.useRealTimers();
  journal.close();
  rmSync(folder, { recursive: true, force: true });
});

function places() {
  const [file, mirror] = [join(folder, "journal.db"), join(folder, "mirror", "mark")];
  return { file, network: "regtest", role: "lsp", mirror } as const;
}

function start(key: HeadKey = token.key): void {
  heads = openHeads({ journal, key, pace: PACE, log: (event) => void log.push(event) });
}

function decideNext(count = 1): void {
  for (let n = 0; n < count; n += 1) {
    decided += 1;
    heads.journal.claim(victimClaim(decided), () => APPROVED);
  }
}

const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);
/** The end of the heads, with the time that the key needs for it. */
async function end(): Promise<void> {
  const closed = heads.close();
  await pass(PACE.closeMs);
  await closed;
}
const attested = () => journal.auditLog().heads.map(({ sequence }) => sequence);

/** Signs as a token does, and wrong, late or not at all when told so. */
interface TestToken {
  readonly key: HeadKey;
  /** How long a signature takes. */
  ms: number;
  away: boolean;
  bend: (signature: Uint8Array) => Uint8Array;
  /** When it was asked, since the start. */
  readonly asked: number[];
  /** The most signatures that it was asked for at one time. */
  atOnce: number;
}

function testToken(): TestToken {
  const began = Date.now();
  let signing = 0;
  const made: TestToken = {
    ms: 0,
    away: false,
    bend: (signature) => signature,
    asked: [],
    atOnce: 0,
    key: {
      publicKey: hex(ecc.pointFromScalar(SECRET, true) ?? new Uint8Array()),
      sign: async (hash) => {
        made.asked.push(Date.now() - began);
        signing += 1;
        made.atOnce = Math.max(made.atOnce, signing);
        if (made.ms > 0) await new Promise((resolve) => setTimeout(resolve, made.ms));
        signing -= 1;
        if (made.away) throw new Error("no token of this label or serial is present");
        return made.bend(ecc.sign(hash, SECRET));
      },
    },
  };
  return made;
}

describe("a head", () => {
  it("waits for more decisions, and no longer than it may", async () => {
    decideNext();
    await pass(PACE.waitMs - 1);
    decideNext();
    expect(attested()).toEqual([]);
    await pass(1);
    expect(attested()).toEqual([2]);
    await pass(10 * PACE.waitMs);
    expect(attested()).toEqual([2]);
  });

  it("is due at once after so many decisions, and not after one fewer", async () => {
    decideNext(PACE.decisions - 1);
    await pass(1);
    expect(attested()).toEqual([]);
    decideNext();
    await pass(1);
    expect(attested()).toEqual([PACE.decisions]);
  });

  it("is one for all that was decided by then, and each verifies", async () => {
    decideNext(100);
    await pass(1);
    decideNext(1);
    await pass(PACE.waitMs);
    expect(attested()).toEqual([100, 101]);
    const trust = { key: token.key.publicKey };
    expect(verifyAudit(journal.auditLog(), trust)).toMatchObject({ kind: "intact", records: 101 });
  });

  it("is asked for one at a time, and what is decided meanwhile has the next", async () => {
    token.ms = 1_000;
    decideNext(PACE.decisions);
    await pass(500);
    decideNext(3 * PACE.decisions);
    await pass(500);
    expect(attested()).toEqual([PACE.decisions]);
    await pass(1_001);
    expect(attested()).toEqual([PACE.decisions, 4 * PACE.decisions]);
    expect(token.atOnce).toBe(1);
  });

  it("is made for the word that frees a claim, too", async () => {
    decideNext();
    await pass(PACE.waitMs);
    const { intent, txid } = victimClaim(decided).content;
    expect(heads.journal.free({ intent, txid, policy: "" })).toBe(true);
    await pass(PACE.waitMs);
    expect(attested()).toEqual([1, 2]);
  });

  it("is signed by a key in memory as well", async () => {
    const key = softwareHeadKey(SECRET);
    start(key);
    decideNext();
    await pass(PACE.waitMs);
    const trust = { key: key.publicKey };
    expect(journal.auditLog().heads).toHaveLength(1);
    expect(verifyAudit(journal.auditLog(), trust)).toMatchObject({ kind: "intact" });
  });

  it("is made up for by the next life when one ended without it", async () => {
    decideNext();
    start();
    await pass(PACE.waitMs);
    expect(attested()).toEqual([1]);
  });

  it("is made for a decision whose mark in the mirror could not be written", async () => {
    rmSync(join(folder, "mirror"), { recursive: true });
    expect(() => decideNext()).toThrow();
    await pass(PACE.waitMs);
    expect(attested()).toEqual([1]);
  });
});

describe("a key of heads that is away", () => {
  it("holds up no decision, is asked after growing pauses, and is told of once", async () => {
    token.away = true;
    decideNext();
    await pass(PACE.waitMs + 25_000);
    decideNext(10 * PACE.decisions);
    expect(journal.counts().decisions).toBe(1 + 10 * PACE.decisions);
    expect(token.asked).toEqual([5_000, 6_000, 8_000, 12_000, 18_000, 24_000, 30_000]);
    expect(log).toEqual(["audit head not signed"]);
    token.away = false;
    await pass(PACE.pauseMsMax);
    expect(attested()).toEqual([1 + 10 * PACE.decisions]);
    expect(log).toEqual(["audit head not signed", "audit heads are signed again"]);
  });

  it("is asked soon again after it has signed", async () => {
    token.away = true;
    decideNext();
    await pass(PACE.waitMs + 25_000);
    token.away = false;
    await pass(PACE.pauseMsMax);
    token.away = true;
    decideNext(PACE.decisions);
    await pass(1);
    token.away = false;
    await pass(PACE.pauseMs);
    expect(attested()).toEqual([1, 1 + PACE.decisions]);
  });

  it("is an alarm when a decision has waited too long, once until it is well", async () => {
    token.away = true;
    decideNext();
    await pass(PACE.overdueMs - 1);
    const alarms = () => log.filter((event) => event.startsWith("ALARM"));
    expect(alarms()).toEqual([]);
    await pass(1);
    expect(alarms()).toEqual(["ALARM audit heads overdue"]);
    decideNext();
    await pass(3 * PACE.overdueMs);
    expect(alarms()).toHaveLength(1);
    token.away = false;
    await pass(PACE.pauseMsMax);
    token.away = true;
    decideNext();
    await pass(PACE.overdueMs);
    expect(alarms()).toHaveLength(2);
  });

  it("is an alarm when it never answers", async () => {
    token.ms = 100 * PACE.overdueMs;
    decideNext();
    await pass(PACE.overdueMs);
    expect(log).toEqual(["ALARM audit heads overdue"]);
  });

  it("costs nothing but a pause when it is the disk that fails", async () => {
    decideNext();
    journal.database.pragma("query_only = ON");
    await pass(PACE.waitMs);
    expect(log).toEqual(["audit head not signed"]);
    journal.database.pragma("query_only = OFF");
    await pass(PACE.pauseMs);
    expect(attested()).toEqual([1]);
  });
});

describe("a wrong signature of a head", () => {
  it.each<readonly [string, TestToken["bend"]]>([
    ["a bit of it", (signature) => signature.map((byte, i) => (i === 9 ? byte ^ 1 : byte))],
    ["a byte fewer", (signature) => signature.slice(1)],
    ["none at all", () => new Uint8Array(0)],
    ["another key's", () => ecc.sign(sha256(u32(1)), sha256(u32(8)))],
    ["the same key's over something else", () => ecc.sign(sha256(u32(1)), SECRET)],
    ["BIP340", () => ecc.signSchnorr(sha256(u32(1)), SECRET)],
  ])("is not kept: %s", async (_, bend) => {
    token.bend = bend;
    decideNext();
    await pass(PACE.waitMs);
    expect(attested()).toEqual([]);
    expect(log).toEqual(["ALARM unverified signature", "audit head not signed"]);
    token.bend = (signature) => signature;
    await pass(PACE.pauseMs);
    expect(attested()).toEqual([1]);
  });
});

describe("the end of a signer", () => {
  it("has a head for the last decision", async () => {
    decideNext();
    await end();
    expect(attested()).toEqual([1]);
    expect(log).toEqual([]);
  });

  it("has it also while an older one is being signed", async () => {
    token.ms = 100;
    decideNext(PACE.decisions);
    await pass(50);
    decideNext();
    const closed = heads.close();
    await pass(151);
    await closed;
    expect(attested()).toEqual([PACE.decisions, PACE.decisions + 1]);
  });

  it("does not ask a key that has nothing to sign", async () => {
    await end();
    expect(token.asked).toEqual([]);
  });

  it("waits a bounded time for a key that hangs, and what it signs later is not kept", async () => {
    token.ms = PACE.closeMs + 1;
    decideNext();
    await end();
    expect(log).toEqual(["the last decisions have no audit head"]);
    journal.close();
    await pass(10 * PACE.overdueMs);
    expect(log).toHaveLength(1);
    journal = openJournal(places());
    expect(attested()).toEqual([]);
  });

  it("tries once more with a key that was away", async () => {
    token.away = true;
    decideNext();
    await pass(PACE.waitMs);
    token.away = false;
    await end();
    expect(attested()).toEqual([1]);
  });

  it("says so when the key is still away", async () => {
    token.away = true;
    decideNext();
    await end();
    expect(log).toEqual(["audit head not signed", "the last decisions have no audit head"]);
  });
});

describe("the journal", () => {
  it("has nothing to attest while it is empty, then its last decision until that has a head", async () => {
    expect(journal.unattested()).toBe(null);
    decideNext(2);
    expect(journal.unattested()).toEqual(journal.highWater());
    await end();
    expect(journal.unattested()).toBe(null);
  });

  it("takes no head of another chain, and the same one twice as once", async () => {
    decideNext(2);
    const place = journal.highWater();
    const head = await signHead(token.key, place);
    journal.attest(head);
    journal.attest(head);
    expect(attested()).toEqual([2]);
    const bent = [
      { ...head, link: "11".repeat(32) },
      { ...head, sequence: 1 },
      { ...head, sequence: 3 },
      { ...head, sequence: 0 },
    ];
    for (const other of bent) expect(() => journal.attest(other)).toThrow(/BUG/);
    expect(attested()).toEqual([2]);
  });
});
