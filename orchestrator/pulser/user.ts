/** A user as Pulser's clients know one: by number, or by the id of the account. */
import type { Request } from "express";
import type { z } from "zod";
import type { Account, Accounts } from "../accounts/accounts.ts";
import { accountCalled } from "../accounts/aliases.ts";
import { ProblemError } from "../api/problem.ts";
import { idOf, type Own } from "../doors/route.ts";
import type { Store } from "../io/store.ts";

export interface UserParts {
  readonly store: Store;
  readonly accounts: Accounts;
}

/** Throws a ProblemError where there is none. */
export async function userNamed({ store, accounts }: UserParts, id: string): Promise<Account> {
  const called = await accountCalled(store.db, id);
  const account = called === null ? null : await accounts.find(called);
  if (account !== null) return account;
  throw new ProblemError({ code: "user-not-found", detail: "there is no such user" });
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
