import * as ecc from "tiny-secp256k1";
import { describe, expect, it } from "vitest";
import { hex, sha256 } from "../../policies/bitcoin/hash.ts";
import { u32 } from "../../policies/bitcoin/wire.ts";
import {
  type AuditHead,
  type AuditLine,
  type AuditLog,
  nextLink,
  signHead,
  verifyAudit,
} from "../../signer/audit.ts";
import { AuditFileError, readAuditFile, writeAuditFile } from "../../signer/audit-file.ts";

const SECRET = sha256(u32(7));
const KEY = hex(ecc.xOnlyPointFromScalar(SECRET));
const LOG = logOf(12, "first");
const trust = { key: KEY };

/** Records with a head after every fourth. */
function logOf(count: number, intent: string, secret = SECRET): AuditLog {
  const lines: AuditLine[] = [];
  const heads: AuditHead[] = [];
  for (let sequence = 1; sequence <= count; sequence += 1) {
    const { text, link } = nextLink(lines.at(-1)?.link ?? null, {
      at: sequence,
      height: 100,
      intent: `${intent} ${sequence}`,
      txid: "00".repeat(32),
      policy: "11".repeat(32),
      verdict: "refused",
      violations: [{ rule: "tx-version", detail: 'a\nline "break" \u001b[31m' }],
    });
    lines.push({ sequence, record: text, link });
    if (sequence % 4 === 0) heads.push(signHead(secret, { sequence, link }));
  }
  return { lines, heads };
}

function at(sequence: number): AuditLine {
  const line = LOG.lines[sequence - 1];
  if (line === undefined) throw new Error("no such record");
  return line;
}

describe("an audit log", () => {
  it("is intact as it was written, also read from its file", () => {
    const again = readAuditFile(writeAuditFile(LOG));
    expect(again).toEqual(LOG);
    expect(verifyAudit(again, trust)).toEqual({ kind: "intact", records: 12, head: at(12).link });
  });

  it("is intact while it is empty", () => {
    expect(verifyAudit({ lines: [], heads: [] }, trust)).toMatchObject({
      kind: "intact",
      records: 0,
    });
  });

  it("never breaks a line, whatever a label says", () => {
    const rows = writeAuditFile(LOG).split("\n");
    expect(rows).toHaveLength(1 + 12 + 3 + 1);
    expect([...rows.join("")].filter((character) => character < " ")).toEqual([]);
  });

  it.each(LOG.lines.map(({ sequence }) => sequence))("shows an edit of record %i", (sequence) => {
    const lines = LOG.lines.map((line) =>
      line.sequence === sequence
        ? { ...line, record: line.record.replace("refused", "approved") }
        : line,
    );
    expect(verifyAudit({ ...LOG, lines }, trust)).toMatchObject({ kind: "broken", sequence });
  });

  it.each(LOG.lines.map(({ sequence }) => sequence))("shows that record %i is gone", (sequence) => {
    const lines = LOG.lines.filter((line) => line.sequence !== sequence);
    expect(verifyAudit({ ...LOG, lines }, trust)).toMatchObject({ kind: "broken", sequence });
  });

  it("shows two records in each other's place", () => {
    const swapped = LOG.lines.map((line, i) => (i === 4 ? at(6) : i === 5 ? at(5) : line));
    expect(verifyAudit({ ...LOG, lines: swapped }, trust)).toMatchObject({
      kind: "broken",
      sequence: 5,
    });
  });

  it("shows two records that exchanged their texts", () => {
    const lines = LOG.lines.map((line) => ({
      ...line,
      record: line.sequence === 5 ? at(6).record : line.sequence === 6 ? at(5).record : line.record,
    }));
    expect(verifyAudit({ ...LOG, lines }, trust)).toMatchObject({ kind: "broken", sequence: 5 });
  });

  it("shows a log cut off before a signed head", () => {
    const lines = LOG.lines.slice(0, 10);
    expect(verifyAudit({ ...LOG, lines }, trust)).toMatchObject({ kind: "broken", sequence: 11 });
  });

  it("shows a log cut off to an older head, by the head that was kept elsewhere", () => {
    const older = { lines: LOG.lines.slice(0, 8), heads: LOG.heads.slice(0, 2) };
    expect(verifyAudit(older, trust)).toMatchObject({ kind: "intact" });
    const anchor = { sequence: 12, link: at(12).link };
    expect(verifyAudit(older, { ...trust, anchor })).toMatchObject({ kind: "broken", sequence: 9 });
    expect(verifyAudit(LOG, { ...trust, anchor })).toMatchObject({ kind: "intact" });
  });

  it("shows a chain made anew under the old heads", () => {
    const forked = logOf(12, "second");
    expect(verifyAudit({ ...forked, heads: LOG.heads }, trust)).toMatchObject({
      kind: "broken",
      sequence: 4,
    });
  });

  it("shows a chain made anew with heads of another key, or none of the key's", () => {
    const forked = logOf(12, "second", sha256(u32(8)));
    expect(verifyAudit(forked, trust)).toMatchObject({ kind: "broken", sequence: 4 });
    const claimed = forked.heads.map((head) => ({ ...head, key: KEY }));
    expect(verifyAudit({ ...forked, heads: claimed }, trust)).toMatchObject({ kind: "broken" });
  });

  it.each([
    ["nothing", ""],
    ["no format", writeAuditFile(LOG).split("\n").slice(1).join("\n")],
    ["another format", '{"format":"ballast/audit@2"}\n'],
    ["half a line", writeAuditFile(LOG).slice(0, -30)],
    [
      "an unknown field",
      `{"format":"ballast/audit@1"}\n{"sequence":1,"record":"","link":"${"0".repeat(64)}","x":1}\n`,
    ],
  ])("is not read with %s", (_, text) => {
    expect(() => readAuditFile(text)).toThrow(AuditFileError);
  });
});
