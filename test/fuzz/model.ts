/**
 * An independent reckoning of the law, written from the design and the pages of the formats, over a
 * spend in plain words. It shares no code with the law: where the two disagree, one of them is wrong.
 */
import type { Input, Output, Plan, Window } from "./plan.ts";

export type Verdict = "approved" | "held" | "refused";

const HOUR = 3_600_000;
const SUPPLY = 2_100_000_000_000_000n;
const DUST: Readonly<Record<string, bigint>> = { payee: 294n, vault: 330n };

export function modelVerdict(plan: Plan): Verdict {
  const final = [
    ...request(plan),
    ...coins(plan),
    ...payments(plan),
    ...fees(plan),
    ...purposeFinal(plan),
  ].some(Boolean);
  const over = windows(plan);
  const passing = [...nodeSays(plan), over.later, ...purposeLater(plan)].some(Boolean);
  if (plan.paused) return "held";
  if (final || over.never) return "refused";
  return passing ? "held" : "approved";
}

const total = (items: readonly { sats: bigint }[]) =>
  items.reduce((sum, { sats }) => sum + sats, 0n);
const feeOf = ({ inputs, outputs }: Plan) => total(inputs) - total(outputs);
/** A vault that the intent does not name, and no coin comes from, is an address like any other. */
function payer(plan: Plan): (output: Output) => boolean {
  const named = new Set<string | null>([
    vaultOf[plan.purpose],
    partyOf[plan.purpose],
    ...plan.inputs.map(({ owner }) => owner),
  ]);
  return ({ to }) => !named.has(to);
}
const greater = (a: bigint, b: bigint) => (a < b ? b : a);
const lesser = (a: bigint, b: bigint) => (b > a ? a : b);
const vaultOf: Readonly<Record<Plan["purpose"], string>> = {
  withdrawal: "user",
  claim: "user",
  migration: "user",
  consolidation: "user",
  collect: "user",
  "top-up": "treasury",
};
/** Which other vault the intent names. */
const partyOf: Readonly<Record<Plan["purpose"], string | null>> = {
  withdrawal: null,
  claim: null,
  migration: "other",
  consolidation: null,
  collect: "treasury",
  "top-up": "user",
};
const needsUser = ({ purpose }: Plan) => ["withdrawal", "claim", "migration"].includes(purpose);
const house = ({ purpose }: Plan) => purpose === "collect" || purpose === "top-up";
const proven = (plan: Plan) =>
  house(plan) || (plan.purpose === "claim" && drawn(plan) > plan.policy.noProofSats);
const paidSats = (plan: Plan) => total(plan.outputs.filter(payer(plan)));
const gained = (plan: Plan) => total(plan.outputs.filter(({ to }) => to === partyOf[plan.purpose]));
const moved = (plan: Plan) => paidSats(plan) + gained(plan);
const drawn = (plan: Plan) => paidSats(plan) + feeOf(plan);

function vbytes({ inputs, outputs }: Plan): bigint {
  const length = ({ to }: Output) => (to === "payee" ? 22 : to === "data" ? 3 : 34);
  const base = 10 + 41 * inputs.length + outputs.reduce((sum, one) => sum + 9 + length(one), 0);
  // Per input: five items, two signatures, an empty one, the leaf of 104 bytes, 33 of control.
  const witness = 2 + inputs.length * (1 + 65 + 65 + 1 + 105 + 34);
  return BigInt(Math.ceil((base * 4 + witness) / 4));
}

function request(plan: Plan): readonly boolean[] {
  const { policy, intent, inputs, outputs } = plan;
  return [
    intent.network !== "regtest",
    intent.label !== null,
    !policy.named,
    inputs.length === 0 || outputs.length === 0,
    inputs.length > policy.inputs || outputs.length > policy.outputs,
    !fits(plan),
    plan.purpose === "migration" && plan.role !== "lsp",
    policy.tier !== null && moved(plan) > policy.tier.above && plan.approvals < policy.tier.people,
  ];
}

/** Whether the transaction does what the purpose is for. */
function fits(plan: Plan): boolean {
  const { inputs, outputs, purpose } = plan;
  const own = vaultOf[purpose];
  const party = partyOf[purpose];
  const isPaid = payer(plan);
  if (inputs.some(({ owner }) => owner !== own)) return false;
  const known = outputs.filter((one) => !isPaid(one));
  const others = known.filter(({ to }) => to !== own);
  if (others.some(({ to }) => to !== party)) return false;
  if (party === null)
    return purpose === "consolidation" ? !outputs.some(isPaid) : outputs.some(isPaid);
  if (outputs.some(isPaid) || others.length === 0) return false;
  return purpose !== "migration" || known.every(({ to }) => to === party);
}

