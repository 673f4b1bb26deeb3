/** Bends of the policy, its bounds moved to the very figures of the spend, and of the intent. */
import {
  anyOf,
  atMost,
  type Bend,
  cap,
  capNumber,
  floor,
  payeeOutputs,
  spentCoins,
} from "./bend.ts";
import type { Draft } from "./honest-parts.ts";
import { least, loss, most, positive, seen, sum } from "./model-spend.ts";
import {
  addressKey,
  isPlace,
  type Law,
  type Limits,
  PURPOSES,
  type Purpose,
  type Role,
  VAULT_NAMES,
} from "./plan.ts";

/** Purposes whose policy may list destinations and bound each: those that pay somebody. */
const LISTING: readonly Purpose[] = ["withdrawal", "margin", "recovery-lsp-gone"];

/** The limits of the purpose, if its section has any; a proof of reserves has none. */
export function limitsOf({ plan }: Draft, listing = false): Limits | null {
  const { purpose } = plan.intent;
  if (purpose === "proof-of-reserves" || (listing && !LISTING.includes(purpose))) return null;
  return plan.law.purposes[purpose] ?? null;
}

/** Moves a limit of the purpose. */
const limit =
  (change: (limits: Limits, draft: Draft) => void, listing = false): Bend =>
  (draft) => {
    const limits = limitsOf(draft, listing);
    if (limits === null) return false;
    change(limits, draft);
    return true;
  };

const law =
  (change: (law: Law, draft: Draft) => void): Bend =>
  (draft) => {
    change(draft.plan.law, draft);
    return true;
  };

/** Scripts that no address stands for. */
const NAMELESS: readonly string[] = ["op-return", "anchor", "bare", "future", "no-point"];

/** No policy takes a higher fee rate, in millisats per virtual byte. */
const RATE_MAX = 100_000_000n;

const feeOf = ({ plan }: Draft) => positive(seen(plan).fee ?? 0n);
const hours = ({ draw }: Draft) => draw.pick([1, 24, 168]);

