/**
 * Rotation: an account gets a newer vault of other keys. Its old vault is watched forever, and a
 * migration moves its coins (spend/migrate.ts). In two idempotent steps, as an account is opened.
 */
import { possessionText } from "../../policies/possession.ts";
import { readVault, type VaultDocument } from "../../policies/vault.ts";
import type { Db, Row } from "../io/store.ts";
import type { AccountOutcome, AccountParts } from "./accounts.ts";
import {
  addVault,
  composeUserVault,
  currentVault,
  type HolderProofs,
  keyReasons,
  proveVault,
} from "./vaults.ts";

export interface RotationKeys {
  readonly userKey: string;
  readonly trusteeKey: string;
}

export interface Rotation {
  readonly account: string;
  /** Of the new vault among the account's; 1 is the first after the vault it was opened with. */
  readonly number: number;
  readonly state: "begun" | "open";
  readonly document: VaultDocument;
  readonly vault: string;
  /** What each holder signs to prove that the key is theirs. */
  readonly possession: { readonly user: string; readonly trustee: string };
}

export type RotationOutcome =
  | { readonly kind: "done"; readonly rotation: Rotation; readonly fresh: boolean }
  | Extract<AccountOutcome, { kind: "refused" }>;

/** Null when there is no such account. Other keys take the place of those of an unfinished one. */
export async function beginRotation(
  { store, signer, network, clock }: AccountParts,
  id: string,
  keys: RotationKeys,
): Promise<RotationOutcome | null> {
  const account = await accountRow(store.db, id);
  if (account === null) return null;
  const current = await currentVault(store.db, id);
  if (current === null) return refused("conflict", ["the account is not open yet"]);
  const last = await lastRotation(store.db, id);
  if (last !== null && sameKeys(last, keys)) {
    return { kind: "done", rotation: shown(last), fresh: false };
  }
  const reasons = [keys.userKey, keys.trusteeKey].flatMap((key) => keyReasons(key, network));
  if (reasons.length > 0) return refused("keys", reasons);
  const number = current.number + 1n;
  // A label of its own: no key of the old vault is carried over by us.
  const lspKey = await signer.accountKey(`${id}-${number}`);
  const name = `Ballast ${account.name} ${number + 1n}`;
  const document = composeUserVault({ ...{ network, name, lspKey }, ...keys });
  if (Array.isArray(document)) return refused("keys", document);
  const row = {
    ...{ user_key: keys.userKey, trustee_key: keys.trusteeKey },
    ...{ document: JSON.stringify(document), created_at: clock() },
  };
  const kept = await store.db
    .insertInto("rotations")
    .values({ ...row, account: id, number, proofs: null })
    .onConflict((conflict) =>
      conflict
        .columns(["account", "number"])
        .doUpdateSet(row)
        .where("rotations.proofs", "is", null),
    )
    .returningAll()
    .executeTakeFirst();
  if (kept === undefined) return refused("conflict", ["another rotation was completed meanwhile"]);
  return { kind: "done", rotation: shown(kept), fresh: true };
}

/** Null when no rotation of this account was begun. */
export async function completeRotation(
  { store, scripts, signer }: AccountParts,
  id: string,
  proofs: HolderProofs,
): Promise<RotationOutcome | null> {
  const last = await lastRotation(store.db, id);
  if (last === null) return null;
  if (last.proofs !== null) return { kind: "done", rotation: shown(last), fresh: false };
  const vault = readVault(JSON.parse(last.document));
  const proven = await proveVault(signer, vault, proofs);
  if (proven.kind === "refused") return proven;
  const fresh = await store.transaction(async (db) => {
    const mine = await db
      .updateTable("rotations")
      .set({ proofs: proven.proofs })
      .where("account", "=", id)
      .where("number", "=", last.number)
      .where("document", "=", last.document)
      .where("proofs", "is", null)
      .returning("number")
      .executeTakeFirst();
    if (mine === undefined) return false;
    const { number } = last;
    await addVault(db, scripts, { vault, account: id, number, proofs: proven.proofs });
    return true;
  });
  const now = await lastRotation(store.db, id);
  return now?.document === last.document && now.proofs !== null
    ? { kind: "done", rotation: shown(now), fresh }
    : refused("conflict", ["other keys were brought meanwhile"]);
}

async function accountRow(db: Db, id: string): Promise<Row<"accounts"> | null> {
  const row = await db.selectFrom("accounts").selectAll().where("id", "=", id).executeTakeFirst();
  return row ?? null;
}

async function lastRotation(db: Db, account: string): Promise<Row<"rotations"> | null> {
  const row = await db
    .selectFrom("rotations")
    .selectAll()
    .where("account", "=", account)
    .orderBy("number", "desc")
    .executeTakeFirst();
  return row ?? null;
}

function sameKeys(row: Row<"rotations">, { userKey, trusteeKey }: RotationKeys): boolean {
  return row.user_key === userKey && row.trustee_key === trusteeKey;
}

function shown(row: Row<"rotations">): Rotation {
  const vault = readVault(JSON.parse(row.document));
  return {
    account: row.account,
    number: Number(row.number),
    state: row.proofs === null ? "begun" : "open",
    document: vault.document,
    vault: vault.id,
    possession: {
      user: possessionText(vault, "user"),
      trustee: possessionText(vault, "trustee"),
    },
  };
}

function refused(
  code: Extract<AccountOutcome, { kind: "refused" }>["code"],
  reasons: readonly string[],
): Extract<AccountOutcome, { kind: "refused" }> {
  return { kind: "refused", code, reasons };
}
