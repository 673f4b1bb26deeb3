/** What a spend is made of: which coins, what goes where, and the fee. Reads rows and writes none. */
import { readIntent } from "../../policies/intent.ts";
import { msatsPerVbyte, type Sats } from "../../policies/money.ts";
import { type Branch, CHANGE, RECEIVE } from "../../policies/vault.ts";
import type { VaultScripts } from "../../policies/vault-scripts.ts";
import type { Scripts } from "../accounts/scripts.ts";
import type { Db } from "../io/store.ts";
import type { BuildRequest } from "./build.ts";
import { lastChange, nextReceive, spendable } from "./coins.ts";
import type { IntentRow } from "./intents.ts";
import { selectCoins } from "./select.ts";
import { sweep, sweeps } from "./sweep.ts";

export interface PlanParts {
  readonly scripts: Scripts;
  /** Coins that one spend may take. */
  readonly inputsMax: number;
}

export interface Planned {
  readonly kind: "planned";
  readonly build: Omit<BuildRequest, "locktime">;
  /** What leaves the vault, without the fee. */
  readonly sats: bigint;
  readonly feeSats: Sats;
  /** Null where no change is left. */
  readonly changeIndex: number | null;
}

export type Plan =
  | Planned
  /** `enough`: coins to come would not help. */
  | { readonly kind: "unfunded"; readonly detail: string; readonly enough: boolean };

export interface Planning {
  readonly intent: IntentRow;
  readonly vault: VaultScripts;
}

export function planOf(parts: PlanParts, db: Db, planning: Planning): Promise<Plan> {
  return sweeps(planning.intent.purpose)
    ? planMove(parts, db, planning)
    : planPayment(parts, db, planning);
}

/** All coins, into the next address of the vault that the intent names. */
async function planMove(
  { scripts, inputsMax }: PlanParts,
  db: Db,
  { intent, vault }: Planning,
): Promise<Plan> {
  const [party = ""] = readIntent(JSON.parse(intent.document)).parties;
  const to = await scripts.vault(db, party);
  if (to === null) throw new Error(`BUG: ${intent.purpose} ${intent.id} goes to vault ${party}`);
  const script = to.at(RECEIVE, await nextReceive(db, party));
  const rate = msatsPerVbyte(intent.fee_rate);
  const coins = await spendable(db, intent.vault);
  const swept = sweep({ coins, rate, script: script.script, inputsMax });
  if (swept.kind === "refused") return { kind: "unfunded", detail: swept.detail, enough: false };
  const { sats, feeSats } = swept;
  const moves = { sats, vault: to.vault, script };
  const build = { vault, coins: swept.coins, payments: [], moves, change: null };
  return { kind: "planned", build, sats, feeSats, changeIndex: null };
}

async function planPayment(
  { inputsMax }: PlanParts,
  db: Db,
  { intent, vault }: Planning,
): Promise<Plan> {
  const { outputs: payments } = readIntent(JSON.parse(intent.document));
  const index = (await lastChange(db, intent.vault)) + 1;
  const selection = selectCoins({
    coins: await spendable(db, intent.vault),
    payments,
    rate: msatsPerVbyte(intent.fee_rate),
    changeScript: vault.at(CHANGE, index).script,
    inputsMax,
  });
  if (selection.kind === "refused") {
    const { code, detail } = selection;
    return { kind: "unfunded", detail, enough: code !== "insufficient" };
  }
  const { coins, changeSats, feeSats } = selection;
  const change = changeSats === null ? null : { sats: changeSats, branch: CHANGE as Branch, index };
  return {
    kind: "planned",
    build: { vault, coins, payments, change },
    sats: intent.sats,
    feeSats,
    changeIndex: change === null ? null : index,
  };
}
