/** `ballast vault` and `ballast exit-kit`, called as a person calls it. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HDKey } from "@scure/bip32";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { EXIT_VAULT, USER_VAULT } from "../support/spend.ts";

const ROOT = join(import.meta.dirname, "../..");

function ballast(words: readonly string[]) {
  return spawnSync(join(ROOT, "scripts/ballast"), words, { encoding: "utf8" });
}

describe("ballast vault", () => {
  let folder = "";
  const save = (name: string, content: unknown) => {
    const path = join(folder, name);
    writeFileSync(path, JSON.stringify(content));
    return path;
  };

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "ballast-vault-"));
  });
  afterAll(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  const chain = (vault: string, heights: readonly number[]) => ({
    format: "ballast/chain@1",
    height: 30_000,
    tip: "00".repeat(32),
    medianTime: 1_800_000_000,
    coins: [],
    vaults: [
      {
        vault,
        coins: heights.map((height, i) => ({
          outpoint: `${"11".repeat(32)}:${i}`,
          sats: "1000",
          height,
        })),
      },
    ],
  });

  it("coins: when each opens, and which want a refresh", () => {
    const vault = save("exit.json", EXIT_VAULT.vault.document);
    const coins = save("chain.json", chain(EXIT_VAULT.vault.id, [0, 29_000, 14_000, 8_977, 3_721]));
    const { status, stdout } = ballast(["vault", "coins", vault, "--coins", coins]);
    expect(status).toBe(0);
    expect(
      stdout
        .trimEnd()
        .split("\n")
        .slice(2)
        .map((line) => line.replace(/^.*1000 sats: ?/, "")),
    ).toEqual([
      "unconfirmed, its timelock has not begun",
      "opens at block 55280, in 25279 blocks, about 175 days; rests",
      "opens at block 40280, in 10279 blocks, about 71 days; may be refreshed",
      "opens at block 35257, in 5256 blocks, about 36 days; must be refreshed soon",
      "opens at block 30001; OPEN: the user's key alone is enough",
    ]);
  });

  it("coins: those of a vault without an exit never open", () => {
    const vault = save("plain.json", USER_VAULT.vault.document);
    const coins = save("plain-chain.json", chain(USER_VAULT.vault.id, [1]));
    const { stdout } = ballast(["vault", "coins", vault, "--coins", coins]);
    expect(stdout).toMatch(/takes two of the three keys, for ever/);
  });

  it("coins: wants a word of somebody, of this vault", () => {
    const vault = save("exit.json", EXIT_VAULT.vault.document);
    const other = save("other-chain.json", chain(USER_VAULT.vault.id, []));
    for (const [words, reason] of [
      [[], /name --coins or --node/],
      [["--coins", other], /nothing is said of vault/],
      [["--coins", other, "--node", "http://127.0.0.1:1"], /two stories/],
      [["--node", "http://a:b@127.0.0.1:1"], /cannot be reached/],
    ] as const) {
      const run = ballast(["vault", "coins", vault, ...words]);
      expect(run).toMatchObject({ status: 2, stderr: expect.stringMatching(reason) });
    }
  });

  it("exit-kit writes into a new folder, and never over an older kit", () => {
    const vault = save("exit.json", EXIT_VAULT.vault.document);
    const out = join(folder, "kit");
    expect(ballast(["exit-kit", "--vault", vault, "--out", out]).status).toBe(0);
    expect(readdirSync(out).sort()).toEqual([
      "README.md",
      "bsms.txt",
      "descriptor.txt",
      "exit.sh",
      "labels.jsonl",
      "policy.json",
    ]);
    const again = ballast(["exit-kit", "--vault", vault, "--out", out]);
    expect(again).toMatchObject({ status: 2, stderr: expect.stringMatching(/is not empty/) });
  });

  it("import-pulser: addresses and the reasons why it is only watched", () => {
    const keys = [1, 2, 3].map((n) =>
      HDKey.fromMasterSeed(new Uint8Array(32).fill(n), { private: 0x04358394, public: 0x043587cf }),
    );
    const [lsp = "", trustee = "", user = ""] = keys.map((key) => key.publicExtendedKey);
    const internal = "c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5";
    const descriptor = `tr(${internal},multi_a(2,${lsp}/*,${trustee}/*,${user}/*))`;
    const record = {
      user_id: 7,
      wallet_descriptor: descriptor,
      internal_descriptor: descriptor,
      lsp_pubkey: lsp,
      trustee_pubkey: trustee,
      user_pubkey: user,
    };
    const file = save("user_7_public.json", record);
    const words = ballast(["vault", "import-pulser", file, "--count", "2"]);
    expect(words.status).toBe(0);
    expect(words.stdout).toMatch(/user 7 on testnet: watched, never paid into/);
    expect(words.stdout).toMatch(/not provably unspendable/);
    expect(words.stdout.match(/tb1p\w{58}/g)).toHaveLength(4);
    const json = ballast(["vault", "import-pulser", file, "--json"]);
    expect(JSON.parse(json.stdout)).toMatchObject({
      document: { format: "ballast/pulser-vault@1", user: "7", network: "testnet" },
    });
    const bent = save("bent.json", { ...record, lsp_pubkey: trustee });
    expect(ballast(["vault", "import-pulser", bent])).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/key of the lsp is not the recorded one/),
    });
    // Nothing that takes a vault takes this one.
    expect(ballast(["vault", "show", file]).status).toBe(2);
  });
});
