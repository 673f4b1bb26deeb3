import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fromHex, hex } from "../../policies/bitcoin/hash.ts";
import {
  accountKey,
  bindingBytes,
  chainCodeOf,
  formatKeyFile,
  parseKeyFile,
  type SealedKey,
} from "../../signer/custody/key-file.ts";

/** The generator point: any valid public key does. */
const PUBLIC_KEY = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";

const blob: SealedKey = {
  format: "ballast/sealed-key@1",
  network: "regtest",
  label: "vault-1",
  publicKey: PUBLIC_KEY,
  chainCode: hex(chainCodeOf(fromHex(PUBLIC_KEY))),
  epoch: 1,
  kek: { token: "ballast-lsp", object: "kek" },
  iv: "00".repeat(12),
  ciphertext: "11".repeat(48),
};

describe("a sealed key's file", () => {
  it("is read back as it was written, and shows the BIP32 fingerprint of its key", () => {
    expect(parseKeyFile(formatKeyFile(blob))).toEqual(blob);
    // HASH160 of the generator, as every explorer shows it for private key 1.
    expect(accountKey(blob).fingerprint).toBe("751e76e8");
  });

  const bends: readonly (readonly [string, unknown])[] = [
    ["another format", { ...blob, format: "ballast/sealed-key@2" }],
    ["an unknown network", { ...blob, network: "mainnet" }],
    ["an upper-case label", { ...blob, label: "Vault-1" }],
    ["a label that leaves the folder", { ...blob, label: "../vault-1" }],
    ["a key that is no point", { ...blob, publicKey: `02${"ff".repeat(32)}` }],
    ["upper-case hex", { ...blob, publicKey: PUBLIC_KEY.toUpperCase() }],
    ["a chain code of another key", { ...blob, chainCode: "22".repeat(32) }],
    ["epoch 0", { ...blob, epoch: 0 }],
    ["a short IV", { ...blob, iv: "00".repeat(11) }],
    ["a ciphertext without its tag", { ...blob, ciphertext: "11".repeat(32) }],
    ["a field too many", { ...blob, note: "x" }],
    ["a field too few", { ...blob, kek: undefined }],
    ["no object", [blob]],
  ];
  it.each(bends)("is refused with %s", (_, value) => {
    expect(parseKeyFile(JSON.stringify(value))).toBeNull();
  });

  it("is refused when truncated anywhere", () => {
    const text = formatKeyFile(blob).trimEnd();
    for (let length = 0; length < text.length; length += 1) {
      expect(parseKeyFile(text.slice(0, length))).toBeNull();
    }
  });

  it("binds its fields without ambiguity: other fields, other bytes", () => {
    const binding = fc.record({
      network: fc.constantFrom("bitcoin" as const, "testnet" as const, "regtest" as const),
      label: fc.string({ maxLength: 12 }),
      publicKey: fc.uint8Array({ maxLength: 6 }).map(hex),
      epoch: fc.integer({ min: 1, max: 0xffffffff }),
    });
    fc.assert(
      fc.property(binding, binding, (one, other) => {
        const same = JSON.stringify(one) === JSON.stringify(other);
        expect(hex(bindingBytes(one)) === hex(bindingBytes(other))).toBe(same);
      }),
      { numRuns: 500 },
    );
  });
});
