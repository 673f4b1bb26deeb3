/** Blocks and transactions from their bytes, and what a block's own bytes prove of it. */
import { Block, Transaction } from "bitcoinjs-lib";
import { hex } from "../../policies/bitcoin/hash.ts";
import type { Network } from "../../policies/bitcoin/network.ts";
import { shown } from "../../policies/bitcoin/transaction.ts";
import type { ChainBlock, ChainTx } from "./chain.ts";

export interface ParsedBlock {
  readonly block: ChainBlock;
  /** Why these bytes prove no block of this network; null when they do. Hashes every transaction. */
  readonly doubt: (network: Network) => string | null;
}

/** Throws what bitcoinjs-lib throws where the bytes are no block. */
export function parseBlock(bytes: Uint8Array): ParsedBlock {
  const parsed = Block.fromBuffer(bytes);
  const transactions = parsed.transactions ?? [];
  return {
    block: {
      hash: shown(parsed.getHash()),
      previous: parsed.prevHash === undefined ? "" : shown(parsed.prevHash),
      transactions: transactions.map(chainTx),
    },
    doubt: (network) => {
      if (!parsed.checkProofOfWork()) return "its hash has not the work that its header claims";
      if (targetOf(parsed.bits) > EASIEST[network])
        return `so little work is no block of ${network}`;
      if (!transactions.every((tx, i) => tx.isCoinbase() === (i === 0))) {
        return "its coinbase is not the first transaction, or not the only one";
      }
      if (!merkleRootHolds(parsed)) return "its transactions are not those of its header";
      if (parsed.byteLength(false) !== bytes.length) return "bytes follow its last transaction";
      return null;
    },
  };
}

/** Throws what bitcoinjs-lib throws where the bytes are no transaction. */
export function parseTx(bytes: Uint8Array): ChainTx {
  return chainTx(Transaction.fromBuffer(bytes));
}

function chainTx(tx: Transaction): ChainTx {
  return {
    txid: () => tx.getId(),
    spends: tx.ins.map((input) => `${shown(input.hash)}:${input.index}`),
    outputs: tx.outs.map(({ value, script }) => ({ sats: value, script })),
  };
}

/** Also false for a tree with a doubled end, which has the root of a shorter one (CVE-2012-2459). */
function merkleRootHolds({ transactions, merkleRoot }: Block): boolean {
  if (transactions === undefined || transactions.length === 0) return false;
  if (merkleRoot === undefined) return false;
  const mutated = { value: false };
  const root = Block.calculateMerkleRoot(transactions, false, mutated);
  return !mutated.value && hex(root) === hex(merkleRoot);
}

function targetOf(bits: number): bigint {
  return BigInt(`0x${hex(Block.calculateTarget(bits))}`);
}

/** Difficulty 1, the easiest target of mainnet and testnet (powLimit of Core's chainparams). */
const DIFFICULTY_ONE = 0xffffn << 208n;

/**
 * The easiest target that a block may have. Mainnet's is far below its consensus limit: every block
 * since 2020 has had more than this difficulty of 10^13, so whoever makes one up pays for a good part
 * of an honest one's work. The others are their powLimit: their coins are worth nothing.
 */
const EASIEST: Readonly<Record<Network, bigint>> = {
  bitcoin: DIFFICULTY_ONE / 10_000_000_000_000n,
  testnet: DIFFICULTY_ONE,
  signet: 0x0377aen << 216n,
  regtest: 0x7fffffn << 232n,
};
