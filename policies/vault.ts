/**
 * The 2-of-3 Taproot vault: one BIP388 wallet policy, three account keys.
 * `tr(@0/**,sortedmulti_a(2,@1/**,@2/**,@3/**))`, where @0 is unspendable and provably so; a user's
 * vault may have a second leaf beside it, see exit.ts. Its addresses: vault-scripts.ts.
 */
import { z } from "zod";
import {
  type AccountKey,
  AccountKeyError,
  type ExtendedKey,
  fingerprintOf,
  readAccountKey,
  writeXpub,
} from "./bitcoin/account-key.ts";
import { descriptorChecksum } from "./bitcoin/descriptor.ts";
import { hex, sha256, taggedHash } from "./bitcoin/hash.ts";
import { NETWORKS, type Network } from "./bitcoin/network.ts";
import { UNSPENDABLE } from "./bitcoin/taproot.ts";
import { compare, concat, equal } from "./bitcoin/wire.ts";
import { EXIT_BLOCKS, exitTemplate } from "./exit.ts";

/** Who holds a key of a vault. A house vault has a second trustee in the user's place. */
export const ROLES = ["user", "lsp", "trustee", "second-trustee"] as const;
export type Role = (typeof ROLES)[number];

/** Whose coins: a user's, the house's own, or what the house holds in escrow. */
const VAULT_KINDS = ["user", "treasury", "escrow"] as const;
export type VaultKind = (typeof VAULT_KINDS)[number];

/** Signatures that the leaf asks for. */
export const THRESHOLD = 2;

/** BIP388 template of the vault; compared byte for byte, `/<0;1>/*` would be another policy id. */
export const MULTI_TEMPLATE = "tr(@0/**,sortedmulti_a(2,@1/**,@2/**,@3/**))";

/** Branches of `/**`: addresses given out, and change. */
export const RECEIVE = 0;
export const CHANGE = 1;
export type Branch = typeof RECEIVE | typeof CHANGE;

/** The vault document, format `ballast/vault@1`: see README.md for a worked example. */
export const vaultSchema = z.strictObject({
  format: z.literal("ballast/vault@1"),
  network: z.enum(NETWORKS),
  kind: z.enum(VAULT_KINDS),
  policy: z.strictObject({
    /** BIP388 name, shown on devices: printable ASCII without edge spaces. */
    name: z.string().regex(/^[\x21-\x7e](?:[\x20-\x7e]{0,62}[\x21-\x7e])?$/),
    template: z.string(),
    keys: z.array(z.string()).length(4),
  }),
  /** Who holds @1, @2 and @3, in this order. */
  holders: z.tuple([z.enum(ROLES), z.enum(ROLES), z.enum(ROLES)]),
});

export type VaultDocument = z.infer<typeof vaultSchema>;

export interface Vault {
  /** 20 bytes in hex: the tagged hash of network, kind, template, keys and who holds them. */
  readonly id: string;
  readonly network: Network;
  readonly kind: VaultKind;
  readonly document: VaultDocument;
  readonly holders: readonly Holder[];
  readonly internal: AccountKey;
  /** How the user leaves alone, and after how many blocks of rest; null where nobody can. */
  readonly exit: { readonly blocks: number } | null;
}

export interface Holder {
  readonly role: Role;
  readonly key: AccountKey;
}

/** The document is no vault that a signer may hold; every reason is listed. */
export class VaultError extends Error {
  readonly reasons: readonly string[];
  constructor(reasons: readonly string[]) {
    super(`not a vault: ${reasons.join("; ")}`);
    this.name = "VaultError";
    this.reasons = reasons;
  }
}

/**
 * Reads a vault document and refuses what would not be a safe 2-of-3 (architecture section 3): the
 * device would not, Ledger's app accepts a spendable internal key and two keys of one seed.
 */
