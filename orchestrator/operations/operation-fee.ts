/** Fees of operations, which a pool is set to. They are the house's; the seed's are all zero. */
import type { Pool } from "../pool/pool.ts";
import type { OperationFee } from "../pool/pool-config.ts";
import { type Refusal, refuse } from "./refusal.ts";

export function feeOf({ config }: Pool, operation: OperationFee): bigint {
  return config.operation_fees_msats[operation];
}

/** An operation that moves no money in or out is paid from what is idle. */
export function chargeIdle(pool: Pool, owner: number, operation: OperationFee): Refusal | null {
  const fee = feeOf(pool, operation);
  if (fee === 0n) return null;
  const idle = pool.idle.get(owner) ?? 0n;
  if (idle < fee) return refuse("InsufficientBalance", `the fee of ${fee} msats is not idle`);
  pool.idle.set(owner, idle - fee);
  pool.feesMsats += fee;
  return null;
}
