/** Which way each field of a policy document tightens: a table, each row read in both directions. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type Difference,
  differencesOf,
  directionOf,
} from "../../policies/document/differences.ts";
import { readPolicy } from "../../policies/document/policy.ts";
import { POLICY } from "../support/spend.ts";

const [A, B] = [
  "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080",
  "bcrt1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqc8gma6",
];
const VAULT = "ab".repeat(20);
const ANN = {
  name: "ann",
  key: "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
};
const BEN = {
  name: "ben",
  key: "02c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5",
};
const { withdrawal } = POLICY.purposes;
const { destinations: _, ...migration } = withdrawal;
const BASE = { ...POLICY, quorum: { approvals: 1, people: [ANN, BEN] } };

type Document = Readonly<Record<string, unknown>>;

/** The document with one value replaced; undefined takes it away. */
function withValue(document: Document, path: string, value: unknown): Document {
  const [key = "", ...rest] = path.split(".");
  const inner =
    rest.length === 0 ? value : withValue(sectionOf(document[key]), rest.join("."), value);
  const { [key]: __, ...others } = document;
  return inner === undefined ? others : { ...others, [key]: inner };
}

function sectionOf(value: unknown): Document {
  return (value ?? {}) as Document;
}

const W = (hours: number, sats: number) => ({ hours, sats });
const T = (above_sats: number, people: number) => ({ above_sats, people });
const CONSOLIDATION = { ...migration, sat_per_vbyte_max: 2 };
const RECOVERY = { ...migration, delay_blocks: 4_320 };
const listed = (...destinations: unknown[]) => destinations;

/** Path, the wider value, the tighter one: the way back loosens. */
const TIGHTENINGS: readonly (readonly [path: string, wide: unknown, tight: unknown])[] = [
  ["chain.confirmations", 3, 4],
  ["transaction.inputs", 100, 99],
  ["transaction.outputs", 20, 19],
  ["transaction.locktime_past_blocks", 144, 143],
  ["transaction.locktime_future_blocks", 2, 1],
  ["transaction.change_gap", 20, 19],
  ["fees.sats", 100_000, 99_999],
  ["fees.sat_per_vbyte.min", 1, 1.001],
  ["fees.sat_per_vbyte.max", 50, 49.999],
  ["fees.share_bps", 1_000, 999],
  ["fees.windows", [W(24, 10)], [W(24, 9)]],
  ["fees.windows", [W(24, 10)], [W(24, 10), W(1, 10)]],
  ["fees.bumps", 1, 0],
  ["fees.bumps", 1, undefined],
  ["quorum.approvals", 1, 2],
  ["changes.loosening_hours", 47, 48],
  ["changes", undefined, { loosening_hours: 25 }],
  ["changes", { loosening_hours: 23 }, undefined],
  ["chain.burial", 100, 101],
  ["chain.burial", 99, undefined],
  ["transaction.one_policy", undefined, true],
  ["lifts", [{ rule: "spend-limit", people: 1 }], undefined],
  ["lifts", [{ rule: "spend-limit", people: 1 }], [{ rule: "spend-limit", people: 2 }]],
  ["purposes.withdrawal.approvals", undefined, [T(10, 1)]],
  ["purposes.withdrawal.approvals", [T(10, 1)], [T(9, 1)]],
  ["purposes.withdrawal.approvals", [T(10, 1)], [T(10, 2)]],
  ["purposes.withdrawal.approvals", [T(10, 1)], [T(20, 2), T(10, 1)]],
  ["purposes.consolidation", CONSOLIDATION, { ...CONSOLIDATION, inputs_min: 6 }],
  ["purposes.consolidation", CONSOLIDATION, { ...CONSOLIDATION, sat_per_vbyte_max: 1.9 }],
  ["purposes.recovery-user-lost", RECOVERY, { ...RECOVERY, delay_blocks: 4_321 }],
  ["purposes.migration", migration, undefined],
  ["purposes.withdrawal.sats_per_spend", 50, 49],
  ["purposes.withdrawal.windows", [W(24, 10), W(1, 5)], [W(1, 5), W(24, 9)]],
  ["purposes.withdrawal.vault_windows", undefined, [W(24, 10)]],
  ["purposes.withdrawal.vault_windows", [W(24, 10)], [W(24, 9)]],
  ["purposes.withdrawal.destination_windows", undefined, [W(24, 10)]],
  ["purposes.withdrawal.destination_windows", [W(24, 10)], [W(24, 9)]],
  ["purposes.withdrawal.destinations", "any", listed(A, B)],
  ["purposes.withdrawal.destinations", listed(A, B), listed(A)],
  ["purposes.withdrawal.destinations", listed(A), listed({ address: A, vault: VAULT })],
];

