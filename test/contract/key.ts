/**
 * What every `Key` must do, wherever its secret is: one suite, run on each adapter. Approvals come
 * from `decide()` over honest spends of vaults with the key in them; signatures are verified by
 * @noble/curves over @scure/btc-signer's hashes.
 */
import { schnorr } from "@noble/curves/secp256k1.js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type AccountKey,
  AccountKeyError,
  childOf,
  fingerprintOf,
  HARDENED,
  readAccountKey,
} from "../../policies/bitcoin/account-key.ts";
import { hex } from "../../policies/bitcoin/hash.ts";
import { signsText } from "../../policies/bitcoin/message.ts";
import { type Approval, decide } from "../../policies/decide.ts";
import {
  possessionHash,
  possessionKey,
  possessionLine,
  possessionText,
  provesPossession,
} from "../../policies/possession.ts";
import { CHANGE, composeVault, RECEIVE, readVault, type Vault } from "../../policies/vault.ts";
import { vaultScripts } from "../../policies/vault-scripts.ts";
import { KeyError } from "../../signer/key-error.ts";
import type { Key } from "../../signer/signer.ts";
import { scureSighash } from "../support/second-opinion.ts";
import { faultOf } from "../support/signer-room.ts";
import { honest, party, type Spend, type TestVault, USER_VAULT } from "../support/spend.ts";

/** A key on regtest that has, or can make, an account of each of these labels. */
export interface KeyAtHand {
  readonly key: Key;
  /** At least sixteen, so that even and odd account keys are among them all but surely. */
  readonly labels: readonly string[];
  /** Makes the vault known to a key that signs for no other. */
  readonly register?: (vault: Vault) => Promise<void>;
  readonly close: () => Promise<void>;
}

