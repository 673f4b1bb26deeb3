/** An honest log of four entries; bend one thing, and the first entry that does not follow is found. */
import { describe, expect, it } from "vitest";
import {
  brokenEntry,
  type KeptEntry,
  type LogEntry,
  logStart,
  nextLogHead,
} from "../../policies/evidence/account-log.ts";
import { addSums, NOTHING_OWED, type Sums } from "../../policies/evidence/sum-tree.ts";

const VAULT = "ab".repeat(20);
const TXID = "cd".repeat(32);

const entry = (kind: LogEntry["kind"], reference: string, sums: Partial<Sums>): LogEntry => ({
  ...{ kind, reference },
  ...NOTHING_OWED,
  ...sums,
});

const honest: readonly LogEntry[] = [
  entry("deposit", `${TXID}:0`, { idleSats: 100_000n }),
  entry("deposit", `${TXID}:0`, { idleSats: -100_000n, hedgedCents: 5_000n }),
  entry("withdrawal", TXID, { hedgedCents: -2_000n }),
  entry("fee", "2026-11", { hedgedCents: -3_000n }),
];

/** As a store keeps it: each entry with its place and what it leads to. */
function kept(entries: readonly LogEntry[], vault = VAULT): readonly KeptEntry[] {
  let [head, claim]: [string, Sums] = [logStart(vault), NOTHING_OWED];
  return entries.map((one, i) => {
    const previous = head;
    head = nextLogHead(previous, one);
    claim = addSums(claim, one);
    return { ...one, sequence: i + 1, previous, head, claim };
  });
}

function bent(at: number, change: Partial<KeptEntry>): readonly KeptEntry[] {
  return kept(honest).map((one, i) => (i + 1 === at ? { ...one, ...change } : one));
}

function hashed(at: number, change: Partial<LogEntry>): readonly KeptEntry[] {
  return kept(honest.map((one, i) => (i + 1 === at ? { ...one, ...change } : one)));
}

interface Bend {
  readonly title: string;
  readonly log: readonly KeptEntry[];
  readonly found: number;
  readonly why: RegExp;
}

const bends: readonly Bend[] = [
  {
    title: "an amount",
    log: bent(2, { hedgedCents: 5_001n }),
    ...{ found: 2, why: /not that of its content/ },
  },
  {
    title: "a reference",
    log: bent(3, { reference: "ce".repeat(32) }),
    ...{ found: 3, why: /not that of its content/ },
  },
  {
    title: "a claim",
    log: bent(3, { claim: { ...NOTHING_OWED, hedgedCents: 3_001n } }),
    ...{ found: 3, why: /hedgedCents are 3001, the log makes 3000/ },
  },
  {
    title: "a link",
    log: bent(4, { previous: logStart(VAULT) }),
    ...{ found: 4, why: /not chained/ },
  },
  {
    title: "an entry left out",
    log: kept(honest).filter((_, i) => i !== 1),
    ...{ found: 3, why: /comes after entry 1/ },
  },
  {
    title: "the first left out",
    log: kept(honest).slice(1),
    ...{ found: 2, why: /comes after entry 0/ },
  },
  {
    title: "the log of another vault",
    log: kept(honest, "ba".repeat(20)),
    ...{ found: 1, why: /not chained/ },
  },
  {
    title: "one cent more taken than there is",
    log: hashed(4, { hedgedCents: -3_001n }),
    ...{ found: 4, why: /less than nothing/ },
  },
  {
    title: "a deposit that names no outpoint",
    log: hashed(1, { reference: TXID }),
    ...{ found: 1, why: /no reference of a deposit/ },
  },
  {
    title: "an outpoint in another form",
    log: hashed(2, { reference: `${TXID}:00` }),
    ...{ found: 2, why: /no reference of a deposit/ },
  },
  {
    title: "a withdrawal that names an outpoint",
    log: hashed(3, { reference: `${TXID}:0` }),
    ...{ found: 3, why: /no reference of a withdrawal/ },
  },
];

describe("a log as it is kept", () => {
  it("follows from its start to its end", () => {
    expect(brokenEntry(VAULT, kept(honest))).toBeNull();
    expect(brokenEntry(VAULT, [])).toBeNull();
  });

  it.each(bends)("is found bent: $title", ({ log, found, why }) => {
    const broken = brokenEntry(VAULT, log);
    expect(broken?.sequence).toBe(found);
    expect(broken?.why).toMatch(why);
  });
});
