/** A rule: a reason and a pure check. It looks at computed facts, never at a label. */
import type { ChainView } from "../chain-view.ts";
import type { Policy } from "../document/policy.ts";
import type { EvidenceFacts } from "../evidence.ts";
import type { SpendFacts } from "../facts.ts";
import type { History } from "../history.ts";
import type { SpendIntent } from "../intent.ts";
import type { Vault } from "../vault.ts";

/** Everything that a judgement rests on. */
export interface Case {
  readonly facts: SpendFacts;
  readonly intent: SpendIntent;
  readonly policy: Policy;
  /** The registered vault that the intent names; null when this signer does not know it. */
  readonly vault: Vault | null;
  /** Those of the other vaults that the intent names which this signer has registered. */
  readonly parties: readonly Vault[];
  readonly history: History;
  /** Null when the signer's node does not answer. */
  readonly chain: ChainView | null;
  /** What came with the request, verified. */
  readonly evidence: EvidenceFacts;
}

/** What a rule objects to. `retry` makes it temporary: the words say when to come back. */
export interface Objection {
  readonly detail: string;
  readonly retry?: string;
}

export interface Rule {
  readonly why: string;
  readonly answers: readonly number[];
  readonly check: (spend: Case) => readonly Objection[];
}

/** One objection, for good. */
export function no(detail: string): readonly Objection[] {
  return [{ detail }];
}

/** The check of each item, all objections together. */
export function each<Item>(
  items: readonly Item[],
  check: (item: Item, index: number) => readonly Objection[],
): readonly Objection[] {
  return items.flatMap(check);
}

/** One objection, until the words of `retry` have come true. */
export function notYet(detail: string, retry: string): readonly Objection[] {
  return [{ detail, retry }];
}

/** The height of the judgement: the node's, never below what the signer has seen. */
export function heightOf({ history, chain }: Pick<Case, "history" | "chain">): number {
  return Math.max(history.height, chain?.height ?? 0);
}
