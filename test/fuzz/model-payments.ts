/** Where the money goes, how much of it, and what it costs. */
import { never, type Objection, type Seen } from "./model-spend.ts";
import { addressKey, isPlace, type Purpose } from "./plan.ts";

const DUST: Readonly<Record<string, bigint>> = {
  p2tr: 330n,
  p2wsh: 330n,
  funding: 330n,
  p2wpkh: 294n,
  p2pkh: 546n,
  p2sh: 540n,
};

export function paymentObjections(spend: Seen): readonly Objection[] {
  const { plan, inputs, outputs, flows } = spend;
  const { intent, law, history } = plan;
  const outside = outputs.filter(({ place }) => place === null);
  const own = outputs.flatMap(({ place }) => place ?? []);
  const list = law.purposes[intent.purpose]?.destinations ?? null;
  const type = ({ output: { to } }: Seen["outputs"][number]) => (isPlace(to) ? "p2tr" : to.pay);
  const texts = (all: readonly { key: string; sats: bigint }[]) =>
    String(all.map(({ key, sats }) => `${key}:${sats}`).sort());
  const intended = intent.outputs.map(({ to, sats }) => ({ key: addressKey(to), sats }));
  const spending = flows.filter((flow) => flow.inputs > 0).map(({ vault }) => vault);
  const highest = (vault: string) =>
    Math.max(
      -1,
      ...history.claims.flatMap(({ places }) =>
        places.filter((place) => place.vault === vault).map(({ index }) => index),
      ),
    );
  return [
    ...never("outputs-as-intended", texts(outside) !== texts(intended)),
    ...never(
      "destination-allowed",
      list !== null &&
        outside.some(
          ({ key }) =>
            !list.some(
              ({ to, vault }) =>
                addressKey(to) === key && (vault === null || vault === intent.vault),
            ),
        ),
    ),
    ...never(
      "destination-known",
      outside.some((output) => DUST[type(output)] === undefined),
    ),
    ...never(
      "no-address-reuse",
      outputs.some(({ key }) => inputs.some((one) => one.key === key && one.input.said !== null)),
    ),
    ...never(
      "change-to-change",
      own.some(({ vault, branch }) => spending.includes(vault) && branch !== 1),
    ),
    ...never("change-once", new Set(own.map(({ vault }) => vault)).size !== own.length),
    ...never(
      "change-findable",
      own.some(({ vault, index }) => index > highest(vault) + law.gap),
    ),
    ...never(
      "no-dust",
      outputs.some((output) => output.sats < (DUST[type(output)] ?? 0n)),
    ),
  ];
}

const STAYING: readonly Purpose[] = ["refresh", "consolidation", "cancel", "proof-of-reserves"];

export function limitObjections({ plan, fee, moved, vbytes }: Seen): readonly Objection[] {
  const { law, intent } = plan;
  const { purpose } = intent;
  const limits = law.purposes[purpose];
  const rated = fee !== null && fee >= 0n && purpose !== "proof-of-reserves" ? fee : null;
  return [
    ...never("fee-absolute", fee !== null && fee > law.feeSats),
    ...never(
      "fee-rate",
      rated !== null &&
        (rated * 1_000n < law.rateMin * vbytes || (rated * 1_000n) / vbytes > law.rateMax),
    ),
    ...never(
      "fee-share",
      fee !== null && !STAYING.includes(purpose) && fee > (moved * law.shareBps) / 10_000n,
    ),
    ...never("spend-limit", limits !== undefined && moved > limits.perSpend),
  ];
}
