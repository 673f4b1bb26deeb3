/**
 * The chain through an Esplora server. Its word is taken for little: blocks and transactions come as
 * bytes that must hash to what was asked for, and blocks carry their work. What it can still do is
 * keep silent, or tell stories of the mempool, which books nothing.
 * Source: API.md of github.com/Blockstream/esplora.
 */
import { hex, sha256 } from "../../policies/bitcoin/hash.ts";
import type { Network } from "../../policies/bitcoin/network.ts";
import { excerpt } from "../../signer/node/bitcoind-error.ts";
import {
  type Acceptance,
  type Chain,
  type ChainBlock,
  type ChainTx,
  isKnown,
  type MempoolNews,
  type TxFate,
} from "./chain.ts";
import { parseBlock, parseTx } from "./chain-block.ts";
import {
  blockSchema,
  feeRateOf,
  feesSchema,
  GENESIS,
  hashSchema,
  mempoolSchema,
  readJson,
  readText,
  statusSchema,
  testsSchema,
  txidsSchema,
  txsSchema,
} from "./esplora-answer.ts";
import { EsploraError } from "./esplora-error.ts";
import { type EsploraHttp, type EsploraHttpOptions, openEsploraHttp } from "./esplora-http.ts";

export interface EsploraOptions extends EsploraHttpOptions {
  readonly network: Network;
}

/** Consensus allows a block, and so a transaction, 4,000,000 units of weight: at most as many bytes. */
const BLOCK_BYTES_MAX = 4_000_000;
/** A mempool of 300 MB holds less than a million txids of 67 bytes. */
const TXIDS_BYTES_MAX = 64 * 1024 * 1024;
const SMALL_BYTES_MAX = 64 * 1024;
/** As the server's own pages are. */
const MEMPOOL_PAGE = 50;
/** Transactions that one call brings, and questions under way at once. */
const FRESH_MAX = 500;
const ABREAST = 8;

export function openEsplora(options: EsploraOptions): Chain {
  const { network } = options;
  const http = openEsploraHttp(options);
  let rightNetwork: Promise<void> | null = null;
  const untestable = { yes: false };

  /** Asked once, before anything else is believed; asked again where the answer failed. */
  async function server(): Promise<EsploraHttp> {
    rightNetwork ??= requireNetwork(http, network);
    try {
      await rightNetwork;
    } catch (error) {
      rightNetwork = null;
      throw error;
    }
    return http;
  }

  return {
    async tip() {
      const asked = await server();
      const hash = await must(asked, "/blocks/tip/hash");
      const path = `/block/${readText(hashSchema, hash, asked.where)}`;
      const { id, height } = readJson(blockSchema, await must(asked, path), asked.where);
      if (path.endsWith(id)) return { height, hash: id };
      throw new EsploraError("protocol", `Esplora at ${asked.where} answered ${path} with ${id}`);
    },
    hashAt: async (height) => hashAt(await server(), height),
    block: async (hash) => blockOf(await server(), hash, network),
    accepts: async (rawTx) => accepts(await server(), rawTx, untestable),
    send: async (rawTx) => send(await server(), rawTx),
    inMempool: async (txid) => (await fateOf(await server(), txid)).kind === "mempool",
    fate: async (txid) => fateOf(await server(), txid),
    mempool: async (seen) => mempoolNews(await server(), seen),
    async pulse() {
      const asked = await server();
      const tip = readText(hashSchema, await must(asked, "/blocks/tip/hash"), asked.where);
      // A replacement pays more than what it replaces, so the fees move when the size does not.
      const pool = readJson(mempoolSchema, await must(asked, "/mempool"), asked.where);
      return [tip, pool.count, pool.vsize, pool.total_fee].join(" ");
    },
    async feeRate(targetBlocks) {
      const asked = await server();
      const fees = readJson(feesSchema, await must(asked, "/fee-estimates"), asked.where);
      return feeRateOf(fees, targetBlocks);
    },
  };
}

async function requireNetwork(http: EsploraHttp, network: Network): Promise<void> {
  const genesis = await hashAt(http, 0);
  if (genesis !== null && GENESIS[network].includes(genesis)) return;
  const text = `Esplora at ${http.where} is not on ${network}: its first block is ${genesis}`;
  throw new EsploraError("wrong-network", text);
}

/** What a sound server has in any case. */
async function must(http: EsploraHttp, path: string, bytesMax = SMALL_BYTES_MAX) {
  const bytes = await http.get(path, bytesMax);
  if (bytes !== null) return bytes;
  throw new EsploraError("missing", `Esplora at ${http.where} has nothing at ${path}`);
}

async function hashAt(http: EsploraHttp, height: number): Promise<string | null> {
  const bytes = await http.get(`/block-height/${height}`, SMALL_BYTES_MAX);
  return bytes === null ? null : readText(hashSchema, bytes, http.where);
}

async function blockOf(http: EsploraHttp, hash: string, network: Network): Promise<ChainBlock> {
  const bytes = await must(http, `/block/${hash}/raw`, BLOCK_BYTES_MAX);
  const at = `Esplora at ${http.where}: block ${hash}`;
  const parsed = orProtocol(() => parseBlock(bytes), `${at} cannot be read`);
  if (parsed.block.hash !== hash) {
    throw new EsploraError("untrue", `${at} came as the bytes of block ${parsed.block.hash}`);
  }
  const doubt = parsed.doubt(network);
  if (doubt !== null) throw new EsploraError("untrue", `${at}: ${doubt}`);
  return parsed.block;
}

