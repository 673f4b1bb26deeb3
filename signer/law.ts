/**
 * The law in force: which policy this signer judges by, in a table of its own in the journal's file.
 * The first start pins the policy that it is configured with; from then on the quorum of the policy
 * in force amends it (invariant 5). What tightens counts at once. What loosens is announced, and the
 * old policy stays in force until the delay has passed by the journal's clock and, six blocks an
 * hour, by height: neither a stepped clock nor a node that was behind shortens it.
 */

import type { ChainView } from "../policies/chain-view.ts";
import { type AmendmentOutcome, verifyAmendment } from "../policies/document/amendment.ts";
import type { Policy } from "../policies/document/policy.ts";
import type { SignedPolicy } from "../policies/document/signed-policy.ts";
import { BLOCKS_PER_HOUR, HOUR_MS } from "../policies/history.ts";
import type { Journal, Moment, Reading } from "./journal.ts";
import { openPolicies, type Policies, type Standing } from "./policies.ts";

export interface Law {
  readonly inForce: () => Policy;
  /** The announced policy that waits; null when there is none. */
  readonly announced: () => Policy | null;
  /** Both as they were written, for whoever reads the law. */
  readonly documents: () => { readonly inForce: unknown; readonly announced: unknown };
  /** Takes every look at the chain: it starts the delay of what is announced, and ends it. */
  readonly observe: (view: Pick<ChainView, "height" | "medianTime">) => void;
}

export interface LawOptions {
  readonly journal: Journal;
  /** What the configuration names; signed, when it is not what was in force before. */
  readonly configured: SignedPolicy;
  /** Wall clock in milliseconds. */
  readonly now: () => number;
  readonly log: (event: string, fields: Readonly<Record<string, unknown>>) => void;
}

/** The configured policy is not one that this signer may start with. */
export class LawError extends Error {
  readonly reasons: readonly string[];
  constructor(configured: Policy, inForce: Policy, reasons: readonly string[]) {
    super(
      `policy ${said(configured)} cannot take the place of ${said(inForce)}, which is in force: ${reasons.join("; ")}`,
    );
    this.name = "LawError";
    this.reasons = reasons;
  }
}

/** Judges the configured policy against the one in force; throws a LawError with every reason. */
export function openLaw(options: LawOptions): Law {
  const { journal, now, log } = options;
  const policies = openPolicies(journal.database);
  begin(options, policies);
  let standing = policies.standing();

  function observe({ height, medianTime }: Pick<ChainView, "height" | "medianTime">): void {
    const { announced } = standing;
    if (announced === null) return;
    const was = lawOf(standing);
    const reading = { wall: now(), height, medianTimeMs: medianTime * 1000 };
    const news = journal.database
      .transaction((): "counted" | "enacted" | null => {
        const moment = journal.advance(reading);
        if (announced.since === null) {
          policies.count(delayFrom(moment, reading));
          return "counted";
        }
        if (!due(announced.since, moment, was.looseningHours)) return null;
        policies.enact(announced.policy, announced.document, moment);
        return "enacted";
      })
      .immediate();
    if (news !== null) standing = policies.standing();
    if (news === "enacted")
      log("ALARM policy in force", { ...fields(announced.policy), was: said(was) });
  }

  return {
    inForce: () => lawOf(standing),
    announced: () => standing.announced?.policy ?? null,
    documents: () => ({
      inForce: standing.inForce?.document ?? null,
      announced: standing.announced?.document ?? null,
    }),
    observe,
  };
}

/** What a start does with the configured policy. */
type Plan =
  | { readonly kind: "pin" | "keep" }
  | { readonly kind: "withdraw" }
  | { readonly kind: "enact" | "announce"; readonly direction: string; readonly people: string }
  | { readonly kind: "refuse"; readonly inForce: Policy; readonly reasons: readonly string[] };

