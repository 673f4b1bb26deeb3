/** Deposits: what an account puts on its side, staged until a turnover locks it. */
import { msats } from "../../policies/money.ts";
import { addDeposit, sumOf } from "../pool/deposits.ts";
import { numberOf } from "../pool/holders.ts";
import { accountOf, type Pool, type PoolAccount, type Side } from "../pool/pool.ts";
import type { HistoryItem, HistoryKind } from "./history-item.ts";
import type { OperationOf } from "./operation.ts";
import { feeOf } from "./operation-fee.ts";
import { done, type Outcome } from "./outcome.ts";
import { type Refusal, type RefusalName, refuse, unknownOutput } from "./refusal.ts";

type Depositing = OperationOf<"seek" | "provide" | "deposit">;

const PUT: Readonly<Record<Depositing["kind"], Side>> = {
  seek: "seeks",
  provide: "provides",
  deposit: "bitcoin",
};

export function deposit(pool: Pool, operation: Depositing): Outcome {
  const account = accountOf(pool, operation.account);
  if (account === null) return refuse("InvalidAccount", `${operation.account} names no account`);
  const side = PUT[operation.kind];
  const refusal =
    pool.config.rules === "v1"
      ? (amountRefusal(pool, operation) ?? sideRefusal(pool, operation, account))
      : (typeRefusal(pool, operation, account) ??
        amountRefusal(pool, operation) ??
        cycleless(pool));
  if (refusal !== null) return refusal;
  const fee = feeOf(pool, operation.kind === "provide" ? "provide" : "seek");
  if (pool.heldMsats + operation.msats + fee > pool.config.max_pool_msats) {
    return refuse("BalanceOverflow", `the pool holds ${pool.config.max_pool_msats} msats at most`);
  }
  const owner = numberOf(pool.holders, account);
  const sequence = nextSequence(pool, side);
  const feePpb = operation.kind === "provide" ? operation.fee_ppb : 0n;
  addDeposit(pool[side], { owner, sequence, feePpb, staged: operation.msats, locked: 0n });
  pool.feesMsats += fee;
  pool.heldMsats += operation.msats + fee;
  const kind: HistoryKind = side === "bitcoin" ? "DepositToBtcBalance" : "DepositToStaged";
  const item: HistoryItem = {
    account: account.name,
    cycle: pool.cycle?.index ?? null,
    kind,
    reference: operation.reference,
    sequence,
    msats: operation.msats,
    ...(operation.kind === "deposit" ? { meta: operation.metadata } : {}),
  };
  return done({ inMsats: msats(operation.msats + fee), sequence, history: [item] });
}

/** v1 counts each side by itself, v2 all deposits together. */
export function nextSequence(pool: Pool, side: Side): number {
  const counter = pool.config.rules === "v1" && side === "provides" ? "nextProvide" : "nextSeek";
  const sequence = pool[counter];
  pool[counter] = sequence + 1;
  return sequence;
}

function amountRefusal({ config }: Pool, operation: Depositing): Refusal | null {
  const providing = operation.kind === "provide";
  const least = providing ? config.min_provide_msats : config.min_seek_msats;
  const most = providing ? config.max_provide_msats : config.max_seek_msats;
  if (operation.msats < least) return refuse("AmountTooLow", `the least is ${least} msats`);
  if (operation.msats > most) return refuse("AmountTooHigh", `the most is ${most} msats`);
  return operation.kind === "provide" ? rateRefusal(config, operation.fee_ppb) : null;
}

export function rateRefusal(
  config: Pick<Pool["config"], "max_provide_fee_rate_ppb" | "min_provide_fee_rate_ppb">,
  feePpb: bigint,
): Refusal | null {
  const { max_provide_fee_rate_ppb: most, min_provide_fee_rate_ppb: least } = config;
  if (feePpb > most) return refuse("FeeRateTooHigh", `the highest rate is ${most} ppb`);
  return feePpb < least ? refuse("FeeRateTooLow", `the lowest rate is ${least} ppb`) : null;
}

/** v1: a key is on one side at a time, and on none while it is leaving. */
function sideRefusal(pool: Pool, operation: Depositing, { key }: PoolAccount): Refusal | null {
  if (operation.kind === "deposit") return unknownOutput(operation.kind);
  const owner = pool.holders.numbers.get(key) ?? -1;
  const [error, other]: [RefusalName, Side] =
    operation.kind === "seek" ? ["CannotSeek", "provides"] : ["CannotProvide", "seeks"];
  if (pool.cancellations.has(owner)) return refuse(error, "a cancellation is staged");
  return partOf(pool, other, owner) === 0n ? null : refuse(error, `the account has ${other}`);
}

function partOf(pool: Pool, side: Side, owner: number): bigint {
  return sumOf(pool[side], owner, "staged") + sumOf(pool[side], owner, "locked");
}

/** v2: a kind of account has its kind of deposit, and makes none while it is leaving. */
function typeRefusal(pool: Pool, operation: Depositing, account: PoolAccount): Refusal | null {
  const owner = pool.holders.numbers.get(account.key) ?? -1;
  if (pool.unlocks.has(owner)) {
    return refuse("PreviousIntentionNotFullyProcessed", "an unlock request waits for the turnover");
  }
  return account.side === PUT[operation.kind]
    ? null
    : refuse("InvalidAccountTypeForOperation", `${account.name} cannot ${operation.kind}`);
}

function cycleless({ cycle }: Pool): Refusal | null {
  return cycle === null ? refuse("NoCycle", "the first cycle has not begun") : null;
}
