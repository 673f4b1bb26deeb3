/**
 * A history judged again by another policy: which past spends it would have refused, by which limit.
 * A history keeps what each spend was charged, not the PSBT, so some limits cannot be asked again;
 * `NOT_REPLAYED` names them.
 */
import type { Claim } from "../claim.ts";
import { BLOCKS_PER_HOUR, HOUR_MS } from "../history.ts";
import type { Purpose } from "../intent.ts";
import { shareFloor } from "../money.ts";
import { movesNothing } from "../purpose.ts";
import { destinationOf, FEES, isVaultAccount, purposeAccount } from "../velocity.ts";
import type { Policy, PurposeLimits, Window } from "./policy.ts";

export interface ReplayedSpend {
  readonly intent: string;
  readonly txid: string;
  readonly purpose: string;
  readonly vault: string;
  readonly at: number;
  readonly height: number;
  /** What left the vault, without the fee; of a bump, the whole payment. */
  readonly sats: bigint;
  readonly feeSats: bigint;
  /** Empty when the policy would have let it pass. */
  readonly refusals: readonly Refusal[];
}

export interface Refusal {
  /** Where the limit stands in the policy document. */
  readonly limit: string;
  readonly detail: string;
}

/** Limits that a history cannot be held against: it keeps no transaction. */
export const NOT_REPLAYED: readonly string[] = [
  "chain.confirmations: how deep the coins were buried is not kept",
  "transaction.outputs, .locktime_past_blocks, .locktime_future_blocks: no PSBT is kept",
  "fees.sat_per_vbyte, purposes.consolidation.sat_per_vbyte_max: no size is kept",
  "approvals, lifts, no_proof_sats, delay_blocks, guardians, house: no evidence is kept",
];

/** All claims in their order; what is refused takes nothing out of the windows of what follows. */
export function replay(claims: readonly Claim[], policy: Policy): readonly ReplayedSpend[] {
  const memory: Memory = { accounts: new Map(), intents: new Map(), indices: new Map() };
  let highest = 0;
  return [...claims]
    .sort((a, b) => a.at - b.at || a.height - b.height)
    .map((claim) => {
      // A journal's heights never fall; in a history that was put together they might.
      highest = Math.max(highest, claim.height);
      return replayOne({ ...claim, height: highest }, policy, memory);
    });
}

interface Taken {
  readonly intent: string;
  readonly sats: bigint;
  readonly at: number;
  readonly height: number;
}

interface Memory {
  /** What was taken out of each account, in order. */
  readonly accounts: Map<string, Taken[]>;
  /** Claims so far of an intent: its transaction and its bumps, each charged what it takes more. */
  readonly intents: Map<string, readonly Claim[]>;
  /** Highest index that was paid in each vault. */
  readonly indices: Map<string, number>;
}

function replayOne(claim: Claim, policy: Policy, memory: Memory): ReplayedSpend {
  const { intent, txid, purpose, vault, at, height } = claim;
  const before = memory.intents.get(intent) ?? [];
  const charges = together([...before, claim]);
  const feeSats = charges.get(FEES) ?? 0n;
  const all = charges.get(purposeAccount(claim)) ?? 0n;
  const spend: Spend = {
    claim,
    charges,
    feeSats,
    sats: all > feeSats ? all - feeSats : 0n,
    bumps: before.length,
  };
  const refusals = [
    ...limitsOver(spend, policy),
    ...placesOver(claim, policy, memory),
    ...destinationsOver(spend, policy),
    ...windowsOver(spend, policy, memory),
  ];
  memory.intents.set(intent, [...before, claim]);
  for (const place of claim.places) {
    const lower = memory.indices.get(place.vault) ?? -1;
    memory.indices.set(place.vault, Math.max(lower, place.index));
  }
  if (refusals.length === 0) {
    for (const { account, sats } of claim.charges) {
      const taken = memory.accounts.get(account) ?? [];
      taken.push({ intent, sats, at, height });
      memory.accounts.set(account, taken);
    }
  }
  return { intent, txid, purpose, vault, at, height, sats: spend.sats, feeSats, refusals };
}

interface Spend {
  readonly claim: Claim;
  /** Of all transactions of the intent so far: what this one takes as a whole. */
  readonly charges: ReadonlyMap<string, bigint>;
  readonly sats: bigint;
  readonly feeSats: bigint;
  /** How many transactions of the intent came before. */
  readonly bumps: number;
}

function together(claims: readonly Claim[]): ReadonlyMap<string, bigint> {
  const sums = new Map<string, bigint>();
  for (const { account, sats } of claims.flatMap(({ charges }) => charges)) {
    sums.set(account, (sums.get(account) ?? 0n) + sats);
  }
  return sums;
}

