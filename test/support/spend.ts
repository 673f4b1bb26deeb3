/**
 * Honest spends of a vault whose three keys are software keys of fixed seeds, built so that each
 * part can be bent by itself: the transaction before the user signs it, the PSBT's words after it,
 * the intent, the policy, the history, the chain. Keys derive through @scure/bip32, not through the
 * code under test.
 */
import { HDKey } from "@scure/bip32";
import * as ecc from "tiny-secp256k1";
import { fromHex, hex, sha256 } from "../../policies/bitcoin/hash.ts";
import type { Network } from "../../policies/bitcoin/network.ts";
import { type Psbt, psbtOf, readPsbt, writePsbt } from "../../policies/bitcoin/psbt.ts";
import {
  field,
  GLOBAL,
  IN,
  OUT,
  type PsbtField,
  type PsbtMap,
  withFields,
} from "../../policies/bitcoin/psbt-fields.ts";
import { midstates, SIGHASH_DEFAULT, taprootSighash } from "../../policies/bitcoin/sighash.ts";
import { LEAF_VERSION, tapTree } from "../../policies/bitcoin/taproot.ts";
import {
  outpoint,
  type Tx,
  type TxOutput,
  txidOf,
  writeSignedTx,
  writeUnsignedTx,
} from "../../policies/bitcoin/transaction.ts";
import { concat, size, sized, u8, u32, u64 } from "../../policies/bitcoin/wire.ts";
import type { ChainView, CoinStatus } from "../../policies/chain-view.ts";
import { type Policy, type PolicyDocument, readPolicy } from "../../policies/document/policy.ts";
import type { Approvable } from "../../policies/evidence/approval.ts";
import {
  type EvidenceDocument,
  type EvidenceFacts,
  evidenceFacts,
  NO_EVIDENCE,
  readEvidence,
} from "../../policies/evidence.ts";
import { type SpendFacts, spendFacts } from "../../policies/facts.ts";
import {
  type HistoryDocument,
  historyOf,
  historyQuery,
  NO_HISTORY,
} from "../../policies/history.ts";
import { intentOf, type Purpose, type SpendIntent } from "../../policies/intent.ts";
import type { Sats } from "../../policies/money.ts";
import type { Case } from "../../policies/rules/rule.ts";
import {
  type Branch,
  CHANGE,
  composeVault,
  RECEIVE,
  type Role,
  readVault,
  type Vault,
  type VaultKind,
} from "../../policies/vault.ts";
import { type VaultScript, type VaultScripts, vaultScripts } from "../../policies/vault-scripts.ts";

export interface SpendOptions {
  /** Coins of the vault; a number means that many on the receive branch. */
  readonly coins?: number | readonly CoinPlan[];
  readonly payments?: readonly TxOutput[];
  /** What returns to the vault on `changeAt`; null leaves no change. */
  readonly change?: bigint | null;
  readonly changeAt?: { readonly branch: Branch; readonly index: number };
  readonly feeSats?: bigint;
  readonly psbtVersion?: 0 | 2;
  /** Puts the whole previous transactions into the PSBT. */
  readonly previous?: boolean;
  /** The vault whose coins are spent. */
  readonly from?: TestVault;
  /** Who has signed already. */
  readonly signed?: readonly Role[];
  readonly purpose?: Purpose;
  /** Other vaults that the intent names. */
  readonly parties?: readonly TestVault[];
  /** The law before it is bent. */
  readonly law?: PolicyDocument;
  readonly bend?: Bend;
}

/** Each part of a spend, on its way from the plan to the judgement. */
export interface Bend {
  /** Before the user signs: what the user signs is what comes out of here. */
  readonly tx?: (tx: Tx, spend: Draft) => Tx;
  /** What WITNESS_UTXO says, before the user signs: Taproot commits to it. */
  readonly spent?: (spent: readonly TxOutput[]) => readonly TxOutput[];
  /** After the user has signed. */
  readonly maps?: (psbt: Maps, spend: Draft) => Maps;
  readonly intent?: (intent: Omit<SpendIntent, "id">) => Omit<SpendIntent, "id">;
  readonly policy?: (policy: PolicyDocument, spend: Draft) => PolicyDocument;
  readonly history?: (history: HistoryDocument, spend: Draft) => HistoryDocument;
  readonly chain?: (chain: ChainView, spend: Draft) => ChainView | null;
  readonly vault?: (vault: Vault) => Vault | null;
  /** What comes with the request: made last, for it may sign for the whole spend. */
  readonly evidence?: (spend: Approvable, draft: Draft) => EvidenceDocument | null;
}

