/**
 * Copies of sealed keys: for the RSA key of another token, so that a lost token loses no vault, and
 * for a new sealing key. Each key is opened and sealed again in one step of the engine, and is checked
 * against its public key in between.
 */
import { fromHex, hex } from "../../policies/bitcoin/hash.ts";
import type { KeyHandle, RsaPublicKey } from "../pkcs11/cryptoki.ts";
import { TokenError } from "../pkcs11/token-error.ts";
import type { TokenAccess } from "./custody.ts";
import { bindingBytes, type SealedKey } from "./key-file.ts";
import { findKey, findPublic, makeKey } from "./made-key.ts";
import type { SealedEngine } from "./sealed.ts";

/** A sealed key as it is for a recipient: without it the ciphertext says nothing. */
export interface KeyCopy {
  readonly label: string;
  /** Compressed, hex. */
  readonly publicKey: string;
  readonly chainCode: string;
  readonly epoch: number;
  /** RSA-OAEP, hex. */
  readonly ciphertext: string;
}

const recipientName = (object: string) => ({ label: `${object}.recipient` });

/** The token's own RSA key for which others seal copies; made where there is none. */
export async function recipientKey({ cryptoki, pool, config }: TokenAccess): Promise<RsaPublicKey> {
  const name = recipientName(config.object);
  return await pool.use(async (session) => {
    const at = { cryptoki, session };
    if (findKey(at, name, { kind: "recipient" }) === null) makeKey(at, name, { kind: "recipient" });
    const key = cryptoki.rsaPublicKey(session, findPublic(at, "sealed-for", name));
    if (key === null) throw new TokenError("key-unsafe", `${name.label} shows no modulus`);
    return key;
  });
}

export interface CopyParts {
  readonly access: TokenAccess;
  readonly engine: SealedEngine;
  readonly kek: KeyHandle;
}

/** Seals each key for the recipient as well. */
export async function copyFor(
  { access, engine, kek }: CopyParts,
  keys: readonly SealedKey[],
  recipient: RsaPublicKey,
): Promise<readonly string[]> {
  const { cryptoki, pool } = access;
  return await pool.use(async (session) => {
    const key = cryptoki.foreignRecipient(session, recipient);
    const to = { kind: "oaep", key, bytes: recipient.modulus.length } as const;
    const copies: string[] = [];
    for (const file of keys) {
      const from = {
        kind: "gcm",
        key: kek,
        iv: fromHex(file.iv),
        aad: bindingBytes(file),
      } as const;
      const point = fromHex(file.publicKey);
      const ciphertext = fromHex(file.ciphertext);
      copies.push(hex((await engine.move(session, { from, to, point, ciphertext })).ciphertext));
    }
    return copies;
  });
}

/** Brings copies for this token's recipient key under its sealing key. */
export async function restore(
  { access, engine, kek }: CopyParts,
  copies: readonly KeyCopy[],
): Promise<readonly SealedKey[]> {
  const { cryptoki, pool, config, token } = access;
  return await pool.use(async (session) => {
    const name = recipientName(config.object);
    const found = findKey({ cryptoki, session }, name, { kind: "recipient" });
    if (found === null) throw new TokenError("key-missing", `${name.label}: no copy is for it`);
    const keys: SealedKey[] = [];
    for (const copy of copies) {
      const { network } = config;
      const { label, publicKey, epoch, chainCode } = copy;
      const moved = await engine.move(session, {
        from: { kind: "oaep", key: found.key },
        to: { kind: "gcm", key: kek, aad: bindingBytes({ network, label, publicKey, epoch }) },
        point: fromHex(publicKey),
        ciphertext: fromHex(copy.ciphertext),
      });
      keys.push({
        ...{ format: "ballast/sealed-key@1", network, label, publicKey, chainCode, epoch },
        kek: { token: token.label, object: config.object },
        ...{ iv: hex(moved.iv), ciphertext: hex(moved.ciphertext) },
      });
    }
    return keys;
  });
}

/** Seals the keys under another sealing key of the token, which is made where it is missing. */
export async function rotate(
  { access, engine, kek }: CopyParts,
  keys: readonly SealedKey[],
  object: string,
): Promise<readonly SealedKey[]> {
  const { cryptoki, pool, config, token } = access;
  if (object === config.object)
    throw new TokenError("request", "the new key has the old one's name");
  return await pool.use(async (session) => {
    const at = { cryptoki, session };
    const use = { kind: "sealing" } as const;
    const next = findKey(at, { label: object }, use) ?? makeKey(at, { label: object }, use);
    const moved: SealedKey[] = [];
    for (const file of keys) {
      const aad = bindingBytes(file);
      const { iv, ciphertext } = await engine.move(session, {
        from: { kind: "gcm", key: kek, iv: fromHex(file.iv), aad },
        to: { kind: "gcm", key: next.key, aad },
        point: fromHex(file.publicKey),
        ciphertext: fromHex(file.ciphertext),
      });
      const sealed = { iv: hex(iv), ciphertext: hex(ciphertext) };
      moved.push({ ...file, kek: { token: token.label, object }, ...sealed });
    }
    return moved;
  });
}
