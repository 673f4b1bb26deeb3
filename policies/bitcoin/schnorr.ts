/** BIP340 verification that answers for any bytes. */
import * as ecc from "tiny-secp256k1";

export interface SchnorrCheck {
  /** 32 bytes. */
  readonly message: Uint8Array;
  readonly xOnly: Uint8Array;
  readonly signature: Uint8Array;
}

/**
 * Whether the signature is one. The library throws on a signature whose numbers are out of range and
 * on a key that is off the curve; to whoever asks, both are simply no signature.
 */
export function verifies({ message, xOnly, signature }: SchnorrCheck): boolean {
  if (message.length !== 32 || signature.length !== 64) return false;
  try {
    return ecc.verifySchnorr(message, xOnly, signature);
  } catch {
    return false;
  }
}