export function readVault(value: unknown): Vault {
  const parsed = vaultSchema.safeParse(value);
  if (!parsed.success) {
    throw new VaultError(
      parsed.error.issues.map((issue) => `${issue.path.join(".") || "document"}: ${issue.message}`),
    );
  }
  const document = parsed.data;
  const { network, policy } = document;
  const reasons: string[] = [];
  const keys = policy.keys.map((text, i) => {
    try {
      return readAccountKey(text, network);
    } catch (error) {
      if (!(error instanceof AccountKeyError)) throw error;
      reasons.push(`key @${i}: ${error.message}`);
      return null;
    }
  });
  const [internal, ...accounts] = keys;
  const holders = accounts.flatMap((key, i) => {
    const role = document.holders[i];
    return key === null || key === undefined || role === undefined ? [] : [{ role, key }];
  });
  if (internal === null || internal === undefined || holders.length !== 3) {
    throw new VaultError(reasons);
  }
  const vault = {
    id: vaultId(document),
    network,
    kind: document.kind,
    document,
    holders,
    internal,
    exit: policy.template === exitTemplateOf(document) ? { blocks: EXIT_BLOCKS } : null,
  };
  reasons.push(...unsafe(vault));
  if (reasons.length > 0) throw new VaultError(reasons);
  return vault;
}

export interface VaultParts {
  readonly network: Network;
  readonly kind: VaultKind;
  readonly name: string;
  /** Three account keys as texts with origin, and who holds each. */
  readonly holders: readonly { readonly role: Role; readonly key: string }[];
  /** Template `multi+exit`, which only a user's vault may have; else `multi`. */
  readonly exit?: boolean;
}

/** Puts a vault together from three account keys; they are sorted, roles stand beside the policy. */
export function composeVault(parts: VaultParts): VaultDocument {
  const sorted = parts.holders
    .map(({ role, key }) => ({ role, key: holderKey(role, key, parts.network) }))
    .sort((a, b) => compare(a.key.publicKey, b.key.publicKey));
  const [first, second, third] = sorted.map(({ role }) => role);
  if (first === undefined || second === undefined || third === undefined || sorted.length !== 3) {
    throw new VaultError([`${sorted.length} account keys, a vault has three`]);
  }
  const internal = unspendableKey(sorted.map(({ key }) => key));
  const holders: VaultDocument["holders"] = [first, second, third];
  const template =
    parts.exit === true ? exitTemplateOf({ kind: parts.kind, holders }) : MULTI_TEMPLATE;
  if (template === null) throw new VaultError(["only a user's vault has an exit"]);
  return {
    format: "ballast/vault@1",
    network: parts.network,
    kind: parts.kind,
    policy: {
      name: parts.name,
      template,
      keys: [writeXpub(internal, parts.network), ...sorted.map(({ key }) => key.text)],
    },
    holders,
  };
}

/** The one template with an exit that this vault may have: the user's own key leaves. Else null. */
function exitTemplateOf({ kind, holders }: Pick<VaultDocument, "kind" | "holders">): string | null {
  if (kind !== "user") return null;
  const [first, second, third] = holders.map((role) => role === "user");
  return first ? exitTemplate(1) : second ? exitTemplate(2) : third ? exitTemplate(3) : null;
}

function holderKey(role: Role, text: string, network: Network): AccountKey {
  try {
    return readAccountKey(text, network);
  } catch (error) {
    if (error instanceof AccountKeyError) throw new VaultError([`${role}: ${error.message}`]);
    throw error;
  }
}

/**
 * The unspendable key for these account keys: the point H, and for a chain code the hash of the
 * account keys in their order. The convention is public (Liana, BitBox02), so each party recomputes
 * it; the safety does not rest on the chain code, see `isProvablyUnspendable`.
 */
export function unspendableKey(accounts: readonly ExtendedKey[]): ExtendedKey {
  return {
    publicKey: concat([Uint8Array.of(0x02), UNSPENDABLE]),
    chainCode: sha256(concat(accounts.map(({ publicKey }) => publicKey))),
  };
}

/**
 * Whether the key path of every address under this internal key is provably dead: its point is H
 * with depth, parent and child number zero. Any chain code will do: a child is H + t·G with a
 * public t, so whoever knew its secret would know H's.
 */