export function keyContract(open: () => Promise<KeyAtHand>): void {
  let at: KeyAtHand;
  let first: TestVault;
  let second: TestVault;
  beforeAll(async () => {
    at = await open();
    first = await readyVault(at, label(0));
    second = await readyVault(at, label(1));
  });
  afterAll(() => at.close());

  function label(n: number): string {
    const found = at.labels[n];
    if (found === undefined) throw new Error(`the key has no label ${n}`);
    return found;
  }

  describe("signs", () => {
    it.each([
      ["one input", 1],
      ["many inputs", 12],
    ])("%s, each of the approval and no other, in its order", async (_, coins) => {
      const spend = honest({ from: first, coins });
      const approval = approvalOf(spend);
      const made = await at.key.sign(approval);
      expect(made.map(({ input }) => input)).toEqual(approval.inputs.map(({ input }) => input));
      expectVerified(made, approval);
      expectFinal(spend, made);
    });

    it("on both branches and on far indices", async () => {
      const coins = [
        { branch: CHANGE, index: 0 },
        { branch: RECEIVE, index: 1_999 },
        { branch: CHANGE, index: HARDENED - 1 },
      ] as const;
      const spend = honest({ from: first, coins });
      expectFinal(spend, await at.key.sign(approvalOf(spend)));
    });

    it("under even and odd account keys alike", async () => {
      const parities = new Set<string>();
      for (const name of at.labels) {
        const vault = await readyVault(at, name);
        const account = vault.vault.holders.find(({ role }) => role === "lsp");
        parities.add(hex(account?.key.publicKey ?? new Uint8Array(0)).slice(0, 2));
        const spend = honest({ from: vault });
        expectFinal(spend, await at.key.sign(approvalOf(spend)));
        if (parities.size === 2) break;
      }
      expect([...parities].sort()).toEqual(["02", "03"]);
    });

    it("under even and odd tweaked keys alike", async () => {
      const spend = honest({ from: first, coins: 12 });
      expectFinal(spend, await at.key.sign(approvalOf(spend)));
    });

    it("many at once, each for its own approval", async () => {
      const spends = Array.from({ length: 12 }, (_, n) =>
        honest({ from: n % 2 === 0 ? first : second, coins: [{ branch: RECEIVE, index: n }] }),
      );
      const made = await Promise.all(spends.map((spend) => at.key.sign(approvalOf(spend))));
      spends.forEach((spend, n) => {
        expectFinal(spend, made[n] ?? []);
      });
    });
  });

  describe("refuses", () => {
    it("whatever no decision stands behind, and goes on working", async () => {
      const genuine = approvalOf(honest({ from: first }));
      for (const forged of [
        { ...genuine },
        Object.create(genuine) as Approval,
        structuredClone({ ...genuine, inputs: [...genuine.inputs] }) as unknown as Approval,
        new Proxy(genuine, {}),
        JSON.parse("{}") as Approval,
      ]) {
        expect(await faultOf(at.key.sign(forged))).toMatchObject({
          name: "KeyError",
          code: "not-approved",
          passing: false,
        });
      }
      expectVerified(await at.key.sign(genuine), genuine);
    });

    it("an account that it does not have", async () => {
      const fault = await faultOf(at.key.sign(approvalOf(honest({ from: USER_VAULT }))));
      expect(fault).toBeInstanceOf(KeyError);
      expect(fault).toMatchObject({ code: "unknown-account", passing: false });
    });

    it("to prove an account that it does not have", async () => {
      const stranger = hex(party("stranger").account.publicKey ?? new Uint8Array(0));
      expect(await faultOf(at.key.provePossession(stranger, "text"))).toMatchObject({
        name: "KeyError",
        code: "unknown-account",
      });
    });
  });

  describe("proves possession", () => {
    it("with a signature that verifies under the account's child 0/0 and nothing else", async () => {
      const { account, text } = ownIn(first);
      const proof = await at.key.provePossession(hex(account.publicKey), text);
      expect(proves(account, text, proof)).toBe(true);
      expect(proves(account, `${text} `, proof)).toBe(false);
      expect(proves(ownIn(second).account, text, proof)).toBe(false);
      expect(provesPossession(first.vault, "lsp", proof)).toBe(true);
    });

    it("and never signs a transaction by it, whatever the text", async () => {
      const spend = honest({ from: first, coins: [{ branch: RECEIVE, index: 0 }] });
      const [input] = approvalOf(spend).inputs;
      if (input === undefined) throw new Error("the spend has no input");
      // The same key signs here, so that only the message keeps the two apart.
      expect(hex(input.xOnly)).toBe(hex(possessionKey(ownIn(first).account).xOnly));
      const raw = String.fromCharCode(...input.sighash);
      for (const text of ["", hex(input.sighash), raw, `TapSighash${raw}`]) {
        const proof = await at.key.provePossession(input.account, text).catch((error: unknown) => {
          // A device may not show such a text, and then it does not sign it.
          expect(error).toMatchObject({ name: "KeyError", code: "unsupported" });
          return new Uint8Array(64);
        });
        expect(schnorr.verify(proof.slice(-64), input.sighash, input.xOnly)).toBe(false);
      }
    });
  });

  describe("signs lines of text, if it does,", () => {
    it("by the account's child 0/0, and nothing else by it", async () => {
      const { signLine } = at.key;
      if (signLine === undefined) return;
      const { account } = ownIn(first);
      const text = "Ballast mandate 1: the LSP may settle up to 0.1 BTC";
      const signature = await signLine(hex(account.publicKey), text);
      const signer = childOf(childOf(account, RECEIVE), 0).publicKey;
      expect(signsText(text, signature, signer)).toBe(true);
      expect(signsText(`${text}.`, signature, signer)).toBe(false);
      expect(signsText(text, signature, account.publicKey)).toBe(false);
    });

    it.each([
      ["one character", "x", true],
      ["300 characters", "x".repeat(300), true],
      ["none", "", false],
      ["301 characters", "x".repeat(301), false],
      ["a line break", "one\ntwo", false],
      ["a letter that no device shows", "één", false],
    ])("%s", async (_, text, taken) => {
      const { signLine } = at.key;
      if (signLine === undefined) return;
      const signing = signLine(hex(ownIn(first).account.publicKey), text);
      if (taken) expect([64, 65]).toContain((await signing).length);
      else expect(await faultOf(signing)).toMatchObject({ code: "unsupported" });
    });
  });

  describe("its account keys", () => {
    it("are the same for the same label, and read back with their network", async () => {
      const text = await at.key.accountKey(label(0));
      expect(await at.key.accountKey(label(0))).toBe(text);
      const key = readAccountKey(text, "regtest");
      expect(key.text).toBe(text);
      expect(key.origin?.fingerprint).toMatch(/^[0-9a-f]{8}$/);
      if (key.depth === 0) expect(key.origin?.fingerprint).toBe(fingerprintOf(key.publicKey));
      expect(() => readAccountKey(text, "bitcoin")).toThrow(AccountKeyError);
    });

    it("are the same when asked for many times at once", async () => {
      const asked = Array.from({ length: 20 }, () => at.key.accountKey(label(2)));
      expect(new Set(await Promise.all(asked)).size).toBe(1);
    });

    it("are independent: other points, other chain codes, other signatures", async () => {
      const [a, b] = [ownIn(first).account, ownIn(second).account];
      expect(hex(a.publicKey.slice(1))).not.toBe(hex(b.publicKey.slice(1)));
      expect(hex(a.chainCode)).not.toBe(hex(b.chainCode));
      const spend = honest({ from: first });
      const [made] = await at.key.sign(approvalOf(spend));
      const [input] = approvalOf(spend).inputs;
      const foreign = second.scripts.at(RECEIVE, 0).keys.find(({ role }) => role === "lsp");
      if (made === undefined || input === undefined || foreign === undefined) throw new Error();
      expect(schnorr.verify(made.signature, input.sighash, foreign.xOnly)).toBe(false);
    });
  });

  it("says how its secret is kept, without saying it", () => {
    expect(at.key.custody).toMatch(/software|HSM-native|air-gapped/i);
    expect(at.key.name).toMatch(/^(software|pkcs11|ledger|airgap):/);
  });

  it("signs nothing once it is closed", async () => {
    const closing = await open();
    const spend = honest({ from: await readyVault(closing, label(0)) });
    const approval = approvalOf(spend);
    expectVerified(await closing.key.sign(approval), approval);
    await closing.key.close();
    await faultOf(closing.key.sign(approval));
    await closing.close();
  });
}

