/** The parts that honest plans are put together from: coins, change, law, proofs. */
import type { Draw } from "./draw.ts";
import {
  type Account,
  type Evidence,
  type Input,
  type Law,
  type Limits,
  type Notice,
  type Output,
  PEOPLE,
  type Plan,
  PURPOSES,
  type Purpose,
  type Role,
  type Statement,
  VAULTS,
  type VaultName,
  type Vote,
} from "./plan.ts";

export const HEIGHT = 1_000;
const CYCLE = "usd/4711";
const BITCOIN = 100_000_000n;

/** Who a plan's owner is, and what is put in on the way. */
export interface Draft {
  readonly draw: Draw;
  readonly plan: Plan;
}

const NO_EVIDENCE: Evidence = {
  votes: [],
  statement: null,
  approvals: [],
  operations: [],
  funding: null,
  reserves: false,
  original: null,
};

function limits(): Limits {
  return {
    perSpend: 50_000_000n,
    windows: [{ hours: 24, sats: 100_000_000n }],
    vaultWindows: [{ hours: 24, sats: 60_000_000n }],
    destinationWindows: [],
    destinations: null,
    tiers: [],
    noProof: 500_000n,
    inputsMin: 5,
    rateMax: 10_000n,
    delay: 144,
  };
}

/** Only listed exchanges are paid; a proof of reserves moves nothing. */
const SPECIAL: Readonly<Partial<Record<Purpose, Partial<Limits>>>> = {
  "recovery-user-lost": { delay: 4_320 },
  "proof-of-reserves": { perSpend: 0n, windows: [], vaultWindows: [] },
  margin: { destinations: [{ to: { pay: "p2wpkh", n: 7 }, vault: null }] },
};

function law(role: Role): Law {
  return {
    role,
    confirmations: 3,
    burial: 100,
    inputs: 100,
    outputs: 20,
    onePolicy: false,
    past: 144,
    future: 2,
    gap: 20,
    feeSats: 100_000n,
    rateMin: 1_000n,
    rateMax: 50_000n,
    shareBps: 1_000n,
    feeWindows: [{ hours: 24, sats: 1_000_000n }],
    bumps: 2,
    lifts: [
      { rule: "spend-limit", people: 2 },
      { rule: "destination-allowed", people: 3 },
    ],
    guardians: {
      threshold: 3,
      own: ["own"],
      pool: "usd",
      voteAge: 60,
      spreadBps: 100n,
      statementAge: 12,
    },
    house: { treasury: "treasury", escrow: "escrow", node: "lsp-node" },
    purposes: Object.fromEntries(
      PURPOSES.map((purpose) => [purpose, { ...limits(), ...SPECIAL[purpose] }]),
    ),
  };
}

/** A plan without coins and outputs. */
export function emptyPlan(
  draw: Draw,
  {
    purpose,
    vault,
    parties = [],
    role,
  }: {
    purpose: Purpose;
    vault: VaultName;
    parties?: VaultName[];
    role: Role;
  },
): Plan {
  return {
    coins: new Map(),
    paper: {
      inputs: [],
      outputs: [],
      version: 2,
      locktime: HEIGHT - draw.below(10),
      psbt: draw.pick([0, 2]),
    },
    intent: {
      purpose,
      network: "regtest",
      vault,
      parties,
      outputs: [],
      cycle: null,
      proposer: null,
      cancels: null,
    },
    registered: Object.keys(VAULTS) as VaultName[],
    law: law(role),
    history: { paused: false, height: 0, claims: [], notices: [], accounts: [] },
    chain: { height: HEIGHT, watched: [vault, ...parties], burials: [], block: "same" },
    evidence: structuredClone(NO_EVIDENCE),
  };
}

export interface Spending {
  readonly vault: VaultName;
  readonly coins: number;
  /** Of all coins together. */
  readonly sats: bigint;
  readonly signed: boolean;
  /** Blocks that they have rested. */
  readonly age?: number;
}

/** Coins of a vault in different places, and an input for each. */
export function spend({ draw, plan }: Draft, { vault, coins, sats, signed, age }: Spending): void {
  const indices = draw.some([...Array(30).keys()], coins);
  const height = plan.chain?.height ?? HEIGHT;
  let left = sats;
  indices.forEach((index, i) => {
    const last = i === coins - 1;
    const share = last ? left : sats / BigInt(coins);
    left -= share;
    const coin = `${vault} ${i}`;
    plan.coins.set(coin, {
      at: { vault, branch: draw.chance(0.7) ? 0 : 1, index },
      sats: share,
      node: {
        sats: share,
        height: height - (age ?? 10 + draw.below(100)) + 1,
        coinbase: false,
        otherScript: false,
      },
    });
    plan.paper.inputs.push(inputOf(draw, coin, { said: share, signed }));
  });
}

