/** How much may leave, and what it may cost. */

import { feeCeil, rateFloor, shareFloor } from "../money.ts";
import { chargeOf } from "../purpose.ts";
import { no, type Objection, type Rule } from "./rule.ts";

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
    check: ({ facts: { feeSats, vbytes }, policy }) => {
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
    check: ({ facts: { feeSats, externalSats }, policy }) => {
      const most = shareFloor(externalSats, policy.feeShareMax);
      return feeSats !== null && feeSats > most
        ? no(`fee is ${feeSats} sat, ${policy.feeShareMax} bps of the payment are ${most}`)
        : [];
    },
  },
  "spend-limit": {
    why: "No single spend takes more than a bad day may cost; all outputs count together.",
    answers: [12],
    check: ({ facts, policy: { withdrawal } }) =>
      facts.externalSats > withdrawal.satsPerSpend
        ? no(`${facts.externalSats} sat are paid out, at most ${withdrawal.satsPerSpend} a spend`)
        : [],
  },
  "window-limit": {
    why: "Many small spends are one big one; the window slides, and no clock reopens it.",
    answers: [12, 100, 101, 102, 104],
    check: ({ facts, policy: { withdrawal }, history }) =>
      withdrawal.windows.flatMap(({ hours, sats: most }, i): readonly Objection[] => {
        const charged = history.charged[i];
        if (charged === undefined) throw new Error(`BUG: window ${i} was not counted`);
        const total = charged + chargeOf(facts);
        if (total <= most) return [];
        const detail = `${total} sat within ${hours} h, at most ${most}`;
        // What is over the limit by itself will not fit later either.
        return chargeOf(facts) > most
          ? no(detail)
          : [
              {
                detail,
                retry: `when older spends have left the window, in ${hours} h at the latest`,
              },
            ];
      }),
  },
} satisfies Record<string, Rule>;

function shownRate(millisats: bigint): string {
  return `${millisats / 1000n}.${String(millisats % 1000n).padStart(3, "0")}`;
}
