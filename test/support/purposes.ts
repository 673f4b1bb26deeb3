/**
 * An honest spend of every purpose, with all that it has to prove, and a knob for each part of the
 * proof. The amounts: a vault whose user is owed 2,000 dollars (about 2,000,000 sat at 100,000 dollars
 * a bitcoin) and 100,000 idle sats.
 */

import { fromHex } from "../../policies/bitcoin/hash.ts";
import { addressOf } from "../../policies/bitcoin/taproot.ts";
import { outpoint } from "../../policies/bitcoin/transaction.ts";
import type { ChainView, VaultCoin } from "../../policies/chain-view.ts";
import type { PolicyDocument } from "../../policies/document/policy.ts";
import type { Approvable } from "../../policies/evidence/approval.ts";
import { fundingScript } from "../../policies/evidence/funding.ts";
import { recoveryHash } from "../../policies/evidence/notice.ts";
import { reservesOutpoint } from "../../policies/evidence/reserves.ts";
import type { EvidenceDocument } from "../../policies/evidence.ts";
import type { HistoryDocument } from "../../policies/history.ts";
import type { Purpose } from "../../policies/intent.ts";
import { CHANGE, RECEIVE } from "../../policies/vault.ts";
import {
  type AccountPlan,
  CYCLE,
  EVIDENCE,
  funding,
  GUARDIANS,
  LSP_NODE,
  mandate,
  notice,
  operation,
  PEOPLE,
  psbtText,
  type StatementPlan,
  signatory,
  statement,
  USER_NODE,
  type VotePlan,
  votes,
} from "./proofs.ts";
import {
  type Bend,
  type Draft,
  ESCROW,
  EXIT_VAULT,
  HEIGHT,
  honest,
  OTHER_VAULT,
  POLICY,
  recipient,
  type SpendOptions,
  type TestVault,
  TREASURY,
  testVault,
  USER_VAULT,
} from "./spend.ts";

const EXCHANGE = recipient(77);
const LIMITS = { sats_per_spend: 50_000_000, windows: [{ hours: 24, sats: 100_000_000 }] };

/** A law that knows every purpose. */
export const LAW = {
  ...POLICY,
  fees: { ...POLICY.fees, bumps: 2 },
  quorum: { approvals: 2, people: PEOPLE.map(({ name, key }) => ({ name, key })) },
  lifts: [
    { rule: "spend-limit", people: 2 },
    { rule: "destination-allowed", people: 3 },
  ],
  guardians: {
    threshold: 3,
    own: ["own"],
    people: GUARDIANS.map(({ name, key }) => ({ name, key: key.slice(2) })),
    vote_age_seconds: 60,
    vote_spread_bps: 100,
    statement_age_blocks: 12,
  },
  house: {
    treasury: TREASURY.vault.id,
    escrow: ESCROW.vault.id,
    node: LSP_NODE.key,
  },
  purposes: {
    withdrawal: {
      ...LIMITS,
      destinations: "any",
      no_proof_sats: 500_000,
      vault_windows: [{ hours: 24, sats: 60_000_000 }],
    },
    migration: LIMITS,
    collect: LIMITS,
    "top-up": LIMITS,
    refresh: LIMITS,
    consolidation: { ...LIMITS, inputs_min: 5, sat_per_vbyte_max: 10 },
    margin: { ...LIMITS, destinations: [addressOf(EXCHANGE, "regtest") ?? ""] },
    "escrow-in": LIMITS,
    "escrow-out": LIMITS,
    "channel-open": LIMITS,
    cancel: LIMITS,
    "recovery-lsp-gone": { ...LIMITS, destinations: "any", delay_blocks: 144 },
    "recovery-user-lost": { ...LIMITS, delay_blocks: 4_320 },
    "proof-of-reserves": {},
  },
} satisfies PolicyDocument;

/** The blocks that a statement may be of. */
const BLOCKS: ReadonlyMap<number, string> = new Map(
  Array.from({ length: 40 }, (_, i) => [HEIGHT - 30 + i, "0b".repeat(32)]),
);

