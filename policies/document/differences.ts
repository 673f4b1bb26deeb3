/**
 * What one policy document allows more or less than another, field by field. A table says which way
 * each field tightens. A field that is not in it, or has a shape that its reading does not know, is
 * taken for a loosening: what is not known to tighten waits (attacks.md 112).
 */

import { destinations, lifts, people, tiers, windows } from "./list-readings.ts";
import { LOOSENING_HOURS } from "./policy.ts";
import { as, bound, flag, isSection, same } from "./readings.ts";

export type Direction =
  | "neutral"
  | "tightening"
  | "loosening"
  /** No quorum can change it: that would be another signer. */
  | "forbidden";

export interface Difference {
  /** Keys joined by dots; an entry of a list by its content, a window by its hours. */
  readonly path: string;
  /** As in the documents; null where there is nothing. */
  readonly before: unknown;
  readonly after: unknown;
  readonly direction: Direction;
}

/** One field in both documents; undefined where it is absent. */
export interface Change {
  readonly path: string;
  readonly before: unknown;
  readonly after: unknown;
}

export type Reading = (change: Change) => readonly Difference[];

/** Every field whose direction is known; `*` stands for any one key. */
const READINGS: readonly (readonly [pattern: string, reading: Reading])[] = [
  ["format", as("forbidden")],
  ["network", as("forbidden")],
  ["role", as("forbidden")],
  ["name", as("neutral")],
  ["version", as("neutral")],
  ["chain.confirmations", bound("higher")],
  ["chain.burial", bound("higher", 100)],
  ["transaction.inputs", bound("lower")],
  ["transaction.outputs", bound("lower")],
  ["transaction.locktime_past_blocks", bound("lower")],
  ["transaction.locktime_future_blocks", bound("lower")],
  ["transaction.one_policy", flag({ tight: true, absent: false })],
  ["transaction.change_gap", bound("lower")],
  ["fees.sats", bound("lower")],
  ["fees.sat_per_vbyte.min", bound("higher")],
  ["fees.sat_per_vbyte.max", bound("lower")],
  ["fees.share_bps", bound("lower")],
  ["fees.windows", windows],
  ["fees.bumps", bound("lower", 0)],
  ["quorum.approvals", bound("higher")],
  ["quorum.people", people],
  ["lifts", lifts],
  ["guardians.threshold", bound("higher")],
  ["guardians.vote_age_seconds", bound("lower")],
  ["guardians.vote_spread_bps", bound("lower")],
  ["guardians.statement_age_blocks", bound("lower")],
  ["changes.loosening_hours", bound("higher", LOOSENING_HOURS)],
  ["purposes.*", permission],
  ["purposes.*.sats_per_spend", bound("lower")],
  ["purposes.*.windows", windows],
  ["purposes.*.vault_windows", windows],
  ["purposes.*.destination_windows", windows],
  ["purposes.*.destinations", destinations],
  ["purposes.*.approvals", tiers],
  ["purposes.*.no_proof_sats", bound("lower")],
  ["purposes.*.inputs_min", bound("higher", 5)],
  ["purposes.*.sat_per_vbyte_max", bound("lower")],
  ["purposes.*.delay_blocks", bound("higher")],
];

/** All differences between two policy documents, in the order of their paths. */
export function differencesOf(before: unknown, after: unknown): readonly Difference[] {
  const found = walk({ path: "", before, after });
  return [...found].sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** The direction of all together: one loosening makes it one. */
export function directionOf(differences: readonly Difference[]): Direction {
  const worst = (["forbidden", "loosening", "tightening"] as const).find((direction) =>
    differences.some((difference) => difference.direction === direction),
  );
  return worst ?? "neutral";
}

function walk(change: Change): readonly Difference[] {
  if (same(change.before, change.after)) return [];
  const reading = READINGS.find(([pattern]) => matches(pattern, change.path))?.[1];
  return (reading ?? within)(change);
}

function matches(pattern: string, path: string): boolean {
  const keys = path.split(".");
  const wanted = pattern.split(".");
  return keys.length === wanted.length && wanted.every((key, i) => key === "*" || key === keys[i]);
}

/** Of a section each key by itself; of anything else that nobody knows, a loosening. */
function within(change: Change): readonly Difference[] {
  const { path, before, after } = change;
  const sections = [before ?? {}, after ?? {}];
  if (!sections.every(isSection)) return as("loosening")(change);
  const [had = {}, has = {}] = sections;
  const found = [...new Set([...Object.keys(had), ...Object.keys(has)])].flatMap((key) =>
    walk({ path: path === "" ? key : `${path}.${key}`, before: had[key], after: has[key] }),
  );
  // An empty section is not nothing: nobody knows what it stands for.
  return found.length > 0 ? found : as("loosening")(change);
}

/** What is not named is not signed: to name it loosens, to leave it out tightens. */
function permission(change: Change): readonly Difference[] {
  if (change.before === undefined) return as("loosening")(change);
  if (change.after === undefined) return as("tightening")(change);
  return within(change);
}
