/** A block of many Taproot outputs that pays some of the watched scripts; all of it is made up. */
import { createHash } from "node:crypto";
import { Block, Transaction } from "bitcoinjs-lib";

export const OUTPUTS = 5_000;

export interface BlockParts {
  /** Other payments for another number. */
  readonly round: number;
  readonly watched: number;
  /** How many of the outputs pay a watched script. */
  readonly paid: number;
}

/** The n-th watched script: an output key that nobody has. */
export function watchedScript(n: number): Buffer {
  return taproot(`watched ${n}`);
}

function taproot(seed: string): Buffer {
  return Buffer.concat([Uint8Array.of(0x51, 0x20), createHash("sha256").update(seed).digest()]);
}

/** A payment and change, as most transactions have, and those to us spread over the block. */
export function blockBytes({ round, watched, paid }: BlockParts) {
  const block = new Block();
  block.prevHash = new Uint8Array(32);
  block.bits = 0x207fffff;
  const every = paid === 0 ? 0 : OUTPUTS / paid;
  const transactions: Transaction[] = [];
  for (let n = 0; n < OUTPUTS; n += 2) {
    const tx = new Transaction();
    const coinbase = n === 0;
    tx.addInput(
      coinbase ? new Uint8Array(32) : hashOf(`coin ${round} ${n}`),
      coinbase ? 0xffffffff : 0,
    );
    const ours = every > 0 && n % every === 0;
    // Each round pays others, so that no cache has just seen them.
    const place = (round * 7_919 + (n / every) * 37) % watched;
    tx.addOutput(ours ? watchedScript(place) : taproot(`stranger ${round} ${n}`), 10_000n);
    tx.addOutput(taproot(`change ${round} ${n}`), 10_000n);
    transactions.push(tx);
  }
  block.transactions = transactions;
  block.merkleRoot = Block.calculateMerkleRoot(transactions);
  // Every second nonce will do on regtest.
  while (!block.checkProofOfWork()) block.nonce += 1;
  return block.toBuffer();
}

function hashOf(seed: string): Uint8Array {
  return createHash("sha256").update(seed).digest();
}
