/**
 * The golden values, repeated by libraries that share no code with ours, and each of them bent: a
 * self-test that cannot fail would be worth nothing.
 */
import { schnorr } from "@noble/curves/secp256k1.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { HDKey } from "@scure/bip32";
import { p2tr, Transaction } from "@scure/btc-signer";
import { tapLeafHash } from "@scure/btc-signer/payment.js";
import { afterEach, describe, expect, it, vi } from "vitest";
import { fromHex, hex } from "../../policies/bitcoin/hash.ts";
import { multiLeaf, UNSPENDABLE } from "../../policies/bitcoin/taproot.ts";
import { SelfTestError, selfTest } from "../../signer/self-test.ts";

/** BIP340 test vector 1, and what the self-test expects of it. */
const SECRET = fromHex("b7e151628aed2a6abf7158809cf4f3c762e7160f38b4da56a784d9045190cfef");
const AUX = fromHex("0000000000000000000000000000000000000000000000000000000000000001");
const MESSAGE = fromHex("243f6a8885a308d313198a2e03707344a4093822299f31d0082efa98ec4e6c89");
const KEY = fromHex("dff1d77f2a671c5f36183726db2341be58feae1da2deced843240f7b502ba659");
const SIGNATURE =
  "6896bd60eeae296db48a229ff71dfe071bde413e6d43f917dc8dcf8c78de33418906d11ac976abccb20b091292bff4ea897efcb639ea871cfa95f6de339e4b0a";
const LEAF = multiLeaf(2, [KEY, UNSPENDABLE, KEY]);
const OUTPUT = "5120cc10b4f50486285e39884f30ecadbbef46a720935bba4e5ea78c3b776a2a9b6d";

afterEach(() => {
  vi.doUnmock("tiny-secp256k1");
  vi.doUnmock("../../policies/bitcoin/hash.ts");
  vi.doUnmock("../../policies/bitcoin/account-key.ts");
  vi.doUnmock("../../policies/bitcoin/sighash.ts");
  vi.doUnmock("../../policies/bitcoin/taproot.ts");
  vi.resetModules();
});

it("passes on this machine", () => {
  expect(() => selfTest()).not.toThrow();
});

describe("the golden values are what others compute too:", () => {
  it("BIP340 by @noble/curves", () => {
    expect(hex(schnorr.sign(MESSAGE, SECRET, AUX))).toBe(SIGNATURE);
    expect(schnorr.verify(fromHex(SIGNATURE), MESSAGE, KEY)).toBe(true);
  });

  it("the tagged hash by @noble/hashes", () => {
    const tag = sha256(new TextEncoder().encode("TapLeaf"));
    const digest = sha256.create().update(tag).update(tag).update(LEAF).digest();
    expect(hex(digest)).toBe("a007bdc1c6a418e472c1e4058ea5f52aa96440522aa90fc52fe64f17ffe05ce1");
  });

  it("the BIP32 child by @scure/bip32", () => {
    const parent = new HDKey({ publicKey: fromHex(`02${hex(KEY)}`), chainCode: AUX });
    expect(hex(parent.deriveChild(1).publicKey ?? new Uint8Array(0))).toBe(
      "03c4c7b93f4d3abfd055613dcdf5493bcbe028579934bcc010772fd73f1529e7ed",
    );
  });

  it("the BIP341 output by @scure/btc-signer", () => {
    const { script } = p2tr(UNSPENDABLE, { script: LEAF }, undefined, true);
    expect(hex(script)).toBe(OUTPUT);
    expect(hex(tapLeafHash(LEAF))).toHaveLength(64);
  });

  it("the BIP342 signature hash by @scure/btc-signer", () => {
    const tx = new Transaction({ version: 2, lockTime: 0, allowUnknownOutputs: true });
    tx.addInput({ txid: new Uint8Array(32).fill(1), index: 0, sequence: 0xfffffffd });
    tx.addOutput({ script: fromHex(OUTPUT), amount: 1_000n });
    const sighash = tx.preimageWitnessV1(0, [fromHex(OUTPUT)], 0, [2_000n], undefined, LEAF);
    expect(hex(sighash)).toBe("96ff8be6852f6b502732037f01ea69106f418e6ed5b0f3fd2c6c8d60e6c66971");
  });
});

/** One bit of what a library gives back, or the answer to a question, turned round. */
describe("a library that computes wrongly is found:", () => {
  type Module = Record<string, (...given: unknown[]) => unknown>;
  const turned = (value: unknown): unknown => {
    if (typeof value === "boolean") return !value;
    const bytes = Uint8Array.from(value as Uint8Array);
    bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
    return bytes;
  };
  const inField = (name: string) => (value: unknown) => {
    const object = value as Record<string, unknown>;
    return { ...object, [name]: turned(object[name]) };
  };

  const table: readonly [string, string, string, (value: unknown) => unknown][] = [
    ["sha256 of abc", "../../policies/bitcoin/hash.ts", "sha256", turned],
    ["tagged hash", "../../policies/bitcoin/hash.ts", "taggedHash", turned],
    ["BIP340 signing", "tiny-secp256k1", "signSchnorr", turned],
    ["BIP340 verification", "tiny-secp256k1", "verifySchnorr", () => false],
    ["BIP340 refusal", "tiny-secp256k1", "verifySchnorr", () => true],
    ["BIP32 child", "../../policies/bitcoin/account-key.ts", "childOf", inField("publicKey")],
    ["BIP341 output", "../../policies/bitcoin/taproot.ts", "taprootOutput", inField("script")],
    ["BIP342 signature hash", "../../policies/bitcoin/sighash.ts", "taprootSighash", turned],
  ];
  it.each(table)("%s (%s, %s)", async (name, module, called, bend) => {
    vi.resetModules();
    vi.doMock(module, async (load) => {
      const real = await load<Module>();
      return { ...real, [called]: (...given: unknown[]) => bend(real[called]?.(...given)) };
    });
    const bent = await import("../../signer/self-test.ts");
    expect(() => bent.selfTest()).toThrow(bent.SelfTestError);
    expect(() => bent.selfTest()).toThrow(name);
  });

  it("and a fault is typed, with no more in it than the name of the test", () => {
    const fault = new SelfTestError("x");
    expect(fault).toBeInstanceOf(Error);
    expect(fault.name).toBe("SelfTestError");
  });
});
