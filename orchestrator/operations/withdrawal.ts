/** Withdrawals: what leaves the pool. */
import { msats } from "../../policies/money.ts";
import { drain, sumOf } from "../pool/deposits.ts";
import { addIdle, type Pool } from "../pool/pool.ts";
import { type Account, accountId } from "./account.ts";
import { authorised } from "./authority.ts";
import type { HistoryItem } from "./history-item.ts";
import type { OperationOf } from "./operation.ts";
import { feeOf } from "./operation-fee.ts";
import { done, type Outcome } from "./outcome.ts";
import { refuse, unknownInput } from "./refusal.ts";

/** v1 takes what is idle, then staged seeks and provides, the newest first; v2 what is idle. */
export function withdraw(pool: Pool, operation: OperationOf<"withdraw">): Outcome {
  const { account, msats: amount, authority } = operation;
  const fee = feeOf(pool, "withdraw");
  const v1 = pool.config.rules === "v1";
  if (v1 !== (typeof account === "string")) return unknownInput(operation.kind);
  const permit =
    typeof account === "string"
      ? null
      : authorised(pool, { kind: "withdraw", account, msats: amount }, authority);
  if (permit?.kind === "refused") return permit;
  if (amount === 0n || amount < fee) {
    return refuse("InvalidWithdrawalAmount", `it is nothing, or less than the fee of ${fee} msats`);
  }
  const owner = pool.holders.numbers.get(keyOf(account)) ?? -1;
  const idle = pool.idle.get(owner) ?? 0n;
  const staged = v1
    ? sumOf(pool.seeks, owner, "staged") + sumOf(pool.provides, owner, "staged")
    : 0n;
  if (idle + staged < amount) {
    return refuse("InsufficientBalance", `${idle + staged} msats may be withdrawn`);
  }
  permit?.use();
  const fromIdle = amount < idle ? amount : idle;
  addIdle(pool, owner, -fromIdle);
  const history = stagedTaken(pool, owner, {
    msats: amount - fromIdle,
    reference: operation.reference,
  });
  pool.feesMsats += fee;
  pool.heldMsats -= amount - fee;
  return done({ outMsats: msats(amount - fee), history });
}

function keyOf(account: string | Account): string {
  return typeof account === "string" ? account : accountId(account).hash;
}

function stagedTaken(
  pool: Pool,
  owner: number,
  { msats: amount, reference }: { readonly msats: bigint; readonly reference: string },
): readonly HistoryItem[] {
  let left = amount;
  return (["seeks", "provides"] as const).flatMap((side) =>
    drain(pool[side], { owner, part: "staged", msats: left }).map(({ sequence, msats: taken }) => {
      left -= taken;
      return {
        account: pool.holders.names[owner] ?? "",
        cycle: pool.cycle?.index ?? null,
        kind: "StagedToIdle" as const,
        reference,
        sequence,
        msats: taken,
      };
    }),
  );
}
