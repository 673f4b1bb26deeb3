/** What was signed before: windows, coins signed away, bumps, cancels (invariants 2 and 4). */
import {
  gain,
  later,
  loss,
  most,
  needsUser,
  never,
  type Objection,
  positive,
  type Seen,
  seen,
  sum,
  userSigned,
} from "./model-spend.ts";
import { addressKey, type Charge, type Claim, type Plan, VAULTS, type VaultName } from "./plan.ts";

const HOUR_MS = 3_600_000;
const BLOCKS_AN_HOUR = 6;

export interface Account {
  readonly about: Charge["about"];
  readonly vault?: VaultName;
  /** Key of an address. */
  readonly to?: string;
}

/** What others took from an account within so many hours: by clock and by blocks, the greater. */
function takenBefore({ history, chain, intent }: Plan, account: Account, hours: number) {
  const height = Math.max(history.height, chain?.height ?? 0);
  const others = history.claims.filter((claim) => claim.intent !== "own");
  const matches = (charge: Charge) =>
    charge.about === account.about &&
    (!["purpose", "vault", "destination"].includes(charge.about) ||
      charge.purpose === intent.purpose) &&
    (account.vault === undefined || charge.vault === account.vault) &&
    (account.to === undefined || (charge.to !== null && addressKey(charge.to) === account.to));
  const of = (claims: readonly Claim[]) =>
    sum(claims.flatMap(({ charges }) => charges.filter(matches).map(({ sats }) => sats)));
  return most([
    of(others.filter(({ msAgo }) => msAgo < hours * HOUR_MS)),
    of(others.filter((claim) => claim.height > height - hours * BLOCKS_AN_HOUR)),
  ]);
}

/** One account against one cap: what is above it by itself never fits. */
export function overdrawn(
  rule: string,
  {
    plan,
    account,
    hours,
    own,
    cap,
  }: {
    plan: Plan;
    account: Account;
    hours: number;
    own: bigint;
    cap: bigint;
  },
): readonly Objection[] {
  if (takenBefore(plan, account, hours) + own <= cap) return [];
  return own > cap ? never(rule, true) : later(rule, true);
}

export function windowObjections(spend: Seen): readonly Objection[] {
  const { plan, flows, outputs } = spend;
  const limits = plan.law.purposes[plan.intent.purpose];
  const fee = positive(spend.fee ?? 0n);
  const losing = flows.filter(({ vault, inputs }) => inputs > 0 || vault === plan.intent.vault);
  const paid = outputs.filter(({ place }) => place === null);
  const check =
    (rule: string, account: Account, own: bigint) => (w: { hours: number; sats: bigint }) =>
      overdrawn(rule, { plan, account, hours: w.hours, own, cap: w.sats });
  return [
    ...(limits?.windows ?? []).flatMap(
      check("window-limit", { about: "purpose" }, spend.moved + fee),
    ),
    ...losing.flatMap((flow) =>
      (limits?.vaultWindows ?? []).flatMap(
        check("window-limit", { about: "vault", vault: flow.vault }, loss(flow)),
      ),
    ),
    ...[...new Set(paid.map(({ key }) => key))].flatMap((key) =>
      (limits?.destinationWindows ?? []).flatMap(
        check(
          "window-limit",
          { about: "destination", to: key },
          sum(paid.filter((one) => one.key === key).map(({ sats }) => sats)),
        ),
      ),
    ),
    ...plan.law.feeWindows.flatMap(check("fee-budget", { about: "fees" }, fee)),
  ];
}

/** Claims by intent, of other intents that share a coin with this spend. */
function rivals({ plan, paper }: Seen): readonly (readonly Claim[])[] {
  const coins = new Set(paper.inputs.map(({ coin }) => coin));
  const others = plan.history.claims.filter(({ intent }) => intent !== "own");
  const groups = new Map(
    others.map(({ intent }) => [intent, others.filter((claim) => claim.intent === intent)]),
  );
  return [...groups.values()].filter((claims) =>
    claims.some((claim) => claim.coins.some((coin) => coins.has(coin))),
  );
}

/** Invariant 2: when a coin signed away for one intent is free for another. */
function yields(claims: readonly Claim[], spend: Seen): boolean {
  const { plan, paper } = spend;
  const { intent } = plan;
  if (intent.purpose === "cancel" && claims[0]?.intent === intent.cancels) return true;
  const coins = new Set(paper.inputs.map(({ coin }) => coin));
  const common = commonCoins(claims);
  const superseded =
    needsUser(intent.purpose) &&
    userSigned(spend) &&
    claims.every((claim) => !claim.userSigned) &&
    common.some((coin) => coins.has(coin));
  return superseded || buried(claims, spend);
}

