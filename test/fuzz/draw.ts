/** Draws from one seeded generator: the same seed draws the same. */
import { random } from "../support/random.ts";

export interface Draw {
  /** A whole number from 0 to below n. */
  readonly below: (n: number) => number;
  readonly between: (low: bigint, high: bigint) => bigint;
  readonly chance: (share: number) => boolean;
  readonly pick: <Item>(items: readonly Item[]) => Item;
  /** So many different ones. */
  readonly some: <Item>(items: readonly Item[], count: number) => readonly Item[];
}

export function drawFrom(seed: number): Draw {
  const next = random(seed);
  const below = (n: number) => Math.floor(next() * n);
  function pick<Item>(items: readonly Item[]): Item {
    const item = items[below(items.length)];
    if (item === undefined) throw new RangeError("nothing to pick from");
    return item;
  }
  function some<Item>(items: readonly Item[], count: number): readonly Item[] {
    const left = [...items];
    return Array.from({ length: Math.min(count, items.length) }, () => {
      const [item] = left.splice(below(left.length), 1);
      if (item === undefined) throw new RangeError("nothing left");
      return item;
    });
  }
  return {
    below,
    between: (low, high) => low + BigInt(below(Number(high - low) + 1)),
    chance: (share) => next() < share,
    pick,
    some,
  };
}

/** The seed of a part of a case: parts are drawn apart, so that one can be left out. */
export function seedOf(...parts: readonly number[]): number {
  return parts.reduce((mixed, part) => {
    const turned = Math.imul(mixed ^ (part + 0x9e3779b9), 0x85ebca6b);
    return (turned ^ (turned >>> 13)) >>> 0;
  }, 0x2545f491);
}