function coins(plan: Plan): readonly boolean[] {
  const { inputs, past, policy, locktime } = plan;
  const places = inputs.map(({ owner, branch, index }) => `${owner}/${branch}/${index}`);
  return [
    new Set(places).size !== places.length,
    inputs.some(({ sats }) => sats < 0n || sats > SUPPLY) || total(inputs) > SUPPLY,
    feeOf(plan) < 0n,
    inputs.some(lies),
    inputs.some(({ signature }) => signature === "broken"),
    needsUser(plan) && inputs.some(({ signature }) => signature !== "valid"),
    inputs.some(({ sequence }) => sequence !== 0xfffffffd),
    plan.version !== 2,
    locktime < heightOf(plan) - policy.past || locktime > heightOf(plan) + policy.future,
    past.some(({ coin, own }) => coin !== null && !own),
    // Another transaction of this intent: no bump is allowed in these policies.
    past.some(({ own }) => own),
    plan.height !== null && inputs.some(({ node, sats }) => node !== null && node.sats !== sats),
  ];
}

function lies({ lie, sighash }: Input): boolean {
  return lie !== null || (sighash !== null && sighash !== 0);
}

/** The signer has seen no higher block than its node's. */
function heightOf({ height }: Plan): number {
  return height ?? 1_000;
}

function nodeSays({ inputs, height, policy }: Plan): readonly boolean[] {
  if (height === null) return [true];
  return inputs.map(({ node }) => {
    if (node === null) return true;
    const depth = node.height === 0 ? 0 : height - node.height + 1;
    return depth < (node.coinbase ? Math.max(100, policy.confirmations) : policy.confirmations);
  });
}

function payments(plan: Plan): readonly boolean[] {
  const { inputs, outputs, policy, intent, past } = plan;
  const own = vaultOf[plan.purpose];
  const isPaid = payer(plan);
  const counts = (owner: string) => outputs.filter(({ to }) => to === owner).length;
  const highest = (owner: string) =>
    owner === "user" ? past.reduce((most, { index }) => Math.max(most, index ?? -1), -1) : -1;
  return [
    intent.paysMore !== 0n,
    outputs.some(({ to }) => to === "data" || to === "future"),
    outputs.some(({ sats }) => sats > SUPPLY) || total(outputs) > SUPPLY,
    outputs.some(({ to, sats }) => {
      const least =
        to === "payee" ? DUST["payee"] : to === "data" || to === "future" ? 0n : DUST["vault"];
      return sats < (least ?? 0n);
    }),
    policy.payees !== null &&
      outputs.some(
        (one) => isPaid(one) && !(one.to === "payee" && policy.payees?.includes(one.payee)),
      ),
    outputs.some(({ to, branch, index }) =>
      inputs.some((one) => one.owner === to && one.branch === branch && one.index === index),
    ),
    outputs.some(({ to, branch }) => to === own && branch !== 1),
    ["user", "other", "treasury"].some(
      (owner) => counts(owner) > 1 && outputs.some((one) => one.to === owner && !isPaid(one)),
    ),
    outputs.some((one) => !isPaid(one) && one.index > highest(one.to) + policy.gap),
  ];
}

function fees(plan: Plan): readonly boolean[] {
  const { policy } = plan;
  const fee = feeOf(plan);
  const size = vbytes(plan);
  return [
    fee > policy.feeSats,
    fee >= 0n && fee * 1_000n < policy.rateMin * size,
    fee >= 0n && (fee * 1_000n) / size > policy.rateMax,
    plan.purpose !== "consolidation" && fee > (moved(plan) * policy.shareBps) / 10_000n,
    moved(plan) > policy.perSpend,
  ];
}

