/**
 * Accounts: a person's key and a trustee's key come in, the LSP's signer adds its own, and when all
 * have proven that they hold their keys, there is a vault with addresses. Both steps are idempotent.
 */
import { AccountKeyError, readAccountKey } from "../../policies/bitcoin/account-key.ts";
import { hex, taggedHash } from "../../policies/bitcoin/hash.ts";
import type { Network } from "../../policies/bitcoin/network.ts";
import { addressOf } from "../../policies/bitcoin/taproot.ts";
import { possessionText } from "../../policies/possession.ts";
import { RECEIVE, type Role, readVault, type VaultDocument } from "../../policies/vault.ts";
import type { Registers } from "../../signer/signer.ts";
import type { Clock } from "../io/clock.ts";
import type { Db, Row, Store } from "../io/store.ts";
import { nextReceive } from "../spend/coins.ts";
import type { Scripts } from "./scripts.ts";
import {
  addVault,
  composeUserVault,
  type HolderProofs,
  keyReasons,
  proveVault,
  templateOf,
  type VaultTemplate,
  vaultsOf,
} from "./vaults.ts";

export interface AccountRequest {
  /** Shown on devices as part of the policy's name. */
  readonly name: string;
  /** Account keys as key information with origin. */
  readonly userKey: string;
  readonly trusteeKey: string;
  /** `multi` when left out. */
  readonly template?: VaultTemplate | undefined;
}

export interface Account {
  readonly id: string;
  readonly name: string;
  readonly state: "begun" | "open";
  readonly document: VaultDocument;
  readonly vault: string;
  readonly template: VaultTemplate;
  /** What each holder signs to prove that the key is theirs. */
  readonly possession: { readonly user: string; readonly trustee: string };
  /** By role, in hex; null until the account is open. Each holder's own signer asks for them. */
  readonly proofs: Readonly<Partial<Record<Role, string>>> | null;
  /** The next unused receive address; null until the account is open. */
  readonly address: string | null;
  /** Ids of older vaults, newest first: watched forever, and given out no more. */
  readonly older: readonly string[];
}

export type AccountOutcome =
  | { readonly kind: "done"; readonly account: Account; readonly fresh: boolean }
  | {
      readonly kind: "refused";
      readonly code: "keys" | "conflict" | "proof" | "signer";
      readonly reasons: readonly string[];
    };

export interface Accounts {
  readonly begin: (request: AccountRequest) => Promise<AccountOutcome>;
  /** Null when there is no such account. */
  readonly complete: (id: string, proofs: HolderProofs) => Promise<AccountOutcome | null>;
  readonly find: (id: string) => Promise<Account | null>;
  readonly list: () => Promise<readonly Account[]>;
}

export interface AccountParts {
  readonly store: Store;
  readonly scripts: Scripts;
  readonly signer: Registers;
  readonly network: Network;
  readonly clock: Clock;
}

/** Names stand in the policy's name on a device's screen: "Ballast " and at most this many. */
export const ACCOUNT_NAME_CHARACTERS_MAX = 40;

export function openAccounts({ store, scripts, signer, network, clock }: AccountParts): Accounts {
  async function find(id: string): Promise<Account | null> {
    const row = await rowOf(store.db, id);
    return row === undefined ? null : shownAccount(store.db, scripts, row);
  }

  async function begin(request: AccountRequest): Promise<AccountOutcome> {
    const id = accountIdOf(network, request.userKey);
    if (id === null) return refused("keys", [`not an account key of ${network}`]);
    const known = await rowOf(store.db, id);
    if (known !== undefined) return again(request, known, false);
    // Judged before the signer is asked, so that bad keys cost it no key of its own.
    const reasons = keyReasons(request.trusteeKey, network);
    if (reasons.length > 0) return refused("keys", reasons);
    const lspKey = await signer.accountKey(id);
    const name = `Ballast ${request.name}`;
    const template = request.template ?? "multi";
    const document = composeUserVault({ ...request, template, network, name, lspKey });
    if (Array.isArray(document)) return refused("keys", document);
    const inserted = await store.db
      .insertInto("accounts")
      .values({
        id,
        name: request.name,
        user_key: request.userKey,
        trustee_key: request.trusteeKey,
        lsp_key: lspKey,
        state: "begun",
        document: JSON.stringify(document),
        proofs: null,
        created_at: clock(),
      })
      // Somebody else may have begun the same account since we looked.
      .onConflict((conflict) => conflict.doNothing())
      .returning("id")
      .executeTakeFirst();
    const row = await rowOf(store.db, id);
    if (row === undefined) throw new Error(`BUG: account ${id} was inserted and is not there`);
    return again(request, row, inserted !== undefined);
  }

  /** The account of this user key, if it was asked for with the same words. */
  async function again(
    request: AccountRequest,
    row: Row<"accounts">,
    fresh: boolean,
  ): Promise<AccountOutcome> {
    const same =
      row.name === request.name &&
      row.user_key === request.userKey &&
      row.trustee_key === request.trusteeKey &&
      templateOf(readVault(JSON.parse(row.document))) === (request.template ?? "multi");
    if (!same) {
      const detail = "this user key is registered with another name, trustee or template";
      return refused("conflict", [detail]);
    }
    return { kind: "done", account: await shownAccount(store.db, scripts, row), fresh };
  }

  async function complete(id: string, proofs: HolderProofs): Promise<AccountOutcome | null> {
    const row = await rowOf(store.db, id);
    if (row === undefined) return null;
    if (row.state === "open") {
      return { kind: "done", account: await shownAccount(store.db, scripts, row), fresh: false };
    }
    const vault = readVault(JSON.parse(row.document));
    const proven = await proveVault(signer, vault, proofs);
    if (proven.kind === "refused") return proven;
    const fresh = await store.transaction(async (db) => {
      const mine = await db
        .updateTable("accounts")
        .set({ state: "open", proofs: proven.proofs })
        .where("id", "=", id)
        .where("state", "=", "begun")
        .returning("id")
        .executeTakeFirst();
      if (mine === undefined) return false;
      await addVault(db, scripts, { vault, account: id, number: 0n, proofs: proven.proofs });
      return true;
    });
    const account = await find(id);
    if (account === null) throw new Error(`BUG: account ${id} was opened and is not there`);
    return { kind: "done", account, fresh };
  }

  return {
    begin,
    complete,
    find,
    async list() {
      const rows = await store.db
        .selectFrom("accounts")
        .selectAll()
        .orderBy("created_at")
        .orderBy("id")
        .execute();
      return Promise.all(rows.map((row) => shownAccount(store.db, scripts, row)));
    },
  };
}

