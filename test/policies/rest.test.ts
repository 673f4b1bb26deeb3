/** Both sides of each bound of a coin's rest, and the list of coins that want a refresh. */
import { describe, expect, it } from "vitest";
import { EXIT_BLOCKS } from "../../policies/exit.ts";
import { refreshList, restOf } from "../../policies/rest.ts";

const HEIGHT = 1_000;
const at = (age: number) => restOf({ height: HEIGHT, tip: HEIGHT + age - 1, blocks: EXIT_BLOCKS });

describe("a coin with a timelock", () => {
  it.each([
    [1, "resting"],
    [15_767, "resting"],
    [15_768, "ripe"],
    [21_023, "ripe"],
    [21_024, "due"],
    [26_279, "due"],
    [26_280, "open"],
    [50_000, "open"],
  ] as const)("of %i blocks is %s", (age, state) => {
    expect(at(age)).toEqual({ age, opensAt: HEIGHT + EXIT_BLOCKS, state });
  });

  it("has not begun to rest in the mempool", () => {
    const rest = restOf({ height: 0, tip: 900_000, blocks: EXIT_BLOCKS });
    expect(rest).toEqual({ age: 0, opensAt: null, state: "resting" });
  });

  it.each([
    [5, [0, 1, 2, 3, 4, 5].map((age) => at3(age, 5))],
    [1, ["resting", "open", "open", "open", "open", "open"]],
  ] as const)("of %i blocks only rounds its bounds up", (blocks, states) => {
    const said = [0, 1, 2, 3, 4, 5].map(
      (age) => restOf({ height: age === 0 ? 0 : 10, tip: 10 + age - 1, blocks }).state,
    );
    expect(said).toEqual(states);
  });
});

/** By fractions instead of percents: 3 of 5 and 4 of 5 are whole. */
function at3(age: number, blocks: number): string {
  if (age === blocks) return "open";
  return age * 5 >= 4 * blocks ? "due" : age * 5 >= 3 * blocks ? "ripe" : "resting";
}

describe("the list of coins that want a refresh", () => {
  it("leaves out what rests, and begins with what has rested longest", () => {
    const tip = 100_000;
    const coins = [15_767, 15_768, 26_280, 21_024].map((age) => ({
      outpoint: `age ${age}`,
      height: tip - age + 1,
    }));
    const list = refreshList([...coins, { outpoint: "mempool", height: 0 }], {
      tip,
      blocks: EXIT_BLOCKS,
    });
    expect(list.map(({ outpoint, state }) => [outpoint, state])).toEqual([
      ["age 26280", "open"],
      ["age 21024", "due"],
      ["age 15768", "ripe"],
    ]);
  });
});