export type Maps = Pick<Psbt, "global" | "inputs" | "outputs">;

export interface CoinPlan {
  readonly branch: Branch;
  readonly index: number;
  readonly sats?: bigint;
  readonly from?: TestVault;
}

/** A spend on its way: what the bends may want to look at. */
export interface Draft {
  readonly tx: Tx;
  readonly coins: readonly SpentCoin[];
  readonly spent: readonly TxOutput[];
  readonly feeSats: bigint;
  readonly vault: TestVault;
}

export interface SpentCoin {
  readonly script: VaultScript;
  readonly vault: TestVault;
  /** The transaction that paid it. */
  readonly previous: Tx;
  readonly vout: number;
}

export interface Spend extends Draft {
  readonly bytes: Uint8Array;
  readonly psbt: Psbt;
  readonly facts: SpendFacts;
  readonly intent: SpendIntent;
  /** The evidence document, as it travels. */
  readonly evidence: EvidenceDocument | null;
  readonly case: Case;
}

export interface TestVault {
  readonly vault: Vault;
  readonly scripts: VaultScripts;
  readonly parties: ReadonlyMap<Role, Party>;
}

/** A holder with all of its secrets. */
export interface Party {
  readonly account: HDKey;
  /** `[fingerprint/48'/1'/0'/2']tpub…` */
  readonly text: string;
  readonly secretAt: (branch: number, index: number) => Uint8Array;
}

export const HEIGHT = 1_000;
/** Fixed: policies/ is pure, so its tests need no clock. */
export const NOW = 1_800_000_000_000;

const CONFIRMED_AT = HEIGHT - 10;

export const POLICY = {
  format: "ballast/policy@1",
  name: "lsp.regtest",
  version: 1,
  network: "regtest",
  role: "lsp",
  chain: { confirmations: 3 },
  transaction: {
    inputs: 100,
    outputs: 20,
    locktime_past_blocks: 144,
    locktime_future_blocks: 2,
    change_gap: 20,
  },
  fees: {
    sats: 100_000,
    sat_per_vbyte: { min: 1, max: 50 },
    share_bps: 1_000,
    windows: [{ hours: 24, sats: 1_000_000 }],
  },
  purposes: {
    withdrawal: {
      sats_per_spend: 50_000_000,
      windows: [{ hours: 24, sats: 100_000_000 }],
      destinations: "any",
    },
  },
} satisfies PolicyDocument;

/** The n-th recipient: a P2WPKH script of nobody. */
export function recipient(n: number): Uint8Array {
  return concat([Uint8Array.of(0x00, 0x14), sha256(u32(n)).subarray(0, 20)]);
}

/** An honest withdrawal, unless an option bends it. */
export function honest(options: SpendOptions = {}): Spend {
  const bend = options.bend ?? {};
  const vault = options.from ?? USER_VAULT;
  const planned = plan(options, vault);
  const tx = bend.tx?.(planned.tx, planned) ?? planned.tx;
  const spent = bend.spent?.(planned.spent) ?? planned.spent;
  const draft: Draft = { ...planned, tx, spent };

  const unsigned = mapsOf(draft, options);
  const signed = (options.signed ?? ["user"]).reduce(
    (maps, role) => withSignatures(maps, draft, role),
    unsigned,
  );
  const bytes = writePsbt(bend.maps?.(signed, draft) ?? signed);
  const psbt = readPsbt(bytes);
  const parties = options.parties ?? [];
  const known = [...new Set([vault, ...draft.coins.map((coin) => coin.vault), ...parties])];
  const facts = spendFacts(
    psbt,
    known.map(({ scripts }) => scripts),
  );

  const content = contentOf(options, vault, facts);
  const intent = intentOf(bend.intent?.(content) ?? content);
  const { law = POLICY } = options;
  const policy = readPolicy(bend.policy?.(law, draft) ?? law);
  const chain = bend.chain === undefined ? chainOf(draft) : bend.chain(chainOf(draft), draft);
  const approvable = {
    network: "regtest" as const,
    intent: intent.id,
    spendHash: facts.spendHash,
    policy: policy.hash,
  };
  // As a guard does: an operation's vault is registered, whoever else's coins are spent for it.
  const brought = bend.evidence?.(approvable, draft) ?? null;
  const evidence =
    brought === null
      ? NO_EVIDENCE
      : verified(brought, approvable, {
          known: [...new Set([...known, USER_VAULT])],
          intent,
          policy,
        });
  const document = bend.history?.(NO_HISTORY, draft) ?? NO_HISTORY;
  const query = historyQuery({ facts, intent, policy, evidence, chain });
  const registered = bend.vault === undefined ? vault.vault : bend.vault(vault.vault);
  return {
    ...draft,
    bytes,
    psbt,
    facts,
    intent,
    evidence: brought,
    case: {
      facts,
      intent,
      policy,
      vault: registered,
      parties: parties.map((party) => party.vault),
      history: historyOf(document, query, { now: NOW, height: chain?.height ?? 0 }),
      chain,
      evidence,
    },
  };
}

