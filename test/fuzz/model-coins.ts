/** The coins that are spent: whose they are, what is said of them, what the node says. */
import { fits, later, never, type Objection, type Seen, sum, VIRTUAL } from "./model-spend.ts";
import type { Plan } from "./plan.ts";

const COINBASE = 100;

export function coinObjections(spend: Seen): readonly Objection[] {
  const { plan, paper, inputs, fee } = spend;
  const { intent, law, chain } = plan;
  const many = intent.purpose === "collect" || intent.purpose === "cancel";
  const allowed = [intent.vault, ...(many ? intent.parties : [])];
  const proof = intent.purpose === "proof-of-reserves" && plan.evidence.reserves;
  const virtual = (i: number) => proof && i === 0 && paper.inputs[0]?.coin === VIRTUAL;
  const spent = paper.inputs.map(({ coin }) => coin);
  const node = (name: string) => plan.coins.get(name)?.node ?? null;
  const shallow = paper.inputs.some(({ coin }, i) => {
    const known = node(coin);
    if (virtual(i)) return false;
    if (known === null) return true;
    const depth = known.height === 0 ? 0 : (chain?.height ?? 0) - known.height + 1;
    return depth < Math.max(law.confirmations, known.coinbase ? COINBASE : 0);
  });
  const amounts = [...inputs, ...spend.outputs].map(({ sats }) => sats);
  return [
    ...never(
      "inputs-of-the-vault",
      inputs.some(
        ({ place, input }, i) =>
          !virtual(i) && input.said !== null && (place === null || !allowed.includes(place.vault)),
      ),
    ),
    ...never("inputs-distinct", new Set(spent).size !== spent.length),
    ...never(
      "utxo-present",
      paper.inputs.some(({ said }) => said === null),
    ),
    ...never(
      "utxo-consistent",
      paper.inputs.some((input) => contradicts(plan, input)),
    ),
    ...never(
      "amounts-in-range",
      !amounts.every(fits) ||
        !fits(sum(inputs.map(({ sats }) => sats))) ||
        !fits(sum(spend.outputs.map(({ sats }) => sats))),
    ),
    ...never("fee-not-negative", fee !== null && fee < 0n),
    ...later("chain-view-present", chain === null),
    ...later("coins-confirmed", chain !== null && shallow),
    ...never(
      "coins-as-declared",
      chain !== null &&
        paper.inputs.some(({ coin, said }, i) => {
          const known = virtual(i) ? null : node(coin);
          return known !== null && said !== null && (known.sats !== said || known.otherScript);
        }),
    ),
  ];
}

/** WITNESS_UTXO and the whole previous transaction tell two stories, or it is another one. */
function contradicts({ coins }: Plan, { coin, said, previous }: Plan["paper"]["inputs"][number]) {
  if (previous === "none" || coin === VIRTUAL) return false;
  return said !== null && coins.get(coin)?.sats !== said;
}
