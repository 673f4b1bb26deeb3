/**
 * An independent reckoning of the law, written from the design, the attack catalogue and the pages of
 * the formats, over a spend in plain words. It shares no code with the law: where the two disagree,
 * one of them is wrong. Objections have the names that `policies/README.md` gives the rules.
 */
import { claimObjections, windowObjections } from "./model-history.ts";
import { mandateOf } from "./model-notices.ts";
import { proofObjections } from "./model-proofs.ts";
import { fitting, purposeObjections } from "./model-purposes.ts";
import {
  approvers,
  fits,
  goodBy,
  heightOf,
  later,
  needsUser,
  never,
  type Objection,
  type Seen,
  seen,
  sum,
  userSigned,
  VIRTUAL,
} from "./model-spend.ts";
import {
  addressKey,
  type InputWord,
  isPlace,
  type OutputWord,
  type Plan,
  type Purpose,
  VAULTS,
  type VaultName,
} from "./plan.ts";

export type Verdict = "approved" | "held" | "refused";

export interface Judgement {
  readonly verdict: Verdict;
  readonly rules: readonly string[];
}

export function modelJudgement(plan: Plan): Judgement {
  // What cannot be read is refused before anything is judged, paused or not.
  if (!isIntent(plan)) return { verdict: "refused", rules: ["intent"] };
  if (plan.paper.inputs.some(({ previous }) => previous === "another")) {
    return { verdict: "refused", rules: ["psbt-field"] };
  }
  const spend = seen(plan);
  const all = [
    ...requestObjections(spend),
    ...coinObjections(spend),
    ...wordObjections(spend),
    ...paymentObjections(spend),
    ...limitObjections(spend),
    ...claimObjections(spend),
    ...windowObjections(spend),
    ...approvalObjections(spend),
    ...proofObjections(spend),
    ...purposeObjections(spend),
  ].filter(({ rule }) => !isLifted(plan, rule));
  const rules = [...new Set(all.map(({ rule }) => rule))].sort();
  if (all.length === 0) return { verdict: "approved", rules };
  // A paused signer gives no final answers.
  const held = plan.history.paused || all.every((one) => one.later);
  return { verdict: held ? "held" : "refused", rules };
}

/** How many other vaults an intent of the purpose names, least and most. */
const PARTIES: Readonly<Record<Purpose, readonly [number, number]>> = {
  withdrawal: [0, 1],
  migration: [1, 1],
  collect: [1, 250],
  "top-up": [1, 250],
  refresh: [0, 0],
  consolidation: [0, 0],
  margin: [0, 0],
  "escrow-in": [1, 1],
  "escrow-out": [1, 1],
  "channel-open": [0, 1],
  cancel: [0, 250],
  "recovery-lsp-gone": [0, 1],
  "recovery-user-lost": [1, 1],
  "proof-of-reserves": [0, 0],
};
const OUTSIDE: readonly Purpose[] = ["withdrawal", "margin", "channel-open", "recovery-lsp-gone"];
/** Scripts that no address stands for, so that no intent can name them. */
const NAMELESS = ["op-return", "anchor", "bare", "future", "no-point"];

/** Whether the document is one: a purpose says whom it pays and which vaults it touches. */
function isIntent({ intent }: Plan): boolean {
  const { purpose, network, vault, parties, outputs, cancels } = intent;
  const [few, many] = PARTIES[purpose];
  return (
    // Addresses of these plans are regtest's; the older forms are the same on testnet.
    (network === "regtest" ||
      outputs.every(({ to }) => !isPlace(to) && ["p2pkh", "p2sh"].includes(to.pay))) &&
    parties.length >= few &&
    parties.length <= many &&
    new Set([vault, ...parties]).size === parties.length + 1 &&
    OUTSIDE.includes(purpose) === outputs.length > 0 &&
    (purpose === "cancel") === (cancels !== null) &&
    outputs.every(
      ({ to, sats }) => sats > 0n && fits(sats) && (isPlace(to) || !NAMELESS.includes(to.pay)),
    )
  );
}

