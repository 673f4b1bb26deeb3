/**
 * A second client, Ledger's own in Python, drives the emulator over HTTP. What it gets is what the
 * tests' own client gets, and what `@scure/btc-signer` derives by itself.
 */
import { schnorr } from "@noble/curves/secp256k1.js";
import { base64, hex } from "@scure/base";
import { HDKey } from "@scure/bip32";
import { p2tr, p2tr_ms, TEST_NETWORK, Transaction } from "@scure/btc-signer";
import { compareBytes } from "@scure/btc-signer/utils.js";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { openApp } from "../support/ledger-app/app.ts";
import { reader } from "../support/ledger-app/review.ts";
import { register } from "../support/ledger-host.ts";
import { MULTI, WORDS } from "../support/ledger-policies.ts";
import { startLedger } from "../support/ledger-process.ts";
import { ACCOUNT } from "../support/ledger-spend.ts";
import { askPythonLedger, pythonLedger } from "../support/python-ledger.ts";

const answerSchema = z.strictObject({
  fingerprint: z.string(),
  xpub: z.string(),
  id: z.string(),
  hmac: z.string(),
  addresses: z.array(z.string()),
  signatures: z.array(
    z.strictObject({
      input: z.number(),
      pubkey: z.string(),
      leaf: z.string(),
      signature: z.string(),
    }),
  ),
  message: z.string(),
  refusal: z.string(),
});

const VERSIONS = { private: 0x04358394, public: 0x043587cf };
const PLACES = [
  [0, 0],
  [1, 0],
  [0, 49_999],
] as const;
const FINGERPRINT = 0x73c5da0a;

/** The vault's address by another library. */
function vaultAt([change, index]: readonly [number, number]) {
  const [internal = new Uint8Array(), ...keys] = MULTI.keys.map((text) => {
    const xpub = HDKey.fromExtendedKey(text.replace(/^\[.*\]/, ""), VERSIONS);
    const child = xpub.deriveChild(change).deriveChild(index).publicKey;
    return child?.subarray(1) ?? new Uint8Array();
  });
  const leaf = p2tr_ms(2, [...keys].sort(compareBytes));
  const payment = p2tr(internal, { script: leaf.script }, TEST_NETWORK);
  return { payment, leaf, user: keys[0] ?? new Uint8Array() };
}

function spend() {
  const { payment, leaf, user } = vaultAt([0, 0]);
  const leafHash = payment.leaves?.[0]?.hash ?? new Uint8Array();
  const transaction = new Transaction();
  transaction.addInput({
    txid: "11".repeat(32),
    index: 0,
    witnessUtxo: { script: payment.script, amount: 100_000n },
    tapBip32Derivation: [
      [user, { hashes: [leafHash], der: { fingerprint: FINGERPRINT, path: [...ACCOUNT, 0, 0] } }],
    ],
  });
  transaction.addOutput({ script: vaultAt([0, 7]).payment.script, amount: 90_000n });
  const message = transaction.preimageWitnessV1(
    0,
    [payment.script],
    0,
    [100_000n],
    undefined,
    leaf.script,
    0xc0,
  );
  return { psbt: base64.encode(transaction.toPSBT(0)), message, leafHash, user };
}

async function answerOfPython(): Promise<z.infer<typeof answerSchema>> {
  const device = await startLedger({ seed: WORDS.user, person: "auto" });
  try {
    const task = {
      url: device.url,
      policy: MULTI,
      path: "m/48'/1'/0'/2'",
      places: PLACES,
      psbt: spend().psbt,
      message: "read by a person",
    };
    return answerSchema.parse(await askPythonLedger(task));
  } finally {
    await device.stop();
  }
}

describe("a second client", () => {
  if (pythonLedger.missing !== null) {
    it.skip(`skipped: ${pythonLedger.name}: ${pythonLedger.missing}`);
    return;
  }

  it("registers, shows, signs and is refused like the first", async () => {
    const answer = await answerOfPython();
    const app = openApp({ mnemonic: WORDS.user, person: reader(() => "approve") });
    const { data } = await register((apdu) => app.exchange(apdu), MULTI);
    expect(answer.id + answer.hmac).toBe(hex.encode(data));
    expect(answer.fingerprint).toBe(FINGERPRINT.toString(16));
    expect(MULTI.keys[1]).toBe(`[${answer.fingerprint}/48'/1'/0'/2']${answer.xpub}`);
    expect(answer.addresses).toEqual(PLACES.map((place) => vaultAt(place).payment.address));
    expect(Buffer.from(answer.message, "base64")).toHaveLength(65);
    expect(answer.refusal).toBe("SignatureFailError");

    const { message, leafHash, user } = spend();
    const [signature] = answer.signatures;
    expect(answer.signatures).toHaveLength(1);
    expect(signature?.leaf).toBe(hex.encode(leafHash));
    expect(signature?.pubkey).toBe(hex.encode(user));
    expect(schnorr.verify(hex.decode(signature?.signature ?? ""), message, user)).toBe(true);
  });
});
