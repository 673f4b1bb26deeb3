/** A spend as the API shows it: whole, and as a line of a list. */
import { z } from "zod";
import { PURPOSES } from "../../policies/intent.ts";
import type { Db } from "../io/store.ts";
import { historyOfIntent, type IntentRow, objectionsOf } from "../spend/intents.ts";
import { INTENT_STATES } from "../tables/schema.ts";

const sum = z.string().regex(/^[0-9]{1,16}$/);

const objection = z.strictObject({
  rule: z.string(),
  detail: z.string(),
  retry: z.string().optional(),
});

const summary = z.strictObject({
  id: z.string(),
  account: z.string(),
  vault: z.string(),
  reference: z.string(),
  purpose: z.enum(PURPOSES),
  state: z.enum(INTENT_STATES),
  sats: sum,
  feeSats: sum.nullable(),
  txid: z.string().nullable(),
  height: z.int().nullable(),
  violations: z.array(objection),
});

export const intentAnswer = summary.extend({
  /** `ballast/intent@1` */
  intent: z.looseObject({}),
  /** sat/vB */
  feeRate: z.string(),
  /** `ballast/evidence@1` */
  evidence: z.unknown(),
  rules: z.array(z.string()),
  history: z.array(
    z.strictObject({ at: z.iso.datetime(), state: z.enum(INTENT_STATES), detail: z.string() }),
  ),
});

export const intentsAnswer = z.strictObject({
  intents: z.array(summary),
  /** For the page after; null at the end. */
  next: z.string().nullable(),
});

export function intentSummary(row: IntentRow) {
  return {
    id: row.id,
    account: row.account,
    vault: row.vault,
    reference: row.reference,
    purpose: row.purpose,
    state: row.state,
    sats: String(row.sats),
    feeSats: row.fee_sats === null ? null : String(row.fee_sats),
    txid: row.txid,
    height: row.mined_height === null ? null : Number(row.mined_height),
    violations: objectionsOf(row),
  };
}

export async function intentView(db: Db, row: IntentRow) {
  const history = await historyOfIntent(db, row.id);
  return {
    ...intentSummary(row),
    intent: JSON.parse(row.document) as unknown,
    feeRate: perVbyte(row.fee_rate),
    evidence: row.evidence === null ? null : (JSON.parse(row.evidence) as unknown),
    rules: JSON.parse(row.rules) as readonly string[],
    history: history.map(({ at, state, detail }) => ({
      at: new Date(Number(at)).toISOString(),
      state,
      detail,
    })),
  };
}

/** Millisats per vbyte as sat/vB. */
export function perVbyte(rate: bigint): string {
  return `${rate / 1000n}.${String(rate % 1000n).padStart(3, "0")}`;
}
