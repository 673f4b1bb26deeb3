/**
 * Following a chain, whichever adapter it is behind: the blocks since what one knows, linked by their
 * hashes; the transactions of the mempool that concern one; and a hint when either may have moved.
 */
import type { Chain, ChainBlock, ChainTip, ChainTx } from "./chain.ts";

export interface NewBlocks {
  /** The highest known block that is in the chain; null when none of them is. */
  readonly fork: ChainTip | null;
  /** From the fork upwards, each on the one before it. */
  readonly blocks: readonly LinkedBlock[];
  /** There may be more above: a bound was reached, or the chain moved while it was read. */
  readonly more: boolean;
}

export interface LinkedBlock {
  readonly height: number;
  readonly block: ChainBlock;
}

/** `known` newest first. A chain that moves meanwhile yields fewer blocks, never unlinked ones. */
export async function blocksSince(
  chain: Pick<Chain, "hashAt" | "block">,
  known: readonly ChainTip[],
  most: number,
): Promise<NewBlocks> {
  const fork = await forkOf(chain, known);
  if (fork === null) return { fork, blocks: [], more: false };
  const blocks: LinkedBlock[] = [];
  let below = fork;
  while (blocks.length < most) {
    const height = below.height + 1;
    const hash = await chain.hashAt(height);
    if (hash === null) return { fork, blocks, more: false };
    const block = await chain.block(hash);
    if (block.previous !== below.hash) break;
    blocks.push({ height, block });
    below = { height, hash };
  }
  return { fork, blocks, more: true };
}

async function forkOf(
  chain: Pick<Chain, "hashAt">,
  known: readonly ChainTip[],
): Promise<ChainTip | null> {
  for (const tip of known) if ((await chain.hashAt(tip.height)) === tip.hash) return tip;
  return null;
}

export interface MempoolFollower {
  /** One look; after a fault the same is told again. */
  readonly look: () => Promise<MempoolChange>;
}

export interface MempoolChange {
  readonly appeared: readonly ChainTx[];
  /** Ids of those that appeared before and have left, into a block or for good. */
  readonly left: readonly string[];
  /** Not everything was looked at: look again at once. */
  readonly more: boolean;
}

/**
 * `concerns` picks the transactions that matter; of the others only the ids are remembered. What was
 * seen is forgotten at a restart, and told again: what one writes down must not mind.
 */
export function followMempool(
  chain: Pick<Chain, "mempool">,
  concerns: (txs: readonly ChainTx[]) => Promise<readonly ChainTx[]>,
): MempoolFollower {
  const seen = new Set<string>();
  const followed = new Set<string>();
  return {
    async look() {
      const { fresh, gone, more } = await chain.mempool(seen);
      const appeared = await concerns(fresh);
      // From here on nothing fails, so what is told is remembered.
      for (const tx of fresh) seen.add(tx.txid());
      for (const tx of appeared) followed.add(tx.txid());
      for (const txid of gone) seen.delete(txid);
      return { appeared, left: gone.filter((txid) => followed.delete(txid)), more };
    },
  };
}

export interface HintOptions {
  readonly paceMs: number;
  /** Something may be new; it must not throw. */
  readonly onHint: () => void;
}

export interface Hints {
  /** A question under way ends first. */
  readonly stop: () => Promise<void>;
}

/**
 * Asks for the pulse and hints when it has changed. A fault is no news and is not told here: whoever
 * works on the chain meets it too, and says so.
 */
export function pollHints(chain: Pick<Chain, "pulse">, { paceMs, onHint }: HintOptions): Hints {
  const stopping = new AbortController();
  let last: string | null = null;

  async function poll(): Promise<void> {
    while (!stopping.signal.aborted) {
      const pulse = await chain.pulse().catch(() => last);
      if (pulse !== last && last !== null && !stopping.signal.aborted) onHint();
      last = pulse;
      await pause(paceMs, stopping.signal);
    }
  }

  const polling = poll();
  return {
    async stop() {
      stopping.abort();
      await polling;
    },
  };
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(end, ms);
    function end(): void {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    }
    signal.addEventListener("abort", end);
    if (signal.aborted) end();
  });
}
