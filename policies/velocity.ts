/**
 * Velocity: what a spend takes out of which account, and how much each account may lose within a
 * sliding window. Every spend is charged to all of its accounts, whatever the policy asks today, so
 * that an edit of the policy finds the whole history (issue 3).
 */
import { hex } from "./bitcoin/hash.ts";
import type { SpendFacts } from "./facts.ts";
import type { SpendIntent } from "./intent.ts";
import type { Policy, Window } from "./policy.ts";
import { chargeOf } from "./purpose.ts";

/** So many sats on an account of the windows. */
export interface Charge {
  readonly account: string;
  readonly sats: bigint;
}

/** How much an account may lose within so many hours. */
export interface Bound extends Window {
  readonly account: string;
  /** For people: whose window it is. */
  readonly whose: string;
  readonly about: "spends" | "fees";
}

/** The account that all fees are charged to. */
export const FEES = "fees";

type Whose = Readonly<Record<"purpose" | "vault", string>>;

export function purposeAccount({ purpose }: Pick<Whose, "purpose">): string {
  return `purpose ${purpose}`;
}

export function vaultAccount({ purpose, vault }: Whose): string {
  return `vault ${vault} ${purpose}`;
}

function destinationAccount(script: Uint8Array, { purpose }: SpendIntent): string {
  return `destination ${hex(script)} ${purpose}`;
}

/** The script in hex whose account it is; null when it is no destination's. */
export function destinationOf(account: string): string | null {
  return /^destination ([0-9a-f]+) /.exec(account)?.[1] ?? null;
}

/** All charges of a spend: of its purpose, its vault, each destination, and the fee. */
export function chargesOf(facts: SpendFacts, intent: SpendIntent): readonly Charge[] {
  const destinations = new Map<string, bigint>();
  for (const { coin, script, sats } of facts.outputs) {
    if (coin !== null) continue;
    const account = destinationAccount(script, intent);
    destinations.set(account, (destinations.get(account) ?? 0n) + sats);
  }
  const fee = facts.feeSats !== null && facts.feeSats > 0n ? facts.feeSats : 0n;
  return [
    { account: purposeAccount(intent), sats: chargeOf(facts) },
    { account: vaultAccount(intent), sats: chargeOf(facts) },
    ...[...destinations].map(([account, sats]) => ({ account, sats })),
    { account: FEES, sats: fee },
  ];
}

/** Every window of the policy that this spend is held against. */
export function boundsOf(facts: SpendFacts, intent: SpendIntent, policy: Policy): readonly Bound[] {
  const limits = policy.purposes[intent.purpose];
  const scripts = new Map(
    facts.outputs.flatMap(({ coin, script, address }) =>
      coin === null ? [[hex(script), { script, address: address ?? hex(script) }] as const] : [],
    ),
  );
  const of = (account: string, whose: string, windows: readonly Window[] = []) =>
    windows.map((window): Bound => ({ ...window, account, whose, about: "spends" }));
  return [
    ...of(purposeAccount(intent), `every ${intent.purpose}`, limits?.windows),
    ...of(vaultAccount(intent), "this vault", limits?.vaultWindows),
    ...[...scripts.values()].flatMap(({ script, address }) =>
      of(destinationAccount(script, intent), address, limits?.destinationWindows),
    ),
    ...policy.feeWindows.map(
      (window): Bound => ({ ...window, account: FEES, whose: "all fees", about: "fees" }),
    ),
  ];
}

/** Names a window's sum in a history. */
export function boundKey({ account, hours }: Pick<Bound, "account" | "hours">): string {
  return `${account} ${hours}`;
}