/** What a test may turn; what it leaves alone is honest. */
export interface Knobs {
  /** Null takes the part away. */
  readonly votes?: VotePlan | null;
  readonly statement?: Partial<StatementPlan> | null;
  /** Of the first user's vault. */
  readonly account?: Partial<AccountPlan>;
  /** Last hand on the evidence. */
  readonly evidence?: (evidence: EvidenceDocument, spend: Approvable) => EvidenceDocument;
  readonly notices?: HistoryDocument["notices"];
  readonly history?: (history: HistoryDocument, draft: Draft) => HistoryDocument;
  /** All coins of a vault that the node sees, by vault. */
  readonly coins?: (coins: ReadonlyMap<string, readonly VaultCoin[]>) => ChainView["vaults"];
  readonly chain?: (chain: ChainView, draft: Draft) => ChainView;
  readonly cycle?: string | null;
  readonly intent?: Bend["intent"];
  readonly law?: PolicyDocument;
  readonly policy?: Bend["policy"];
  readonly tx?: Bend["tx"];
  readonly maps?: Bend["maps"];
  /** Over everything else. */
  readonly spend?: SpendOptions;
}

interface Plan {
  readonly purpose: Purpose;
  readonly spend: SpendOptions;
  /** Which proofs the purpose asks for. */
  readonly price?: boolean;
  readonly statement?: boolean;
  /** Whose accounts are proven. */
  readonly accounts?: readonly TestVault[];
  /** What the evidence holds besides. */
  readonly more?: (spend: Approvable, draft: Draft) => Partial<EvidenceDocument>;
  readonly notices?: HistoryDocument["notices"];
  /** Vaults whose coins the node tells: those of the transaction, and these more. */
  readonly watched?: ReadonlyMap<string, readonly VaultCoin[]>;
  readonly history?: Bend["history"];
}

function spendOf(plan: Plan, knobs: Knobs): SpendOptions {
  const { purpose, spend, accounts = [], notices = [] } = plan;
  const cycle = plan.price === true ? CYCLE : null;
  return {
    law: knobs.law ?? LAW,
    purpose,
    parties: [],
    ...spend,
    ...knobs.spend,
    bend: {
      intent: (content) => {
        const named = { ...content, cycle: knobs.cycle === undefined ? cycle : knobs.cycle };
        return knobs.intent?.(named) ?? named;
      },
      evidence: (approvable, draft) => evidenceOf(plan, knobs, approvable, draft),
      history: (document, draft) => {
        const before = plan.history?.(document, draft) ?? document;
        const heard = { ...before, notices: [...before.notices, ...(knobs.notices ?? notices)] };
        return knobs.history?.(heard, draft) ?? heard;
      },
      chain: (chain, draft) => {
        const coins = watchedCoins(plan, chain, draft, accounts);
        const seen = { ...chain, vaults: knobs.coins?.(coins) ?? coins, blocks: BLOCKS };
        return knobs.chain?.(seen, draft) ?? seen;
      },
      ...(knobs.policy !== undefined && { policy: knobs.policy }),
      ...(knobs.tx !== undefined && { tx: knobs.tx }),
      ...(knobs.maps !== undefined && { maps: knobs.maps }),
      ...spend.bend,
      ...knobs.spend?.bend,
    },
  };
}

function evidenceOf(
  plan: Plan,
  knobs: Knobs,
  approvable: Approvable,
  draft: Draft,
): EvidenceDocument {
  const { accounts = [] } = plan;
  const coins = (id: string) =>
    draft.coins.flatMap((coin, i) => {
      const input = draft.tx.inputs[i];
      return coin.vault.vault.id === id && input !== undefined ? [outpoint(input)] : [];
    });
  const proven = accounts.map(({ vault }, i) => ({
    vault: vault.id,
    outpoints: coins(vault.id),
    ...(i === 0 && knobs.account),
  }));
  const evidence: EvidenceDocument = {
    ...EVIDENCE,
    ...(plan.price === true && knobs.votes !== null && { votes: votes(knobs.votes) }),
    ...(plan.statement === true &&
      knobs.statement !== null &&
      statement({ accounts: proven, ...knobs.statement })),
    ...plan.more?.(approvable, draft),
  };
  return knobs.evidence?.(evidence, approvable) ?? evidence;
}

