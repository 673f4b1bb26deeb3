/**
 * The vaults of accounts: composed of three keys, opened when all holders have proven possession. An
 * account has one at first; a rotation adds a newer one, and the older ones are watched forever. A
 * recovery's stands below all of them until it has got the coins of a lost user.
 */
import { AccountKeyError, readAccountKey } from "../../policies/bitcoin/account-key.ts";
import { fromHex } from "../../policies/bitcoin/hash.ts";
import type { Network } from "../../policies/bitcoin/network.ts";
import { provesPossession } from "../../policies/possession.ts";
import {
  CHANGE,
  composeVault,
  RECEIVE,
  readVault,
  type Vault,
  type VaultDocument,
  VaultError,
} from "../../policies/vault.ts";
import type { Registers } from "../../signer/signer.ts";
import type { Db, Row } from "../io/store.ts";
import type { Scripts } from "./scripts.ts";

export interface HolderProofs {
  /** BIP340 signatures in hex over the possession texts, see policies/possession.ts. */
  readonly user: string;
  readonly trustee: string;
}

export interface VaultWish {
  readonly network: Network;
  /** Shown on devices. */
  readonly name: string;
  readonly userKey: string;
  readonly lspKey: string;
  readonly trusteeKey: string;
  readonly template: VaultTemplate;
}

/**
 * - `multi`: any two of user, LSP and trustee
 * - `multi+exit`: besides, the user alone once a coin has rested for 26,280 blocks
 */
export const VAULT_TEMPLATES = ["multi", "multi+exit"] as const;
export type VaultTemplate = (typeof VAULT_TEMPLATES)[number];

export function templateOf({ exit }: Pick<Vault, "exit">): VaultTemplate {
  return exit === null ? "multi" : "multi+exit";
}

/** The vault of the three keys, or why they make no safe one. */
export function composeUserVault(wish: VaultWish): VaultDocument | string[] {
  try {
    const document = composeVault({
      network: wish.network,
      kind: "user",
      name: wish.name,
      holders: [
        { role: "user", key: wish.userKey },
        { role: "lsp", key: wish.lspKey },
        { role: "trustee", key: wish.trusteeKey },
      ],
      exit: wish.template === "multi+exit",
    });
    readVault(document);
    return document;
  } catch (error) {
    if (error instanceof VaultError) return [...error.reasons];
    throw error;
  }
}

export function keyReasons(text: string, network: Network): readonly string[] {
  try {
    readAccountKey(text, network);
    return [];
  } catch (error) {
    if (error instanceof AccountKeyError) return [error.message];
    throw error;
  }
}

export type ProvenVault =
  /** All three proofs by role, in JSON. */
  | { readonly kind: "proven"; readonly proofs: string }
  | {
      readonly kind: "refused";
      readonly code: "proof" | "signer";
      readonly reasons: readonly string[];
    };

/** Verifies the holders' proofs, and has the LSP's signer register the vault and prove its own. */
export async function proveVault(
  signer: Registers,
  vault: Vault,
  proofs: HolderProofs,
): Promise<ProvenVault> {
  const reasons = (["user", "trustee"] as const)
    .filter((role) => !provesPossession(vault, role, fromHex(proofs[role])))
    .map((role) => `the proof of the ${role} does not verify`);
  if (reasons.length > 0) return { kind: "refused", code: "proof", reasons };
  const outcome = await signer.registerVault({ vault: vault.document, proofs: { ...proofs } });
  if (outcome.kind === "refused") {
    return { kind: "refused", code: "signer", reasons: outcome.reasons };
  }
  if (outcome.vault !== vault.id) {
    const detail = `the signer registered ${outcome.vault}, not ${vault.id}`;
    return { kind: "refused", code: "signer", reasons: [detail] };
  }
  // The other stations will ask for it; a signer that cannot use its key is found here.
  if (!provesPossession(vault, "lsp", fromHex(outcome.proof))) {
    const detail = "the signer's own proof does not verify";
    return { kind: "refused", code: "signer", reasons: [detail] };
  }
  return { kind: "proven", proofs: JSON.stringify({ ...proofs, lsp: outcome.proof }) };
}

export interface NewVault {
  readonly vault: Vault;
  readonly account: string;
  /** Of the account's vaults, counted from 0; the highest is the one in use. A recovery's: from -1 down. */
  readonly number: bigint;
  readonly proofs: string;
}

/** Inside the caller's transaction: from here on its addresses are watched, and they stay so. */
export async function addVault(
  db: Db,
  scripts: Scripts,
  { vault, account, number, proofs }: NewVault,
): Promise<void> {
  const document = JSON.stringify(vault.document);
  const exitBlocks = vault.exit === null ? null : BigInt(vault.exit.blocks);
  await db
    .insertInto("vaults")
    .values({ id: vault.id, account, document, proofs, number, exit_blocks: exitBlocks })
    .execute();
  for (const branch of [RECEIVE, CHANGE] as const) {
    await scripts.extend(db, { vault: vault.id, branch, used: -1 });
  }
}

/** All vaults of an account, the one in use first. */
export function vaultsOf(db: Db, account: string): Promise<readonly Row<"vaults">[]> {
  return db
    .selectFrom("vaults")
    .selectAll()
    .where("account", "=", account)
    .orderBy("number", "desc")
    .execute();
}

/** The one that deposits go to; null while the account is not open. */
export async function currentVault(db: Db, account: string): Promise<Row<"vaults"> | null> {
  return (await vaultsOf(db, account))[0] ?? null;
}

/**
 * A recovery's vault takes the place of the one whose coins it has got, once: from here on it is the
 * account's vault in use. That of an older vault's coins stays beside.
 */
export async function adoptVault(
  db: Db,
  recovered: string,
  { account, vault: old }: { readonly account: string; readonly vault: string },
): Promise<void> {
  const current = await currentVault(db, account);
  if (current?.id !== old) return;
  await db
    .updateTable("vaults")
    .set({ number: current.number + 1n })
    .where("id", "=", recovered)
    .where("number", "<", 0n)
    .execute();
}

/** Whose vault it is. */
export async function accountOfVault(db: Db, vault: string): Promise<string> {
  const row = await db
    .selectFrom("vaults")
    .select("account")
    .where("id", "=", vault)
    .executeTakeFirstOrThrow();
  return row.account;
}
