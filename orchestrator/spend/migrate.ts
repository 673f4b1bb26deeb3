/** Raises migrations: all coins of an older vault of an account go to the one in use. */
import type { IntentDocument } from "../../policies/intent.ts";
import type { MsatsPerVbyte } from "../../policies/money.ts";
import { readVault } from "../../policies/vault.ts";
import { currentVault, vaultsOf } from "../accounts/vaults.ts";
import type { Db } from "../io/store.ts";
import { heldIn } from "./coins.ts";
import type { IntentRow } from "./intents.ts";
import { keepIntent, type RaiseOutcome, type RaiseParts } from "./raise.ts";

export interface MigrationRequest {
  readonly account: string;
  readonly reference: string;
  readonly feeRate: MsatsPerVbyte;
}

/** Asked again under the same reference, it is the same migration, wherever it stands by now. */
export async function raiseMigration(
  parts: RaiseParts,
  { account, reference, feeRate }: MigrationRequest,
): Promise<RaiseOutcome> {
  const { db } = parts.store;
  const current = await currentVault(db, account);
  if (current === null) return refused("no-account", "there is no open account of this id");
  const known = await byReference(db, account, reference);
  if (known !== null) {
    return known.purpose === "migration"
      ? { kind: "raised", intent: known, fresh: false }
      : refused("reference-used", `reference ${reference} was used for another spend`);
  }
  const old = await oldestWithCoins(db, account, current.id);
  if (old === null) return refused("content", "no older vault of this account holds a coin");
  const document: IntentDocument = {
    format: "ballast/intent@1",
    purpose: "migration",
    network: readVault(JSON.parse(current.document)).network,
    vault: old.id,
    parties: [current.id],
    outputs: [],
    reference,
  };
  return await keepIntent(parts, { document, account, sats: old.sats, feeRate });
}

export async function byReference(
  db: Db,
  account: string,
  reference: string,
): Promise<IntentRow | null> {
  const row = await db
    .selectFrom("intents")
    .selectAll()
    .where("account", "=", account)
    .where("reference", "=", reference)
    .executeTakeFirst();
  return row ?? null;
}

async function oldestWithCoins(db: Db, account: string, current: string) {
  for (const { id, number } of [...(await vaultsOf(db, account))].reverse()) {
    // A recovery that was not carried out has a vault of another's key.
    const sats = id === current || number < 0n ? 0n : await heldIn(db, id);
    if (sats > 0n) return { id, sats };
  }
  return null;
}

function refused(
  code: Extract<RaiseOutcome, { kind: "refused" }>["code"],
  reason: string,
): RaiseOutcome {
  return { kind: "refused", code, reasons: [reason] };
}