/** The same, of sections that need more around them to be a policy. */
const PARTS: typeof TIGHTENINGS = [
  ["guardians.threshold", 2, 3],
  ["guardians.vote_age_seconds", 60, 59],
  ["guardians.vote_spread_bps", 100, 99],
  ["guardians.statement_age_blocks", 144, 143],
  ["purposes.withdrawal.no_proof_sats", 2, 1],
];

/** Loosenings in both directions. */
const LOOSENINGS: readonly (readonly [path: string, one: unknown, other: unknown])[] = [
  ["quorum.people", [ANN], [ANN, BEN]],
  ["quorum.people", [ANN], [{ ...ANN, key: BEN.key }]],
  ["quorum.people", [ANN], [{ ...ANN, name: "dora" }]],
  ["quorum", undefined, { approvals: 1, people: [ANN] }],
  ["fees.windows", [W(24, 10)], [W(48, 10)]],
  ["fees.windows", [W(24, 10), W(1, 5)], [W(24, 9), W(1, 6)]],
  ["purposes.withdrawal.destinations", listed(A), listed(B)],
  ["purposes.withdrawal.approvals", [T(10, 2)], [T(5, 1)]],
  ["lifts", [{ rule: "spend-limit", people: 1 }], [{ rule: "fee-share", people: 1 }]],
  ["house", undefined, { treasury: VAULT }],
  ["house", { treasury: VAULT }, { treasury: "cd".repeat(20) }],
  ["guardians.own", ["ann"], ["ben"]],
  // What this version of the comparison knows nothing about.
  ["watchers", undefined, {}],
  ["watchers", { people: [] }, { people: ["x"] }],
  ["fees.miners", 1, 2],
  ["purposes.withdrawal.unheard_of", 2, 1],
  ["fees.windows", [W(24, 10)], [{ ...W(24, 10), count: 3 }]],
  ["purposes.withdrawal.destinations", listed(A), listed({ address: A, until: 1 })],
];

const NEUTRAL: readonly (readonly [path: string, one: unknown, other: unknown])[] = [
  ["name", "lsp.regtest", "lsp.second"],
  ["version", 1, 2],
  ["fees.bumps", undefined, 0],
  ["changes", undefined, { loosening_hours: 24 }],
  ["fees.windows", [W(24, 10), W(1, 5)], [W(1, 5), W(24, 10)]],
  ["fees.windows", [W(24, 10)], [W(24, 10), W(24, 11)]],
  ["quorum.people", [ANN, BEN], [BEN, ANN]],
  ["purposes.withdrawal.approvals", [T(10, 1)], [T(10, 1), T(20, 1)]],
  ["transaction.one_policy", undefined, false],
  ["lifts", undefined, []],
  ["purposes.withdrawal.destinations", listed(A, B), listed(B, A)],
  ["purposes.withdrawal.destinations", listed(A), listed(A, { address: A, vault: VAULT })],
];

function between(path: string, one: unknown, other: unknown): readonly Difference[] {
  return differencesOf(withValue(BASE, path, one), withValue(BASE, path, other));
}

