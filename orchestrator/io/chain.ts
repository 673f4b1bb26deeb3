/** The orchestrator's view of the chain through a node. No wallet of the node is used. */
import { fromHex, hex } from "../../policies/bitcoin/hash.ts";
import { type MsatsPerVbyte, msatsPerVbyte } from "../../policies/money.ts";
import type { Bitcoind } from "../../signer/node/bitcoind.ts";
import { BitcoindError } from "../../signer/node/bitcoind-error.ts";
import { satsOfBtc } from "../../signer/node/exact-json.ts";
import { parseBlock, parseTx } from "./chain-block.ts";

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
  /** Where a transaction is now. A hint for people and states: money is booked by blocks alone. */
  readonly fate: (txid: string) => Promise<TxFate>;
  /**
   * What the mempool holds beyond `seen` (txids), a bounded part a call, and which of `seen` it no
   * longer holds.
   */
  readonly mempool: (seen: ReadonlySet<string>) => Promise<MempoolNews>;
  /**
   * A short text that changes when the tip or the mempool does: cheap enough to ask each second.
   * The same text twice is no promise that nothing happened.
   */
  readonly pulse: () => Promise<string>;
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

/**
 * - `block`: in this block of the best chain
 * - `gone`: neither in the mempool nor in the best chain
 * - `unknown`: not in the mempool, and the node keeps no index to look through its blocks with
 */
export type TxFate =
  | { readonly kind: "mempool" | "gone" | "unknown" }
  | { readonly kind: "block"; readonly height: number; readonly hash: string };

export interface MempoolNews {
  readonly fresh: readonly ChainTx[];
  /** Mined, replaced, conflicted, expired or pushed out: `fate` tells which of the first. */
  readonly gone: readonly string[];
  /** There is more than one call brings: ask again with what is seen by then. */
  readonly more: boolean;
}

/**
 * `known` is success too: the node has it in its mempool or in a block. `accepted` by a source that
 * cannot test means that nothing speaks against it: `send` will tell.
 */
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

/** Whether a node's reject reason means: this was sent before. */
export function isKnown(reason: string): boolean {
  return reason === "txn-already-in-mempool" || reason === "txn-already-known";
}

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
      const { block } = parseBlock(fromHex(await node.call<string>("getblock", [hash, 0])));
      if (block.hash === hash) return block;
      throw new ChainError(`the node at ${node.where} answered with another block than ${hash}`);
    },
    async accepts(rawTx) {
      const [answer] = await node.call<
        readonly { readonly allowed?: boolean; readonly "reject-reason"?: string }[]
      >("testmempoolaccept", [[hex(rawTx)]]);
      if (answer?.allowed === true) return { kind: "accepted" };
      const reason = answer?.["reject-reason"] ?? "the node gave no reason";
      return isKnown(reason) ? { kind: "known" } : { kind: "rejected", reason };
    },
    async send(rawTx) {
      await orNull(
        node.call<string>("sendrawtransaction", [hex(rawTx)]),
        RPC_VERIFY_ALREADY_IN_UTXO_SET,
      );
    },
    inMempool: (txid) => inMempool(node, txid),
    fate: (txid) => fateOf(node, txid),
    mempool: (seen) => mempoolNews(node, seen),
    async pulse() {
      const info = await node.call<{ readonly bestblockhash: string }>("getblockchaininfo");
      // A replacement pays more than what it replaces, so the fees move when the size does not.
      const { size, bytes, total_fee } = await node.call<{
        readonly [figure: string]: number | string;
      }>("getmempoolinfo");
      return [info.bestblockhash, size, bytes, total_fee].join(" ");
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

async function inMempool(node: Bitcoind, txid: string): Promise<boolean> {
  const entry = node.call<object>("getmempoolentry", [txid]);
  return (await orNull(entry, RPC_INVALID_ADDRESS_OR_KEY)) !== null;
}

async function fateOf(node: Bitcoind, txid: string): Promise<TxFate> {
  if (await inMempool(node, txid)) return { kind: "mempool" };
  const asked = node.call<{ readonly blockhash?: string; readonly confirmations?: number }>(
    "getrawtransaction",
    [txid, true],
  );
  const found = await orNull(asked, RPC_INVALID_ADDRESS_OR_KEY);
  if (found === null) return { kind: (await hasIndex(node)) ? "gone" : "unknown" };
  // It came into the mempool between our questions.
  if (found.blockhash === undefined) return { kind: "mempool" };
  // The index also remembers blocks that have left the chain.
  if ((found.confirmations ?? 0) < 1) return { kind: "gone" };
  const { height } = await node.call<{ readonly height: number }>("getblockheader", [
    found.blockhash,
  ]);
  return { kind: "block", height, hash: found.blockhash };
}

async function hasIndex(node: Bitcoind): Promise<boolean> {
  const { txindex } = await node.call<{ readonly txindex?: { readonly synced: boolean } }>(
    "getindexinfo",
    ["txindex"],
  );
  return txindex?.synced === true;
}

/** Some tens of MB at the very most: under what one answer of the client may hold. */
const FRESH_MAX = 500;

async function mempoolNews(node: Bitcoind, seen: ReadonlySet<string>): Promise<MempoolNews> {
  const held = new Set(await node.call<readonly string[]>("getrawmempool"));
  const unseen = [...held].filter((txid) => !seen.has(txid));
  const asked = unseen.slice(0, FRESH_MAX);
  const answers = await node.batch(
    asked.map((txid) => ({ method: "getrawtransaction", params: [txid] })),
  );
  const fresh: ChainTx[] = [];
  for (const answer of answers) {
    // One that is gone already is no news.
    if (answer.kind === "result") fresh.push(parseTx(fromHex(String(answer.result))));
    else if (answer.error.rpcCode !== RPC_INVALID_ADDRESS_OR_KEY) throw answer.error;
  }
  return {
    fresh,
    gone: [...seen].filter((txid) => !held.has(txid)),
    more: unseen.length > asked.length,
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
