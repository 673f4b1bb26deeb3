/**
 * v2: a transfer moves cents between two accounts of a kind inside the pool: what is staged first,
 * the newest first, then what is locked. The other end gets one deposit with one new number, staged,
 * locked, or both.
 */
import { addDeposit, type Drained, drain, sumDrained, sumOf } from "../pool/deposits.ts";
import { msatsOfCents } from "../pool/fiat.ts";
import { numberOf } from "../pool/holders.ts";
import { accountOf, type Cycle, type Pool, type PoolAccount, type Side } from "../pool/pool.ts";
import { accountId, accountIdText } from "./account.ts";
import { requestFault, transferHash, use } from "./authority.ts";
import { nextSequence, rateRefusal } from "./deposit.ts";
import type { HistoryItem, HistoryKind } from "./history-item.ts";
import type { OperationOf } from "./operation.ts";
import { chargeIdle } from "./operation-fee.ts";
import { done, type Outcome } from "./outcome.ts";
import { type Refusal, refuse } from "./refusal.ts";

type Transfer = OperationOf<"transfer">;

export function transfer(pool: Pool, operation: Transfer): Outcome {
  const ends = endsOf(pool, operation);
  if (ends.kind === "refused") return ends;
  const { from, to, side, cycle, owner } = ends;
  const hash = transferHash(pool.config, operation);
  const { signatures, until } = operation;
  const fault = requestFault(pool, { account: operation.from, signatures, hash, until });
  if (fault !== null) return invalid(fault);
  const wanted = msatsOfCents(operation.cents, cycle.price);
  const there = sumOf(pool[side], owner, "staged") + sumOf(pool[side], owner, "locked");
  if (wanted > there) return invalid(`the account has ${there} msats, ${wanted} are asked for`);
  const refusal = chargeIdle(pool, owner, "transfer");
  if (refusal !== null) return refusal;
  use(pool, hash, until);
  const staged = drain(pool[side], { owner, part: "staged", msats: wanted });
  const locked = drain(pool[side], { owner, part: "locked", msats: wanted - sumDrained(staged) });
  const sequence = nextSequence(pool, side);
  addDeposit(pool[side], {
    owner: numberOf(pool.holders, to),
    sequence,
    feePpb: operation.fee_ppb ?? 0n,
    staged: sumDrained(staged),
    locked: sumDrained(locked),
  });
  const tell = { from, to, cycle, sequence, operation };
  return done({
    sequence,
    history: [...moved("Staged", staged, tell), ...moved("Locked", locked, tell)],
  });
}

function invalid(detail: string): Refusal {
  return refuse("InvalidTransferRequest", detail);
}

interface Ends {
  readonly kind: "ends";
  readonly from: PoolAccount;
  readonly to: PoolAccount;
  readonly side: Side;
  readonly cycle: Cycle;
  readonly owner: number;
}

function endsOf(pool: Pool, operation: Transfer): Ends | Refusal {
  const from = accountOf(pool, accountIdText(accountId(operation.from)));
  const to = accountOf(pool, operation.to);
  const owner = pool.holders.numbers.get(from?.key ?? "") ?? -1;
  if (pool.unlocks.has(owner)) {
    return refuse("PreviousIntentionNotFullyProcessed", "an unlock request waits for the turnover");
  }
  if (from === null || to === null) return invalid(`${operation.to} names no account`);
  if (from.side === null || from.side !== to.side) return invalid("the accounts differ in kind");
  if (from.key === to.key) return invalid("it is from an account to itself");
  if (operation.cents === 0n) return invalid("it is of nothing");
  if ((from.side === "provides") !== (operation.fee_ppb !== undefined)) {
    return invalid("a fee rate belongs to a transfer between providers, and only there");
  }
  const rate = operation.fee_ppb === undefined ? null : rateRefusal(pool.config, operation.fee_ppb);
  if (rate !== null) return rate;
  if (pool.cycle === null) return refuse("NoCycle", "the first cycle has not begun");
  return { kind: "ends", from, to, side: from.side, cycle: pool.cycle, owner };
}

interface Telling {
  readonly from: PoolAccount;
  readonly to: PoolAccount;
  readonly cycle: Cycle;
  readonly sequence: number;
  readonly operation: Transfer;
}

function moved(
  part: "Staged" | "Locked",
  drained: readonly Drained[],
  { from, to, cycle, sequence, operation }: Telling,
): readonly HistoryItem[] {
  if (drained.length === 0) return [];
  const { reference, meta } = operation;
  const common = { cycle: cycle.index, reference, meta };
  const [out, into]: [HistoryKind, HistoryKind] = [`${part}TransferOut`, `${part}TransferIn`];
  return [
    ...drained.map((item) => ({
      ...common,
      account: from.name,
      kind: out,
      sequence: item.sequence,
      msats: item.msats,
      other: to.name,
    })),
    {
      ...common,
      account: to.name,
      kind: into,
      sequence,
      msats: sumDrained(drained),
      other: from.name,
    },
  ];
}