/** Null where the server does not have it, or no longer. */
async function txOf(http: EsploraHttp, txid: string): Promise<ChainTx | null> {
  const bytes = await http.get(`/tx/${txid}/raw`, BLOCK_BYTES_MAX);
  if (bytes === null) return null;
  const at = `Esplora at ${http.where}: transaction ${txid}`;
  const tx = orProtocol(() => parseTx(bytes), `${at} cannot be read`);
  if (tx.txid() !== txid) throw new EsploraError("untrue", `${at} came as that of ${tx.txid()}`);
  // The id is what was asked for, and hashing once is enough.
  return { ...tx, txid: () => txid };
}

function orProtocol<T>(read: () => T, otherwise: string): T {
  try {
    return read();
  } catch (cause) {
    throw new EsploraError("protocol", otherwise, { cause });
  }
}

/**
 * Blockstream's server says "unconfirmed" of what it never saw, and keeps the bytes of what has left
 * its mempool or its chain: only a list of the mempool says that something is in it.
 */
async function fateOf(http: EsploraHttp, txid: string): Promise<TxFate> {
  const bytes = await http.get(`/tx/${txid}/status`, SMALL_BYTES_MAX);
  if (bytes === null) return { kind: "gone" };
  const status = readJson(statusSchema, bytes, http.where);
  if (status.confirmed) {
    return { kind: "block", height: status.block_height, hash: status.block_hash };
  }
  const tx = await txOf(http, txid);
  if (tx === null) return { kind: "gone" };
  return { kind: (await mempoolHolds(http, tx)) ? "mempool" : "gone" };
}

async function mempoolHolds(http: EsploraHttp, tx: ChainTx): Promise<boolean> {
  const paid = tx.outputs.find(({ script }) => script.length > 0 && script[0] !== OP_RETURN);
  if (paid !== undefined) {
    // Much shorter than the list of all, and whole unless somebody fills it up.
    const path = `/scripthash/${hex(sha256(paid.script))}/txs/mempool`;
    const page = readJson(txsSchema, await must(http, path, TXIDS_BYTES_MAX), http.where);
    if (page.some(({ txid }) => txid === tx.txid())) return true;
    if (page.length < MEMPOOL_PAGE) return false;
  }
  return (await mempoolTxids(http)).includes(tx.txid());
}

/** Its outputs cannot be spent, so no index has them. */
const OP_RETURN = 0x6a;

async function mempoolTxids(http: EsploraHttp): Promise<readonly string[]> {
  return readJson(txidsSchema, await must(http, "/mempool/txids", TXIDS_BYTES_MAX), http.where);
}

async function mempoolNews(http: EsploraHttp, seen: ReadonlySet<string>): Promise<MempoolNews> {
  const held = new Set(await mempoolTxids(http));
  const unseen = [...held].filter((txid) => !seen.has(txid));
  const asked = unseen.slice(0, FRESH_MAX);
  const fresh: ChainTx[] = [];
  for (let at = 0; at < asked.length; at += ABREAST) {
    const found = await Promise.all(asked.slice(at, at + ABREAST).map((txid) => txOf(http, txid)));
    // One that is gone already is no news.
    fresh.push(...found.filter((tx) => tx !== null));
  }
  return {
    fresh,
    gone: [...seen].filter((txid) => !held.has(txid)),
    more: unseen.length > asked.length,
  };
}

/** mempool.space's server tests transactions, Blockstream's does not: there `send` has to tell. */
async function accepts(
  http: EsploraHttp,
  rawTx: Uint8Array,
  untestable: { yes: boolean },
): Promise<Acceptance> {
  const { kind } = await fateOf(http, parseTx(rawTx).txid());
  if (kind === "mempool" || kind === "block") return { kind: "known" };
  if (untestable.yes) return { kind: "accepted" };
  const { status, text } = await http.post("/txs/test", JSON.stringify([hex(rawTx)]));
  if (status === 404 || status === 405) {
    untestable.yes = true;
    return { kind: "accepted" };
  }
  if (status !== 200) return { kind: "rejected", reason: excerpt(text) };
  const [result] = readJson(testsSchema, new TextEncoder().encode(text), http.where);
  if (result?.allowed === true) return { kind: "accepted" };
  const reason = result?.["reject-reason"] ?? "the server gave no reason";
  return isKnown(reason) ? { kind: "known" } : { kind: "rejected", reason };
}

async function send(http: EsploraHttp, rawTx: Uint8Array): Promise<void> {
  const txid = parseTx(rawTx).txid();
  const { status, text } = await http.post("/tx", hex(rawTx));
  if (status === 200 && text === txid) return;
  const at = `Esplora at ${http.where}`;
  if (status === 200) throw new EsploraError("protocol", `${at} sent ${excerpt(text)}`);
  // RPC_VERIFY_ALREADY_IN_UTXO_SET of its node: it stands in a block.
  if (/RPC error\D*?-27\b/.test(text) || isKnown(reasonIn(text))) return;
  throw new EsploraError("refused", `${at} does not take ${txid}: ${excerpt(reasonIn(text))}`);
}

/** `sendrawtransaction RPC error: {"code":-26,"message":"txn-mempool-conflict"}`: the last part. */
function reasonIn(text: string): string {
  return /"message":"([^"]+)"/.exec(text)?.[1] ?? text;
}
