/**
 * The law of a signer over starts, amendments and time (invariant 5, attacks.md 111 and 112): a real
 * journal, opened anew at each start; the clock and what the node says are in the test's hands.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { secp256k1 } from "@noble/curves/secp256k1.js";
import * as ecc from "tiny-secp256k1";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { hex, sha256 } from "../../policies/bitcoin/hash.ts";
import { textHash } from "../../policies/bitcoin/message.ts";
import { u32 } from "../../policies/bitcoin/wire.ts";
import { amendmentText } from "../../policies/document/amendment.ts";
import { type PolicyDocument, readPolicy } from "../../policies/document/policy.ts";
import { readSignedPolicy, writeSignedPolicy } from "../../policies/document/signed-policy.ts";
import { exportJournal, InterchangeError, importJournal } from "../../signer/interchange.ts";
import { type Journal, openJournal } from "../../signer/journal.ts";
import { createJournal } from "../../signer/journal-file.ts";
import { type Law, LawError, openLaw } from "../../signer/law.ts";
import { HEIGHT, NOW, POLICY } from "../support/spend.ts";

const HOUR = 3_600_000;
const SECRETS = [1, 2].map((n) => sha256(u32(n)));
const NAMES = ["ann", "ben"];
const people = SECRETS.map((secret, i) => ({
  name: NAMES[i] ?? "",
  key: hex(secp256k1.getPublicKey(secret, true)),
}));
const FIRST: PolicyDocument = {
  ...POLICY,
  quorum: { approvals: 2, people },
  changes: { loosening_hours: 48 },
};
const TIGHTER = { ...FIRST, version: 2, chain: { confirmations: 4 } };
const LOOSER = { ...FIRST, version: 2, chain: { confirmations: 2 } };

/** The file that the people in force sign for `next`. */
function signed(next: PolicyDocument, inForce: PolicyDocument = FIRST, who = [0, 1]): unknown {
  const text = amendmentText({ before: readPolicy(inForce), after: readPolicy(next) });
  const agreements = who.map((i) => ({
    person: NAMES[i] ?? "",
    signature: ecc.signSchnorr(textHash(text), SECRETS[i] ?? new Uint8Array()),
  }));
  return writeSignedPolicy({ document: next, agreements });
}

let folder = "";
const journals: Journal[] = [];
let clock = { now: NOW };
let log: string[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ballast-law-"));
  clock = { now: NOW };
  log = [];
  createJournal(at("own"));
});
afterEach(() => {
  stop();
  rmSync(folder, { recursive: true, force: true });
});

function at(name: string) {
  return { file: join(folder, `${name}.db`), network: "regtest", role: "lsp" } as const;
}

function stop(): void {
  for (const journal of journals.splice(0)) journal.close();
}

function opened(name = "own"): Journal {
  const journal = openJournal(at(name));
  journals.push(journal);
  return journal;
}

/** A start: everything before it is stopped. */
function start(configured: unknown, name = "own"): Law {
  stop();
  return openLaw({
    journal: opened(name),
    configured: readSignedPolicy(configured),
    now: () => clock.now,
    log: (event) => void log.push(event),
  });
}

/** So many hours later, and blocks as they come on average unless it is said otherwise. */
function later(law: Law, hours: number, blocks = hours * 6): void {
  clock.now += hours * HOUR;
  height += blocks;
  look(law);
}
let height = HEIGHT;
beforeEach(() => {
  height = HEIGHT;
});

/** The node is in step with the clock; `behind` hours late otherwise. */
function look(law: Law, behind = 0): void {
  law.observe({ height: height - behind * 6, medianTime: (clock.now - behind * HOUR) / 1_000 });
}

function confirmations(law: Law): number {
  return law.inForce().confirmations;
}

describe("the first start", () => {
  it("pins the policy that it is configured with, and the next start finds it", () => {
    expect(start(FIRST).inForce().hash).toBe(readPolicy(FIRST).hash);
    expect(start(FIRST).inForce().version).toBe(1);
    expect(log).toEqual(["policy pinned"]);
  });

  it("takes a signed file for its document: who is to agree is known from then on", () => {
    expect(start(signed(TIGHTER)).inForce().version).toBe(2);
    expect(() => start(FIRST)).toThrow(/older than 2/);
  });
});

describe("a tightening", () => {
  it("is in force at once, and for good", () => {
    start(FIRST);
    expect(confirmations(start(signed(TIGHTER)))).toBe(4);
    expect(log).toEqual(["policy pinned", "ALARM policy in force"]);
    expect(confirmations(start(signed(TIGHTER)))).toBe(4);
    // The quorum has agreed to this document; the plain file says the same.
    expect(confirmations(start(TIGHTER))).toBe(4);
    expect(() => start(FIRST)).toThrow(LawError);
    expect(log).toHaveLength(2);
  });

  it("takes back what is announced", () => {
    start(FIRST);
    const law = start(signed(LOOSER));
    look(law);
    const tighter = start(signed({ ...TIGHTER, version: 3 }));
    expect([tighter.announced(), confirmations(tighter)]).toEqual([null, 4]);
    expect(log).toContain("ALARM announced policy withdrawn");
    expect(() => start(signed(LOOSER))).toThrow(LawError);
  });
});