export function inputOf(
  draw: Draw,
  coin: string,
  { said, signed }: { said: bigint; signed: boolean },
): Input {
  return {
    coin,
    said,
    sequence: 0xfffffffd,
    sighash: draw.pick([null, null, 0]),
    previous: draw.pick(["none", "none", "same"]),
    words: [],
    signatures: signed ? [{ by: "user", how: "good" }] : [],
  };
}

/** Back to the vault's change branch, on an address that no coin lies on. */
export function giveBack({ draw, plan }: Draft, vault: VaultName, sats: bigint): void {
  plan.paper.outputs.push({ to: freshPlace(draw, plan, vault), sats, words: [] });
}

export function freshPlace(draw: Draw, { coins }: Plan, vault: VaultName, branch: 0 | 1 = 1) {
  const taken = [...coins.values()].flatMap(({ at }) =>
    "vault" in at && at.vault === vault && at.branch === branch ? at.index : [],
  );
  const free = [...Array(20).keys()].filter((index) => !taken.includes(index));
  return { vault, branch, index: draw.pick(free) };
}

export function pay({ plan }: Draft, output: Output): void {
  plan.paper.outputs.push(output);
  plan.intent.outputs.push({ to: output.to, sats: output.sats });
}

/** A fee of so many sats a virtual byte, roughly: every part of a spend is counted large. */
export function feeFor(draw: Draw, inputs: number, outputs: number): bigint {
  return BigInt((2 + draw.below(6)) * (12 + inputs * 112 + outputs * 43));
}

/** Votes of three guardians around a price. */
function votesOf(draw: Draw): Vote[] {
  // Few different ones, so that most need not be signed again.
  const middle = draw.pick([9_123_457n, 10_000_000n, 10_876_543n]);
  const apart = draw.pick([0n, 10_001n, 39_999n]);
  const age = draw.pick([0, 20]);
  return ["own", "second", "third"].map((by, i) => ({
    by,
    pool: "usd",
    index: 4_711,
    age,
    price: middle + apart * BigInt(i - 1),
    good: true,
  }));
}

export function accountOf(vault: VaultName, credited: readonly string[]): Account {
  return {
    vault,
    credited: [...credited],
    hedgedCents: 200_000n,
    poolMsats: 5_000_000n,
    channelCents: 0n,
    idleSats: 100_000n,
    deficitSince: 0,
    log: "whole",
    leaf: "true",
  };
}

export function statementOf(accounts: Account[], height = HEIGHT): Statement {
  return {
    network: "regtest",
    index: 30,
    height: height - 6,
    signers: ["own", "second", "third"].map((by) => ({ by, good: true })),
    accounts,
  };
}

/** Price and statement for these accounts. */
export function prove({ draw, plan }: Draft, accounts: Account[]): void {
  plan.evidence.votes = votesOf(draw);
  plan.intent.cycle = CYCLE;
  plan.evidence.statement = statementOf(accounts, plan.chain?.height);
}

/** What a claim is worth at the highest vote, rounded down, or at the lowest, rounded up. */
export function claimSats({ evidence }: Plan, { hedgedCents, idleSats }: Account) {
  const prices = evidence.votes.map(({ price }) => price);
  const sorted = [...prices].sort((a, b) => (a < b ? -1 : 1));
  const [low = 1n] = sorted;
  const high = sorted.at(-1) ?? 1n;
  return {
    floor: (hedgedCents * BITCOIN) / high + idleSats,
    ceil: (hedgedCents * BITCOIN + low - 1n) / low + idleSats,
  };
}

export function mandate(
  vault: VaultName,
  part: Partial<Extract<Notice, { kind: "mandate" }>> = {},
): Extract<Notice, { kind: "mandate" }> {
  return {
    kind: "mandate",
    vault,
    no: 1,
    height: HEIGHT - 100,
    may: ["collect", "top-up", "consolidation", "cancel"],
    sats30d: 5_000_000n,
    fees30d: 50_000n,
    bump: 5_000n,
    refresh: 12,
    treasury: "treasury",
    recovery: null,
    until: HEIGHT + 20_000,
    ...part,
  };
}

/** Approvals of so many people for the spend as it is. */
export function approve(plan: Plan, people: number, lifts: readonly string[] = []): void {
  plan.evidence.approvals = PEOPLE.slice(0, people).map((person) => ({
    person,
    lifts: [...lifts],
    until: (plan.chain?.height ?? HEIGHT) + 10,
    for: "this",
  }));
}
