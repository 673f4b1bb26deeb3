import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import Database from "better-sqlite3";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Decision, decide } from "../../policies/decide.ts";
import {
  type Claim,
  type History,
  historyOf,
  NO_HISTORY,
  nextClock,
} from "../../policies/history.ts";
import { type ClaimRequest, type Journal, openJournal } from "../../signer/journal.ts";
import { createJournal, JournalError } from "../../signer/journal-file.ts";
import {
  claimRequest,
  id,
  victimAnswer,
  victimClaim,
  victimContent,
} from "../support/journal-claims.ts";
import { honest } from "../support/spend.ts";

const WHOSE = { network: "regtest", role: "lsp" } as const;
const APPROVED = decide(honest().case);
const REFUSED: Decision = {
  kind: "refused",
  violations: [{ rule: "tx-version", detail: 'an\nempty "line"' }],
};

let folder = "";
const open: Journal[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ballast-journal-"));
});
afterEach(() => {
  for (const journal of open.splice(0)) journal.close();
  rmSync(folder, { recursive: true, force: true });
});

const file = (name = "journal.db") => join(folder, name);

function opened(name?: string): Journal {
  if (!existsSync(file(name))) createJournal({ file: file(name), ...WHOSE });
  const journal = openJournal({ file: file(name), ...WHOSE });
  open.push(journal);
  return journal;
}

function closeAll(): void {
  for (const journal of open.splice(0)) journal.close();
}

function faultOf(act: () => unknown): unknown {
  try {
    act();
  } catch (error) {
    return error instanceof JournalError ? error.code : error;
  }
  return "no fault";
}

describe("a journal that cannot be the signer's memory", () => {
  const openIt = () => openJournal({ file: file(), ...WHOSE });

  it("is missing: nothing is made in its place", () => {
    expect(faultOf(openIt)).toBe("missing");
    expect(existsSync(file())).toBe(false);
  });

  it.each([
    ["another network", { network: "signet", role: "lsp" }],
    ["another role", { network: "regtest", role: "trustee" }],
    ["mainnet", { network: "bitcoin", role: "lsp" }],
  ] as const)("is foreign: of %s", (_, whose) => {
    createJournal({ file: file(), ...whose });
    expect(faultOf(openIt)).toBe("foreign");
  });

  it("is newer than this code", () => {
    createJournal({ file: file(), ...WHOSE });
    edit("UPDATE journal SET version = version + 1");
    expect(faultOf(openIt)).toBe("newer");
  });

  it("is in use, in this process and by another", async () => {
    opened();
    expect(faultOf(openIt)).toBe("in-use");
    const { code, lines } = await victim(file()).ended;
    expect([code, lines]).toEqual([3, ["in-use"]]);
    closeAll();
    expect(faultOf(() => opened())).toBe("no fault");
  });

  it.each([
    ["empty", () => writeFileSync(file(), "")],
    ["a text", () => writeFileSync(file(), "claims: none\n".repeat(1_000))],
    ["cut in half", () => cut(0.5)],
    ["cut to its header", () => cut(0.01)],
    ["another program's database", () => edit("DROP TABLE state")],
    ["without its state row", () => edit("DELETE FROM state")],
  ])("is damaged: %s", (_, damage) => {
    if (!existsSync(file())) createJournal({ file: file(), ...WHOSE });
    damage();
    expect(faultOf(() => opened().paused())).toBe("damaged");
  });

  it("is damaged: without its own name", () => {
    createJournal({ file: file(), ...WHOSE });
    edit("DROP TABLE journal");
    expect(faultOf(openIt)).toBe("damaged");
  });

  /** Each page in turn is overwritten: whatever the fault is, no claimed coin is free again. */
  it("with a damaged page never frees a coin", () => {
    const journal = opened();
    for (let n = 0; n < 200; n += 1) journal.claim(victimClaim(n), () => APPROVED);
    closeAll();
    const whole = readFileSync(file());
    const pageBytes = 4096;
    const outcomes = new Set<string>();
    for (let at = pageBytes; at < whole.length; at += pageBytes) {
      const bytes = Uint8Array.from(whole);
      bytes.fill(0xff, at, at + pageBytes);
      writeFileSync(file(), bytes);
      outcomes.add(stealAll());
    }
    expect([...outcomes].sort()).not.toContain("stolen");
  }, 180_000);

  /** Asks for every claimed coin under another intent; tells whether the journal gave one away. */
  function stealAll(): string {
    try {
      const journal = opened();
      for (let n = 0; n < 200; n += 1) {
        const content = { ...victimContent(n), intent: id(9_000 + n), txid: id(9_000 + n) };
        const theft = claimRequest(content);
        if (journal.claim(theft, lawful(theft)).kind === "approved") return "stolen";
      }
      return "refused";
    } catch (error) {
      return error instanceof Error ? error.name : "fault";
    } finally {
      closeAll();
    }
  }

  function cut(share: number): void {
    const journal = opened();
    for (let n = 0; n < 200; n += 1) journal.claim(victimClaim(n), () => APPROVED);
    closeAll();
    const bytes = readFileSync(file());
    writeFileSync(file(), bytes.subarray(0, Math.floor(bytes.length * share)));
  }
});

