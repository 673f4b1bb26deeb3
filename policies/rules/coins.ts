/** The coins that are spent: whose they are, what they hold, that they exist and are free. */

import { hex } from "../bitcoin/hash.ts";
import type { ChainView } from "../chain-view.ts";
import { type Claim, fixedHash } from "../claim.ts";
import type { Policy } from "../document/policy.ts";
import type { InputFacts } from "../facts.ts";
import type { Purpose } from "../intent.ts";
import { isSats } from "../money.ts";
import { FEES } from "../velocity.ts";
import { otherIntents, yields } from "../yielding.ts";
import { lies } from "./lies.ts";
import { type Case, each, no, type Objection, type Rule } from "./rule.ts";

/** Consensus: a coinbase output may be spent 100 blocks later. */
const COINBASE_DEPTH = 100;

/**
 * Purposes that take coins of several vaults, each held against its own mandate. In every other one
 * the parties only receive: what is asked of the intent's vault would not be asked of theirs.
 */
const SPENDING_PARTIES: ReadonlySet<Purpose> = new Set<Purpose>(["collect", "cancel"]);

export const coinRules = {
  "inputs-of-the-vault": {
    why: "Only coins of the vault named, whose mandate, notices and limits are asked: a foreign input hides who pays.",
    answers: [28, 29, 32],
    check: (spend) =>
      each(spend.facts.inputs, ({ coin, script }, i) => {
        const { intent } = spend;
        if (isVirtual(spend, i)) return [];
        if (coin === null) {
          return script === null
            ? []
            : no(
                `input ${i} is no address of a registered vault (without TAP_BIP32_DERIVATION only indices 0 to 19 are searched)`,
              );
        }
        const many = SPENDING_PARTIES.has(intent.purpose) && intent.parties.includes(coin.vault);
        return coin.vault === intent.vault || many
          ? []
          : no(`input ${i} belongs to vault ${coin.vault}`);
      }),
  },
  "inputs-distinct": {
    why: "A coin counted twice makes the fee a fiction.",
    answers: [31],
    check: ({ facts }) => {
      const seen = new Set<string>();
      return each(facts.inputs, ({ outpoint }, i) => {
        if (seen.has(outpoint)) return no(`input ${i} spends ${outpoint} again`);
        seen.add(outpoint);
        return [];
      });
    },
  },
  "utxo-present": {
    why: "A Taproot signature commits to every amount and script; without them nothing can be judged.",
    answers: [24],
    check: ({ facts }) =>
      each(facts.inputs, ({ sats }, i) =>
        sats === null ? no(`input ${i} has no WITNESS_UTXO`) : [],
      ),
  },
  "utxo-consistent": {
    why: "Two stories about one coin: at least one is a lie.",
    answers: [25, 26],
    check: lies("utxo"),
  },
  "amounts-in-range": {
    why: "No amount, and no sum of amounts, exceeds 21 million bitcoin.",
    answers: [18],
    check: ({ facts }) => [
      ...each(facts.inputs, ({ sats }, i) =>
        sats === null || isSats(sats) ? [] : no(`input ${i} has ${sats} sat`),
      ),
      ...each(facts.outputs, ({ sats }, i) =>
        isSats(sats) ? [] : no(`output ${i} has ${sats} sat`),
      ),
      ...tooMuch("inputs", facts.inputs, facts.inputSats),
      ...tooMuch("outputs", facts.outputs, facts.outputSats),
    ],
  },
  "fee-not-negative": {
    why: "Outputs above the inputs are impossible on chain; who asks for it tests the parser.",
    answers: [19],
    check: ({ facts: { feeSats } }) =>
      feeSats !== null && feeSats < 0n
        ? no(`the outputs exceed the inputs by ${-feeSats} sat`)
        : [],
  },
  "chain-view-present": {
    why: "Without its own view of the chain a signer cannot tell a coin from a story about one.",
    answers: [35],
    check: ({ chain }) =>
      chain === null
        ? [{ detail: "the signer's own node does not answer", retry: "when the node is back" }]
        : [],
  },
  "coins-confirmed": {
    why: "An unconfirmed or replaced coin can vanish after the signature has left.",
    answers: [35, 37],
    check: (spend) => {
      const { facts, policy, chain } = spend;
      if (chain === null) return [];
      return each(facts.inputs, (input, i) =>
        isVirtual(spend, i) ? [] : coinDepth(input, i, policy, chain),
      );
    },
  },
  "coins-as-declared": {
    why: "The signer's node has the last word on amounts and scripts.",
    answers: [27],
    check: ({ facts, chain }) =>
      each(facts.inputs, ({ outpoint, sats, script }, i) => {
        const coin = chain?.coins.get(outpoint);
        if (coin === undefined || coin.kind === "missing" || sats === null || script === null) {
          return [];
        }
        return [
          ...(coin.sats === sats
            ? []
            : no(`input ${i} is declared with ${sats} sat, the node has ${coin.sats}`)),
          ...(coin.script === hex(script)
            ? []
            : no(`input ${i} is declared with a script that the node does not have`)),
        ];
      }),
  },
  "coins-unclaimed": {
    why: "A coin signed away for one intent is not signed away for another.",
    answers: [74, 76],
    check: (spend) => {
      // A proof of reserves can never be final: it takes no coin from anybody.
      if (spend.intent.purpose === "proof-of-reserves") return [];
      const coins = new Set(spend.facts.inputs.map(({ outpoint }) => outpoint));
      return otherIntents(spend).flatMap((claims) =>
        yields(claims, spend)
          ? []
          : claims.flatMap(({ txid, outpoints }) =>
              outpoints
                .filter((outpoint) => coins.has(outpoint))
                .flatMap((outpoint) => no(`${outpoint} was signed away in ${txid}`)),
            ),
      );
    },
  },
  "one-transaction-an-intent": {
    why: "Two transactions of one payment without a common coin would pay twice; of the same coins, with a higher fee, they are a bump.",
    answers: [72, 75],
    check: ({ facts, intent, policy, history }) => {
      const others = history.related.filter(
        (claim) => claim.intent === intent.id && claim.txid !== facts.txid,
      );
      if (others.length === 0) return [];
      const coins = facts.inputs.map(({ outpoint }) => outpoint).sort();
      const moved = others.flatMap(({ txid, outpoints }) =>
        String([...outpoints].sort()) === String(coins)
          ? []
          : no(`this intent was signed as ${txid} already, with other coins`),
      );
      if (moved.length > 0) return moved;
      const [first] = others;
      if (others.length > policy.bumps) {
        return no(
          `this intent was signed as ${first?.txid} already, and ${policy.bumps} bumps are allowed`,
        );
      }
      const fee = feeCharged(others);
      return facts.feeSats === null || facts.feeSats > fee
        ? []
        : no(`this intent was signed with a fee of ${fee} sat already, a bump pays more`);
    },
  },
  "bump-keeps-outputs": {
    why: "A bump takes its fee from the change, or from the treasury, and from nobody else.",
    answers: [72],
    check: ({ facts, intent, history }) => {
      const fixed = fixedHash(facts);
      return history.related
        .filter((claim) => claim.intent === intent.id && claim.txid !== facts.txid)
        .flatMap((claim) =>
          claim.fixed === "" || claim.fixed === fixed
            ? []
            : no(`${claim.txid} of the same intent pays others, or pays them otherwise`),
        );
    },
  },
} satisfies Record<string, Rule>;

