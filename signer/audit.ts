/**
 * The decision log: each record is chained to the one before it, so that an edit, a deletion or a
 * new order shows. Nothing secret is in it, and no PSBT.
 */

import { hex, taggedHash } from "../policies/bitcoin/hash.ts";
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

/** What the first record is chained to. */
const GENESIS = "0".repeat(64);

/** The record as text, and its link: the hash of the link before it and the text. */
export function nextLink(
  head: string | null,
  record: AuditRecord,
): { readonly text: string; readonly link: string } {
  const text = JSON.stringify(record);
  const bytes = new TextEncoder().encode(`${head ?? GENESIS}\n${text}`);
  return { text, link: hex(taggedHash("ballast/audit@1", bytes)) };
}
