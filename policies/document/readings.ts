/** How a single value of a policy document is read: which way it tightens. */
import type { Direction, Reading } from "./differences.ts";
import { canonical } from "./policy.ts";

export type Section = Readonly<Record<string, unknown>>;

export function isSection(value: unknown): value is Section {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function same(a: unknown, b: unknown): boolean {
  return canonical(a) === canonical(b) && (a === undefined) === (b === undefined);
}

/** The same direction whatever has changed. */
export function as(direction: Direction): Reading {
  return ({ path, before = null, after = null }) => [{ path, before, after, direction }];
}

/** A number that bounds something; `absent` is what a document without it means. */
export function bound(tighter: "lower" | "higher", absent?: number): Reading {
  return (change) => {
    const { before = absent, after = absent } = change;
    if (typeof before !== "number" || typeof after !== "number") return as("loosening")(change);
    if (before === after) return as("neutral")(change);
    return as(after < before === (tighter === "lower") ? "tightening" : "loosening")(change);
  };
}

/** A switch; `tight` is the side on which less is allowed. */
export function flag({
  tight,
  absent,
}: {
  readonly tight: boolean;
  readonly absent: boolean;
}): Reading {
  return (change) => {
    const { before = absent, after = absent } = change;
    if (typeof before !== "boolean" || typeof after !== "boolean") return as("loosening")(change);
    if (before === after) return as("neutral")(change);
    return as(after === tight ? "tightening" : "loosening")(change);
  };
}
