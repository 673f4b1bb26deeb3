/** Vaults of Pulser: what is read, what is refused, why they are only watched. */
import { HDKey } from "@scure/bip32";
import { p2tr, p2tr_ms, TEST_NETWORK } from "@scure/btc-signer";
import { describe, expect, it } from "vitest";
import { descriptorChecksum } from "../../policies/bitcoin/descriptor.ts";
import { fromHex, hex } from "../../policies/bitcoin/hash.ts";
import { addressOf, UNSPENDABLE } from "../../policies/bitcoin/taproot.ts";
import { concat, u8 } from "../../policies/bitcoin/wire.ts";
import {
  importPulser,
  PulserError,
  pulserScriptAt,
  readPulserVault,
  watchOnlyReasons,
} from "../../policies/pulser.ts";
import { CHANGE, RECEIVE, readVault, VaultError } from "../../policies/vault.ts";

const TEST_KEYS = { private: 0x04358394, public: 0x043587cf };
/** A point with no story: nobody can prove that its secret is unknown. */
const INTERNAL = "c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5";

const master = (n: number) => HDKey.fromMasterSeed(new Uint8Array(32).fill(n), TEST_KEYS);
const text = (key: HDKey) => key.publicExtendedKey;
const LSP = master(1).derive("m/86'/1'/0'/0/0");
const TRUSTEE = master(2).derive("m/86'/1'/0'/0/0");
const USER = master(3);