function limitsOver(spend: Spend, policy: Policy): readonly Refusal[] {
  const { claim, sats, feeSats, bumps } = spend;
  const limits = limitsOf(policy, claim);
  if (limits === null) {
    return [{ limit: "purposes", detail: `a ${claim.purpose} is not allowed` }];
  }
  const purpose = claim.purpose as Purpose;
  const share = movesNothing(purpose) ? feeSats : shareFloor(sats, policy.feeShareMax);
  const coins = claim.outpoints.length;
  const over = (limit: string, what: string, value: bigint | number, most: bigint | number) =>
    value > most ? [{ limit, detail: `${what} ${value}, at most ${most}` }] : [];
  return [
    ...over(`purposes.${claim.purpose}.sats_per_spend`, "sats paid out", sats, limits.satsPerSpend),
    ...over("fees.sats", "fee in sat", feeSats, policy.feeSatsMax),
    ...over("fees.share_bps", "fee in sat", feeSats, share),
    ...over("fees.bumps", "bumps", bumps, policy.bumps),
    ...over("transaction.inputs", "inputs", coins, policy.inputsMax),
    ...(purpose === "consolidation" && coins < limits.inputsMin
      ? [{ limit: `purposes.${purpose}.inputs_min`, detail: `coins ${coins}` }]
      : []),
  ];
}

function placesOver({ places }: Claim, { changeGap }: Policy, memory: Memory): readonly Refusal[] {
  return places.flatMap(({ vault, index }): readonly Refusal[] => {
    const most = (memory.indices.get(vault) ?? -1) + changeGap;
    if (index <= most) return [];
    return [{ limit: "transaction.change_gap", detail: `index ${index}, at most ${most}` }];
  });
}

function destinationsOver({ claim, charges }: Spend, policy: Policy): readonly Refusal[] {
  const list = limitsOf(policy, claim)?.destinations ?? null;
  if (list === null) return [];
  const open = new Set(
    list.flatMap(({ script, vault }) => (vault === null || vault === claim.vault ? script : [])),
  );
  return [...charges.keys()].flatMap((account): readonly Refusal[] => {
    const script = destinationOf(account);
    if (script === null || open.has(script)) return [];
    const detail = `script ${script} is not on the list for this vault`;
    return [{ limit: `purposes.${claim.purpose}.destinations`, detail }];
  });
}

function windowsOver(spend: Spend, policy: Policy, memory: Memory): readonly Refusal[] {
  const { claim, charges } = spend;
  return boundsOf(spend, policy).flatMap(({ limit, account, windows }) =>
    windows.flatMap(({ hours, sats: most }): readonly Refusal[] => {
      const taken = takenWithin(memory.accounts.get(account) ?? [], claim, hours);
      const sum = (charges.get(account) ?? 0n) + taken;
      if (sum <= most) return [];
      const detail = `${sum} sat within ${hours} h, at most ${most}`;
      return [{ limit: `${limit}.${hours}h`, detail }];
    }),
  );
}

interface Bounds {
  readonly limit: string;
  readonly account: string;
  readonly windows: readonly Window[];
}

function boundsOf({ claim, charges }: Spend, policy: Policy): readonly Bounds[] {
  const limits = limitsOf(policy, claim);
  const { windows = [], vaultWindows = [], destinationWindows = [] } = limits ?? {};
  const where = `purposes.${claim.purpose}`;
  const accounts = [...charges.keys()];
  return [
    { limit: `${where}.windows`, account: purposeAccount(claim), windows },
    ...accounts
      .filter(isVaultAccount)
      .map((account) => ({ limit: `${where}.vault_windows`, account, windows: vaultWindows })),
    ...accounts
      .filter((account) => destinationOf(account) !== null)
      .map((account) => ({
        limit: `${where}.destination_windows`,
        account,
        windows: destinationWindows,
      })),
    { limit: "fees.windows", account: FEES, windows: policy.feeWindows },
  ];
}

/** Null for a purpose that the policy does not name, whatever a history calls it. */
function limitsOf({ purposes }: Policy, { purpose }: Claim): PurposeLimits | null {
  return Object.hasOwn(purposes, purpose) ? (purposes[purpose as Purpose] ?? null) : null;
}

/** By clock or by blocks, whichever is more, without the intent's own: as the journal counts. */
function takenWithin(taken: readonly Taken[], now: Claim, hours: number): bigint {
  const since = now.at - hours * HOUR_MS;
  const above = now.height - hours * BLOCKS_PER_HOUR;
  let [byClock, byHeight] = [0n, 0n];
  for (let i = taken.length - 1; i >= 0; i -= 1) {
    const entry = taken[i];
    // Neither clock nor height ever falls, so nothing before this one counts.
    if (entry === undefined || (entry.at <= since && entry.height <= above)) break;
    if (entry.intent === now.intent) continue;
    if (entry.at > since) byClock += entry.sats;
    if (entry.height > above) byHeight += entry.sats;
  }
  return byClock > byHeight ? byClock : byHeight;
}

/** Whether a claim lacks an account that every spend is charged to: its windows are not counted. */
export function lacksCharges(claim: Claim): boolean {
  const accounts = claim.charges.map(({ account }) => account);
  return (
    !accounts.includes(purposeAccount(claim)) ||
    !accounts.includes(FEES) ||
    !accounts.some(isVaultAccount)
  );
}
