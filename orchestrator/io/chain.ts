/** The orchestrator's view of the chain through a node. No wallet of the node is used. */
import { Block } from "bitcoinjs-lib";
import { hex } from "../../policies/bitcoin/hash.ts";
import { shown } from "../../policies/bitcoin/transaction.ts";
import { type MsatsPerVbyte, msatsPerVbyte } from "../../policies/money.ts";
import type { Bitcoind } from "../../signer/node/bitcoind.ts";
import { BitcoindError } from "../../signer/node/bitcoind-error.ts";
import { satsOfBtc } from "../../signer/node/exact-json.ts";

export interface Chain {
  readonly tip: () => Promise<ChainTip>;
  /** Null above the tip. */
  readonly hashAt: (height: number) => Promise<string | null>;
  readonly block: (hash: string) => Promise<ChainBlock>;
  /** What the node's mempool would say, without adding the transaction. */
  readonly accepts: (rawTx: Uint8Array) => Promise<Acceptance>;
  /** Sends, or finds that it was sent before: sending twice is once. */
  readonly send: (rawTx: Uint8Array) => Promise<void>;
  readonly inMempool: (txid: string) => Promise<boolean>;
  /** The node's own estimate, or null where it has none, as on a quiet chain. */
  readonly feeRate: (targetBlocks: number) => Promise<MsatsPerVbyte | null>;
}

export interface ChainTip {
  readonly height: number;
  readonly hash: string;
}

export interface ChainBlock {
  readonly hash: string;
  readonly previous: string;
  readonly transactions: readonly ChainTx[];
}

export interface ChainTx {
  /** Computed when asked: most transactions of a block are nobody's we know. */
  readonly txid: () => string;
  /** Outpoints spent, as `txid:vout`. */
  readonly spends: readonly string[];
  readonly outputs: readonly { readonly sats: bigint; readonly script: Uint8Array }[];
}

/** `known` is success too: the node has it in its mempool or in a block. */
export type Acceptance =
  | { readonly kind: "accepted" | "known" }
  | { readonly kind: "rejected"; readonly reason: string };

export class ChainError extends Error {
  override readonly name = "ChainError";
  readonly code = "wrong-block";
}

/** RPC error numbers of Bitcoin's protocol.h. */
const RPC_INVALID_ADDRESS_OR_KEY = -5;
const RPC_INVALID_PARAMETER = -8;
const RPC_VERIFY_ALREADY_IN_UTXO_SET = -27;

/** Reject reasons that mean: we have sent this before. */
const KNOWN = new Set(["txn-already-in-mempool", "txn-already-known"]);

export function openChain(node: Bitcoind): Chain {
  return {
    async tip() {
      const info = await node.call<{ readonly blocks: number; readonly bestblockhash: string }>(
        "getblockchaininfo",
      );
      return { height: info.blocks, hash: info.bestblockhash };
    },
    hashAt: (height) => orNull(node.call<string>("getblockhash", [height]), RPC_INVALID_PARAMETER),
    async block(hash) {
      // Raw bytes: a tenth of the JSON, and the amounts need no reading of decimals.
      const block = Block.fromHex(await node.call<string>("getblock", [hash, 0]));
      if (shown(block.getHash()) !== hash) {
        throw new ChainError(`the node at ${node.where} answered with another block than ${hash}`);
      }
      return {
        hash,
        previous: block.prevHash === undefined ? "" : shown(block.prevHash),
        transactions: (block.transactions ?? []).map((tx) => ({
          txid: () => tx.getId(),
          spends: tx.ins.map((input) => `${shown(input.hash)}:${input.index}`),
          outputs: tx.outs.map(({ value, script }) => ({ sats: value, script })),
        })),
      };
    },
    async accepts(rawTx) {
      const [answer] = await node.call<
        readonly { readonly allowed?: boolean; readonly "reject-reason"?: string }[]
      >("testmempoolaccept", [[hex(rawTx)]]);
      if (answer?.allowed === true) return { kind: "accepted" };
      const reason = answer?.["reject-reason"] ?? "the node gave no reason";
      return KNOWN.has(reason) ? { kind: "known" } : { kind: "rejected", reason };
    },
    async send(rawTx) {
      await orNull(
        node.call<string>("sendrawtransaction", [hex(rawTx)]),
        RPC_VERIFY_ALREADY_IN_UTXO_SET,
      );
    },
    async inMempool(txid) {
      const entry = await orNull(
        node.call<object>("getmempoolentry", [txid]),
        RPC_INVALID_ADDRESS_OR_KEY,
      );
      return entry !== null;
    },
    async feeRate(targetBlocks) {
      const { feerate } = await node.call<{ readonly feerate?: string | number }>(
        "estimatesmartfee",
        [targetBlocks],
      );
      // BTC per 1000 vB in sats is the rate in millisats per vB.
      return feerate === undefined ? null : msatsPerVbyte(satsOfBtc(String(feerate)));
    },
  };
}

/** The answer, or null where the node refuses with exactly this number. */
async function orNull<T>(answer: Promise<T>, rpcCode: number): Promise<T | null> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof BitcoindError && error.rpcCode === rpcCode) return null;
    throw error;
  }
}
