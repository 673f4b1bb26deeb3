/** What the app registers and what it refuses, case by case (observed on the real app 2.4.6). */
import { hex } from "@scure/base";
import { describe, expect, it } from "vitest";
import { openApp } from "../support/ledger-app/app.ts";
import { type Review, reader } from "../support/ledger-app/review.ts";
import { type PolicyText, register } from "../support/ledger-host.ts";
import {
  accountKey,
  EXIT,
  MULTI,
  rootOf,
  unspendableKey,
  WORDS,
} from "../support/ledger-policies.ts";

const [NUMS = "", USER = "", TRUSTEE = "", LSP = ""] = MULTI.keys;
const SECOND = accountKey("user", { path: "48'/1'/1'/2'" });
const HASH = "00".repeat(32);
/** Of BIP32's first test vector. */
const MAIN_KEY =
  "xpub661MyMwAqRbcFtXgS5sYJABqqG9YLmC4Q1Rdap9gSE8NqtwybGhePY2gZ29ESFjqJoCu1Rupje8YtGqsefD265TMg7usUDFdp6W1EGMcet8";

const tr = (tree: string, keys: readonly string[] = MULTI.keys): PolicyText => ({
  name: "Ballast",
  template: `tr(@0/**,${tree})`,
  keys,
});
const plain = (template: string, keys: readonly string[]): PolicyText => ({
  name: "Ballast",
  template,
  keys,
});
const named = (name: string): PolicyText => ({ ...MULTI, name });
/** A leaf with the user's key and a timelock. */
const older = (value: number | string): PolicyText =>
  tr(`and_v(v:pk(@1/**),older(${value}))`, [NUMS, USER]);