describe("making a journal", () => {
  it("never overwrites one, not even an empty file", () => {
    createJournal({ file: file(), ...WHOSE });
    const before = readFileSync(file());
    expect(faultOf(() => createJournal({ file: file(), ...WHOSE }))).toBe("exists");
    expect(readFileSync(file()).equals(before)).toBe(true);
    writeFileSync(file("empty"), "");
    expect(faultOf(() => createJournal({ file: file("empty"), ...WHOSE }))).toBe("exists");
  });

  it("keeps it to its owner", () => {
    const mask = process.umask(0o022);
    try {
      createJournal({ file: file(), ...WHOSE });
    } finally {
      process.umask(mask);
    }
    expect(statSync(file()).mode & 0o077).toBe(0);
  });

  it("leaves nothing that opens where the disk says no", () => {
    chmodSync(folder, 0o700);
    expect(faultOf(() => createJournal({ file: join(folder, "no", "j"), ...WHOSE }))).not.toBe(
      "no fault",
    );
    expect(existsSync(join(folder, "no"))).toBe(false);
  });
});

describe("durability", () => {
  it("is asked of SQLite: full sync, write-ahead log, one process, keys that hold", () => {
    const { database } = opened();
    const pragma = (name: string) => String(database.pragma(name, { simple: true }));
    expect({
      synchronous: pragma("synchronous"),
      journal: pragma("journal_mode"),
      locking: pragma("locking_mode"),
      foreignKeys: pragma("foreign_keys"),
    }).toEqual({ synchronous: "2", journal: "wal", locking: "exclusive", foreignKeys: "1" });
  });

  it("holds an answer only over signatures that are there", () => {
    const { database } = opened();
    const insert = database.prepare("INSERT INTO answers VALUES (?, ?)");
    expect(() => insert.run(id(1), id(2))).toThrow(/FOREIGN KEY/);
  });

  it("survives SIGKILL at any instant: 20 deaths on four journals", async () => {
    const lanes = Array.from({ length: 4 }, async (_, lane) => {
      const name = `lane-${lane}.db`;
      createJournal({ file: file(name), ...WHOSE });
      for (let death = 0; death < 5; death += 1) {
        const running = victim(file(name));
        await running.started;
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 60));
        running.kill();
        const { lines } = await running.ended;
        const journal = openJournal({ file: file(name), ...WHOSE });
        expectSound(journal, lines);
        journal.close();
      }
      const journal = openJournal({ file: file(name), ...WHOSE });
      const { claims } = journal.counts();
      journal.close();
      return claims;
    });
    for (const claims of await Promise.all(lanes)) expect(claims).toBeGreaterThan(5);
  }, 180_000);
});

