/** v1: a cancellation takes so many basis points of what is locked out at the next turnover. */
import { sumOf } from "../pool/deposits.ts";
import type { Pool, Side } from "../pool/pool.ts";
import type { OperationOf } from "./operation.ts";
import { chargeIdle } from "./operation-fee.ts";
import { done, type Outcome } from "./outcome.ts";
import { refuse, unknownOutput } from "./refusal.ts";

export function cancel(pool: Pool, operation: OperationOf<"cancel">): Outcome {
  if (pool.config.rules !== "v1") return unknownOutput(operation.kind);
  const bps = BigInt(operation.bps);
  const least = pool.config.min_cancellation_bps;
  if (bps < least || bps > 10_000n) {
    return refuse("InvalidBPSForCancelAutoRenewal", `${least} to 10,000 bps may be cancelled`);
  }
  const owner = pool.holders.numbers.get(operation.account) ?? -1;
  const has = (side: Side, part: "staged" | "locked") => sumOf(pool[side], owner, part) !== 0n;
  const staged = has("seeks", "staged") || has("provides", "staged");
  const oneSided = has("seeks", "locked") !== has("provides", "locked");
  if (staged || pool.cancellations.has(owner) || !oneSided) {
    const detail = "nothing is locked, or something is staged that must go first";
    return refuse("CannotCancelAutoRenewal", detail);
  }
  const refusal = chargeIdle(pool, owner, "cancel");
  if (refusal !== null) return refusal;
  pool.cancellations.set(owner, bps);
  return done({});
}

export function undo(pool: Pool, operation: OperationOf<"undo">): Outcome {
  if (pool.config.rules !== "v1") return unknownOutput(operation.kind);
  const owner = pool.holders.numbers.get(operation.account) ?? -1;
  if (!pool.cancellations.has(owner)) {
    return refuse("CannotUndoAutoRenewalCancellation", "no cancellation is staged");
  }
  const refusal = chargeIdle(pool, owner, "undo");
  if (refusal !== null) return refusal;
  pool.cancellations.delete(owner);
  return done({});
}