/** The intent that this spend honestly fulfils. */
function contentOf(
  { purpose = "withdrawal", parties, payments = PAYMENTS }: SpendOptions,
  vault: TestVault,
  facts: SpendFacts,
): Omit<SpendIntent, "id"> {
  const external = facts.outputs.filter(({ coin }) => coin === null);
  return {
    purpose,
    network: "regtest",
    vault: vault.vault.id,
    parties: (parties ?? []).map((party) => party.vault.id).sort(),
    cancels: null,
    proposer: null,
    cycle: null,
    outputs: (parties === undefined ? payments : external).map(({ sats: amount, script }) => ({
      script,
      sats: amount as Sats,
    })),
    reference: "withdrawal 1",
  };
}

function verified(
  brought: EvidenceDocument,
  approvable: Approvable,
  spend: {
    readonly known: readonly TestVault[];
    readonly intent: SpendIntent;
    readonly policy: Policy;
  },
): EvidenceFacts {
  const { known, intent, policy } = spend;
  return evidenceFacts(
    readEvidence(brought),
    known.map(({ scripts }) => scripts),
    {
      ...approvable,
      vault: intent.vault,
      guardians: policy.guardians?.people ?? [],
      people: policy.quorum?.people ?? [],
    },
  );
}

/** Signs as a key would that trusts nothing but the sighash and the tweak of an approval. */
export function signTweaked(party: Party, tweak: Uint8Array, sighash: Uint8Array): Uint8Array {
  const { privateKey } = party.account;
  const secret = privateKey === null ? null : ecc.privateAdd(privateKey, tweak);
  if (secret === null) throw new Error("the tweak cancels the secret");
  return ecc.signSchnorr(sighash, secret);
}

/**
 * The finished transaction: two signatures and an empty element in the order that the leaf's last
 * key stands first on the stack, then leaf and control block.
 */
export function finished(
  spend: Draft,
  signaturesOf: (input: number) => ReadonlyMap<Role, Uint8Array>,
): Uint8Array {
  const witnesses = spend.coins.map(({ script }, i) => {
    const signatures = signaturesOf(i);
    const stack = [0, 1, 2].map((position) => {
      const key = script.leaf.subarray(1 + 34 * position, 33 + 34 * position);
      const holder = script.keys.find(({ xOnly }) => hex(xOnly) === hex(key));
      return (holder && signatures.get(holder.role)) ?? new Uint8Array(0);
    });
    return [...stack.reverse(), script.leaf, script.controlBlock];
  });
  return writeSignedTx(spend.tx, witnesses);
}

/**
 * One coin finished by one signature over its exit leaf. The key's branch stands `step` above the
 * coin's: by two in an honest exit.
 */
