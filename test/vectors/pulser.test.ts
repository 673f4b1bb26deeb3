import { expect, it } from "vitest";
import { hex } from "../../policies/bitcoin/hash.ts";
import { addressOf } from "../../policies/bitcoin/taproot.ts";
import { pulserScriptAt, readPulserVault } from "../../policies/pulser.ts";
import { RECEIVE } from "../../policies/vault.ts";
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
      const [lsp = "", trustee = "", user = ""] = xpubsOf(input.descriptor);
      const vault = readPulserVault({
        format: "ballast/pulser-vault@1",
        network: "testnet",
        user: "1",
        descriptors: [input.descriptor, input.descriptor],
        keys: { lsp, trustee, user },
      });
      const { script, leaf, leafHash, controlBlock } = pulserScriptAt(vault, RECEIVE, input.index);
      expect({
        address: addressOf(script, "testnet"),
        script_pubkey: hex(script),
        tapleaf_script: hex(leaf),
        tapleaf_hash: hex(leafHash),
        control_block: hex(controlBlock),
      }).toEqual(expected);
    });
  }
});

interface Row {
  readonly case: string;
  readonly input: { readonly descriptor: string; readonly index: number };
  readonly expected: Readonly<Record<string, string>>;
}

function xpubsOf(descriptor: string): readonly string[] {
  const keys = /multi_a\(2,(.*)\)\)$/.exec(descriptor)?.[1] ?? "";
  return keys.split(",").map((key) => key.replace(/^\[[^\]]*\]/, "").replace(/\/\*$/, ""));
}
