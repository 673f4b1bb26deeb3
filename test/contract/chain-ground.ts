/** A real node for the contract of `Chain`: it can be ended and started again, and its miner pays. */
import { scriptOf } from "../../policies/bitcoin/taproot.ts";
import { type Miner, openMiner } from "../../scripts/miner.ts";
import { type Regtest, startRegtest } from "../../scripts/regtest.ts";
import { btcOfSats, satsOfBtc } from "../../signer/node/exact-json.ts";
import { ELSEWHERE } from "../orchestrator/world.ts";

export const PAID_SATS = 123_456n;
export const PAID_SCRIPT = scriptOf(ELSEWHERE, "regtest") ?? new Uint8Array(0);
/** Of each of two transactions that fit the relay rules; together they are thousands. */
export const OUTPUTS_EACH = 2_000;

const FEE = 10_000n;
const MINER = { wallet: "miner" };
/** Any account key; nobody spends from it. */
const NOBODY =
  "tpubD6NzVbkrYhZ4WaWSyoBvQwbpLkojyoTZPRsgXELWz3Popb3qkjcJyJUGLnL4qHHoQvao8ESaAstxYSnhyswJ76uZPStJRJCTKvosUCJZL5B";

export type ChainGround = Awaited<ReturnType<typeof openChainGround>>;

export async function openChainGround(dataDir: string) {
  let regtest: Regtest;
  let miner: Miner;
  async function start(rpcPort?: number): Promise<void> {
    regtest = await startRegtest({ dataDir, ...(rpcPort !== undefined && { rpcPort }) });
    miner = await openMiner(regtest.rpc);
  }
  await start();

  const rpc = <T>(method: string, ...params: unknown[]) => regtest.rpc.call<T>(method, params);
  const wallet = <T>(method: string, ...params: unknown[]) =>
    regtest.rpc.call<T>(method, params, MINER);

  /** Another spend of the same coins, signed, that no mempool has. */
  async function rivalOf(inputs: readonly Outpoint[]): Promise<string> {
    let sum = -FEE;
    for (const { txid, vout } of inputs) {
      const { value } = await rpc<{ value: string | number }>("gettxout", txid, vout, false);
      sum += satsOfBtc(String(value));
    }
    const outputs = [{ [ELSEWHERE]: btcOfSats(sum) }];
    const bare = await rpc<string>("createrawtransaction", inputs, outputs);
    const signed = await wallet<{ hex: string }>("signrawtransactionwithwallet", bare);
    return signed.hex;
  }

  return {
    regtest: () => regtest,
    rpc,
    wallet,
    stop: () => regtest.stop(),
    /** At the same place as before. */
    start: () => start(Number(new URL(regtest.url).port)),
    mine: (blocks: number) => miner.mine(blocks),
    /** To another miner: the same block within the same second would be an invalidated one again. */
    mineElsewhere: (blocks: number) => rpc<string[]>("generatetoaddress", blocks, ELSEWHERE),
    /** A block with this transaction and no other. */
    mineAlone: (raw: string) => rpc("generateblock", ELSEWHERE, [raw]),
    /** Pays PAID_SATS to PAID_SCRIPT; the id. */
    pay: async () => (await miner.fund(ELSEWHERE, PAID_SATS)).txid,
    txidOf: async (raw: string) => (await rpc<{ txid: string }>("decoderawtransaction", raw)).txid,
    /** A signed payment of 0.001 BTC that the node has not seen; the wallet forgets it too. */
    async unsent(): Promise<string> {
      const options = { add_to_wallet: false };
      const to = { [ELSEWHERE]: "0.001" };
      const sent = await wallet<{ hex: string }>("send", to, null, "unset", null, options);
      return sent.hex;
    },
    /** Of the oldest coin: no reorganisation here makes it immature again. */
    async unsentOfOldCoin(): Promise<string> {
      const coins = await wallet<(Outpoint & { confirmations: number })[]>("listunspent");
      const [coin] = coins.sort((a, b) => b.confirmations - a.confirmations);
      if (coin === undefined) throw new Error("the miner has no coin");
      return rivalOf([{ txid: coin.txid, vout: coin.vout }]);
    },
    /** What a transaction of the mempool spends, spent otherwise. */
    async rivalOfTx(txid: string): Promise<string> {
      const { vin } = await rpc<{ vin: Outpoint[] }>("getrawtransaction", txid, true);
      return rivalOf(vin.map((input) => ({ txid: input.txid, vout: input.vout })));
    },
    async payThousands(): Promise<void> {
      const asked = `wpkh(${NOBODY}/*)`;
      const { descriptor } = await rpc<{ descriptor: string }>("getdescriptorinfo", asked);
      const range = [0, 2 * OUTPUTS_EACH - 1];
      const addresses = await rpc<string[]>("deriveaddresses", descriptor, range);
      for (const from of [0, OUTPUTS_EACH]) {
        const some = addresses.slice(from, from + OUTPUTS_EACH);
        await wallet("sendmany", "", Object.fromEntries(some.map((to) => [to, "0.00001"])));
      }
    },
    /** The transactions of a block as the node itself takes them apart. */
    async said(hash: string) {
      const { tx } = await rpc<{ tx: readonly NodeTx[] }>("getblock", hash, 2);
      return tx.map(saidAs);
    },
  };
}

interface Outpoint {
  readonly txid: string;
  readonly vout: number;
}

interface NodeTx {
  readonly txid: string;
  readonly vin: readonly { readonly txid?: string; readonly vout?: number }[];
  readonly vout: readonly {
    readonly value: string | number;
    readonly scriptPubKey: { readonly hex: string };
  }[];
}

function saidAs({ txid, vin, vout }: NodeTx) {
  return {
    txid,
    spends: vin.map((from) =>
      from.txid === undefined ? `${"00".repeat(32)}:4294967295` : `${from.txid}:${from.vout}`,
    ),
    outputs: vout.map(({ value, scriptPubKey }) => ({
      sats: satsOfBtc(String(value)),
      script: scriptPubKey.hex,
    })),
  };
}
