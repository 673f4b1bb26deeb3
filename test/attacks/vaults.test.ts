/** What must never be registered: a signer signs for registered vaults alone. */
import { describe, expect, it } from "vitest";
import { readVault, type VaultDocument, VaultError } from "../../policies/vault.ts";
import { EXIT_VAULT, OTHER_VAULT, party, USER_VAULT } from "../support/spend.ts";

const HONEST: VaultDocument = USER_VAULT.vault.document;
const KEYS = HONEST.policy.keys;
const [INTERNAL = "", FIRST = "", SECOND = "", THIRD = ""] = KEYS;

function refuses(policy: Partial<VaultDocument["policy"]>): void {
  const bent = { ...HONEST, policy: { ...HONEST.policy, ...policy } };
  expect(() => readVault(bent)).toThrow(VaultError);
}

it("the honest one is read", () => {
  expect(readVault(HONEST).id).toBe(USER_VAULT.vault.id);
});

describe("attack 42: an internal key that somebody could spend with", () => {
  it("a cosigner's", () => refuses({ keys: [FIRST.replace(/^\[.*\]/, ""), FIRST, SECOND, THIRD] }));
  it("an attacker's", () =>
    refuses({ keys: [party("attacker").account.publicExtendedKey, FIRST, SECOND, THIRD] }));
});

describe("attack 43: an internal key that is not provably nobody's", () => {
  it("with an origin", () => refuses({ keys: [`[00000000/1]${INTERNAL}`, FIRST, SECOND, THIRD] }));
});

describe("attack 53: another threshold or template", () => {
  it.each([
    "tr(@0/**,sortedmulti_a(1,@1/**,@2/**,@3/**))",
    "tr(@0/**,sortedmulti_a(3,@1/**,@2/**,@3/**))",
    "tr(@0/**,multi_a(2,@1/**,@2/**,@3/**))",
    "tr(@1/**,sortedmulti_a(2,@1/**,@2/**,@3/**))",
    "wsh(sortedmulti(2,@1/**,@2/**,@3/**))",
    "tr(@0/**,sortedmulti_a(2,@1/**,@2/**,@3/**)) ",
    "tr(@0/<0;1>/*,sortedmulti_a(2,@1/<0;1>/*,@2/<0;1>/*,@3/<0;1>/*))",
  ])("%s", (template) => refuses({ template }));
});

describe("attack 56: a key in two places", () => {
  it("repeated", () => refuses({ keys: [INTERNAL, FIRST, FIRST, THIRD] }));
  it("on one leaf twice", () =>
    refuses({ template: "tr(@0/**,sortedmulti_a(2,@1/**,@1/**,@3/**))" }));
  it("in a second leaf on the same branches", () =>
    refuses({ template: "tr(@0/**,{sortedmulti_a(2,@1/**,@2/**,@3/**),pk(@1/**)})" }));
});

/** The one vault that has a second leaf, with that leaf bent: test/policies/exit.test.ts has more. */
function refusesExit(bend: (template: string) => string): void {
  const { document } = EXIT_VAULT.vault;
  const template = bend(document.policy.template);
  expect(template).not.toBe(document.policy.template);
  const bent = { ...document, policy: { ...document.policy, template } };
  expect(() => readVault(bent)).toThrow(VaultError);
}

describe("attack 56: the user's key in both leaves of a vault with an exit", () => {
  it.each(["/<0;1>/*", "/**", "/<1;2>/*", "/<0;3>/*"])("on %s", (branches) =>
    refusesExit((template) => template.replace("/<2;3>/*", branches)),
  );
});

describe("attack 67: a hardened step in an exit", () => {
  it.each(["/<2';3'>/*", "/<2;3>/*'", "/0'/<2;3>/*"])("%s", (steps) =>
    refusesExit((template) => template.replace("/<2;3>/*", steps)),
  );
});

describe("attack 68: an exit after a time that means nothing, or another", () => {
  it.each(["older(0)", "older(65536)", "older(26279)", "older(4220584)", "after(26280)"])(
    "%s",
    (lock) => refusesExit((template) => template.replace("older(26280)", lock)),
  );
});

describe("attack 67: steps that an xpub cannot take, or overlapping ones", () => {
  it.each([
    "tr(@0/**,sortedmulti_a(2,@1/0'/**,@2/**,@3/**))",
    "tr(@0/**,sortedmulti_a(2,@1/<0;1>/*,@2/**,@3/**))",
    "tr(@0/**,sortedmulti_a(2,@1/<0;0>/*,@2/**,@3/**))",
  ])("%s", (template) => refuses({ template }));
  it("a hardened step after the key", () =>
    refuses({ keys: [INTERNAL, `${FIRST}/0'`, SECOND, THIRD] }));
});

describe("attack 68: timelocks that mean nothing", () => {
  it.each(["older(0)", "older(4194304)", "older(2147483648)", "after(0)", "after(500000000)"])(
    "%s",
    (lock) =>
      refuses({
        template: `tr(@0/**,{sortedmulti_a(2,@1/**,@2/**,@3/**),and_v(v:pk(@1/<2;3>/*),${lock})})`,
      }),
  );
});

describe("attack 97: key texts with two readings", () => {
  it.each([
    ["h for '", FIRST.replaceAll("'", "h")],
    ["no origin", FIRST.replace(/^\[.*\]/, "")],
    ["a path after it", `${FIRST}/0`],
    ["a bracket too many", `${FIRST})`],
    ["a changed checksum", `${FIRST.slice(0, -1)}${FIRST.endsWith("1") ? "2" : "1"}`],
    ["another network", FIRST.replace("tpub", "xpub")],
  ])("%s", (_, key) => refuses({ keys: [INTERNAL, key, SECOND, THIRD] }));
});

it("attack 3: a cosigner's key of another vault is another vault, under another id", () => {
  const other = OTHER_VAULT.vault.document.policy.keys[1] ?? "";
  const keys = [INTERNAL, ...[FIRST, SECOND, other]];
  try {
    const vault = readVault({ ...HONEST, policy: { ...HONEST.policy, keys } });
    expect(vault.id).not.toBe(USER_VAULT.vault.id);
  } catch (error) {
    expect(error).toBeInstanceOf(VaultError);
  }
});
