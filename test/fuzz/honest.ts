/** An honest plan of every purpose, each with amounts, places and proofs of its own. */
import type { Draw } from "./draw.ts";
import {
  accountOf,
  claimSats,
  type Draft,
  emptyPlan,
  feeFor,
  freshPlace,
  giveBack,
  HEIGHT,
  inputOf,
  mandate,
  pay,
  prove,
  spend,
  statementOf,
} from "./honest-parts.ts";
import type { Address, Plan, Purpose, Role, VaultName } from "./plan.ts";

type Honest = (draw: Draw) => Plan;

const payee = (draw: Draw): Address => ({
  pay: draw.pick(["p2wpkh", "p2wpkh", "p2wsh", "p2pkh", "p2sh", "p2tr"] as const),
  n: draw.below(3),
});
const coinsOf = (plan: Plan, vault: string) =>
  [...plan.coins.keys()].filter((name) => name.startsWith(`${vault} `));

/** Payments out of a user's vault, with change or without. */
function paying(
  draft: Draft,
  { vault, sats, signed }: { vault: VaultName; sats: bigint; signed: boolean },
) {
  const { draw, plan } = draft;
  const coins = 1 + draw.below(3);
  const payments = 1 + draw.below(2);
  const change = draw.chance(0.85) ? draw.between(10_000n, 1_000_000n) : 0n;
  const fee = feeFor(draw, coins, payments + 1);
  spend(draft, { vault, coins, sats: sats + change + fee, signed });
  const first = payments === 1 ? sats : sats / 3n;
  pay(draft, { to: payee(draw), sats: first, words: [] });
  if (payments > 1) pay(draft, { to: payee(draw), sats: sats - first, words: [] });
  if (change > 0n) giveBack(draft, vault, change);
  const { outputs } = plan.paper;
  plan.paper.outputs = [...draw.some(outputs, outputs.length)];
}

const withdrawal: Honest = (draw) => {
  const role = draw.pick<Role>(["lsp", "lsp", "lsp", "trustee", "user"]);
  const vault = draw.pick<VaultName>(["user", "user", "exit"]);
  const plan = emptyPlan(draw, { purpose: "withdrawal", vault, role });
  const draft = { draw, plan };
  const large = draw.chance(0.6);
  const sats = large ? draw.between(600_000n, 1_500_000n) : draw.between(60_000n, 480_000n);
  paying(draft, { vault, sats, signed: role !== "user" || draw.chance(0.5) });
  if (large && role !== "user") prove(draft, [accountOf(vault, coinsOf(plan, vault))]);
  return plan;
};

const migration: Honest = (draw) => {
  const role = draw.pick<Role>(["lsp", "lsp", "user"]);
  const plan = emptyPlan(draw, { purpose: "migration", vault: "user", parties: ["other"], role });
  const draft = { draw, plan };
  const coins = 1 + draw.below(3);
  const sats = draw.between(100_000n, 4_000_000n);
  spend(draft, { vault: "user", coins, sats: sats + feeFor(draw, coins, 1), signed: true });
  plan.paper.outputs.push({
    to: freshPlace(draw, plan, "other", draw.pick([0, 1])),
    sats,
    words: [],
  });
  return plan;
};

const house = (draw: Draw) => draw.pick<Role>(["lsp", "lsp", "trustee"]);

/** One vault's surplus to the treasury; or two vaults' with a coin of the treasury that pays the fee. */
const collect: Honest = (draw) => {
  const many = draw.chance(0.4);
  const vaults: VaultName[] = many && draw.chance(0.6) ? ["user", "other"] : ["user"];
  const [first = "user"] = vaults;
  const plan = emptyPlan(draw, {
    purpose: "collect",
    vault: many ? "treasury" : first,
    parties: many ? vaults : ["treasury"],
    role: house(draw),
  });
  const draft = { draw, plan };
  plan.history.notices = vaults.map((vault) => mandate(vault));
  const accounts = vaults.map((vault) => accountOf(vault, []));
  prove(draft, accounts);
  const surplus = draw.between(150_000n, 900_000n);
  for (const account of accounts) {
    const { ceil } = claimSats(plan, account);
    const spare = draw.between(0n, 3n) * draw.between(0n, 1n);
    const sats = ceil + spare + surplus;
    spend(draft, { vault: account.vault, coins: 1 + draw.below(2), sats, signed: false });
    account.credited = coinsOf(plan, account.vault);
    giveBack(draft, account.vault, ceil + spare);
  }
  const fee = feeFor(draw, plan.paper.inputs.length + 1, vaults.length + 1);
  if (many) {
    const sats = 400_000n + fee;
    spend(draft, { vault: "treasury", coins: 1, sats, signed: false });
    giveBack(draft, "treasury", 400_000n + surplus * BigInt(vaults.length));
  } else {
    plan.paper.outputs.push({
      to: freshPlace(draw, plan, "treasury", draw.pick([0, 1])),
      sats: surplus - fee,
      words: [],
    });
  }
  return plan;
};

