/**
 * The decision log: each record is chained to the one before it, so that an edit, a deletion or a
 * new order shows, and at intervals the head of the chain is signed, so that a chain made anew, or
 * one cut off at its end, shows too (attacks.md 120). Nothing secret is in it, and no PSBT.
 */
import * as ecc from "tiny-secp256k1";
import { fromHex, hex, taggedHash } from "../policies/bitcoin/hash.ts";
import { verifies } from "../policies/bitcoin/schnorr.ts";
import type { Violation } from "../policies/decide.ts";
import type { HeadKey } from "./signer.ts";

export interface AuditRecord {
  /** Milliseconds by the journal's monotone clock. */
  readonly at: number;
  readonly height: number;
  readonly intent: string;
  readonly txid: string;
  /** Hash of the policy in force. */
  readonly policy: string;
  /** `rejected`: approved before, then a person said no on the device, and the claim was freed. */
  readonly verdict: "approved" | "held" | "refused" | "rejected";
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

/** A place in the chain: the number of a record, and its link. */
export type ChainPlace = Pick<AuditHead, "sequence" | "link">;

/** What the signature of a head is over. */
function headHash({ sequence, link }: ChainPlace): Uint8Array {
  return taggedHash("ballast/audit-head@1", new TextEncoder().encode(`${sequence}\n${link}`));
}

/** The head as the key answers it; `isSigned` says whether it is one. */
export async function signHead(key: HeadKey, { sequence, link }: ChainPlace): Promise<AuditHead> {
  const signature = hex(await key.sign(headHash({ sequence, link })));
  return { sequence, link, key: key.publicKey, signature };
}

/** A key in memory: 32 bytes that are no key of any vault. */
export function softwareHeadKey(secret: Uint8Array): HeadKey {
  return {
    publicKey: hex(ecc.xOnlyPointFromScalar(secret)),
    sign: async (hash) => ecc.signSchnorr(hash, secret),
  };
}

/** Whether the head is signed by the key that it names. */
export function isSigned(head: AuditHead): boolean {
  if (!/^[0-9a-f]{128}$/.test(head.signature)) return false;
  const [message, signature] = [headHash(head), fromHex(head.signature)];
  if (/^[0-9a-f]{64}$/.test(head.key)) {
    return verifies({ message, xOnly: fromHex(head.key), signature });
  }
  if (!/^0[23][0-9a-f]{64}$/.test(head.key)) return false;
  return verifiesEcdsa({ message, publicKey: fromHex(head.key), signature });
}

interface EcdsaCheck {
  readonly message: Uint8Array;
  readonly publicKey: Uint8Array;
  readonly signature: Uint8Array;
}

/** Strict: of the two values of s only the lower one is a signature. */
function verifiesEcdsa({ message, publicKey, signature }: EcdsaCheck): boolean {
  try {
    return ecc.verify(message, publicKey, signature, true);
  } catch {
    // No point of the curve, or r or s out of range: the library throws.
    return false;
  }
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
  /** Keys that signed them before, in order: one that was followed by another signs no more. */
  readonly earlier?: readonly string[];
  /** A head that was kept elsewhere: the log must still contain it. */
  readonly anchor?: ChainPlace | null;
}

/** Finds the first record that is not what was written; needs nothing but the log itself. */
export function verifyAudit({ lines, heads }: AuditLog, trust: AuditTrust): AuditFinding {
  const anchor = trust.anchor ?? null;
  return (
    brokenChain(lines) ??
    brokenHead({ lines, heads }, trust) ??
    (anchor === null ? null : notThere(anchor, lines)) ?? {
      kind: "intact",
      records: lines.length,
      head: lines.at(-1)?.link ?? null,
    }
  );
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

function brokenHead({ lines, heads }: AuditLog, trust: AuditTrust): AuditFinding | null {
  const keys = trust.key === null ? null : [...(trust.earlier ?? []), trust.key];
  let turn = 0;
  for (const head of heads.toSorted((a, b) => a.sequence - b.sequence)) {
    if (keys !== null) {
      turn = keys.indexOf(head.key, turn);
      if (turn < 0 || !isSigned(head)) {
        const detail = `the head after record ${head.sequence} is not signed by the key`;
        return broken(head.sequence, detail);
      }
    }
    const gone = notThere(head, lines);
    if (gone !== null) return gone;
  }
  return null;
}

function notThere(
  { sequence, link }: ChainPlace,
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
