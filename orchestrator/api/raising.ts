/** Spends raised at the API. An operator who asks for a user has a second one agree. */
import type { Request, Response } from "express";
import { z } from "zod";
import { vaultId } from "../../policies/evidence/scalar.ts";
import { type MsatsPerVbyte, SATS_MAX } from "../../policies/money.ts";
import type { Scripts } from "../accounts/scripts.ts";
import { vaultsOf } from "../accounts/vaults.ts";
import { feeRateSchema } from "../config.ts";
import { logOf } from "../doors/request-id.ts";
import type { Own, Route } from "../doors/route.ts";
import type { Chain } from "../io/chain.ts";
import type { Clock } from "../io/clock.ts";
import type { Db, Store } from "../io/store.ts";
import type { Log } from "../log.ts";
import type { RunningRoles } from "../role.ts";
import { heldIn } from "../spend/coins.ts";
import { byReference, raiseMigration } from "../spend/migrate.ts";
import { type RaiseOutcome, raise } from "../spend/raise.ts";
import { raiseLost } from "../spend/recover.ts";
import type { PaymentPurpose } from "../spend/signers.ts";
import { printable } from "./body.ts";
import { intentAnswer, intentView, perVbyte } from "./intent-view.ts";
import { type Problem, sendProblem } from "./problem.ts";

export interface RaisingParts {
  readonly store: Store;
  readonly scripts: Scripts;
  readonly chain: Chain;
  readonly clock: Clock;
  readonly log: Log;
  readonly running: RunningRoles;
  readonly fees: FeeTerms;
}

interface FeeTerms {
  readonly least: MsatsPerVbyte;
  readonly most: MsatsPerVbyte;
  readonly targetBlocks: number;
}

/** Raised anew, or again. */
const RAISED = { answer: intentAnswer, also: [201] } as const;
export function raisingRoutes(parts: RaisingParts): readonly Route[] {
  const { fees } = parts;
  const opens = ["user", "operator"] as const;
  const own: Own = { what: "account", account: accountInBody };
  const rights = { opens, own, second: true } as const;
  const payment = { ...RAISED, ...rights, body: paymentBody(fees) };
  return [
    {
      ...{ ...payment, method: "post", path: "/v1/withdrawals" },
      says: "Raises a withdrawal: the user signs first, then the LSP.",
      handle: raising(parts, "withdrawal"),
    },
    {
      ...{ ...payment, method: "post", path: "/v1/recoveries" },
      says: "Raises a spend without the LSP: the user signs first, then a trustee in a ceremony.",
      handle: raising(parts, "recovery-lsp-gone"),
    },
    {
      ...{ ...payment, method: "post", path: "/v1/migrations", body: migrationBody(fees) },
      says: "Moves all coins of the oldest older vault to the one in use.",
      async handle(request, response) {
        const { feeRate, ...rest } = migrationBody(fees).parse(request.body);
        const rate = feeRate ?? (await usualRate(parts));
        const outcome = await raiseMigration(parts, { ...rest, feeRate: rate });
        await answerRaised(parts, response, outcome);
      },
    },
    {
      ...{ ...RAISED, method: "post", path: "/v1/recoveries/lost", body: lostBody(fees) },
      ...{ opens: ["operator"], second: true },
      says: "Moves a lost user's coins: the LSP's signer first, then a trustee in a ceremony.",
      async handle(request, response) {
        const { feeRate, ...rest } = lostBody(fees).parse(request.body);
        const rate = feeRate ?? (await usualRate(parts));
        await answerRaised(parts, response, await raiseLost(parts, { ...rest, feeRate: rate }));
      },
    },
  ];
}

/** Also before the body is known to have the right form. */
function accountInBody({ body }: Request): string | null {
  const { account } = (body ?? {}) as { readonly account?: unknown };
  return typeof account === "string" ? account : null;
}

/** A payment of the account's coins to an address. */
function raising(parts: RaisingParts, purpose: PaymentPurpose) {
  return async (request: Request, response: Response): Promise<void> => {
    const { feeRate, ...rest } = paymentBody(parts.fees).parse(request.body);
    const rate = feeRate ?? (await usualRate(parts));
    if (await isShort(parts.store.db, rest)) {
      const detail = "sats: more than the account's vaults hold";
      return sendProblem(response, { code: "insufficient-funds", detail });
    }
    await answerRaised(parts, response, await raise(parts, { ...rest, purpose, feeRate: rate }));
  };
}

async function answerRaised(
  parts: RaisingParts,
  response: Response,
  outcome: RaiseOutcome,
): Promise<void> {
  if (outcome.kind === "refused") return sendProblem(response, raiseProblem(outcome));
  const { intent, fresh } = outcome;
  if (fresh) {
    const { id, account, purpose, sats } = intent;
    logOf(response).info({ intent: id, account, purpose, sats: String(sats) }, "spend raised");
    parts.running.wake();
  }
  response.status(fresh ? 201 : 200).json(await intentView(parts.store.db, intent));
}

/** What the vaults hold, whoever has reserved it: beyond that no waiting helps. */
async function isShort(
  db: Db,
  wish: { readonly account: string; readonly sats: bigint; readonly reference: string },
): Promise<boolean> {
  const vaults = await vaultsOf(db, wish.account);
  const held = await Promise.all(vaults.map(({ id }) => heldIn(db, id)));
  const enough = wish.sats <= held.reduce((sum, sats) => sum + sats, 0n);
  if (vaults.length === 0 || enough) return false;
  // What was raised before is answered again, wherever its coins are by now.
  return (await byReference(db, wish.account, wish.reference)) === null;
}

/** A whole number of sats, as a number or, beyond its safety, as a decimal string. */
const satsSchema = z
  .union([z.int().positive(), z.string().regex(/^[1-9][0-9]{0,15}$/, "must be whole sats")])
  .transform(BigInt)
  .refine((value) => value <= SATS_MAX, { message: "more than there will ever be" });

function paymentBody(fees: FeeTerms) {
  return migrationBody(fees).extend({ address: z.string().max(100), sats: satsSchema });
}

function lostBody(fees: FeeTerms) {
  return migrationBody(fees).extend({ vault: vaultId.optional() });
}

function migrationBody(fees: FeeTerms) {
  return z.strictObject({
    account: z.string().max(100),
    reference: printable(64),
    feeRate: feeRateSchema
      .refine((rate) => rate >= fees.least && rate <= fees.most, {
        message: `must lie between ${perVbyte(fees.least)} and ${perVbyte(fees.most)} sat/vB`,
      })
      .optional(),
  });
}

/** What the node thinks, within our own bounds. */
async function usualRate({ chain, fees }: RaisingParts): Promise<MsatsPerVbyte> {
  const rate = (await chain.feeRate(fees.targetBlocks)) ?? fees.least;
  if (rate > fees.most) return fees.most;
  if (rate < fees.least) return fees.least;
  return rate;
}

function raiseProblem(outcome: Extract<RaiseOutcome, { kind: "refused" }>): Problem {
  const [detail = ""] = outcome.reasons;
  switch (outcome.code) {
    case "no-account":
      return { code: "not-found", detail };
    case "reference-used":
    case "frozen":
      return { code: "conflict", detail };
    case "content":
      return { code: "refused", detail, reasons: outcome.reasons };
  }
}
