/** What a bend is: one change of a plan, or false where the plan has nothing of the kind. */
import type { Draft } from "./honest-parts.ts";
import { addressKey, type Input, isPlace, type Output, type Plan, VAULTS } from "./plan.ts";

export const SUPPLY = 2_100_000_000_000_000n;

/** No policy takes a larger amount. */
export const atMost = (amount: bigint) => (amount > SUPPLY ? SUPPLY : amount);

/** A mandate is a line of 300 bytes: its amounts are no longer than they need be. */
export const written = (amount: bigint) => (amount > 9_999_999_999n ? 9_999_999_999n : amount);

export type Bend = (draft: Draft) => boolean;

/** At a cap, above it or, now and then, one below it. */
export function cap({ draw }: Draft, value: bigint): bigint {
  const at = value + draw.pick([0n, 0n, 1n, 1_000n, -1n]);
  return at < 0n ? 0n : atMost(at);
}

export function capNumber(draft: Draft, value: number): number {
  return Math.max(0, Number(cap(draft, BigInt(value))));
}

/** At a floor, below it or, now and then, one above it. */
export function floor({ draw }: Draft, value: bigint): bigint {
  const at = value + draw.pick([0n, 0n, -1n, -10n, 1n]);
  return at < 0n ? 0n : atMost(at);
}

export function anyOf<Item>({ draw }: Draft, items: readonly Item[]): Item | null {
  return items.length === 0 ? null : draw.pick(items);
}

/** Outputs to a vault that the spend takes coins of. */
export function changeOf({ paper, coins }: Plan): readonly Output[] {
  const from = new Set(
    paper.inputs.flatMap(({ coin }) => {
      const at = coins.get(coin)?.at;
      return at !== undefined && isPlace(at) ? at.vault : [];
    }),
  );
  return paper.outputs.filter(({ to }) => isPlace(to) && from.has(to.vault));
}

export const vaultOutputs = ({ paper }: Plan) => paper.outputs.filter(({ to }) => isPlace(to));
export const payeeOutputs = ({ paper }: Plan) => paper.outputs.filter(({ to }) => !isPlace(to));

/** The payment of the intent that an output makes. */
export function paymentOf({ intent }: Plan, { to, sats }: Output) {
  return intent.outputs.find((one) => addressKey(one.to) === addressKey(to) && one.sats === sats);
}

/** Inputs of users' coins. */
export function userInputs({ paper, coins }: Plan): readonly Input[] {
  return paper.inputs.filter(({ coin }) => {
    const at = coins.get(coin)?.at;
    return at !== undefined && isPlace(at) && VAULTS[at.vault].kind === "user";
  });
}

/** Coins of the transaction that the node may speak of. */
export function spentCoins({ paper, coins }: Plan) {
  return paper.inputs.flatMap(({ coin }) => {
    const known = coins.get(coin);
    return known === undefined || coin === "virtual" ? [] : [known];
  });
}
