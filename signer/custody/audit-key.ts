/**
 * The key that signs the heads of the decision log and the transcripts of ceremonies: ECDSA over
 * secp256k1, made in the token, unable to leave it, and no key of any vault.
 */
import { randomBytes } from "node:crypto";
import { verify } from "tiny-secp256k1";
import type { KeyHandle } from "../pkcs11/cryptoki.ts";
import { MECHANISMS } from "../pkcs11/template.ts";
import { TokenError } from "../pkcs11/token-error.ts";
import type { TokenAccess } from "./custody.ts";
import { KEY_ID_BYTES } from "./key-file.ts";
import { findKey, makeKey } from "./made-key.ts";
import { publicPoint } from "./native.ts";

export interface AuditKey {
  /** Compressed. */
  readonly publicKey: Uint8Array;
  /** r || s of 32 bytes each, s in the lower half; verified. */
  sign(hash: Uint8Array): Promise<Uint8Array>;
}

const USE = { kind: "signing", mechanism: MECHANISMS.ecdsa } as const;
const SIGNATURE_BYTES = 64;
const N = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;

const nameOf = (object: string) => `${object}.audit`;

/** The audit key beside the keys of this name, or null. */
export async function findAuditKey({
  cryptoki,
  pool,
  config,
}: TokenAccess): Promise<AuditKey | null> {
  const label = nameOf(config.object);
  const found = await pool.use(async (session) => {
    const key = findKey({ cryptoki, session }, { label }, USE);
    if (key === null) return null;
    const id = cryptoki.id(session, key.key) ?? new Uint8Array(0);
    return { key: key.key, publicKey: publicPoint({ cryptoki, session }, { label, id }) };
  });
  if (found === null) return null;
  const { key, publicKey } = found;
  return { publicKey, sign: (hash) => sign({ cryptoki, pool }, { key, publicKey, hash }) };
}

export async function makeAuditKey({ cryptoki, pool, config }: TokenAccess): Promise<void> {
  const name = { label: nameOf(config.object), id: randomBytes(KEY_ID_BYTES) };
  await pool.use(async (session) => makeKey({ cryptoki, session }, name, USE));
}

async function sign(
  { cryptoki, pool }: Pick<TokenAccess, "cryptoki" | "pool">,
  what: { readonly key: KeyHandle; readonly publicKey: Uint8Array; readonly hash: Uint8Array },
): Promise<Uint8Array> {
  const { key, publicKey, hash } = what;
  // CKM_ECDSA takes any length and cuts it: 32 bytes are this signer's own rule.
  if (hash.length !== 32) throw new TokenError("request", "a hash has 32 bytes");
  const mechanism = { kind: "ecdsa" } as const;
  const made = await pool.use((session) =>
    cryptoki.sign({ session, key, mechanism, data: hash, bytes: SIGNATURE_BYTES }),
  );
  const signature = lowS(made);
  if (!verifies(hash, publicKey, signature)) {
    throw new TokenError("signature-invalid", "audit key");
  }
  return signature;
}

/** tiny-secp256k1 throws where r or s is out of range. */
function verifies(hash: Uint8Array, publicKey: Uint8Array, signature: Uint8Array): boolean {
  try {
    return verify(hash, publicKey, signature, true);
  } catch {
    return false;
  }
}

/** Tokens answer with either of the two values of s; the lower one is the one that is written. */
function lowS(signature: Uint8Array): Uint8Array {
  const s = BigInt(`0x${Buffer.from(signature.subarray(32)).toString("hex") || "0"}`);
  if (s <= N / 2n) return signature;
  const low = Buffer.from((N - s).toString(16).padStart(64, "0"), "hex");
  return Buffer.concat([signature.subarray(0, 32), low]);
}
