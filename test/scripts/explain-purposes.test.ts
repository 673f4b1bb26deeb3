/**
 * `ballast explain` of a spend that rests on evidence: every document as a file, as an outsider would
 * give them, and the refusals that a bent one brings.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ChainView } from "../../policies/chain-view.ts";
import { writeIntent } from "../../policies/intent.ts";
import { mandateText } from "../support/proofs.ts";
import { collect, LAW } from "../support/purposes.ts";
import { HEIGHT, honest, type Spend, TREASURY, USER_VAULT } from "../support/spend.ts";

const ROOT = join(import.meta.dirname, "../..");
let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ballast-explain-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Every document of the spend, by the option that takes it. */
function documents({ bytes, intent, evidence, case: { chain } }: Spend) {
  if (chain === null) throw new Error("the spend has no chain view");
  return {
    policy: LAW,
    vault: [USER_VAULT, TREASURY].map(({ vault }) => vault.document),
    psbt: Buffer.from(bytes).toString("base64"),
    intent: writeIntent(intent),
    history: {
      format: "ballast/history@1",
      paused: false,
      height: HEIGHT,
      claims: [],
      notices: [{ text: mandateText(USER_VAULT), height: HEIGHT - 100 }],
    },
    chain: written(chain),
    evidence,
  };
}

function written({ height, tip, medianTime, coins, vaults, blocks }: ChainView) {
  const text = (value: bigint) => String(value);
  return {
    ...{ format: "ballast/chain@1", height, tip, medianTime },
    coins: [...coins].flatMap(([outpoint, coin]) => {
      if (coin.kind === "missing") return [];
      const { kind: _, sats, ...rest } = coin;
      return [{ outpoint, sats: text(sats), ...rest }];
    }),
    vaults: [...vaults].map(([vault, known]) => ({
      vault,
      coins: known.map((coin) => ({ ...coin, sats: text(coin.sats) })),
    })),
    blocks: [...blocks].map(([at, hash]) => ({ height: at, hash })),
  };
}

function explain(all: ReturnType<typeof documents>, without: readonly string[] = []) {
  const words = Object.entries(all)
    .filter(([option]) => !without.includes(option))
    .flatMap(([option, value]) => {
      const values: readonly unknown[] = Array.isArray(value) ? value : [value];
      const files = values.map((one, i) => {
        const file = join(folder, `${option}-${i}`);
        writeFileSync(file, typeof one === "string" ? one : JSON.stringify(one));
        return file;
      });
      return [`--${option}`, ...files];
    });
  const at = ["--at", "1800000000000", "--json"];
  const run = spawnSync(join(ROOT, "scripts/ballast"), ["explain", ...words, ...at], {
    encoding: "utf8",
  });
  const said = JSON.parse(run.stdout) as { violations?: { rule: string }[]; error?: unknown };
  const rules = [...new Set(said.violations?.map(({ rule }) => rule))];
  return { status: run.status, rules, error: said.error };
}

describe("ballast explain of a collect", () => {
  const honestly = () => documents(honest(collect()));

  it("approves it with all of its evidence: exit 0", () => {
    expect(explain(honestly())).toEqual({ status: 0, rules: [], error: undefined });
  }, 60_000);

  it("refuses it without evidence, and without the mandate: exit 3", () => {
    expect(explain(honestly(), ["evidence"])).toMatchObject({
      status: 3,
      rules: ["votes-agree", "statement-signed", "own-guardian", "account-proven"],
    });
    expect(explain(honestly(), ["history"])).toMatchObject({ status: 3, rules: ["mandate-live"] });
  }, 60_000);

  it("refuses one that takes a sat of the claim, and evidence that is none: exits 3 and 2", () => {
    const greedy = documents(honest(collect({ returned: 2_102_002n })));
    expect(explain(greedy)).toMatchObject({ status: 3, rules: ["collect-leaves-claim"] });
    const broken = { ...honestly(), evidence: { format: "ballast/evidence@1", votes: [{}] } };
    expect(explain(broken as never)).toMatchObject({ status: 2, error: { code: "evidence" } });
  }, 60_000);
});
