/** A PSBT that came over the air gap: its bounds, its text forms, and the gate it must pass. */
import { base64 } from "@scure/base";
import { fromHex } from "../../policies/bitcoin/hash.ts";
import { PSBT_BYTES_MAX, PsbtFault, readPsbt } from "../../policies/bitcoin/psbt.ts";
import { AirgapError } from "./airgap-error.ts";

/** Hex is the longest text in which a PSBT is read. */
export const PSBT_TEXT_MAX = 2 * PSBT_BYTES_MAX;

/** The same bytes if they are a PSBT; else an AirgapError, with the gate's code but not its words. */
export function checkedPsbt(bytes: Uint8Array): Uint8Array {
  try {
    readPsbt(bytes);
  } catch (error) {
    if (!(error instanceof PsbtFault)) throw error;
    // The gate's words may quote a key of the PSBT.
    if (error.code === "psbt-oversized") throw oversized();
    throw new AirgapError("wrong-content", `this is no PSBT that can be read (${error.code})`);
  }
  return bytes;
}

/** The standard alphabet with its padding and nothing else: `Buffer.from` would take junk. */
export function psbtOfBase64(text: string): Uint8Array {
  if (text.length > PSBT_TEXT_MAX) throw oversized();
  let bytes: Uint8Array;
  try {
    bytes = base64.decode(text);
  } catch {
    throw new AirgapError(
      "bad-part",
      "the text is not base64: only A-Z a-z 0-9 + / and the = padding; it may have been cut off",
    );
  }
  return checkedPsbt(bytes);
}

export function psbtOfHex(text: string): Uint8Array {
  if (text.length > PSBT_TEXT_MAX) throw oversized();
  if (text.length % 2 !== 0 || !/^[0-9a-f]*$/i.test(text)) {
    throw new AirgapError(
      "bad-part",
      "the text is not hex: only 0-9 and a-f, two for each byte; it may have been cut off",
    );
  }
  return checkedPsbt(fromHex(text));
}

export function oversized(): AirgapError {
  return new AirgapError(
    "oversized",
    `this is larger than any PSBT that is signed here: at most ${PSBT_BYTES_MAX} bytes`,
  );
}
