/**
 * A judgement in words and figures, for people: what the transaction does, what each rule says, and
 * what would be left of each limit.
 */
import { hex } from "./bitcoin/hash.ts";
import { ruleIds, type Violation } from "./decide.ts";
import type { EvidenceFacts } from "./evidence.ts";
import type { Coin, SpendFacts } from "./facts.ts";
import { greater } from "./money.ts";
import { purposesOf } from "./purpose.ts";
import type { Case } from "./rules/rule.ts";
import { type RuleId, rules } from "./rules.ts";
import type { Vault } from "./vault.ts";
import { type Bound, boundKey, boundsOf, chargesOf } from "./velocity.ts";

export interface RuleReport {
  readonly rule: RuleId;
  readonly says: "yes" | "no" | "not yet" | "not asked";
  readonly why: string;
}

/** Facts in JSON: amounts of sats are decimal strings, scripts hex. */
export interface FactsReport {
  readonly txid: string;
  readonly psbtVersion: number;
  readonly txVersion: number;
  readonly locktime: number;
  readonly purpose: string | null;
  readonly intent: string | null;
  readonly vault: string | null;
  readonly inputSats: string | null;
  readonly outputSats: string | null;
  readonly feeSats: string | null;
  readonly externalSats: string;
  readonly vbytes: number;
  /** sat/vB with three decimals, rounded down. */
  readonly feeRate: string | null;
  readonly inputs: readonly {
    readonly outpoint: string;
    readonly sats: string | null;
    readonly coin: Coin | null;
    readonly sequence: number;
    readonly signedBy: readonly string[];
  }[];
  readonly outputs: readonly {
    readonly sats: string;
    readonly address: string | null;
    readonly script: string;
    readonly type: string;
    readonly coin: Coin | null;
  }[];
}

/** What all rules say; those in `unasked` had nothing to look at. */
export function ruleReports(
  violations: readonly Violation[],
  unasked: ReadonlySet<RuleId> = new Set(),
): readonly RuleReport[] {
  return ruleIds.map((rule) => ({
    rule,
    says: says(rule, violations, unasked),
    why: rules[rule].why,
  }));
}

function says(
  rule: RuleId,
  violations: readonly Violation[],
  unasked: ReadonlySet<RuleId>,
): RuleReport["says"] {
  const own = violations.filter((violation) => violation.rule === rule);
  if (own.length === 0) return unasked.has(rule) ? "not asked" : "yes";
  return own.every(({ retry }) => retry !== undefined) ? "not yet" : "no";
}

export interface Reported {
  readonly facts: SpendFacts;
  readonly vault: Vault | null;
  readonly evidence: EvidenceFacts;
}

export function factsReport(
  { facts, vault, evidence }: Reported,
  intent: string | null,
): FactsReport {
  const { feeSats, vbytes } = facts;
  return {
    txid: facts.txid,
    psbtVersion: facts.psbtVersion,
    txVersion: facts.version,
    locktime: facts.locktime,
    purpose: purposesOf({ facts, evidence })[0] ?? null,
    intent,
    vault: vault?.id ?? null,
    inputSats: text(facts.inputSats),
    outputSats: text(facts.outputSats),
    feeSats: text(feeSats),
    externalSats: String(facts.externalSats),
    vbytes,
    feeRate: feeSats === null || feeSats < 0n ? null : rateText(feeSats, vbytes),
    inputs: facts.inputs.map(({ outpoint, sats, coin, sequence, signatures }) => ({
      outpoint,
      sats: text(sats),
      coin,
      sequence,
      signedBy: signatures.flatMap(({ role, valid }) => (valid && role !== null ? [role] : [])),
    })),
    outputs: facts.outputs.map(({ sats, address, script, scriptType, coin }) => ({
      sats: String(sats),
      address,
      script: hex(script),
      type: scriptType,
      coin,
    })),
  };
}

function text(value: bigint | null): string | null {
  return value === null ? null : String(value);
}

function rateText(fee: bigint, vbytes: number): string {
  const millisats = (fee * 1000n) / BigInt(vbytes);
  return `${millisats / 1000n}.${String(millisats % 1000n).padStart(3, "0")}`;
}

/** A window that a spend is held against; sats as decimal strings. */
export interface LimitReport {
  readonly whose: string;
  readonly about: Bound["about"];
  readonly hours: number;
  /** What other spends have taken, what this one takes, and what is left after it. */
  readonly before: string;
  readonly own: string;
  readonly most: string;
  readonly left: string;
}

export function limitReports(spend: Pick<Case, "facts" | "intent" | "policy" | "history">) {
  const { facts, intent, policy, history } = spend;
  const charges = new Map(chargesOf(facts, intent).map(({ account, sats }) => [account, sats]));
  return boundsOf(facts, intent, policy).map((bound): LimitReport => {
    const { whose, about, hours, sats: most } = bound;
    const before = history.charged.get(boundKey(bound)) ?? 0n;
    const own = charges.get(bound.account) ?? 0n;
    return {
      ...{ whose, about, hours },
      before: String(before),
      own: String(own),
      most: String(most),
      left: String(greater(most - before - own, 0n)),
    };
  });
}
