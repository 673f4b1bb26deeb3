/** Prices, statements and claims: who says them, how old they are, and what they allow. */
import { drawnSince, inFlight } from "./model-history.ts";
import { delegateOf } from "./model-notices.ts";
import {
  drawn,
  gain,
  heightOf,
  later,
  least,
  most,
  needsUser,
  never,
  type Objection,
  positive,
  type Seen,
  sum,
} from "./model-spend.ts";
import { type Account, OTHERS_POOL_MSATS, type Plan, type VaultName } from "./plan.ts";

interface Wanted {
  readonly price: boolean;
  readonly statement: boolean;
  readonly accounts: readonly VaultName[];
}

/** The last column of the table of purposes. The user's station leaves it to the person. */
function wantedBy(spend: Seen): Wanted {
  const { plan, flows } = spend;
  const { purpose } = plan.intent;
  const nothing = { price: false, statement: false, accounts: [] };
  const accounts = flows.filter(({ info }) => info.kind === "user").map(({ vault }) => vault);
  if (plan.law.role === "user") return nothing;
  if (purpose === "collect" || purpose === "top-up") {
    return { price: true, statement: true, accounts };
  }
  if (purpose === "escrow-out") return { price: accounts.length > 0, statement: true, accounts };
  if (purpose === "margin") return { ...nothing, statement: true };
  if (!["withdrawal", "channel-open", "escrow-in"].includes(purpose)) return nothing;
  const tier = purpose === "withdrawal" ? (plan.law.purposes[purpose]?.noProof ?? 0n) : 0n;
  return drawn(spend).some(({ sats }) => sats > tier)
    ? { price: true, statement: true, accounts }
    : nothing;
}

export function proofObjections(spend: Seen): readonly Objection[] {
  const wanted = wantedBy(spend);
  return [
    ...voteObjections(spend, wanted),
    ...statementObjections(spend, wanted),
    ...ownGuardian(spend, wanted),
    ...wanted.accounts.flatMap((vault) => accountObjections(spend.plan, vault)),
    ...claimsKept(spend, wanted),
    ...settled(spend, wanted),
    ...watching(spend, wanted),
    ...escrowCovers(spend),
    ...operationObjections(spend.plan),
  ];
}

const turn = ({ pool, index }: { pool: string; index: number }) => `${pool}/${index}`;

/** Votes signed by a guardian who is heard for the first time. */
function heardVotes({ evidence }: Plan) {
  const names = new Set<string>();
  return evidence.votes.filter(({ by, good }) => {
    const counts = good && !names.has(by);
    if (counts) names.add(by);
    return counts;
  });
}

function counted(plan: Plan) {
  const { law, intent } = plan;
  return heardVotes(plan).filter(
    (vote) =>
      vote.pool === law.guardians.pool &&
      turn(vote) === intent.cycle &&
      Math.abs(vote.age) <= law.guardians.voteAge,
  );
}

/** Lowest and highest accepted vote. */
function pricesOf(plan: Plan): { low: bigint; high: bigint } | null {
  const prices = counted(plan).map(({ price }) => price);
  if (prices.length < plan.law.guardians.threshold) return null;
  return { low: least(prices), high: most(prices) };
}

function voteObjections({ plan }: Seen, { price }: Wanted): readonly Objection[] {
  const { evidence, intent, law } = plan;
  if (!price) return [];
  const { cycle } = intent;
  if (cycle === null) return never("votes-agree", true);
  const heard = heardVotes(plan);
  const strange = evidence.votes.some((vote) => turn(vote) !== cycle);
  const known = heard.filter((vote) => turn(vote) === cycle).length;
  const few = counted(plan).length < law.guardians.threshold;
  const enough = known >= law.guardians.threshold;
  const prices = pricesOf(plan);
  const apart =
    prices !== null && prices.high - prices.low > (prices.low * law.guardians.spreadBps) / 10_000n;
  return [
    ...never(
      "votes-agree",
      cycle.split("/")[0] !== law.guardians.pool ||
        strange ||
        heard.length !== evidence.votes.length ||
        (few && !enough) ||
        apart,
    ),
    ...later("votes-agree", few && enough),
  ];
}

function signersOf({ evidence }: Plan): readonly string[] {
  const good = evidence.statement?.signers.filter((one) => one.good) ?? [];
  return [...new Set(good.map(({ by }) => by))];
}

function statementObjections({ plan }: Seen, wanted: Wanted): readonly Objection[] {
  const { evidence, law, chain } = plan;
  const { statement } = evidence;
  if (!wanted.statement) return [];
  if (statement === null) return never("statement-signed", true);
  const signers = signersOf(plan);
  const age = heightOf(plan) - statement.height;
  const vaults = statement.accounts.map(({ vault }) => vault);
  const wrong =
    statement.network !== "regtest" ||
    signers.length !== statement.signers.length ||
    signers.length < law.guardians.threshold ||
    new Set(vaults).size !== vaults.length ||
    statement.accounts.some(({ leaf }) => leaf === "forged");
  const stale = age < 0 || age > law.guardians.statementAge;
  return [
    ...never("statement-signed", wrong),
    ...later("statement-fresh", stale || (chain !== null && chain.block !== "same")),
  ];
}

