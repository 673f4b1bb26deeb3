/** Pools for tests: short names for accounts, a turn at a price, and what accounts hold after it. */
import * as ecc from "tiny-secp256k1";
import { type Account, accountId, accountIdText } from "../../orchestrator/operations/account.ts";
import { transferHash } from "../../orchestrator/operations/authority.ts";
import { operate } from "../../orchestrator/operations/operate.ts";
import { type Operation, operationSchema } from "../../orchestrator/operations/operation.ts";
import type { Done, Outcome } from "../../orchestrator/operations/outcome.ts";
import { type Turnover, turn } from "../../orchestrator/pool/cycle.ts";
import type { Deposits, Part } from "../../orchestrator/pool/deposits.ts";
import { balanceOf, openPool, type Pool } from "../../orchestrator/pool/pool.ts";
import { type PoolConfig, poolConfigSchema } from "../../orchestrator/pool/pool-config.ts";
import { hex } from "../../policies/bitcoin/hash.ts";
import { price } from "../../policies/money.ts";

export function poolConfig(settings: Record<string, unknown> = {}): PoolConfig {
  return poolConfigSchema.parse({ pool: "usd", currency: "USD", rules: "v1", ...settings });
}

export function poolOf(settings: Record<string, unknown> = {}): Pool {
  return openPool(poolConfig(settings));
}

/** An operation from what a log would say. */
export function operationOf(fields: Record<string, unknown>): Operation {
  return operationSchema.parse(fields);
}

function asked(pool: Pool, fields: Record<string, unknown>): Outcome {
  return operate(pool, operationOf(fields));
}

/** Like `asked`, for what must not be refused. */
export function did(pool: Pool, fields: Record<string, unknown>): Done {
  const outcome = asked(pool, fields);
  if (outcome.kind === "refused") throw new Error(`${outcome.error}: ${outcome.detail}`);
  return outcome;
}

/** What it is refused as, or "done". */
export function refusalOf(pool: Pool, fields: Record<string, unknown>): string {
  const outcome = asked(pool, fields);
  return outcome.kind === "refused" ? outcome.error : "done";
}

/** The next turn, at a price and with chosen remainders. */
export function turnAt(pool: Pool, cents: number | bigint, randomness = 0n): Turnover {
  const index = pool.cycle === null ? 0 : pool.cycle.index + 1;
  const startNanos = 1_700_000_000_000_000_000n + BigInt(index) * 600_000_000_000n + randomness;
  return turn(pool, { index, startNanos, price: price(BigInt(cents)), reused: false, randomness });
}

function secretOf(seed: number): Uint8Array {
  return new Uint8Array(32).fill(seed);
}

function publicOf(seed: number): string {
  const point = ecc.pointFromScalar(secretOf(seed), true);
  if (point === null) throw new Error("no such key");
  return hex(point);
}

/** The account of the keys of these seeds. */
export function accountFor(
  kind: Account["kind"],
  seeds: readonly number[],
  threshold = 1,
): Account {
  return { kind, keys: seeds.map(publicOf).sort(), threshold };
}

export function idOf(account: Account): string {
  return accountIdText(accountId(account));
}

/** A signature by place of the key, as an account's requests carry them. */
export function signaturesOf(
  { keys }: Account,
  seeds: readonly number[],
  hash: Uint8Array,
): Record<string, string> {
  return Object.fromEntries(
    seeds.map((seed) => [
      String(keys.indexOf(publicOf(seed))),
      hex(ecc.signSchnorr(hash, secretOf(seed), new Uint8Array(32))),
    ]),
  );
}

/** A transfer with the signatures of these seeds. */
export function signedTransfer(
  pool: Pool,
  fields: Record<string, unknown>,
  seeds: readonly number[],
): Record<string, unknown> {
  const bare = { kind: "transfer", nonce: 1, until: 1_000, ...fields };
  const transfer = operationOf({ ...bare, signatures: {} });
  if (transfer.kind !== "transfer") throw new Error("no transfer");
  const hash = transferHash(pool.config, transfer);
  return { ...bare, signatures: signaturesOf(transfer.from, seeds, hash) };
}

/** The amounts of an account's deposits, the oldest first. */
export function amountsOf(
  pool: Pool,
  key: string,
  [side, part]: readonly ["seeks" | "provides" | "bitcoin", Part],
): readonly number[] {
  const deposits: Deposits = pool[side];
  const owner = pool.holders.numbers.get(key) ?? -1;
  const found: (readonly [number, number])[] = [];
  for (let row = 0; row < deposits.rows; row += 1) {
    const msats = Number(deposits[part][row] ?? 0n);
    if (deposits.owner[row] === owner && msats > 0) {
      found.push([deposits.sequence[row] ?? 0, msats]);
    }
  }
  return found.sort(([a], [b]) => a - b).map(([, msats]) => msats);
}

export function idleOf(pool: Pool, key: string): number {
  return Number(balanceOf(pool, key).idleMsats);
}
