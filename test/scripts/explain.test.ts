/**
 * `ballast explain` as a user calls it: a process, files, exit codes. The examples of
 * policies/README.md are read out of the page and run, so that the page cannot be wrong.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { base64 } from "@scure/base";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hex } from "../../policies/bitcoin/hash.ts";
import { rulesTable } from "../../policies/rules-table.ts";
import { CHANGE } from "../../policies/vault.ts";
import { EXIT_VAULT, type TestVault, TREASURY } from "../support/spend.ts";

const ROOT = join(import.meta.dirname, "../..");
const PAGE = readFileSync(join(ROOT, "policies/README.md"), "utf8");

/** The code block of this kind on the page. */
function example(kind: string): string {
  const block = new RegExp(`\`\`\`${kind}\n([\\s\\S]*?)\n\`\`\``).exec(PAGE)?.[1];
  if (block === undefined) throw new Error(`the page has no example of ${kind}`);
  return block;
}

interface Run {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function ballast(words: readonly string[], input?: string | Uint8Array): Run {
  const { status, stdout, stderr } = spawnSync(join(ROOT, "scripts/ballast"), words, {
    encoding: "utf8",
    input: input ?? "",
    cwd: tmpdir(),
  });
  return { status, stdout, stderr };
}

describe("ballast explain", () => {
  let folder = "";
  const file = (name: string) => join(folder, name);
  const save = (name: string, content: string | Uint8Array) => {
    writeFileSync(file(name), content);
    return file(name);
  };
  /** The page's example, with some files replaced. */
  const words = (changed: Readonly<Record<string, string>> = {}) => [
    "explain",
    ...["policy", "vault", "psbt", "intent", "history", "chain"].flatMap((what) => {
      const given = changed[what] ?? file(what);
      return given === "" ? [] : [`--${what}`, given];
    }),
    ...["--at", "1800000000000", "--json"],
  ];

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "ballast-explain-"));
    save("policy", example("yaml"));
    save("vault", example("json vault"));
    save("intent", example("json intent"));
    save("psbt", `${example("psbt")}\n`);
    save("history", example("json history"));
    save("chain", example("json chain"));
  });

  afterAll(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  it("approves the page's example with every file given: exit 0, every rule asked", () => {
    const { status, stdout } = ballast(words());
    const said = JSON.parse(stdout);
    expect(status).toBe(0);
    expect(said).toMatchObject({ verdict: "approved", violations: [], notes: [] });
    expect(new Set(said.rules.map(({ says }: { says: string }) => says))).toEqual(new Set(["yes"]));
    expect(said.facts).toMatchObject({ purpose: "withdrawal", feeSats: "1800", vbytes: 194 });
  });

  it("approves without intent, history and chain, and says what it assumed", () => {
    const { status, stdout } = ballast(words({ intent: "", history: "", chain: "" }));
    const said = JSON.parse(stdout);
    expect(status).toBe(0);
    expect(said.notes).toHaveLength(4);
    const unasked = said.rules.filter(({ says }: { says: string }) => says === "not asked");
    expect(unasked.map(({ rule }: { rule: string }) => rule)).toEqual([
      "not-paused",
      "chain-view-present",
      "coins-confirmed",
      "coins-as-declared",
      "coins-unclaimed",
      "one-transaction-an-intent",
      "locktime-recent",
      "outputs-as-intended",
    ]);
  });

  it("reads the PSBT as binary, as base64, with or without a line break, and from stdin", () => {
    const text = example("psbt");
    const binary = save("binary.psbt", base64.decode(text));
    expect(ballast(words({ psbt: binary })).status).toBe(0);
    expect(ballast(words({ psbt: save("bare", text) })).status).toBe(0);
    expect(ballast(words({ psbt: save("crlf", `${text}\r\n`) })).status).toBe(0);
    expect(ballast(words({ psbt: "-" }), text).status).toBe(0);
    expect(ballast(words({ psbt: "-" }), base64.decode(text)).status).toBe(0);
  });

  it("refuses another amount than the intent's: exit 3, with the rule", () => {
    const intent = JSON.parse(example("json intent"));
    intent.outputs[0].sats = String(Number(intent.outputs[0].sats) + 1);
    const { status, stdout } = ballast(words({ intent: save("more", JSON.stringify(intent)) }));
    expect(status).toBe(3);
    const { verdict, violations } = JSON.parse(stdout);
    expect(verdict).toBe("refused");
    expect(violations.map(({ rule }: { rule: string }) => rule)).toEqual(["outputs-as-intended"]);
  });

  it("holds what may pass later: exit 4, with a retry", () => {
    const chain = JSON.parse(example("json chain"));
    chain.coins[0].height = 0;
    const { status, stdout } = ballast(words({ chain: save("mempool", JSON.stringify(chain)) }));
    expect(status).toBe(4);
    const { verdict, violations } = JSON.parse(stdout);
    expect(verdict).toBe("held");
    expect(violations).toHaveLength(1);
    expect(violations[0]).toMatchObject({ rule: "coins-confirmed", retry: "in 1 block" });
  });

  it("refuses an absurd nLockTime without a height, and a late one with a height", () => {
    const bytes = base64.decode(example("psbt"));
    // nLockTime is the last four bytes of the unsigned transaction, which opens the PSBT.
    const at = 5 + 3 + (bytes[7] ?? 0) - 4;
    const locktime = (value: number) => {
      const bent = Uint8Array.from(bytes);
      new DataView(bent.buffer).setUint32(at, value, true);
      return save("late", bent);
    };
    const rulesOf = (changed: Readonly<Record<string, string>>) =>
      JSON.parse(ballast(words(changed)).stdout).violations.map(
        ({ rule }: { rule: string }) => rule,
      );
    const bare = { history: "", chain: "" };
    expect(rulesOf({ ...bare, psbt: locktime(400_000_000) })).toContain("locktime-recent");
    expect(rulesOf({ ...bare, psbt: locktime(2_000) })).not.toContain("locktime-recent");
    expect(rulesOf({ psbt: locktime(2_000) })).toContain("locktime-recent");
  });

  it("lists every violation, not the first", () => {
    const policy = example("yaml")
      .replace("sats_per_spend: 100000000", "sats_per_spend: 1")
      .replace("share_bps: 1000", "share_bps: 0")
      .replace("role: lsp", "role: trustee");
    const { stdout } = ballast(words({ policy: save("strict", policy) }));
    const rules = JSON.parse(stdout).violations.map(({ rule }: { rule: string }) => rule);
    expect(rules).toEqual(["fee-share", "spend-limit"]);
  });

  it("tells a person the same in words", () => {
    const { status, stdout } = ballast(words().filter((word) => word !== "--json"));
    expect(status).toBe(0);
    expect(stdout).toContain("APPROVED: withdrawal");
    expect(stdout).toContain("leaves the vault");
    expect(stdout).toContain("signed by user");
    expect(stdout).toMatch(/ok {8}user-signs-first/);
  });

  const text = () => example("psbt");
  const malformed: readonly (readonly [string, string, () => readonly string[]])[] = [
    ["spaces in base64", "psbt-base64", () => words({ psbt: save("x", ` ${text()}`) })],
    [
      "a line break in base64",
      "psbt-base64",
      () => words({ psbt: save("x", `${text().slice(0, 80)}\n${text().slice(80)}`) }),
    ],
    ["two line breaks after it", "psbt-base64", () => words({ psbt: save("x", `${text()}\n\n`) })],
    ["zero-width junk", "psbt-base64", () => words({ psbt: save("x", `${text()}\u200b`) })],
    ["the URL alphabet", "psbt-base64", () => words({ psbt: save("x", text().replace("/", "_")) })],
    ["an empty file", "psbt-magic", () => words({ psbt: save("x", "") })],
    [
      "a truncated PSBT",
      "psbt-truncated",
      () => words({ psbt: save("x", base64.decode(text()).slice(0, -1)) }),
    ],
    [
      "trailing bytes",
      "psbt-trailing",
      () => words({ psbt: save("x", Buffer.concat([base64.decode(text()), Buffer.of(0)])) }),
    ],
    ["256 KiB and more", "psbt-oversized", () => words({ psbt: save("x", "A".repeat(400_000)) })],
    ["no such file", "psbt", () => words({ psbt: file("absent") })],
    ["a folder", "psbt", () => words({ psbt: folder })],
    [
      "an unknown key in the policy",
      "policy",
      () => words({ policy: save("x", `${example("yaml")}\nfees2: 1\n`) }),
    ],
    [
      "a repeated key in the policy",
      "policy",
      () => words({ policy: save("x", `${example("yaml")}\nrole: lsp\n`) }),
    ],
    [
      "a missing limit",
      "policy",
      () => words({ policy: save("x", example("yaml").replace(/ {2}share_bps: .*\n/, "")) }),
    ],
    [
      "a vault with a spendable internal key",
      "vault",
      () => {
        const vault = JSON.parse(example("json vault"));
        vault.policy.keys[0] = vault.policy.keys[1].replace(/^\[.*\]/, "");
        return words({ vault: save("x", JSON.stringify(vault)) });
      },
    ],
    ["a vault that is no JSON", "vault", () => words({ vault: save("x", "{") })],
    [
      "an intent for another network",
      "intent",
      () => words({ intent: save("x", example("json intent").replace("regtest", "bitcoin")) }),
    ],
    [
      "a history with a hostile key",
      "history",
      () =>
        words({
          history: save(
            "x",
            example("json history").replace("{", '{"__proto__": {"paused": true},'),
          ),
        }),
    ],
    ["an alias in the policy", "policy", () => words({ policy: save("x", "a: &x 1\nb: *x\n") })],
    ["two files from standard input", "stdin", () => words({ psbt: "-", policy: "-" })],
    [
      "a time that is none",
      "at",
      () => words().map((word) => (word === "1800000000000" ? "soon" : word)),
    ],
  ];

  it.each(malformed)("refuses %s with code %s: exit 2", (_, code, run) => {
    const { status, stdout, stderr } = ballast(run());
    expect(stderr).toBe("");
    expect(JSON.parse(stdout).error).toMatchObject({ code, detail: expect.any(String) });
    expect(status).toBe(2);
  });

  it("says what is missing on the command line: exit 2", () => {
    const { status, stderr } = ballast(["explain", "--policy", file("policy")]);
    expect(status).toBe(2);
    expect(stderr).toContain("--vault");
  });

  it("has help that names exit codes", () => {
    const { status, stdout } = ballast(["explain", "--help"]);
    expect(status).toBe(0);
    expect(stdout).toContain("0 approved, 3 refused, 4 held");
  });
});

