/** A token bucket a client: so many requests at once, so many a second for long. */

export interface Rate {
  readonly per_second: number;
  readonly burst: number;
}

export interface Buckets {
  /** Null where the client may ask now; else the seconds after which it may, at least one. */
  readonly take: (client: string, atMs: number) => number | null;
}

export function openBuckets(rate: () => Rate): Buckets {
  const buckets = new Map<string, { tokens: number; at: number }>();
  return {
    take(client, atMs) {
      const { per_second: perSecond, burst } = rate();
      const bucket = buckets.get(client) ?? { tokens: burst, at: atMs };
      buckets.set(client, bucket);
      const passed = Math.max(0, atMs - bucket.at) / 1000;
      bucket.tokens = Math.min(burst, bucket.tokens + passed * perSecond);
      bucket.at = atMs;
      if (bucket.tokens < 1) return Math.max(1, Math.ceil((1 - bucket.tokens) / perSecond));
      bucket.tokens -= 1;
      return null;
    },
  };
}
