/** The table of purposes: what a spend is for, by what it does, and what each has to show. */
import { overdrawn } from "./model-history.ts";
import { announced, mandateOf, nodeOf } from "./model-notices.ts";
import {
  type Flow,
  gain,
  heightOf,
  later,
  least,
  loss,
  never,
  type Objection,
  positive,
  type Seen,
  sum,
  userSigned,
  VIRTUAL,
} from "./model-spend.ts";
import { type Purpose, VAULTS, type VaultName } from "./plan.ts";

const kinds = (all: readonly Flow[]) =>
  [...new Set(all.map(({ info }) => info.kind))].sort().join();

interface Shape {
  /** Whose coins, and which kinds of vaults gain; "" is none. */
  readonly from: string;
  readonly to: readonly string[];
  /** Whether somebody outside is paid. */
  readonly pays: boolean;
  /** Only one vault gains, and nothing returns. */
  readonly one?: true;
  readonly whole?: true;
  readonly purposes: readonly Purpose[];
}

/** Purposes that take coins from one vault and give to others. */
const SHAPES: readonly Shape[] = [
  { from: "user", to: ["", "treasury"], pays: true, purposes: ["withdrawal", "recovery-lsp-gone"] },
  { from: "user", to: ["", "treasury"], pays: true, purposes: ["channel-open"] },
  { from: "user", to: ["treasury"], pays: false, purposes: ["collect"] },
  { from: "user", to: ["escrow"], pays: false, purposes: ["escrow-in"] },
  {
    ...{ from: "user", to: ["user"], pays: false, one: true, whole: true },
    purposes: ["migration", "recovery-user-lost"],
  },
  { from: "treasury", to: [""], pays: true, purposes: ["margin"] },
  { from: "treasury", to: ["escrow"], pays: false, purposes: ["escrow-in"] },
  { from: "treasury", to: ["user"], pays: false, purposes: ["top-up"] },
  { from: "escrow", to: ["treasury"], pays: false, purposes: ["escrow-out"] },
  { from: "escrow", to: ["user"], pays: false, one: true, purposes: ["escrow-out"] },
];

/** Where coins come from, where they go, and which purposes that can be. */
export function fitting(spend: Seen): readonly Purpose[] {
  const { plan, paper, inputs, outputs, flows } = spend;
  const { reserves, original, funding } = plan.evidence;
  if (inputs.length === 0) return [];
  if (reserves && paper.inputs[0]?.coin === VIRTUAL) return ["proof-of-reserves"];
  if (inputs.some(({ place }) => place === null)) return [];
  const from = flows.filter((flow) => flow.inputs > 0);
  const to = flows.filter((flow) => flow.inputs === 0 && flow.outSats > 0n);
  const pays = outputs.some(({ place }) => place === null);
  if (!pays && to.length === 0) return original === null ? returning(from) : ["cancel"];
  if (from.length !== 1) return [];
  // The two nodes' word for a funding output makes a payment one.
  const left = funding === null ? ["channel-open"] : ["withdrawal", "recovery-lsp-gone"];
  return SHAPES.filter((shape) => fitsShape(shape, { from, to, pays }))
    .flatMap(({ purposes }) => purposes)
    .filter((purpose) => !left.includes(purpose));
}

function fitsShape(
  shape: Shape,
  { from, to, pays }: { from: readonly Flow[]; to: readonly Flow[]; pays: boolean },
): boolean {
  return (
    shape.from === kinds(from) &&
    shape.pays === pays &&
    shape.to.includes(kinds(to)) &&
    (shape.one !== true || to.length === 1) &&
    (shape.whole !== true || from.every(({ outSats }) => outSats === 0n))
  );
}

/** Everything goes back to where it came from. */
function returning(from: readonly Flow[]): readonly Purpose[] {
  if (kinds(from) === "treasury,user") return ["collect"];
  if (from.length !== 1) return [];
  return kinds(from) === "user" ? ["refresh", "consolidation"] : ["consolidation"];
}

