/**
 * Vaults that the signer's own node watches: a watch-only descriptor wallet of this signer in the
 * node knows every coin of them. What the node does not watch is unknown, and never called empty.
 */
import { z } from "zod";
import { descriptorChecksum } from "../../policies/bitcoin/descriptor.ts";
import type { Network } from "../../policies/bitcoin/network.ts";
import { addressOf } from "../../policies/bitcoin/taproot.ts";
import type { VaultCoin } from "../../policies/chain-view.ts";
import { RECEIVE, type Vault } from "../../policies/vault.ts";
import { vaultScripts } from "../../policies/vault-scripts.ts";
import { readAnswer } from "./answer.ts";
import type { Bitcoind, BitcoindAnswer, BitcoindCall } from "./bitcoind.ts";
import { BitcoindError } from "./bitcoind-error.ts";
import { branchesOf, plain, vaultCoins } from "./vault-coins.ts";

export interface Watch {
  /** Name of the node's wallet to which `question` goes. */
  readonly wallet: string;
  /**
   * Lets the node watch these vaults, over restarts too. Ends when it does or cannot; why it cannot
   * is logged, and the next `prepare` tries again.
   */
  readonly add: (vaults: readonly Vault[]) => Promise<void>;
  /** Those of the vaults that the node watches, each fit to be asked about now. */
  readonly prepare: (vaults: readonly Vault[]) => Promise<readonly Vault[]>;
  /** What to ask the wallet for all coins. */
  readonly question: BitcoindCall;
  /** The answer to `question` by vault id; without an answer no vault is in it. */
  readonly coinsOf: (
    vaults: readonly Vault[],
    answer: BitcoindAnswer | undefined,
    height: number,
  ) => ReadonlyMap<string, readonly VaultCoin[]>;
}

export interface WatchOptions {
  readonly rpc: Bitcoind;
  readonly network: Network;
  /** The signer's: several signers may share a node, and have a wallet each. */
  readonly name: string;
  /** Seconds since 1970. Coins older than this may be missed; 0, the default, misses none. */
  readonly since?: number;
  readonly log: (event: string, fields: Readonly<Record<string, unknown>>) => void;
}

/**
 * The last index watched on each branch, at least. The node itself goes on to `-keypool` addresses
 * (1,000, where its operator says nothing else) past the highest that was paid. A coin that is
 * paid beyond that is not seen, then or later.
 */
const INDEX_LAST = 99;
/** A rescan reads every block since `since`: seconds on regtest, hours on mainnet. */
const RESCAN_MS_MAX = 48 * 3_600_000;
/** How long a question waits for a vault that is only now being added. */
const ADD_WAIT_MS = 10_000;

/** RPC error numbers of Bitcoin's protocol.h. */
const RPC_WALLET_NOT_FOUND = -18;
const RPC_WALLET_ALREADY_LOADED = -35;
const RPC_METHOD_NOT_FOUND = -32_601;

