/**
 * An amendment: how a policy takes the place of the one in force. The version only rises, and the
 * quorum of the policy in force signs for it: one line of text that names both documents by their
 * hashes. What tightens counts at once, what loosens is announced and waits (invariant 5,
 * attacks.md 111 and 112).
 */
import { type Difference, type Direction, differencesOf, directionOf } from "./differences.ts";
import { type Policy, PolicyError, readPolicy } from "./policy.ts";
import { type Agreement, quorumOf } from "./quorum.ts";

export interface Amendment {
  /** The document in force. */
  readonly inForce: unknown;
  /** The document that would take its place. */
  readonly next: unknown;
  readonly agreements: readonly Agreement[];
}

export type AmendmentOutcome =
  | {
      readonly kind: "accepted";
      /** A loosening counts only after the delay of the policy in force. */
      readonly direction: Exclude<Direction, "forbidden">;
      readonly differences: readonly Difference[];
      readonly people: readonly string[];
      readonly policy: Policy;
    }
  | { readonly kind: "refused"; readonly reasons: readonly string[] };

/** Whether `next` may take the place of the policy in force; all reasons when it may not. */
export function verifyAmendment({ inForce, next, agreements }: Amendment): AmendmentOutcome {
  const before = readPolicy(inForce);
  let after: Policy;
  try {
    after = readPolicy(next);
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    return { kind: "refused", reasons: error.reasons };
  }
  const differences = differencesOf(inForce, next);
  const direction = directionOf(differences);
  const reasons = amendmentFaults({ before, after, differences });
  const quorum = quorumOf(amendmentText({ before, after }), agreements, before.quorum);
  if (quorum.kind === "refused" || reasons.length > 0 || direction === "forbidden") {
    const unsigned = quorum.kind === "refused" ? quorum.reasons : [];
    return { kind: "refused", reasons: [...new Set([...reasons, ...unsigned])] };
  }
  return { kind: "accepted", direction, differences, people: quorum.people, policy: after };
}

interface Step {
  /** The policy in force. */
  readonly before: Policy;
  readonly after: Policy;
}

/** What speaks against an amendment whoever signs it. */
export function amendmentFaults({
  before,
  after,
  differences,
}: Step & { readonly differences: readonly Difference[] }): readonly string[] {
  const version =
    after.version > before.version
      ? []
      : after.version < before.version
        ? [`version ${after.version} is older than ${before.version}, which is in force`]
        : after.hash === before.hash
          ? [`version ${after.version} is in force already`]
          : [`version ${after.version} is in force with other content; an amendment raises it`];
  return [
    ...version,
    ...differences
      .filter(({ direction }) => direction === "forbidden")
      .map(({ path, before: had, after: has }) => `${path}: ${had} is for good, and not ${has}`),
    ...(before.quorum === null ? ["the policy in force names no quorum"] : []),
  ];
}

/** The line that people sign: printable ASCII, and no other amendment has the same. */
export function amendmentText({ before, after }: Step): string {
  const { network, role, name, version, hash } = after;
  return `Ballast policy 1 ${network} role=${role} name=${name} from=${before.hash} version=${version} policy=${hash}`;
}
