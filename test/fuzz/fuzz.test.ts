/** 20,000 bent spends, each judged by the law and by the model: see README.md. */
import { describe, expect, it } from "vitest";
import { type Compared, compare } from "./compare.ts";
import { MUTATIONS } from "./generate.ts";

const SEED = 20_261_125;
const CASES = 20_000;
/** So that a failure says early where, and no test runs for minutes. */
const PARTS = 20;

describe(`the law and the model, from seed ${SEED}`, () => {
  const seen: Compared[] = [];

  it.each(Array.from({ length: PARTS }, (_, part) => part))(
    "agree on part %i",
    (part) => {
      const size = CASES / PARTS;
      const all = Array.from({ length: size }, (_, i) => compare(SEED + part * size + i));
      expect(all.filter(({ law, model }) => law !== model)).toEqual([]);
      seen.push(...all);
    },
    120_000,
  );

  it("have met every bend, every kind, and every answer often enough", () => {
    const share = (some: readonly Compared[]) => some.length / seen.length;
    expect(new Set(seen.flatMap(({ mutations }) => mutations)).size).toBe(
      Object.keys(MUTATIONS).length,
    );
    for (const verdict of ["approved", "held", "refused"]) {
      expect(share(seen.filter(({ law }) => law === verdict))).toBeGreaterThan(0.05);
    }
    for (const purpose of new Set(seen.map((one) => one.purpose))) {
      const own = seen.filter((one) => one.purpose === purpose);
      expect(own.filter(({ law }) => law === "approved").length / own.length).toBeGreaterThan(0.15);
    }
  });
});
