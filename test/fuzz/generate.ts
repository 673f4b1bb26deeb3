/**
 * Honest spends of six kinds and what may be bent in them. Every draw comes from one seeded generator,
 * so that a case is found again by its seed. Bounds of the policy are moved to the very figures of the
 * spend, one below and one above, so that about as many bends stay lawful as do not.
 */
import type { Input, Lie, Output, Plan, Policy, Purpose } from "./plan.ts";

export interface Dice {
  /** A whole number from 0 up to, not including, `below`. */
  readonly below: (below: number) => number;
  readonly pick: <Item>(items: readonly Item[]) => Item;
}

/** Mulberry32: small, fast, and the same everywhere. */
function dice(seed: number): Dice {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
  const below = (most: number) => Math.floor(next() * most);
  return {
    below,
    pick: (items) => {
      const item = items[below(items.length)];
      if (item === undefined) throw new Error("nothing to pick from");
      return item;
    },
  };
}

const PURPOSES: readonly Purpose[] = [
  "withdrawal",
  "claim",
  "migration",
  "consolidation",
  "collect",
  "top-up",
];

const HEIGHT = 1_000;

const POLICY: Policy = {
  confirmations: 3,
  inputs: 100,
  outputs: 20,
  past: 144,
  future: 2,
  gap: 20,
  feeSats: 100_000n,
  rateMin: 1_000n,
  rateMax: 50_000n,
  shareBps: 1_000n,
  feeWindow: { hours: 24, sats: 1_000_000n },
  perSpend: 50_000_000n,
  window: { hours: 24, sats: 100_000_000n },
  vaultWindow: null,
  destinationWindow: null,
  payees: null,
  named: true,
  tier: null,
  noProofSats: 500_000n,
  coinsMin: 5,
  rateMaxUpkeep: 10_000n,
  voteAge: 60,
  spreadBps: 100n,
  statementAge: 12,
};

function input(part: Partial<Input> & Pick<Input, "index" | "sats">): Input {
  return {
    owner: "user",
    branch: 0,
    node: { sats: part.sats, height: HEIGHT - 10, coinbase: false },
    signature: "valid",
    sighash: null,
    sequence: 0xfffffffd,
    lie: null,
    ...part,
  };
}

function output(part: Partial<Output> & Pick<Output, "to" | "sats">): Output {
  return { branch: 1, index: 3, payee: 0, ...part };
}

function honestPlan(purpose: Purpose, roll: Dice): Plan {
  const fee = BigInt(2_000 + roll.below(3_000));
  const base: Omit<Plan, "inputs" | "outputs"> = {
    purpose,
    role: roll.pick(purpose === "migration" ? ["lsp"] : (["lsp", "trustee"] as const)),
    version: 2,
    locktime: HEIGHT,
    intent: { network: "regtest", label: null, paysMore: 0n },
    policy: structuredClone(POLICY),
    paused: false,
    past: [],
    height: HEIGHT,
    mandate: {
      may: ["collect", "top-up", "consolidation", "cancel"],
      sats30d: 5_000_000n,
      fees30d: 50_000n,
      until: HEIGHT + 1_000,
      revoked: false,
      treasury: "treasury",
    },
    proof: {
      prices: [9_990_000n, 10_000_000n, 10_010_000n],
      voteAge: 10,
      voters: [0, 1, 2],
      cycle: "named",
      signers: [0, 1, 2],
      statementAge: 6,
      hedgedCents: 200_000n,
      idleSats: 100_000n,
      deficitSince: 0,
      credited: true,
      drawn: 0n,
      holds: 1_600_000n,
      sameBlock: true,
    },
    approvals: 0,
  };
  const amount = BigInt(100_000 + roll.below(1_900_000));
  const change = BigInt(400 + roll.below(3_000_000));
  const coins = (outputs: readonly Output[], count: number, part: Partial<Input> = {}) => {
    const all = outputs.reduce((sum, { sats }) => sum + sats, fee);
    const each = all / BigInt(count);
    return Array.from({ length: count }, (_, index) =>
      input({ index, sats: index === 0 ? all - each * BigInt(count - 1) : each, ...part }),
    );
  };
  const unsigned = { signature: "none" } as const;
  switch (purpose) {
    case "withdrawal":
    case "claim": {
      const payees = Array.from({ length: 1 + roll.below(2) }, (_, payee) =>
        output({ to: "payee", payee, sats: amount + BigInt(payee) }),
      );
      const own =
        payees.length === 1 ? payees : payees.map((one) => ({ ...one, sats: one.sats / 2n }));
      const outputs = roll.below(3) === 0 ? own : [...own, output({ to: "user", sats: change })];
      return { ...base, outputs, inputs: coins(outputs, 1 + roll.below(3)) };
    }
    case "migration": {
      const outputs = [output({ to: "other", branch: roll.pick([0, 1] as const), sats: amount })];
      return { ...base, outputs, inputs: coins(outputs, 1 + roll.below(3)) };
    }
    case "consolidation": {
      const outputs = [output({ to: "user", sats: amount })];
      return { ...base, outputs, inputs: coins(outputs, 5 + roll.below(2), unsigned) };
    }
    case "collect": {
      const outputs = [
        output({ to: "treasury", branch: 0, sats: 50_000n + amount / 4n }),
        output({ to: "user", sats: 2_102_003n + BigInt(roll.below(1_000)) }),
      ];
      return { ...base, outputs, inputs: coins(outputs, 1 + roll.below(2), unsigned) };
    }
    case "top-up": {
      const outputs = [
        output({ to: "user", sats: 100_000n + BigInt(roll.below(398_000)) }),
        output({ to: "treasury", sats: change }),
      ];
      return {
        ...base,
        outputs,
        inputs: coins(outputs, 1 + roll.below(2), { ...unsigned, owner: "treasury" }),
      };
    }
    default:
      throw new Error(`no honest ${purpose satisfies never}`);
  }
}

