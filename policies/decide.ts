/**
 * The decision. `decide` is the only maker of an `Approval`, and a key takes nothing else: a
 * signature without a decision does not compile, and does not run either.
 */
import { type ApprovedSpend, approvedSpend } from "./approved-spend.ts";
import type { SigningFacts, SpendFacts } from "./facts.ts";
import { isLifted } from "./rules/approvals.ts";
import type { Case, Objection } from "./rules/rule.ts";
import { type RuleId, rules } from "./rules.ts";
import type { Role } from "./vault.ts";
import { yieldedIntents } from "./yielding.ts";

export interface Violation {
  readonly rule: RuleId;
  readonly detail: string;
  /** Present when the violation may pass by itself: when to ask again. */
  readonly retry?: string;
}

export type Verdict =
  | { readonly verdict: "approved"; readonly violations: readonly [] }
  /** Only temporary violations: ask again later. */
  | { readonly verdict: "held"; readonly violations: readonly Violation[] }
  | { readonly verdict: "refused"; readonly violations: readonly Violation[] };

export type Decision =
  | { readonly kind: "approved"; readonly approval: Approval }
  | { readonly kind: "held"; readonly violations: readonly Violation[] }
  | { readonly kind: "refused"; readonly violations: readonly Violation[] };

/** One signature that an approval allows. */
export interface ApprovedInput {
  readonly input: number;
  readonly sighash: Uint8Array;
  readonly leafHash: Uint8Array;
  /** Compressed account key in hex: which secret. */
  readonly account: string;
  /** Added to the account's secret key; see vault.ts. */
  readonly tweak: Uint8Array;
  /** 32 bytes; the signature must verify under it before it leaves. */
  readonly xOnly: Uint8Array;
}

const approved = Symbol("approved");

/** The law's leave to sign these inputs of this transaction, once. */
export interface Approval {
  readonly [approved]: true;
  readonly intent: string;
  readonly txid: string;
  readonly policy: string;
  readonly role: Role;
  /** Intents whose coins this spend takes over; see yielding.ts. */
  readonly takes: readonly string[];
  readonly inputs: readonly ApprovedInput[];
  /** The transaction itself, for a key that shows it to a person. */
  readonly spend: ApprovedSpend;
}

/** Approvals made here: a copy or a forgery is not among them. */
const genuine = new WeakSet<object>();

export function isApproval(value: object): value is Approval {
  return genuine.has(value);
}

/**
 * What every rule says. `without` leaves rules out, for `explain` where no chain view is given;
 * no approval comes of it.
 */
export function judge(spend: Case, without: ReadonlySet<RuleId> = new Set()): Verdict {
  const violations = ruleIds
    .filter((rule) => !without.has(rule))
    .flatMap((rule) => {
      const objections = rules[rule].check(spend);
      // People may know better than a limit, if the policy lets them; never than any other rule.
      return objections.length > 0 && isLifted(rule, spend) ? [] : violationsOf(rule, objections);
    });
  if (violations.length === 0) return { verdict: "approved", violations: [] };
  // A paused signer gives no final answers: what else is wrong may have changed when it resumes.
  const temporary =
    violations.every(({ retry }) => retry !== undefined) ||
    violations.some(({ rule }) => rule === "not-paused");
  return { verdict: temporary ? "held" : "refused", violations };
}

/** A person reads no more of one rule; a hostile PSBT could make it say thousands of things. */
const VIOLATIONS_PER_RULE_MAX = 20;
const DETAIL_CHARACTERS_MAX = 300;

function violationsOf(rule: RuleId, objections: readonly Objection[]): readonly Violation[] {
  const told = objections.slice(0, VIOLATIONS_PER_RULE_MAX).map(({ detail, retry }): Violation => {
    const short =
      detail.length > DETAIL_CHARACTERS_MAX ? `${detail.slice(0, DETAIL_CHARACTERS_MAX)}…` : detail;
    return retry === undefined ? { rule, detail: short } : { rule, detail: short, retry };
  });
  const rest = objections.slice(VIOLATIONS_PER_RULE_MAX);
  if (rest.length === 0) return told;
  // Temporary only if all that is left out is temporary too.
  const retry = rest.every((objection) => objection.retry !== undefined)
    ? rest[0]?.retry
    : undefined;
  const more = { rule, detail: `and ${rest.length} more of the kind` };
  return [...told, retry === undefined ? more : { ...more, retry }];
}

/** Judges a spend by every rule, and lets the signer's role sign each of its inputs if all agree. */
export function decide(spend: Case): Decision {
  const { verdict, violations } = judge(spend);
  if (verdict !== "approved") return { kind: verdict, violations };
  // The rules have seen to it; a fee that nobody could compute must not pass for none.
  if (spend.facts.feeSats === null) throw new Error("BUG: approved without a fee");
  const approval = Object.freeze({
    [approved]: true as const,
    intent: spend.intent.id,
    txid: spend.facts.txid,
    policy: spend.policy.hash,
    role: spend.policy.role,
    takes: Object.freeze(yieldedIntents(spend)),
    inputs: Object.freeze(approvedInputs(spend.facts, spend.policy.role)),
    spend: approvedSpend(spend.facts),
  });
  genuine.add(approval);
  return { kind: "approved", approval };
}

export const ruleIds: readonly RuleId[] = Object.freeze(Object.keys(rules) as RuleId[]);

function approvedInputs(facts: SpendFacts, role: Role): readonly ApprovedInput[] {
  return facts.inputs.map(({ signing }, input) => {
    const key = signing?.keys.find((candidate) => candidate.role === role);
    // The rules have seen to it that every input is the vault's and that the role has a key in it.
    if (signing === null || key === undefined)
      throw new Error(`BUG: input ${input} approved blindly`);
    const { sighash, leafHash }: SigningFacts = signing;
    // Copies: who still holds the facts cannot change what was approved (attacks.md 98).
    return Object.freeze({
      input,
      sighash: Uint8Array.from(sighash),
      leafHash: Uint8Array.from(leafHash),
      account: key.account,
      tweak: Uint8Array.from(key.tweak),
      xOnly: Uint8Array.from(key.xOnly),
    });
  });
}