export function exited({ tx, spent, coins }: Draft, role: Role, step: number): Uint8Array {
  const [coin] = coins;
  const party = coin?.vault.parties.get(role);
  if (coin === undefined || coin.script.exit === null || party === undefined) {
    throw new Error(`no exit for the ${role}`);
  }
  const { branch, index, exit } = coin.script;
  const about = { tx, midstates: midstates(tx, spent), input: 0, type: SIGHASH_DEFAULT };
  const sighash = taprootSighash({ ...about, leafHash: exit.leafHash });
  const signature = ecc.signSchnorr(sighash, party.secretAt(branch + step, index));
  return writeSignedTx(tx, [[signature, exit.leaf, exit.controlBlock]]);
}

/** The signature of a role's key over one input, SIGHASH_DEFAULT. */
export function signatureOf(
  spend: Draft,
  input: number,
  role: Role,
  states = midstates(spend.tx, spend.spent),
): Uint8Array {
  const coin = spend.coins[input];
  const party = coin?.vault.parties.get(role);
  if (coin === undefined || party === undefined) throw new Error(`no ${role} at input ${input}`);
  const { branch, index, leafHash } = coin.script;
  const sighash = taprootSighash({
    tx: spend.tx,
    midstates: states,
    input,
    type: SIGHASH_DEFAULT,
    leafHash,
  });
  return ecc.signSchnorr(sighash, party.secretAt(branch, index));
}

/** Adds or replaces fields of one input. */
export function onInput(maps: Maps, input: number, added: readonly PsbtField[]): Maps {
  return {
    ...maps,
    inputs: maps.inputs.map((map, i) => (i === input ? withFields(map, added) : map)),
  };
}

/** Adds or replaces fields of one output. */
export function onOutput(maps: Maps, output: number, added: readonly PsbtField[]): Maps {
  return {
    ...maps,
    outputs: maps.outputs.map((map, i) => (i === output ? withFields(map, added) : map)),
  };
}

/** Leaves out all fields of these types from one input. */
export function withoutFields(maps: Maps, input: number, types: readonly number[]): Maps {
  return {
    ...maps,
    inputs: maps.inputs.map((map, i) =>
      i === input ? map.filter(({ type }) => !types.includes(type)) : map,
    ),
  };
}

export function testVault(options: {
  readonly kind?: VaultKind;
  readonly seed: string;
  readonly network?: Network;
  /** Template `multi+exit`. */
  readonly exit?: boolean;
  /** Holders of other vaults, in the place of the seed's. */
  readonly held?: Readonly<Partial<Record<Role, Party>>>;
}): TestVault {
  const { kind = "user", seed, network = "regtest", exit = false, held = {} } = options;
  const roles: readonly Role[] =
    kind === "user" ? ["user", "lsp", "trustee"] : ["lsp", "trustee", "second-trustee"];
  const parties = new Map(
    roles.map((role) => [role, held[role] ?? party(`${seed}/${role}`, network)]),
  );
  const vault = readVault(
    composeVault({
      network,
      kind,
      name: "Ballast test",
      holders: [...parties].map(([role, { text }]) => ({ role, key: text })),
      exit,
    }),
  );
  return { vault, scripts: vaultScripts(vault), parties };
}

/** A party with secrets of a fixed seed: the same in every run. */
export function party(seed: string, network: Network = "regtest"): Party {
  const main = network === "bitcoin";
  const versions = main
    ? { private: 0x0488ade4, public: 0x0488b21e }
    : { private: 0x04358394, public: 0x043587cf };
  const master = HDKey.fromMasterSeed(sha256(new TextEncoder().encode(seed)), versions);
  const path = `48'/${main ? 0 : 1}'/0'/2'`;
  const account = master.derive(`m/${path}`);
  const fingerprint = master.fingerprint.toString(16).padStart(8, "0");
  const secrets = new Map<string, Uint8Array>();
  return {
    account,
    text: `[${fingerprint}/${path}]${account.publicExtendedKey}`,
    secretAt: (branch, index) => {
      const id = `${branch}/${index}`;
      const known = secrets.get(id);
      if (known !== undefined) return known;
      const { privateKey } = account.deriveChild(branch).deriveChild(index);
      if (privateKey === null) throw new Error("the account has no secret");
      secrets.set(id, privateKey);
      return privateKey;
    },
  };
}

export const USER_VAULT = testVault({ seed: "first" });
export const OTHER_VAULT = testVault({ seed: "other" });
export const TREASURY = testVault({ seed: "house", kind: "treasury" });
export const ESCROW = testVault({ seed: "escrow", kind: "escrow" });
/** The user may leave it alone. */
export const EXIT_VAULT = testVault({ seed: "exit", exit: true });