/** A coin that every transaction of the intent spends is spent by another, buried deep. */
function buried(claims: readonly Claim[], { plan, paper }: Seen): boolean {
  const common = commonCoins(claims);
  const coins = new Set(paper.inputs.map(({ coin }) => coin));
  return (plan.chain?.burials ?? []).some(
    ({ depth, spends }) =>
      depth >= plan.law.burial &&
      spends.some((coin) => common.includes(coin)) &&
      !spends.some((coin) => coins.has(coin)),
  );
}

function commonCoins(claims: readonly Claim[]): readonly string[] {
  return (claims[0]?.coins ?? []).filter((coin) =>
    claims.every((claim) => claim.coins.includes(coin)),
  );
}

export function claimObjections(spend: Seen): readonly Objection[] {
  const { plan } = spend;
  const { intent, history } = plan;
  const taken =
    intent.purpose !== "proof-of-reserves" &&
    rivals(spend).some((claims) => !yields(claims, spend));
  const cancelled = history.claims.some(({ nonces }) =>
    nonces.some((nonce) => nonce.kind === "cancel" && nonce.intent === "own"),
  );
  return [
    ...never("coins-unclaimed", taken),
    ...never("cancelled-for-good", cancelled),
    ...bumpObjections(spend),
    ...cancelObjections(spend),
  ];
}

/** The same intent again: the same coins, a higher fee, nothing else changed, so many times. */
function bumpObjections({ plan, paper, fee }: Seen): readonly Objection[] {
  const { intent, history, law } = plan;
  const before = history.claims.filter((claim) => claim.intent === "own" && claim.tx !== "this");
  if (before.length === 0) return [];
  const same = (claim: Claim) =>
    String([...claim.coins].sort()) === String(paper.inputs.map(({ coin }) => coin).sort());
  const paid = sum(
    before.flatMap(({ charges }) =>
      charges.filter(({ about }) => about === "fees").map(({ sats }) => sats),
    ),
  );
  return [
    ...never(
      "one-transaction-an-intent",
      !before.every(same) || before.length > law.bumps || (fee !== null && fee <= paid),
    ),
    ...never(
      "bump-keeps-outputs",
      before.some(({ fixed }) => fixed === "another"),
    ),
    ...never("channel-not-bumped", intent.purpose === "channel-open"),
  ];
}

function cancelObjections(spend: Seen): readonly Objection[] {
  const { plan, paper, flows } = spend;
  const { intent, history, evidence } = plan;
  if (intent.purpose !== "cancel") return [];
  const { original } = evidence;
  if (original === null) return never("cancel-takes-back", true);
  const claims = history.claims.filter((claim) => claim.intent === intent.cancels);
  // Of a vault that the intent does not name nobody can tell who has signed.
  const before = seen(plan, original);
  const complete = original.inputs.every(({ said }) => said !== null);
  const anchored = claims[0]?.anchor ?? anchorOf(before);
  const signed = before.inputs.some(
    ({ input, place }) =>
      complete && place !== null && input.signatures.some(({ how }) => how === "good"),
  );
  const coins = paper.inputs.map(({ coin }) => coin);
  const known = original.inputs.map(({ coin }) => coin);
  const wrong =
    !coins.includes(anchored) ||
    coins.some((coin) => !known.includes(coin)) ||
    (claims.length > 0
      ? claims.every(({ tx }) => tx !== "original")
      : !signed && !userSigned(spend)) ||
    flows.some((flow) => gain(flow) > 0n);
  return never("cancel-takes-back", wrong);
}

/** A coin of the treasury if there is one, else the first. */
function anchorOf({ inputs }: Seen): string {
  const house = inputs.find(
    ({ place }) => place !== null && VAULTS[place.vault].kind === "treasury",
  );
  return (house ?? inputs[0])?.input.coin ?? "";
}

/** Sats of a claim that others have signed away and the statement does not know yet. */
export function drawnSince({ history, evidence }: Plan, vault: VaultName): bigint {
  const { statement } = evidence;
  const account = statement?.accounts.find((one) => one.vault === vault);
  const unknown = history.claims.filter(
    (claim) =>
      claim.intent !== "own" &&
      (statement === null ||
        claim.height >= statement.height ||
        claim.coins.some((coin) => account?.credited.includes(coin))),
  );
  return sum(
    unknown.flatMap(({ charges }) =>
      charges.filter((one) => one.about === "drawn" && one.vault === vault).map(({ sats }) => sats),
    ),
  );
}

/** Coins that other intents have been signed for, unless they are dead on the chain. */
export function inFlight(spend: Seen): ReadonlySet<string> {
  const others = spend.plan.history.claims.filter(({ intent }) => intent !== "own");
  const alive = others.filter(
    ({ intent }) =>
      !buried(
        others.filter((claim) => claim.intent === intent),
        spend,
      ),
  );
  return new Set(alive.flatMap(({ coins }) => coins));
}