const multi = (count: number): PolicyText =>
  tr(`multi_a(1,${Array.from({ length: count }, (_, i) => `@${i + 1}/**`).join(",")})`, [
    NUMS,
    ...Array.from({ length: count }, (_, i) => accountKey("user", { path: `48'/1'/${i}'/2'` })),
  ]);
/** A tree that leans to the right. */
const deep = (depth: number): PolicyText => {
  const leaf = (i: number): string => `pk(@1/<${2 * i};${2 * i + 1}>/*)`;
  const tree = (i: number): string => (i === depth ? leaf(i) : `{${leaf(i)},${tree(i + 1)}}`);
  return tr(tree(0), [NUMS, USER]);
};

/** Leaves of hashes and numbers until the template is so long. */
const sized = (length: number): PolicyText => {
  const hash = `and_v(v:sha256(${HASH}),`.repeat(4);
  const fill = (branches: string): PolicyText =>
    tr(`${hash}multi_a(1,${branches})${")".repeat(4)}`, [NUMS, USER]);
  for (let count = 1; count < 16; count++) {
    for (let digits = 1; digits <= 10; digits++) {
      const pairs = Array.from({ length: count }, (_, i) =>
        i > 0 ? `@1/<${100 + 2 * i};${101 + 2 * i}>/*` : `@1/<0;${"1".padEnd(digits, "0")}>/*`,
      );
      const policy = fill(pairs.join(","));
      if (policy.template.length === length) return policy;
    }
  }
  throw new Error(`no template of ${length} characters`);
};

const accepted: Readonly<Record<string, PolicyText>> = {
  "the vault": MULTI,
  "another chain code of the unspendable key": {
    ...MULTI,
    keys: [unspendableKey(0), USER, TRUSTEE, LSP],
  },
  multi_a: tr("multi_a(2,@1/**,@2/**,@3/**)"),
  "keys in another order": plain("tr(@3/**,sortedmulti_a(2,@0/**,@1/**,@2/**))", [
    USER,
    TRUSTEE,
    LSP,
    NUMS,
  ]),
  "three leaves of two keys": tr(
    "{and_v(v:pk(@1/**),pk(@2/**)),{and_v(v:pk(@1/<2;3>/*),pk(@3/**)),and_v(v:pk(@2/<2;3>/*),pk(@3/<2;3>/*))}}",
  ),
  "the vault with an exit": EXIT,
  "multi_a with a delay": tr("and_v(v:multi_a(2,@1/**,@2/**,@3/**),older(52560))"),
  "multi_a with a height": tr("and_v(v:multi_a(2,@1/**,@2/**,@3/**),after(800000))"),
  "a hash lock": tr(`and_v(v:pk(@1/**),sha256(${HASH}))`, [NUMS, USER]),
  "wsh(sortedmulti)": plain("wsh(sortedmulti(2,@0/**,@1/**,@2/**))", [USER, TRUSTEE, LSP]),
  "an aggregate of two": plain("tr(musig(@0,@1)/**,pk(@2/**))", [USER, TRUSTEE, LSP]),
  "an aggregate of three": plain("tr(musig(@0,@1,@2)/**)", [USER, TRUSTEE, LSP]),
  "a spendable internal key": plain(MULTI.template, [
    rootOf("lsp").derive("m/9'").publicExtendedKey,
    USER,
    TRUSTEE,
    LSP,
  ]),
  "two keys of one seed": plain(MULTI.template, [NUMS, USER, SECOND, LSP]),
  "a name of 64 characters": named("x".repeat(64)),
  "a name with a space inside": named("my vault"),
  "a threshold of all keys": tr("sortedmulti_a(3,@1/**,@2/**,@3/**)"),
  "the longest delay in blocks": older(65535),
  "the shortest delay in time": older(2 ** 22 + 1),
  "the longest delay in time": older(2 ** 22 + 65535),
  "fourteen keys in a leaf": multi(14),
  "a tree of nine levels": deep(9),
  "a template of 512 characters": sized(512),
  "an alternative": tr("or_d(pk(@1/**),pk(@2/**))", [NUMS, USER, TRUSTEE]),
};

const refused: Readonly<Record<string, [policy: PolicyText, status: string]>> = {
  "one key expression twice": [
    tr("{pk(@1/**),and_v(v:pk(@2/**),pk(@1/**))}", [NUMS, USER, LSP]),
    "00016a82",
  ],
  "branches that meet": [tr("{pk(@1/<0;1>/*),pk(@1/<1;2>/*)}", [NUMS, USER]), "00016a82"],
  "one public key twice": [plain(MULTI.template, [NUMS, USER, TRUSTEE, TRUSTEE]), "00016a82"],
  "no own key": [tr("pk(@1/**)", [NUMS, LSP]), "00026a80"],
  "the own key under another fingerprint": [
    tr("pk(@1/**)", [NUMS, USER.replace(/^\[.{8}/, "[12345678")]),
    "00026a80",
  ],
  "a threshold above the keys": [tr("sortedmulti_a(4,@1/**,@2/**,@3/**)"), "6a80"],
  "a delay of nothing": [older(0), "6a80"],
  "a delay without meaning": [older(65536), "00016a82"],
  "a delay in time without meaning": [older(2 ** 22), "00016a82"],
  "a delay in time above its bits": [older(2 ** 22 + 65536), "00016a82"],
  "a delay with the disabling bit": [older(2 ** 31), "6a80"],
  "a delay with a zero before": [older("01"), "6a80"],
  "no wildcard": [tr("pk(@1/0/0)", [NUMS, USER]), "6a80"],
  "one branch": [tr("pk(@1/*)", [NUMS, USER]), "6a80"],
  "two branches that are one": [tr("pk(@1/<2;2>/*)", [NUMS, USER]), "6a80"],
  rawtr: [plain("rawtr(@0/**)", [USER]), "6a80"],
  "an aggregate of six": [
    plain(
      "tr(musig(@0,@1,@2,@3,@4,@5)/**)",
      Array.from({ length: 6 }, (_, i) => accountKey("user", { path: `48'/1'/${i}'/2'` })),
    ),
    "6a80",
  ],
  "an aggregate of one key twice": [
    plain("tr(musig(@0,@0)/**,pk(@1/**))", [USER, LSP]),
    "00016a82",
  ],
  "a leaf without a signature": [tr("{pk(@1/**),older(10)}", [NUMS, USER]), "00016a82"],
  "an alternative without a signature": [tr("or_d(pk(@1/**),older(10))", [NUMS, USER]), "00016a82"],
  "a leaf that leaves nothing": [tr("v:pk(@1/**)", [NUMS, USER]), "6a80"],
  "h in an origin": [tr("pk(@1/**)", [NUMS, USER.replaceAll("'", "h")]), "00016a82"],
  "a key of the main network": [tr("pk(@1/**)", [NUMS, MAIN_KEY]), "00016a82"],
  "an own key of another coin": [
    tr("pk(@1/**)", [NUMS, accountKey("user", { path: "48'/0'/0'/2'" })]),
    "6a82",
  ],
  "a name of 65 characters": [named("x".repeat(65)), "6a80"],
  "no name": [named(""), "00006a80"],
  "a space before the name": [named(" Ballast"), "00006a80"],
  "a space after the name": [named("Ballast "), "00006a80"],
  "a name of other characters": [named("Ballast\n"), "00006a80"],
  "a key that the template has not": [plain("tr(@0/**)", [USER, LSP]), "6a80"],
  "a key that the list has not": [plain("tr(@0/**,pk(@1/**))", [USER]), "6a80"],
  "a template of 513 characters": [sized(513), "6a80"],
  "sixteen keys": [multi(15), "6a82"],
  "a tree of ten levels": [deep(10), "6a80"],
  "text after the end": [plain("tr(@0/**))", [USER]), "6a80"],
  "multi in a tree": [tr("multi(2,@1/**,@2/**,@3/**)"), "6a80"],
};

/** Registers and says what the person saw. */
async function registered(policy: PolicyText): Promise<{ answer: string; reviews: Review[] }> {
  const reviews: Review[] = [];
  const person = reader((review) => {
    reviews.push(review);
    return "approve";
  });
  const app = openApp({ mnemonic: WORDS.user, person });
  const { data, status } = await register((apdu) => app.exchange(apdu), policy);
  return { answer: hex.encode(data) + status.toString(16), reviews };
}

describe("the app registers", () => {
  it.each(Object.entries(accepted))("%s", async (_, policy) => {
    const { answer, reviews } = await registered(policy);
    expect(answer).toMatch(/^[0-9a-f]{128}9000$/);
    expect(reviews.map(({ kind }) => kind)).toEqual(["register"]);
  });
});

describe("the app does not register, and asks nobody", () => {
  it.each(Object.entries(refused))("%s", async (_, [policy, status]) => {
    const { answer, reviews } = await registered(policy);
    expect(answer).toBe(status);
    expect(reviews).toEqual([]);
  });
});

describe("a registration", () => {
  it("is of the policy's bytes: another name or way to write the same is another", async () => {
    const answers = await Promise.all(
      [
        MULTI,
        named("Ballast 2"),
        plain(MULTI.template.replaceAll("/**", "/<0;1>/*"), MULTI.keys),
      ].map(async (policy) => (await registered(policy)).answer),
    );
    expect(new Set(answers).size).toBe(3);
    expect((await registered(MULTI)).answer).toBe(answers[0]);
  });

  it("shows name, template and whose key is whose", async () => {
    const policy = plain(MULTI.template, [NUMS, USER, SECOND, LSP]);
    const [review] = (await registered(policy)).reviews;
    expect(review?.pages).toEqual([
      { title: "Review account", text: "to register" },
      { title: "Account name", text: "Ballast" },
      { title: "Wallet policy", text: MULTI.template },
      { title: "Review co-signer", text: "public keys" },
      { title: "Dummy key@0", text: NUMS },
      { title: "Our key@1", text: USER },
      { title: "Our key@2", text: SECOND },
      { title: "Their key@3", text: LSP },
    ]);
  });

  it("takes a spendable internal key for somebody's: the device protects nobody from it", async () => {
    const [review] = (await registered(accepted["a spendable internal key"] ?? MULTI)).reviews;
    expect(review?.pages[4]?.title).toBe("Their key@0");
  });

  it("reads a template that does not fit into one answer of the client", async () => {
    const leaves = Array.from(
      { length: 14 },
      (_, i) => `@1/<${10 ** 8 + 2 * i};${10 ** 8 + 2 * i + 1}>/*`,
    );
    const policy = tr(`multi_a(1,${leaves.join(",")})`, [NUMS, USER]);
    expect(policy.template.length).toBeGreaterThan(255);
    expect((await registered(policy)).answer).toMatch(/9000$/);
  });
});
