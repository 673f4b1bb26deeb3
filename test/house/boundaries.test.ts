/**
 * Each import boundary of the architecture is broken once on purpose: a boundary that does not bite
 * here would let the rooms grow into one another unseen.
 */
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";

const ROOT = join(import.meta.dirname, "../..");
const BIOME = join(ROOT, "node_modules/.bin/biome");

interface Broken {
  readonly file: string;
  readonly source: string;
}

/** Lints the sources as if they were files of the project; the rules that fired, by file. */
function lint(all: readonly Broken[]): ReadonlyMap<string, readonly string[]> {
  const root = mkdtempSync(join(tmpdir(), "ballast-boundaries-"));
  try {
    const config = JSON.parse(readFileSync(join(ROOT, "biome.json"), "utf8"));
    // Outside the checkout there is no git to ask; everything else is the project's own.
    writeFileSync(join(root, "biome.json"), JSON.stringify({ ...config, vcs: { enabled: false } }));
    cpSync(join(ROOT, "package.json"), join(root, "package.json"));
    for (const { file, source } of all) {
      mkdirSync(dirname(join(root, file)), { recursive: true });
      writeFileSync(join(root, file), source);
    }
    const { stdout } = spawnSync(
      BIOME,
      ["lint", "--reporter=json", "--max-diagnostics=none", "--colors=off", "."],
      { cwd: root, encoding: "utf8" },
    );
    const { diagnostics } = JSON.parse(stdout) as {
      diagnostics: { category: string; location: { path: string | { file: string } } }[];
    };
    const fired = new Map<string, string[]>();
    for (const { category, location } of diagnostics) {
      const path = typeof location.path === "string" ? location.path : location.path.file;
      fired.set(path, [...(fired.get(path) ?? []), category]);
    }
    return fired;
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

const use = (from: string) => `import { x } from "${from}";\nexport const y = x;\n`;

interface Crossing {
  readonly file: string;
  readonly from: string;
}

const forbidden: readonly Crossing[] = [
  { file: "policies/broken.ts", from: "../signer/guard.ts" },
  { file: "policies/broken.ts", from: "../orchestrator/main.ts" },
  { file: "policies/broken.ts", from: "node:fs" },
  { file: "policies/broken.ts", from: "node:crypto" },
  { file: "policies/broken.ts", from: "better-sqlite3" },
  { file: "policies/broken.ts", from: "express" },
  { file: "policies/bitcoin/broken.ts", from: "../../signer/guard.ts" },
  { file: "policies/bitcoin/broken.ts", from: "node:fs" },
  { file: "policies/bitcoin/broken.ts", from: "../rules.ts" },
  { file: "policies/rules/broken.ts", from: "../../signer/guard.ts" },
  { file: "policies/rules/broken.ts", from: "node:fs" },
  { file: "policies/rules/broken.ts", from: "tiny-secp256k1" },
  { file: "policies/evidence/broken.ts", from: "../../signer/guard.ts" },
  { file: "policies/evidence/broken.ts", from: "node:fs" },
  { file: "policies/document/broken.ts", from: "../../signer/guard.ts" },
  { file: "policies/document/broken.ts", from: "node:fs" },
  { file: "test/fuzz/model.ts", from: "../../policies/decide.ts" },
  { file: "signer/broken.ts", from: "../orchestrator/main.ts" },
  { file: "signer/broken.ts", from: "../scripts/start.ts" },
  { file: "signer/broken.ts", from: "../test/support/spend.ts" },
  { file: "signer/pkcs11/broken.ts", from: "../../orchestrator/main.ts" },
  { file: "signer/broken.ts", from: "pkcs11js" },
  { file: "orchestrator/broken.ts", from: "../signer/guard.ts" },
  { file: "orchestrator/spend/broken.ts", from: "../../signer/open.ts" },
  { file: "orchestrator/spend/broken.ts", from: "../../signer/journal.ts" },
  { file: "orchestrator/api/broken.ts", from: "../../scripts/start.ts" },
  { file: "orchestrator/io/broken.ts", from: "../../signer/node/chain.ts" },
  { file: "orchestrator/api/broken.ts", from: "../../signer/service/remote.ts" },
  { file: "orchestrator/api/broken.ts", from: "pkcs11js" },
  { file: "orchestrator/main.ts", from: "../test/support/spend.ts" },
  { file: "scripts/broken.ts", from: "../test/support/spend.ts" },
  { file: "test/support/ledger-app/broken.ts", from: "../../../policies/vault.ts" },
  { file: "test/support/ledger-app/broken.ts", from: "../../../signer/signer.ts" },
  { file: "test/support/ledger-app/broken.ts", from: "../spend.ts" },
  { file: "test/support/ledger-app/broken.ts", from: "ledger-bitcoin" },
];

const allowed: readonly Crossing[] = [
  { file: "policies/fine.ts", from: "./money.ts" },
  { file: "policies/fine.ts", from: "./bitcoin/psbt.ts" },
  { file: "policies/fine.ts", from: "zod" },
  { file: "policies/fine.ts", from: "@noble/hashes/sha2.js" },
  { file: "policies/rules/fine.ts", from: "../facts.ts" },
  { file: "policies/rules/fine.ts", from: "./rule.ts" },
  { file: "policies/rules/fine.ts", from: "../bitcoin/hash.ts" },
  { file: "policies/bitcoin/fine.ts", from: "./wire.ts" },
  { file: "policies/bitcoin/fine.ts", from: "../money.ts" },
  { file: "signer/fine.ts", from: "../policies/decide.ts" },
  { file: "signer/pkcs11/cryptoki.ts", from: "pkcs11js" },
  { file: "orchestrator/spend/fine.ts", from: "../../signer/signer.ts" },
  { file: "orchestrator/spend/fine.ts", from: "../../policies/facts.ts" },
  { file: "orchestrator/io/fine.ts", from: "../../signer/node/bitcoind.ts" },
  { file: "orchestrator/main.ts", from: "../signer/service/remote.ts" },
  { file: "scripts/fine.ts", from: "../signer/room.ts" },
  { file: "test/support/ledger-app/fine.ts", from: "./seed.ts" },
  { file: "test/support/ledger-app/fine.ts", from: "node:http" },
  { file: "test/support/ledger-app/fine.ts", from: "@scure/btc-signer/utils.js" },
];

/** `policies/broken.ts` and the like become files of their own; the name of main.ts matters. */
function numbered({ file, from }: Crossing, i: number): Broken {
  return { file: file.replace(/(broken|fine)/, `$1-${i}`), source: use(from) };
}

const impure = [
  "Date.now()",
  "process.env",
  "crypto.randomUUID()",
  "fetch('https://example.org')",
  "globalThis.Date",
  "Buffer.from('00', 'hex')",
  "setTimeout(() => undefined, 1)",
  "performance.now()",
];

const untidy: readonly (readonly [string, string, string])[] = [
  ["a default export", "export default 1;\n", "noDefaultExport"],
  ["a barrel", 'export * from "./guard.ts";\n', "noBarrelFile"],
  ["any", "export const y = (x: any) => x;\n", "noExplicitAny"],
  ["console", "console.log(1);\n", "noConsole"],
  ["a non-null assertion", "export const y = (x?: string) => x!;\n", "noNonNullAssertion"],
  [
    "a floating promise",
    "async function f() {}\nexport function g() {\n  f();\n}\n",
    "noFloatingPromises",
  ],
];

describe("the linter's boundaries", () => {
  let fired: ReadonlyMap<string, readonly string[]>;
  let passed: ReadonlyMap<string, readonly string[]>;

  beforeAll(() => {
    fired = lint([
      ...forbidden.map(numbered),
      ...impure.map((code, i) => ({
        file: `policies/impure-${i}.ts`,
        source: `export const y = () => ${code};\n`,
      })),
      ...untidy.map(([, source], i) => ({ file: `signer/untidy-${i}.ts`, source })),
      { file: "signer/Broken.ts", source: "export const y = 1;\n" },
    ]);
    passed = lint([
      ...allowed.map(numbered),
      { file: "policies/pure.ts", source: "export const y = (a: bigint) => a + 1n;\n" },
    ]);
  });

  const rulesOf = (all: ReadonlyMap<string, readonly string[]>, file: string) =>
    (all.get(file) ?? []).map((category) => category.split("/").at(-1));

  it.each(forbidden.map((crossing, i) => ({ ...crossing, i })))(
    "$file must not import $from",
    ({ i, ...crossing }) => {
      expect(rulesOf(fired, numbered(crossing, i).file)).toContain("noRestrictedImports");
    },
  );

  it.each(allowed.map((crossing, i) => ({ ...crossing, i })))(
    "$file may import $from",
    ({ i, ...crossing }) => {
      expect(rulesOf(passed, numbered(crossing, i).file)).not.toContain("noRestrictedImports");
    },
  );

  it.each(impure.map((code, i) => ({ code, i })))("the law must not use $code", ({ i }) => {
    expect(rulesOf(fired, `policies/impure-${i}.ts`)).toContain("noRestrictedGlobals");
  });

  it("the law may compute", () => {
    expect(rulesOf(passed, "policies/pure.ts")).toEqual([]);
  });

  it.each(untidy.map(([what, , rule], i) => ({ what, rule, i })))(
    "refuses $what",
    ({ rule, i }) => {
      expect(rulesOf(fired, `signer/untidy-${i}.ts`)).toContain(rule);
    },
  );

  it("refuses a file name in another case", () => {
    expect(rulesOf(fired, "signer/Broken.ts")).toContain("useFilenamingConvention");
  });
});
