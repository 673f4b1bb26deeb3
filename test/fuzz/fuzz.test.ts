/** 20,000 bent spends, each judged by the law and by the model: see README.md. */
import { describe, expect, it } from "vitest";
import { ruleIds } from "../../policies/decide.ts";
import { agree, compare } from "./compare.ts";
import { BENDS } from "./generate.ts";
import { PURPOSES } from "./plan.ts";
import { tally, tallyOf } from "./tally.ts";

const SEED = 20_261_125;
const CASES = 20_000;
/** So that a failure says early where, and no test runs for minutes. */
const PARTS = 40;
const SIZE = CASES / PARTS;

describe(`the law and the model, from seed ${SEED}`, () => {
  const counts = tallyOf();

  it.each(Array.from({ length: PARTS }, (_, part) => part))(
    "agree on part %i",
    (part) => {
      const all = Array.from({ length: SIZE }, (_, i) => compare(SEED + part * SIZE + i));
      expect(all.filter((one) => !agree(one))).toEqual([]);
      for (const one of all) tally(counts, one);
    },
    120_000,
  );

  it("have met every bend, every rule, and every answer often enough", () => {
    const share = (map: ReadonlyMap<string, number>, key: string) =>
      (map.get(key) ?? 0) / counts.cases;
    expect(Object.keys(BENDS).filter((name) => !counts.bends.has(name))).toEqual([]);
    expect(ruleIds.filter((rule) => !counts.rules.has(rule))).toEqual([]);
    expect(share(counts.verdicts, "approved")).toBeGreaterThan(0.25);
    expect(share(counts.verdicts, "held")).toBeGreaterThan(0.03);
    for (const purpose of PURPOSES) {
      const [yes = 0, no = 0] = ["approved", "refused"].map((verdict) =>
        counts.purposes.get(`${purpose} ${verdict}`),
      );
      expect(yes / (yes + no), purpose).toBeGreaterThan(0.2);
    }
  });
});
