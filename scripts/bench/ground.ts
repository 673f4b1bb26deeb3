/**
 * What `bench sign` stands on: a private regtest node, one 2-of-3 vault of three software keys, the
 * signers of the user and the LSP with journals on disk, and the same two keys in descriptor wallets
 * of the node. Everything is thrown away afterwards; the secrets guard regtest coins alone.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HDKey } from "@scure/bip32";
import { buildPsbt } from "../../orchestrator/spend/build.ts";
import { descriptorChecksum } from "../../policies/bitcoin/descriptor.ts";
import { fromHex, hex } from "../../policies/bitcoin/hash.ts";
import { PARAMETERS } from "../../policies/bitcoin/network.ts";
import { writePsbt } from "../../policies/bitcoin/psbt.ts";
import { addressOf } from "../../policies/bitcoin/taproot.ts";
import { concat } from "../../policies/bitcoin/wire.ts";
import type { ChainView, CoinStatus } from "../../policies/chain-view.ts";
import { finishedVbytes } from "../../policies/facts.ts";
import { intentOf, writeIntent } from "../../policies/intent.ts";
import { feeCeil, msatsPerVbyte, type Sats, sats } from "../../policies/money.ts";
import { type Policy, type PolicyDocument, readPolicy } from "../../policies/policy.ts";
import { possessionText } from "../../policies/possession.ts";
import {
  CHANGE,
  composeVault,
  MULTI_TEMPLATE,
  RECEIVE,
  type Role,
  readVault,
  type Vault,
  type VaultScripts,
  vaultScripts,
} from "../../policies/vault.ts";
import type { CurvePool } from "../../signer/curve.ts";
import { guard } from "../../signer/guard.ts";
import { type Journal, openJournal } from "../../signer/journal.ts";
import { createJournal } from "../../signer/journal-file.ts";
import { type Chain, openChain } from "../../signer/node/chain.ts";
import { btcOfSats } from "../../signer/node/exact-json.ts";
import type { Key, Signer, SignRequest } from "../../signer/signer.ts";
import { createSoftwareKey, openSoftwareKey } from "../../signer/software.ts";
import { openVaults } from "../../signer/vaults.ts";
import { type Regtest, startRegtest } from "../regtest.ts";
import { measured } from "./result.ts";

/** A spend that nobody has signed yet, with coins of its own. */
export interface FreshSpend extends SignRequest {
  readonly inputs: number;
}

/** What a signer under measurement is made of, where the bench wants to look or count. */
export interface SignerParts {
  readonly curve: CurvePool;
  readonly wrapKey?: (key: Key) => Key;
  readonly wrapJournal?: (journal: Journal) => Journal;
  readonly wrapChain?: (chain: Chain) => Chain;
  /** `prepared`: a view in memory with the coins of `spend`. `node`: openChain over RPC. */
  readonly chain: "prepared" | "node";
}

export interface Ground {
  readonly node: Regtest;
  readonly vault: VaultScripts;
  /** A signer of this role with a new journal of its own; the vault is registered with it. */
  readonly signer: (role: "user" | "lsp", parts: SignerParts) => Promise<Signer>;
  /** Name of the node's wallet with this role's private key. */
  readonly wallet: (role: "user" | "lsp") => string;
  /** Coins on chain and a PSBT for each size asked, at the same height. */
  readonly spends: (inputs: readonly number[]) => Promise<readonly FreshSpend[]>;
  readonly close: () => Promise<void>;
}

const ROLES = ["user", "lsp", "trustee"] as const satisfies readonly Role[];
const NETWORK = "regtest";
const LABEL = "bench";
const MINER = "bench-miner";
/** A coinbase can be spent when 100 blocks stand on it; ten of them pay for every coin. */
const FIRST_BLOCKS = 110;
const COIN_SATS = 100_000n;
/** Half of what comes in leaves the vault, so that every spend has change, as most do. */
const PAYMENT_SHARE = 2n;
const RATE = msatsPerVbyte(2_000n);
const CHANGE_INDEX = 3;
const CONFIRMATIONS = 1;
/** Outputs of one funding transaction; a larger one is no standard transaction. */
const FUNDED_MAX = 250;
/** A full block takes a few dozen funding transactions; mined far below that. */
const FUNDINGS_A_BLOCK = 10;
/** A P2WPKH script of nobody. */
const PAYEE = concat([Uint8Array.of(0x00, 0x14), new Uint8Array(20).fill(7)]);