export const LAW_BENDS: Readonly<Record<string, Bend>> = {
  "fee cap": law((all, draft) => {
    all.feeSats = cap(draft, feeOf(draft));
  }),
  "highest fee rate": law((all, draft) => {
    const { vbytes } = seen(draft.plan);
    const rate = cap(draft, (feeOf(draft) * 1_000n) / vbytes);
    all.rateMax = least([most([rate, all.rateMin]), RATE_MAX]);
  }),
  "least fee rate": law((all, draft) => {
    const { vbytes } = seen(draft.plan);
    const rate = floor(draft, (feeOf(draft) * 1_000n) / vbytes);
    all.rateMin = least([rate, all.rateMax]);
  }),
  "fee share": law((all, draft) => {
    const { moved } = seen(draft.plan);
    const bps = moved === 0n ? 1_000n : (feeOf(draft) * 10_000n + moved - 1n) / moved;
    all.shareBps = least([cap(draft, bps), 10_000n]);
  }),
  "fee window": law((all, draft) => {
    all.feeWindows.push({ hours: hours(draft), sats: cap(draft, feeOf(draft)) });
  }),
  "sats a spend": limit((limits, draft) => {
    limits.perSpend = cap(draft, seen(draft.plan).moved);
  }),
  window: limit((limits, draft) => {
    const sats = cap(draft, seen(draft.plan).moved + feeOf(draft));
    limits.windows.push({ hours: hours(draft), sats });
  }),
  "window of a vault": limit((limits, draft) => {
    const losses = seen(draft.plan).flows.map(loss);
    limits.vaultWindows.push({ hours: hours(draft), sats: cap(draft, sum(losses)) });
  }),
  "window of a destination": (draft) => {
    const output = anyOf(draft, payeeOutputs(draft.plan));
    const limits = limitsOf(draft, true);
    if (output === null || limits === null) return false;
    limits.destinationWindows.push({ hours: hours(draft), sats: cap(draft, output.sats) });
    return true;
  },
  "list of destinations": limit((limits, draft) => {
    const { draw, plan } = draft;
    const all = payeeOutputs(plan).map(({ to }) => to);
    const kept = draw.chance(0.7) ? all : all.slice(1);
    limits.destinations = [
      ...kept.map((to) => ({
        to,
        vault: draw.pick([null, null, plan.intent.vault, "other" as const]),
      })),
      { to: { pay: "p2wpkh" as const, n: 8 }, vault: null },
    ].filter(({ to }) => isPlace(to) || !NAMELESS.includes(to.pay));
  }, true),
  "tier without proof": limit((limits, draft) => {
    const { plan } = draft;
    const left = plan.intent.outputs.reduce((all, { sats }) => all + sats, feeOf(draft));
    limits.noProof = cap(draft, left);
  }),
  "tier of approvals": limit((limits, draft) => {
    const people = draft.draw.pick([1, 2, 3]);
    const moved = seen(draft.plan).moved;
    limits.tiers = [
      { above: floor(draft, moved), people },
      { above: atMost(moved * 2n + 5n), people: 3 },
    ];
  }),
  "number of inputs": law((all, draft) => {
    all.inputs = Math.min(250, Math.max(1, capNumber(draft, draft.plan.paper.inputs.length)));
  }),
  "number of outputs": law((all, draft) => {
    all.outputs = Math.min(250, Math.max(1, capNumber(draft, draft.plan.paper.outputs.length)));
  }),
  "one policy a device": law((all) => {
    all.onePolicy = true;
  }),
  confirmations: law((all, draft) => {
    const coin = anyOf(draft, spentCoins(draft.plan));
    const depth = (draft.plan.chain?.height ?? 0) - (coin?.node?.height ?? 0) + 1;
    all.confirmations = Math.min(
      1_000,
      Math.max(0, Number(floor(draft, BigInt(Math.max(0, depth))))),
    );
  }),
  "locktime span": law((all, draft) => {
    const height = draft.plan.chain?.height ?? 0;
    const behind = Math.max(0, height - draft.plan.paper.locktime);
    all.past = Math.min(1_008, capNumber(draft, behind));
    all.future = draft.draw.pick([0, 1, 2, 10]);
  }),
  gap: law((all, draft) => {
    const indices = draft.plan.paper.outputs.flatMap(({ to }) => (isPlace(to) ? to.index : []));
    all.gap = Math.min(1_000, Math.max(1, capNumber(draft, Math.max(0, ...indices) + 1)));
  }),
  "purpose not named": ({ plan }) => {
    delete plan.law.purposes[plan.intent.purpose];
    return Object.keys(plan.law.purposes).length > 0;
  },
  "another role": law((all, { draw }) => {
    all.role = draw.pick<Role>(["user", "lsp", "trustee", "second-trustee"]);
  }),
  "threshold of guardians": law(({ guardians }, { draw }) => {
    guardians.threshold = draw.pick([1, 2, 3, 4]);
  }),
  "age of votes": law(({ guardians }, draft) => {
    const age = Math.max(0, ...draft.plan.evidence.votes.map((vote) => Math.abs(vote.age)));
    guardians.voteAge = Math.max(1, capNumber(draft, age));
  }),
  "spread of votes": law(({ guardians }, draft) => {
    const prices = draft.plan.evidence.votes.map(({ price }) => price);
    const low = least(prices);
    const apart = (most(prices) - low) * 10_000n;
    guardians.spreadBps = cap(draft, low === 0n ? 0n : (apart + low - 1n) / low);
  }),
  "age of the statement": law(({ guardians }, draft) => {
    const { chain, evidence } = draft.plan;
    const age = (chain?.height ?? 0) - (evidence.statement?.height ?? 0);
    guardians.statementAge = Math.min(4_320, Math.max(1, capNumber(draft, Math.max(0, age))));
  }),
  "own guardians": law(({ guardians }, { draw }) => {
    guardians.own = [...draw.some(["own", "second", "third", "fourth"], 1 + draw.below(2))];
  }),
  "another pool": law(({ guardians }, { draw }) => {
    guardians.pool = draw.pick(["usd", "eur"]);
  }),
  "another house": law(({ house }, { draw }) => {
    house.treasury = draw.pick(["false", "treasury"]);
    house.node = draw.pick(["lsp-node", "other-node", "lsp-node"]);
  }),
  bumps: law((all, { draw }) => {
    all.bumps = draw.pick([0, 1, 2]);
  }),
  burial: law((all, { draw }) => {
    all.burial = draw.pick([6, 20, 100]);
  }),
  "least coins of a consolidation": limit((limits, draft) => {
    const coins = draft.plan.paper.inputs.length;
    limits.inputsMin = Math.max(2, Number(floor(draft, BigInt(coins))));
  }),
  "fee rate of a consolidation": limit((limits, draft) => {
    const { vbytes } = seen(draft.plan);
    limits.rateMax = least([cap(draft, (feeOf(draft) * 1_000n) / vbytes), RATE_MAX]);
  }),
  "delay of a recovery": limit((limits, draft) => {
    const { plan } = draft;
    const heard = plan.history.notices.find(
      ({ kind }) => kind === "lsp-gone" || kind === "user-lost",
    );
    const least = plan.intent.purpose === "recovery-user-lost" ? 4_320 : 1;
    const waited = (plan.chain?.height ?? 0) - (heard?.height ?? 0);
    limits.delay = Math.max(least, Number(floor(draft, BigInt(Math.max(0, waited)))));
  }),
};

