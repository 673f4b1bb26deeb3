/**
 * Approvals: a person named in the policy in force agrees to one spend. The line binds the intent,
 * the very transaction with all that it spends, the policy and an expiry, so that an approval fits
 * one transaction under one law (attacks.md 113). It lifts the rules that it names and no other.
 */
import { z } from "zod";
import { signsText } from "../bitcoin/message.ts";
import type { Network } from "../bitcoin/network.ts";
import type { Person } from "../document/quorum.ts";
import { writeLine } from "./line.ts";
import { bytes, name, whole } from "./scalar.ts";

export const approvalSchema = z.strictObject({
  person: name,
  /** Ids of the rules that it lifts. */
  lifts: z.array(z.string().regex(/^[a-z][a-z-]{0,40}$/)).max(8),
  /** Last height at which it holds. */
  until: whole,
  signature: bytes(64, 65),
});

export type ApprovalDocument = z.output<typeof approvalSchema>;

export interface ApprovalFacts {
  readonly person: string;
  readonly lifts: readonly string[];
  readonly until: number;
  /** Null for an approval that was given for this very spend. */
  readonly fault: string | null;
}

export interface Approvable {
  readonly network: Network;
  readonly intent: string;
  /** See SpendFacts.spendHash. */
  readonly spendHash: string;
  /** Hash of the policy in force. */
  readonly policy: string;
}

/** The line that a person signs. */
export function approvalText(
  { network, intent, spendHash, policy }: Approvable,
  { lifts, until }: Pick<ApprovalDocument, "lifts" | "until">,
): string {
  const fields = {
    intent,
    spend: spendHash,
    policy,
    lifts: lifts.length === 0 ? "none" : lifts.join(","),
    until: String(until),
  };
  return writeLine({ kind: "approval", network, fields });
}

export function approvalFacts(
  approvals: readonly ApprovalDocument[],
  spend: Approvable,
  people: readonly Person[],
): readonly ApprovalFacts[] {
  const heard = new Set<string>();
  return approvals.map((approval) => {
    const { person, lifts, until } = approval;
    return { person, lifts, until, fault: approvalFault(approval, spend, { people, heard }) };
  });
}

function approvalFault(
  approval: ApprovalDocument,
  spend: Approvable,
  { people, heard }: { readonly people: readonly Person[]; readonly heard: Set<string> },
): string | null {
  const { person: called, signature } = approval;
  const person = people.find((candidate) => candidate.name === called);
  if (person === undefined) return `the policy names nobody ${called}`;
  if (heard.has(called)) return `${called} has approved twice, which counts once`;
  if (!signsText(approvalText(spend, approval), signature, person.key)) {
    return `the signature of ${called} is not one for this spend under this policy`;
  }
  heard.add(called);
  return null;
}
