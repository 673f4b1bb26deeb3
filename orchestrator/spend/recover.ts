/**
 * The recovery of a lost user: all coins of a vault go to the vault of the recovery key that was
 * announced, signed by the LSP and then by a trustee. What it must prove is asked by their own laws;
 * here it is only raised, and ended by any word of the user.
 */
import type { IntentDocument } from "../../policies/intent.ts";
import type { MsatsPerVbyte } from "../../policies/money.ts";
import { readVault } from "../../policies/vault.ts";
import { standingOfVault } from "../accounts/standing.ts";
import { vaultsOf } from "../accounts/vaults.ts";
import type { Db } from "../io/store.ts";
import type { IntentState } from "../tables/schema.ts";
import { heldIn } from "./coins.ts";
import { askAgain } from "./intents.ts";
import { byReference } from "./migrate.ts";
import { keepIntent, type RaiseOutcome, type RaiseParts } from "./raise.ts";
import { abandon } from "./reserve.ts";

export interface LostRequest {
  readonly account: string;
  /** Whose coins; the account's vault in use when left out. */
  readonly vault?: string | undefined;
  readonly reference: string;
  readonly feeRate: MsatsPerVbyte;
}

/** Asked again under the same reference, it is the same recovery, wherever it stands by now. */
export async function raiseLost(
  parts: RaiseParts,
  { account, vault: named, reference, feeRate }: LostRequest,
): Promise<RaiseOutcome> {
  const { db } = parts.store;
  const vaults = await vaultsOf(db, account);
  if (vaults.length === 0) return refused("no-account", "there is no open account of this id");
  const known = await byReference(db, account, reference);
  if (known !== null) {
    return known.purpose === "recovery-user-lost"
      ? { kind: "raised", intent: known, fresh: false }
      : refused("reference-used", `reference ${reference} was used for another spend`);
  }
  const old = vaults.find(({ id }) => id === (named ?? vaults[0]?.id));
  if (old === undefined) return refused("content", "vault: it is none of this account");
  const { recoveries } = await standingOfVault(db, old.id);
  const to = recoveries.findLast(({ way }) => way === "user-lost")?.to ?? null;
  if (to === null) {
    const detail = `no recovery of a lost user is announced for vault ${old.id}, or it was stopped`;
    return refused("content", detail);
  }
  if (!vaults.some(({ id }) => id === to)) {
    return refused("content", `vault ${to}, which was announced, is none of this account`);
  }
  const sats = await heldIn(db, old.id);
  if (sats === 0n) return refused("content", `vault ${old.id} holds no coin`);
  const document: IntentDocument = {
    format: "ballast/intent@1",
    purpose: "recovery-user-lost",
    network: readVault(JSON.parse(old.document)).network,
    vault: old.id,
    parties: [to],
    outputs: [],
    reference,
  };
  return await keepIntent(parts, { document, account, sats, feeRate });
}

/** Those whose end is open. */
const LIVE: readonly IntentState[] = ["raised", "built", "held", "lsp-signed"];

export interface Spoken {
  readonly vault: string;
  readonly at: bigint;
  readonly detail: string;
}

/**
 * The user has said or signed something, and is not lost: recoveries of this vault end, inside the
 * caller's transaction. Where the LSP's signer is being asked it is asked again at once: it hears the
 * same words, and its refusal says that there is no signature.
 */
export async function userSpoke(db: Db, { vault, at, detail }: Spoken): Promise<void> {
  const rows = await db
    .selectFrom("intents")
    .select(["id", "state"])
    .where("vault", "=", vault)
    .where("purpose", "=", "recovery-user-lost")
    .where("state", "in", LIVE)
    .execute();
  for (const { id, state } of rows) {
    const objection = { rule: "recovery-announced", detail };
    if (state === "held") await askAgain(db, id);
    else await abandon(db, { id, objection, at });
  }
}

function refused(
  code: Extract<RaiseOutcome, { kind: "refused" }>["code"],
  reason: string,
): RaiseOutcome {
  return { kind: "refused", code, reasons: [reason] };
}