function watchedCoins(
  { watched = new Map() }: Plan,
  chain: ChainView,
  draft: Draft,
  accounts: readonly TestVault[],
): ReadonlyMap<string, readonly VaultCoin[]> {
  const vaults = new Set([
    ...accounts.map(({ vault }) => vault.id),
    ...draft.coins.map((coin) => coin.vault.vault.id),
  ]);
  const spent = [...vaults].map((id): [string, readonly VaultCoin[]] => [
    id,
    draft.coins.flatMap((coin, i) => {
      const input = draft.tx.inputs[i];
      if (coin.vault.vault.id !== id || input === undefined) return [];
      const known = chain.coins.get(outpoint(input));
      if (known?.kind !== "unspent") return [];
      return [{ outpoint: outpoint(input), sats: known.sats, height: known.height }];
    }),
  ]);
  return new Map([...spent, ...watched]);
}

const receive = (vault: TestVault, index = 0) => vault.scripts.at(RECEIVE, index).script;

/** Above the no-proof tier: 2,000,000 sat and a fee of 1,800 out of a claim of 2,098,001. */
export function withdrawal(knobs: Knobs = {}): SpendOptions {
  const accounts = [USER_VAULT];
  return spendOf(
    { purpose: "withdrawal", spend: {}, price: true, statement: true, accounts },
    knobs,
  );
}

/** 300,000 sat of surplus go to the treasury; 2,102,003 must return. */
export function collect(knobs: Knobs & { readonly returned?: bigint } = {}): SpendOptions {
  const spend: SpendOptions = {
    signed: [],
    parties: [TREASURY],
    payments: [{ script: receive(TREASURY), sats: 300_000n }],
    change: knobs.returned ?? 2_102_003n,
  };
  const notices = [mandate(USER_VAULT)];
  const accounts = [USER_VAULT];
  return spendOf(
    { purpose: "collect", spend, price: true, statement: true, accounts, notices },
    knobs,
  );
}

/** Two vaults at once, with a coin of the treasury that pays the fee of 5,000 sat. */
export function collectBatch(
  knobs: Knobs & { readonly returned?: readonly [bigint, bigint] } = {},
): SpendOptions {
  const [first, second] = knobs.returned ?? [2_102_003n, 2_102_003n];
  const spend: SpendOptions = {
    from: TREASURY,
    signed: [],
    parties: [USER_VAULT, OTHER_VAULT],
    coins: [
      { branch: RECEIVE, index: 1, sats: 1_000_000n },
      { branch: RECEIVE, index: 0, sats: 2_400_000n, from: USER_VAULT },
      { branch: RECEIVE, index: 0, sats: 2_500_000n, from: OTHER_VAULT },
    ],
    payments: [
      { script: USER_VAULT.scripts.at(CHANGE, 0).script, sats: first },
      { script: OTHER_VAULT.scripts.at(CHANGE, 0).script, sats: second },
    ],
    change: 5_900_000n - 5_000n - first - second,
  };
  const accounts = [USER_VAULT, OTHER_VAULT];
  const notices = accounts.map((vault) => mandate(vault));
  return spendOf(
    { purpose: "collect", spend, price: true, statement: true, accounts, notices },
    knobs,
  );
}

/** The vault has 1,600,000 sat in one coin and lacks 498,001 of its claim of 2,098,001. */
export function topUp(knobs: Knobs & { readonly sats?: bigint } = {}): SpendOptions {
  const spend: SpendOptions = {
    from: TREASURY,
    signed: [],
    parties: [USER_VAULT],
    payments: [{ script: USER_VAULT.scripts.at(CHANGE, 0).script, sats: knobs.sats ?? 498_001n }],
    change: 3_000_000n,
  };
  return spendOf(
    {
      purpose: "top-up",
      spend,
      price: true,
      statement: true,
      accounts: [USER_VAULT],
      notices: [mandate(USER_VAULT)],
      watched: new Map([[USER_VAULT.vault.id, [OWN_COIN]]]),
    },
    { account: { outpoints: [OWN_COIN.outpoint], deficitSince: HEIGHT - 500 }, ...knobs },
  );
}

export const OWN_COIN: VaultCoin = {
  outpoint: `${"a1".repeat(32)}:0`,
  sats: 1_600_000n,
  height: HEIGHT - 200,
};

/** Six coins of a vault become one, at about two sats a virtual byte. */
export function consolidation(knobs: Knobs = {}): SpendOptions {
  const spend: SpendOptions = {
    signed: [],
    coins: 6,
    payments: [],
    change: 3_000_000n,
    feeSats: 1_900n,
  };
  return spendOf({ purpose: "consolidation", spend, notices: [mandate(USER_VAULT)] }, knobs);
}

