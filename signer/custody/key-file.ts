/**
 * The file of an account key, one format a custody mode. Of a sealed key everything but the
 * ciphertext is public, and everything that matters is bound to it as AES-GCM additional data, so a
 * field that was edited makes the key unreadable instead of making it mean something else. Of a key
 * that lives in its token the file is a name card: what it claims is proven by a signature.
 */
import { utf8ToBytes } from "@noble/hashes/utils.js";
import { isPoint } from "tiny-secp256k1";
import { z } from "zod";
import { fromHex, hash160, hex, taggedHash } from "../../policies/bitcoin/hash.ts";
import { concat } from "../../policies/bitcoin/wire.ts";

export const SEALED_FORMAT = "ballast/sealed-key@1";
export const NATIVE_FORMAT = "ballast/token-key@1";

/** The networks a key may be made for; a key of one never signs for another. */
export const NETWORKS = ["bitcoin", "testnet", "signet", "regtest"] as const;
export type TokenNetwork = (typeof NETWORKS)[number];

/** What is known of an account key without opening it. */
export interface AccountKey {
  readonly label: string;
  /** 33 bytes, compressed; even or odd as it fell. */
  readonly publicKey: Uint8Array;
  readonly chainCode: Uint8Array;
  /** 8 hex digits: the first four bytes of the public key's HASH160, as BIP32 has it. */
  readonly fingerprint: string;
}

/** AES-GCM: 96-bit IVs are the only ones that every token takes (NIST SP 800-38D, 5.2.1.1). */
export const IV_BYTES = 12;
export const KEY_BYTES = 32;
export const TAG_BYTES = 16;
/** CKA_ID of an account key's pair: random, so that no two pairs share one. */
export const KEY_ID_BYTES = 16;
/** Far above the 600 bytes of a real one; a larger file is not ours and is not read. */
export const KEY_FILE_BYTES_MAX = 4096;

/** Also a file name: lower case only, because some file systems cannot tell `A` from `a`. */
export const ACCOUNT_LABEL = /^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$/;

const bytesHex = (bytes: number) => z.string().regex(new RegExp(`^[0-9a-f]{${bytes * 2}}$`));

const account = {
  network: z.enum(NETWORKS),
  label: z.string().regex(ACCOUNT_LABEL),
  publicKey: bytesHex(33),
  chainCode: bytesHex(32),
};

export const sealedKeySchema = z.strictObject({
  format: z.literal(SEALED_FORMAT),
  ...account,
  /** Which account key of this label: 1 for the first. */
  epoch: z.int().min(1).max(0xffffffff),
  /** The names of the sealing key, so that a person finds the right token; no secret, no proof. */
  kek: z.strictObject({
    token: z.string().max(32),
    object: z.string().max(128),
  }),
  iv: bytesHex(IV_BYTES),
  ciphertext: bytesHex(KEY_BYTES + TAG_BYTES),
});

const nativeKeySchema = z.strictObject({
  format: z.literal(NATIVE_FORMAT),
  ...account,
  /** The token that made the key and holds it; a token of the same label is another. */
  token: z.strictObject({ label: z.string().max(32), serial: z.string().max(16) }),
  /** CKA_LABEL and CKA_ID of the pair. */
  object: z.string().max(255),
  id: bytesHex(KEY_ID_BYTES),
});

export const keyFileSchema = z.discriminatedUnion("format", [sealedKeySchema, nativeKeySchema]);

export type SealedKey = z.infer<typeof sealedKeySchema>;
export type NativeKey = z.infer<typeof nativeKeySchema>;
export type KeyFile = z.infer<typeof keyFileSchema>;

/** The key in these bytes of a file, or null where they are not one that can be meant. */
export function parseKeyFile(text: string): KeyFile | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  const parsed = keyFileSchema.safeParse(value);
  if (!parsed.success) return null;
  const publicKey = fromHex(parsed.data.publicKey);
  if (!isPoint(publicKey) || hex(chainCodeOf(publicKey)) !== parsed.data.chainCode) return null;
  return parsed.data;
}

/** The text of the file, one field a line for the person who opens it. */
export function formatKeyFile(file: KeyFile): string {
  return `${JSON.stringify(file, null, 2)}\n`;
}

/** Where a signer's account keys belong. */
export interface KeyHome {
  readonly network: TokenNetwork;
  readonly token: string;
  readonly serial: string;
  /** The sealing key of mode `sealed`. */
  readonly object: string;
  readonly mode: "sealed" | "native";
}

/** Why this file is not one of this signer's, with what to do; null where it is. */
export function foreignness(file: KeyFile, home: KeyHome): string | null {
  if (file.network !== home.network) {
    return `is for ${file.network}, not ${home.network}: give each network a folder of its own`;
  }
  if (file.format === SEALED_FORMAT) {
    if (home.mode !== "sealed") return "is a sealed key, and this signer's mode is native";
    const { token, object } = file.kek;
    if (token === home.token && object === home.object) return null;
    const theirs = `${object} in ${token}`;
    return `is sealed under ${theirs}, not ${home.object} in ${home.token}: open it with the URI of that token`;
  }
  if (home.mode !== "native") return "names a key in a token, and this signer's mode is sealed";
  const { label, serial } = file.token;
  if (label === home.token && serial === home.serial) return null;
  return `is in token ${label}, serial ${serial}, not in ${home.token}, serial ${home.serial}: bring that token back`;
}

/** What the ciphertext is bound to. */
export interface KeyBinding {
  readonly network: TokenNetwork;
  readonly label: string;
  /** Compressed, hex. */
  readonly publicKey: string;
  readonly epoch: number;
}

/**
 * AES-GCM additional data: each field preceded by its length in four bytes, because plain
 * concatenation would let one field end where another begins.
 */
export function bindingBytes(binding: KeyBinding): Uint8Array {
  const { prefix, suffix } = bindingAround(binding);
  return concat([prefix, lengthed(fromHex(binding.publicKey)), suffix]);
}

/** The same without the public key, which the module puts between them when it makes the key. */
export function bindingAround({ network, label, epoch }: Omit<KeyBinding, "publicKey">): {
  readonly prefix: Uint8Array;
  readonly suffix: Uint8Array;
} {
  const count = new Uint8Array(4);
  new DataView(count.buffer).setUint32(0, epoch);
  const texts = [SEALED_FORMAT, network, label].map((text) => lengthed(utf8ToBytes(text)));
  return { prefix: concat(texts), suffix: lengthed(count) };
}

function lengthed(field: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(4 + field.length);
  new DataView(bytes.buffer).setUint32(0, field.length);
  bytes.set(field, 4);
  return bytes;
}

/**
 * The account's BIP32 chain code: public, and a function of the public key, so that every party
 * recomputes it and none has to trust the file.
 */
export function chainCodeOf(publicKey: Uint8Array): Uint8Array {
  return taggedHash("ballast/chaincode", publicKey);
}

export function accountKey(file: KeyFile): AccountKey {
  const publicKey = fromHex(file.publicKey);
  return {
    label: file.label,
    publicKey,
    chainCode: fromHex(file.chainCode),
    fingerprint: hex(hash160(publicKey).subarray(0, 4)),
  };
}
