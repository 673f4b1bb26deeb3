/** A user as Pulser's clients know one: by number, or by the id of the account. */
import type { Request } from "express";
import type { z } from "zod";
import { nextAddress } from "../accounts/accounts.ts";
import { accountCalled } from "../accounts/aliases.ts";
import type { Scripts } from "../accounts/scripts.ts";
import { currentVault } from "../accounts/vaults.ts";
import { ProblemError } from "../api/problem.ts";
import { idOf, type Own } from "../doors/route.ts";
import type { Store } from "../io/store.ts";

export interface UserParts {
  readonly store: Store;
  readonly scripts: Scripts;
}

export interface User {
  /** Of the account. */
  readonly id: string;
  readonly state: "begun" | "open";
  /** The next one to pay to; null until the account is open. */
  readonly address: string | null;
}

/**
 * Throws a ProblemError where there is none. The vault's document is not read again: its keys were
 * proven when it was registered, and reading it proves them anew.
 */
export async function userNamed({ store, scripts }: UserParts, id: string): Promise<User> {
  const { db } = store;
  const account = await accountCalled(db, id);
  if (account === null) {
    throw new ProblemError({ code: "user-not-found", detail: "there is no such user" });
  }
  const vault = await currentVault(db, account);
  return vault === null
    ? { id: account, state: "begun", address: null }
    : { id: account, state: "open", address: await nextAddress(db, scripts, vault.id) };
}

export function ownUser({ db }: Store): Own {
  return { what: "user", account: (request: Request) => accountCalled(db, idOf(request)) };
}

/** Pulser's clients know 400 for what is malformed. */
export function asked<Schema extends z.ZodType>(schema: Schema, value: unknown): z.output<Schema> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const reasons = parsed.error.issues.map(
    (issue) => `${issue.path.join(".") || "body"}: ${issue.message}`,
  );
  throw new ProblemError({ code: "bad-request", detail: reasons[0] ?? "", reasons });
}
