/**
 * What the benches share that need no node: one 2-of-3 vault of three software keys, signers with
 * journals on disk, PSBTs of coins that exist in a prepared chain view alone, or on the node of
 * `ground.ts`. The secrets guard nothing.
 */
import { join } from "node:path";
import { buildPsbt } from "../../orchestrator/spend/build.ts";
import { hex } from "../../policies/bitcoin/hash.ts";
import { writePsbt } from "../../policies/bitcoin/psbt.ts";
import { concat } from "../../policies/bitcoin/wire.ts";
import type { ChainView, CoinStatus } from "../../policies/chain-view.ts";
import { type Policy, type PolicyDocument, readPolicy } from "../../policies/document/policy.ts";
import { finishedVbytes } from "../../policies/facts.ts";
import { intentOf, writeIntent } from "../../policies/intent.ts";
import { feeCeil, msatsPerVbyte, type Sats, sats } from "../../policies/money.ts";
import { possessionText } from "../../policies/possession.ts";
import {
  CHANGE,
  composeVault,
  RECEIVE,
  type Role,
  readVault,
  type Vault,
} from "../../policies/vault.ts";
import { type VaultScripts, vaultScripts } from "../../policies/vault-scripts.ts";
import type { CurvePool } from "../../signer/curve.ts";
import { guard } from "../../signer/guard.ts";
import { type Journal, openJournal } from "../../signer/journal.ts";
import { createJournal } from "../../signer/journal-file.ts";
import type { Chain } from "../../signer/node/chain.ts";
import type { Key, Signer, SignRequest } from "../../signer/signer.ts";
import { createSoftwareKey, openSoftwareKey } from "../../signer/software.ts";
import { openVaults } from "../../signer/vaults.ts";
import { measured } from "./result.ts";

/** A spend that nobody has signed yet. */
export interface FreshSpend extends SignRequest {
  readonly inputs: number;
}

/** What a signer under measurement is made of, where the bench wants to look or count. */
export interface SignerParts {
  readonly curve: CurvePool;
  readonly wrapKey?: (key: Key) => Key;
  readonly wrapJournal?: (journal: Journal) => Journal;
  readonly wrapChain?: (chain: Chain) => Chain;
  readonly chain: Chain;
}

export interface House {
  readonly vault: Vault;
  readonly scripts: VaultScripts;
  readonly parties: readonly PartyKey[];
  readonly prepared: PreparedChain;
  /** A signer of this role with a new journal of its own; the vault is registered with it. */
  readonly signer: (role: "user" | "lsp", parts: SignerParts) => Promise<Signer>;
  readonly close: () => void;
}

const ROLES = ["user", "lsp", "trustee"] as const satisfies readonly Role[];
export const NETWORK = "regtest";
const LABEL = "bench";
export const CONFIRMATIONS = 1;
export const COIN_SATS = 100_000n;
/** Half of what comes in leaves the vault, so that every spend has change, as most do. */
const PAYMENT_SHARE = 2n;
const RATE = msatsPerVbyte(2_000n);
const CHANGE_INDEX = 3;
/** A P2WPKH script of nobody. */
const PAYEE = concat([Uint8Array.of(0x00, 0x14), new Uint8Array(20).fill(7)]);

/** Limits that no spend of the bench touches: every rule is asked all the same. */
export function policyOf(role: Role): Policy {
  const document: PolicyDocument = {
    format: "ballast/policy@1",
    name: `bench.${role}`,
    version: 1,
    network: NETWORK,
    role,
    chain: { confirmations: CONFIRMATIONS },
    transaction: {
      inputs: 250,
      outputs: 20,
      locktime_past_blocks: 144,
      locktime_future_blocks: 2,
      change_gap: 20,
    },
    fees: {
      sats: 1_000_000,
      sat_per_vbyte: { min: 1, max: 50 },
      share_bps: 1_000,
      windows: [{ hours: 1, sats: 100_000_000_000 }],
    },
    purposes: {
      withdrawal: {
        sats_per_spend: 100_000_000_000,
        windows: [{ hours: 24, sats: 1_000_000_000_000 }],
        destinations: "any",
      },
    },
  };
  return readPolicy(document);
}

