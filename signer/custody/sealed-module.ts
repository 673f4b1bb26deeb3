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
import { FIRST_EPOCH, oaepOf, type Seal, type SealedEngine, sealedKey } from "./sealed.ts";

/** The module's one mechanism; what its parameter says: see signer/module/README.md. */
export const SEALED_MECHANISM = 0x8b340340;
const SIGN = Uint8Array.of(1);
const MAKE = Uint8Array.of(2);
const MOVE = Uint8Array.of(3);
const POINT_BYTES = 33;
const SIGNATURE_BYTES = 64;

export function moduleEngine(access: TokenAccess, kek: KeyHandle): SealedEngine {
  const { cryptoki, config, pool } = access;
  const mechanism = (parameter: Uint8Array) =>
    ({ kind: "vendor", id: SEALED_MECHANISM, parameter }) as const;

  return {
    verifies: true,
    seal: (label) =>
      pool.use(async (session) => {
        const { network } = config;
        const { prefix, suffix } = bindingAround({ network, label, epoch: FIRST_EPOCH });
        const { output } = await cryptoki.encrypt({
          session,
          key: kek,
          mechanism: mechanism(concat([MAKE, length(prefix), prefix, suffix])),
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

    async move(session, { from, to, point, ciphertext }) {
      const kinds = [kindOf(from, config), kindOf(to, config)];
      const toAad = to.kind === "gcm" ? to.aad : new Uint8Array(0);
      const fromAad = from.kind === "gcm" ? from.aad : new Uint8Array(0);
      const { output } = await cryptoki.encrypt({
        session,
        key: to.key,
        mechanism: mechanism(
          concat([
            ...[MOVE, Uint8Array.from(kinds), handleBytes(from.key), point],
            ...[length(toAad), toAad, length(fromAad), fromAad],
            from.kind === "gcm" ? from.iv : new Uint8Array(0),
            ciphertext,
          ]),
        ),
        data: new Uint8Array(KEY_BYTES),
        bytes: to.kind === "gcm" ? IV_BYTES + KEY_BYTES + TAG_BYTES : to.bytes,
      });
      if (to.kind === "oaep") return { iv: new Uint8Array(0), ciphertext: output };
      return { iv: output.subarray(0, IV_BYTES), ciphertext: output.subarray(IV_BYTES) };
    },

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

/** Two bytes, big-endian. */
function length(bytes: Uint8Array): Uint8Array {
  return Uint8Array.of(bytes.length >> 8, bytes.length & 0xff);
}

/** Eight bytes, big-endian; pkcs11js gives a handle as the CK_ULONG of this machine. */
function handleBytes({ key }: KeyHandle): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, key.readBigUInt64LE());
  return bytes;
}

/** The module's number for a way to seal. */
function kindOf({ kind }: Seal, config: TokenAccess["config"]): number {
  if (kind === "gcm") return 1;
  return oaepOf(config) === "sha1" ? 2 : 3;
}