/**
 * Whether what arrives from now on gets its value in dollars; what was decided stays as it is. False:
 * there is no such account.
 */
export async function chooseStable(
  db: Db,
  { id, stabilise }: { readonly id: string; readonly stabilise: boolean },
): Promise<boolean> {
  const chosen = await db
    .updateTable("accounts")
    .set({ stabilise: stabilise ? 1n : 0n })
    .where("id", "=", id)
    .returning("id")
    .executeTakeFirst();
  return chosen !== undefined;
}

/** In the order of their registration. */
export function accountsPage(
  db: Db,
  {
    after,
    limit,
  }: {
    readonly after: { readonly at: bigint; readonly id: string } | null;
    readonly limit: number;
  },
): Promise<readonly Row<"accounts">[]> {
  return db
    .selectFrom("accounts")
    .selectAll()
    .$if(after !== null, (query) =>
      query.where((eb) =>
        eb.or([
          eb("created_at", ">", after?.at ?? 0n),
          eb.and([eb("created_at", "=", after?.at ?? 0n), eb("id", ">", after?.id ?? "")]),
        ]),
      ),
    )
    .orderBy("created_at")
    .orderBy("id")
    .limit(limit)
    .execute();
}

function refused(
  code: Extract<AccountOutcome, { kind: "refused" }>["code"],
  reasons: readonly string[],
): AccountOutcome {
  return { kind: "refused", code, reasons };
}

/** One account a user key, whatever its origin says; null when it is no key. */
export function accountIdOf(network: Network, userKey: string): string | null {
  try {
    const { publicKey, chainCode } = readAccountKey(userKey, network);
    const name = new TextEncoder().encode(network);
    const hash = taggedHash("ballast/account@1", publicKey, chainCode, name);
    // Also the label of the LSP's key: lower-case letters, digits and a hyphen.
    return `a-${hex(hash.subarray(0, 12))}`;
  } catch (error) {
    if (error instanceof AccountKeyError) return null;
    throw error;
  }
}

function rowOf(db: Db, id: string): Promise<Row<"accounts"> | undefined> {
  return db.selectFrom("accounts").selectAll().where("id", "=", id).executeTakeFirst();
}

async function shownAccount(db: Db, scripts: Scripts, row: Row<"accounts">): Promise<Account> {
  const [current, ...older] = await vaultsOf(db, row.id);
  const { document, proofs } = current ?? row;
  const vault = readVault(JSON.parse(document));
  return {
    id: row.id,
    name: row.name,
    state: row.state,
    document: vault.document,
    vault: vault.id,
    template: templateOf(vault),
    possession: {
      user: possessionText(vault, "user"),
      trustee: possessionText(vault, "trustee"),
    },
    proofs: proofs === null ? null : JSON.parse(proofs),
    address: row.state === "open" ? await nextAddress(db, scripts, vault.id) : null,
    older: older.filter(({ number }) => number >= 0n).map(({ id }) => id),
  };
}

/** The first receive address after the last one that was ever paid: none is given out twice. */
export async function nextAddress(db: Db, scripts: Scripts, vault: string): Promise<string | null> {
  const derived = await scripts.vault(db, vault);
  const index = await nextReceive(db, vault);
  return derived === null
    ? null
    : addressOf(derived.at(RECEIVE, index).script, derived.vault.network);
}
