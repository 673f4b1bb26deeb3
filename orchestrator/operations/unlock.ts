/**
 * v2: an unlock takes cents, or all, back to what may be withdrawn: staged deposits at once, the
 * newest first, and the rest, in whole cents, at the next turnover and its price.
 */
import type { Msats, Price } from "../../policies/money.ts";
import { type Drained, drain, sumDrained, sumOf } from "../pool/deposits.ts";
import { centsOfMsats, msatsOfCents } from "../pool/fiat.ts";
import { accountOf, addIdle, type Pool, type Side } from "../pool/pool.ts";
import { accountId, accountIdText } from "./account.ts";
import { authorised } from "./authority.ts";
import type { HistoryItem } from "./history-item.ts";
import type { OperationOf } from "./operation.ts";
import { chargeIdle } from "./operation-fee.ts";
import { done, type Outcome } from "./outcome.ts";
import { type Refusal, refuse } from "./refusal.ts";

type Unlock = OperationOf<"unlock">;

export function unlock(pool: Pool, operation: Unlock): Outcome {
  const { account, cents, authority } = operation;
  const permit = authorised(pool, { kind: "unlock", account, cents }, authority);
  if (permit.kind === "refused") return permit;
  const { cycle } = pool;
  if (cycle === null) return refuse("TemporaryError", "the first cycle has not begun");
  const name = accountIdText(accountId(account));
  const known = accountOf(pool, name);
  const side = known?.side ?? null;
  if (known === null || side === null) return refuse("InvalidAccount", `${name} is no account`);
  const asked = askedOf(pool, operation, { key: known.key, side, price: cycle.price });
  if (asked.kind === "refused") return asked;
  const refusal = chargeIdle(pool, asked.owner, "unlock");
  if (refusal !== null) return refusal;
  permit.use();
  const drained = drain(pool[side], { owner: asked.owner, part: "staged", msats: asked.msats });
  addIdle(pool, asked.owner, sumDrained(drained));
  const left = asked.msats - sumDrained(drained);
  return done({
    roundedMsats: request(pool, operation, { ...asked, left, price: cycle.price }),
    history: drained.map((part) => stagedToIdle(name, part, { cycle: cycle.index, operation })),
  });
}

interface Asked {
  readonly kind: "asked";
  readonly owner: number;
  readonly msats: bigint;
}

interface Asking {
  readonly key: string;
  readonly side: Side;
  readonly price: Price;
}

function askedOf(pool: Pool, { cents }: Unlock, { key, side, price }: Asking): Asked | Refusal {
  const owner = pool.holders.numbers.get(key) ?? -1;
  if (pool.unlocks.has(owner)) {
    return refuse("DuplicateUnlockRequest", "an unlock request waits for the turnover");
  }
  const there = sumOf(pool[side], owner, "staged") + sumOf(pool[side], owner, "locked");
  const msats = cents === "all" ? there : msatsOfCents(cents, price);
  if (there < msats || (cents === "all" && there === 0n)) {
    return refuse("InsufficientBalance", `${there} msats are staged or locked`);
  }
  return { kind: "asked", owner, msats };
}

interface Leftover extends Asked {
  readonly left: bigint;
  readonly price: Price;
}

/** Registers what was not staged, in whole cents; what these lose stays locked, the account's own. */
function request(
  pool: Pool,
  { cents, reference }: Unlock,
  { owner, msats, left, price }: Leftover,
): Msats {
  if (left === 0n) return 0n as Msats;
  if (cents === "all") {
    const totalCents = centsOfMsats(msats, price);
    pool.unlocks.set(owner, { reference, cents, totalCents });
    return 0n as Msats;
  }
  const leftCents = centsOfMsats(left, price);
  pool.unlocks.set(owner, { reference, cents: leftCents, totalCents: cents });
  return (left - msatsOfCents(leftCents, price)) as Msats;
}

function stagedToIdle(
  account: string,
  { sequence, msats }: Drained,
  { cycle, operation: { reference } }: { readonly cycle: number; readonly operation: Unlock },
): HistoryItem {
  return { account, cycle, kind: "StagedToIdle", reference, sequence, msats };
}
