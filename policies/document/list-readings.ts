/** How a list of a policy document is read: what came, what left, and which way that tightens. */
import type { Change, Difference, Direction } from "./differences.ts";
import { canonical } from "./policy.ts";
import { as, isSection, same } from "./readings.ts";

/** Sliding windows: each length has one cap, the lowest written for it. */
export function windows(change: Change): readonly Difference[] {
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
export function destinations(change: Change): readonly Difference[] {
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
export function people(change: Change): readonly Difference[] {
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

/** Rules that approvals may lift: fewer of them, and by more people, is tighter. */
export function lifts(change: Change): readonly Difference[] {
  const [before, after] = [
    numbersOf(change.before, "rule", "people"),
    numbersOf(change.after, "rule", "people"),
  ];
  if (before === null || after === null) return as("loosening")(change);
  const found = [...new Set([...before.keys(), ...after.keys()])].flatMap(
    (rule): readonly Difference[] => {
      const [had, has] = [before.get(rule), after.get(rule)];
      if (had === has) return [];
      const tighter = had !== undefined && (has === undefined || has > had);
      const direction = tighter ? "tightening" : "loosening";
      const path = `${change.path}.${rule}`;
      return [{ path, before: had ?? null, after: has ?? null, direction }];
    },
  );
  return found.length > 0 ? found : as("neutral")(change);
}

/** Approvals by amount: tighter when no amount needs fewer people, and some amount more. */
export function tiers(change: Change): readonly Difference[] {
  const [before, after] = [
    numbersOf(change.before, "above_sats", "people"),
    numbersOf(change.after, "above_sats", "people"),
  ];
  if (before === null || after === null) return as("loosening")(change);
  // As the rule approvals-enough counts: the most people of all tiers that an amount exceeds.
  const needed = (some: ReadonlyMap<unknown, number>, sats: number) =>
    [...some].reduce(
      (most, [above, people]) => (Number(above) <= sats ? Math.max(most, people) : most),
      0,
    );
  // The steps are at these amounts and nowhere else.
  const steps = [...before.keys(), ...after.keys()].map(Number);
  if (steps.some((sats) => needed(after, sats) < needed(before, sats))) {
    return as("loosening")(change);
  }
  const more = steps.some((sats) => needed(after, sats) > needed(before, sats));
  return as(more ? "tightening" : "neutral")(change);
}

/** Numbers by key of a list of such pairs; null when an entry says more or stands twice. */
function numbersOf(list: unknown, key: string, value: string): ReadonlyMap<unknown, number> | null {
  if (list === undefined) return new Map();
  if (!Array.isArray(list)) return null;
  const numbers = new Map<unknown, number>();
  for (const entry of list) {
    if (!isSection(entry) || Object.keys(entry).sort().join() !== [key, value].sort().join()) {
      return null;
    }
    const number = entry[value];
    if (typeof number !== "number" || numbers.has(entry[key])) return null;
    numbers.set(entry[key], number);
  }
  return numbers;
}
