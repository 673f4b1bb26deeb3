/**
 * A further vault for an account, of other keys, in two idempotent steps, as an account is opened.
 * A *rotation* gives it a newer one: from then on it is in use, the old one is watched forever, and a
 * migration moves its coins (spend/migrate.ts). A *recovery* of a lost user prepares the vault of the
 * recovery key: it stays beside until it has got the coins (spend/recover.ts).
 */
import { readAccountKey } from "../../policies/bitcoin/account-key.ts";
import { hex } from "../../policies/bitcoin/hash.ts";
import { possessionText } from "../../policies/possession.ts";
import { readVault, type VaultDocument } from "../../policies/vault.ts";
import type { Db, Row } from "../io/store.ts";
import type { AccountOutcome, AccountParts } from "./accounts.ts";
import { unnamed } from "./standing.ts";
import {
  addVault,
  composeUserVault,
  currentVault,
  type HolderProofs,
  keyReasons,
  proveVault,
  templateOf,
  vaultsOf,
} from "./vaults.ts";

export type RotationKind = "rotation" | "recovery";

export interface RotationKeys {
  /** Of the new vault's user: in a recovery the recovery key, as the mandate names it. */
  readonly userKey: string;
  readonly trusteeKey: string;
}

export interface Rotation {
  readonly account: string;
  readonly kind: RotationKind;
  /** Among the account's rotations, or recoveries: 1 is the first. */
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
  parts: AccountParts,
  id: string,
  kind: RotationKind,
  keys: RotationKeys,
): Promise<RotationOutcome | null> {
  const { store, signer, network, clock } = parts;
  const account = await accountRow(store.db, id);
  if (account === null) return null;
  const current = await currentVault(store.db, id);
  if (current === null) return refused("conflict", ["the account is not open yet"]);
  const last = await lastRotation(store.db, id, kind);
  const number = kind === "rotation" ? current.number + 1n : nextRecovery(last);
  // An unfinished rotation of before a recovery is one no more.
  const stands = last !== null && (last.proofs !== null || last.number === number);
  if (stands && sameKeys(last, keys)) return { kind: "done", rotation: shown(last), fresh: false };
  const reasons = await unfit(parts, current, kind, keys);
  if (reasons.length > 0) return refused("keys", reasons);
  // A label of its own: no key of the old vault is carried over by us.
  const lspKey = await signer.accountKey(number > 0n ? `${id}-${number}` : `${id}-r${-number}`);
  const called = number > 0n ? `${number + 1n}` : `recovery ${-number}`;
  const name = `Ballast ${account.name} ${called}`;
  // A rotation changes keys alone. A recovery's vault is `multi` (architecture section 3).
  const template =
    kind === "rotation" ? templateOf(readVault(JSON.parse(current.document))) : "multi";
  const document = composeUserVault({ ...{ network, name, lspKey, template }, ...keys });
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
  if (kept === undefined) return refused("conflict", [`another ${kind} was completed meanwhile`]);
  return { kind: "done", rotation: shown(kept), fresh: true };
}

/** Null when none of this kind was begun for the account. */
export async function completeRotation(
  { store, scripts, signer }: AccountParts,
  id: string,
  kind: RotationKind,
  proofs: HolderProofs,
): Promise<RotationOutcome | null> {
  const last = await lastRotation(store.db, id, kind);
  if (last === null) return null;
  if (last.proofs !== null) return { kind: "done", rotation: shown(last), fresh: false };
  const vault = readVault(JSON.parse(last.document));
  const proven = await proveVault(signer, vault, proofs);
  if (proven.kind === "refused") return proven;
  const fresh = await store.transaction(async (db) => {
    const { number } = last;
    if (number > 0n && (await currentVault(db, id))?.number !== number - 1n) return false;
    const mine = await db
      .updateTable("rotations")
      .set({ proofs: proven.proofs })
      .where("account", "=", id)
      .where("number", "=", number)
      .where("document", "=", last.document)
      .where("proofs", "is", null)
      .returning("number")
      .executeTakeFirst();
    if (mine === undefined) return false;
    await addVault(db, scripts, { vault, account: id, number, proofs: proven.proofs });
    return true;
  });
  const now = await lastRotation(store.db, id, kind);
  return now?.document === last.document && now.proofs !== null
    ? { kind: "done", rotation: shown(now), fresh }
    : refused("conflict", ["other keys, or another vault, came meanwhile: begin anew"]);
}

/** Recoveries count down from -1. */
function nextRecovery(last: Row<"rotations"> | null): bigint {
  if (last === null) return -1n;
  return last.proofs === null ? last.number : last.number - 1n;
}

/** What no signer would take is refused before one is asked, with words. */
async function unfit(
  { store, network }: AccountParts,
  current: Row<"vaults">,
  kind: RotationKind,
  keys: RotationKeys,
): Promise<readonly string[]> {
  const { userKey, trusteeKey } = keys;
  const reasons = [userKey, trusteeKey].flatMap((key) => keyReasons(key, network));
  if (reasons.length > 0 || kind === "rotation") return reasons;
  const point = ({ publicKey }: { readonly publicKey: Uint8Array }) => hex(publicKey.subarray(1));
  const used = new Set<string>();
  for (const { document } of await vaultsOf(store.db, current.account)) {
    for (const { key } of readVault(JSON.parse(document)).holders) used.add(point(key));
  }
  const stale = used.has(point(readAccountKey(trusteeKey, network)));
  return [
    ...(await unnamed(store.db, current.id, readAccountKey(userKey, network))),
    ...(stale ? ["the trustee's key is in a vault of this account already"] : []),
  ];
}

async function accountRow(db: Db, id: string): Promise<Row<"accounts"> | null> {
  const row = await db.selectFrom("accounts").selectAll().where("id", "=", id).executeTakeFirst();
  return row ?? null;
}

async function lastRotation(
  db: Db,
  account: string,
  kind: RotationKind,
): Promise<Row<"rotations"> | null> {
  const own = db.selectFrom("rotations").selectAll().where("account", "=", account);
  const row = await (kind === "rotation"
    ? own.where("number", ">", 0n).orderBy("number", "desc")
    : own.where("number", "<", 0n).orderBy("number")
  ).executeTakeFirst();
  return row ?? null;
}

function sameKeys(row: Row<"rotations">, { userKey, trusteeKey }: RotationKeys): boolean {
  return row.user_key === userKey && row.trustee_key === trusteeKey;
}

function shown(row: Row<"rotations">): Rotation {
  const vault = readVault(JSON.parse(row.document));
  return {
    account: row.account,
    kind: row.number > 0n ? "rotation" : "recovery",
    number: Math.abs(Number(row.number)),
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