function planStart({ policy, document, agreements }: SignedPolicy, standing: Standing): Plan {
  const { inForce, announced, newest } = standing;
  if (inForce === null) return { kind: "pin" };
  const seen = newest === null ? [] : overtaken(policy, newest, inForce.policy);
  if (seen.length > 0) return { kind: "refuse", inForce: inForce.policy, reasons: seen };
  if (policy.hash === announced?.policy.hash) return { kind: "keep" };
  if (policy.hash === inForce.policy.hash) {
    // Who puts the old file back takes the announcement back; announced again it waits anew.
    return { kind: announced === null ? "keep" : "withdraw" };
  }
  const outcome = verifyAmendment({ inForce: inForce.document, next: document, agreements });
  const reasons = [
    ...(outcome.kind === "refused" ? outcome.reasons : []),
    ...(announced === null ? [] : rivalry(policy, announced.policy, outcome)),
  ];
  if (outcome.kind === "refused" || reasons.length > 0) {
    return { kind: "refuse", inForce: inForce.policy, reasons };
  }
  const { direction } = outcome;
  const waits = direction === "loosening" && inForce.policy.looseningHours > 0;
  return { kind: waits ? "announce" : "enact", direction, people: outcome.people.join(", ") };
}

function begin({ journal, configured, log }: LawOptions, policies: Policies): void {
  const standing = policies.standing();
  const { policy, document } = configured;
  const plan = planStart(configured, standing);
  const withdraw = (why: string) => {
    if (standing.announced === null) return;
    policies.withdraw();
    log("ALARM announced policy withdrawn", { ...fields(standing.announced.policy), why });
  };
  const execute = () => {
    switch (plan.kind) {
      case "keep":
        // Said again at each start, lest the first line went unread.
        if (standing.announced !== null) log("ALARM policy announced", fields(policy));
        return;
      case "pin":
        policies.enact(policy, document, journal.moment());
        log("policy pinned", fields(policy));
        return;
      case "withdraw":
        withdraw("the policy in force is configured again");
        return;
      case "announce": {
        withdraw(`${said(policy)} takes its place`);
        policies.announce(policy, document);
        const { direction, people } = plan;
        const { looseningHours: hours } = lawOf(standing);
        log("ALARM policy announced", { ...fields(policy), direction, people, hours });
        return;
      }
      case "enact": {
        withdraw(`${said(policy)} takes its place`);
        policies.enact(policy, document, journal.moment());
        const { direction, people } = plan;
        const was = said(lawOf(standing));
        log("ALARM policy in force", { ...fields(policy), direction, people, was });
        return;
      }
      case "refuse":
        throw new LawError(policy, plan.inForce, plan.reasons);
    }
  };
  journal.database.transaction(execute).immediate();
}

function lawOf({ inForce }: Standing): Policy {
  if (inForce === null) throw new Error("BUG: no policy is in force after the start");
  return inForce.policy;
}

/** A journal whose memory was imported has seen a newer policy than its own: see interchange.ts. */
function overtaken(policy: Policy, newest: Seen, inForce: Policy): readonly string[] {
  if (newest.hash === inForce.hash || newest.hash === policy.hash) return [];
  if (policy.version > newest.version) return [];
  return policy.version === newest.version
    ? [`version ${policy.version} was in force with other content`]
    : [`version ${policy.version} is older than ${newest.version}, which was in force`];
}

type Seen = Pick<Policy, "version" | "hash">;

/** A newer announcement takes the place of one that waits; to tighten is never too late. */
function rivalry(policy: Policy, announced: Policy, outcome: AmendmentOutcome): readonly string[] {
  if (policy.version === announced.version) {
    return [`version ${policy.version} is announced with other content`];
  }
  const loosens = outcome.kind === "accepted" && outcome.direction === "loosening";
  return loosens && policy.version < announced.version
    ? [`version ${policy.version} is older than ${announced.version}, which is announced`]
    : [];
}

/**
 * From when the delay counts: not before the machine's clock, and as many blocks later as the tip is
 * older than that clock. So a node that catches up afterwards does not stand for time that passed.
 */
function delayFrom({ clock, height }: Moment, { wall, medianTimeMs }: Reading): Moment {
  const behind = Math.max(0, Math.ceil((wall - medianTimeMs) / HOUR_MS));
  return { clock: Math.max(clock, wall), height: height + behind * BLOCKS_PER_HOUR };
}

function due(since: Moment, now: Moment, hours: number): boolean {
  return (
    now.clock >= since.clock + hours * HOUR_MS &&
    now.height >= since.height + hours * BLOCKS_PER_HOUR
  );
}

function said({ name, version, hash }: Policy): string {
  return `${name} v${version} (${hash.slice(0, 16)})`;
}

function fields({ name, version, hash }: Policy) {
  return { policy: `${name} v${version}`, hash };
}
