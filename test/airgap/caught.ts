import { base32nopad, base64 } from "@scure/base";
import { expect } from "vitest";
import { hex } from "../../policies/bitcoin/hash.ts";
import { AirgapError, type AirgapFaultCode } from "../../signer/airgap/airgap-error.ts";
import { writeBytewords } from "../../signer/airgap/bytewords.ts";
import { honest, type SpendOptions } from "../support/spend.ts";

/** Bytes of an honest PSBT. */
export function psbtOf(options: SpendOptions = {}): Uint8Array {
  return honest(options).bytes;
}

/** The AirgapError that `act` throws. */
export function caught(act: () => unknown): AirgapError {
  try {
    act();
  } catch (error) {
    if (error instanceof AirgapError) return error;
    throw error;
  }
  throw new Error("expected a fault, got an answer");
}

export function expectFault(act: () => unknown, code: AirgapFaultCode, words: RegExp): void {
  const { code: found, message } = caught(act);
  expect([found, message]).toEqual([code, expect.stringMatching(words)]);
}

/** Nothing of the PSBT stands in what is said of it, in any of the forms in which it travels. */
export function expectNoContent(message: string, psbt: Uint8Array): void {
  const said = message.toLowerCase();
  for (const text of [
    hex(psbt),
    base64.encode(psbt),
    base32nopad.encode(psbt),
    writeBytewords(psbt),
  ]) {
    const form = text.toLowerCase();
    for (let i = 0; i + RUN <= said.length; i += 1) {
      expect(form.includes(said.slice(i, i + RUN))).toBe(false);
    }
  }
}

/** Shorter runs of letters stand in words by chance. */
const RUN = 8;
