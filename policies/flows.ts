/** Where the sats of a spend come from and go to, vault by vault: added up once, for all who ask. */
import type { SpendFacts } from "./facts.ts";
import type { VaultKind } from "./vault.ts";

export interface VaultFlow {
  readonly vault: string;
  readonly kind: VaultKind;
  /** Of how many of its coins. */
  readonly inputs: number;
  readonly inSats: bigint;
  readonly outSats: bigint;
}

export interface Flows {
  readonly vaults: readonly VaultFlow[];
  /** What leaves all vaults, without the fee. */
  readonly externalSats: bigint;
  /** 0 where it cannot be computed or is negative: other rules refuse that. */
  readonly feeSats: bigint;
  /** Whether an input belongs to no vault. */
  readonly foreign: boolean;
}

/** Facts are one value for all rules; so are their flows. */
const known = new WeakMap<SpendFacts, Flows>();

export function flowsOf(facts: SpendFacts): Flows {
  const flows = known.get(facts) ?? addedUp(facts);
  known.set(facts, flows);
  return flows;
}

function addedUp(facts: SpendFacts): Flows {
  const vaults = new Map<string, { -readonly [Key in keyof VaultFlow]: VaultFlow[Key] }>();
  const flow = (coin: { readonly vault: string; readonly kind: VaultKind }) => {
    const { vault, kind } = coin;
    const found = vaults.get(vault) ?? { vault, kind, inputs: 0, inSats: 0n, outSats: 0n };
    vaults.set(vault, found);
    return found;
  };
  for (const { coin, sats } of facts.inputs) {
    if (coin === null) continue;
    const own = flow(coin);
    own.inputs += 1;
    own.inSats += sats ?? 0n;
  }
  for (const { coin, sats } of facts.outputs) {
    if (coin !== null) flow(coin).outSats += sats;
  }
  const { feeSats, externalSats } = facts;
  return {
    vaults: [...vaults.values()],
    externalSats,
    feeSats: feeSats !== null && feeSats > 0n ? feeSats : 0n,
    foreign: facts.inputs.some(({ coin }) => coin === null),
  };
}

/** What a vault loses, the fee that it bears included; 0 for one that gains. */
export function lossOf({ inSats, outSats }: VaultFlow): bigint {
  return inSats > outSats ? inSats - outSats : 0n;
}

/** What a vault gains; 0 for one that loses. */
export function gainOf({ inSats, outSats }: VaultFlow): bigint {
  return outSats > inSats ? outSats - inSats : 0n;
}

/** What changes hands: paid outside, or gained by another vault. What returns is not in it. */
export function movedSats(facts: SpendFacts): bigint {
  const { vaults, externalSats } = flowsOf(facts);
  return vaults.reduce((sum, flow) => sum + gainOf(flow), externalSats);
}