/** A coin of a vault with an exit, 15,768 blocks old: 60 % of its timelock. */
export function refresh(knobs: Knobs & { readonly age?: number } = {}): SpendOptions {
  const height = 20_000;
  const { age = 15_768 } = knobs;
  const spend: SpendOptions = {
    from: EXIT_VAULT,
    signed: [],
    payments: [],
    change: 2_000_000n,
    feeSats: 500n,
  };
  const at = (tx: Parameters<NonNullable<Bend["tx"]>>[0]) => ({ ...tx, locktime: height });
  return spendOf(
    { purpose: "refresh", spend, notices: [mandate(EXIT_VAULT)] },
    {
      tx: at,
      chain: (chain) => ({
        ...chain,
        height,
        coins: new Map(
          [...chain.coins].map(([id, coin]) => [
            id,
            coin.kind === "unspent" ? { ...coin, height: height - age + 1 } : coin,
          ]),
        ),
      }),
      ...knobs,
    },
  );
}

/** Treasury coins to the exchange's address. */
export function margin(knobs: Knobs = {}): SpendOptions {
  const spend: SpendOptions = {
    from: TREASURY,
    signed: [],
    payments: [{ script: EXCHANGE, sats: 1_000_000n }],
  };
  return spendOf({ purpose: "margin", spend, statement: true }, knobs);
}

/** The user's own coins into the pool's escrow, as the account has signed to lock. */
export function escrowIn(knobs: Knobs & { readonly sats?: bigint } = {}): SpendOptions {
  const sats = knobs.sats ?? 700_000n;
  const spend: SpendOptions = {
    parties: [ESCROW],
    payments: [{ script: receive(ESCROW), sats }],
  };
  return spendOf(
    {
      purpose: "escrow-in",
      spend,
      price: true,
      statement: true,
      accounts: [USER_VAULT],
      more: () => ({ operations: [operation(USER_VAULT, { sats: 700_000n })] }),
    },
    knobs,
  );
}

/** 498,001 sat out of escrow to the vault that lacks them. */
export function escrowOut(knobs: Knobs & { readonly sats?: bigint } = {}): SpendOptions {
  const plan = topUp(knobs);
  const spend: SpendOptions = {
    from: ESCROW,
    signed: [],
    parties: [USER_VAULT],
    payments: plan.payments ?? [],
    change: 1_000_000n,
  };
  return spendOf(
    {
      purpose: "escrow-out",
      spend,
      price: true,
      statement: true,
      accounts: [USER_VAULT],
      watched: new Map([[USER_VAULT.vault.id, [OWN_COIN]]]),
    },
    { account: { outpoints: [OWN_COIN.outpoint] }, ...knobs },
  );
}

/** A channel of 1,500,000 sat out of the user's vault. */
export function channelOpen(knobs: Knobs & { readonly sats?: bigint } = {}): SpendOptions {
  const sats = knobs.sats ?? 1_500_000n;
  const keys = [signatory("user-funding").key, signatory("lsp-funding").key] as const;
  const script = fundingScript([fromHex(keys[0]), fromHex(keys[1])]);
  return spendOf(
    {
      purpose: "channel-open",
      spend: { payments: [{ script, sats }] },
      price: true,
      statement: true,
      accounts: [USER_VAULT],
      more: () => ({ funding: funding(USER_VAULT, sats) }),
      notices: [notice("node", { vault: USER_VAULT.vault.id, no: 1, node: USER_NODE.key })],
    },
    knobs,
  );
}

/** What is taken back: a collect that was signed and is not wanted any more. */
const CANCELLED = "77".repeat(32);

/** The collect's coin goes back to its vault. */
export function cancel(knobs: Knobs = {}): SpendOptions {
  const original = honest(collect());
  const spend: SpendOptions = {
    signed: [],
    coins: [{ branch: RECEIVE, index: 0, sats: original.spent[0]?.sats ?? 0n }],
    payments: [],
    change: (original.spent[0]?.sats ?? 0n) - 2_000n,
    bend: {},
  };
  return spendOf(
    {
      purpose: "cancel",
      spend,
      more: () => ({ original: psbtText(original.psbt) }),
      notices: [mandate(USER_VAULT)],
      history: (document) => ({
        ...document,
        claims: [
          {
            intent: CANCELLED,
            purpose: "collect",
            vault: USER_VAULT.vault.id,
            txid: original.facts.txid,
            anchor: original.facts.inputs[0]?.outpoint ?? "",
            outpoints: original.facts.inputs.map((input) => input.outpoint),
            charges: [],
            places: [],
            userSigned: false,
            fixed: "",
            nonces: [],
            at: 0,
            height: HEIGHT - 3,
          },
        ],
      }),
    },
    { intent: (content) => ({ ...content, cancels: CANCELLED }), ...knobs },
  );
}