describe("a start with a policy", () => {
  it.each<[string, unknown]>([
    ["that nobody signed", TIGHTER],
    ["that one of two signed", signed(TIGHTER, FIRST, [0])],
    ["that one signed twice", signed(TIGHTER, FIRST, [0, 0])],
    ["of the same version with other content", signed({ ...TIGHTER, version: 1 })],
    ["that is signed over another policy in force", signed(TIGHTER, { ...FIRST, name: "other" })],
  ])("%s does not happen", (_, configured) => {
    start(FIRST);
    expect(() => start(configured)).toThrow(LawError);
    expect(confirmations(start(FIRST))).toBe(3);
  });

  it("that is older does not happen, though the quorum of then signed it", () => {
    const second = { ...FIRST, version: 2 };
    const third = { ...TIGHTER, version: 3 };
    start(FIRST);
    start(signed(second));
    start(signed(third, second));
    expect(() => start(signed(second))).toThrow(/version 2 is older than 3/);
  });

  it("in the place of one without a quorum never happens", () => {
    const { quorum: _, ...lonely } = FIRST;
    start(lonely);
    expect(() => start(signed(TIGHTER, lonely))).toThrow(/names no quorum/);
  });

  it("says the reason, and which policy stays in force", () => {
    start(FIRST);
    expect(() => start(TIGHTER)).toThrow(
      /lsp\.regtest v2 .* lsp\.regtest v1 .*0 of 2 people agree/,
    );
  });
});

describe("a loosening", () => {
  it("waits for its hours and its blocks, and is in force from then on", () => {
    start(FIRST);
    const law = start(signed(LOOSER));
    look(law);
    later(law, 47);
    expect([confirmations(law), law.announced()?.version]).toEqual([3, 2]);
    later(law, 1);
    expect([confirmations(law), law.announced()]).toEqual([2, null]);
    expect(confirmations(start(signed(LOOSER)))).toBe(2);
    expect(log).toEqual(["policy pinned", "ALARM policy announced", "ALARM policy in force"]);
  });

  it("waits on through restarts", () => {
    start(FIRST);
    look(start(signed(LOOSER)));
    later(start(signed(LOOSER)), 30);
    later(start(signed(LOOSER)), 17);
    const law = start(LOOSER);
    expect(confirmations(law)).toBe(3);
    later(law, 1);
    expect(confirmations(law)).toBe(2);
  });

  it.each([
    ["the hours, not the blocks", 48, 287],
    ["the blocks, not the hours", 47, 288],
  ])("does not come with %s", (_, hours, blocks) => {
    start(FIRST);
    const law = start(signed(LOOSER));
    look(law);
    later(law, hours, blocks);
    expect(confirmations(law)).toBe(3);
  });

  it("counts from the first look at the chain, not from what the journal last knew", () => {
    start(FIRST);
    look(start(signed({ ...TIGHTER, chain: { confirmations: 3 } })));
    clock.now += 1_000 * HOUR;
    height += 6_000;
    const law = start(
      signed({ ...LOOSER, version: 3 }, { ...TIGHTER, chain: { confirmations: 3 } }),
    );
    look(law);
    later(law, 47);
    expect(confirmations(law)).toBe(3);
  });

  it("is not hurried by a clock that jumps ahead, nor by one that falls back", () => {
    start(FIRST);
    const law = start(signed(LOOSER));
    look(law);
    clock.now += 10_000 * HOUR;
    law.observe({ height: height + 287, medianTime: (NOW + 47 * HOUR) / 1_000 });
    expect(confirmations(law)).toBe(3);
    clock.now = NOW - 10_000 * HOUR;
    law.observe({ height: height + 287, medianTime: (NOW + 47 * HOUR) / 1_000 });
    expect(confirmations(law)).toBe(3);
  });

  it("is not hurried by a clock that was behind when it was announced", () => {
    start(FIRST);
    const law = start(signed(LOOSER));
    clock.now -= 10_000 * HOUR;
    law.observe({ height, medianTime: NOW / 1_000 });
    clock.now = NOW;
    later(law, 47);
    expect(confirmations(law)).toBe(3);
    later(law, 1);
    expect(confirmations(law)).toBe(2);
  });

  it("is not hurried by a node that was behind when it was announced", () => {
    start(FIRST);
    const law = start(signed(LOOSER));
    look(law, 100);
    // The node has caught up: a hundred hours of blocks in no time.
    look(law);
    later(law, 47);
    expect(confirmations(law)).toBe(3);
    later(law, 1);
    expect(confirmations(law)).toBe(2);
  });

  it.each([
    ["by blocks that come fast afterwards", 47, 10_000],
    ["by a clock that runs while no block comes", 1_000, 0],
  ])("is not hurried by a node that was behind, nor %s", (_, hours, blocks) => {
    start(FIRST);
    const law = start(signed(LOOSER));
    look(law, 100);
    later(law, hours, blocks);
    expect(confirmations(law)).toBe(3);
  });

  it("waits as long as the node is away", () => {
    start(FIRST);
    const law = start(signed(LOOSER));
    clock.now += 1_000 * HOUR;
    expect(confirmations(law)).toBe(3);
    look(law);
    expect([confirmations(law), law.announced()?.version]).toEqual([3, 2]);
  });

  it("waits by the hours of the policy in force, not by its own", () => {
    start(FIRST);
    const law = start(signed({ ...LOOSER, changes: { loosening_hours: 0 } }));
    look(law);
    later(law, 47);
    expect(confirmations(law)).toBe(3);
  });

  it("is in force at once where the policy in force says so", () => {
    const hasty = { ...FIRST, changes: { loosening_hours: 0 } };
    start(hasty);
    expect(confirmations(start(signed({ ...LOOSER, ...{ changes: hasty.changes } }, hasty)))).toBe(
      2,
    );
  });

  it("is taken back by the old file, and waits anew when it comes again", () => {
    start(FIRST);
    look(start(signed(LOOSER)));
    later(start(signed(LOOSER)), 40);
    expect(start(FIRST).announced()).toBeNull();
    const law = start(signed(LOOSER));
    look(law);
    later(law, 47);
    expect(confirmations(law)).toBe(3);
    later(law, 1);
    expect(confirmations(law)).toBe(2);
  });

  it("gives way to a newer one, which waits anew", () => {
    start(FIRST);
    look(start(signed(LOOSER)));
    later(start(signed(LOOSER)), 40);
    const law = start(signed({ ...LOOSER, version: 3, chain: { confirmations: 1 } }));
    look(law);
    later(law, 47);
    expect(confirmations(law)).toBe(3);
    later(law, 1);
    expect(confirmations(law)).toBe(1);
  });

  it("does not give way to an older one, nor to its own version with other content", () => {
    start(FIRST);
    start(signed({ ...LOOSER, version: 3 }));
    expect(() => start(signed(LOOSER))).toThrow(/older than 3, which is announced/);
    expect(() => start(signed({ ...TIGHTER, version: 3 }))).toThrow(/announced with other content/);
  });
});

