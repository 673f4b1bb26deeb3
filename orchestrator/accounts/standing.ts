/** What the users' words come to, as far as the orchestrator has carried them. Signers ask their own. */
import type { AccountKey } from "../../policies/bitcoin/account-key.ts";
import { readNotice, recoveryHash } from "../../policies/evidence/notice.ts";
import { type HeardNotice, type Standing, standingOf } from "../../policies/evidence/standing.ts";
import type { Db } from "../io/store.ts";

/** Of one vault. In place of heights, which each signer has its own of, stands the order. */
export async function standingOfVault(db: Db, vault: string): Promise<Standing> {
  const rows = await db
    .selectFrom("notices")
    .select(["sequence", "text"])
    .where("vault", "=", vault)
    .orderBy("sequence")
    .execute();
  return standingOf(
    rows.flatMap(({ sequence, text }): readonly HeardNotice[] => {
      const notice = readNotice(text);
      return notice === null ? [] : [{ notice, height: Number(sequence) }];
    }),
  );
}

/** Why this is no recovery key of the vault; empty: its user's mandate in force names it. */
export async function unnamed(
  db: Db,
  vault: string,
  key: Pick<AccountKey, "text">,
): Promise<readonly string[]> {
  const { mandate } = await standingOfVault(db, vault);
  const named = mandate?.mandate.recovery ?? null;
  if (named === null) return [`the user of vault ${vault} has named no recovery key`];
  return named === recoveryHash(key)
    ? []
    : ["the user's mandate names another recovery key: it must be the same, with its origin"];
}
