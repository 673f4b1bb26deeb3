/** How far an animation has been read. */
export interface Progress {
  readonly have: number;
  readonly of: number;
  /** Numbers of the parts still wanted, counted from 1. */
  readonly missing: readonly number[];
}

/** More numbers than that help nobody to find a code. */
const MISSING_TOLD_MAX = 20;

/** "5 of 7 parts; missing 2, 5" */
export function progressWords({ have, of, missing }: Progress): string {
  const count = `${have} of ${of} parts`;
  if (missing.length === 0) return count;
  const told = missing.slice(0, MISSING_TOLD_MAX).join(", ");
  const rest = missing.length - MISSING_TOLD_MAX;
  return `${count}; missing ${told}${rest > 0 ? ` and ${rest} more` : ""}`;
}

/** The numbers from 1 to `of` that `has` does not have. */
export function progressOf(of: number, has: (index: number) => boolean): Progress {
  const missing = Array.from({ length: of }, (_, index) => index)
    .filter((index) => !has(index))
    .map((index) => index + 1);
  return { have: of - missing.length, of, missing };
}