/** The first input of a proof of reserves is a coin that cannot exist. */
function isVirtual({ intent, evidence, facts }: Case, input: number): boolean {
  return (
    intent.purpose === "proof-of-reserves" &&
    input === 0 &&
    facts.inputs[0]?.outpoint === evidence.reserves?.outpoint
  );
}

/** The highest fee of an intent so far: each of its transactions was charged what it took more. */
function feeCharged(claims: readonly Claim[]): bigint {
  return claims
    .flatMap(({ charges }) => charges)
    .reduce((sum, { account, sats }) => (account === FEES ? sum + sats : sum), 0n);
}

/** Each amount alone is possible, their sum is not. */
function tooMuch(
  what: string,
  items: readonly { readonly sats: bigint | null }[],
  sum: bigint | null,
): readonly Objection[] {
  const possible = items.every(({ sats }) => sats !== null && isSats(sats));
  return sum === null && possible ? no(`the ${what} together exceed 21 million bitcoin`) : [];
}

function coinDepth(
  { outpoint }: InputFacts,
  i: number,
  policy: Policy,
  chain: ChainView,
): readonly Objection[] {
  const coin = chain.coins.get(outpoint) ?? { kind: "missing" };
  if (coin.kind === "missing") {
    return [
      {
        detail: `input ${i}: ${outpoint} is not among the unspent coins of the signer's node`,
        retry: "when the node has seen it, unless it is spent",
      },
    ];
  }
  const depth = coin.height === 0 ? 0 : chain.height - coin.height + 1;
  const wanted = coin.coinbase
    ? Math.max(policy.confirmations, COINBASE_DEPTH)
    : policy.confirmations;
  if (depth >= wanted) return [];
  return [
    {
      detail: `input ${i} has ${depth} confirmations, ${wanted} are needed`,
      retry: `in ${wanted - depth} ${wanted - depth === 1 ? "block" : "blocks"}`,
    },
  ];
}
