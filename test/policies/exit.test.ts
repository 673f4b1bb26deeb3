/** The template `multi+exit`: what it derives, who may register it, and what consensus makes of it. */
import { HDKey } from "@scure/bip32";
import { NETWORK, p2tr, p2tr_ms, Script, TEST_NETWORK } from "@scure/btc-signer";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { HARDENED } from "../../policies/bitcoin/account-key.ts";
import { hex } from "../../policies/bitcoin/hash.ts";
import { NETWORKS, PARAMETERS } from "../../policies/bitcoin/network.ts";
import { IN } from "../../policies/bitcoin/psbt-fields.ts";
import {
  addressOf,
  branchHash,
  tapTree,
  tapTreeRoot,
  timelockLeaf,
} from "../../policies/bitcoin/taproot.ts";
import { compare, concat, u8 } from "../../policies/bitcoin/wire.ts";
import { decide } from "../../policies/decide.ts";
import { EXIT_BLOCKS, EXIT_TEMPLATE, exitTemplate } from "../../policies/exit.ts";
import {
  type Branch,
  CHANGE,
  composeVault,
  descriptorOf,
  MULTI_TEMPLATE,
  RECEIVE,
  type Role,
  readVault,
  VaultError,
} from "../../policies/vault.ts";
import { vaultScripts } from "../../policies/vault-scripts.ts";
import { consensusObjection } from "../support/second-opinion.ts";
import {
  EXIT_VAULT,
  exitDerivations,
  exited,
  finished,
  honest,
  onInput,
  recipient,
  type Spend,
  signatureOf,
  type TestVault,
  TREASURY,
  testVault,
  USER_VAULT,
  withoutFields,
} from "../support/spend.ts";
import { policy } from "./bends.ts";

/** Coins of the largest spend here. */
const COINS_MAX = 7;

/** One vault with the user's key in each place, which the second consensus can judge. */
const BY_PLACE = ([1, 2, 3] as const).map((place) => {
  for (let n = 0; n < 100; n += 1) {
    const vault = testVault({ seed: `exit ${n}`, exit: true });
    const fits = vault.vault.holders[place - 1]?.role === "user";
    if (fits && zeroless(vault)) return { place, vault };
  }
  throw new Error(`no seed puts the user's key in place ${place}`);
});