export function purposeObjections(spend: Seen): readonly Objection[] {
  return [
    ...mandateObjections(spend),
    ...escrowObjections(spend),
    ...channelObjections(spend),
    ...recoveryObjections(spend),
    ...upkeepObjections(spend),
    ...reservesObjections(spend),
  ];
}

/** Users' vaults that the mandate must speak for. */
function mandated(spend: Seen): readonly VaultName[] {
  const { plan, flows } = spend;
  const { purpose } = plan.intent;
  const users = flows.filter(({ info }) => info.kind === "user");
  if (plan.law.role === "user") return [];
  if (purpose === "top-up") {
    return users.filter((flow) => gain(flow) > 0n).map(({ vault }) => vault);
  }
  if (!["collect", "refresh", "consolidation", "cancel"].includes(purpose)) return [];
  return userSigned(spend)
    ? []
    : users.filter(({ inputs }) => inputs > 0).map(({ vault }) => vault);
}

const MONTH_HOURS = 720;
const YEAR_HOURS = 8_760;

function mandateObjections(spend: Seen): readonly Objection[] {
  const { plan } = spend;
  const { purpose } = plan.intent;
  return mandated(spend).flatMap((vault): readonly Objection[] => {
    const mandate = mandateOf(plan, vault);
    if (mandate === null) return never("mandate-live", true);
    const { notice, live } = mandate;
    const covered = purpose === "refresh" ? notice.refresh > 0 : notice.may.includes(purpose);
    const house = notice.treasury === plan.law.house.treasury;
    return [
      ...never("mandate-live", !live || !covered || !house),
      ...takenUnder(spend, notice, vault),
    ];
  });
}

/** What the vault loses, the fee that it bears and the coins refreshed, each against its cap. */
function takenUnder(
  { plan, flows, fee }: Seen,
  { sats30d, fees30d, refresh }: { sats30d: bigint; fees30d: bigint; refresh: number },
  vault: VaultName,
): readonly Objection[] {
  const { purpose } = plan.intent;
  const house = flows.some(({ info, inputs }) => info.kind !== "user" && inputs > 0);
  const flow = flows.find((one) => one.vault === vault && one.inputs > 0);
  const lost = flow === undefined ? 0n : loss(flow);
  // A coin of the house pays the fee of the whole; in a cancel each vault bears what it loses.
  const borne = house && purpose !== "cancel" ? 0n : least([lost, positive(fee ?? 0n)]);
  const coins = purpose === "refresh" ? BigInt(flow?.inputs ?? 0) : 0n;
  const caps = [
    { about: "userless", own: lost, cap: sats30d, hours: MONTH_HOURS },
    { about: "userless-fees", own: borne, cap: fees30d, hours: MONTH_HOURS },
    { about: "refreshes", own: coins, cap: BigInt(refresh), hours: YEAR_HOURS },
  ] as const;
  return caps
    .filter(({ own }) => own > 0n)
    .flatMap(({ about, ...one }) =>
      overdrawn("mandate-limits", { ...one, plan, account: { about, vault } }),
    );
}

function escrowObjections({ plan, flows }: Seen): readonly Objection[] {
  const { intent, law, evidence } = plan;
  if (intent.purpose !== "escrow-in" || law.role === "user") return [];
  const locks = evidence.operations.filter((one) => one.do === "lock");
  const asked = sum(locks.map(({ sats }) => sats));
  const gained = sum(flows.filter(({ info }) => info.kind === "escrow").map(gain));
  const user = flows.find(({ info, inputs }) => info.kind === "user" && inputs > 0);
  const strange = user !== undefined && locks.some(({ vault }) => vault !== user.vault);
  return never("escrow-in-asked", asked !== gained || strange);
}

function channelObjections({ plan, outputs }: Seen): readonly Objection[] {
  const { intent, law, evidence } = plan;
  const { funding } = evidence;
  if (intent.purpose !== "channel-open") return [];
  if (funding === null) return never("funding-output", true);
  const outside = outputs.filter(({ place }) => place === null);
  const paid =
    outside.length === 1 && outside[0]?.key === "funding 0" && outside[0]?.sats === funding.sats;
  return never(
    "funding-output",
    !paid ||
      !funding.good ||
      funding.user === funding.lsp ||
      funding.lsp !== law.house.node ||
      (law.role !== "user" && funding.user !== nodeOf(plan, intent.vault)),
  );
}

