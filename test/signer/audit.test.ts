import { p256 } from "@noble/curves/nist.js";
import * as ecc from "tiny-secp256k1";
import { describe, expect, it } from "vitest";
import { fromHex, hex, sha256 } from "../../policies/bitcoin/hash.ts";
import { u32 } from "../../policies/bitcoin/wire.ts";
import {
  type AuditHead,
  type AuditLine,
  type AuditLog,
  isSigned,
  nextLink,
  signHead,
  softwareHeadKey,
  verifyAudit,
} from "../../signer/audit.ts";
import { AuditFileError, readAuditFile, writeAuditFile } from "../../signer/audit-file.ts";
import type { HeadKey } from "../../signer/signer.ts";

const SECRET = sha256(u32(7));
/** Of secp256k1. */
const ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
const OTHER_SECRET = sha256(u32(8));
const KEY = hex(ecc.xOnlyPointFromScalar(SECRET));
const LOG = await logOf(12, "first");
const trust = { key: KEY };

/** As a token signs: ECDSA, r || s with s in the lower half. */
function ecdsaKey(secret: Uint8Array): HeadKey {
  return {
    publicKey: hex(ecc.pointFromScalar(secret, true) ?? new Uint8Array()),
    sign: async (hash) => ecc.sign(hash, secret),
  };
}

/** Records with a head after every fourth. */
async function logOf(
  count: number,
  intent: string,
  keyOf: (sequence: number) => HeadKey = () => softwareHeadKey(SECRET),
): Promise<AuditLog> {
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
    if (sequence % 4 === 0) heads.push(await signHead(keyOf(sequence), { sequence, link }));
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

  it("shows a chain made anew under the old heads", async () => {
    const forked = await logOf(12, "second");
    expect(verifyAudit({ ...forked, heads: LOG.heads }, trust)).toMatchObject({
      kind: "broken",
      sequence: 4,
    });
  });

  it("shows a chain made anew with heads of another key, or none of the key's", async () => {
    const forked = await logOf(12, "second", () => softwareHeadKey(OTHER_SECRET));
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

describe("a head signed by ECDSA", async () => {
  const key = ecdsaKey(SECRET);
  const log = await logOf(8, "by a token", () => key);
  const [honest] = log.heads;
  if (honest === undefined) throw new Error("no head");
  const signature = fromHex(honest.signature);
  const bent = (i: number) => hex(signature.map((byte, at) => (at === i ? byte ^ 1 : byte)));
  const [r, s] = [honest.signature.slice(0, 64), honest.signature.slice(64)];
  const highS = (ORDER - BigInt(`0x${s}`)).toString(16).padStart(64, "0");

  it("verifies under its key, also read from its file, and under no other", () => {
    const again = readAuditFile(writeAuditFile(log));
    expect(again).toEqual(log);
    expect(verifyAudit(again, { key: key.publicKey })).toMatchObject({ kind: "intact" });
    const otherKey = ecdsaKey(OTHER_SECRET).publicKey;
    expect(verifyAudit(log, { key: otherKey })).toMatchObject({ kind: "broken", sequence: 4 });
    // The same secret, signing the other way.
    expect(verifyAudit(log, { key: KEY })).toMatchObject({ kind: "broken", sequence: 4 });
  });

  it.each<readonly [string, Partial<AuditHead>]>([
    ["a bit of r", { signature: bent(0) }],
    ["a bit of s", { signature: bent(63) }],
    ["the higher s of the same signature", { signature: r + highS }],
    ["r as zero", { signature: "00".repeat(32) + s }],
    ["s as zero", { signature: `${r}${"00".repeat(32)}` }],
    ["r as the order", { signature: ORDER.toString(16) + s }],
    ["a byte too few", { signature: honest.signature.slice(2) }],
    ["a byte too many", { signature: `${honest.signature}00` }],
    ["no signature", { signature: "" }],
    ["capitals", { signature: honest.signature.toUpperCase() }],
    ["another sequence", { sequence: 5 }],
    ["another link", { link: "11".repeat(32) }],
    ["the other point of this x", { key: flipped(key.publicKey) }],
    ["a point of another curve", { key: `02${"ff".repeat(32)}` }],
    ["an x that is on no curve", { key: `02${"00".repeat(31)}05` }],
    ["its key uncompressed", { key: hex(ecc.pointFromScalar(SECRET, false) ?? signature) }],
    ["its key with a prefix of another kind", { key: `05${key.publicKey.slice(2)}` }],
    ["its key without a prefix", { key: key.publicKey.slice(2) }],
    ["its key a digit short", { key: key.publicKey.slice(1) }],
    ["no key", { key: "" }],
  ])("is none with %s", (_, bend) => {
    expect(isSigned(honest)).toBe(true);
    expect(isSigned({ ...honest, ...bend })).toBe(false);
  });

  it("whose key is of P-256 is none", () => {
    const foreign = p256.getPublicKey(SECRET, true);
    expect(isSigned({ ...honest, key: hex(foreign) })).toBe(false);
  });

  it.each([
    ["65 digits", { key: `0${KEY}` }],
    ["66 digits without a point's prefix", { key: `04${KEY}` }],
    ["a signature of 63 bytes", { signature: honest.signature.slice(2) }],
    ["a signature of 65 bytes", { signature: `${honest.signature}00` }],
  ])("is not read from a file with %s", (_, bend) => {
    const text = writeAuditFile({ lines: [], heads: [{ ...honest, ...bend }] });
    expect(() => readAuditFile(text)).toThrow(AuditFileError);
  });
});

describe("the heads of a log whose key was replaced", async () => {
  const [old, young] = [softwareHeadKey(SECRET), ecdsaKey(OTHER_SECRET)];
  const both = { key: young.publicKey, earlier: [old.publicKey] };
  const log = await logOf(16, "replaced", (sequence) => (sequence <= 8 ? old : young));

  it("verify under both, in their order, and under neither alone", () => {
    expect(verifyAudit(log, both)).toMatchObject({ kind: "intact" });
    expect(verifyAudit(log, { key: young.publicKey })).toMatchObject({ sequence: 4 });
    expect(verifyAudit(log, { key: old.publicKey })).toMatchObject({ sequence: 12 });
    const turned = { key: old.publicKey, earlier: [young.publicKey] };
    expect(verifyAudit(log, turned)).toMatchObject({ sequence: 12 });
  });

  it("are broken where the earlier key signs again after the later one", async () => {
    const late = await logOf(16, "replaced", (sequence) =>
      sequence === 8 || sequence === 12 ? young : old,
    );
    expect(verifyAudit(late, both)).toMatchObject({ kind: "broken", sequence: 16 });
  });
});

function flipped(point: string): string {
  return `${point.startsWith("02") ? "03" : "02"}${point.slice(2)}`;
}
