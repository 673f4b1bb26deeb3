/** What is asked, before any coin is looked at: the intent, the vaults, who signs, who has agreed. */
import { fitting } from "./model-purposes.ts";
import {
  approvers,
  fits,
  heightOf,
  later,
  never,
  type Objection,
  type Seen,
} from "./model-spend.ts";
import { isPlace, type Plan, type Purpose, VAULTS } from "./plan.ts";

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
export function isIntent({ intent }: Plan): boolean {
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

export function requestObjections(spend: Seen): readonly Objection[] {
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

export function approvalObjections({ plan, moved }: Seen): readonly Objection[] {
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

export function isLifted(plan: Plan, rule: string): boolean {
  const lift = plan.law.lifts.find((one) => one.rule === rule);
  if (lift === undefined) return false;
  return approvers(plan).filter(({ lifts }) => lifts.includes(rule)).length >= lift.people;
}