/** A window that is overdrawn by what left before passes by itself; by this spend alone, never. */
function windows(plan: Plan): { never: boolean; later: boolean } {
  const { policy, past, outputs } = plan;
  const fee = feeOf(plan) > 0n ? feeOf(plan) : 0n;
  const all = moved(plan) + fee;
  const checks: { own: bigint; window: Window; counts: (one: Plan["past"][number]) => bigint }[] = [
    { own: all, window: policy.window, counts: ({ sats, feeSats }) => sats + feeSats },
    { own: fee, window: policy.feeWindow, counts: ({ feeSats }) => feeSats },
  ];
  if (policy.vaultWindow !== null) {
    checks.push({
      own: all,
      window: policy.vaultWindow,
      counts: ({ vault, sats, feeSats }) => (vault === vaultOf[plan.purpose] ? sats + feeSats : 0n),
    });
  }
  const where = ({ to, branch, index, payee }: Output) =>
    to === "payee" ? `payee ${payee}` : `${to} ${branch} ${index}`;
  const paid = outputs.filter(payer(plan));
  for (const place of policy.destinationWindow === null ? [] : new Set(paid.map(where))) {
    checks.push({
      own: total(paid.filter((one) => where(one) === place)),
      window: policy.destinationWindow ?? policy.window,
      counts: ({ payee, sats }) => (place === `payee ${payee}` ? sats : 0n),
    });
  }
  const results = checks.map(({ own, window, counts }) => {
    const others = past.filter((one) => !one.own);
    const sum = (some: typeof others) => some.reduce((all_, one) => all_ + counts(one), 0n);
    const byClock = sum(others.filter(({ msAgo }) => msAgo < window.hours * HOUR));
    const byBlocks = sum(others.filter(({ blocksAgo }) => blocksAgo < window.hours * 6));
    return { never: own > window.sats, over: greater(byClock, byBlocks) + own > window.sats };
  });
  return {
    never: results.some(({ never }) => never),
    later: results.some(({ over }) => over),
  };
}

function ceil(cents: bigint, price: bigint): bigint {
  return (cents * 100_000_000n + price - 1n) / price;
}

/** What the design's table asks of the purpose, for good. */
function purposeFinal(plan: Plan): readonly boolean[] {
  const { policy, inputs } = plan;
  const rate = feeOf(plan) < 0n ? 0n : (feeOf(plan) * 1_000n) / vbytes(plan);
  const upkeep =
    plan.purpose === "consolidation"
      ? [inputs.length < policy.coinsMin, rate > policy.rateMaxUpkeep]
      : [];
  return [...upkeep, ...mandateFinal(plan), ...(proven(plan) ? proofFinal(plan) : [])];
}

const outTo = ({ outputs }: Plan, owner: string) => total(outputs.filter(({ to }) => to === owner));

/** The mandate stands in for the user's signature; a top-up needs it whoever has signed. */
function mandateFinal(plan: Plan): readonly boolean[] {
  const { purpose, mandate, inputs } = plan;
  const replaced = (purpose === "consolidation" || purpose === "collect") && !userSigned(plan);
  if (!replaced && purpose !== "top-up") return [];
  if (mandate === null || mandate.revoked) return [true];
  const loss = total(inputs.filter(({ owner }) => owner === "user")) - outTo(plan, "user");
  const fee = feeOf(plan);
  return [
    mandate.until < heightOf(plan),
    !mandate.may.includes(purpose),
    mandate.treasury !== "treasury",
    replaced && loss > mandate.sats30d,
    replaced && lesser(loss, fee) > mandate.fees30d,
  ];
}

function proofFinal(plan: Plan): readonly boolean[] {
  const { proof, policy } = plan;
  const [first = 0n, ...rest] = proof.prices;
  const high = rest.reduce(greater, first);
  const low = rest.reduce(lesser, first);
  const counted = proof.voters.length >= 3 && proof.cycle === "named";
  const paper = [!counted, proof.signers.length < 3];
  // Without accepted votes there is no price to reckon with.
  if (!counted || Math.abs(proof.voteAge) > policy.voteAge) return paper;
  const claim = (proof.hedgedCents * 100_000_000n) / high + proof.idleSats;
  const apart = high - low > (low * policy.spreadBps) / 10_000n;
  const lack = greater(claim - proof.drawn - proof.holds, 0n);
  const needed = ceil(proof.hedgedCents, low) + proof.idleSats;
  return [
    ...paper,
    apart,
    plan.purpose === "claim" && proof.drawn + drawn(plan) > claim,
    plan.purpose === "collect" &&
      (outTo(plan, "user") < needed || !proof.credited || proof.deficitSince !== 0),
    plan.purpose === "top-up" && plan.height !== null && outTo(plan, "user") > lack,
  ];
}

/** Those that a better time or a fresher paper would mend. */
function purposeLater(plan: Plan): readonly boolean[] {
  if (!proven(plan)) return [];
  const { proof, policy } = plan;
  const named = proof.voters.length >= 3 && proof.cycle === "named";
  const young = Math.abs(proof.voteAge) <= policy.voteAge;
  const alone = house(plan);
  return [
    named && !young,
    alone && !(young && proof.cycle === "named" && proof.voters.includes(0)),
    alone && !proof.signers.includes(0),
    proof.statementAge < 0 || proof.statementAge > policy.statementAge,
    plan.height !== null && !proof.sameBlock,
  ];
}

function userSigned({ inputs }: Plan): boolean {
  return (
    inputs.every(({ owner, signature }) => owner !== "user" || signature === "valid") &&
    inputs.some(({ owner }) => owner === "user")
  );
}
