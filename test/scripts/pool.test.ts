/** `ballast pool replay` as a person calls it, over the worked example that ships. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";

const ROOT = join(import.meta.dirname, "../..");
const EXAMPLE = join(ROOT, "orchestrator/pool/worked-example.jsonl");
const text = readFileSync(EXAMPLE, "utf8");

function replay(input: string, ...more: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(
    join(ROOT, "scripts/ballast"),
    ["pool", "replay", "-", ...more],
    { input, encoding: "utf8" },
  );
  return { status, stdout, stderr };
}

describe("ballast pool replay", () => {
  it("comes to what the example says", () => {
    const { status, stdout } = replay(text);
    expect(stdout).toContain(
      "cycle 2: 1250000 cents/BTC, fee 5000 ppb, seeks 599999, provides 600000",
    );
    expect(stdout).toContain("seeker: idle 0, staged 550094, locked 574999");
    expect(stdout).toMatch(/state: [0-9a-f]{64}\n$/);
    expect(status).toBe(0);
  });

  it("tells machines the same, a line a cycle", () => {
    const { stdout } = replay(text, "--json");
    const lines = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines).toHaveLength(5);
    expect(lines[2].cycle).toMatchObject({ index: 2, feePpb: "5000", feesMsats: "4" });
    expect(lines.at(-1)).toMatchObject({ heldMsats: "1700100" });
  });

  it.each([
    ["a staged amount", '"staged_msats": 500097', '"staged_msats": 499997', 9],
    ["a fee", '"fees_msats": 4', '"fees_msats": 3', 8],
    ["an operation", '"msats": 1100100', '"msats": 1100000', 9],
    ["a vote", '"price": 1250000}', '"price": 1250001}', 8],
    ["an answer", ', "refused": "CannotCancelAutoRenewal"', "", 15],
  ])("ends at the first line that does not hold: %s", (_, from, to, line) => {
    const { status, stderr } = replay(text.replace(from, to));
    expect(stderr).toContain(`line ${line}: `);
    expect(status).toBe(3);
  });

  it.each([
    ["nothing", ""],
    ["no JSON", "{"],
    ["another format", '{"format":"ballast/pool-log@2","config":{}}'],
    ["an unknown key", `${text}{"vote":{},"more":1}\n`],
  ])("refuses what is no log: %s", (_, input) => {
    expect(replay(input).status).toBe(2);
  });
});