type Mutation = (plan: Plan, roll: Dice) => void;

const sum = (items: readonly { sats: bigint }[]) => items.reduce((all, { sats }) => all + sats, 0n);
const fee = ({ inputs, outputs }: Plan) => sum(inputs) - sum(outputs);
const around = (roll: Dice) => BigInt(roll.below(4) - 1);
const atLeastNone = (value: bigint) => (value < 0n ? 0n : value);
const paid = ({ outputs }: Plan) => sum(outputs.filter(({ to }) => to === "payee"));
const own: Readonly<Record<Purpose, string>> = {
  withdrawal: "user",
  claim: "user",
  migration: "user",
  consolidation: "user",
  collect: "user",
  "top-up": "treasury",
};
/** What changes hands, as nearly as a generator needs it. */
const moved = (plan: Plan) => sum(plan.outputs.filter(({ to }) => to !== own[plan.purpose]));

function anyInput(change: (input: Input, roll: Dice, plan: Plan) => void): Mutation {
  return (plan, roll) => {
    if (plan.inputs.length > 0) change(roll.pick(plan.inputs), roll, plan);
  };
}

function anyOutput(change: (output: Output, roll: Dice, plan: Plan) => void): Mutation {
  return (plan, roll) => {
    if (plan.outputs.length > 0) change(roll.pick(plan.outputs), roll, plan);
  };
}

function past(plan: Plan, part: Partial<Plan["past"][number]>): void {
  plan.past.push({
    ...{ msAgo: 3_600_000, blocksAgo: 6, sats: 1_000n, feeSats: 10n, payee: 0, vault: "user" },
    ...{ coin: null, own: false, index: null },
    ...part,
  });
}