/** A recovery stays open for a month after its delay. */
const OPEN_BLOCKS = 4_320;

function recoveryObjections({ plan }: Seen): readonly Objection[] {
  const { intent, law, history } = plan;
  const { purpose, vault } = intent;
  if (purpose !== "recovery-lsp-gone" && purpose !== "recovery-user-lost") return [];
  const way = purpose === "recovery-lsp-gone" ? "lsp-gone" : "user-lost";
  const to = way === "user-lost" ? (intent.parties[0] ?? null) : null;
  const named =
    way === "user-lost" ? never("recovery-to-named-key", !isNamed(plan, vault, to)) : [];
  if (law.role === "user") return named;
  const delay = law.purposes[purpose]?.delay ?? 0;
  const height = heightOf(plan);
  const open = announced(plan, { vault, way, to }).filter(
    (at) => height <= at + delay + OPEN_BLOCKS,
  );
  const first = Math.min(...open);
  const spoke = history.claims.some(
    (claim) => claim.userSigned && claim.vault === vault && claim.height >= first,
  );
  const gone = open.length === 0 || (way === "user-lost" && spoke);
  return [
    ...named,
    ...never("recovery-announced", gone),
    ...later("recovery-announced", !gone && height < first + delay),
  ];
}

/** Whether the new vault is of the key that the user's mandate names, with fresh keys beside it. */
function isNamed(plan: Seen["plan"], vault: VaultName, to: VaultName | null): boolean {
  const recovery = mandateOf(plan, vault)?.notice.recovery ?? null;
  if (recovery === null) return false;
  const known = [vault, to].every((name) => name !== null && plan.registered.includes(name));
  if (to === null || !known) return true;
  const holders = VAULTS[to].holders;
  const old = Object.values(VAULTS[vault].holders);
  return (
    holders.user === VAULTS[recovery].holders.user &&
    VAULTS[to].exitBlocks === null &&
    Object.values(holders).every((key) => !old.includes(key))
  );
}

function upkeepObjections({ plan, paper, inputs, fee, vbytes }: Seen): readonly Objection[] {
  const { intent, law, chain, coins } = plan;
  const limits = law.purposes[intent.purpose];
  if (intent.purpose === "consolidation" && limits !== undefined) {
    const rate = (positive(fee ?? 0n) * 1_000n) / vbytes;
    return never(
      "consolidation-worth",
      paper.inputs.length < limits.inputsMin || rate > limits.rateMax,
    );
  }
  if (intent.purpose !== "refresh" || chain === null) return [];
  const blocks = inputs.map(({ place }) => place && VAULTS[place.vault].exitBlocks);
  const young = inputs.some(({ input }, i) => {
    const height = coins.get(input.coin)?.node?.height;
    const timelock = blocks[i] ?? null;
    if (height === undefined || timelock === null) return false;
    const age = height === 0 ? 0 : heightOf(plan) - height + 1;
    return age * 100 < timelock * 60;
  });
  return [
    ...never(
      "refresh-due",
      blocks.some((timelock) => timelock === null),
    ),
    ...later("refresh-due", young),
  ];
}

function reservesObjections({ plan, paper, inputs, outputs, fee }: Seen): readonly Objection[] {
  const { intent, evidence } = plan;
  if (intent.purpose !== "proof-of-reserves") return [];
  const [first] = inputs;
  const impossible =
    evidence.reserves &&
    paper.inputs[0]?.coin === VIRTUAL &&
    paper.inputs[0]?.said === 0n &&
    first?.place?.vault === intent.vault;
  const back = outputs.length === 1 && outputs[0]?.place?.vault === intent.vault && fee === 0n;
  return never("reserves-never-final", !impossible || inputs.length < 2 || !back);
}
