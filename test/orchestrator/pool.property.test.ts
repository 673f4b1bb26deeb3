/** Random histories (test/support/pool-history.ts), and their logs replayed in another process. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { history, runHistory, type Told, WANTED } from "../support/pool-history.ts";

const SECOND = join(import.meta.dirname, "../support/pool-second.ts");
const HISTORIES = 1_000;

describe(`${HISTORIES} random histories`, () => {
  const told: Told[] = [];

  it("conserve every msat, never throw, and agree with the pool of objects", () => {
    fc.assert(
      fc.property(history, (one) => {
        told.push(runHistory(one));
      }),
      { numRuns: HISTORIES },
    );
    expect(told).toHaveLength(HISTORIES);
    const seen = new Set(told.flatMap((one) => [...one.seen]));
    expect(WANTED.filter((what) => !seen.has(what))).toEqual([]);
  });

  it("come to the same states in a second process", () => {
    const { stdout, status, stderr } = spawnSync(process.execPath, ["--import", "tsx", SECOND], {
      input: JSON.stringify(told.map(({ log }) => log)),
      encoding: "utf8",
      maxBuffer: 1 << 28,
    });
    expect(stderr).toBe("");
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toEqual(told.map(({ state }) => state));
  });
});