async function readyVault({ key, register }: KeyAtHand, label: string): Promise<TestVault> {
  const vault = vaultWith(await key.accountKey(label));
  await register?.(vault.vault);
  return vault;
}

/** In either way: BIP340 over the text, or a signed message over the line that stands for it. */
function proves(account: AccountKey, text: string, proof: Uint8Array): boolean {
  const { xOnly } = possessionKey(account);
  if (proof.length === 64) return schnorr.verify(proof, possessionHash(text), xOnly);
  const { publicKey } = childOf(childOf(account, RECEIVE), 0);
  return signsText(possessionLine(text), proof, publicKey);
}

/** A user's vault with this key as the LSP's; user and trustee are the test's own. */
function vaultWith(lsp: string): TestVault {
  const parties = new Map([
    ["user", party("contract/user")],
    ["trustee", party("contract/trustee")],
  ] as const);
  const holders = [
    { role: "lsp" as const, key: lsp },
    ...[...parties].map(([role, { text }]) => ({ role, key: text })),
  ];
  const vault = readVault(
    composeVault({ network: "regtest", kind: "user", name: "Contract", holders }),
  );
  return { vault, scripts: vaultScripts(vault), parties };
}

function approvalOf(spend: Spend): Approval {
  const decision = decide(spend.case);
  if (decision.kind === "approved") return decision.approval;
  throw new Error(decision.violations.map(({ rule, detail }) => `${rule}: ${detail}`).join("; "));
}

function ownIn({ vault }: TestVault) {
  const own = vault.holders.find(({ role }) => role === "lsp");
  if (own === undefined) throw new Error("the vault has no LSP");
  return { account: own.key, text: possessionText(vault, "lsp") };
}

type Made = Awaited<ReturnType<Key["sign"]>>;

function expectVerified(made: Made, approval: Approval): void {
  expect(made).toHaveLength(approval.inputs.length);
  for (const [i, { sighash, xOnly }] of approval.inputs.entries()) {
    const { signature } = made[i] ?? { signature: new Uint8Array(0) };
    expect(signature).toHaveLength(64);
    expect(schnorr.verify(signature, sighash, xOnly)).toBe(true);
  }
}

/**
 * The signatures are what consensus wants: BIP340 over the hash that @scure/btc-signer computes.
 * (The keys are new in each run, and bitcore-lib's interpreter drops leading zeros of a key, so it
 * would refuse one honest input in a hundred; it judges fixed keys in guard.test.ts.)
 */
function expectFinal(spend: Spend, made: Made): void {
  expect(made).toHaveLength(spend.coins.length);
  for (const [input, { script }] of spend.coins.entries()) {
    const { tx, spent } = spend;
    const sighash = scureSighash({ tx, spent, input, leaf: script.leaf });
    const key = script.keys.find(({ role }) => role === "lsp");
    const signature = made[input]?.signature ?? new Uint8Array(0);
    expect(schnorr.verify(signature, sighash, key?.xOnly ?? new Uint8Array(0))).toBe(true);
  }
}
