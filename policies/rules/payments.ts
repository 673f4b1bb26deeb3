/** Where the money goes: payments to whom they were meant, change back to the vault. */
import { hex } from "../bitcoin/hash.ts";
import type { Network } from "../bitcoin/network.ts";
import { addressOf } from "../bitcoin/taproot.ts";
import type { OutputFacts, SpendFacts } from "../facts.ts";
import { flowsOf } from "../flows.ts";
import { sameOutputs } from "../intent.ts";
import { CHANGE } from "../vault.ts";
import { each, no, type Objection, type Rule } from "./rule.ts";

/** Script types that a withdrawal may pay. */
const PAYABLE = new Set(["p2tr", "p2wpkh", "p2wsh", "p2pkh", "p2sh"]);

/** Below these amounts nodes do not relay an output: three times what spending it costs. */
const DUST_SATS: Readonly<Record<string, bigint>> = {
  p2tr: 330n,
  p2wsh: 330n,
  p2wpkh: 294n,
  p2pkh: 546n,
  p2sh: 540n,
};

export const paymentRules = {
  "outputs-as-intended": {
    why: "Exactly the payments of the intent leave the vault, to the sat, no more and no fewer.",
    answers: [1, 12, 13, 15, 75],
    check: ({ facts, intent }) => {
      const external = facts.outputs.filter(({ coin }) => coin === null);
      if (sameOutputs(external, intent.outputs)) return [];
      const { network } = intent;
      return no(
        `pays ${words(external, network)}; the intent says ${words(intent.outputs, network)}`,
      );
    },
  },
  "destination-allowed": {
    why: "Money goes only where the policy lets this purpose pay.",
    answers: [14],
    check: ({ facts, intent, policy }) => {
      const list = policy.purposes[intent.purpose]?.destinations ?? null;
      if (list === null) return [];
      return externals(facts, ({ script, address }, i) => {
        const entries = list.filter((entry) => entry.script === hex(script));
        const shown = `output ${i} pays ${address ?? hex(script)}`;
        if (entries.length === 0) return no(`${shown}, which is not on the list`);
        return entries.some(({ vault }) => vault === null || vault === intent.vault)
          ? []
          : no(`${shown}, which is on the list of another vault`);
      });
    },
  },
  "destination-known": {
    why: "Data outputs, bare scripts, anchors and future witness versions may be anyone's to take.",
    answers: [15, 16],
    check: ({ facts }) =>
      externals(facts, ({ scriptType }, i) =>
        PAYABLE.has(scriptType) ? [] : no(`output ${i} is of type ${scriptType}`),
      ),
  },
  "no-address-reuse": {
    why: "Paying back to the address just spent from ties a person's coins together.",
    answers: [11],
    check: ({ facts }) => {
      const spent = new Set(
        facts.inputs.flatMap(({ script }) => (script === null ? [] : hex(script))),
      );
      return each(facts.outputs, ({ script }, i) =>
        spent.has(hex(script)) ? no(`output ${i} pays an address that is being spent from`) : [],
      );
    },
  },
  "change-to-change": {
    why: "Change goes to the change branch of its own vault, where its owner will look for it.",
    answers: [2, 3, 8],
    check: ({ facts, intent }) => {
      const spending = spendingVaults(facts);
      const named = new Set([intent.vault, ...intent.parties]);
      return each(facts.outputs, ({ coin }, i) => {
        if (coin === null) return [];
        if (!named.has(coin.vault)) return no(`output ${i} pays another vault`);
        return !spending.has(coin.vault) || coin.branch === CHANGE
          ? []
          : no(`output ${i} pays the vault off its change branch`);
      });
    },
  },
  "change-once": {
    why: "One output is all that a vault needs; more only scatter coins.",
    answers: [8],
    check: ({ facts }) => {
      const counts = new Map<string, number>();
      for (const { coin } of facts.outputs) {
        if (coin !== null) counts.set(coin.vault, (counts.get(coin.vault) ?? 0) + 1);
      }
      return [...counts].flatMap(([vault, count]) =>
        count <= 1 ? [] : no(`${count} outputs go to vault ${vault}`),
      );
    },
  },
  "change-findable": {
    why: "Change on a far index is lost to its owner until a ransom is paid.",
    answers: [8, 36],
    check: ({ facts, history, policy }) =>
      each(facts.outputs, ({ coin }, i) => {
        if (coin === null) return [];
        const highest = (history.indices.get(coin.vault) ?? -1) + policy.changeGap;
        return coin.index <= highest
          ? []
          : no(`output ${i} is at index ${coin.index}, at most ${highest} is findable`);
      }),
  },
  "no-dust": {
    why: "Nodes do not relay dust, and change that costs more than it holds is a gift to nobody.",
    answers: [],
    check: ({ facts }) =>
      each(facts.outputs, ({ scriptType, sats }, i) => {
        const least = DUST_SATS[scriptType];
        return least === undefined || sats >= least
          ? []
          : no(`output ${i} holds ${sats} sat, less than ${least} is dust`);
      }),
  },
} satisfies Record<string, Rule>;

/** Vaults whose coins are spent: what returns to them is change. */
function spendingVaults(facts: SpendFacts): ReadonlySet<string> {
  return new Set(flowsOf(facts).vaults.flatMap(({ vault, inputs }) => (inputs > 0 ? vault : [])));
}

function externals(
  facts: SpendFacts,
  check: (output: OutputFacts, index: number) => readonly Objection[],
): readonly Objection[] {
  return facts.outputs.flatMap((output, i) => (output.coin === null ? check(output, i) : []));
}

/** More would be cut off anyway; and writing a Taproot address takes a step on the curve. */
const WORDS_MAX = 5;

/** As a person would say it: amounts and addresses. */
function words(
  outputs: readonly { readonly script: Uint8Array; readonly sats: bigint }[],
  network: Network,
): string {
  if (outputs.length === 0) return "nobody";
  const rest = outputs.length - WORDS_MAX;
  return [
    ...outputs
      .slice(0, WORDS_MAX)
      .map(({ script, sats }) => `${sats} sat to ${addressOf(script, network) ?? hex(script)}`),
    ...(rest > 0 ? [`${rest} more`] : []),
  ].join(", ");
}