export function isProvablyUnspendable(key: AccountKey): boolean {
  return (
    equal(key.publicKey, concat([Uint8Array.of(0x02), UNSPENDABLE])) &&
    key.origin === null &&
    key.depth === 0 &&
    key.parentFingerprint === "00000000" &&
    key.childNumber === 0
  );
}

/** Whether the chain code of @0 follows the public convention; shown, never refused. */
export function followsConvention(vault: Vault): boolean {
  const expected = unspendableKey(vault.holders.map(({ key }) => key));
  return equal(expected.chainCode, vault.internal.chainCode);
}

/**
 * The output descriptor of both branches, with its checksum (BIP380, BIP386, BIP387, BIP389). All
 * multipaths are of two steps, which are taken side by side: 0 with 2, and 1 with 3.
 */
export function descriptorOf(vault: Vault): string {
  const keys = vault.document.policy.keys;
  const body = vault.document.policy.template
    .replaceAll("/**", "/<0;1>/*")
    .replace(/@([0-3])/g, (_, index: string) => `${keys[Number(index)]}`);
  return `${body}#${descriptorChecksum(body)}`;
}

function vaultId(document: VaultDocument): string {
  const { network, kind, policy, holders } = document;
  // None of the texts holds a line break, so the joined text has one reading.
  const text = [network, kind, policy.template, ...policy.keys, ...holders].join("\n");
  return hex(taggedHash("ballast/vault@1", new TextEncoder().encode(text)).subarray(0, 20));
}

const HOLDERS: Readonly<Record<VaultKind, readonly Role[]>> = {
  user: ["user", "lsp", "trustee"],
  treasury: ["lsp", "trustee", "second-trustee"],
  escrow: ["lsp", "trustee", "second-trustee"],
};

function unsafe(vault: Vault): string[] {
  const reasons: string[] = [];
  const { template } = vault.document.policy;
  if (template !== MULTI_TEMPLATE && vault.exit === null) {
    const exit = exitTemplateOf(vault.document);
    const known = [MULTI_TEMPLATE, ...(exit === null ? [] : [exit])].map((text) => `"${text}"`);
    reasons.push(`policy template is "${template}", not ${known.join(" or ")}`);
  }
  if (!isProvablyUnspendable(vault.internal)) {
    reasons.push("key @0 is not the unspendable point H, so its owner could spend alone");
  }
  const wanted = HOLDERS[vault.kind];
  if (!wanted.every((role) => vault.holders.some((holder) => holder.role === role))) {
    reasons.push(`a ${vault.kind} vault is held by ${wanted.join(", ")}`);
  }
  vault.holders.forEach(({ key }, i) => {
    const next = vault.holders[i + 1];
    if (next === undefined) return;
    const order = compare(key.publicKey, next.key.publicKey);
    if (order > 0) reasons.push(`keys @${i + 1} and @${i + 2} are not in lexicographic order`);
  });
  reasons.push(...repeated(vault));
  return reasons;
}

/** Two keys of one holder would be one signature short of a 2-of-3. */
function repeated(vault: Vault): string[] {
  const reasons: string[] = [];
  vault.holders.forEach((holder, i) => {
    for (const other of vault.holders.slice(i + 1)) {
      // BIP340 keys have no sign: 02… and 03… of one x are one key.
      if (equal(holder.key.publicKey.slice(1), other.key.publicKey.slice(1))) {
        reasons.push(`${holder.role} and ${other.role} have the same key`);
      } else if (sharesSeed(holder.key, other.key)) {
        reasons.push(`${holder.role} and ${other.role} have the same master fingerprint`);
      }
    }
    if (holder.key.origin === null) {
      reasons.push(`the ${holder.role}'s key has no origin, so no device can find it again`);
    }
    if (equal(holder.key.publicKey.slice(1), UNSPENDABLE)) {
      reasons.push(`${holder.role} has the unspendable point for a key`);
    }
  });
  return reasons;
}

function sharesSeed(a: AccountKey, b: AccountKey): boolean {
  const master = masterOf(a);
  return master === masterOf(b) && master !== "00000000";
}

function masterOf(key: AccountKey): string {
  return key.origin?.fingerprint ?? (key.depth === 0 ? fingerprintOf(key.publicKey) : "00000000");
}
