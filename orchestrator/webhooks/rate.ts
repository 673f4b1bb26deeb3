/** No more than so many in any minute, for each key. In this process: a restart forgets. */
export interface Minutes {
  /** Counts one, where there is room for it. */
  readonly take: (key: string, now: bigint) => boolean;
}

const MINUTE_MS = 60_000n;

export function openMinutes(perMinute: number): Minutes {
  const taken = new Map<string, readonly bigint[]>();
  return {
    take(key, now) {
      const recent = (taken.get(key) ?? []).filter((at) => at > now - MINUTE_MS && at <= now);
      const room = recent.length < perMinute;
      taken.set(key, room ? [...recent, now] : recent);
      return room;
    },
  };
}
