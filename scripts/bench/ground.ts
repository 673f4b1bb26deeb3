/**
 * What `bench sign` stands on: the house of `house.ts` beside a private regtest node that has its
 * coins on chain and two of its keys in descriptor wallets. Everything is thrown away afterwards;
 * the secrets guard regtest coins alone.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HDKey } from "@scure/bip32";
import { descriptorChecksum } from "../../policies/bitcoin/descriptor.ts";
import { fromHex } from "../../policies/bitcoin/hash.ts";
import { PARAMETERS } from "../../policies/bitcoin/network.ts";
import { addressOf } from "../../policies/bitcoin/taproot.ts";
import { sats } from "../../policies/money.ts";
import { CHANGE, MULTI_TEMPLATE, RECEIVE, type Role, type Vault } from "../../policies/vault.ts";
import type { VaultScripts } from "../../policies/vault-scripts.ts";
import type { CurvePool } from "../../signer/curve.ts";
import { openChain } from "../../signer/node/chain.ts";
import { btcOfSats } from "../../signer/node/exact-json.ts";
import type { Signer } from "../../signer/signer.ts";
import { type Regtest, startRegtest } from "../regtest.ts";
import {
  COIN_SATS,
  CONFIRMATIONS,
  type Coin,
  coinsOf,
  type FreshSpend,
  freshSpend,
  type House,
  NETWORK,
  openHouse,
  type PartyKey,
  party,
  type SignerParts,
  type Tip,
} from "./house.ts";
import { measured } from "./result.ts";

/** `prepared`: a view in memory with the coins of `spends`. `node`: openChain over RPC. */
export type ChainSource = "prepared" | "node";

export interface Ground {
  readonly node: Regtest;
  readonly vault: VaultScripts;
  /** A signer of this role with a new journal of its own; the vault is registered with it. */
  readonly signer: (
    role: "user" | "lsp",
    parts: Omit<SignerParts, "chain"> & { readonly chain: ChainSource },
  ) => Promise<Signer>;
  /** Name of the node's wallet with this role's private key. */
  readonly wallet: (role: "user" | "lsp") => string;
  /** Coins on chain and a PSBT for each size asked, at the same height. */
  readonly spends: (inputs: readonly number[]) => Promise<readonly FreshSpend[]>;
  readonly close: () => Promise<void>;
}

const MINER = "bench-miner";
/** A coinbase can be spent when 100 blocks stand on it; ten of them pay for every coin. */
const FIRST_BLOCKS = 110;
/** Outputs of one funding transaction; a larger one is no standard transaction. */
const FUNDED_MAX = 250;
/** A full block takes a few dozen funding transactions; mined far below that. */
const FUNDINGS_A_BLOCK = 10;
export async function openGround(curve: CurvePool): Promise<Ground> {
  const folder = mkdtempSync(join(tmpdir(), "ballast-bench-"));
  const dataDir = join(folder, "node");
  mkdirSync(dataDir);
  const node = await startRegtest({ dataDir });
  let house: House | null = null;
  async function close(): Promise<void> {
    house?.close();
    await node.stop();
    rmSync(folder, { recursive: true, force: true });
  }
  try {
    const opened = await openHouse(folder, curve);
    house = opened;
    const { vault, scripts, parties, prepared } = opened;
    for (const role of ["user", "lsp"] as const) {
      await importWallet(node, vault, party(parties, role));
    }
    const coins = await openCoins(node);
    let number = 0;

    return {
      node,
      vault: scripts,
      wallet: walletName,
      signer: (role, { chain, ...parts }) =>
        opened.signer(role, {
          ...parts,
          chain:
            chain === "prepared" ? prepared.chain : openChain({ rpc: node.rpc, chain: NETWORK }),
        }),
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

async function tipOf({ rpc }: Regtest): Promise<Tip> {
  const info = await rpc.call<{
    readonly blocks: number;
    readonly bestblockhash: string;
    readonly mediantime: number;
  }>("getblockchaininfo");
  return { height: info.blocks, tip: info.bestblockhash, medianTime: info.mediantime };
}