describe("the difference of two policies", () => {
  it.each([...TIGHTENINGS, ...PARTS])(
    "%s: %j to %j tightens, and back it loosens",
    (path, wide, tight) => {
      const found = between(path, wide, tight);
      expect(found.every((difference) => difference.path.startsWith(path))).toBe(true);
      expect(directionOf(found)).toBe("tightening");
      expect(directionOf(between(path, tight, wide))).toBe("loosening");
    },
  );

  it.each(LOOSENINGS)("%s: %j to %j loosens, and back too", (path, one, other) => {
    expect(directionOf(between(path, one, other))).toBe("loosening");
    expect(directionOf(between(path, other, one))).toBe("loosening");
  });

  it.each(NEUTRAL)("%s: %j to %j is neutral, but told", (path, one, other) => {
    for (const found of [between(path, one, other), between(path, other, one)]) {
      expect(found).not.toEqual([]);
      expect(directionOf(found)).toBe("neutral");
    }
  });

  it.each([
    ["network", "bitcoin"],
    ["role", "trustee"],
    ["format", "ballast/policy@2"],
  ])("%s is for good", (path, value) => {
    expect(directionOf(differencesOf(BASE, withValue(BASE, path, value)))).toBe("forbidden");
  });

  it("of a document and itself is none, however its keys are ordered", () => {
    expect(differencesOf(BASE, Object.fromEntries(Object.entries(BASE).reverse()))).toEqual([]);
  });

  it("knows a direction for every field that a document has", () => {
    const leaves = (value: unknown, path: string): readonly string[] =>
      typeof value === "object" && value !== null && !Array.isArray(value)
        ? Object.entries(value).flatMap(([key, item]) => leaves(item, `${path}.${key}`))
        : [path.slice(1)];
    const tabled = new Set([...TIGHTENINGS, ...LOOSENINGS, ...NEUTRAL].map(([path]) => path));
    const identity = new Set(["format", "network", "role"]);
    expect(leaves(BASE, "").filter((path) => !tabled.has(path) && !identity.has(path))).toEqual([]);
  });

  it("names each change with what was and what is", () => {
    const found = between("purposes.withdrawal.windows", [W(24, 10), W(1, 5)], [W(24, 12)]);
    expect(found).toEqual([
      {
        path: "purposes.withdrawal.windows.1h",
        before: 5,
        after: null,
        direction: "loosening",
      },
      { path: "purposes.withdrawal.windows.24h", before: 10, after: 12, direction: "loosening" },
    ]);
  });

  /** Documents of any choice of the table's values, each of which is a policy. */
  const documents = fc
    .tuple(
      ...TIGHTENINGS.map(([path, ...values]) =>
        fc.option(fc.constantFrom(...values), { nil: null }).map((value) => ({ path, value })),
      ),
    )
    .map((bends) =>
      bends.reduce(
        (document: Document, { path, value }) =>
          value === null ? document : withValue(document, path, value),
        BASE,
      ),
    );

  it("that tightens, loosens on the way back: property", () => {
    fc.assert(
      fc.property(documents, documents, (a, b) => {
        readPolicy(a);
        const there = directionOf(differencesOf(a, b));
        const back = directionOf(differencesOf(b, a));
        if (there === "tightening") expect(back).toBe("loosening");
        if (there === "neutral") expect(back).toBe("neutral");
      }),
    );
  });

  it("is taken for a loosening wherever both ways mix: property", () => {
    fc.assert(
      fc.property(fc.subarray([...TIGHTENINGS], { minLength: 1 }), (rows) => {
        const all = (side: 1 | 2) =>
          rows.reduce((document: Document, row) => withValue(document, row[0], row[side]), BASE);
        const worse = withValue(all(2), "chain.confirmations", 2);
        expect(directionOf(differencesOf(all(1), worse))).toBe("loosening");
      }),
    );
  });
});
