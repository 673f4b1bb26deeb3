/** Who a station is in ceremonies: a key of its own, which is no key of any vault. */
import * as ecc from "tiny-secp256k1";
import { hex } from "../../policies/bitcoin/hash.ts";
import { textHash } from "../../policies/bitcoin/message.ts";

export interface Identity {
  /** x-only, in hex: what an operator enters for this person. */
  readonly publicKey: string;
  /** BIP340 over the text, in hex. */
  readonly sign: (text: string) => string;
}

/** Throws a RangeError for a secret that is none. */
export function identityOf(secret: Uint8Array): Identity {
  if (!ecc.isPrivate(secret)) throw new RangeError("not a secret key");
  return {
    publicKey: hex(ecc.xOnlyPointFromScalar(secret)),
    sign: (text) => hex(ecc.signSchnorr(textHash(text), secret)),
  };
}