export const PAYMENTS: readonly TxOutput[] = [{ script: recipient(0), sats: 2_000_000n }];
const CHANGE_SATS = 500_000n;
export const CHANGE_AT = { branch: CHANGE, index: 3 } as const;

function plan(options: SpendOptions, vault: TestVault): Draft {
  const { coins = 1, payments = PAYMENTS, change = CHANGE_SATS, changeAt = CHANGE_AT } = options;
  const plans: readonly CoinPlan[] =
    typeof coins === "number"
      ? Array.from({ length: coins }, (_, index) => ({ branch: RECEIVE, index }))
      : coins;
  const changes =
    change === null
      ? []
      : [{ script: vault.scripts.at(changeAt.branch, changeAt.index).script, sats: change }];
  const outputs = [...payments, ...changes];
  const feeSats = options.feeSats ?? BigInt(1_000 + 600 * plans.length + 100 * outputs.length);
  const total = outputs.reduce((sum, output) => sum + output.sats, feeSats);
  const each = total / BigInt(plans.length);
  const spentCoins = plans.map((coin, i): { coin: SpentCoin; output: TxOutput } => {
    const owner = coin.from ?? vault;
    const script = owner.scripts.at(coin.branch, coin.index);
    const share = i === 0 ? total - each * BigInt(plans.length - 1) : each;
    const output = { script: script.script, sats: coin.sats ?? share };
    const previous: Tx = {
      version: 2,
      inputs: [{ txid: sha256(u32(i)), vout: 0, sequence: 0xfffffffd }],
      outputs: [{ script: recipient(100 + i), sats: 1_000n }, output],
      locktime: 0,
    };
    return { coin: { script, vault: owner, previous, vout: 1 }, output };
  });
  const tx: Tx = {
    version: 2,
    inputs: spentCoins.map(({ coin }) => ({
      txid: txidOf(coin.previous),
      vout: coin.vout,
      sequence: 0xfffffffd,
    })),
    outputs,
    locktime: HEIGHT,
  };
  return {
    tx,
    coins: spentCoins.map(({ coin }) => coin),
    spent: spentCoins.map(({ output }) => output),
    feeSats,
    vault,
  };
}

function chainOf({ tx, spent }: Draft): ChainView {
  const coins = new Map<string, CoinStatus>();
  tx.inputs.forEach((input, i) => {
    const output = spent[i];
    if (output === undefined) return;
    coins.set(outpoint(input), {
      kind: "unspent",
      sats: output.sats,
      script: hex(output.script),
      height: CONFIRMED_AT,
      coinbase: false,
    });
  });
  return {
    height: HEIGHT,
    tip: "00".repeat(32),
    medianTime: 1_800_000_000,
    coins,
    vaults: new Map(),
    burials: new Map(),
    blocks: new Map(),
  };
}

function mapsOf(draft: Draft, options: SpendOptions): Maps {
  const { tx, coins, spent, vault } = draft;
  const v2 = options.psbtVersion === 2;
  const bare: Maps = v2 ? bareV2(tx) : psbtOf(tx);
  const scripts = new Map<string, VaultScript>();
  for (const branch of [RECEIVE, CHANGE] as const) {
    const indices = new Set([...Array(20).keys(), options.changeAt?.index ?? 0]);
    for (const index of indices) {
      const script = vault.scripts.at(branch, index);
      scripts.set(hex(script.script), script);
    }
  }
  return {
    global: bare.global,
    inputs: bare.inputs.map((map, i) => {
      const coin = coins[i];
      const output = spent[i];
      if (coin === undefined || output === undefined) return map;
      const { script } = coin;
      return [
        ...(options.previous === true
          ? [field(IN.NON_WITNESS_UTXO, writeUnsignedTx(coin.previous))]
          : []),
        field(IN.WITNESS_UTXO, concat([u64(output.sats), sized(output.script)])),
        ...map,
        {
          type: IN.TAP_LEAF_SCRIPT,
          keyData: script.controlBlock,
          value: concat([script.leaf, u8(LEAF_VERSION)]),
        },
        ...derivations(IN.TAP_BIP32_DERIVATION, coin.vault.vault, script),
        field(IN.TAP_INTERNAL_KEY, script.internalKey),
        field(IN.TAP_MERKLE_ROOT, script.merkleRoot),
      ];
    }),
    outputs: bare.outputs.map((map, i) => {
      const output = tx.outputs[i];
      const own = output === undefined ? undefined : scripts.get(hex(output.script));
      if (own === undefined) return map;
      return [
        ...map,
        field(OUT.TAP_INTERNAL_KEY, own.internalKey),
        field(OUT.TAP_TREE, tapTree(own.leaf, own.exit?.leaf)),
        ...derivations(OUT.TAP_BIP32_DERIVATION, vault.vault, own),
        ...exitDerivations(OUT.TAP_BIP32_DERIVATION, vault.vault, own),
      ];
    }),
  };
}