/** The vault holds one coin and lacks the rest of its claim. */
function lacking(draft: Draft, vault: VaultName): bigint {
  const { draw, plan } = draft;
  const account = accountOf(vault, [`own ${vault}`]);
  const before = plan.evidence.statement?.accounts ?? [];
  if (before.length === 0) prove(draft, [account]);
  else before.push(account);
  account.deficitSince = HEIGHT - 500;
  const { floor } = claimSats(plan, account);
  const lack = draw.between(200_000n, 600_000n);
  const height = HEIGHT - 200;
  const sats = floor - lack;
  plan.coins.set(`own ${vault}`, {
    at: { vault, branch: 0, index: 25 },
    sats,
    node: { sats, height, coinbase: false, otherScript: false },
  });
  return lack - draw.pick([0n, 0n, 1n, 500n]);
}

const topUp: Honest = (draw) => {
  const vaults: VaultName[] = draw.chance(0.3) ? ["user", "other"] : ["user"];
  const plan = emptyPlan(draw, {
    purpose: "top-up",
    vault: "treasury",
    parties: vaults,
    role: house(draw),
  });
  const draft = { draw, plan };
  plan.history.notices = vaults.map((vault) => mandate(vault));
  const given = vaults.map((vault) => ({ vault, sats: lacking(draft, vault) }));
  const coins = 1 + draw.below(2);
  const change = draw.between(100_000n, 2_000_000n);
  const out = given.reduce((all, { sats }) => all + sats, change);
  const fee = feeFor(draw, coins, vaults.length + 1);
  spend(draft, { vault: "treasury", coins, sats: out + fee, signed: false });
  for (const { vault, sats } of given) giveBack(draft, vault, sats);
  giveBack(draft, "treasury", change);
  return plan;
};

const refresh: Honest = (draw) => {
  const plan = emptyPlan(draw, { purpose: "refresh", vault: "exit", role: house(draw) });
  const draft = { draw, plan };
  const height = 20_000;
  plan.chain = { height, watched: [], burials: [], block: "same" };
  plan.paper.locktime = height;
  plan.history.notices = [mandate("exit")];
  const coins = 1 + draw.below(2);
  const sats = draw.between(500_000n, 3_000_000n);
  const age = 15_768 + draw.pick([0, 1, 100]);
  spend(draft, { vault: "exit", coins, sats: sats + feeFor(draw, coins, 1), signed: false, age });
  giveBack(draft, "exit", sats);
  return plan;
};

const consolidation: Honest = (draw) => {
  const vault = draw.pick<VaultName>(["user", "user", "exit", "treasury"]);
  const plan = emptyPlan(draw, { purpose: "consolidation", vault, role: house(draw) });
  const draft = { draw, plan };
  const coins = 5 + draw.below(2);
  const sats = draw.between(500_000n, 3_000_000n);
  const signed = vault !== "treasury" && draw.chance(0.2);
  if (vault !== "treasury" && !signed) plan.history.notices = [mandate(vault)];
  spend(draft, { vault, coins, sats: sats + feeFor(draw, coins, 1), signed });
  giveBack(draft, vault, sats);
  return plan;
};

const margin: Honest = (draw) => {
  const plan = emptyPlan(draw, { purpose: "margin", vault: "treasury", role: house(draw) });
  const draft = { draw, plan };
  const to: Address = { pay: "p2wpkh", n: 7 };
  plan.evidence.statement = statementOf([]);
  const sats = draw.between(300_000n, 2_000_000n);
  spend(draft, {
    vault: "treasury",
    coins: 1,
    sats: sats + 700_000n + feeFor(draw, 1, 2),
    signed: false,
  });
  pay(draft, { to, sats, words: [] });
  giveBack(draft, "treasury", 700_000n);
  return plan;
};