/** Limits that no spend of the bench touches: every rule is asked all the same. */
function policyOf(role: Role): Policy {
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

export async function openGround(curve: CurvePool): Promise<Ground> {
  const folder = mkdtempSync(join(tmpdir(), "ballast-bench-"));
  const dataDir = join(folder, "node");
  mkdirSync(dataDir);
  const node = await startRegtest({ dataDir });
  const journals: Journal[] = [];
  async function close(): Promise<void> {
    for (const journal of journals) journal.close();
    await node.stop();
    rmSync(folder, { recursive: true, force: true });
  }
  try {
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
    for (const role of ["user", "lsp"] as const) {
      await importWallet(node, vault, party(parties, role));
    }
    const prepared = preparedChain();
    const coins = await openCoins(node);
    const scripts = vaultScripts(vault);
    let number = 0;

    return {
      node,
      vault: scripts,
      wallet: walletName,
      signer: async (role, parts) => {
        number += 1;
        const file = join(folder, `journal-${number}.db`);
        createJournal({ file, network: NETWORK, role });
        const opened = openJournal({ file, network: NETWORK, role });
        journals.push(opened);
        const key = openSoftwareKey({
          file: party(parties, role).file,
          network: NETWORK,
          curve: parts.curve,
        });
        const policy = policyOf(role);
        const vaults = openVaults({ journal: opened, policy, key, now: Date.now });
        const outcome = await vaults.register({ vault: vault.document, proofs });
        measured(outcome.kind === "registered", "the vault was not registered");
        const chain =
          parts.chain === "prepared"
            ? prepared.chain
            : openChain({ rpc: node.rpc, chain: NETWORK });
        return guard({
          name: role,
          policy,
          key: parts.wrapKey?.(key) ?? key,
          journal: parts.wrapJournal?.(opened) ?? opened,
          vaults,
          chain: parts.wrapChain?.(chain) ?? chain,
          curve: parts.curve,
          now: Date.now,
          log: () => {},
        });
      },
      spends: async (sizes) => {
        const funded = await coins.fund(sizes, (index) => scriptAddress(scripts, index));
        const view = await tipOf(node);
        return funded.map((outpoints) => {
          number += 1;
          prepared.put(view, coinsOf(scripts, outpoints, view.height));
          return freshSpend(scripts, outpoints, { locktime: view.height, number });
        });
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

interface PartyKey {
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

function party(parties: readonly PartyKey[], role: Role): PartyKey {
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

function walletName(role: Role): string {
  return `bench-${role}`;
}

/** A wallet that holds the private key of one role, in the vault's own descriptor. */
async function importWallet(node: Regtest, vault: Vault, owner: PartyKey): Promise<void> {
  const wallet = walletName(owner.role);
  await node.rpc.call("createwallet", { wallet_name: wallet, blank: true });
  const keys = vault.document.policy.keys.map((text) =>
    text === owner.text ? privateText(owner) : text,
  );
  const requests = [RECEIVE, CHANGE].map((branch) => {
    const body = MULTI_TEMPLATE.replace(
      /@([0-3])\/\*\*/g,
      (_, index: string) => `${keys[Number(index)]}/${branch}/*`,
    );
    const desc = `${body}#${descriptorChecksum(body)}`;
    return { desc, timestamp: "now", range: [0, FUNDED_MAX + 10], internal: branch === CHANGE };
  });
  const answers = await node.rpc.call<readonly { readonly success: boolean }[]>(
    "importdescriptors",
    [requests],
    { wallet },
  );
  measured(
    answers.every(({ success }) => success),
    `the node did not take the ${owner.role}'s descriptors`,
  );
}

/** The account's key information with the extended private key in place of the public one. */
function privateText({ file, text }: PartyKey): string {
  const { seed } = JSON.parse(readFileSync(file, "utf8")) as { readonly seed: string };
  const origin = /^\[[0-9a-f]{8}\/([^\]]+)\]/.exec(text);
  const versions = { private: 0x04358394, public: PARAMETERS[NETWORK].xpubVersion };
  const account = HDKey.fromMasterSeed(fromHex(seed), versions).derive(`m/${origin?.[1]}`);
  measured(
    text.endsWith(account.publicExtendedKey),
    "the wallet's key is not the signer's account key",
  );
  return `${origin?.[0]}${account.privateExtendedKey}`;
}

type Coin = { readonly outpoint: string; readonly sats: Sats; readonly index: number };

interface Coins {
  /** One list of confirmed coins a size, each on receive indices of its own below FUNDED_MAX. */
  readonly fund: (
    sizes: readonly number[],
    address: (index: number) => string,
  ) => Promise<readonly (readonly Coin[])[]>;
}

async function openCoins(node: Regtest): Promise<Coins> {
  const wallet = { wallet: MINER };
  await node.rpc.call("createwallet", { wallet_name: MINER });
  const home = await node.rpc.call<string>("getnewaddress", [], wallet);
  const mine = (blocks: number) => node.rpc.call("generatetoaddress", [blocks, home]);
  await mine(FIRST_BLOCKS);

  async function pay(count: number, address: (index: number) => string): Promise<readonly Coin[]> {
    const addresses = Array.from({ length: count }, (_, index) => address(index));
    const amounts = Object.fromEntries(addresses.map((to) => [to, btcOfSats(COIN_SATS)]));
    const txid = await node.rpc.call<string>("sendmany", ["", amounts], wallet);
    const { details } = await node.rpc.call<{
      readonly details: readonly { readonly address?: string; readonly vout: number }[];
    }>("gettransaction", [txid], wallet);
    const vouts = new Map(details.map(({ address: to, vout }) => [to, vout]));
    return addresses.map((to, index) => {
      const vout = vouts.get(to);
      measured(vout !== undefined, `${txid} does not pay ${to}`);
      return { outpoint: `${txid}:${vout}`, sats: sats(COIN_SATS), index };
    });
  }

  return {
    fund: async (sizes, address) => {
      const funded: (readonly Coin[])[] = [];
      for (const [number, batch] of batches(sizes).entries()) {
        const coins = await pay(sum(batch), address);
        let at = 0;
        for (const size of batch) {
          funded.push(coins.slice(at, at + size));
          at += size;
        }
        if ((number + 1) % FUNDINGS_A_BLOCK === 0) await mine(1);
      }
      await mine(CONFIRMATIONS);
      return funded;
    },
  };
}

/** The sizes in their order, as many together as one funding transaction pays. */
function batches(sizes: readonly number[]): readonly (readonly number[])[] {
  const found: number[][] = [];
  for (const size of sizes) {
    measured(size <= FUNDED_MAX, `${size} coins are more than one transaction pays`);
    const open = found.at(-1);
    if (open !== undefined && sum(open) + size <= FUNDED_MAX) open.push(size);
    else found.push([size]);
  }
  return found;
}

function sum(sizes: readonly number[]): number {
  return sizes.reduce((total, size) => total + size, 0);
}

function scriptAddress(scripts: VaultScripts, index: number): string {
  const address = addressOf(scripts.at(RECEIVE, index).script, NETWORK);
  measured(address !== null, "a vault script has no address");
  return address;
}

type Tip = Omit<ChainView, "coins" | "vaults" | "burials">;

async function tipOf({ rpc }: Regtest): Promise<Tip> {
  const info = await rpc.call<{
    readonly blocks: number;
    readonly bestblockhash: string;
    readonly mediantime: number;
  }>("getblockchaininfo");
  return { height: info.blocks, tip: info.bestblockhash, medianTime: info.mediantime };
}

/** A chain view whose answers lie ready: what the guard's own steps cost without the node. */
function preparedChain() {
  let tip: Tip | null = null;
  const known = new Map<string, CoinStatus>();
  const chain: Chain = {
    view: async ({ outpoints }) => {
      measured(tip !== null, "no coins were prepared");
      const coins = new Map<string, CoinStatus>();
      for (const outpoint of outpoints) {
        coins.set(outpoint, known.get(outpoint) ?? { kind: "missing" });
      }
      return { ...tip, coins, vaults: new Map(), burials: new Map() };
    },
    close: () => {},
  };
  return {
    chain,
    put: (next: Tip, coins: ReadonlyMap<string, CoinStatus>) => {
      tip = next;
      for (const [outpoint, coin] of coins) known.set(outpoint, coin);
    },
  };
}

function coinsOf(
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
function freshSpend(
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
