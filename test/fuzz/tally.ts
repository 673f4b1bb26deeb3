/** What many cases came to: verdicts, purposes, rules, bends, and where law and model part. */
import { agree, type Compared } from "./compare.ts";

export interface Tally {
  cases: number;
  /** By what law and model both say. */
  readonly verdicts: Map<string, number>;
  /** By purpose of the honest spend and verdict. */
  readonly purposes: Map<string, number>;
  readonly rules: Map<string, number>;
  readonly bends: Map<string, number>;
  readonly apart: Compared[];
}

export function tallyOf(): Tally {
  return {
    cases: 0,
    verdicts: new Map(),
    purposes: new Map(),
    rules: new Map(),
    bends: new Map(),
    apart: [],
  };
}

export function tally(counts: Tally, one: Compared): void {
  counts.cases += 1;
  add(counts.verdicts, one.law.verdict);
  add(counts.purposes, `${one.purpose} ${one.law.verdict}`);
  for (const rule of one.law.rules) add(counts.rules, rule);
  for (const bend of new Set(one.bends)) add(counts.bends, bend);
  if (!agree(one)) counts.apart.push(one);
}

function add(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