/** Without the user a signer asks that its own house's guardian is in the threshold; else it waits. */
function ownGuardian({ plan }: Seen, wanted: Wanted): readonly Objection[] {
  const { law, intent } = plan;
  if (law.role === "user" || needsUser(intent.purpose)) return [];
  const own = (names: readonly string[]) => names.some((name) => law.guardians.own.includes(name));
  return later(
    "own-guardian",
    (wanted.price && !own(counted(plan).map(({ by }) => by))) ||
      (wanted.statement && !own(signersOf(plan))),
  );
}

function accountOf({ evidence }: Plan, vault: VaultName): Account | null {
  const found = evidence.statement?.accounts.find((one) => one.vault === vault);
  return found === undefined || found.leaf === "forged" ? null : found;
}

function accountObjections(plan: Plan, vault: VaultName): readonly Objection[] {
  const { history, evidence, intent, law } = plan;
  const account = accountOf(plan, vault);
  // Plans tell of a remembered account by the one that the statement brings.
  const brought = evidence.statement?.accounts.some((one) => one.vault === vault);
  const remembered = brought ? history.accounts.find((one) => one.vault === vault) : undefined;
  const used = remembered?.used ?? null;
  const index = evidence.statement?.index ?? 0;
  const alone = law.role !== "user" && !needsUser(intent.purpose);
  const again =
    used !== null && !(index > used.index || (index === used.index && used.by === "own"));
  return [
    ...never("account-proven", account === null || !explained(account, remembered?.sequence ?? 0)),
    ...never("statement-once", alone && again),
  ];
}

/** The account has one entry: either the signer remembers it, or the log brings it. */
function explained({ log }: Account, remembered: number): boolean {
  if (remembered > 1) return false;
  return remembered === 1 ? log === "none" : log === "whole";
}

const BITCOIN = 100_000_000n;
const floor = ({ hedgedCents, idleSats }: Account, price: bigint) =>
  (hedgedCents * BITCOIN) / price + idleSats;
const ceil = ({ hedgedCents, idleSats }: Account, price: bigint) =>
  (hedgedCents * BITCOIN + price - 1n) / price + idleSats;

/** Nobody takes more than is owed, nor leaves less than is owed. */
function claimsKept(spend: Seen, wanted: Wanted): readonly Objection[] {
  const { plan, flows, paper, inputs } = spend;
  const { purpose } = plan.intent;
  const prices = pricesOf(plan);
  const taken = drawn(spend).some(({ vault, sats }) => {
    const account = accountOf(plan, vault);
    if (!wanted.price || prices === null || account === null) return false;
    return drawnSince(plan, vault) + sats > floor(account, prices.high);
  });
  const collects =
    purpose === "collect" && plan.law.role !== "user"
      ? flows.filter(({ info, inputs: coins }) => info.kind === "user" && coins > 0)
      : [];
  const strange = (account: Account, vault: VaultName) =>
    paper.inputs.some(
      ({ coin }, i) => inputs[i]?.place?.vault === vault && !account.credited.includes(coin),
    );
  return [
    ...never("within-claim", taken),
    ...collects.flatMap(({ vault, inSats, outSats }) => {
      const account = accountOf(plan, vault);
      const bare = never("collect-gives-nothing", outSats > inSats);
      if (account === null) return bare;
      return [
        ...bare,
        ...never("collect-leaves-claim", prices !== null && outSats < ceil(account, prices.low)),
        ...never("collect-credited-coins", strange(account, vault)),
        ...never("collect-without-deficit", account.deficitSince !== 0),
      ];
    }),
    ...deficits(spend),
  ];
}

function deficits({ plan, flows }: Seen): readonly Objection[] {
  const { purpose } = plan.intent;
  const prices = pricesOf(plan);
  if ((purpose !== "top-up" && purpose !== "escrow-out") || prices === null) return [];
  return flows.flatMap((flow) => {
    const account = accountOf(plan, flow.vault);
    const have = holdings(plan, flow.vault);
    if (flow.info.kind !== "user" || gain(flow) === 0n || account === null || have === null) {
      return [];
    }
    const lacks = floor(account, prices.high) - drawnSince(plan, flow.vault) - have;
    return never("within-deficit", gain(flow) > positive(lacks));
  });
}

function watchedCoins({ coins, chain }: Plan, vault: VaultName) {
  if (chain === null || !chain.watched.includes(vault)) return null;
  return [...coins].flatMap(([name, { at, node }]) =>
    "vault" in at && at.vault === vault && node !== null ? [{ name, ...node }] : [],
  );
}

const txOf = (coin: string) => coin.split("#")[0] ?? coin;

