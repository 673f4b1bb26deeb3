import { copyFileSync, existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { decide } from "../../policies/decide.ts";
import { GENESIS } from "../../signer/audit.ts";
import { exportJournal, InterchangeError, importJournal } from "../../signer/interchange.ts";
import { type Journal, openJournal } from "../../signer/journal.ts";
import { createJournal, JournalError } from "../../signer/journal-file.ts";
import { MirrorError, readMirror, writeMirror } from "../../signer/mirror.ts";
import {
  claimRequest,
  id,
  victimAnswer,
  victimClaim,
  victimContent,
} from "../support/journal-claims.ts";
import { honest } from "../support/spend.ts";

const APPROVED = decide(honest().case);
let folder = "";
const open: Journal[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ballast-interchange-"));
});
afterEach(() => {
  closeAll();
  rmSync(folder, { recursive: true, force: true });
});

function closeAll(): void {
  for (const journal of open.splice(0)) journal.close();
}

function opened(name: string, role: "lsp" | "trustee" = "lsp"): Journal {
  const at = {
    file: join(folder, `${name}.db`),
    network: "regtest",
    role,
    mirror: join(folder, `${name}.mirror`),
  } as const;
  if (!existsSync(at.file)) createJournal(at);
  const journal = openJournal(at);
  open.push(journal);
  return journal;
}

function signs(journal: Journal, ...numbers: readonly number[]): void {
  for (const n of numbers) {
    journal.claim(victimClaim(n), () => APPROVED);
    journal.record(victimAnswer(n));
  }
}

describe("a journal's document", () => {
  it("gives another journal the whole memory, and twice is once", () => {
    const [a, b] = [opened("a"), opened("b")];
    signs(a, 1, 2, 3);
    a.pause();
    const document = JSON.parse(JSON.stringify(exportJournal(a.database)));
    expect(importJournal(b.database, document)).toMatchObject({ claims: 3, signatures: 3 });
    expect(exportJournal(b.database)).toEqual(document);
    expect(b.paused()).toBe(true);
    expect(importJournal(b.database, document)).toMatchObject({ claims: 0, signatures: 0 });
    b.claim(victimClaim(2), ({ related, charged }) => {
      expect(related).toHaveLength(1);
      expect([...charged.values()]).toEqual([2_000n]);
      return { kind: "held", violations: [] };
    });
  });

  it("is only added to what is there: clock, height and pause never fall", () => {
    const [a, b] = [opened("a"), opened("b")];
    signs(a, 1);
    signs(b, 2);
    b.pause();
    const clocks = [a, b].map(({ database }) => exportJournal(database).clock);
    importJournal(b.database, exportJournal(a.database));
    expect(b.counts()).toMatchObject({ claims: 2, answers: 2 });
    expect(exportJournal(b.database)).toMatchObject({
      clock: Math.max(...clocks),
      height: 1_000,
      paused: true,
    });
  });

  it("is refused whole when one coin would belong to two intents", () => {
    const [a, b] = [opened("a"), opened("b")];
    signs(a, 1, 2);
    const rival = { ...victimContent(2), intent: id(9), txid: id(9) };
    b.claim(claimRequest(rival), () => APPROVED);
    const before = exportJournal(b.database);
    expect(() => importJournal(b.database, exportJournal(a.database))).toThrow(InterchangeError);
    expect(exportJournal(b.database)).toEqual(before);
  });

  it.each([
    ["of another role", { role: "trustee" }],
    ["of another network", { network: "bitcoin" }],
    ["of another format", { format: "ballast/journal@2" }],
    ["with an unknown key", { more: 1 }],
    ["with a negative clock", { clock: -1 }],
  ])("%s is refused", (_, bend) => {
    const [a, b] = [opened("a"), opened("b")];
    signs(a, 1);
    const document = { ...exportJournal(a.database), ...bend };
    expect(() => importJournal(b.database, document)).toThrow(InterchangeError);
    expect(b.counts().claims).toBe(0);
  });

  it.each([
    ["a signature of other bytes", "signatures", 3, `0x${"00".repeat(64)}`],
    ["a claim at another height", "claims", 8, "#1"],
    ["a charge of less", "charges", 3, "#1"],
    ["a cell of no kind", "claims", 0, "plain"],
    ["a charge below zero", "charges", 3, "#-1"],
  ] as const)("with %s is refused", (_, table, cell, value) => {
    const a = opened("a");
    signs(a, 1);
    const document = exportJournal(a.database);
    const rows = document.tables[table].map((row) => row.with(cell, value));
    const bent = { ...document, tables: { ...document.tables, [table]: rows } };
    expect(() => importJournal(a.database, bent)).toThrow(InterchangeError);
    expect(exportJournal(a.database)).toEqual(document);
  });

  it("without the outpoints of its claims is refused", () => {
    const [a, b] = [opened("a"), opened("b")];
    signs(a, 1);
    const document = exportJournal(a.database);
    const bent = { ...document, tables: { ...document.tables, outpoints: [] } };
    expect(() => importJournal(b.database, bent)).toThrow(/two intents, or to none/);
  });
});

