import { HDKey } from "@scure/bip32";
import { expect, it } from "vitest";
import { childOf } from "../../policies/bitcoin/account-key.ts";
import { fromHex, hex } from "../../policies/bitcoin/hash.ts";
import { addressOf, leafHashOf, multiLeaf, taprootOutput } from "../../policies/bitcoin/taproot.ts";
import { describeVectors } from "../support/vectors.ts";

/** Pulser's recorded addresses, `tr(K,multi_a(2,lsp/*,trustee/*,user/*))`, bit for bit. */
describeVectors("the seeds: Pulser's 2-of-3 addresses", "seeds.json", (text) => {
  const rows: readonly Row[] = JSON.parse(text);
  const addresses = rows.filter(({ case: name }) => name.startsWith("taproot_2of3_address."));

  it("has all recorded addresses", () => {
    expect(addresses.length).toBeGreaterThanOrEqual(10);
  });

  for (const { case: name, input, expected } of addresses) {
    it(name, () => {
      const { internalKey, xpubs } = readDescriptor(input.descriptor);
      const keys = xpubs.map((xpub) => {
        const { publicKey, chainCode } = HDKey.fromExtendedKey(xpub, TESTNET);
        if (publicKey === null || chainCode === null) throw new Error(`${xpub} has no key`);
        return childOf({ publicKey, chainCode }, input.index).publicKey.subarray(1);
      });
      const leaf = multiLeaf(2, keys);
      const leafHash = leafHashOf(leaf);
      const output = taprootOutput(internalKey, leafHash);
      expect({
        address: addressOf(output.script, "testnet"),
        script_pubkey: hex(output.script),
        tapleaf_script: hex(leaf),
        tapleaf_hash: hex(leafHash),
        control_block: hex(output.controlBlock),
      }).toEqual(expected);
    });
  }
});

interface Row {
  readonly case: string;
  readonly input: { readonly descriptor: string; readonly index: number };
  readonly expected: Readonly<Record<string, string>>;
}

const TESTNET = { private: 0x04358394, public: 0x043587cf };

function readDescriptor(descriptor: string) {
  const groups = /^tr\((?<key>[0-9a-f]{64}),multi_a\(2,(?<keys>.*)\)\)$/.exec(descriptor)?.groups;
  const keys = groups?.["keys"]?.split(",") ?? [];
  return {
    internalKey: fromHex(groups?.["key"] ?? ""),
    xpubs: keys.map((key) => key.replace(/^\[[^\]]*\]/, "").replace(/\/\*$/, "")),
  };
}