/** User and trustee without the LSP, 144 blocks after the announcement. */
export function recoveryLspGone(knobs: Knobs & { readonly heard?: number } = {}): SpendOptions {
  const { heard = HEIGHT - 144 } = knobs;
  return spendOf(
    {
      purpose: "recovery-lsp-gone",
      spend: {},
      notices: [notice("lsp-gone", { vault: USER_VAULT.vault.id, no: 1 }, heard)],
    },
    { law: { ...LAW, role: "trustee" }, ...knobs },
  );
}

export const RECOVERY_VAULT = testVault({ seed: "recovery" });

/** All coins of a lost user to the vault of the key that the mandate names, 4,320 blocks later. */
export function recoveryUserLost(
  knobs: Knobs & {
    readonly heard?: number;
    readonly mandate?: Readonly<Record<string, string | number>>;
  } = {},
): SpendOptions {
  const height = 10_000;
  const { heard = height - 4_320 } = knobs;
  const recovery = RECOVERY_VAULT.vault.holders.find(({ role }) => role === "user");
  const named = recovery === undefined ? "none" : recoveryHash(recovery.key);
  const { vault } = USER_VAULT;
  return spendOf(
    {
      purpose: "recovery-user-lost",
      spend: {
        signed: [],
        parties: [RECOVERY_VAULT],
        payments: [{ script: receive(RECOVERY_VAULT), sats: 2_000_000n }],
        change: null,
      },
      notices: [
        mandate(USER_VAULT, { recovery: named, until: 2_000, ...knobs.mandate }, 100),
        notice("user-lost", { vault: vault.id, no: 1, to: RECOVERY_VAULT.vault.id }, heard),
      ],
    },
    {
      tx: (tx) => ({ ...tx, locktime: height }),
      chain: (chain) => ({ ...chain, height }),
      ...knobs,
    },
  );
}

const RESERVES = { message: "Ballast, November", root: "5e".repeat(32), height: HEIGHT };

/** Two coins shown, under a first input that cannot exist. */
export function proofOfReserves(knobs: Knobs = {}): SpendOptions {
  const [txid = ""] = reservesOutpoint("regtest", RESERVES).split(":");
  const virtual = { txid: fromHex(txid).reverse(), vout: 0, sequence: 0xfffffffd };
  return spendOf(
    {
      purpose: "proof-of-reserves",
      spend: {
        signed: [],
        coins: [
          { branch: RECEIVE, index: 0, sats: 0n },
          { branch: RECEIVE, index: 1, sats: 1_000_000n },
          { branch: RECEIVE, index: 2, sats: 2_000_000n },
        ],
        payments: [],
        change: 3_000_000n,
      },
      more: () => ({ reserves: RESERVES }),
    },
    {
      tx: (tx) => ({ ...tx, inputs: tx.inputs.map((input, i) => (i === 0 ? virtual : input)) }),
      chain: (chain) => ({
        ...chain,
        coins: new Map([...chain.coins].filter(([id]) => !id.startsWith(txid))),
      }),
      ...knobs,
    },
  );
}

/** All that is spent goes to another vault of the user, who signs first. */
export function migration(knobs: Knobs = {}): SpendOptions {
  return spendOf(
    {
      purpose: "migration",
      spend: {
        parties: [OTHER_VAULT],
        payments: [{ script: receive(OTHER_VAULT), sats: 3_000_000n }],
        change: null,
      },
    },
    knobs,
  );
}

/** An honest spend of each purpose. */
export const HONEST: Readonly<Record<Purpose, (knobs?: Knobs) => SpendOptions>> = {
  withdrawal,
  migration,
  collect,
  "top-up": topUp,
  refresh,
  consolidation,
  margin,
  "escrow-in": escrowIn,
  "escrow-out": escrowOut,
  "channel-open": channelOpen,
  cancel,
  "recovery-lsp-gone": recoveryLspGone,
  "recovery-user-lost": recoveryUserLost,
  "proof-of-reserves": proofOfReserves,
};