describe("a claim", () => {
  it("is all or nothing when the decision falls over", () => {
    const journal = opened();
    const boom = () => {
      throw new Error("boom");
    };
    expect(() => journal.claim(victimClaim(1), boom)).toThrow("boom");
    expect(journal.counts()).toEqual({ claims: 0, answers: 0, decisions: 0 });
    journal.claim(victimClaim(1), () => APPROVED);
    expect(journal.counts()).toEqual({ claims: 1, answers: 0, decisions: 1 });
  });

  it("meets a second lock where the law has slept: a coin never has two intents", () => {
    const journal = opened();
    const content = victimContent(3);
    journal.claim(victimClaim(3), () => APPROVED);
    const other = {
      ...content,
      intent: id(4),
      outpoints: [`${id(77)}:0`, ...content.outpoints.slice(-1)],
    };
    expect(faultOf(() => journal.claim(claimRequest(other), () => APPROVED))).toBe("damaged");
    expect(journal.counts()).toEqual({ claims: 1, answers: 0, decisions: 1 });
    const free = claimRequest({ ...other, outpoints: [`${id(77)}:0`] });
    expect(journal.claim(free, lawful(free)).kind).toBe("approved");
  });

  it("never moves clock or height back, and remembers them over a restart", () => {
    const seen: [number, number][] = [];
    const ask = (journal: Journal, wall: number, height: number, medianTimeMs = 0) =>
      journal.claim({ ...victimClaim(0), wall, height, medianTimeMs }, (history) => {
        seen.push([
          Number(
            journal.database.prepare<[], { clock: bigint }>("SELECT clock FROM state").get()?.clock,
          ),
          history.height,
        ]);
        return REFUSED;
      });
    const first = opened();
    ask(first, 5_000, 10);
    ask(first, 4_000, 9);
    ask(first, 0, 0, 9_000);
    closeAll();
    ask(opened(), 1, 1);
    // The clock is advanced after the decision, so each line shows the one before.
    expect(seen).toEqual([
      [0, 10],
      [5_000, 10],
      [5_000, 10],
      [9_000, 10],
    ]);
  });

  it.each([Number.NaN, 1.5, -1])("takes no wall clock of %d", (wall) => {
    const journal = opened();
    const request = { ...victimClaim(0), wall };
    if (wall === -1) {
      expect(journal.claim(request, () => APPROVED).kind).toBe("approved");
      return;
    }
    expect(faultOf(() => journal.claim(request, () => APPROVED))).not.toBe("no fault");
    expect(journal.counts()).toEqual({ claims: 0, answers: 0, decisions: 0 });
  });
});

describe("an answer", () => {
  it("is kept as it was first given", () => {
    const journal = opened();
    journal.claim(victimClaim(2), () => APPROVED);
    const first = journal.record(victimAnswer(2));
    const other = victimAnswer(2).signatures.map(() => new Uint8Array(64).fill(99));
    expect(journal.record({ ...victimAnswer(2), request: id(50), signatures: other })).toEqual(
      first,
    );
    expect(journal.signatures(id(2))).toEqual(first);
    expect(journal.answered(id(50))).toBe(id(2));
    expect(journal.answered(id(51))).toBeNull();
    expect(journal.signatures(id(51))).toBeNull();
  });

  it("is not kept where its claim was let go meanwhile: nothing leaves without one", async () => {
    const journal = opened();
    journal.claim(victimClaim(2), () => APPROVED);
    journal.free({ intent: id(2), txid: id(2), policy: "" });
    expect(String(faultOf(() => journal.record(victimAnswer(2))))).toContain("without its claim");
    const soon = journal.recordSoon(victimAnswer(2));
    await expect(soon).rejects.toThrow("without its claim");
    expect(journal.signatures(id(2))).toBeNull();
  });

  it("rests while paused, and the pause outlives a restart", () => {
    const journal = opened();
    journal.claim(victimClaim(2), () => APPROVED);
    journal.record(victimAnswer(2));
    journal.pause();
    closeAll();
    const again = opened();
    // What was answered is remembered; the guard releases nothing while paused.
    expect([again.paused(), again.answered(id(2))]).toEqual([true, victimAnswer(2).digest]);
    again.claim(victimClaim(3), (history) => {
      expect(history.paused).toBe(true);
      return REFUSED;
    });
  });
});

