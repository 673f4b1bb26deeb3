/** Spends in which nothing changes hands: refresh, consolidation, cancel, proof of reserves. */
import { anchorOf, cancelNonce } from "../claim.ts";
import type { SpendFacts } from "../facts.ts";
import { flowsOf, gainOf } from "../flows.ts";
import { rateFloor } from "../money.ts";
import { userSigned } from "../purpose.ts";
import { ageOf, ripeAge } from "../rest.ts";
import { each, heightOf, no, notYet, type Rule } from "./rule.ts";

export const upkeepRules = {
  "refresh-due": {
    why: "A coin is moved for its timelock's sake when 60 % of it are over, so each coin once.",
    answers: [],
    check: (spend) => {
      const { facts, intent, chain } = spend;
      if (intent.purpose !== "refresh" || chain === null) return [];
      return each(facts.inputs, ({ coin, outpoint }, i) => {
        const blocks = coin?.exitBlocks ?? null;
        if (blocks === null) return no(`input ${i} has no timelock that a refresh would restart`);
        const known = chain.coins.get(outpoint);
        if (known?.kind !== "unspent") return [];
        const age = ageOf({ height: known.height, tip: heightOf(spend) });
        const due = ripeAge(blocks);
        return age >= due
          ? []
          : notYet(`input ${i} is ${age} blocks old, due from ${due}`, `in ${due - age} blocks`);
      });
    },
  },
  "consolidation-worth": {
    why: "Many coins are made one while fees are low; else it is a way to burn a user's coins.",
    answers: [80],
    check: ({ facts, intent, policy }) => {
      const limits = policy.purposes.consolidation;
      if (intent.purpose !== "consolidation" || limits === undefined) return [];
      const { feeSats, vbytes, inputs } = facts;
      const rate = feeSats === null || feeSats < 0n ? 0n : rateFloor(feeSats, vbytes);
      const most = limits.feeRateMax ?? 0n;
      return [
        ...(inputs.length >= limits.inputsMin
          ? []
          : no(`${inputs.length} coins, a consolidation has at least ${limits.inputsMin}`)),
        ...(rate <= most
          ? []
          : no(`fee rate is ${rate} msat/vB, a consolidation pays at most ${most}`)),
      ];
    },
  },
  "cancel-takes-back": {
    why: "A cancel spends the anchor of what it takes back, and gives every vault its own.",
    answers: [74],
    check: ({ facts, intent, evidence, history }) => {
      if (intent.purpose !== "cancel") return [];
      const { original } = evidence;
      if (original === null) return no("a cancel carries the transaction that it takes back");
      const coins = new Set(facts.inputs.map(({ outpoint }) => outpoint));
      const before = new Set(original.inputs.map(({ outpoint }) => outpoint));
      const claims = history.related.filter((claim) => claim.intent === intent.cancels);
      const anchor = claims[0]?.anchor ?? anchorOf(original);
      const strange = [...coins].filter((outpoint) => !before.has(outpoint));
      const [known] = claims.filter(({ txid }) => txid === original.txid);
      return [
        ...(coins.has(anchor) ? [] : no(`the anchor ${anchor} is not spent`)),
        ...strange.flatMap((outpoint) => no(`${outpoint} is no coin of what is taken back`)),
        ...(claims.length > 0 || signedBySomebody(original) || userSigned(facts)
          ? []
          : no("nobody has signed what is said to be taken back")),
        ...(claims.length === 0 || known !== undefined
          ? []
          : no(`${original.txid} is no transaction of the intent that it takes back`)),
        ...flowsOf(facts)
          .vaults.filter((flow) => gainOf(flow) > 0n)
          .flatMap(({ vault }) => no(`vault ${vault} gains by a cancel`)),
      ];
    },
  },
  "cancelled-for-good": {
    why: "What was taken back is not signed again: asked twice, it would be a race.",
    answers: [74],
    check: ({ intent, history }) =>
      history.nonces.has(cancelNonce(intent.id))
        ? no("this intent was taken back by a cancel")
        : [],
  },
  "reserves-never-final": {
    why: "A proof of reserves spends a coin that cannot exist first, and pays all of it back.",
    answers: [],
    check: ({ facts, intent, evidence }) => {
      if (intent.purpose !== "proof-of-reserves") return [];
      const virtual = evidence.reserves?.outpoint;
      const [first, ...coins] = facts.inputs;
      const back = facts.outputs.every(({ coin }) => coin?.vault === intent.vault);
      const impossible = first?.outpoint === virtual && first?.sats === 0n;
      return [
        ...(impossible && first?.coin?.vault === intent.vault
          ? []
          : no("the first input is not the vault's coin that cannot exist, with 0 sat")),
        ...(coins.length > 0 ? [] : no("no coin is shown")),
        ...(facts.outputs.length === 1 && back && facts.feeSats === 0n
          ? []
          : no("one output pays the whole sum back to the same vault")),
      ];
    },
  },
} satisfies Record<string, Rule>;

/** A transaction that no holder has signed cannot be sent, so there is nothing to take back. */
function signedBySomebody({ inputs }: SpendFacts): boolean {
  return inputs.some(({ signatures }) => signatures.some(({ valid }) => valid));
}
