import { HDKey } from "@scure/bip32";
import { NETWORK, p2tr, p2tr_ms, TEST_NETWORK } from "@scure/btc-signer";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  childOf,
  HARDENED,
  readAccountKey,
  readPath,
  writePath,
  writeXpub,
} from "../../policies/bitcoin/account-key.ts";
import { descriptorChecksum } from "../../policies/bitcoin/descriptor.ts";
import { fromHex, hex, sha256 } from "../../policies/bitcoin/hash.ts";
import { NETWORKS, type Network } from "../../policies/bitcoin/network.ts";
import { addressOf, scriptOf, UNSPENDABLE } from "../../policies/bitcoin/taproot.ts";
import { compare, concat, u8 } from "../../policies/bitcoin/wire.ts";
import {
  type Branch,
  CHANGE,
  composeVault,
  descriptorOf,
  followsConvention,
  isProvablyUnspendable,
  MULTI_TEMPLATE,
  RECEIVE,
  readVault,
  unspendableKey,
  type VaultDocument,
  VaultError,
} from "../../policies/vault.ts";
import { vaultScripts } from "../../policies/vault-scripts.ts";
import { party, testVault, USER_VAULT } from "../support/spend.ts";

const { document } = USER_VAULT.vault;
const KEYS = document.policy.keys;

/** Why a document is no vault; an empty list when it is one. Anything else thrown fails the test. */
function reasons(value: unknown): readonly string[] {
  try {
    readVault(value);
    return [];
  } catch (error) {
    if (error instanceof VaultError) return error.reasons;
    throw error;
  }
}

describe("a vault", () => {
  it("is put together and read back", () => {
    expect(reasons(document)).toEqual([]);
    expect(readVault(JSON.parse(JSON.stringify(document)))).toEqual(USER_VAULT.vault);
  });

  it("is the same in whatever order the holders are named", () => {
    const holders = [...USER_VAULT.parties].map(([role, { text }]) => ({ role, key: text }));
    const parts = { network: "regtest", kind: "user", name: "Ballast test" } as const;
    const turned = [holders.toReversed(), [...holders.slice(1), ...holders.slice(0, 1)]];
    for (const order of turned) {
      expect(composeVault({ ...parts, holders: order })).toEqual(document);
    }
  });

  it("has an unspendable key by the public convention", () => {
    expect(isProvablyUnspendable(USER_VAULT.vault.internal)).toBe(true);
    expect(followsConvention(USER_VAULT.vault)).toBe(true);
    // H of BIP341 is the hash of the generator in uncompressed form, lifted to a point.
    const generator =
      "0479be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8";
    expect(hex(UNSPENDABLE)).toBe(hex(sha256(fromHex(generator))));
    const accounts = USER_VAULT.vault.holders.map(({ key }) => key.publicKey);
    expect(hex(USER_VAULT.vault.internal.chainCode)).toBe(hex(sha256(concat(accounts))));
  });

  it("may have another chain code on its unspendable key: shown, not refused", () => {
    const vault = readVault(withKey(0, bare({ chainCode: sha256(u8(1)) })));
    expect(isProvablyUnspendable(vault.internal)).toBe(true);
    expect(followsConvention(vault)).toBe(false);
  });

  it("has another id for another network or key", () => {
    const ids = ["regtest", "testnet", "signet"].map(
      (network) => readVault({ ...document, network }).id,
    );
    expect(new Set([...ids, testVault({ seed: "another" }).vault.id]).size).toBe(4);
  });
});