describe("a vault with an exit", () => {
  it.each(BY_PLACE)("is put together for the user's key @$place, and read back", (one) => {
    const { document } = one.vault.vault;
    expect(document.policy.template).toBe(EXIT_TEMPLATE.replace("@u", `@${one.place}`));
    expect(readVault(JSON.parse(JSON.stringify(document)))).toEqual(one.vault.vault);
    expect(one.vault.vault.exit).toEqual({ blocks: 26_280 });
  });

  it("is another vault than the same keys without one", () => {
    const plain = testVault({ seed: "exit" });
    expect(plain.vault.exit).toBeNull();
    expect(plain.scripts.at(RECEIVE, 0).exit).toBeNull();
    expect(plain.vault.id).not.toBe(EXIT_VAULT.vault.id);
    expect(plain.scripts.at(RECEIVE, 0).leaf).toEqual(EXIT_VAULT.scripts.at(RECEIVE, 0).leaf);
    expect(plain.scripts.at(RECEIVE, 0).script).not.toEqual(
      EXIT_VAULT.scripts.at(RECEIVE, 0).script,
    );
  });

  it.each(["treasury", "escrow"] as const)("is never the house's: a %s", (kind) => {
    const exit = () => testVault({ seed: "house", kind, exit: true });
    expect(exit).toThrow(/only a user's vault has an exit/);
    expect(testVault({ seed: "house", kind }).vault).toMatchObject({ kind, exit: null });
  });

  it("has a descriptor whose branches go side by side: 0 with 2, 1 with 3", () => {
    const { keys } = EXIT_VAULT.vault.document.policy;
    const user = EXIT_VAULT.parties.get("user")?.text;
    const [body] = descriptorOf(EXIT_VAULT.vault).split("#");
    const three = keys.slice(1).map((key) => `${key}/<0;1>/*`);
    expect(body).toBe(
      `tr(${keys[0]}/<0;1>/*,{sortedmulti_a(2,${three.join(",")}),and_v(v:pk(${user}/<2;3>/*),older(26280))})`,
    );
  });
});

describe("registration refuses a second leaf", () => {
  const place = 1 + EXIT_VAULT.vault.holders.findIndex(({ role }) => role === "user");
  const own = `@${place}`;
  const honestLeaf = `and_v(v:pk(${own}/<2;3>/*),older(26280))`;
  const multi = "sortedmulti_a(2,@1/**,@2/**,@3/**)";
  const other = (leaf: string) => `tr(@0/**,{${multi},${leaf}})`;

  it("except this one", () => {
    expect(EXIT_VAULT.vault.document.policy.template).toBe(other(honestLeaf));
  });

  it.each([
    // attacks.md 56: a key in two leaves on branches that meet.
    ["on the branches of the 2-of-3", honestLeaf.replace("<2;3>", "<0;1>")],
    ["on the branches of the 2-of-3, in short", honestLeaf.replace("/<2;3>/*", "/**")],
    ["on one branch of the 2-of-3", honestLeaf.replace("<2;3>", "<1;2>")],
    ["on one branch twice", honestLeaf.replace("<2;3>", "<2;2>")],
    ["with the branches turned", honestLeaf.replace("<2;3>", "<3;2>")],
    ["with other branches", honestLeaf.replace("<2;3>", "<4;5>")],
    ["with a third branch", honestLeaf.replace("<2;3>", "<2;3;4>")],
    // attacks.md 67: steps that an xpub cannot take.
    ["with hardened branches", honestLeaf.replace("<2;3>", "<2';3'>")],
    ["with hardened branches, written h", honestLeaf.replace("<2;3>", "<2h;3h>")],
    ["with a hardened index", honestLeaf.replace("/*)", "/*')")],
    ["with a hardened step before the branches", honestLeaf.replace(own, `${own}/0'`)],
    ["without an index", honestLeaf.replace("/*)", ")")],
    // attacks.md 68: locks that mean nothing, or another time.
    ["without rest", honestLeaf.replace("26280", "0")],
    ["after one block", honestLeaf.replace("26280", "1")],
    ["a block early", honestLeaf.replace("26280", "26279")],
    ["a block late", honestLeaf.replace("26280", "26281")],
    ["after the longest rest", honestLeaf.replace("26280", "65535")],
    ["after 2^16 blocks, of which BIP68 sees none", honestLeaf.replace("26280", "65536")],
    ["after 26280 units of 512 seconds", honestLeaf.replace("26280", "4220584")],
    ["with BIP68's disable bit", honestLeaf.replace("26280", "2147509928")],
    ["beyond 32 bits", honestLeaf.replace("26280", "4294993576")],
    ["after a negative rest", honestLeaf.replace("26280", "-26280")],
    ["with a leading zero", honestLeaf.replace("26280", "026280")],
    ["at a height", honestLeaf.replace("older", "after")],
    ["at a time", honestLeaf.replace("older(26280)", "after(500000000)")],
    ["without a lock", `pk(${own}/<2;3>/*)`],
    // Another owner, another meaning, another spelling.
    ["of the key after the user's", honestLeaf.replace(own, `@${(place % 3) + 1}`)],
    ["of the key before the user's", honestLeaf.replace(own, `@${((place + 1) % 3) + 1}`)],
    ["of the internal key", honestLeaf.replace(own, "@0")],
    ["of a fifth key", honestLeaf.replace(own, "@4")],
    ["of the placeholder itself", honestLeaf.replace(own, "@u")],
    ["that either of two opens", `or_d(pk(${own}/<2;3>/*),older(26280))`],
    ["with the lock first", `and_v(v:older(26280),pk(${own}/<2;3>/*))`],
    ["of a key's hash", honestLeaf.replace("v:pk", "v:pkh")],
    ["with a space", honestLeaf.replace(",", ", ")],
    ["twice", `{${honestLeaf},${honestLeaf}}`],
  ])("%s", (_, leaf) => {
    expect(leaf).not.toBe(honestLeaf);
    const said = reasons(EXIT_VAULT, other(leaf));
    expect(said).toHaveLength(1);
    expect(said[0]).toContain(`not "${MULTI_TEMPLATE}" or "${other(honestLeaf)}"`);
  });

  it("on the left", () => {
    expect(reasons(EXIT_VAULT, `tr(@0/**,{${honestLeaf},${multi}})`)).toHaveLength(1);
  });

  it.each(BY_PLACE)("of any key but the user's own, @$place", (one) => {
    const taken = ([1, 2, 3] as const).filter(
      (key) => reasons(one.vault, exitTemplate(key)).length === 0,
    );
    expect(taken).toEqual([one.place]);
  });

  it("in a vault of the house", () => {
    for (const key of [1, 2, 3] as const) {
      const said = reasons(TREASURY, exitTemplate(key));
      expect(said.join()).toMatch(/policy template is .* not "tr\([^"]*\)"$/);
    }
  });
});

