/**
 * The file format of a sealed account key. Everything but the ciphertext is public; everything
 * that matters is bound to the ciphertext as AES-GCM additional data, so a field that was edited
 * makes the key unreadable instead of making it mean something else.
 */
import { utf8ToBytes } from "@noble/hashes/utils.js";
import { isPoint } from "tiny-secp256k1";
import { z } from "zod";
import { fromHex, hash160, hex, taggedHash } from "../../policies/bitcoin/hash.ts";

export const BLOB_FORMAT = "ballast/sealed-key@1";

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
/** Far above the 600 bytes of a real one; a larger file is not ours and is not read. */
export const BLOB_BYTES_MAX = 4096;

/** Also a file name: lower case only, because some file systems cannot tell `A` from `a`. */
export const ACCOUNT_LABEL = /^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$/;

const bytesHex = (bytes: number) => z.string().regex(new RegExp(`^[0-9a-f]{${bytes * 2}}$`));

export const blobSchema = z.strictObject({
  format: z.literal(BLOB_FORMAT),
  network: z.enum(NETWORKS),
  label: z.string().regex(ACCOUNT_LABEL),
  publicKey: bytesHex(33),
  chainCode: bytesHex(32),
  /** Which sealing of this account: 1 for the first. */
  epoch: z.int().min(1).max(0xffffffff),
  /** The names of the sealing key, so that a person finds the right token; no secret, no proof. */
  kek: z.strictObject({
    token: z.string().max(32),
    object: z.string().max(128),
  }),
  iv: bytesHex(IV_BYTES),
  ciphertext: bytesHex(KEY_BYTES + TAG_BYTES),
});

export type SealedKeyBlob = z.infer<typeof blobSchema>;

/** The blob in these bytes of a file, or null where they are not one that can be meant. */
export function parseBlob(text: string): SealedKeyBlob | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  const parsed = blobSchema.safeParse(value);
  if (!parsed.success) return null;
  const publicKey = fromHex(parsed.data.publicKey);
  if (!isPoint(publicKey) || hex(chainCodeOf(publicKey)) !== parsed.data.chainCode) return null;
  return parsed.data;
}

/** The text of the file, one field a line for the person who opens it. */
export function formatBlob(blob: SealedKeyBlob): string {
  return `${JSON.stringify(blob, null, 2)}\n`;
}

/** What the ciphertext is bound to. */
export interface BlobBinding {
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
export function bindingBytes(binding: BlobBinding): Uint8Array {
  const epoch = new Uint8Array(4);
  new DataView(epoch.buffer).setUint32(0, binding.epoch);
  const fields = [
    utf8ToBytes(BLOB_FORMAT),
    utf8ToBytes(binding.network),
    utf8ToBytes(binding.label),
    fromHex(binding.publicKey),
    epoch,
  ];
  const bytes = new Uint8Array(fields.reduce((sum, field) => sum + 4 + field.length, 0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const field of fields) {
    view.setUint32(at, field.length);
    bytes.set(field, at + 4);
    at += 4 + field.length;
  }
  return bytes;
}

/**
 * The account's BIP32 chain code: public, and a function of the public key, so that every party
 * recomputes it and none has to trust the file.
 */
export function chainCodeOf(publicKey: Uint8Array): Uint8Array {
  return taggedHash("ballast/chaincode", publicKey);
}

export function accountKey(blob: SealedKeyBlob): AccountKey {
  const publicKey = fromHex(blob.publicKey);
  return {
    label: blob.label,
    publicKey,
    chainCode: fromHex(blob.chainCode),
    fingerprint: hex(hash160(publicKey).subarray(0, 4)),
  };
}