describe("the history", () => {
  const bounds = ["purpose withdrawal", "fees"].flatMap((account) =>
    [1, 24, 168].map((hours) => ({ account, hours })),
  );
  const step = fc.record({
    intent: fc.integer({ min: 0, max: 7 }),
    coins: fc.uniqueArray(fc.integer({ min: 0, max: 11 }), { minLength: 1, maxLength: 4 }),
    sats: fc.bigInt({ min: 0n, max: 2_100_000_000_000_000n }),
    hours: fc.double({ min: 0, max: 400, noNaN: true }),
    height: fc.integer({ min: 0, max: 2_000 }),
    mtpHours: fc.integer({ min: 0, max: 400 }),
    willing: fc.boolean(),
  });

  /** The journal answers from its tables what `explain` computes from a list of claims. */
  it("is what the law computes from the list of claims, for any sequence of requests", () => {
    let round = 0;
    fc.assert(
      fc.property(fc.array(step, { maxLength: 25 }), (steps) => {
        round += 1;
        const journal = opened(`round-${round}.db`);
        const claims: Claim[] = [];
        let clock = 0;
        let tip = 0;
        for (const { willing, ...drawn } of steps) {
          // An intent's id is the hash of its content: one intent is of one vault.
          const request = requestOf({ ...drawn, vault: drawn.intent % 3 });
          const { content, query, wall, height, medianTimeMs } = request;
          clock = nextClock({ before: clock, wall, medianTime: medianTimeMs });
          tip = Math.max(tip, height);
          const expected = historyOf(
            {
              ...NO_HISTORY,
              height: tip,
              claims: claims.map((claim) => ({
                ...claim,
                outpoints: [...claim.outpoints],
                charges: [...claim.charges],
              })),
            },
            query,
            { now: clock, height },
          );
          let seen: History | undefined;
          const decision = journal.claim(request, (history) => {
            seen = history;
            return willing ? lawful(request)(history) : REFUSED;
          });
          expect(seen && sorted(seen)).toEqual(sorted(expected));
          if (decision.kind !== "approved") continue;
          const when = { at: clock, height: tip };
          const again = claims.findIndex(({ intent }) => intent === content.intent);
          const before = claims[again];
          // No signature has left yet, so what is asked again is charged again, now.
          if (before !== undefined) claims[again] = { ...before, ...when };
          else claims.push({ ...content, ...when });
        }
        closeAll();
      }),
      { numRuns: 60 },
    );
  });

  it("charges a bump what it takes more, and never less than nothing", () => {
    const journal = opened();
    const taking = (txid: number, sats: bigint, intent = 1) => {
      const charges = [{ account: "purpose withdrawal", sats }];
      const outpoints = [`${id(intent)}:0`];
      const spend = { ...victimContent(0), intent: id(intent), txid: id(txid), charges, outpoints };
      return claimRequest(spend);
    };
    for (const [txid, sats] of [
      [1, 1_000n],
      [2, 1_250n],
      [3, 900n],
      [4, 1_300n],
    ] as const) {
      journal.claim(taking(txid, sats), () => APPROVED);
    }
    journal.claim(taking(9, 1n, 9), ({ charged }) => {
      expect([...charged.values()]).toEqual([1_300n]);
      return REFUSED;
    });
  });

  it("brings all transactions of an intent that shares a coin", () => {
    const journal = opened();
    const claim = (intent: number, txid: number, coins: readonly number[]) =>
      claimRequest({
        ...victimContent(0),
        intent: id(intent),
        txid: id(txid),
        outpoints: coins.map((coin) => `${id(coin)}:0`),
      });
    journal.claim(claim(1, 1, [1]), () => APPROVED);
    journal.claim(claim(1, 2, [1, 2]), () => APPROVED);
    journal.claim(claim(2, 3, [2]), ({ related }) => {
      expect(related.map(({ txid }) => txid)).toEqual([id(1), id(2)]);
      return REFUSED;
    });
  });

  function requestOf(asked: {
    intent: number;
    vault: number;
    coins: readonly number[];
    sats: bigint;
    hours: number;
    height: number;
    mtpHours: number;
  }): ClaimRequest {
    // One transaction for the same coins of an intent, as its inputs make it.
    const txid = id(asked.intent * 1_000 + asked.coins.reduce((sum, coin) => sum + 2 ** coin, 0));
    const vault = id(asked.vault, 20);
    const outpoints = asked.coins.map((coin) => `${id(coin)}:0`);
    const place = { outpoint: `${txid}:1`, vault, sats: 7n, gained: asked.coins.length > 2 };
    const content = {
      intent: id(asked.intent),
      txid,
      purpose: asked.coins.length % 2 === 0 ? "withdrawal" : "top-up",
      vault,
      anchor: outpoints[0] ?? "",
      outpoints,
      charges: [
        { account: `drawn ${vault}`, sats: asked.sats / 10n },
        { account: "fees", sats: asked.sats / 1_000n },
        { account: "purpose withdrawal", sats: asked.sats / 100n },
      ],
      // One transaction has one change, however often it is asked for.
      places:
        asked.coins.length % 2 === 0 ? [] : [{ ...place, index: asked.intent + outpoints.length }],
      userSigned: asked.intent % 2 === 0,
      fixed: id(asked.vault),
      nonces: [`operation ${vault} ${asked.intent}`],
    };
    return claimRequest(content, {
      counts: bounds,
      wall: Math.floor(asked.hours * 3_600_000),
      height: asked.height,
      medianTimeMs: asked.mtpHours * 3_600_000,
    });
  }

  function sorted(history: History): History {
    const related = [...history.related].sort((a, b) => (a.txid < b.txid ? -1 : 1));
    const incoming = [...history.incoming].map(
      ([vault, coming]) =>
        [vault, [...coming].sort((a, b) => (a.outpoint < b.outpoint ? -1 : 1))] as const,
    );
    return {
      ...history,
      incoming: new Map(incoming),
      related: related.map((claim) => ({ ...claim, outpoints: [...claim.outpoints].sort() })),
    };
  }
});

