/** How much may leave, and what it may cost. */

import { movedSats } from "../flows.ts";
import { feeCeil, rateFloor, shareFloor } from "../money.ts";
import { movesNothing } from "../purpose.ts";
import { type Bound, boundKey, boundsOf, chargesOf } from "../velocity.ts";
import { type Case, no, type Objection, type Rule } from "./rule.ts";

export const limitRules = {
  "fee-absolute": {
    why: "Funds can be burnt as fees, or paid to a colluding miner.",
    answers: [20],
    check: ({ facts: { feeSats }, policy }) =>
      feeSats !== null && feeSats > policy.feeSatsMax
        ? no(`fee is ${feeSats} sat, at most ${policy.feeSatsMax}`)
        : [],
  },
  "fee-rate": {
    why: "Too low is stuck, too high is waste; the size is our own figure, not the PSBT's.",
    answers: [20, 21],
    check: ({ facts: { feeSats, vbytes }, intent, policy }) => {
      // A proof of reserves is never sent, so it pays nobody for sending it.
      if (intent.purpose === "proof-of-reserves") return [];
      if (feeSats === null || feeSats < 0n) return [];
      const least = feeCeil(vbytes, policy.feeRateMin);
      const rate = rateFloor(feeSats, vbytes);
      if (feeSats < least) return no(`fee is ${feeSats} sat, ${vbytes} vB need ${least}`);
      return rate > policy.feeRateMax
        ? no(`fee rate is ${shownRate(rate)} sat/vB, at most ${shownRate(policy.feeRateMax)}`)
        : [];
    },
  },
  "fee-share": {
    why: "A fee out of proportion to the payment is a mistake or a theft.",
    answers: [20],
    check: ({ facts, intent, policy }) => {
      if (movesNothing(intent.purpose)) return [];
      const { feeSats } = facts;
      const most = shareFloor(movedSats(facts), policy.feeShareMax);
      return feeSats !== null && feeSats > most
        ? no(`fee is ${feeSats} sat, ${policy.feeShareMax} bps of the payment are ${most}`)
        : [];
    },
  },
  "spend-limit": {
    why: "No single spend takes more than a bad day may cost; all outputs count together.",
    answers: [12],
    check: ({ facts, intent, policy }) => {
      const most = policy.purposes[intent.purpose]?.satsPerSpend;
      return most !== undefined && movedSats(facts) > most
        ? no(`${movedSats(facts)} sat are paid out, at most ${most} a spend`)
        : [];
    },
  },
  "window-limit": {
    why: "Many small spends are one big one; the window slides, and no clock reopens it.",
    answers: [12, 100, 101, 102, 104],
    check: (spend) => overdrawn(spend, "spends"),
  },
  "fee-budget": {
    why: "Many fees are one big one: a thief who cannot take coins can still burn them.",
    answers: [20],
    check: (spend) => overdrawn(spend, "fees"),
  },
} satisfies Record<string, Rule>;

/** The windows that this spend would overdraw. */
function overdrawn(
  { facts, intent, policy, history }: Case,
  about: Bound["about"],
): readonly Objection[] {
  const charges = new Map(chargesOf(facts, intent).map(({ account, sats }) => [account, sats]));
  return boundsOf(facts, intent, policy)
    .filter((bound) => bound.about === about)
    .flatMap((bound): readonly Objection[] => {
      const charged = history.charged.get(boundKey(bound));
      const own = charges.get(bound.account);
      if (charged === undefined || own === undefined) {
        throw new Error(`BUG: the window of ${bound.account} was not counted`);
      }
      const { hours, sats: most, whose } = bound;
      if (charged + own <= most) return [];
      const detail = `${charged + own} sat within ${hours} h for ${whose}, at most ${most}`;
      // What is over the limit by itself will not fit later either.
      if (own > most) return no(detail);
      const retry = `when older spends have left the window, in ${hours} h at the latest`;
      return [{ detail, retry }];
    });
}

function shownRate(millisats: bigint): string {
  return `${millisats / 1000n}.${String(millisats % 1000n).padStart(3, "0")}`;
}
