/** Whether an account's operation may stand: who signed it, and within which caps. */
import type { OperationFacts } from "./evidence/operation.ts";
import { type Case, heightOf } from "./rules/rule.ts";

/** Null where it may, or why it may not. */
export function operationAuthorised(operation: OperationFacts, spend: Case): string | null {
  const { fault, key, vault, number, sats } = operation;
  if (fault !== null) return fault;
  if (key === null) return null;
  const delegate = spend.history.standings
    .get(vault)
    ?.delegates.find((candidate) => candidate.key === key);
  const which = `operation ${number} of vault ${vault}`;
  if (delegate === undefined) return `${which} is signed by a key that the vault has not named`;
  if (delegate.until < heightOf(spend))
    return `${which}: its key was named until ${delegate.until}`;
  return sats <= delegate.sats ? null : `${which}: its key may move ${delegate.sats} sat at most`;
}