describe("the decision log", () => {
  it("is one chain, whatever was decided, over restarts", () => {
    for (let n = 0; n < 12; n += 1) {
      const journal = open[0] ?? opened();
      journal.claim(victimClaim(n), () => (n % 3 === 0 ? REFUSED : APPROVED));
      if (n % 4 === 0) closeAll();
    }
    closeAll();
    const { database } = opened();
    const rows = rowsOf(database);
    expect(rows).toHaveLength(12);
    expect(brokenLink(rows)).toBeNull();
    expect(JSON.parse(rows[0]?.record ?? "")).toMatchObject({
      verdict: "refused",
      intent: id(0),
      policy: victimClaim(0).policy,
      violations: [{ rule: "tx-version" }],
    });
  });

  it.each([
    [
      "an edited record",
      (rows: Row[]) =>
        rows.map((row, i) =>
          i === 4 ? { ...row, record: row.record.replace("approved", "refused") } : row,
        ),
      4,
    ],
    ["a deleted one", (rows: Row[]) => rows.filter((_, i) => i !== 4), 4],
    [
      "two that changed places",
      (rows: Row[]) => [...rows.slice(0, 4), ...rows.slice(4, 6).reverse(), ...rows.slice(6)],
      4,
    ],
    ["a new beginning", (rows: Row[]) => rows.slice(1), 0],
  ])("shows %s", (_, tamper, at) => {
    const journal = opened();
    for (let n = 0; n < 8; n += 1) journal.claim(victimClaim(n), () => APPROVED);
    expect(brokenLink(tamper(rowsOf(journal.database)))).toBe(at);
  });
});

