/**
 * Sealed keys opened in JavaScript, where the module cannot be built: the key passes through a
 * buffer that is overwritten, but the WebAssembly curve keeps copies of it that are out of reach.
 */
import { randomBytes } from "node:crypto";
import { isPrivate, pointFromScalar, privateAdd, signSchnorr } from "tiny-secp256k1";
import { fromHex, hex } from "../../policies/bitcoin/hash.ts";
import type { Cryptoki, KeyHandle, SessionHandle } from "../pkcs11/cryptoki.ts";
import { TokenError } from "../pkcs11/token-error.ts";
import type { TokenAccess } from "./custody.ts";
import { bindingBytes, chainCodeOf, IV_BYTES, KEY_BYTES, TAG_BYTES } from "./key-file.ts";
import { FIRST_EPOCH, oaepOf, type SealedEngine, type SealedItem, sealedKey } from "./sealed.ts";

export function javascriptEngine(access: TokenAccess, kek: KeyHandle): SealedEngine {
  const { cryptoki, config, pool } = access;

  return {
    verifies: false,
    seal: (label) =>
      pool.use(async (session) => {
        const secret = newSecret(cryptoki, session);
        try {
          const point = pointFromScalar(secret, true);
          if (point === null) throw new TokenError("protocol", "a valid scalar has no point");
          const publicKey = hex(point);
          const { network } = config;
          const aad = bindingBytes({ network, label, publicKey, epoch: FIRST_EPOCH });
          const { output, iv } = await cryptoki.encrypt({
            session,
            key: kek,
            mechanism: { kind: "gcm", iv: randomBytes(IV_BYTES), aad },
            data: secret,
            bytes: KEY_BYTES + TAG_BYTES,
          });
          return sealedKey(access, {
            label,
            publicKey,
            chainCode: hex(chainCodeOf(point)),
            iv: hex(iv ?? new Uint8Array(0)),
            ciphertext: hex(output),
          });
        } finally {
          secret.fill(0);
        }
      }),

    async move(session, { from, to, point, ciphertext }) {
      const secret = await cryptoki.decrypt({
        session,
        key: from.key,
        mechanism: from.kind === "gcm" ? from : { kind: "oaep", hash: oaepOf(config) },
        data: ciphertext,
        bytes: KEY_BYTES,
      });
      try {
        const own = pointFromScalar(secret, true);
        if (own === null || hex(own) !== hex(point)) {
          throw new TokenError("key-file-damaged", "it opens to another key than it names");
        }
        const fresh = randomBytes(IV_BYTES);
        const { output, iv } = await cryptoki.encrypt({
          session,
          key: to.key,
          mechanism:
            to.kind === "gcm"
              ? { kind: "gcm", iv: fresh, aad: to.aad }
              : { kind: "oaep", hash: oaepOf(config) },
          data: secret,
          bytes: to.kind === "gcm" ? KEY_BYTES + TAG_BYTES : to.bytes,
        });
        return { iv: iv ?? new Uint8Array(0), ciphertext: output };
      } finally {
        secret.fill(0);
      }
    },

    async sign({ file, tweak, message }: SealedItem) {
      const secret = await pool.use((session) =>
        cryptoki.decrypt({
          session,
          key: kek,
          mechanism: { kind: "gcm", iv: fromHex(file.iv), aad: bindingBytes(file) },
          data: fromHex(file.ciphertext),
          bytes: KEY_BYTES,
        }),
      );
      try {
        const tweaked = privateAdd(secret, tweak);
        if (tweaked === null) throw new TokenError("request", "the tweak cancels the key");
        try {
          return signSchnorr(message, tweaked, randomBytes(32));
        } finally {
          tweaked.fill(0);
        }
      } finally {
        secret.fill(0);
      }
    },
  };
}

/** 32 bytes from the token XOR 32 from the operating system: good while either source is. */
function newSecret(cryptoki: Cryptoki, session: SessionHandle): Uint8Array {
  // A draw outside 1..n-1 happens once in 2^128; more than a few times is a broken source.
  for (let draw = 0; draw < SECRET_DRAWS_MAX; draw += 1) {
    const ours = randomBytes(KEY_BYTES);
    const theirs = cryptoki.random(session, KEY_BYTES);
    if (theirs.every((byte) => byte === 0)) throw new TokenError("mechanism", "random is all zero");
    for (let at = 0; at < KEY_BYTES; at += 1) theirs[at] = (theirs[at] ?? 0) ^ (ours[at] ?? 0);
    ours.fill(0);
    if (isPrivate(theirs)) return theirs;
    theirs.fill(0);
  }
  throw new TokenError("mechanism", "no usable random numbers");
}
const SECRET_DRAWS_MAX = 4;
