/** The coins of one vault: out of a chain document, or as a node says. */
import { z } from "zod";
import { chainSchema, type VaultCoin } from "../../policies/chain-view.ts";
import { descriptorOf, type Vault } from "../../policies/vault.ts";
import { btcSchema, readAnswer } from "../../signer/node/answer.ts";
import { openBitcoind } from "../../signer/node/bitcoind.ts";
import { BitcoindError } from "../../signer/node/bitcoind-error.ts";
import { satsOfBtc } from "../../signer/node/exact-json.ts";
import { checked, InputError } from "../input.ts";

export interface KnownCoins {
  /** Height of the best block when they were looked for. */
  readonly tip: number;
  readonly coins: readonly VaultCoin[];
}

export interface CoinSource {
  /** A `ballast/chain@1` document. */
  readonly coins?: string;
  readonly node?: string;
  readonly cookie?: string;
}

/** Null where no source is named. */
export async function readCoins(vault: Vault, source: CoinSource): Promise<KnownCoins | null> {
  if (source.coins !== undefined && source.node !== undefined) {
    throw new InputError("coins", "--coins and --node are two stories about the same coins");
  }
  if (source.coins !== undefined) return coinsOfDocument(vault, source.coins);
  if (source.node === undefined) return null;
  try {
    return await coinsOfNode(vault, { url: source.node, cookie: source.cookie });
  } catch (error) {
    if (error instanceof BitcoindError) throw new InputError("node", error.message);
    throw error;
  }
}

function coinsOfDocument(vault: Vault, file: string): KnownCoins {
  const chain = checked("coins", file, chainSchema);
  const coins = chain.vaults.get(vault.id);
  if (coins === undefined) {
    throw new InputError("coins", `coins ${file}: nothing is said of vault ${vault.id}`);
  }
  return { tip: chain.height, coins };
}

const scanSchema = z.object({
  success: z.literal(true),
  height: z.int().nonnegative(),
  unspents: z.array(
    z.object({
      txid: z.string().regex(/^[0-9a-f]{64}$/),
      vout: z.int().nonnegative(),
      amount: btcSchema,
      height: z.int().nonnegative(),
    }),
  ),
});

/** The last index that is looked at on each branch: the kit's own script looks as far. */
const INDEX_MAX = 1_999;
/** On mainnet the node reads all unspent coins for some minutes. */
const SCAN_MS_MAX = 60 * 60_000;

/** Chains by the names of the node; testnet has had two. */
const CHAINS: Readonly<Record<Vault["network"], readonly string[]>> = {
  bitcoin: ["main"],
  testnet: ["test", "testnet4"],
  signet: ["signet"],
  regtest: ["regtest"],
};

/** Confirmed coins only: the node's set of unspent coins, which needs no wallet and no old blocks. */
async function coinsOfNode(
  vault: Vault,
  { url, cookie }: { readonly url: string; readonly cookie: string | undefined },
): Promise<KnownCoins> {
  const node = openBitcoind({ url, ...(cookie !== undefined && { cookieFile: cookie }) });
  try {
    const { chain } = readAnswer(
      z.object({ chain: z.string() }),
      await node.call("getblockchaininfo"),
    );
    if (!CHAINS[vault.network].includes(chain)) {
      throw new InputError("node", `the node runs ${chain}, the vault is on ${vault.network}`);
    }
    const scan = [{ desc: descriptorOf(vault), range: INDEX_MAX }];
    const said = await node.call("scantxoutset", ["start", scan], { timeoutMs: SCAN_MS_MAX });
    const { height, unspents } = readAnswer(scanSchema, said);
    const coins = unspents.map((coin) => ({
      outpoint: `${coin.txid}:${coin.vout}`,
      sats: satsOfBtc(coin.amount),
      height: coin.height,
    }));
    return { tip: height, coins };
  } finally {
    node.close();
  }
}