function requestObjections(spend: Seen): readonly Objection[] {
  const { plan, paper, flows } = spend;
  const { intent, law, registered, history } = plan;
  const named = [intent.vault, ...intent.parties];
  const { purpose } = intent;
  const spending = flows.filter(({ inputs }) => inputs > 0);
  const strangeHouse = flows.some(
    ({ vault, info: { kind } }) =>
      (kind === "treasury" && vault !== law.house.treasury) ||
      (kind === "escrow" && vault !== law.house.escrow),
  );
  return [
    ...later("not-paused", history.paused),
    ...never("network-agrees", intent.network !== "regtest"),
    ...never(
      "vault-registered",
      named.some((vault) => !registered.includes(vault) || !(law.role in VAULTS[vault].holders)),
    ),
    ...never("has-inputs-and-outputs", paper.inputs.length === 0 || paper.outputs.length === 0),
    ...never(
      "size-within-caps",
      paper.inputs.length > law.inputs || paper.outputs.length > law.outputs,
    ),
    ...never(
      "one-policy-a-device",
      law.onePolicy && (spending.length > 1 || paper.outputs.length > 8),
    ),
    ...never("purpose-allowed", law.purposes[purpose] === undefined),
    ...never("purpose-fits", !fitting(spend).includes(purpose)),
    ...never("purpose-signers", !signs(spend)),
    ...never("house-vaults-known", strangeHouse),
  ];
}

/** Who signs for what, by the table of purposes. */
const SIGNERS: Readonly<Record<Purpose, readonly string[]>> = {
  withdrawal: ["user", "lsp", "trustee"],
  migration: ["user", "lsp"],
  collect: ["lsp", "trustee"],
  "top-up": ["lsp", "trustee"],
  refresh: ["lsp", "trustee"],
  consolidation: ["user", "lsp", "trustee", "second-trustee"],
  margin: ["lsp", "trustee"],
  "escrow-in": ["user", "lsp", "trustee"],
  "escrow-out": ["lsp", "trustee", "second-trustee"],
  "channel-open": ["user", "lsp"],
  cancel: ["user", "lsp", "trustee", "second-trustee"],
  "recovery-lsp-gone": ["user", "trustee"],
  "recovery-user-lost": ["lsp", "trustee"],
  "proof-of-reserves": ["user", "lsp", "trustee", "second-trustee"],
};

function signs({ plan: { intent, law }, flows }: Seen): boolean {
  const ofUser = flows.some(({ info, inputs }) => info.kind === "user" && inputs > 0);
  // A lock of a user's own coins: user first, then LSP.
  if (intent.purpose === "escrow-in" && ofUser && law.role === "trustee") return false;
  return SIGNERS[intent.purpose].includes(law.role);
}

const COINBASE = 100;