export const INTENT_BENDS: Readonly<Record<string, Bend>> = {
  "another label": ({ draw, plan }) => {
    plan.intent.purpose = draw.pick(PURPOSES);
    return true;
  },
  "another network": ({ plan }) => {
    plan.intent.network = "testnet";
    return true;
  },
  "another vault named": ({ draw, plan }) => {
    plan.intent.vault = draw.pick(VAULT_NAMES);
    return true;
  },
  "party more": ({ draw, plan }) => {
    plan.intent.parties.push(draw.pick(VAULT_NAMES));
    return plan.intent.parties.length < 3;
  },
  "party less": ({ plan }) => plan.intent.parties.pop() !== undefined,
  "another party": ({ draw, plan }) => {
    if (plan.intent.parties.length === 0) return false;
    plan.intent.parties[0] = draw.pick(VAULT_NAMES);
    return true;
  },
  "another turn": ({ draw, plan }) => {
    if (plan.intent.cycle === null) return false;
    plan.intent.cycle = draw.pick([null, "usd/4710", "eur/4711"]);
    return true;
  },
  "turn named for nothing": ({ plan }) => {
    if (plan.intent.cycle !== null) return false;
    plan.intent.cycle = "usd/4711";
    return true;
  },
  "a proposer": ({ draw, plan }) => {
    plan.intent.proposer = draw.pick(["anna", "bert", "orchestrator"]);
    return true;
  },
  "intent a sat off": (draft) => {
    const output = anyOf(draft, draft.plan.intent.outputs);
    if (output === null) return false;
    output.sats += draft.draw.pick([1n, -1n]);
    return true;
  },
  "intent with a payment more": ({ plan }) => {
    plan.intent.outputs.push({ to: { pay: "p2wpkh", n: 5 }, sats: 700n });
    return true;
  },
  "payments merged in the intent": ({ plan }) => {
    const [one, other] = plan.intent.outputs;
    if (one === undefined || other === undefined) return false;
    if (addressKey(one.to) !== addressKey(other.to)) return false;
    one.sats += other.sats;
    plan.intent.outputs.splice(1, 1);
    return true;
  },
  "vault not registered": ({ draw, plan }) => {
    const named = [plan.intent.vault, ...plan.intent.parties, ...VAULT_NAMES];
    const gone = draw.pick(named);
    plan.registered = plan.registered.filter((name) => name !== gone);
    return true;
  },
  "takes something back": ({ plan }) => {
    plan.intent.cancels = plan.intent.cancels === null ? "cancelled" : null;
    return true;
  },
};
