/**
 * What one policy document allows more or less than another, field by field. A table says which way
 * each field tightens. A field that is not in it, or has a shape that its reading does not know, is
 * taken for a loosening: what is not known to tighten waits (attacks.md 112).
 */
import { canonical, LOOSENING_HOURS } from "./policy.ts";

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

interface Change {
  readonly path: string;
  readonly before: unknown;
  readonly after: unknown;
}

type Reading = (change: Change) => readonly Difference[];

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
  ["transaction.change_gap", bound("lower")],
  ["fees.sats", bound("lower")],
  ["fees.sat_per_vbyte.min", bound("higher")],
  ["fees.sat_per_vbyte.max", bound("lower")],
  ["fees.share_bps", bound("lower")],
  ["fees.windows", windows],
  ["fees.bumps", bound("lower", 0)],
  ["quorum.approvals", bound("higher")],
  ["quorum.people", people],
  ["changes.loosening_hours", bound("higher", LOOSENING_HOURS)],
  ["guardians.threshold", bound("higher")],
  ["guardians.vote_age_seconds", bound("lower")],
  ["guardians.vote_spread_bps", bound("lower")],
  ["guardians.statement_age_blocks", bound("lower")],
  ["purposes.*", permission],
  ["purposes.*.sats_per_spend", bound("lower")],
  ["purposes.*.windows", windows],
  ["purposes.*.vault_windows", windows],
  ["purposes.*.destination_windows", windows],
  ["purposes.*.destinations", destinations],
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

type Section = Readonly<Record<string, unknown>>;

function isSection(value: unknown): value is Section {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function same(a: unknown, b: unknown): boolean {
  return canonical(a) === canonical(b) && (a === undefined) === (b === undefined);
}

function as(direction: Direction): Reading {
  return ({ path, before = null, after = null }) => [{ path, before, after, direction }];
}

/** A number that bounds something; `absent` is what a document without it means. */
function bound(tighter: "lower" | "higher", absent?: number): Reading {
  return (change) => {
    const { before = absent, after = absent } = change;
    if (typeof before !== "number" || typeof after !== "number") return as("loosening")(change);
    if (before === after) return as("neutral")(change);
    return as(after < before === (tighter === "lower") ? "tightening" : "loosening")(change);
  };
}

/** What is not named is not signed: to name it loosens, to leave it out tightens. */
function permission(change: Change): readonly Difference[] {
  if (change.before === undefined) return as("loosening")(change);
  if (change.after === undefined) return as("tightening")(change);
  return within(change);
}

/** Sliding windows: each length has one cap, the lowest written for it. */
function windows(change: Change): readonly Difference[] {
  const [before, after] = [capsOf(change.before), capsOf(change.after)];
  if (before === null || after === null) return as("loosening")(change);
  const hours = [...new Set([...before.keys(), ...after.keys()])];
  const found = hours.flatMap((length): readonly Difference[] => {
    const [had, has] = [before.get(length), after.get(length)];
    if (had === has) return [];
    const tighter = has !== undefined && (had === undefined || has < had);
    const direction = tighter ? "tightening" : "loosening";
    return [
      { path: `${change.path}.${length}h`, before: had ?? null, after: has ?? null, direction },
    ];
  });
  return found.length > 0 ? found : as("neutral")(change);
}

/** Caps by hours; null when an entry says more than hours and sats, or something else. */
function capsOf(list: unknown = []): ReadonlyMap<number, number> | null {
  if (!Array.isArray(list)) return null;
  const caps = new Map<number, number>();
  for (const entry of list) {
    if (!isSection(entry) || Object.keys(entry).sort().join() !== "hours,sats") return null;
    const { hours, sats } = entry;
    if (typeof hours !== "number" || typeof sats !== "number") return null;
    caps.set(hours, Math.min(sats, caps.get(hours) ?? sats));
  }
  return caps;
}

/** `any`, or a list in which fewer is tighter; an entry of one vault is less than an open one. */
function destinations(change: Change): readonly Difference[] {
  if (change.before === "any" && Array.isArray(change.after)) return as("tightening")(change);
  const [before, after] = [entriesOf(change.before), entriesOf(change.after)];
  if (before === null || after === null) return as("loosening")(change);
  return listed(change, before, after, (entry, how) => {
    const others = how === "gone" ? after : before;
    if (others.some((other) => covers(other, entry))) return "neutral";
    return how === "gone" ? "tightening" : "loosening";
  });
}

interface Entry {
  readonly address: string;
  readonly vault: string | null;
}

function entriesOf(list: unknown): readonly Entry[] | null {
  if (!Array.isArray(list)) return null;
  const entries = list.flatMap((entry): readonly Entry[] => {
    if (typeof entry === "string") return [{ address: entry, vault: null }];
    if (!isSection(entry) || Object.keys(entry).sort().join() !== "address,vault") return [];
    const { address, vault } = entry;
    return typeof address === "string" && typeof vault === "string" ? [{ address, vault }] : [];
  });
  return entries.length === list.length ? entries : null;
}

function covers(wide: Entry, { address, vault }: Entry): boolean {
  return wide.address === address && (wide.vault === null || wide.vault === vault);
}

/** Who leaves takes a vote away, who comes brings a new one: neither is known to tighten. */
function people(change: Change): readonly Difference[] {
  const { before, after } = change;
  if (!Array.isArray(before) || !Array.isArray(after)) return as("loosening")(change);
  return listed(change, before, after, () => "loosening");
}

/** What left a list and what came to it; only another order is neutral. */
function listed<Item>(
  change: Change,
  before: readonly Item[],
  after: readonly Item[],
  judge: (item: Item, how: "gone" | "come") => Direction,
): readonly Difference[] {
  const without = (some: readonly Item[], others: readonly Item[]) =>
    some.filter((item) => !others.some((other) => same(item, other)));
  const path = (item: Item) => `${change.path}.${nameOf(item)}`;
  const found = [
    ...without(before, after).map(
      (item): Difference => ({
        path: path(item),
        before: item,
        after: null,
        direction: judge(item, "gone"),
      }),
    ),
    ...without(after, before).map(
      (item): Difference => ({
        path: path(item),
        before: null,
        after: item,
        direction: judge(item, "come"),
      }),
    ),
  ];
  return found.length > 0 ? found : as("neutral")(change);
}

function nameOf(entry: unknown): string {
  if (!isSection(entry)) return String(entry);
  return String(entry["name"] ?? entry["address"] ?? canonical(entry));
}
