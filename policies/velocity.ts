/**
 * Velocity: what a spend takes out of which account, and how much each account may lose within a
 * sliding window. Every spend is charged to all of its accounts, whatever the policy asks today, so
 * that an edit of the policy finds the whole history (issue 3).
 */
import { hex } from "./bitcoin/hash.ts";
import type { Policy, Window } from "./document/policy.ts";
import type { SpendFacts } from "./facts.ts";
import { flowsOf, gainOf, lossOf, movedSats } from "./flows.ts";
import type { Purpose, SpendIntent } from "./intent.ts";
import { lesser } from "./money.ts";
import { needsUser } from "./purpose.ts";

/** So many sats on an account of the windows; on an account of refreshes, so many coins. */
export interface Charge {
  readonly account: string;
  readonly sats: bigint;
}

/** The sum of an account within so many hours. */
export interface Count {
  readonly account: string;
  readonly hours: number;
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

/** Thirty days, over which a mandate bounds sats and fees; a year, over which it bounds refreshes. */
export const MANDATE_HOURS = 720;
export const REFRESH_HOURS = 8_760;

export const mandateAccounts = {
  /** What left a user's vault without the user. */
  sats: (vault: string) => `userless ${vault}`,
  /** Fees that a user's vault has borne without the user. */
  fees: (vault: string) => `userless-fees ${vault}`,
  refreshes: (vault: string) => `refreshes ${vault}`,
} as const;

/** What was signed away of a claim: payments, locks, channels and their fees. */
export function drawnAccount(vault: string): string {
  return `drawn ${vault}`;
}

type Whose = Readonly<Record<"purpose" | "vault", string>>;

export function purposeAccount({ purpose }: Pick<Whose, "purpose">): string {
  return `purpose ${purpose}`;
}

function vaultAccount({ purpose, vault }: Whose): string {
  return `vault ${vault} ${purpose}`;
}

function destinationAccount(script: Uint8Array, { purpose }: SpendIntent): string {
  return `destination ${hex(script)} ${purpose}`;
}

/** The script in hex whose account it is; null when it is no destination's. */
export function destinationOf(account: string): string | null {
  return /^destination ([0-9a-f]+) /.exec(account)?.[1] ?? null;
}

export function isVaultAccount(account: string): boolean {
  return account.startsWith("vault ");
}

/** All charges of a spend: of its purpose, the vaults that lose, each destination, and the fee. */
export function chargesOf(facts: SpendFacts, intent: SpendIntent): readonly Charge[] {
  const destinations = new Map<string, bigint>();
  for (const { coin, script, sats } of facts.outputs) {
    if (coin !== null) continue;
    const account = destinationAccount(script, intent);
    destinations.set(account, (destinations.get(account) ?? 0n) + sats);
  }
  const { vaults, feeSats } = flowsOf(facts);
  return [
    { account: purposeAccount(intent), sats: movedSats(facts) + feeSats },
    ...vaults
      .filter(({ vault, inputs }) => inputs > 0 || vault === intent.vault)
      .map((flow) => ({
        account: vaultAccount({ ...intent, vault: flow.vault }),
        sats: lossOf(flow),
      })),
    ...[...destinations].map(([account, sats]) => ({ account, sats })),
    { account: FEES, sats: feeSats },
    ...accountCharges(facts, intent.purpose),
  ];
}

/** Purposes that pay out of a claim; a migration takes it along, so no coin left behind pays it again. */
const DRAWING: ReadonlySet<Purpose> = new Set<Purpose>([
  "withdrawal",
  "migration",
  "escrow-in",
  "channel-open",
  "recovery-lsp-gone",
]);

export function drawsOnClaim(purpose: Purpose): boolean {
  return DRAWING.has(purpose);
}

/** Charges that no window of the policy asks for: of claims and of mandates. */
function accountCharges(facts: SpendFacts, purpose: Purpose): readonly Charge[] {
  const { vaults, feeSats } = flowsOf(facts);
  const users = vaults.filter(({ kind, inputs }) => kind === "user" && inputs > 0);
  if (DRAWING.has(purpose)) {
    // What goes to the treasury was not the user's: it is no part of the claim.
    const returned = vaults.reduce(
      (sum, flow) => (flow.kind === "treasury" ? sum + gainOf(flow) : sum),
      0n,
    );
    return users.map((flow) => ({
      account: drawnAccount(flow.vault),
      sats: lossOf(flow) - returned,
    }));
  }
  if (needsUser(purpose)) return [];
  // A coin of the house bears the fee of the whole transaction; in a cancel all that is lost is fee.
  const house =
    purpose !== "cancel" && vaults.some(({ kind, inputs }) => kind !== "user" && inputs > 0);
  return users.flatMap((flow) => {
    const loss = lossOf(flow);
    const borne = lesser(loss, feeSats);
    const coins = purpose === "refresh" ? BigInt(flow.inputs) : 0n;
    return [
      { account: mandateAccounts.sats(flow.vault), sats: loss },
      { account: mandateAccounts.fees(flow.vault), sats: house ? 0n : borne },
      { account: mandateAccounts.refreshes(flow.vault), sats: coins },
    ];
  });
}

/** Every window of the policy that this spend is held against. */
export function boundsOf(facts: SpendFacts, intent: SpendIntent, policy: Policy): readonly Bound[] {
  const limits = policy.purposes[intent.purpose];
  const scripts = new Map(
    facts.outputs.flatMap(({ coin, script, address }) =>
      coin === null ? [[hex(script), { script, address: address ?? hex(script) }] as const] : [],
    ),
  );
  const losing = flowsOf(facts).vaults.filter(
    ({ vault, inputs }) => inputs > 0 || vault === intent.vault,
  );
  const of = (account: string, whose: string, windows: readonly Window[] = []) =>
    windows.map((window): Bound => ({ ...window, account, whose, about: "spends" }));
  return [
    ...of(purposeAccount(intent), `every ${intent.purpose}`, limits?.windows),
    ...losing.flatMap(({ vault }) =>
      of(
        vaultAccount({ ...intent, vault }),
        vault === intent.vault ? "this vault" : `vault ${vault}`,
        limits?.vaultWindows,
      ),
    ),
    ...[...scripts.values()].flatMap(({ script, address }) =>
      of(destinationAccount(script, intent), address, limits?.destinationWindows),
    ),
    ...policy.feeWindows.map(
      (window): Bound => ({ ...window, account: FEES, whose: "all fees", about: "fees" }),
    ),
  ];
}

/** Every sum that the law asks the history for. */
export function countsOf(facts: SpendFacts, intent: SpendIntent, policy: Policy): readonly Count[] {
  const users = flowsOf(facts).vaults.filter(({ kind, inputs }) => kind === "user" && inputs > 0);
  const mandates = needsUser(intent.purpose) ? [] : users;
  return [
    ...boundsOf(facts, intent, policy).map(({ account, hours }) => ({ account, hours })),
    ...mandates.flatMap(({ vault }) => [
      { account: mandateAccounts.sats(vault), hours: MANDATE_HOURS },
      { account: mandateAccounts.fees(vault), hours: MANDATE_HOURS },
      { account: mandateAccounts.refreshes(vault), hours: REFRESH_HOURS },
    ]),
  ];
}

/** Names a window's sum in a history. */
export function boundKey({ account, hours }: Count): string {
  return `${account} ${hours}`;
}
