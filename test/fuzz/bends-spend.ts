/** Bends of amounts, outputs and inputs: what the transaction moves, and where to. */
import {
  anyOf,
  type Bend,
  changeOf,
  payeeOutputs,
  paymentOf,
  SUPPLY,
  spentCoins,
  vaultOutputs,
} from "./bend.ts";
import { type Draft, freshPlace, inputOf } from "./honest-parts.ts";
import { type Address, isPlace, type Output, type Payee, VAULT_NAMES } from "./plan.ts";

const ODD: readonly Payee["pay"][] = ["op-return", "future", "anchor", "bare", "no-point"];

function payee({ draw }: Draft): Address {
  return {
    pay: draw.pick(["p2wpkh", "p2wsh", "p2pkh", "p2sh", "p2tr"] as const),
    n: draw.below(3),
  };
}

/** Changes an output, and what the intent says of it as well where it is a payment. */
function together({ plan }: Draft, output: Output, change: Partial<Pick<Output, "to" | "sats">>) {
  const payment = paymentOf(plan, output);
  Object.assign(output, change);
  if (payment !== undefined) Object.assign(payment, change);
}

/** Takes sats from a change output, if it has them to spare. */
function takeChange(draft: Draft, sats: bigint): boolean {
  const change = anyOf(
    draft,
    changeOf(draft.plan).filter((one) => one.sats > sats + 1_000n),
  );
  if (change === null) return false;
  change.sats -= sats;
  return true;
}

