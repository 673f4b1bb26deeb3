/** How well a source has answered, for people to look at; no price depends on it. */

export interface SourceHealth {
  readonly answers: number;
  readonly faults: number;
  /** Since the last good answer. */
  readonly faultsInARow: number;
  /** Milliseconds since 1970; null before the first good answer. */
  readonly lastGoodAt: bigint | null;
}

export const NEW_SOURCE: SourceHealth = {
  answers: 0,
  faults: 0,
  faultsInARow: 0,
  lastGoodAt: null,
};

export function afterAnswer(health: SourceHealth, good: boolean, at: bigint): SourceHealth {
  return good
    ? { ...health, answers: health.answers + 1, faultsInARow: 0, lastGoodAt: at }
    : { ...health, faults: health.faults + 1, faultsInARow: health.faultsInARow + 1 };
}

/** Pulser's score, 0 to 1 (seeds.md 4.5): the share of good answers, less with time and faults. */
export function healthScore(health: SourceHealth, now: bigint): number {
  const { answers, faults, faultsInARow, lastGoodAt } = health;
  if (lastGoodAt === null) return 0;
  const seconds = Math.max(0, Number(now - lastGoodAt) / 1_000);
  const share = answers / (answers + faults);
  return share * Math.exp(-1e-4 * seconds) * Math.exp(-0.1 * faultsInARow);
}