function bareV2(tx: Tx): Maps {
  return {
    global: [
      field(GLOBAL.TX_VERSION, u32(tx.version)),
      field(GLOBAL.FALLBACK_LOCKTIME, u32(tx.locktime)),
      field(GLOBAL.INPUT_COUNT, size(tx.inputs.length)),
      field(GLOBAL.OUTPUT_COUNT, size(tx.outputs.length)),
      field(GLOBAL.VERSION, u32(2)),
    ],
    inputs: tx.inputs.map(({ txid, vout, sequence }) => [
      field(IN.PREVIOUS_TXID, txid),
      field(IN.OUTPUT_INDEX, u32(vout)),
      field(IN.SEQUENCE, u32(sequence)),
    ]),
    outputs: tx.outputs.map((output) => [
      field(OUT.AMOUNT, u64(output.sats)),
      field(OUT.SCRIPT, output.script),
    ]),
  };
}

/** The vault's three keys with their paths, and the internal key's. */
function derivations(type: number, vault: Vault, script: VaultScript): PsbtMap {
  const keys = script.keys.map(({ xOnly }, i) => {
    const origin = vault.holders[i]?.key.origin;
    if (origin === null || origin === undefined) throw new Error("test keys have an origin");
    const path = [...origin.path, script.branch, script.index];
    return derivation(type, xOnly, {
      leafHashes: [script.leafHash],
      fingerprint: origin.fingerprint,
      path,
    });
  });
  const internal = derivation(type, script.internalKey, {
    leafHashes: [],
    fingerprint: "7c461e5d",
    path: [script.branch, script.index],
  });
  return [...keys, internal];
}

/** The exit key with its path: honest beside change, and beside a coin a lie. */
export function exitDerivations(type: number, vault: Vault, { exit, index }: VaultScript): PsbtMap {
  const origin = vault.holders.find(({ role }) => role === "user")?.key.origin;
  if (exit === null || origin === null || origin === undefined) return [];
  const { branch, leafHash } = exit;
  const { fingerprint } = origin;
  const path = [...origin.path, branch, index];
  return [derivation(type, exit.xOnly, { leafHashes: [leafHash], fingerprint, path })];
}

/** One TAP_BIP32_DERIVATION field (BIP371). */
export function derivation(
  type: number,
  xOnly: Uint8Array,
  said: {
    readonly leafHashes: readonly Uint8Array[];
    readonly fingerprint: string;
    readonly path: readonly number[];
  },
): PsbtField {
  const value = concat([
    size(said.leafHashes.length),
    ...said.leafHashes,
    fromHex(said.fingerprint),
    ...said.path.map(u32),
  ]);
  return { type, keyData: xOnly, value };
}

function withSignatures(maps: Maps, draft: Draft, role: Role): Maps {
  const complete = draft.tx.inputs.length === draft.spent.length;
  if (!complete || draft.tx.inputs.length === 0) return maps;
  const states = midstates(draft.tx, draft.spent);
  return draft.coins.reduce((signed: Maps, { script, vault }, i) => {
    const key = script.keys.find((candidate) => candidate.role === role);
    if (key === undefined || !vault.parties.has(role)) return signed;
    const slot = concat([key.xOnly, script.leafHash]);
    const signature = signatureOf(draft, i, role, states);
    return onInput(signed, i, [field(IN.TAP_SCRIPT_SIG, signature, slot)]);
  }, maps);
}
