/**
 * Golden values at every start, as an HSM's power-on self-test does: a library that changed under
 * us, a miscompiled module or a broken CPU is found before a key is opened, not after.
 */
import * as ecc from "tiny-secp256k1";
import { childOf } from "../policies/bitcoin/account-key.ts";
import { fromHex, hex, sha256, taggedHash } from "../policies/bitcoin/hash.ts";
import { midstates, SIGHASH_DEFAULT, taprootSighash } from "../policies/bitcoin/sighash.ts";
import { leafHashOf, multiLeaf, taprootOutput, UNSPENDABLE } from "../policies/bitcoin/taproot.ts";

export class SelfTestError extends Error {
  override readonly name = "SelfTestError";
}

/** Throws a SelfTestError that names what does not compute. */
export function selfTest(): void {
  for (const [name, { computed, expected }] of Object.entries(golden())) {
    if (computed !== expected) {
      throw new SelfTestError(
        `self-test "${name}" failed: this machine or a library computes wrongly; nothing is signed`,
      );
    }
  }
}

/** BIP340 test vector 1. */
const SECRET = "b7e151628aed2a6abf7158809cf4f3c762e7160f38b4da56a784d9045190cfef";
const AUX = "0000000000000000000000000000000000000000000000000000000000000001";
const MESSAGE = "243f6a8885a308d313198a2e03707344a4093822299f31d0082efa98ec4e6c89";
const KEY = "dff1d77f2a671c5f36183726db2341be58feae1da2deced843240f7b502ba659";
const SIGNATURE =
  "6896bd60eeae296db48a229ff71dfe071bde413e6d43f917dc8dcf8c78de33418906d11ac976abccb20b091292bff4ea897efcb639ea871cfa95f6de339e4b0a";

interface Golden {
  readonly computed: string;
  readonly expected: string;
}

function golden(): Readonly<Record<string, Golden>> {
  const signature = ecc.signSchnorr(fromHex(MESSAGE), fromHex(SECRET), fromHex(AUX));
  const bent = Uint8Array.from(signature);
  bent[63] = (bent[63] ?? 0) ^ 1;
  const leaf = multiLeaf(2, [fromHex(KEY), UNSPENDABLE, fromHex(KEY)]);
  const output = taprootOutput(UNSPENDABLE, leafHashOf(leaf));
  const tx = {
    version: 2,
    locktime: 0,
    inputs: [{ txid: new Uint8Array(32).fill(1), vout: 0, sequence: 0xfffffffd }],
    outputs: [{ sats: 1_000n, script: output.script }],
  };
  const states = midstates(tx, [{ sats: 2_000n, script: output.script }]);
  const sighash = taprootSighash({
    tx,
    midstates: states,
    input: 0,
    type: SIGHASH_DEFAULT,
    leafHash: leafHashOf(leaf),
  });
  const child = childOf({ publicKey: fromHex(`02${KEY}`), chainCode: fromHex(AUX) }, 1);
  const verified = (bytes: Uint8Array) =>
    String(ecc.verifySchnorr(fromHex(MESSAGE), fromHex(KEY), bytes));
  return {
    "sha256 of abc": {
      computed: hex(sha256(Uint8Array.of(0x61, 0x62, 0x63))),
      expected: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    },
    "tagged hash": { computed: hex(taggedHash("TapLeaf", leaf)), expected: GOLDEN.tagged },
    "BIP340 signing": { computed: hex(signature), expected: SIGNATURE },
    "BIP340 verification": { computed: verified(signature), expected: "true" },
    "BIP340 refusal": { computed: verified(bent), expected: "false" },
    "BIP32 child": { computed: hex(child.publicKey), expected: GOLDEN.child },
    "BIP341 output": { computed: hex(output.script), expected: GOLDEN.output },
    "BIP342 signature hash": { computed: hex(sighash), expected: GOLDEN.sighash },
  };
}

/** Computed once by @scure/btc-signer and @scure/bip32; test/signer/self-test.test.ts repeats it. */
const GOLDEN = {
  tagged: "a007bdc1c6a418e472c1e4058ea5f52aa96440522aa90fc52fe64f17ffe05ce1",
  child: "03c4c7b93f4d3abfd055613dcdf5493bcbe028579934bcc010772fd73f1529e7ed",
  output: "5120cc10b4f50486285e39884f30ecadbbef46a720935bba4e5ea78c3b776a2a9b6d",
  sighash: "96ff8be6852f6b502732037f01ea69106f418e6ed5b0f3fd2c6c8d60e6c66971",
};