/** By name, so that a disagreement says what was done. */
export const MUTATIONS: Readonly<Record<string, Mutation>> = {
  "fee cap at the fee": (plan, roll) => {
    plan.policy.feeSats = atLeastNone(fee(plan) + around(roll));
  },
  "fee budget at the fee": (plan, roll) => {
    plan.policy.feeWindow.sats = atLeastNone(fee(plan) + around(roll));
  },
  "fee share near the fee": (plan, roll) => {
    const all = moved(plan);
    if (all > 0n) {
      const share = (fee(plan) * 10_000n) / all + around(roll);
      plan.policy.shareBps = share < 0n ? 0n : share > 10_000n ? 10_000n : share;
    }
  },
  "rate cap near the rate": (plan, roll) => {
    const most = 5_000n + BigInt(roll.below(20_000));
    // A policy whose bounds cross is none.
    if (most >= plan.policy.rateMin) plan.policy.rateMax = most;
  },
  "rate floor near the rate": (plan, roll) => {
    const least = 1_000n + BigInt(roll.below(20_000));
    if (least <= plan.policy.rateMax) plan.policy.rateMin = least;
  },
  "more fee": anyInput((one) => {
    one.sats += 3_000n;
    if (one.node !== null) one.node.sats += 3_000n;
  }),
  "a sat more out": anyOutput((one) => {
    one.sats += 1n;
  }),
  "a sat less out": anyOutput((one) => {
    one.sats -= 1n;
  }),
  "much more out": anyOutput((one) => {
    one.sats += 60_000_000n;
  }),
  "spend limit at the amount": (plan, roll) => {
    plan.policy.perSpend = atLeastNone(moved(plan) + around(roll));
  },
  "window at the amount": (plan, roll) => {
    plan.policy.window = {
      hours: roll.pick([1, 24]),
      sats: atLeastNone(moved(plan) + fee(plan) + around(roll)),
    };
  },
  "window with what left before": (plan, roll) => {
    const hours = roll.pick([1, 24]);
    past(plan, {
      msAgo: hours * 3_600_000 + roll.below(3) - 1,
      blocksAgo: hours * 6 + roll.below(3) - 1,
      sats: 10_000n,
    });
    const sats = atLeastNone(moved(plan) + fee(plan) + 10_010n + around(roll));
    plan.policy.window = { hours, sats };
  },
  "fee budget with what left before": (plan, roll) => {
    past(plan, { msAgo: 86_400_000 + roll.below(3) - 1, blocksAgo: 144 + roll.below(3) - 1 });
    plan.policy.feeWindow = { hours: 24, sats: atLeastNone(fee(plan) + 10n + around(roll)) };
  },
  "vault window": (plan, roll) => {
    past(plan, { vault: roll.pick(["user", "other"] as const), sats: 5_000n });
    plan.policy.vaultWindow = {
      hours: 24,
      sats: atLeastNone(moved(plan) + fee(plan) + roll.pick([0n, 5_010n]) + around(roll)),
    };
  },
  "destination window": (plan, roll) => {
    if (plan.purpose !== "withdrawal" && plan.purpose !== "claim") return;
    past(plan, { payee: roll.below(2), sats: 5_000n });
    plan.policy.destinationWindow = {
      hours: 24,
      sats: atLeastNone(paid(plan) + 5_000n + around(roll)),
    };
  },
  "allow-list": (plan, roll) => {
    if (plan.purpose === "withdrawal" || plan.purpose === "claim") {
      plan.policy.payees = roll.pick([[0], [1], [0, 1], [0, 1, 2]]);
    }
  },
  "tier of approvals": (plan, roll) => {
    plan.policy.tier = {
      above: atLeastNone(moved(plan) + around(roll)),
      people: 1 + roll.below(3),
    };
    plan.approvals = roll.below(4);
  },
  "approvals that nobody asked for": (plan) => {
    plan.approvals = 2;
  },
  "purpose not named": (plan) => {
    plan.policy.named = false;
  },
  "cap on inputs": (plan, roll) => {
    plan.policy.inputs = Math.max(1, plan.inputs.length + roll.below(3) - 1);
  },
  "cap on outputs": (plan, roll) => {
    plan.policy.outputs = Math.max(1, plan.outputs.length + roll.below(3) - 1);
  },
  locktime: (plan, roll) => {
    plan.locktime = HEIGHT + roll.pick([-145, -144, -143, 0, 1, 2, 3]);
  },
  "locktime window": (plan, roll) => {
    plan.policy.past = roll.below(3);
    plan.locktime = HEIGHT - roll.below(3);
  },
  version: (plan, roll) => {
    plan.version = roll.pick([1, 2, 3]);
  },
  sequence: anyInput((one, roll) => {
    one.sequence = roll.pick([0xfffffffd, 0xfffffffe, 0xffffffff, 10]);
  }),
  sighash: anyInput((one, roll) => {
    one.sighash = roll.pick([0, 0, 1, 2, 3, 0x81]);
  }),
  "a lie": anyInput((one, roll) => {
    one.lie = roll.pick<Lie>([
      ...(["internal-key", "merkle-root", "fingerprint", "leaf", "key-path", "final"] as const),
    ]);
  }),
  "signature missing": anyInput((one) => {
    one.signature = "none";
  }),
  "signature broken": (plan, roll) => {
    if (plan.inputs.every(({ owner }) => owner === "user")) {
      anyInput((one) => {
        one.signature = "broken";
      })(plan, roll);
    }
  },
  "the user has signed": (plan) => {
    for (const one of plan.inputs) if (one.owner === "user") one.signature = "valid";
  },
  "a coin of another vault": (plan, roll) => {
    if (plan.inputs.length > 1) roll.pick(plan.inputs).owner = "other";
  },
  "a stranger's coin": (plan, roll) => {
    const one = roll.pick(plan.inputs);
    if (one.lie === null) one.owner = "stranger";
  },
  "a coin unknown to the node": anyInput((one) => {
    one.node = null;
  }),
  "a coin of another amount on the node": anyInput((one, roll) => {
    if (one.node !== null) one.node.sats += around(roll);
  }),
  "depth of a coin": anyInput((one, roll) => {
    if (one.node !== null) one.node.height = roll.pick([0, 997, 998, 999, 1_000]);
  }),
  "a coinbase": anyInput((one, roll) => {
    if (one.node !== null) one.node = { ...one.node, coinbase: true, height: 900 + roll.below(4) };
  }),
  confirmations: (plan, roll) => {
    plan.policy.confirmations = 9 + roll.below(4);
  },
  "no node": (plan) => {
    plan.height = null;
  },
  paused: (plan) => {
    plan.paused = true;
  },
  "a coin signed away": (plan, roll) => {
    past(plan, { coin: roll.below(plan.inputs.length), sats: 1n, feeSats: 0n });
  },
  "this intent signed before": (plan) => {
    past(plan, { coin: 0, own: true, sats: 1n, feeSats: 0n });
  },
  "a payment to data": anyOutput((one) => {
    if (one.to === "payee") one.to = "data";
  }),
  "a payment to a future script": anyOutput((one) => {
    if (one.to === "payee") one.to = "future";
  }),
  "another payee": anyOutput((one) => {
    if (one.to === "payee") one.payee = 2;
  }),
  "an output to another vault": anyOutput((one, roll) => {
    one.to = roll.pick(["user", "other", "treasury"] as const);
    one.index = 7;
  }),
  "an output that is dust": anyOutput((one, roll) => {
    one.sats = roll.pick([0n, 293n, 294n, 329n, 330n]);
  }),
  "an output off its branch": anyOutput((one) => {
    one.branch = 0;
    one.index = 9;
  }),
  "an output on a far index": anyOutput((one, roll) => {
    one.index = 18 + roll.below(4);
  }),
  "an output on a far index, and earlier change": (plan, roll) => {
    past(plan, { index: roll.below(4) });
    anyOutput((one) => {
      one.index = 19 + roll.below(6);
    })(plan, roll);
  },
  "an output on an address spent from": anyOutput((one, _, plan) => {
    const [first] = plan.inputs;
    if (first !== undefined && one.to === first.owner) {
      first.branch = one.branch;
      first.index = one.index;
    }
  }),
  "an output twice": anyOutput((one, _, plan) => {
    const half = one.sats / 2n;
    one.sats -= half;
    plan.outputs.push({ ...one, sats: half, index: one.index + 1 });
  }),
  "an output less": (plan, roll) => {
    if (plan.outputs.length > 1) plan.outputs.splice(roll.below(plan.outputs.length), 1);
  },
  "the intent says another amount": (plan, roll) => {
    if (plan.outputs[0]?.to === "payee") plan.intent.paysMore = roll.pick([-1n, 1n]);
  },
  "the intent is for another network": (plan) => {
    plan.intent.network = "testnet";
  },
  "votes: age": (plan, roll) => {
    plan.proof.voteAge = roll.pick([-61, -60, 0, 59, 60, 61]);
  },
  "votes: spread": (plan, roll) => {
    const high = 10_100_000n + around(roll);
    plan.proof.prices = [10_000_000n, 10_000_000n, high];
  },
  "votes: who": (plan, roll) => {
    plan.proof.voters = roll.pick([
      [0, 1],
      [1, 2, 3],
      [0, 1, 3],
      [0, 2],
    ]);
  },
  "votes: turn": (plan, roll) => {
    plan.proof.cycle = roll.pick(["other", "none"] as const);
  },
  "statement: age": (plan, roll) => {
    plan.proof.statementAge = roll.pick([-1, 0, 11, 12, 13]);
  },
  "statement: who": (plan, roll) => {
    plan.proof.signers = roll.pick([
      [0, 1],
      [1, 2, 3],
      [0, 1, 2, 3],
      [0, 2],
    ]);
  },
  "statement: another block": (plan) => {
    plan.proof.sameBlock = false;
  },
  "claim at what is drawn": (plan, roll) => {
    if (plan.purpose !== "claim") return;
    plan.proof.hedgedCents = 0n;
    plan.proof.idleSats = atLeastNone(paid(plan) + fee(plan) + around(roll));
  },
  "drawn before": (plan, roll) => {
    plan.proof.drawn = BigInt(1 + roll.below(200_000));
  },
  "no-proof tier at what is drawn": (plan, roll) => {
    if (plan.purpose === "claim") {
      const tier = paid(plan) + fee(plan) + around(roll);
      plan.policy.noProofSats = tier < 1n ? 1n : tier;
    }
  },
  "claim of the vault": (plan, roll) => {
    plan.proof.hedgedCents = 199_999n + BigInt(roll.below(3));
  },
  "claim at what returns": (plan, roll) => {
    if (plan.purpose !== "collect") return;
    plan.proof.hedgedCents = 0n;
    const back = sum(plan.outputs.filter(({ to }) => to === "user"));
    plan.proof.idleSats = atLeastNone(back + around(roll));
  },
  deficit: (plan, roll) => {
    plan.proof.deficitSince = roll.pick([0, 900]);
  },
  "coins not credited": (plan) => {
    if (plan.purpose !== "top-up") plan.proof.credited = false;
  },
  "vault holds more": (plan, roll) => {
    if (plan.purpose !== "top-up") return;
    const out = sum(plan.outputs.filter(({ to }) => to === "user"));
    plan.proof.holds = atLeastNone(2_098_001n - out + around(roll));
  },
  "mandate missing": (plan) => {
    plan.mandate = null;
  },
  "mandate: end": (plan, roll) => {
    if (plan.mandate !== null) plan.mandate.until = HEIGHT + roll.below(3) - 1;
  },
  "mandate: purposes": (plan, roll) => {
    if (plan.mandate !== null) {
      plan.mandate.may = roll.pick([[], ["collect"], ["top-up"], ["consolidation", "cancel"]]);
    }
  },
  "mandate: revoked": (plan) => {
    if (plan.mandate !== null) plan.mandate.revoked = true;
  },
  "mandate: treasury": (plan) => {
    if (plan.mandate !== null) plan.mandate.treasury = "strange";
  },
  "mandate: sats": (plan, roll) => {
    const user = (items: readonly { sats: bigint }[]) => sum(items);
    const loss =
      user(plan.inputs.filter(({ owner }) => owner === "user")) -
      user(plan.outputs.filter(({ to }) => to === "user"));
    if (plan.mandate !== null) plan.mandate.sats30d = atLeastNone(loss + around(roll));
  },
  "mandate: fees": (plan, roll) => {
    if (plan.mandate !== null) plan.mandate.fees30d = atLeastNone(fee(plan) + around(roll));
  },
  "fewer coins than worth it": (plan, roll) => {
    plan.policy.coinsMin = Math.max(2, plan.inputs.length + roll.below(3) - 1);
  },
  "rate for upkeep": (plan, roll) => {
    plan.policy.rateMaxUpkeep = 2_000n + BigInt(roll.below(8_000));
  },
};

const NAMES = Object.keys(MUTATIONS);

export interface Case {
  readonly plan: Plan;
  readonly mutations: readonly string[];
}

/** The case of a seed: an honest spend with 1 to 4 mutations. */
export function caseOf(seed: number): Case {
  const roll = dice(seed);
  const plan = honestPlan(roll.pick(PURPOSES), roll);
  const mutations = Array.from({ length: 1 + roll.below(4) }, () => roll.pick(NAMES));
  for (const name of mutations) MUTATIONS[name]?.(plan, roll);
  return { plan, mutations };
}