function coinObjections(spend: Seen): readonly Objection[] {
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

/** BIP371 fields are hints: silence is no lie, nor are fields that nobody knows. */
const SILENT: readonly (InputWord | OutputWord)[] = [
  "no-derivations",
  "no-internal-key",
  "no-merkle-root",
  "no-leaf",
  "no-leaf-hashes",
  "no-words",
  "unknown-field",
  "proprietary-field",
];

/** Fields that no co-signing needs, on whoever's coin. */
const BURDENS: readonly InputWord[] = [
  "final-witness",
  "key-path-signature",
  "redeem-script",
  "musig-nonce",
  "preimage",
];

function wordObjections(spend: Seen): readonly Objection[] {
  const { plan, paper, inputs } = spend;
  const { law, intent } = plan;
  const height = heightOf(plan);
  const { locktime } = paper;
  const late =
    locktime >= 500_000_000 ||
    (height === 0
      ? locktime > 5_000_000
      : locktime < height - law.past || locktime > height + law.future);
  const asksUser =
    law.role !== "user" &&
    (needsUser(intent.purpose)
      ? !bumpedWithoutUser(spend)
      : !fitting(spend).includes(intent.purpose));
  const users = inputs.filter(({ place }) => place !== null && VAULTS[place.vault].kind === "user");
  const complete = paper.inputs.every(({ said }) => said !== null);
  return [
    ...never(
      "words",
      inputs.some(({ input, place }) =>
        input.words.some(
          (word) => BURDENS.includes(word) || (place !== null && !SILENT.includes(word)),
        ),
      ) || spend.outputs.some((output) => lies(spend, output)),
    ),
    ...never(
      "sighash-default",
      paper.inputs.some(({ sighash }) => sighash !== null && sighash !== 0),
    ),
    ...never(
      "signatures-valid",
      inputs.some(
        ({ input, place }) =>
          place !== null && input.signatures.some(({ how }) => how !== "good" || !complete),
      ),
    ),
    ...never(
      "user-signs-first",
      asksUser && users.some(({ input }) => !complete || !goodBy(input, "user")),
    ),
    ...never("tx-version", paper.version !== 2),
    ...never(
      "sequence-replaceable",
      paper.inputs.some(({ sequence }) => sequence !== 0xfffffffd),
    ),
    ...never("locktime-recent", late),
  ];
}

/** What an output's words say that is not so. */
function lies({ plan }: Seen, { output: { words, to }, place }: Seen["outputs"][number]): boolean {
  const named = [plan.intent.vault, ...plan.intent.parties];
  const registered = named.filter((name) => plan.registered.includes(name));
  const known = isPlace(to) && sharesKey(to.vault, registered);
  const pathless = words.includes("no-derivations") || words.includes("no-words");
  if (isPlace(to) && place === null && known && !pathless) return true;
  return words.some((word) => {
    if (SILENT.includes(word) || word === "stranger-derivation") return false;
    // A key that the payee shows is the payee's own business, if there can be one.
    if (word === "key-alone") return !isPlace(to) && to.pay !== "p2tr" && to.pay !== "no-point";
    // A vault that nobody knows is a stranger: its path says nothing to us, its tree must be true.
    if (isPlace(to) && place === null) return word === "internal-key" || word === "other-tree";
    return true;
  });
}

/** A path to a key of a vault that is known claims that vault, though another may have the key too. */
function sharesKey(vault: VaultName, named: readonly VaultName[]): boolean {
  const keys = named.flatMap((name) => Object.values(VAULTS[name].holders));
  return Object.values(VAULTS[vault].holders).some((key) => keys.includes(key));
}

/** The bump cap of the mandate, with the user's signature on the original as evidence. */
function bumpedWithoutUser(spend: Seen): boolean {
  const { plan, paper, fee } = spend;
  const { original } = plan.evidence;
  const { law, intent, history } = plan;
  const mandate = mandateOf(plan, intent.vault);
  const height = heightOf(plan);
  if (original === null || intent.purpose !== "withdrawal" || law.bumps === 0) return false;
  if (mandate === null || !mandate.live) return false;
  const before = seen(plan, original);
  const recent = original.locktime >= height - law.past && original.locktime <= height + law.future;
  const signed = history.claims.some(({ intent: own, tx }) => own === "own" && tx === "original");
  const coins = (one: Plan["paper"]) => String(one.inputs.map(({ coin }) => coin).sort());
  const scripts = (one: Seen) => String(one.outputs.map(({ key }) => key).sort());
  const raise = fee === null || before.fee === null ? 0n : fee - before.fee;
  return (
    userSigned(before) &&
    (recent || signed) &&
    coins(original) === coins(paper) &&
    scripts(before) === scripts(spend) &&
    fixedOutputs(before) === fixedOutputs(spend) &&
    raise > 0n &&
    raise <= mandate.notice.bump
  );
}

/** All outputs but the change of who pays the higher fee. */
function fixedOutputs({ flows, outputs }: Seen): string {
  const treasury = flows.find(({ info }) => info.kind === "treasury");
  const payer = treasury ?? flows.find(({ inputs }) => inputs > 0);
  return String(
    outputs
      .filter(({ place }) => place === null || place.vault !== payer?.vault)
      .map(({ key, sats }) => `${key}:${sats}`)
      .sort(),
  );
}

const DUST: Readonly<Record<string, bigint>> = {
  p2tr: 330n,
  p2wsh: 330n,
  funding: 330n,
  p2wpkh: 294n,
  p2pkh: 546n,
  p2sh: 540n,
};

function paymentObjections(spend: Seen): readonly Objection[] {
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

function limitObjections({ plan, fee, moved, vbytes }: Seen): readonly Objection[] {
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

function approvalObjections({ plan, moved }: Seen): readonly Objection[] {
  const { evidence, intent, law } = plan;
  const people = evidence.approvals.map(({ person }) => person);
  const wrong = evidence.approvals.some(
    ({ person, until, lifts, for: what }) =>
      what !== "this" ||
      person === intent.proposer ||
      until < heightOf(plan) ||
      lifts.some((rule) => law.lifts.every((one) => one.rule !== rule)),
  );
  const wanted = (law.purposes[intent.purpose]?.tiers ?? [])
    .filter(({ above }) => moved > above)
    .map((tier) => tier.people);
  return [
    ...never("approvals-valid", wrong || new Set(people).size !== people.length),
    ...never("approvals-enough", approvers(plan).length < Math.max(0, ...wanted)),
  ];
}

function isLifted(plan: Plan, rule: string): boolean {
  const lift = plan.law.lifts.find((one) => one.rule === rule);
  if (lift === undefined) return false;
  return approvers(plan).filter(({ lifts }) => lifts.includes(rule)).length >= lift.people;
}