describe("registration refuses", () => {
  const [, one = "", two = "", three = ""] = KEYS;
  const spendable = party("attacker").account;

  it.each([
    [
      "an internal key that somebody owns",
      withKey(0, spendable.publicExtendedKey),
      /@0 is not the unspendable/,
    ],
    ["the internal key of one holder", withKey(0, bareOf(one)), /@0 is not the unspendable/],
    ["H with the other parity", withKey(0, bare({ prefix: 3 })), /@0 is not the unspendable/],
    ["H at depth 1", withKey(0, bare({ depth: 1 })), /@0 is not the unspendable/],
    [
      "H with a parent",
      withKey(0, bare({ parentFingerprint: "00000001" })),
      /@0: .* says depth 0 and names a parent/,
    ],
    ["H with a child number", withKey(0, bare({ childNumber: 1 })), /@0: .* names a parent/],
    ["H with an origin", withKey(0, `[00000000/48'/1'/0'/2']${bare({})}`), /@0/],
    ["H for a holder's key", withKey(1, bare({})), /unspendable point for a key/],
    [
      "a key twice",
      { ...document, policy: { ...document.policy, keys: [KEYS[0], one, two, two] } },
      /same key/,
    ],
    [
      "keys that are not sorted",
      withKeys([KEYS[0], two, one, three]),
      /not in lexicographic order/,
    ],
    ["keys in reverse", withKeys([KEYS[0], three, two, one]), /not in lexicographic order/],
    ["a key too few", withKeys([KEYS[0], one, two]), /policy\.keys/],
    ["a key too many", withKeys([...KEYS, three]), /policy\.keys/],
    ["h for '", withKey(1, one.replaceAll("'", "h")), /is no key/],
    ["H for '", withKey(1, one.replaceAll("'", "H")), /is no key/],
    [
      "a fingerprint in upper case",
      withKey(1, one.replace(/^\[[0-9a-f]{8}/, "[ABCDEF01")),
      /is no key/,
    ],
    ["a short fingerprint", withKey(1, one.replace(/^\[[0-9a-f]{8}/, "[abcdef0")), /is no key/],
    ["a path after the key", withKey(1, `${one}/0`), /is no key/],
    ["a multipath after the key", withKey(1, `${one}/<0;1>/*`), /is no key/],
    ["a space in a key", withKey(1, `${one} `), /is no key/],
    ["a line break in a key", withKey(1, `${one}\n`), /is no key/],
    ["a private key", withKey(1, spendable.privateExtendedKey ?? ""), /not a public key/],
    ["a wrong checksum", withKey(1, flipLast(one)), /wrong checksum/],
    ["a key of mainnet", withKey(1, party("x", "bitcoin").text), /not a public key of regtest/],
    ["the coin type of mainnet", withKey(1, one.replace("/1'/", "/0'/")), /coin type 0'/],
    ["a coin type that is not hardened", withKey(1, one.replace("/1'/", "/1/")), /coin type 1,/],
    [
      "an origin that is too short",
      withKey(1, one.replace("/0'/2'", "/2'")),
      /3 steps, the key says it is 4/,
    ],
    [
      "an origin that is too long",
      withKey(1, one.replace("/2']", "/2'/2']")),
      /5 steps, the key says it is 4/,
    ],
    ["another last step", withKey(1, one.replace("/2']", "/3']")), /own child number/],
    ["a step out of range", withKey(1, one.replace("/0'/", "/2147483648'/")), /no step of a path/],
    ["a step with a leading zero", withKey(1, one.replace("/0'/", "/00'/")), /no step of a path/],
    [
      "a master key under another's fingerprint",
      withKey(1, `[00000001]${master().publicExtendedKey}`),
      /own fingerprint/,
    ],
    [
      "a first child under another's fingerprint",
      withKey(1, `[00000001/0']${master().deriveChild(HARDENED).publicExtendedKey}`),
      /parent fingerprint/,
    ],
    [
      "a kind that its holders do not fit",
      { ...document, kind: "treasury" },
      /a treasury vault is held by/,
    ],
    [
      "two holders of one role",
      { ...document, holders: ["user", "user", "lsp"] },
      /a user vault is held by/,
    ],
    ["an unknown role", { ...document, holders: ["user", "lsp", "owner"] }, /holders/],
    ["an unknown network", { ...document, network: "testnet4" }, /network/],
    ["an unknown format", { ...document, format: "ballast/vault@2" }, /format/],
    ["an unknown key in the document", { ...document, note: "" }, /note/],
    ["a name with a control character", named("a\u0007b"), /policy\.name/],
    ["a name with a zero-width space", named("a\u200bb"), /policy\.name/],
    ["a name with an edge space", named(" a"), /policy\.name/],
    ["a name with a line break", named("a\n"), /policy\.name/],
    ["an empty name", named(""), /policy\.name/],
    ["no document", null, /./],
  ])("%s", (_, value, why) => {
    const said = reasons(value);
    expect(said.length).toBeGreaterThan(0);
    expect(said.join("; ")).toMatch(why);
  });

  it("two keys of one master", () => {
    const sameSeed = `[${one.slice(1, 9)}${two.slice(9)}`;
    expect(reasons(withKey(2, sameSeed)).join()).toMatch(/same master fingerprint/);
    const unknown = KEYS.map((key, i) => (i === 0 ? key : `[00000000${key.slice(9)}`));
    expect(reasons(withKeys(unknown))).toEqual([]);
  });

  it("a master key and an account below it", () => {
    const above = master();
    const account = above.derive("m/48'/1'/0'/2'");
    const print = above.fingerprint.toString(16).padStart(8, "0");
    const text = `[${print}/48'/1'/0'/2']${account.publicExtendedKey}`;
    const pair = [above.publicExtendedKey, text];
    const said = reasons(sorted([...pair, three]));
    expect(said.join()).toMatch(/same master fingerprint/);
  });

  it("one key under two signs", () => {
    const key = readAccountKey(one, "regtest");
    const other = { ...key, publicKey: key.publicKey.with(0, (key.publicKey[0] ?? 0) ^ 1) };
    const text = writeXpub({ ...other, chainCode: sha256(u8(1)) }, "regtest");
    expect(reasons(sorted([one, text, three])).join()).toMatch(/same key/);
  });

  it("every template that differs by a byte", () => {
    for (let i = 0; i < MULTI_TEMPLATE.length; i += 1) {
      const letter = MULTI_TEMPLATE.charCodeAt(i);
      for (const other of [
        MULTI_TEMPLATE.slice(0, i) + MULTI_TEMPLATE.slice(i + 1),
        `${MULTI_TEMPLATE.slice(0, i)} ${MULTI_TEMPLATE.slice(i)}`,
        MULTI_TEMPLATE.slice(0, i) + String.fromCharCode(letter ^ 1) + MULTI_TEMPLATE.slice(i + 1),
      ]) {
        expect(reasons(templated(other)).join()).toMatch(/policy template is/);
      }
    }
    for (const other of [
      MULTI_TEMPLATE.replaceAll("**", "<0;1>/*"),
      MULTI_TEMPLATE.replace("sortedmulti_a", "multi_a"),
      MULTI_TEMPLATE.replace("(2,", "(1,"),
      "",
    ]) {
      expect(reasons(templated(other)).length).toBeGreaterThan(0);
    }
  });

  it("everything at once: all reasons are listed", () => {
    const bad = { ...withKeys([spendable.publicExtendedKey, two, one, one]), kind: "treasury" };
    expect(reasons(bad)).toHaveLength(4);
  });

  it("whatever else, with a VaultError", () => {
    const texts = fc.oneof(fc.string(), fc.constantFrom(...KEYS), mangled(KEYS));
    fc.assert(
      fc.property(fc.array(texts, { minLength: 4, maxLength: 4 }), (keys) => {
        if (keys.every((key, i) => key === KEYS[i])) return;
        expect(reasons(withKeys(keys)).length).toBeGreaterThan(0);
      }),
      { numRuns: 2_000 },
    );
    fc.assert(
      fc.property(fc.anything(), (value) => {
        expect(reasons(value).length).toBeGreaterThan(0);
      }),
    );
  });

  // BIP32, test vector 5: zero depth with a parent, zero depth with a child number.
  it.each([
    ["a master key with a parent", { parentFingerprint: "deadbeef", childNumber: 0 }],
    ["a master key with a child number", { parentFingerprint: "00000000", childNumber: 7 }],
  ])("%s, which BIP32 calls invalid", (_, place) => {
    const { publicKey, chainCode } = master();
    if (publicKey === null || chainCode === null) throw new Error("no key");
    const text = writeXpub({ publicKey, chainCode }, "regtest", { depth: 0, ...place });
    expect(() => readAccountKey(text, "regtest")).toThrow();
  });

  // The id is the hash of network and policy: who holds which key is not in it, though the law
  // (user-signs-first) rests on it. Whoever compares ids takes the two for one vault.
  it("nothing by its id alone: two vaults whose holders are swapped have two ids", () => {
    const [first, second, third] = document.holders;
    const swapped = readVault({ ...document, holders: [second, first, third] });
    expect(swapped.id).not.toBe(USER_VAULT.vault.id);
  });
});

/** Random vaults of random networks against @scure/bip32 and @scure/btc-signer. */
describe("addresses", () => {
  const seeds = fc.array(fc.uint8Array({ minLength: 16, maxLength: 32 }), {
    minLength: 3,
    maxLength: 3,
  });
  const index = fc.oneof(fc.nat({ max: 100 }), fc.integer({ min: 0, max: HARDENED - 1 }));
  const branch = fc.constantFrom<Branch>(RECEIVE, CHANGE);

  it("agree with @scure: child keys, leaf, leaf hash, control block, address", () => {
    fc.assert(
      fc.property(
        seeds,
        branch,
        index,
        fc.constantFrom(...NETWORKS),
        (three, side, at, network) => {
          const accounts = three.map((seed, i) => accountOf(concat([seed, u8(i)]), network));
          const roles = ["user", "lsp", "trustee"] as const;
          const vault = readVault(
            composeVault({
              network,
              kind: "user",
              name: "random",
              holders: accounts.map(({ text }, i) => ({ role: roles[i] ?? "user", key: text })),
            }),
          );
          const ours = vaultScripts(vault).at(side, at);

          const theirs = accounts.map(({ account }) => xOnlyAt(account, side, at));
          const internal = HDKey.fromExtendedKey(
            vault.document.policy.keys[0] ?? "",
            VERSIONS[network],
          );
          const leaf = p2tr_ms(2, theirs.toSorted(compare));
          const params = network === "bitcoin" ? NETWORK : TEST_NETWORK;
          const output = p2tr(
            xOnlyAt(internal, side, at),
            { script: leaf.script },
            network === "regtest" ? { ...params, bech32: "bcrt" } : params,
          );

          expect(ours.keys.map(({ xOnly }) => hex(xOnly)).sort()).toEqual(theirs.map(hex).sort());
          expect(hex(ours.leaf)).toBe(hex(leaf.script));
          expect(hex(ours.script)).toBe(hex(output.script));
          expect(addressOf(ours.script, network)).toBe(output.address);
          expect(hex(scriptOf(output.address ?? "", network) ?? u8(0))).toBe(hex(ours.script));
          const [control, script] = output.tapLeafScript?.[0] ?? [];
          expect(hex(script ?? u8(0))).toBe(`${hex(ours.leaf)}c0`);
          expect(ours.controlBlock).toEqual(
            concat([
              u8(control?.version ?? 0),
              control?.internalKey ?? u8(0),
              ...(control?.merklePath ?? []),
            ]),
          );
        },
      ),
      { numRuns: 60 },
    );
  });

  it("each key's tweak leads from the account's secret to the key in the leaf", () => {
    for (const [role, { account, secretAt }] of USER_VAULT.parties) {
      const { keys } = USER_VAULT.scripts.at(CHANGE, 5);
      const key = keys.find((candidate) => candidate.role === role);
      const order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
      const sum = numberOf(account.privateKey ?? u8(0)) + numberOf(key?.tweak ?? u8(0));
      expect(sum % order).toBe(numberOf(secretAt(CHANGE, 5)));
    }
  });

  it("are remembered, and are the same when derived anew", () => {
    const { scripts } = USER_VAULT;
    expect(scripts.at(RECEIVE, 7)).toBe(scripts.at(RECEIVE, 7));
    expect(vaultScripts(USER_VAULT.vault).at(RECEIVE, 7)).toEqual(scripts.at(RECEIVE, 7));
  });

  it.each([-1, HARDENED, 0.5, Number.NaN, 2 ** 32])("have no index %s", (wrong) => {
    expect(() => childOf(USER_VAULT.vault.internal, wrong)).toThrow(RangeError);
  });
});

describe("the descriptor", () => {
  // BIP380's own vector, and two of Bitcoin Core's.
  it.each([
    ["raw(deadbeef)", "89f8spxm"],
    ["addr(mkmZxiEcEd8ZqjQWVZuC6so5dFMKEFpN2j)", "02wpgw69"],
    [
      "pkh([d34db33f/44'/0'/0']xpub6ERApfZwUNrhLCkDtcHTcxd75RbzS1ed54G1LkBUHQVHQKqhMkhgbmJbZRkrgZw4koxb5JaHWkY4ALHY2grBGRjaDMzQLcgJvLJuZZvRcEL/1/*)",
      "ml40v0wf",
    ],
  ])("%s has the checksum %s", (descriptor, checksum) => {
    expect(descriptorChecksum(descriptor)).toBe(checksum);
  });

  it("refuses what cannot stand in one", () => {
    expect(() => descriptorChecksum("tr(é)")).toThrow(RangeError);
    expect(() => descriptorChecksum("tr(\n)")).toThrow(RangeError);
  });

  it("has both branches of every key, and its checksum", () => {
    const [body = "", checksum] = descriptorOf(USER_VAULT.vault).split("#");
    expect(body).toBe(
      `tr(${KEYS[0]}/<0;1>/*,sortedmulti_a(2,${KEYS.slice(1)
        .map((key) => `${key}/<0;1>/*`)
        .join(",")}))`,
    );
    expect(descriptorChecksum(body)).toBe(checksum);
  });
});

it("paths are read and written back", () => {
  for (const path of ["", "0", "48'/1'/0'/2'", "2147483647'/2147483647"]) {
    expect(writePath(readPath(path))).toBe(path);
  }
  for (const path of ["/", "m/0", "0h", "-1", "1.0", "0''", "'", "2147483648", " 0", "0x1"]) {
    expect(() => readPath(path)).toThrow();
  }
});

const VERSIONS: Readonly<Record<Network, { readonly private: number; readonly public: number }>> = {
  bitcoin: { private: 0x0488ade4, public: 0x0488b21e },
  testnet: { private: 0x04358394, public: 0x043587cf },
  signet: { private: 0x04358394, public: 0x043587cf },
  regtest: { private: 0x04358394, public: 0x043587cf },
};

function accountOf(seed: Uint8Array, network: Network) {
  const root = HDKey.fromMasterSeed(seed, VERSIONS[network]);
  const path = `48'/${network === "bitcoin" ? 0 : 1}'/0'/2'`;
  const account = root.derive(`m/${path}`);
  const print = root.fingerprint.toString(16).padStart(8, "0");
  return { account, text: `[${print}/${path}]${account.publicExtendedKey}` };
}

function xOnlyAt(account: HDKey, branch: Branch, index: number): Uint8Array {
  const { publicKey } = account.deriveChild(branch).deriveChild(index);
  if (publicKey === null) throw new Error("no key");
  return publicKey.slice(1);
}

function numberOf(bytes: Uint8Array): bigint {
  return BigInt(`0x${hex(bytes)}`);
}

function master(): HDKey {
  return HDKey.fromMasterSeed(sha256(u8(9)), VERSIONS.regtest);
}

/** The unspendable key of the test vault, told differently. */
function bare(part: {
  readonly prefix?: number;
  readonly chainCode?: Uint8Array;
  readonly depth?: number;
  readonly parentFingerprint?: string;
  readonly childNumber?: number;
}): string {
  const { prefix = 2, depth = 0, parentFingerprint = "00000000", childNumber = 0 } = part;
  const { chainCode } = unspendableKey(USER_VAULT.vault.holders.map(({ key }) => key));
  return writeXpub(
    { publicKey: concat([u8(prefix), UNSPENDABLE]), chainCode: part.chainCode ?? chainCode },
    "regtest",
    { depth, parentFingerprint, childNumber },
  );
}

function bareOf(text: string): string {
  return text.replace(/^\[[^\]]*\]/, "");
}

function withKey(position: number, text: string): VaultDocument {
  return withKeys(KEYS.map((key, i) => (i === position ? text : key)));
}

function withKeys(keys: readonly (string | undefined)[]): VaultDocument {
  const present = keys.filter((key) => key !== undefined);
  return { ...document, policy: { ...document.policy, keys: present } };
}

function templated(template: string): VaultDocument {
  return { ...document, policy: { ...document.policy, template } };
}

function named(name: string): VaultDocument {
  return { ...document, policy: { ...document.policy, name } };
}

/** Three keys in the order that a vault wants, with the unspendable key before them. */
function sorted(texts: readonly string[]): VaultDocument {
  const keys = texts.map((text) => readAccountKey(text, "regtest"));
  const ordered = keys.toSorted((a, b) => compare(a.publicKey, b.publicKey));
  return withKeys([KEYS[0], ...ordered.map(({ text }) => text)]);
}

function flipLast(text: string): string {
  return text.slice(0, -1) + (text.endsWith("2") ? "3" : "2");
}

function mangled(texts: readonly string[]): fc.Arbitrary<string> {
  return fc
    .record({
      text: fc.constantFrom(...texts),
      at: fc.nat({ max: 140 }),
      by: fc.string({ maxLength: 2 }),
    })
    .map(({ text, at, by }) => text.slice(0, at) + by + text.slice(at + 1));
}
