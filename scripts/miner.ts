import type { Bitcoind } from "../signer/node/bitcoind.ts";
import { BitcoindError } from "../signer/node/bitcoind-error.ts";
import { btcOfSats } from "../signer/node/exact-json.ts";

/** Where regtest coins come from: a throw-away wallet in the node, for mining and funding alone. */
export interface Miner {
  /** Mines `blocks` at once and returns their hashes. */
  mine(blocks: number): Promise<readonly string[]>;
  /** Pays `sats` to `address` without mining; mines first where mature coins are short. */
  fund(address: string, sats: bigint): Promise<{ readonly txid: string; readonly vout: number }>;
}

const MINER_WALLET = "miner";
/** A coinbase can be spent when 100 blocks stand on it. */
const BLOCKS_TO_MATURITY = 101;
/** RPC_WALLET_INSUFFICIENT_FUNDS of Bitcoin's protocol.h. */
const RPC_INSUFFICIENT_FUNDS = -6;
/** Regtest halves its subsidy every 150 blocks: after this many rounds there is no more to mine. */
const FUND_ROUNDS_MAX = 20;

export async function openMiner(rpc: Bitcoind): Promise<Miner> {
  const wallet = { wallet: MINER_WALLET };
  await openWallet(rpc);
  const home = await rpc.call<string>("getnewaddress", [], wallet);

  const mine = (blocks: number) => rpc.call<readonly string[]>("generatetoaddress", [blocks, home]);
  /** The wallet itself judges what it can spend: a balance may hold change it will not touch yet. */
  async function pay(address: string, sats: bigint): Promise<string> {
    for (let round = 1; ; round += 1) {
      try {
        return await rpc.call<string>("sendtoaddress", [address, btcOfSats(sats)], wallet);
      } catch (error) {
        const short = error instanceof BitcoindError && error.rpcCode === RPC_INSUFFICIENT_FUNDS;
        if (!short || round === FUND_ROUNDS_MAX) throw error;
        await mine(BLOCKS_TO_MATURITY);
      }
    }
  }

  return {
    mine,
    async fund(address, sats) {
      const txid = await pay(address, sats);
      const { details } = await rpc.call<{
        readonly details: readonly {
          readonly address?: string;
          readonly category: string;
          readonly vout: number;
        }[];
      }>("gettransaction", [txid], wallet);
      const paid = details.find((entry) => entry.category === "send" && entry.address === address);
      if (paid === undefined) throw new Error(`${txid} does not pay ${address}`);
      return { txid, vout: paid.vout };
    },
  };
}

/** Loaded, else on disk from an earlier run, else new. */
async function openWallet(rpc: Bitcoind): Promise<void> {
  if ((await rpc.call<readonly string[]>("listwallets")).includes(MINER_WALLET)) return;
  const onDisk = await rpc.call<{ readonly wallets: readonly { readonly name: string }[] }>(
    "listwalletdir",
  );
  const known = onDisk.wallets.some(({ name }) => name === MINER_WALLET);
  await rpc.call(known ? "loadwallet" : "createwallet", [MINER_WALLET]);
}
