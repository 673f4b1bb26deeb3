import * as ecc from "tiny-secp256k1";
import { expect, it } from "vitest";
import { fromHex, hex } from "../../policies/bitcoin/hash.ts";
import { describeVectors } from "../support/vectors.ts";

/** Of the library that every signature of a vault rests on. It takes messages of 32 bytes only. */
describeVectors("BIP340: Schnorr signatures of tiny-secp256k1", "bip340.csv", (text) => {
  const rows = text.trim().split("\n").slice(1).map(readRow);

  for (const { index, key, message, signature, valid, comment } of rows) {
    if (message.length !== 32) {
      it(`${index}: refuses a message of ${message.length} bytes instead of guessing`, () => {
        expect(() => ecc.verifySchnorr(message, key, signature)).toThrow();
      });
      continue;
    }
    it(`${index}: ${valid ? "accepts" : "refuses"} ${comment}`, () => {
      expect(verifies(message, key, signature)).toBe(valid);
    });
  }

  for (const { index, secret, aux, message, signature } of rows) {
    if (secret.length === 0 || message.length !== 32) continue;
    it(`${index}: signs to the same bytes`, () => {
      expect(hex(ecc.signSchnorr(message, secret, aux))).toBe(hex(signature));
    });
  }
});

function readRow(line: string) {
  const cells = line.trim().split(",");
  const [index = "", secret = "", key = "", aux = "", message = "", signature = "", result] = cells;
  return {
    index,
    secret: fromHex(secret),
    key: fromHex(key),
    aux: fromHex(aux),
    message: fromHex(message),
    signature: fromHex(signature),
    valid: result === "TRUE",
    comment: cells.slice(7).join(",") || "the signature",
  };
}

/** A key or signature out of range is thrown out by the library; for a verifier that is a no. */
function verifies(message: Uint8Array, key: Uint8Array, signature: Uint8Array): boolean {
  try {
    return ecc.verifySchnorr(message, key, signature);
  } catch {
    return false;
  }
}