describe("the kill switch", () => {
  it("is none of the law's: a pause stays a pause through every amendment", () => {
    start(FIRST);
    journals[0]?.pause();
    start(signed(TIGHTER));
    expect([journals[0]?.paused(), journals[0]?.pauses()]).toEqual([true, 1]);
    expect(journals[0]?.resume(1)).toBe(true);
  });
});

describe("a journal's document", () => {
  beforeEach(() => createJournal(at("other")));

  function exported(name = "own"): unknown {
    stop();
    return JSON.parse(JSON.stringify(exportJournal(opened(name).database)));
  }

  function imports(document: unknown, name = "other"): void {
    stop();
    importJournal(opened(name).database, document);
  }

  it("gives a new journal the policy in force, and what was in force before", () => {
    start(FIRST);
    start(signed(TIGHTER));
    imports(exported());
    expect(exported("other")).toEqual(exported("own"));
    expect(() => start(FIRST, "other")).toThrow(/older than 2/);
    expect(confirmations(start(signed(TIGHTER), "other"))).toBe(4);
  });

  it("lets nothing older be configured, and leaves the change to the quorum", () => {
    start(FIRST);
    start(signed(TIGHTER));
    start(FIRST, "other");
    imports(exported());
    expect(() => start(FIRST, "other")).toThrow(/older than 2, which was in force/);
    expect(() => start(TIGHTER, "other")).toThrow(/0 of 2/);
    const rival = { ...TIGHTER, name: "rival" };
    expect(() => start(signed(rival), "other")).toThrow(/with other content/);
    expect(confirmations(start(signed(TIGHTER), "other"))).toBe(4);
  });

  it("takes no policy back", () => {
    start(FIRST, "other");
    start(FIRST);
    start(signed(TIGHTER));
    imports(exported("other"), "own");
    expect(confirmations(start(signed(TIGHTER)))).toBe(4);
  });

  it("leaves what is announced to be announced anew", () => {
    start(FIRST);
    look(start(signed(LOOSER)));
    imports(exported());
    const law = start(signed(LOOSER), "other");
    look(law);
    later(law, 47);
    expect(confirmations(law)).toBe(3);
  });

  it("that knows a version with other content is refused whole", () => {
    start({ ...FIRST, name: "other" }, "other");
    start(FIRST);
    expect(() => imports(exported())).toThrow(InterchangeError);
  });

  it("with a policy that is none is refused", () => {
    start(FIRST);
    const document = exported() as { policies: { document: object }[] };
    const policies = document.policies.map((policy) => ({ ...policy, document: { a: 1 } }));
    expect(() => imports({ ...document, policies })).toThrow(InterchangeError);
  });

  it("from before there were policies is read", () => {
    start(FIRST);
    const { policies: _, ...older } = exported() as { policies: unknown };
    imports(older);
    expect(start(FIRST, "other").inForce().version).toBe(1);
  });
});
