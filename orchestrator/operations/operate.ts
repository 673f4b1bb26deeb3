/**
 * One operation on a pool: it changes the ledger whole, or is refused and changes nothing. Rules and
 * names are the seed's; where v1 and v2 differ the pool's configuration says which.
 */

import type { Pool } from "../pool/pool.ts";
import { cancel, undo } from "./cancellation.ts";
import { deposit } from "./deposit.ts";
import type { Operation } from "./operation.ts";
import type { Outcome } from "./outcome.ts";
import { unknownInput, unknownOutput } from "./refusal.ts";
import { transfer } from "./transfer.ts";
import { unlock } from "./unlock.ts";
import { withdraw } from "./withdrawal.ts";

export function operate(pool: Pool, operation: Operation): Outcome {
  switch (operation.kind) {
    case "seek":
    case "provide":
    case "deposit":
      return deposit(pool, operation);
    case "cancel":
      return cancel(pool, operation);
    case "undo":
      return undo(pool, operation);
    case "withdraw":
      return withdraw(pool, operation);
    case "unlock":
      return pool.config.rules === "v2" ? unlock(pool, operation) : unknownInput(operation.kind);
    case "transfer":
      return pool.config.rules === "v2" ? transfer(pool, operation) : unknownOutput(operation.kind);
    default:
      return operation satisfies never;
  }
}