interface Row {
  readonly record: string;
  readonly link: string;
}

function rowsOf(database: Database.Database): Row[] {
  return database.prepare<[], Row>("SELECT record, link FROM decisions ORDER BY sequence").all();
}

/** The first row whose link does not follow from the one before it, by node's own SHA-256. */
function brokenLink(rows: readonly Row[]): number | null {
  const sha256 = (...parts: readonly (string | Uint8Array)[]) => {
    const hash = createHash("sha256");
    for (const part of parts) hash.update(part);
    return hash.digest();
  };
  const tag = sha256("ballast/audit@1");
  let head = "0".repeat(64);
  for (const [i, { record, link }] of rows.entries()) {
    if (sha256(tag, tag, `${head}\n${record}`).toString("hex") !== link) return i;
    head = link;
  }
  return null;
}

/** As the law decides: no coin of another intent, and one transaction an intent. */
function lawful({ content: spend }: ClaimRequest) {
  return ({ related }: History): Decision => {
    const stranger = related.some(
      ({ intent, outpoints }) =>
        intent !== spend.intent && outpoints.some((coin) => spend.outpoints.includes(coin)),
    );
    const second = related.some(
      ({ intent, txid }) => intent === spend.intent && txid !== spend.txid,
    );
    return stranger || second ? REFUSED : APPROVED;
  };
}

/** Nothing that the dead process had said is lost, and nothing is there by halves. */
function expectSound(journal: Journal, lines: readonly string[]): void {
  const { database } = journal;
  const numbers = (sql: string) =>
    database
      .prepare<[], { id: string }>(sql)
      .all()
      .map((row) => Number.parseInt(row.id, 16));
  const claimed = new Set(numbers("SELECT intent AS id FROM claims"));
  const answered = new Set(numbers("SELECT request AS id FROM answers"));
  for (const line of lines) {
    const [what, n] = line.split(" ");
    expect((what === "claimed" ? claimed : answered).has(Number(n))).toBe(true);
  }
  for (const n of answered) expect(claimed.has(n)).toBe(true);
  expect(numbers("SELECT digest AS id FROM signatures")).toHaveLength(answered.size);
  const coins = database
    .prepare<[], { outpoint: string; intent: string }>("SELECT * FROM outpoints")
    .all();
  const owners = new Map(coins.map(({ outpoint, intent }) => [outpoint, intent]));
  const wanted = [...claimed].flatMap((n) =>
    victimContent(n).outpoints.map((coin) => [coin, id(n)]),
  );
  expect(owners.size).toBe(wanted.length);
  for (const [coin, intent] of wanted) expect(owners.get(coin ?? "")).toBe(intent);
  const rows = rowsOf(database);
  expect(rows).toHaveLength(claimed.size);
  expect(brokenLink(rows)).toBeNull();
  expect(database.pragma("integrity_check", { simple: true })).toBe("ok");
}

function edit(sql: string): void {
  const database = new Database(file());
  database.exec(sql);
  database.close();
}

function victim(journal: string) {
  const script = fileURLToPath(new URL("../support/journal-victim.ts", import.meta.url));
  const child = spawn(process.execPath, ["--import", "tsx", script, journal], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let said = "";
  child.stdout.setEncoding("utf8");
  const started = new Promise<void>((resolve) => {
    child.stdout.on("data", (text: string) => {
      said += text;
      resolve();
    });
  });
  const ended = new Promise<{ code: number | null; lines: readonly string[] }>((resolve) => {
    child.on("close", (code) => {
      // A line without its end was cut by the kill; what it says is not certain.
      resolve({ code, lines: said.split("\n").slice(0, -1) });
    });
  });
  return { started, ended, kill: () => child.kill("SIGKILL") };
}