describe("ballast vault", () => {
  it("shows what a vault derives and that its key path is dead", () => {
    const { status, stdout } = ballast(["vault", "show", "-", "--json"], example("json vault"));
    const shown = JSON.parse(stdout);
    expect(status).toBe(0);
    expect(shown).toMatchObject({ keyPathUnspendable: true, chainCodeByConvention: true });
    expect(shown.id).toBe(JSON.parse(example("json intent")).vault);
    expect(shown.receive).toHaveLength(3);
  });

  it("composes the same vault from its three keys", () => {
    const vault = JSON.parse(example("json vault"));
    const keyOf = (role: string) => vault.policy.keys[vault.holders.indexOf(role) + 1];
    const { status, stdout } = ballast([
      ...["vault", "compose", "--network", vault.network, "--name", vault.policy.name],
      ...["--user", keyOf("user"), "--lsp", keyOf("lsp"), "--trustee", keyOf("trustee")],
    ]);
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toEqual(vault);
  });

  const compose = ({ parties }: TestVault, ...more: readonly string[]) =>
    ballast([
      ...["vault", "compose", "--network", "regtest", "--name", "Ballast test", ...more],
      ...[...parties].flatMap(([role, { text }]) => [`--${role}`, text]),
    ]);

  it("composes a vault with an exit, and shows its leaf and when it opens", () => {
    const { status, stdout } = compose(EXIT_VAULT, "--exit");
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toEqual(EXIT_VAULT.vault.document);
    const words = ballast(["vault", "show", "-", "--count", "1"], stdout).stdout;
    expect(words).toContain("in block h + 26280");
    expect(words).toContain(hex(EXIT_VAULT.scripts.at(CHANGE, 0).exit?.leaf ?? new Uint8Array(0)));
    const plain = ballast(["vault", "show", "-"], example("json vault")).stdout;
    expect(plain).toContain("No exit");
  });

  it("composes no exit for the house, whose coins may lie in escrow", () => {
    expect(compose(TREASURY, "--exit")).toMatchObject({
      status: 2,
      stderr: expect.stringContaining("only a user's vault has an exit"),
    });
    const escrow = compose(TREASURY, "--escrow");
    expect(JSON.parse(escrow.stdout)).toEqual({ ...TREASURY.vault.document, kind: "escrow" });
  });
});

describe("policies/README.md", () => {
  it("has the table of rules that the law generates", () => {
    const shown = /<!-- rules: .*? -->\n([\s\S]*?)\n<!-- \/rules -->/.exec(PAGE)?.[1];
    expect(shown).toBe(rulesTable());
  });

  it("has the policy that is in force on regtest", () => {
    expect(example("yaml")).toBe(
      readFileSync(join(ROOT, "policies/lsp.regtest.yaml"), "utf8").trim(),
    );
  });
});
