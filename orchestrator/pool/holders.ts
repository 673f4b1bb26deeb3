/**
 * Who holds something in a pool: a number for each account, given at its first deposit and kept. The
 * order of accounts is that of their keys; it decides nothing but where remainders of a division go.
 */
export interface Holders {
  /** By number: the text that accounts are sorted by; v1's public key, v2's hash of the account. */
  readonly keys: string[];
  /** By number: how people and logs name the account. */
  readonly names: string[];
  readonly numbers: Map<string, number>;
  /** By number: the beginning of the key, as a number that sorts as it does. */
  readonly buckets: number[];
}

export function noHolders(): Holders {
  return { keys: [], names: [], numbers: new Map(), buckets: [] };
}

export interface Holder {
  readonly key: string;
  readonly name: string;
}

export function numberOf(holders: Holders, { key, name }: Holder): number {
  const known = holders.numbers.get(key);
  if (known !== undefined) return known;
  const number = holders.keys.length;
  holders.keys.push(key);
  holders.names.push(name);
  holders.buckets.push(bucketOf(key));
  holders.numbers.set(key, number);
  return number;
}

const CHARACTERS = 128;

function bucketOf(key: string): number {
  const low = (at: number) => Math.min(key.charCodeAt(at) || 0, CHARACTERS - 1);
  return low(0) * CHARACTERS + low(1);
}

export interface Place {
  readonly owner: number;
  /** The how manyth item of this owner. */
  readonly item: number;
}

/**
 * Whose item is the k-th when items are sorted by their owners' keys. Linear: the items are counted
 * by the beginnings of the keys, and only the owners that share the k-th one's are sorted.
 */
export function itemAt({ keys, buckets }: Holders, owners: Int32Array, k: number): Place {
  const counts = new Uint32Array(CHARACTERS * CHARACTERS);
  for (const owner of owners) {
    const bucket = buckets[owner] ?? 0;
    counts[bucket] = (counts[bucket] ?? 0) + 1;
  }
  let before = 0;
  let at = 0;
  while (before + (counts[at] ?? 0) <= k) {
    before += counts[at] ?? 0;
    at += 1;
  }
  const items = new Map<number, number>();
  for (const owner of owners) {
    if (buckets[owner] === at) items.set(owner, (items.get(owner) ?? 0) + 1);
  }
  const sorted = [...items].sort(([a], [b]) => ((keys[a] ?? "") < (keys[b] ?? "") ? -1 : 1));
  for (const [owner, count] of sorted) {
    if (k < before + count) return { owner, item: k - before };
    before += count;
  }
  throw new RangeError("BUG: there are fewer items than that");
}
