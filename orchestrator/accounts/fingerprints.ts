/**
 * A set of 32-byte keys in a few bytes each: the first 64 bits of a key stand for it. What is in it
 * is always found; a stranger whose bits are the same is found too, so whoever asks looks further.
 */

export interface Fingerprints {
  readonly add: (key: Uint8Array) => void;
  readonly has: (key: Uint8Array) => boolean;
  readonly size: () => number;
  /** What all of it takes in memory. */
  readonly bytes: () => number;
}

/** By the first byte of a key: when one is full it alone grows, and nobody waits for a million. */
const SHARDS = 256;
const SLOTS_MIN = 16;

interface Shard {
  /** Two words a slot; both 0: it is free. */
  words: Uint32Array;
  used: number;
}

export function openFingerprints(): Fingerprints {
  const shards = Array.from(
    { length: SHARDS },
    (): Shard => ({ words: new Uint32Array(2 * SLOTS_MIN), used: 0 }),
  );
  const shardOf = (key: Uint8Array) => shards[key[0] ?? 0] as Shard;

  return {
    add(key) {
      const shard = shardOf(key);
      const [high, low] = wordsOf(key);
      const at = slotOf(shard.words, high, low);
      if (shard.words[at] === high && shard.words[at + 1] === low) return;
      shard.words[at] = high;
      shard.words[at + 1] = low;
      shard.used += 1;
      // At three quarters a walk over taken slots is still a few steps long.
      if (shard.used * 8 > shard.words.length * 3) grow(shard);
    },
    has(key) {
      const { words } = shardOf(key);
      const [high, low] = wordsOf(key);
      const at = slotOf(words, high, low);
      return words[at] === high && words[at + 1] === low;
    },
    size: () => shards.reduce((sum, { used }) => sum + used, 0),
    bytes: () => shards.reduce((sum, { words }) => sum + words.byteLength, 0),
  };
}

/** Never both 0, which marks a free slot. */
function wordsOf(key: Uint8Array): readonly [number, number] {
  const high = word(key, 0);
  const low = word(key, 4);
  return high === 0 && low === 0 ? [0, 1] : [high, low];
}

function word(key: Uint8Array, at: number): number {
  const [a = 0, b = 0, c = 0, d = 0] = [key[at], key[at + 1], key[at + 2], key[at + 3]];
  return ((a << 24) | (b << 16) | (c << 8) | d) >>> 0;
}

/** Where the pair stands, or the free slot where it would. Slots are a power of two. */
function slotOf(words: Uint32Array, high: number, low: number): number {
  const mask = words.length / 2 - 1;
  // The low word: the first byte of the high one is the same in all of a shard.
  for (let slot = low & mask; ; slot = (slot + 1) & mask) {
    const [one, other] = [words[2 * slot], words[2 * slot + 1]];
    if ((one === high && other === low) || (one === 0 && other === 0)) return 2 * slot;
  }
}

function grow(shard: Shard): void {
  const words = new Uint32Array(2 * shard.words.length);
  for (let i = 0; i < shard.words.length; i += 2) {
    const [high = 0, low = 0] = [shard.words[i], shard.words[i + 1]];
    if (high === 0 && low === 0) continue;
    const at = slotOf(words, high, low);
    words[at] = high;
    words[at + 1] = low;
  }
  shard.words = words;
}