function descriptor(keys: readonly HDKey[], origin = "", internal = INTERNAL): string {
  return `tr(${internal},multi_a(2,${keys.map((key) => `${origin}${text(key)}/*`).join(",")}))`;
}

/** As Pulser recorded its first users: keys without origin, the user's children of a master key. */
const RECORD = {
  user_id: 1,
  wallet_descriptor: descriptor([LSP, TRUSTEE, USER.derive("m/0/0")]),
  internal_descriptor: descriptor([LSP, TRUSTEE, USER.derive("m/1/0")]),
  lsp_pubkey: text(LSP),
  trustee_pubkey: text(TRUSTEE),
  user_pubkey: text(USER),
};
type Bend = Partial<Record<keyof typeof RECORD | "network" | "extra", unknown>>;
const read = (bend: Bend = {}) => readPulserVault(importPulser({ ...RECORD, ...bend }));
const reasonsOf = (bend: Bend) => watchOnlyReasons(read(bend)).join("\n");

describe("a vault of Pulser", () => {
  it.each([
    [RECEIVE, "m/0/0", 0],
    [RECEIVE, "m/0/0", 41],
    [CHANGE, "m/1/0", 7],
  ] as const)("has on branch %i the addresses that @scure makes", (branch, path, index) => {
    const keys = [LSP, TRUSTEE, USER.derive(path)].map(
      (key) => key.deriveChild(index).publicKey?.slice(1) ?? u8(0),
    );
    const { script, leaf, controlBlock } = pulserScriptAt(read(), branch, index);
    const theirs = p2tr(
      fromHex(INTERNAL),
      [{ script: p2tr_ms(2, keys).script }],
      TEST_NETWORK,
      true,
    );
    expect(addressOf(script, "testnet")).toBe(theirs.address);
    const [[control, versioned] = []] = theirs.tapLeafScript ?? [];
    if (control === undefined) throw new Error("no leaf");
    expect(`${hex(leaf)}c0`).toBe(hex(versioned ?? u8(0)));
    const parts = [u8(control.version), control.internalKey, ...control.merklePath];
    expect(hex(controlBlock)).toBe(hex(concat(parts)));
  });

  it("is read from what Pulser wrote, and read again from what is kept of it", () => {
    const kept = importPulser({ ...RECORD, user_id: "1" });
    expect(kept).toEqual(importPulser(RECORD));
    expect(readPulserVault(JSON.parse(JSON.stringify(kept)))).toEqual(read());
  });

  it("is no vault that a signer registers", () => {
    expect(() => readVault(importPulser(RECORD))).toThrow(VaultError);
    expect(() => readVault(RECORD)).toThrow(VaultError);
  });

  it("may have checksums, which are then checked", () => {
    const { wallet_descriptor: body } = RECORD;
    const sum = descriptorChecksum(body);
    expect(hex(pulserScriptAt(read({ wallet_descriptor: `${body}#${sum}` }), 0, 0).script)).toBe(
      hex(pulserScriptAt(read(), RECEIVE, 0).script),
    );
    const wrong = sum.replace(/^./, (first) => (first === "q" ? "p" : "q"));
    expect(refusal({ wallet_descriptor: `${body}#${wrong}` })).toMatch(/checksum is wrong/);
  });
});

describe("reasons why it is only watched", () => {
  it("are all told", () => {
    expect(watchOnlyReasons(read())).toEqual([
      expect.stringMatching(/^its internal key c6047f94\w+ is not provably unspendable/),
      expect.stringMatching(/unhardened children of a master key/),
      expect.stringMatching(/^keys without an origin/),
      "the lsp has one key for addresses and change",
      "the trustee has one key for addresses and change",
      expect.stringMatching(/fixed order/),
      expect.stringMatching(/nobody has proven/),
      expect.stringMatching(/no way to leave/),
    ]);
  });

  it("leave out a dead key path, where the key is BIP341's point", () => {
    const H = hex(UNSPENDABLE);
    const bend = {
      wallet_descriptor: descriptor([LSP, TRUSTEE, USER.derive("m/0/0")], "", H),
      internal_descriptor: descriptor([LSP, TRUSTEE, USER.derive("m/1/0")], "", H),
    };
    expect(reasonsOf(bend)).not.toMatch(/internal key/);
    // One branch is enough to lose coins by.
    const { internal_descriptor } = RECORD;
    expect(reasonsOf({ ...bend, internal_descriptor })).toMatch(/internal key/);
  });

  it("tell a made-up origin, and a key that leads nowhere", () => {
    const own = USER.derive("m/86'/1'/0'/0/0");
    const other = USER.derive("m/86'/1'/0'/1/0");
    const origin = "[00000000/86'/1'/0'/0/0]";
    const said = reasonsOf({
      wallet_descriptor: descriptor([LSP, TRUSTEE, own], origin),
      internal_descriptor: descriptor([LSP, TRUSTEE, other], origin),
      user_pubkey: text(own),
    });
    expect(said).toMatch(/master 00000000/);
    expect(said).toMatch(/key of the change is not traced/);
    expect(said).not.toMatch(/user's key is not traced|without an origin|unhardened/);
  });

  it("tell a user whose addresses and change are the same", () => {
    const { wallet_descriptor } = RECORD;
    expect(reasonsOf({ internal_descriptor: wallet_descriptor })).toMatch(
      /the user has one key for addresses and change/,
    );
  });
});

describe("a record is refused", () => {
  const { wallet_descriptor: honest } = RECORD;
  it.each<[string, Bend, RegExp]>([
    ["with something more in it", { extra: 1 }, /[Uu]nrecognized/],
    ["without a descriptor", { wallet_descriptor: undefined }, /wallet_descriptor/],
    ["with a user who is no number", { user_id: "../2" }, /user/],
    ["of an unknown network", { network: "litecoin" }, /network/],
    [
      "of a network whose keys look otherwise",
      { network: "bitcoin" },
      /not a public key of bitcoin/,
    ],
    [
      "that asks for one signature",
      { wallet_descriptor: honest.replace("(2,", "(1,") },
      /is not tr/,
    ],
    [
      "with sorted keys",
      { wallet_descriptor: honest.replace("multi_a", "sortedmulti_a") },
      /is not tr/,
    ],
    [
      "with two keys",
      { wallet_descriptor: descriptor([LSP, TRUSTEE]) },
      /wallet descriptor: is not tr/,
    ],
    [
      "with four keys",
      { internal_descriptor: descriptor([LSP, TRUSTEE, USER, master(4)]) },
      /internal descriptor: is not tr/,
    ],
    [
      "whose internal key is no point",
      { wallet_descriptor: honest.replace(INTERNAL, `${"0".repeat(63)}5`) },
      /no point on the curve/,
    ],
    [
      "with a key of one address",
      { wallet_descriptor: honest.replace("/*", "/0") },
      /no key with \/\* behind it/,
    ],
    [
      "with a damaged key",
      { wallet_descriptor: honest.replace(text(LSP), text(LSP).replace(/.$/, "1")) },
      /wrong checksum/,
    ],
    [
      "in another order",
      { wallet_descriptor: descriptor([TRUSTEE, LSP, USER.derive("m/0/0")]) },
      /key of the lsp is not the recorded one.*key of the trustee is not the recorded one/,
    ],
  ])("%s", (_, bend, words) => {
    expect(refusal(bend)).toMatch(words);
  });
});

function refusal(bend: Bend): string {
  try {
    read(bend);
    return "nothing is wrong";
  } catch (error) {
    if (error instanceof PulserError) return error.message;
    throw error;
  }
}