/** The keys and journals lie in `folder`, which is the caller's. */
export async function openHouse(folder: string, curve: CurvePool): Promise<House> {
  const journals: Journal[] = [];
  const parties = await openParties(folder, curve);
  const vault = readVault(
    composeVault({
      network: NETWORK,
      kind: "user",
      name: "Ballast bench",
      holders: parties.map(({ role, text }) => ({ role, key: text })),
    }),
  );
  const proofs = await proofsOf(vault, parties);
  return {
    vault,
    scripts: vaultScripts(vault),
    parties,
    prepared: preparedChain(),
    signer: async (role, { curve: pool, chain, wrapKey, wrapJournal, wrapChain }) => {
      const file = join(folder, `journal-${journals.length}.db`);
      createJournal({ file, network: NETWORK, role });
      const journal = openJournal({ file, network: NETWORK, role });
      journals.push(journal);
      const key = openSoftwareKey({
        file: party(parties, role).file,
        network: NETWORK,
        curve: pool,
      });
      const policy = policyOf(role);
      const vaults = openVaults({ journal, policy, key, now: Date.now });
      const outcome = await vaults.register({ vault: vault.document, proofs });
      measured(outcome.kind === "registered", "the vault was not registered");
      return guard({
        name: role,
        policy,
        key: wrapKey?.(key) ?? key,
        journal: wrapJournal?.(journal) ?? journal,
        vaults,
        chain: wrapChain?.(chain) ?? chain,
        curve: pool,
        now: Date.now,
        log: () => {},
      });
    },
    close: () => {
      for (const journal of journals) journal.close();
    },
  };
}

export interface PartyKey {
  readonly role: Role;
  readonly file: string;
  readonly text: string;
  readonly prove: Key["provePossession"];
}

async function openParties(folder: string, curve: CurvePool): Promise<readonly PartyKey[]> {
  return await Promise.all(
    ROLES.map(async (role) => {
      const file = join(folder, `${role}.key`);
      createSoftwareKey(file, NETWORK, [LABEL]);
      const key = openSoftwareKey({ file, network: NETWORK, curve });
      return { role, file, text: await key.accountKey(LABEL), prove: key.provePossession };
    }),
  );
}

export function party(parties: readonly PartyKey[], role: Role): PartyKey {
  const found = parties.find((candidate) => candidate.role === role);
  measured(found !== undefined, `there is no ${role}`);
  return found;
}

async function proofsOf(vault: Vault, parties: readonly PartyKey[]) {
  const proofs: Partial<Record<Role, string>> = {};
  for (const { role, key } of vault.holders) {
    const prove = party(parties, role).prove;
    proofs[role] = hex(await prove(hex(key.publicKey), possessionText(vault, role)));
  }
  return proofs;
}

export type Tip = Omit<ChainView, "coins" | "vaults" | "burials" | "blocks">;

export interface PreparedChain {
  readonly chain: Chain;
  /** The coins are added; the tip replaces the one before. */
  readonly put: (tip: Tip, coins: ReadonlyMap<string, CoinStatus>) => void;
}

/** A chain view whose answers lie ready: what the guard's own steps cost without the node. */
export function preparedChain(): PreparedChain {
  let tip: Tip | null = null;
  const known = new Map<string, CoinStatus>();
  const chain: Chain = {
    view: async ({ outpoints }) => {
      measured(tip !== null, "no coins were prepared");
      const coins = new Map<string, CoinStatus>();
      for (const outpoint of outpoints) {
        coins.set(outpoint, known.get(outpoint) ?? { kind: "missing" });
      }
      return { ...tip, coins, vaults: new Map(), burials: new Map(), blocks: new Map() };
    },
    close: () => {},
  };
  return {
    chain,
    put: (next, coins) => {
      tip = next;
      for (const [outpoint, coin] of coins) known.set(outpoint, coin);
    },
  };
}

export type Coin = { readonly outpoint: string; readonly sats: Sats; readonly index: number };

export function coinsOf(
  scripts: VaultScripts,
  coins: readonly Coin[],
  height: number,
): ReadonlyMap<string, CoinStatus> {
  return new Map(
    coins.map(({ outpoint, sats: amount, index }) => {
      const script = hex(scripts.at(RECEIVE, index).script);
      return [outpoint, { kind: "unspent", sats: amount, script, height, coinbase: false }];
    }),
  );
}

/** A withdrawal of half of these coins with change, and the intent that asks for it. */
export function freshSpend(
  scripts: VaultScripts,
  coins: readonly Coin[],
  { locktime, number }: { readonly locktime: number; readonly number: number },
): FreshSpend {
  const total = COIN_SATS * BigInt(coins.length);
  const payment = { script: PAYEE, sats: sats(total / PAYMENT_SHARE) };
  const change = scripts.at(CHANGE, CHANGE_INDEX);
  const fee = feeCeil(finishedVbytes(coins.length, [payment, change]), RATE);
  const psbt = buildPsbt({
    vault: scripts,
    coins: coins.map((coin) => ({ ...coin, branch: RECEIVE })),
    payments: [payment],
    change: { sats: sats(total - payment.sats - fee), branch: CHANGE, index: CHANGE_INDEX },
    locktime,
  });
  const intent = intentOf({
    purpose: "withdrawal",
    network: NETWORK,
    vault: scripts.vault.id,
    parties: [],
    cancels: null,
    proposer: null,
    cycle: null,
    outputs: [payment],
    reference: `bench ${number}`,
  });
  return { inputs: coins.length, psbt: writePsbt(psbt), intent: writeIntent(intent) };
}