describe("addresses", () => {
  const seeds = fc.array(fc.uint8Array({ minLength: 16, maxLength: 32 }), {
    minLength: 3,
    maxLength: 3,
  });
  const index = fc.oneof(fc.nat({ max: 100 }), fc.integer({ min: 0, max: HARDENED - 1 }));
  const branch = fc.constantFrom<Branch>(RECEIVE, CHANGE);

  it("agree with @scure: both leaves, their control blocks, root, address", () => {
    fc.assert(
      fc.property(
        seeds,
        branch,
        index,
        fc.constantFrom(...NETWORKS),
        (three, side, at, network) => {
          const versions = { private: 0, public: PARAMETERS[network].xpubVersion };
          const roles = ["user", "lsp", "trustee"] as const;
          const accounts = three.map((seed, i) => {
            const root = HDKey.fromMasterSeed(concat([seed, u8(i)]), versions);
            const path = `48'/${network === "bitcoin" ? 0 : 1}'/0'/2'`;
            const account = root.derive(`m/${path}`);
            const print = root.fingerprint.toString(16).padStart(8, "0");
            return { account, text: `[${print}/${path}]${account.publicExtendedKey}` };
          });
          const holders = accounts.map(({ text }, i) => ({ role: roles[i] ?? "user", key: text }));
          const parts = { network, kind: "user", name: "random", exit: true, holders } as const;
          const vault = readVault(composeVault(parts));
          const ours = vaultScripts(vault).at(side, at);

          const theirs = accounts.map(({ account }) => xOnlyAt(account, side, at));
          const user = accounts[0]?.account ?? HDKey.fromMasterSeed(new Uint8Array(16));
          const internal = HDKey.fromExtendedKey(vault.document.policy.keys[0] ?? "", versions);
          const exit = Script.encode([
            xOnlyAt(user, side + 2, at),
            "CHECKSIGVERIFY",
            26_280,
            "CHECKSEQUENCEVERIFY",
          ]);
          const params = network === "bitcoin" ? NETWORK : TEST_NETWORK;
          const output = p2tr(
            xOnlyAt(internal, side, at),
            [{ script: p2tr_ms(2, theirs.toSorted(compare)).script }, { script: exit }],
            network === "regtest" ? { ...params, bech32: "bcrt" } : params,
            true,
          );

          expect(hex(ours.exit?.leaf ?? u8(0))).toBe(hex(exit));
          expect(hex(ours.script)).toBe(hex(output.script));
          expect(hex(ours.merkleRoot)).toBe(hex(output.tapMerkleRoot ?? u8(0)));
          expect(addressOf(ours.script, network)).toBe(output.address);
          const leaves = (output.tapLeafScript ?? []).map(([control, script]) => [
            hex(script),
            hex(concat([u8(control.version), control.internalKey, ...control.merklePath])),
          ]);
          expect(leaves.sort()).toEqual(
            [
              [`${hex(ours.leaf)}c0`, hex(ours.controlBlock)],
              [`${hex(ours.exit?.leaf ?? u8(0))}c0`, hex(ours.exit?.controlBlock ?? u8(0))],
            ].sort(),
          );
        },
      ),
      { numRuns: 40 },
    );
  });

  it("have one root, whichever leaf is told first", () => {
    const { leaf, leafHash, exit, merkleRoot } = EXIT_VAULT.scripts.at(RECEIVE, 4);
    if (exit === null) throw new Error("no exit");
    expect(tapTreeRoot(tapTree(leaf, exit.leaf))).toEqual(merkleRoot);
    expect(tapTreeRoot(tapTree(exit.leaf, leaf))).toEqual(merkleRoot);
    expect(branchHash(exit.leafHash, leafHash)).toEqual(branchHash(leafHash, exit.leafHash));
  });

  it.each([1, 16, 17, 127, 128, 255, 256, 26_280, 32_767, 32_768, 65_535])(
    "push a rest of %i blocks as @scure does",
    (blocks) => {
      const [key = u8(0)] = EXIT_VAULT.scripts.at(RECEIVE, 0).keys.map(({ xOnly }) => xOnly);
      const theirs = Script.encode([key, "CHECKSIGVERIFY", blocks, "CHECKSEQUENCEVERIFY"]);
      expect(hex(timelockLeaf(key, blocks))).toBe(hex(theirs));
    },
  );

  it.each([0, -1, 65_536, 1.5, Number.NaN])("have no rest of %d blocks", (blocks) => {
    expect(() => timelockLeaf(new Uint8Array(32), blocks)).toThrow(RangeError);
  });

  it("are found by the path of the exit key, where it stands first", () => {
    const place = { branch: CHANGE, index: 5_000 } as const;
    const spend = honest({
      from: EXIT_VAULT,
      coins: [place],
      bend: {
        maps: (psbt, { coins }) => {
          const script = coins[0]?.script;
          if (script === undefined) return psbt;
          const said = exitDerivations(IN.TAP_BIP32_DERIVATION, EXIT_VAULT.vault, script);
          return onInput(withoutFields(psbt, 0, [IN.TAP_BIP32_DERIVATION]), 0, said);
        },
      },
    });
    expect(spend.facts.inputs[0]?.coin).toMatchObject({ ...place, exitBlocks: EXIT_BLOCKS });
  });
});

