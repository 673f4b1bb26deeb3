/**
 * A Merkle-sum tree over all accounts: each node carries the sums of what is below it, so that who
 * signs the root signs the sums, and no account can be hidden behind a negative one. Every sum is
 * part of the hash and range-checked at each step, on the way up by the builder and by the verifier.
 */
import { hex, taggedHash } from "../bitcoin/hash.ts";
import { compare, concat, u64 } from "../bitcoin/wire.ts";

/** What is owed, by tier. None is ever negative. */
export interface Sums {
  readonly hedgedCents: bigint;
  readonly poolMsats: bigint;
  readonly channelCents: bigint;
  readonly idleSats: bigint;
}

export interface SumNode extends Sums {
  /** 32 bytes. */
  readonly hash: Uint8Array;
}

export interface SumStep extends SumNode {
  /** On which side of the way up the sibling stands. */
  readonly side: "left" | "right";
}

/** Sums stay far below 2^63, so that nothing wraps in any implementation. */
const SUM_MAX = 1n << 62n;

/** More than a million million accounts have no tree. */
export const STEPS_MAX = 40;

/** The tiers in which something can be owed. */
export const TIERS = ["hedgedCents", "poolMsats", "channelCents", "idleSats"] as const;

export const NOTHING_OWED: Sums = {
  hedgedCents: 0n,
  poolMsats: 0n,
  channelCents: 0n,
  idleSats: 0n,
};

function isSums(sums: Sums): boolean {
  return TIERS.every((name) => sums[name] >= 0n && sums[name] <= SUM_MAX);
}

export function addSums(a: Sums, b: Sums): Sums {
  return {
    hedgedCents: a.hedgedCents + b.hedgedCents,
    poolMsats: a.poolMsats + b.poolMsats,
    channelCents: a.channelCents + b.channelCents,
    idleSats: a.idleSats + b.idleSats,
  };
}

function nodeBytes(node: SumNode): Uint8Array {
  return concat([node.hash, ...TIERS.map((name) => u64(node[name]))]);
}

/** Null where a sum leaves its range. */
function parentOf(left: SumNode, right: SumNode): SumNode | null {
  const sums = addSums(left, right);
  if (![left, right, sums].every(isSums)) return null;
  const hash = taggedHash("ballast/statement-node@1", nodeBytes(left), nodeBytes(right));
  return { hash, ...sums };
}

/** The root that a leaf and its path lead to; null where a sum leaves its range. */
export function climb(leaf: SumNode, path: readonly SumStep[]): SumNode | null {
  return path.reduce<SumNode | null>((node, { side, ...sibling }) => {
    if (node === null) return null;
    return side === "left" ? parentOf(sibling, node) : parentOf(node, sibling);
  }, leaf);
}

export interface SumTree {
  readonly root: SumNode;
  /** The path of the leaf at this place of the sorted leaves. */
  readonly pathOf: (leaf: Uint8Array) => readonly SumStep[];
}

/** Builds the tree over leaves sorted by hash; an odd node at a level's end moves up as it is. */
export function sumTree(leaves: readonly SumNode[]): SumTree {
  const sorted = [...leaves].sort((a, b) => compare(a.hash, b.hash));
  const [first] = sorted;
  if (first === undefined) throw new RangeError("a tree has leaves");
  const levels: (readonly SumNode[])[] = [sorted];
  for (let level = sorted; level.length > 1; ) {
    level = Array.from({ length: Math.ceil(level.length / 2) }, (_, i) => {
      const left = level[2 * i];
      const right = level[2 * i + 1];
      if (left === undefined) throw new RangeError("BUG: a level has a gap");
      const parent = right === undefined ? left : parentOf(left, right);
      if (parent === null) throw new RangeError("a sum is negative or too large");
      return parent;
    });
    levels.push(level);
  }
  const places = new Map(sorted.map(({ hash }, i) => [hex(hash), i]));
  return {
    root: levels.at(-1)?.[0] ?? first,
    pathOf: (leaf) => {
      const place = places.get(hex(leaf));
      if (place === undefined) throw new RangeError("the tree has no such leaf");
      return levels.flatMap((level, height): readonly SumStep[] => {
        const at = Math.floor(place / 2 ** height);
        const sibling = level[at ^ 1];
        if (sibling === undefined) return [];
        return [{ side: at % 2 === 0 ? "right" : "left", ...sibling }];
      });
    },
  };
}
