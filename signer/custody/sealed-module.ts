/**
 * Sealed keys opened by the module of `signer/module/`: unsealing and signing are one call of it, in
 * locked memory that is wiped, and no secret ever is in JavaScript.
 */
import { randomBytes } from "node:crypto";
import { fromHex, hex } from "../../policies/bitcoin/hash.ts";
import { concat } from "../../policies/bitcoin/wire.ts";
import type { KeyHandle } from "../pkcs11/cryptoki.ts";
import type { TokenAccess } from "./custody.ts";
import {
  bindingAround,
  bindingBytes,
  chainCodeOf,
  IV_BYTES,
  KEY_BYTES,
  TAG_BYTES,
} from "./key-file.ts";
import { FIRST_EPOCH, type SealedEngine, sealedKey } from "./sealed.ts";

/** The module's one mechanism; what its parameter says: see signer/module/README.md. */
export const SEALED_MECHANISM = 0x8b340340;
const SIGN = Uint8Array.of(1);
const MAKE = Uint8Array.of(2);
const POINT_BYTES = 33;
const SIGNATURE_BYTES = 64;

export function moduleEngine(access: TokenAccess, kek: KeyHandle): SealedEngine {
  const { cryptoki, config, pool } = access;
  const mechanism = (parameter: Uint8Array) =>
    ({ kind: "vendor", id: SEALED_MECHANISM, parameter }) as const;

  return {
    seal: (label) =>
      pool.use(async (session) => {
        const { network } = config;
        const { prefix, suffix } = bindingAround({ network, label, epoch: FIRST_EPOCH });
        const length = Uint8Array.of(prefix.length >> 8, prefix.length & 0xff);
        const { output } = await cryptoki.encrypt({
          session,
          key: kek,
          mechanism: mechanism(concat([MAKE, length, prefix, suffix])),
          data: randomBytes(KEY_BYTES),
          bytes: POINT_BYTES + IV_BYTES + KEY_BYTES + TAG_BYTES,
        });
        const publicKey = output.subarray(0, POINT_BYTES);
        return sealedKey(access, {
          label,
          publicKey: hex(publicKey),
          chainCode: hex(chainCodeOf(publicKey)),
          iv: hex(output.subarray(POINT_BYTES, POINT_BYTES + IV_BYTES)),
          ciphertext: hex(output.subarray(POINT_BYTES + IV_BYTES)),
        });
      }),

    sign: ({ file, tweak, message }) =>
      pool.use((session) =>
        cryptoki.sign({
          session,
          key: kek,
          mechanism: mechanism(
            concat([
              SIGN,
              tweak,
              fromHex(file.publicKey),
              fromHex(file.iv),
              fromHex(file.ciphertext),
              bindingBytes(file),
            ]),
          ),
          data: message,
          bytes: SIGNATURE_BYTES,
        }),
      ),
  };
}
