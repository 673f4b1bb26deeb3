/** Raising a spend: what no signer would sign is refused here already, with words for whoever asks. */
import {
  type IntentDocument,
  IntentError,
  readIntent,
  type SpendIntent,
} from "../../policies/intent.ts";
import type { MsatsPerVbyte } from "../../policies/money.ts";
import { FROZEN, isFrozen } from "../accounts/freezes.ts";
import type { Scripts } from "../accounts/scripts.ts";
import { accountOfVault, currentVault } from "../accounts/vaults.ts";
import type { Clock } from "../io/clock.ts";
import type { Store } from "../io/store.ts";
import { findIntent, type IntentRow, insertIntent } from "./intents.ts";
import { dustSats } from "./select.ts";
import type { PaymentPurpose } from "./signers.ts";

export interface RaiseRequest {
  readonly purpose: PaymentPurpose;
  readonly account: string;
  readonly address: string;
  readonly sats: bigint;
  readonly reference: string;
  readonly feeRate: MsatsPerVbyte;
}

export type RaiseOutcome =
  | { readonly kind: "raised"; readonly intent: IntentRow; readonly fresh: boolean }
  | {
      readonly kind: "refused";
      readonly code: "no-account" | "content" | "reference-used" | "frozen";
      readonly reasons: readonly string[];
    };

export interface RaiseParts {
  readonly store: Store;
  readonly scripts: Scripts;
  readonly clock: Clock;
}

/** Raises a spend; the same content again gets the same intent, wherever it stands by now. */
export async function raise(parts: RaiseParts, request: RaiseRequest): Promise<RaiseOutcome> {
  const { store, scripts } = parts;
  const { account, sats, feeRate } = request;
  const current = await currentVault(store.db, account);
  const derived = current === null ? null : await scripts.vault(store.db, current.id);
  if (derived === null) return refused("no-account", ["there is no open account of this id"]);
  const document: IntentDocument = {
    format: "ballast/intent@1",
    purpose: request.purpose,
    network: derived.vault.network,
    vault: derived.vault.id,
    outputs: [{ address: request.address, sats: String(sats) }],
    reference: request.reference,
  };
  return await keepIntent(parts, { document, account, sats, feeRate });
}

export interface Wanted {
  readonly document: IntentDocument;
  readonly account: string;
  readonly sats: bigint;
  readonly feeRate: MsatsPerVbyte;
}

/** Writes an intent, once. */
export async function keepIntent(parts: RaiseParts, wanted: Wanted): Promise<RaiseOutcome> {
  const { store, clock } = parts;
  const { document, account } = wanted;
  let intent: SpendIntent;
  try {
    intent = readIntent(document);
  } catch (error) {
    if (error instanceof IntentError) return refused("content", error.reasons);
    throw error;
  }
  // Raised before, it is the same intent, and waits.
  if ((await isFrozen(store.db, account)) && (await findIntent(store.db, intent.id)) === null) {
    return refused("frozen", [FROZEN]);
  }
  const reasons = await contentReasons(parts, account, intent);
  if (reasons.length > 0) return refused("content", reasons);

  const fresh = await store.transaction((db) =>
    insertIntent(db, { ...wanted, intent, at: clock() }),
  );
  const row = await findIntent(store.db, intent.id);
  return row === null
    ? refused("reference-used", [
        `reference ${intent.reference} was used for another spend of this account`,
      ])
    : { kind: "raised", intent: row, fresh };
}

/** What no signer would sign is refused here already, with words for whoever asks. */
async function contentReasons(
  { store, scripts }: RaiseParts,
  account: string,
  intent: SpendIntent,
): Promise<readonly string[]> {
  const reasons: string[] = [];
  for (const output of intent.outputs) {
    const least = dustSats(output.script);
    if (output.sats < least) reasons.push(`sats: ${output.sats} is dust, at least ${least}`);
    const [own] = await scripts.watched(store.db, [output.script]);
    const payee = own === undefined ? null : await accountOfVault(store.db, own.vault);
    if (payee === account) reasons.push("address: it is the account's own vault");
  }
  return reasons;
}

function refused(
  code: Extract<RaiseOutcome, { kind: "refused" }>["code"],
  reasons: readonly string[],
): RaiseOutcome {
  return { kind: "refused", code, reasons };
}
