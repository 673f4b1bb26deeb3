import * as ecc from "tiny-secp256k1";
import { expect, it } from "vitest";
import { fromHex, hex, taggedHash } from "../../policies/bitcoin/hash.ts";
import { midstates, taprootSighash } from "../../policies/bitcoin/sighash.ts";
import {
  addressOf,
  leafHashOf,
  scriptOf,
  taprootOutput,
  tapTreeRoot,
} from "../../policies/bitcoin/taproot.ts";
import { readUnsignedTx, writeUnsignedTx } from "../../policies/bitcoin/transaction.ts";
import { concat, sized, u8 } from "../../policies/bitcoin/wire.ts";
import { describeVectors } from "../support/vectors.ts";

describeVectors("BIP341: outputs", "bip341.json", (text) => {
  const { scriptPubKey }: Vectors = JSON.parse(text);

  scriptPubKey.forEach(({ given, intermediary, expected }, i) => {
    const internalKey = fromHex(given.internalPubkey);
    const leaves = given.scriptTree === null ? [] : leavesOf(given.scriptTree, 0);

    it(`${i + 1}: root and output of ${leaves.length} leaves`, () => {
      const root = leaves.length === 0 ? new Uint8Array(0) : tapTreeRoot(treeField(leaves));
      expect(hex(root)).toBe(intermediary.merkleRoot ?? "");
      const output = taprootOutput(internalKey, root);
      expect(hex(output.script)).toBe(expected.scriptPubKey);
      expect(addressOf(output.script, "bitcoin")).toBe(expected.bip350Address);
      expect(hex(scriptOf(expected.bip350Address, "bitcoin") ?? u8(0))).toBe(expected.scriptPubKey);
    });

    if (leaves.length !== 1 || leaves[0]?.leafVersion !== 0xc0) return;
    it(`${i + 1}: leaf hash and control block of a single leaf`, () => {
      const leafHash = leafHashOf(fromHex(leaves[0]?.script ?? ""));
      expect(hex(leafHash)).toBe(intermediary.leafHashes?.[0]);
      const { controlBlock } = taprootOutput(internalKey, leafHash);
      expect(hex(controlBlock)).toBe(expected.scriptPathControlBlocks?.[0]);
    });
  });
});

describeVectors("BIP341: signature hashes", "bip341.json", (text) => {
  const { keyPathSpending }: Vectors = JSON.parse(text);

  for (const { given, intermediary, inputSpending } of keyPathSpending) {
    const tx = readUnsignedTx(fromHex(given.rawUnsignedTx));
    const spent = given.utxosSpent.map(({ scriptPubKey, amountSats }) => ({
      script: fromHex(scriptPubKey),
      sats: BigInt(amountSats),
    }));
    const states = midstates(tx, spent);

    it("writes the transaction back", () => {
      expect(hex(writeUnsignedTx(tx))).toBe(given.rawUnsignedTx);
    });

    it("computes every hash over the whole transaction", () => {
      expect({
        hashAmounts: hex(states.amounts),
        hashOutputs: hex(states.outputs),
        hashPrevouts: hex(states.prevouts),
        hashScriptPubkeys: hex(states.scripts),
        hashSequences: hex(states.sequences),
      }).toEqual(intermediary);
    });

    for (const vector of inputSpending) {
      const { txinIndex: input, hashType: type } = vector.given;
      it(`input ${input} under sighash type 0x${type.toString(16)}`, () => {
        const sighash = taprootSighash({ tx, midstates: states, input, type });
        expect(hex(sighash)).toBe(vector.intermediary.sigHash);
        expect(hex(taggedHash("TapSighash", fromHex(vector.intermediary.sigMsg)))).toBe(
          vector.intermediary.sigHash,
        );
        const signature = fromHex(vector.expected.witness[0] ?? "").subarray(0, 64);
        const outputKey = spent[input]?.script.subarray(2) ?? new Uint8Array(0);
        expect(ecc.verifySchnorr(sighash, outputKey, signature)).toBe(true);
      });
    }

    it("refuses an undefined sighash type, a missing input and SINGLE without its output", () => {
      const common = { tx, midstates: states };
      for (const type of [0x04, 0x80, 0x84, 0xff, -1, 256]) {
        expect(() => taprootSighash({ ...common, input: 0, type })).toThrow(RangeError);
      }
      expect(() => taprootSighash({ ...common, input: 9, type: 0 })).toThrow(RangeError);
      expect(() => taprootSighash({ ...common, input: 3, type: 3 })).toThrow(RangeError);
    });
  }
});

interface Vectors {
  readonly scriptPubKey: readonly {
    readonly given: { readonly internalPubkey: string; readonly scriptTree: Tree | null };
    readonly intermediary: {
      readonly merkleRoot: string | null;
      readonly leafHashes?: readonly string[];
    };
    readonly expected: {
      readonly scriptPubKey: string;
      readonly bip350Address: string;
      readonly scriptPathControlBlocks?: readonly string[];
    };
  }[];
  readonly keyPathSpending: readonly {
    readonly given: {
      readonly rawUnsignedTx: string;
      readonly utxosSpent: readonly {
        readonly scriptPubKey: string;
        readonly amountSats: number;
      }[];
    };
    readonly intermediary: Readonly<Record<string, string>>;
    readonly inputSpending: readonly {
      readonly given: { readonly txinIndex: number; readonly hashType: number };
      readonly intermediary: { readonly sigMsg: string; readonly sigHash: string };
      readonly expected: { readonly witness: readonly string[] };
    }[];
  }[];
}

type Tree = Leaf | readonly [Tree, Tree];

interface Leaf {
  readonly script: string;
  readonly leafVersion: number;
}

function leavesOf(tree: Tree, depth: number): readonly (Leaf & { readonly depth: number })[] {
  if ("script" in tree) return [{ ...tree, depth }];
  return tree.flatMap((branch) => leavesOf(branch, depth + 1));
}

/** OUT_TAP_TREE of BIP371: depth, leaf version and script, depth first. */
function treeField(leaves: ReturnType<typeof leavesOf>): Uint8Array {
  return concat(
    leaves.flatMap(({ depth, leafVersion, script }) => [
      u8(depth),
      u8(leafVersion),
      sized(fromHex(script)),
    ]),
  );
}