export function openWatch({ rpc, network, name, since = 0, log }: WatchOptions): Watch {
  const wallet = `ballast-${network}-${name}`;
  const patient = { wallet, timeoutMs: RESCAN_MS_MAX };
  const adding = new Map<string, Promise<void>>();
  let turn: Promise<unknown> = Promise.resolve();
  let said = "";

  /**
   * The label of a vault's first address, set when its rescan has ended: descriptors alone stand in
   * the wallet after a rescan that broke off, too.
   */
  const markOf = ({ id }: Vault) => `ballast ${id} since ${since} to ${INDEX_LAST}`;

  async function unmarked(vaults: readonly Vault[]): Promise<readonly Vault[]> {
    const calls = vaults.map((vault) => ({
      method: "getaddressesbylabel",
      params: { label: markOf(vault) },
    }));
    const answers = await rpc.batch(calls, { wallet });
    return vaults.filter((_, i) => answers[i]?.kind !== "result");
  }

  async function openWallet(): Promise<void> {
    const load = { filename: wallet, load_on_startup: true };
    try {
      await rpc.call("loadwallet", load, { timeoutMs: RESCAN_MS_MAX });
    } catch (error) {
      const code = error instanceof BitcoindError ? error.rpcCode : undefined;
      if (code === RPC_WALLET_ALREADY_LOADED) return;
      if (code !== RPC_WALLET_NOT_FOUND) throw error;
      const blank = { disable_private_keys: true, blank: true, descriptors: true };
      await rpc.call("createwallet", { wallet_name: wallet, ...blank, load_on_startup: true });
    }
  }

  async function importVaults(vaults: readonly Vault[]): Promise<void> {
    const { descriptors } = readAnswer(
      descriptorsSchema,
      await rpc.call("listdescriptors", [], { wallet }),
    );
    const ends = new Map(descriptors.map(({ desc, range }) => [plain(desc), range?.[1]]));
    const requests = vaults.flatMap(branchesOf).map((body) => ({
      desc: `${body}#${descriptorChecksum(body)}`,
      timestamp: since,
      // The node refuses a range that leaves out what it has.
      range: [0, Math.max(INDEX_LAST, ends.get(plain(body)) ?? 0)],
    }));
    const results = readAnswer(
      importedSchema,
      await rpc.call("importdescriptors", { requests }, patient),
    );
    const refusal = results.find(({ success }) => !success);
    if (refusal !== undefined || results.length !== requests.length) {
      const why = refusal?.error?.message ?? "no reason given";
      throw new BitcoindError("rpc", `bitcoind at ${rpc.where} cannot watch a vault: ${why}`);
    }
    for (const vault of vaults) {
      const label = { address: firstAddress(vault), label: markOf(vault) };
      await rpc.call("setlabel", label, { wallet });
    }
  }

  async function enrol(vaults: readonly Vault[]): Promise<void> {
    try {
      await openWallet();
      const missing = await unmarked(vaults);
      if (missing.length === 0) return;
      await importVaults(missing);
      log("vaults watched", { wallet, vaults: missing.map(({ id }) => id), since });
      said = "";
    } catch (error) {
      if (!(error instanceof BitcoindError)) throw error;
      tell(error);
    }
  }

  /** A node that cannot does not become able by being asked again: it is told once. */
  function tell({ code, message }: BitcoindError): void {
    if (said !== message) log("vaults not watched", { wallet, code, detail: message });
    said = message;
  }

  /** One after the other: a wallet rescans once at a time. */
  async function add(vaults: readonly Vault[]): Promise<void> {
    const fresh = vaults.filter(({ id }) => !adding.has(id));
    const work = turn.then(() => (fresh.length === 0 ? undefined : enrol(fresh)));
    turn = work.catch(() => undefined);
    for (const { id } of fresh) {
      adding.set(
        id,
        work.finally(() => adding.delete(id)),
      );
    }
    await Promise.all(vaults.map(({ id }) => adding.get(id)));
  }

  async function prepare(vaults: readonly Vault[]): Promise<readonly Vault[]> {
    // Asked without a wallet: a node that was built without any has no place for such questions.
    const [loaded, , tip] = await rpc.batch([
      { method: "listwallets" },
      // What the node has in its mempool is in its wallets only when this queue is empty.
      { method: "syncwithvalidationinterfacequeue" },
      { method: "getbestblockhash" },
    ]);
    if (loaded?.kind === "error") {
      if (loaded.error.rpcCode !== RPC_METHOD_NOT_FOUND) throw loaded.error;
      tell(loaded.error);
      return [];
    }
    if (tip?.kind !== "result") throw tip?.error ?? new Error("BUG: one answer a call");
    const missing = await unmarked(vaults);
    if (missing.length > 0) await within(add(missing), ADD_WAIT_MS);
    const unknown = missing.length > 0 ? await unmarked(vaults) : missing;
    await forgetEvicted(tip.result);
    return vaults.filter((vault) => !unknown.includes(vault));
  }

  /**
   * A wallet holds a coin for spent as long as it remembers a spend of it, even one that fell out
   * of the mempool; the node knows better. It refuses to abandon what its mempool has.
   */
  async function forgetEvicted(tip: unknown): Promise<void> {
    const params = { blockhash: tip, include_removed: false, include_change: true };
    const [recent] = await rpc.batch([{ method: "listsinceblock", params }], { wallet });
    if (recent?.kind !== "result") return;
    const { transactions } = readAnswer(recentSchema, recent.result);
    const spends = transactions.filter(
      ({ category, confirmations, abandoned }) =>
        category === "send" && confirmations === 0 && abandoned !== true,
    );
    const txids = new Set(spends.map(({ txid }) => txid));
    await rpc.batch(
      [...txids].map((txid) => ({ method: "abandontransaction", params: { txid } })),
      { wallet },
    );
  }

  return {
    wallet,
    add,
    prepare,
    question: { method: "listunspent", params: { minconf: 0, include_unsafe: true } },
    coinsOf: vaultCoins,
  };
}

const descriptorsSchema = z.object({
  descriptors: z.array(
    z.object({ desc: z.string(), range: z.tuple([z.int(), z.int()]).optional() }),
  ),
});

const importedSchema = z.array(
  z.object({ success: z.boolean(), error: z.object({ message: z.string() }).optional() }),
);

const recentSchema = z.object({
  transactions: z.array(
    z.object({
      txid: z.string(),
      category: z.string(),
      confirmations: z.int(),
      abandoned: z.boolean().optional(),
    }),
  ),
});

function firstAddress(vault: Vault): string {
  const address = addressOf(vaultScripts(vault).at(RECEIVE, 0).script, vault.network);
  if (address === null) throw new Error("BUG: a vault's script has an address");
  return address;
}

/** Waits for `work`, but not longer; it goes on by itself. */
async function within(work: Promise<void>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const over = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([work, over]).finally(() => clearTimeout(timer));
}
