/**
 * The quorum: people named in the policy in force, so many of whom must agree to what a single one
 * may not do. Each signs one line of text that names all of it; the orchestrator only carries the
 * signatures (architecture section 3).
 */
import { signsText } from "../bitcoin/message.ts";
import type { Network } from "../bitcoin/network.ts";
import type { Role } from "../vault.ts";

export interface Person {
  readonly name: string;
  /** 33 bytes, compressed. */
  readonly key: Uint8Array;
}

export interface Quorum {
  /** How many must agree. */
  readonly approvals: number;
  readonly people: readonly Person[];
}

export interface Agreement {
  readonly person: string;
  readonly signature: Uint8Array;
}

export type QuorumOutcome =
  | { readonly kind: "agreed"; readonly people: readonly string[] }
  | { readonly kind: "refused"; readonly reasons: readonly string[] };

/**
 * Whether enough distinct people have signed the text. A signature that does not verify, or of
 * nobody named, refuses the whole: who sends one is mistaken or tries something.
 */
export function quorumOf(
  text: string,
  agreements: readonly Agreement[],
  quorum: Quorum | null,
): QuorumOutcome {
  if (quorum === null) {
    return { kind: "refused", reasons: ["the policy in force names no quorum"] };
  }
  const reasons: string[] = [];
  const people = new Set<string>();
  for (const { person: name, signature } of agreements) {
    const person = quorum.people.find((candidate) => candidate.name === name);
    if (person === undefined) reasons.push(`the policy names nobody ${name}`);
    else if (people.has(name)) reasons.push(`${name} has signed twice, which counts once`);
    else if (signsText(text, signature, person.key)) people.add(name);
    else reasons.push(`the signature of ${name} is not one of this text`);
  }
  if (people.size < quorum.approvals) {
    reasons.push(`${people.size} of ${quorum.approvals} people agree`);
  }
  return reasons.length > 0
    ? { kind: "refused", reasons }
    : { kind: "agreed", people: [...people] };
}

export interface Resumption {
  readonly network: Network;
  readonly role: Role;
  /** Hash of the policy in force. */
  readonly policy: string;
  /** How many times this signer has been paused: an agreement ends one pause, once. */
  readonly pause: number;
}

/** The line that people sign to let a paused signer go on. */
export function resumeText({ network, role, policy, pause }: Resumption): string {
  return `Ballast resume 1 ${network} role=${role} policy=${policy} pause=${pause}`;
}

export interface Release {
  readonly network: Network;
  readonly role: Role;
  /** Hash of the policy in force. */
  readonly policy: string;
  /** Last decision of the older journal, and the one that its mirror has seen: number and link. */
  readonly has: string;
  readonly seen: string;
}

/**
 * The line that people sign to let a signer go on with an older journal. What it has forgotten it
 * would sign again, so they say that they know what was signed meanwhile, or have imported it.
 */
export function releaseText({ network, role, policy, has, seen }: Release): string {
  return `Ballast release 1 ${network} role=${role} policy=${policy} has=${has} seen=${seen}`;
}