const escrowIn: Honest = (draw) => {
  const own = draw.chance(0.6);
  const vault = own ? "user" : "treasury";
  const role = own ? "lsp" : house(draw);
  const plan = emptyPlan(draw, { purpose: "escrow-in", vault, parties: ["escrow"], role });
  const draft = { draw, plan };
  const amounts = Array.from({ length: 1 + draw.below(2) }, () => draw.between(100_000n, 500_000n));
  const sats = amounts.reduce((all, one) => all + one, 0n);
  spend(draft, {
    vault,
    coins: 1 + draw.below(2),
    sats: sats + 300_000n + feeFor(draw, 2, 2),
    signed: own,
  });
  plan.paper.outputs.push({ to: freshPlace(draw, plan, "escrow", 0), sats, words: [] });
  giveBack(draft, vault, 300_000n);
  if (own) prove(draft, [accountOf("user", coinsOf(plan, "user"))]);
  plan.evidence.operations = amounts.map((amount, i) => ({
    vault: own || i === 0 ? "user" : "other",
    number: i + 1,
    do: "lock",
    sats: amount,
    by: draw.chance(0.3) ? "delegate" : "vault",
    good: true,
  }));
  plan.history.notices = (["user", "other"] as const).map((name) => ({
    kind: "delegate",
    vault: name,
    no: 1,
    height: HEIGHT - 50,
    sats: 500_000n,
    until: HEIGHT + 100,
  }));
  return plan;
};

const escrowOut: Honest = (draw) => {
  const toUser = draw.chance(0.7);
  const party: VaultName = toUser ? "user" : "treasury";
  const role = draw.pick<Role>(["lsp", "trustee", "second-trustee"]);
  const plan = emptyPlan(draw, {
    purpose: "escrow-out",
    vault: "escrow",
    parties: [party],
    role: toUser ? house(draw) : role,
  });
  const draft = { draw, plan };
  const sats = toUser ? lacking(draft, "user") : draw.between(200_000n, 600_000n);
  if (!toUser) plan.evidence.statement = statementOf([]);
  spend(draft, {
    vault: "escrow",
    coins: 1 + draw.below(2),
    sats: sats + 800_000n + feeFor(draw, 2, 2),
    signed: false,
  });
  giveBack(draft, party, sats);
  giveBack(draft, "escrow", 800_000n);
  return plan;
};

const channelOpen: Honest = (draw) => {
  const role = draw.pick<Role>(["lsp", "lsp", "user"]);
  const plan = emptyPlan(draw, { purpose: "channel-open", vault: "user", role });
  const draft = { draw, plan };
  const sats = draw.between(300_000n, 1_500_000n);
  spend(draft, {
    vault: "user",
    coins: 1 + draw.below(2),
    sats: sats + 300_000n + feeFor(draw, 2, 2),
    signed: true,
  });
  pay(draft, { to: { pay: "funding", n: 0 }, sats, words: [] });
  giveBack(draft, "user", 300_000n);
  if (role !== "user") prove(draft, [accountOf("user", coinsOf(plan, "user"))]);
  plan.evidence.funding = { sats, user: "user-node", lsp: "lsp-node", good: true };
  plan.history.notices = [
    { kind: "node", vault: "user", no: 1, height: HEIGHT - 50, node: "user-node" },
  ];
  return plan;
};