describe("a spend by two", () => {
  it.each(["lsp", "trustee"] as const)(
    "is approved for the %s, of the very size, and consensus takes it",
    (role) => {
      for (const coins of [1, 2, COINS_MAX]) {
        for (const one of [{ place: 0, vault: EXIT_VAULT }, ...BY_PLACE]) {
          const spend = honest({ from: one.vault, coins, ...policy({ role }) });
          expect(decide(spend.case).kind).toBe("approved");
          const raw = finished(spend, (input) => signaturesAt(spend, input, ["user", role]));
          expect(consensusObjection(raw, spend.spent)).toBeNull();
          expect(Math.ceil(weightOf(raw, spend) / 4)).toBe(spend.facts.vbytes);
          expect(spend.facts.inputs.map(({ coin }) => coin?.exitBlocks)).toEqual(
            spend.coins.map(() => EXIT_BLOCKS),
          );
        }
      }
    },
  );

  it("is refused by consensus with one signature only", () => {
    const spend = honest({ from: EXIT_VAULT });
    const raw = finished(spend, (input) => signaturesAt(spend, input, ["user"]));
    expect(consensusObjection(raw, spend.spent)).not.toBeNull();
  });

  it("of a vault without an exit has no exit in its facts", () => {
    const { inputs, outputs } = honest({ from: USER_VAULT }).facts;
    expect([inputs[0]?.coin?.exitBlocks, outputs[1]?.coin?.exitBlocks]).toEqual([null, null]);
  });
});

describe("the exit itself", () => {
  it("is taken by consensus with the user's key alone, after the rest", () => {
    const spend = leaving(EXIT_BLOCKS);
    expect(consensusObjection(exited(spend, "user", 2), spend.spent)).toBeNull();
  });

  it.each([
    ["a block early", EXIT_BLOCKS - 1, "user", 2],
    ["as a replaceable spend, which names no rest", 0xfffffffd, "user", 2],
    ["after as many units of time", 0x400000 + EXIT_BLOCKS, "user", 2],
    ["by the LSP's key", EXIT_BLOCKS, "lsp", 2],
    ["by the user's key of the 2-of-3", EXIT_BLOCKS, "user", 0],
  ] as const)("is not %s", (_, sequence, role, step) => {
    const spend = leaving(sequence);
    expect(consensusObjection(exited(spend, role, step), spend.spent)).not.toBeNull();
  });

  it("is signed by no signer: its sequence alone is refused", () => {
    const { case: spend } = leaving(EXIT_BLOCKS);
    const decision = decide(spend);
    const said = "violations" in decision ? decision.violations.map(({ rule }) => rule) : [];
    expect(said).toEqual(["sequence-replaceable"]);
  });
});

/** No key starts with a zero byte: see second-opinion.ts. */
function zeroless({ scripts }: TestVault): boolean {
  return Array.from({ length: COINS_MAX }, (_, index) => scripts.at(RECEIVE, index)).every(
    ({ internalKey, keys }) => internalKey[0] !== 0 && keys.every(({ xOnly }) => xOnly[0] !== 0),
  );
}

/** Why the vault is none with this template in place of its own. */
function reasons({ vault: { document } }: TestVault, template: string): readonly string[] {
  try {
    readVault({ ...document, policy: { ...document.policy, template } });
    return [];
  } catch (error) {
    if (error instanceof VaultError) return error.reasons;
    throw error;
  }
}

function xOnlyAt(account: HDKey, branch: number, index: number): Uint8Array {
  const { publicKey } = account.deriveChild(branch).deriveChild(index);
  if (publicKey === null) throw new Error("no key");
  return publicKey.slice(1);
}

function signaturesAt(
  spend: Spend,
  input: number,
  roles: readonly Role[],
): ReadonlyMap<Role, Uint8Array> {
  return new Map(roles.map((role) => [role, signatureOf(spend, input, role)]));
}

/** BIP141: the bytes without witness count four times. */
function weightOf(raw: Uint8Array, { psbt }: Spend): number {
  const { inputs, outputs } = psbt.tx;
  const scripts = outputs.reduce((sum, { script }) => sum + 9 + script.length, 0);
  return (8 + 1 + 1 + 41 * inputs.length + scripts) * 3 + raw.length;
}

/** All of one coin to somebody else. */
function leaving(sequence: number): Spend {
  return honest({
    from: EXIT_VAULT,
    change: null,
    payments: [{ script: recipient(0), sats: 2_000_000n }],
    bend: {
      tx: (tx) => ({ ...tx, inputs: tx.inputs.map((input) => ({ ...input, sequence })) }),
    },
  });
}