export const SPEND_BENDS: Readonly<Record<string, Bend>> = {
  "payment a sat off": (draft) => {
    const output = anyOf(draft, payeeOutputs(draft.plan));
    if (output === null) return false;
    output.sats += draft.draw.pick([1n, -1n]);
    return true;
  },
  "payment and intent by some sats": (draft) => {
    const output = anyOf(draft, payeeOutputs(draft.plan));
    const less = draft.draw.between(1n, 20_000n);
    if (output === null || output.sats < 40_000n) return false;
    together(draft, output, { sats: output.sats - less });
    const change = anyOf(draft, changeOf(draft.plan));
    if (change !== null) change.sats += less;
    return true;
  },
  "fee a sat higher": (draft) => takeChange(draft, 1n),
  "fee a sat lower": (draft) => {
    const change = anyOf(draft, changeOf(draft.plan));
    if (change === null) return false;
    change.sats += 1n;
    return true;
  },
  "fee some higher": (draft) => takeChange(draft, draft.draw.between(10n, 3_000n)),
  "fee burnt": (draft) => takeChange(draft, draft.draw.between(20_000n, 120_000n)),
  "fee too low": (draft) => {
    const change = anyOf(draft, changeOf(draft.plan));
    if (change === null) return false;
    change.sats += draft.draw.between(200n, 2_000n);
    return true;
  },
  "vault output a sat off": (draft) => {
    const output = anyOf(draft, vaultOutputs(draft.plan));
    if (output === null) return false;
    output.sats += draft.draw.pick([1n, -1n]);
    return true;
  },
  "vault output more": (draft) => {
    const output = anyOf(draft, vaultOutputs(draft.plan));
    if (output === null) return false;
    output.sats += draft.draw.between(300n, 5_000n);
    return true;
  },
  "output dropped": ({ draw, plan }) => {
    const { outputs } = plan.paper;
    if (outputs.length === 0) return false;
    outputs.splice(draw.below(outputs.length), 1);
    return true;
  },
  "output doubled": (draft) => {
    const output = anyOf(draft, draft.plan.paper.outputs);
    if (output === null || !takeChange(draft, output.sats)) return false;
    draft.plan.paper.outputs.push(structuredClone(output));
    return true;
  },
  "payment doubled in both": (draft) => {
    const { plan } = draft;
    const output = anyOf(draft, payeeOutputs(plan));
    if (output === null) return false;
    plan.paper.outputs.push({ ...structuredClone(output), sats: 1_000n });
    plan.intent.outputs.push({ to: output.to, sats: 1_000n });
    return takeChange(draft, 1_000n);
  },
  "two amounts swapped": ({ draw, plan }) => {
    const [one, other] = draw.some(plan.paper.outputs, 2);
    if (one === undefined || other === undefined) return false;
    [one.sats, other.sats] = [other.sats, one.sats];
    return true;
  },
  "outputs in another order": ({ draw, plan }) => {
    const { outputs } = plan.paper;
    plan.paper.outputs = [...draw.some(outputs, outputs.length)];
    return true;
  },
  "inputs in another order": ({ draw, plan }) => {
    const { inputs } = plan.paper;
    plan.paper.inputs = [...draw.some(inputs, inputs.length)];
    return true;
  },
  "payment that nobody asked for": (draft) => {
    draft.plan.paper.outputs.push({ to: payee(draft), sats: 600n, words: [] });
    return takeChange(draft, 600n);
  },
  "payment more, in both": (draft) => {
    const to = payee(draft);
    const sats = draft.draw.between(600n, 5_000n);
    draft.plan.paper.outputs.push({ to, sats, words: [] });
    draft.plan.intent.outputs.push({ to, sats });
    return takeChange(draft, sats);
  },
  "output redirected to a payee": (draft) => {
    const output = anyOf(draft, draft.plan.paper.outputs);
    if (output === null) return false;
    Object.assign(output, { to: payee(draft), words: [] });
    return true;
  },
  "payment redirected in both": (draft) => {
    const output = anyOf(draft, payeeOutputs(draft.plan));
    if (output === null) return false;
    together(draft, output, { to: payee(draft) });
    return true;
  },
  "payment of an odd script": (draft) => {
    const output = anyOf(draft, payeeOutputs(draft.plan));
    if (output === null) return false;
    const to = { pay: draft.draw.pick(ODD), n: 0 };
    if (draft.draw.chance(0.5)) together(draft, output, { to });
    else output.to = to;
    return true;
  },
  "output to another vault": (draft) => {
    const output = anyOf(draft, vaultOutputs(draft.plan));
    if (output === null || !isPlace(output.to)) return false;
    output.to = { ...output.to, vault: draft.draw.pick(VAULT_NAMES) };
    return true;
  },
  "payment to a vault that is not named": (draft) => {
    const output = anyOf(draft, payeeOutputs(draft.plan));
    if (output === null) return false;
    const vault = draft.draw.pick(VAULT_NAMES);
    together(draft, output, { to: { vault, branch: 0, index: draft.draw.below(40) } });
    return true;
  },
  "surplus to the treasury": (draft) => {
    const { plan, draw } = draft;
    const { intent, paper } = plan;
    if (intent.outputs.length === 0 || intent.parties.length > 0 || plan.law.role === "user") {
      return false;
    }
    const vault = draw.pick(["treasury", "treasury", "false"] as const);
    intent.parties.push(vault);
    const sats = draw.between(1_000n, 8_000n);
    paper.outputs.push({ to: freshPlace(draw, plan, vault, draw.pick([0, 1])), sats, words: [] });
    return takeChange(draft, sats);
  },
  "other branch": (draft) => {
    const output = anyOf(draft, vaultOutputs(draft.plan));
    if (output === null || !isPlace(output.to)) return false;
    output.to = { ...output.to, branch: output.to.branch === 0 ? 1 : 0 };
    return true;
  },
  "index at the gap": (draft) => {
    const output = anyOf(draft, vaultOutputs(draft.plan));
    if (output === null || !isPlace(output.to)) return false;
    const index = draft.plan.law.gap + draft.draw.pick([-1, -1, 0]);
    output.to = { ...output.to, index };
    return true;
  },
  "index far away": (draft) => {
    const output = anyOf(draft, vaultOutputs(draft.plan));
    if (output === null || !isPlace(output.to)) return false;
    output.to = { ...output.to, index: draft.draw.pick([21, 40, 5_000]) };
    return true;
  },
  "another index": (draft) => {
    const output = anyOf(draft, vaultOutputs(draft.plan));
    if (output === null || !isPlace(output.to)) return false;
    const { vault, branch } = output.to;
    output.to = freshPlace(draft.draw, draft.plan, vault, branch);
    return true;
  },
  "address spent from": (draft) => {
    const output = anyOf(draft, vaultOutputs(draft.plan));
    const coin = anyOf(draft, spentCoins(draft.plan));
    if (output === null || coin === null) return false;
    output.to = structuredClone(coin.at);
    return true;
  },
  "a second change": (draft) => {
    const change = anyOf(draft, changeOf(draft.plan));
    if (change === null || !isPlace(change.to) || change.sats < 3_000n) return false;
    change.sats -= 1_500n;
    const to = freshPlace(draft.draw, draft.plan, change.to.vault);
    draft.plan.paper.outputs.push({ to, sats: 1_500n, words: [] });
    return true;
  },
  "dust at the bound": (draft) => {
    const { plan, draw } = draft;
    const output = anyOf(draft, plan.paper.outputs);
    if (output === null) return false;
    const dust: Record<string, bigint> = { p2wpkh: 294n, p2pkh: 546n, p2sh: 540n };
    const least = isPlace(output.to) ? 330n : (dust[output.to.pay] ?? 330n);
    const sats = least + draw.pick([0n, 1n, -1n]);
    const rest = output.sats - sats;
    if (rest < 0n) return false;
    together(draft, output, { sats });
    const other = anyOf(
      draft,
      plan.paper.outputs.filter((one) => one !== output),
    );
    if (other !== null) together(draft, other, { sats: other.sats + rest });
    return true;
  },
  "outputs above the inputs": (draft) => {
    const output = anyOf(draft, draft.plan.paper.outputs);
    if (output === null) return false;
    output.sats += draft.draw.pick([200_000n, 90_000_000n]);
    return true;
  },
  "more than there is": (draft) => {
    const { plan, draw } = draft;
    const amount = draw.pick([SUPPLY, SUPPLY + 1n, 1n << 62n]);
    const output = anyOf(draft, plan.paper.outputs);
    const input = anyOf(draft, plan.paper.inputs);
    if (output === null || input === null || input.said === null) return false;
    if (draw.chance(0.5)) output.sats = amount;
    else input.said = amount;
    return true;
  },
  "input dropped": ({ draw, plan }) => {
    const { inputs } = plan.paper;
    if (inputs.length === 0) return false;
    inputs.splice(draw.below(inputs.length), 1);
    return true;
  },
  "input dropped, change lower": (draft) => {
    const { inputs } = draft.plan.paper;
    const at = draft.draw.below(inputs.length);
    const said = inputs[at]?.said ?? null;
    if (inputs.length < 2 || said === null || !takeChange(draft, said)) return false;
    inputs.splice(at, 1);
    return true;
  },
  "coin spent twice": (draft) => {
    const input = anyOf(draft, draft.plan.paper.inputs);
    if (input === null) return false;
    draft.plan.paper.inputs.push(structuredClone(input));
    return true;
  },
  "stranger's coin": (draft) => addCoin(draft, { pay: "p2wpkh", n: 9 }),
  "stranger's Taproot coin": (draft) => addCoin(draft, { pay: "p2tr", n: 9 }),
  "coin of another vault": (draft) =>
    addCoin(draft, { vault: draft.draw.pick(VAULT_NAMES), branch: 0, index: 9 }),
  "coin more": (draft) =>
    addCoin(draft, { vault: draft.plan.intent.vault, branch: 0, index: 31 }, true),
  "coin on a far index": (draft) => {
    const { vault } = draft.plan.intent;
    const index = draft.draw.pick([19, 20, 700]);
    return addCoin(draft, { vault, branch: draft.draw.pick([0, 1]), index }, true);
  },
};

/** One more coin, its sats to the change. */
function addCoin(draft: Draft, at: Address, credited = false): boolean {
  const { draw, plan } = draft;
  const change = anyOf(draft, changeOf(plan));
  const name = `more ${plan.coins.size}`;
  if (change === null || plan.intent.purpose === "cancel") return false;
  const sats = draw.between(20_000n, 40_000n);
  const height = (plan.chain?.height ?? 1_000) - 16_000;
  plan.coins.set(name, {
    at,
    sats,
    node: { sats, height: Math.max(height, 700), coinbase: false, otherScript: false },
  });
  const signed = plan.paper.inputs.some(({ signatures }) =>
    signatures.some(({ by }) => by === "user"),
  );
  plan.paper.inputs.push(inputOf(draw, name, { said: sats, signed }));
  change.sats += sats - draw.pick([600n, 900n]);
  const account = plan.evidence.statement?.accounts.find(
    ({ vault }) => isPlace(at) && vault === at.vault,
  );
  if (credited) account?.credited.push(name);
  return true;
}