/** Takes back a collect that was signed: its coins return to their vaults. */
const cancel: Honest = (draw) => {
  const original = collect(draw);
  const { vault, parties } = original.intent;
  const plan = emptyPlan(draw, { purpose: "cancel", vault, parties, role: house(draw) });
  const draft = { draw, plan };
  plan.coins = original.coins;
  plan.evidence.original = original.paper;
  plan.intent.cancels = "cancelled";
  plan.history.notices = original.history.notices;
  const names = original.paper.inputs.map(({ coin }) => coin);
  const anchor = names.find((name) => name.startsWith("treasury")) ?? names[0] ?? "";
  const known = draw.chance(0.7);
  if (known) {
    plan.history.claims.push({
      ...{ intent: "cancelled", purpose: "collect", vault, tx: "original", anchor },
      ...{ coins: names, charges: [], places: [], userSigned: false, fixed: "unknown" },
      ...{ nonces: [], msAgo: 10_000_000, height: HEIGHT - 20 },
    });
  } else {
    // Of what this signer has not signed itself, somebody else's signature shows that it can be sent.
    const [first] = original.paper.inputs.filter(({ coin }) => coin.startsWith("user"));
    if (first !== undefined) first.signatures = [{ by: "lsp", how: "good" }];
  }
  const taken = draw.chance(0.5) ? names : [anchor];
  const back = new Map<VaultName, bigint>();
  for (const name of taken) {
    const coin = plan.coins.get(name);
    if (coin === undefined || !("vault" in coin.at)) continue;
    plan.paper.inputs.push(inputOf(draw, name, { said: coin.sats, signed: false }));
    back.set(coin.at.vault, (back.get(coin.at.vault) ?? 0n) + coin.sats);
  }
  const fee = feeFor(draw, taken.length, back.size);
  [...back].forEach(([name, sats], i) => {
    giveBack(draft, name, i === 0 ? sats - fee : sats);
  });
  return plan;
};

const recoveryLspGone: Honest = (draw) => {
  const role = draw.pick<Role>(["trustee", "trustee", "user"]);
  const plan = emptyPlan(draw, { purpose: "recovery-lsp-gone", vault: "user", role });
  const draft = { draw, plan };
  paying(draft, { vault: "user", sats: draw.between(100_000n, 2_000_000n), signed: true });
  const height = HEIGHT - 144 - draw.pick([0, 1, 50]);
  plan.history.notices = [{ kind: "lsp-gone", vault: "user", no: 1, height }];
  return plan;
};

const recoveryUserLost: Honest = (draw) => {
  const plan = emptyPlan(draw, {
    purpose: "recovery-user-lost",
    vault: "user",
    parties: ["recovery"],
    role: house(draw),
  });
  const draft = { draw, plan };
  const height = 10_000;
  plan.chain = { height, watched: [], burials: [], block: "same" };
  plan.paper.locktime = height;
  plan.history.notices = [
    // This clause outlives the mandate's expiry.
    mandate("user", { recovery: "recovery", until: draw.pick([2_000, 30_000]), height: 100 }),
    {
      ...{ kind: "user-lost", vault: "user", no: 1, to: "recovery" },
      height: height - 4_320 - draw.pick([0, 1, 400]),
    },
  ];
  const coins = 1 + draw.below(2);
  const sats = draw.between(300_000n, 3_000_000n);
  spend(draft, { vault: "user", coins, sats: sats + feeFor(draw, coins, 1), signed: false });
  plan.paper.outputs.push({ to: freshPlace(draw, plan, "recovery", 0), sats, words: [] });
  return plan;
};

const proofOfReserves: Honest = (draw) => {
  const vault = draw.pick<VaultName>(["user", "treasury", "escrow"]);
  const role = vault === "user" ? draw.pick<Role>(["user", "lsp", "trustee"]) : house(draw);
  const plan = emptyPlan(draw, { purpose: "proof-of-reserves", vault, role });
  const draft = { draw, plan };
  plan.evidence.reserves = true;
  plan.coins.set("virtual", { at: { vault, branch: 0, index: 29 }, sats: 0n, node: null });
  plan.paper.inputs.push({
    ...inputOf(draw, "virtual", { said: 0n, signed: false }),
    previous: "none",
  });
  const sats = draw.between(300_000n, 3_000_000n);
  spend(draft, { vault, coins: 1 + draw.below(2), sats, signed: false });
  giveBack(draft, vault, sats);
  return plan;
};

export const HONEST: Readonly<Record<Purpose, Honest>> = {
  withdrawal,
  migration,
  collect,
  "top-up": topUp,
  refresh,
  consolidation,
  margin,
  "escrow-in": escrowIn,
  "escrow-out": escrowOut,
  "channel-open": channelOpen,
  cancel,
  "recovery-lsp-gone": recoveryLspGone,
  "recovery-user-lost": recoveryUserLost,
  "proof-of-reserves": proofOfReserves,
};