/** What a vault has, and what others' transactions that were signed here will still pay it. */
function holdings(plan: Plan, vault: VaultName): bigint | null {
  const { history, chain, evidence } = plan;
  const coins = watchedCoins(plan, vault);
  if (coins === null || chain === null) return null;
  const own = history.claims.filter(({ intent }) => intent === "own").map(({ tx }) => tx);
  const there = coins.filter(({ name }) => !own.includes(txOf(name)));
  const others = history.claims.filter(({ intent }) => intent !== "own");
  const spent = new Set(others.flatMap((claim) => claim.coins));
  const coming = new Map<string, bigint>();
  const arrived = new Set<string>();
  for (const { intent, places } of others) {
    for (const place of places) {
      if (place.vault !== vault || !place.gained || spent.has(place.coin)) continue;
      const burial = chain.burials.find(({ tx }) => tx === txOf(place.coin));
      const counted_ =
        burial !== undefined &&
        evidence.statement !== null &&
        chain.height - burial.depth + 1 <= evidence.statement.height;
      if (counted_ || there.some(({ name }) => name === place.coin)) arrived.add(intent);
      coming.set(intent, most([coming.get(intent) ?? 0n, place.sats]));
    }
  }
  const expected = [...coming].flatMap(([intent, sats]) => (arrived.has(intent) ? [] : sats));
  return sum([...there.map(({ sats }) => sats), ...expected]);
}

/** While a credited coin is spent or in flight the statement tells of a vault that is no more. */
function settled(spend: Seen, { accounts }: Wanted): readonly Objection[] {
  const { plan } = spend;
  if (!["collect", "top-up", "escrow-out"].includes(plan.intent.purpose)) return [];
  const flying = inFlight(spend);
  return accounts.flatMap((vault) => {
    const account = accountOf(plan, vault);
    const coins = watchedCoins(plan, vault);
    if (account === null || coins === null) return [];
    const names = coins.map(({ name }) => name);
    return later(
      "accounts-settled",
      account.credited.some((coin) => !names.includes(coin) || flying.has(coin)),
    );
  });
}

function watching({ plan, flows }: Seen, { accounts }: Wanted): readonly Objection[] {
  const { intent, chain, law } = plan;
  if (chain === null || law.role === "user") return [];
  const escrow = flows.filter(({ info }) => info.kind !== "treasury").map(({ vault }) => vault);
  const asked: Readonly<Record<string, readonly VaultName[]>> = {
    collect: accounts,
    "top-up": accounts,
    "escrow-out": escrow,
  };
  return later(
    "vault-coins-known",
    (asked[intent.purpose] ?? []).some((vault) => !chain.watched.includes(vault)),
  );
}

/** What stays in escrow, of what the statement's block knew, covers all that the pool owes. */
function escrowCovers(spend: Seen): readonly Objection[] {
  const { plan, flows, paper } = spend;
  const { statement } = plan.evidence;
  if (plan.intent.purpose !== "escrow-out" || statement === null) return [];
  const msats = sum(statement.accounts.map(({ poolMsats }) => poolMsats)) + OTHERS_POOL_MSATS;
  const owed = (msats + 999n) / 1_000n;
  const flying = inFlight(spend);
  const own = paper.inputs.map(({ coin }) => coin);
  return flows
    .filter(({ info }) => info.kind === "escrow")
    .flatMap(({ vault, inSats, outSats }) => {
      const coins = watchedCoins(plan, vault);
      if (coins === null) return [];
      const kept = coins.filter(
        ({ name, height }) =>
          height > 0 && height <= statement.height && (own.includes(name) || !flying.has(name)),
      );
      return never(
        "escrow-covers-pool",
        sum(kept.map(({ sats }) => sats)) - inSats + outSats < owed,
      );
    });
}

/** By the vault's key, or within the cap of the key that it has named; each number for one spend. */
function operationObjections(plan: Plan): readonly Objection[] {
  const { evidence, history } = plan;
  const seen = new Set<string>();
  return evidence.operations.flatMap(({ vault, number, sats, by, good }) => {
    const key = `${vault} ${number}`;
    const twice = seen.has(key);
    seen.add(key);
    // Beside anything else an operation does nothing, and is not used up.
    const operated = ["escrow-in", "escrow-out"].includes(plan.intent.purpose);
    const used =
      operated &&
      history.claims.some(
        ({ intent, nonces }) =>
          intent !== "own" &&
          nonces.some(
            (nonce) =>
              nonce.kind === "operation" && nonce.vault === vault && nonce.number === number,
          ),
      );
    const delegate = by === "delegate" ? delegateOf(plan, vault) : null;
    const allowed =
      by === "vault" ||
      (delegate !== null && delegate.until >= heightOf(plan) && sats <= delegate.sats);
    const known = plan.registered.includes(vault);
    return never("operation-authorised", !good || !known || twice || used || !allowed);
  });
}
