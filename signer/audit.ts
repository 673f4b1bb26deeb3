/**
 * The decision log: each record is chained to the one before it, so that an edit, a deletion or a
 * new order shows, and at intervals the head of the chain is signed, so that a chain made anew, or
 * one cut off at its end, shows too (attacks.md 120). Nothing secret is in it, and no PSBT.
 */
import * as ecc from "tiny-secp256k1";
import { fromHex, hex, taggedHash } from "../policies/bitcoin/hash.ts";
import { verifies } from "../policies/bitcoin/schnorr.ts";
import type { Violation } from "../policies/decide.ts";

export interface AuditRecord {
  /** Milliseconds by the journal's monotone clock. */
  readonly at: number;
  readonly height: number;
  readonly intent: string;
  readonly txid: string;
  /** Hash of the policy in force. */
  readonly policy: string;
  readonly verdict: "approved" | "held" | "refused";
  readonly violations: readonly Violation[];
}

/** A record as it is kept: its text byte for byte, and its link. */
export interface AuditLine {
  /** 1 for the first. */
  readonly sequence: number;
  readonly record: string;
  readonly link: string;
}

/** The signed head of the chain after `sequence` records. */
export interface AuditHead {
  readonly sequence: number;
  readonly link: string;
  /** Who signed, in hex: 32 bytes sign BIP340, 33 (a compressed point) ECDSA over secp256k1. */
  readonly key: string;
  /** 64 bytes in hex; of ECDSA r || s, s in the lower half. */
  readonly signature: string;
}

/** What the first record is chained to. */
export const GENESIS = "0".repeat(64);

/** The record as text, and its link: the hash of the link before it and the text. */
export function nextLink(
  head: string | null,
  record: AuditRecord,
): { readonly text: string; readonly link: string } {
  const text = JSON.stringify(record);
  return { text, link: linkOf(head ?? GENESIS, text) };
}

function linkOf(before: string, text: string): string {
  return hex(taggedHash("ballast/audit@1", new TextEncoder().encode(`${before}\n${text}`)));
}

/** What the signature of a head is over. */
export function headHash({ sequence, link }: Pick<AuditHead, "sequence" | "link">): Uint8Array {
  return taggedHash("ballast/audit-head@1", new TextEncoder().encode(`${sequence}\n${link}`));
}

/** Signs the head of the chain with a secret of 32 bytes that is no key of any vault. */
export function signHead(secret: Uint8Array, at: Pick<AuditHead, "sequence" | "link">): AuditHead {
  const key = hex(ecc.xOnlyPointFromScalar(secret));
  return { ...at, key, signature: hex(ecc.signSchnorr(headHash(at), secret)) };
}

export interface AuditLog {
  readonly lines: readonly AuditLine[];
  readonly heads: readonly AuditHead[];
}

export type AuditFinding =
  | { readonly kind: "intact"; readonly records: number; readonly head: string | null }
  /** `sequence` is the first record that is not what was written. */
  | { readonly kind: "broken"; readonly sequence: number; readonly detail: string };

export interface AuditTrust {
  /** The key that signs the heads, in hex; null takes no head for proof. */
  readonly key: string | null;
  /** A head that was kept elsewhere: the log must still contain it. */
  readonly anchor?: Pick<AuditHead, "sequence" | "link"> | null;
}

/** Finds the first record that is not what was written; needs nothing but the log itself. */
export function verifyAudit({ lines, heads }: AuditLog, trust: AuditTrust): AuditFinding {
  const anchor = trust.anchor ?? null;
  return (
    brokenChain(lines) ??
    [...heads]
      .sort(bySequence)
      .reduce<AuditFinding | null>(
        (found, head) => found ?? forgedHead(head, trust.key) ?? notThere(head, lines),
        null,
      ) ??
    (anchor === null ? null : notThere(anchor, lines)) ?? {
      kind: "intact",
      records: lines.length,
      head: lines.at(-1)?.link ?? null,
    }
  );
}

function bySequence(a: AuditHead, b: AuditHead): number {
  return a.sequence - b.sequence;
}

function broken(sequence: number, detail: string): AuditFinding {
  return { kind: "broken", sequence, detail };
}

function brokenChain(lines: readonly AuditLine[]): AuditFinding | null {
  let before = GENESIS;
  for (const [i, { sequence, record, link }] of lines.entries()) {
    const expected = i + 1;
    if (sequence > expected) return broken(expected, `record ${expected} is missing`);
    if (sequence < expected) return broken(expected, `record ${sequence} stands here out of order`);
    if (linkOf(before, record) !== link) {
      return broken(expected, `record ${expected} was edited, or does not follow its predecessor`);
    }
    before = link;
  }
  return null;
}

function forgedHead(head: AuditHead, key: string | null): AuditFinding | null {
  return trusted(head, key)
    ? null
    : broken(head.sequence, `the head after record ${head.sequence} is not signed by the key`);
}

function notThere(
  { sequence, link }: Pick<AuditHead, "sequence" | "link">,
  lines: readonly AuditLine[],
): AuditFinding | null {
  if (sequence > lines.length) {
    const detail = `the log ends before record ${sequence}, which a head attests`;
    return broken(lines.length + 1, detail);
  }
  return (lines[sequence - 1]?.link ?? GENESIS) === link
    ? null
    : broken(sequence, `record ${sequence} is of another chain than the head's`);
}

function trusted(head: AuditHead, key: string | null): boolean {
  if (key === null) return true;
  if (head.key !== key || !/^[0-9a-f]{128}$/.test(head.signature)) return false;
  const signature = fromHex(head.signature);
  if (key.length === 64)
    return verifies({ message: headHash(head), xOnly: fromHex(key), signature });
  return /^0[23][0-9a-f]{64}$/.test(key) && verifiesEcdsa(headHash(head), fromHex(key), signature);
}

/** Strict: of the two values of s only the lower one is a signature. */
function verifiesEcdsa(hash: Uint8Array, point: Uint8Array, signature: Uint8Array): boolean {
  try {
    return ecc.verify(hash, point, signature, true);
  } catch {
    // No point of the curve, or r or s out of range: the library throws.
    return false;
  }
}
