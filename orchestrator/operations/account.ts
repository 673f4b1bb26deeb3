/**
 * Accounts of a v2 pool: m of n keys of one kind. Their ids are bech32m over the hash of their
 * encoding, checked against the id in the seed's own tests.
 */
import { bech32m } from "@scure/base";
import { z } from "zod";
import { fromHex, hex, sha256 } from "../../policies/bitcoin/hash.ts";
import { concat } from "../../policies/bitcoin/wire.ts";
import { publicKey } from "../../policies/evidence/scalar.ts";

export const ACCOUNT_KINDS = ["seeker", "provider", "btc-depositor"] as const;
export type AccountKind = (typeof ACCOUNT_KINDS)[number];

const PREFIXES = { seeker: "sps", provider: "spp", "btc-depositor": "spd" } as const;

/** The seed writes counts as BigSize; up to here that is one byte. */
const KEYS_MAX = 252;

export const accountSchema = z
  .strictObject({
    kind: z.enum(ACCOUNT_KINDS),
    /** Compressed, each once, ascending: one account has one text. */
    keys: z.array(publicKey).min(1).max(KEYS_MAX),
    threshold: z.int().min(1),
  })
  .refine(({ keys }) => keys.every((key, i) => i === 0 || (keys[i - 1] ?? "") < key), {
    message: "keys are not in ascending order, or one is there twice",
  })
  .refine(({ keys, threshold }) => threshold <= keys.length, {
    message: "the threshold is more than there are keys",
  });

export type Account = z.output<typeof accountSchema>;

export interface AccountId {
  readonly kind: AccountKind;
  /** 32 bytes in hex: the order of accounts in a pool is that of their hashes. */
  readonly hash: string;
}

/** `[kind][00][count of keys][33-byte keys, ascending][threshold]`. */
export function accountBytes({ kind, keys, threshold }: Account): Uint8Array {
  const head = Uint8Array.of(ACCOUNT_KINDS.indexOf(kind), 0, keys.length);
  return concat([head, ...keys.map((key) => fromHex(key)), Uint8Array.of(threshold)]);
}

export function accountId(account: Account): AccountId {
  return { kind: account.kind, hash: hex(sha256(accountBytes(account))) };
}

export function accountIdText({ kind, hash }: AccountId): string {
  return bech32m.encodeFromBytes(PREFIXES[kind], fromHex(hash));
}

/** Null for anything but a seeker's, provider's or depositor's id. */
export function readAccountId(text: string): AccountId | null {
  const decoded = bech32m.decodeUnsafe(text);
  const bytes = decoded && bech32m.fromWordsUnsafe(decoded.words);
  const kind = ACCOUNT_KINDS.find((candidate) => PREFIXES[candidate] === decoded?.prefix);
  if (bytes?.length !== 32 || kind === undefined) return null;
  const id = { kind, hash: hex(bytes) };
  // Bech32 may be written in upper case too; here one account has one text.
  return accountIdText(id) === text ? id : null;
}

export function isSingle({ keys, threshold }: Account): boolean {
  return keys.length === 1 && threshold === 1;
}