describe("the mirror", () => {
  const file = (name: string) => join(folder, name);

  it("lets the journal that it belongs to start again", () => {
    signs(opened("a"), 1, 2);
    closeAll();
    expect(opened("a").counts().claims).toBe(2);
  });

  it("finds out a journal restored from an older copy", () => {
    signs(opened("a"), 1);
    closeAll();
    copyFileSync(file("a.db"), file("copy.db"));
    signs(opened("a"), 2);
    closeAll();
    copyFileSync(file("copy.db"), file("a.db"));
    expect(() => opened("a")).toThrow(JournalError);
    expect(() => opened("a")).toThrow(/older memory/);
  });

  it("finds out a journal that went another way from the same point", () => {
    signs(opened("a"), 1);
    closeAll();
    copyFileSync(file("a.db"), file("b.db"));
    copyFileSync(file("a.mirror"), file("b.mirror"));
    signs(opened("a"), 2);
    signs(opened("b"), 3, 4);
    closeAll();
    copyFileSync(file("b.db"), file("a.db"));
    expect(() => opened("a")).toThrow(JournalError);
  });

  it("finds out a new, empty journal in the old one's place", () => {
    signs(opened("a"), 1);
    closeAll();
    createJournal({ file: file("new.db"), network: "regtest", role: "lsp" });
    copyFileSync(file("new.db"), file("a.db"));
    expect(() => opened("a")).toThrow(JournalError);
  });

  it("that is behind after a crash lets the journal start", () => {
    const before = { sequence: 0, link: GENESIS };
    signs(opened("a"), 1);
    closeAll();
    writeMirror(file("a.mirror"), before);
    expect(opened("a").counts().claims).toBe(1);
  });

  it("is there before the key is asked", () => {
    const journal = opened("a");
    journal.claim(victimClaim(1), () => APPROVED);
    const { lines } = journal.auditLog();
    expect(readMirror(file("a.mirror"))).toEqual({ sequence: 1, link: lines[0]?.link });
  });

  it("that cannot be written lets nothing be signed", () => {
    const journal = opened("a");
    rmSync(file("a.mirror"));
    createMirrorFolder();
    expect(() => journal.claim(victimClaim(1), () => APPROVED)).toThrow();
  });

  it("that is missing or damaged stops the start", () => {
    opened("a");
    closeAll();
    writeFileSync(file("a.mirror"), "{}");
    expect(() => opened("a")).toThrow(MirrorError);
    rmSync(file("a.mirror"));
    expect(() => opened("a")).toThrow(MirrorError);
  });

  /** A folder in the place of the next mark: it can be opened for no writing. */
  function createMirrorFolder(): void {
    createJournal({ file: file("x.db"), network: "regtest", role: "lsp" });
    rmSync(file("a.mirror.next"), { force: true });
    mkdtempSync(file("a.mirror.next"));
    rmSync(folder, { recursive: true, force: true });
  }
});
