/** Bends of prices, statements and accounts. */
import { anyOf, type Bend, cap, floor } from "./bend.ts";
import { claimSats, type Draft, HEIGHT } from "./honest-parts.ts";
import { drawn, gain, positive, seen, sum } from "./model-spend.ts";
import { type Account, type Statement, VAULT_NAMES, type Vote } from "./plan.ts";

const onVote =
  (change: (vote: Vote, draft: Draft) => void): Bend =>
  (draft) => {
    const vote = anyOf(draft, draft.plan.evidence.votes);
    if (vote === null) return false;
    change(vote, draft);
    return true;
  };
const onStatement =
  (change: (statement: Statement, draft: Draft) => void): Bend =>
  (draft) => {
    const { statement } = draft.plan.evidence;
    if (statement === null) return false;
    change(statement, draft);
    return true;
  };
const onAccount =
  (change: (account: Account, draft: Draft) => void): Bend =>
  (draft) => {
    const account = anyOf(draft, draft.plan.evidence.statement?.accounts ?? []);
    if (account === null) return false;
    change(account, draft);
    return true;
  };
/** Sats of the claim that this spend takes, leaves or gives, by which its bound is met exactly. */
function fitted(account: Account, draft: Draft): void {
  const { plan } = draft;
  const spend = seen(plan);
  const flow = spend.flows.find(({ vault }) => vault === account.vault);
  const { floor: low, ceil: high } = claimSats(plan, account);
  const takes = sum(drawn(spend).map(({ sats }) => sats));
  const idle = account.idleSats;
  if (takes > 0n) account.idleSats = cap(draft, positive(idle + takes - low));
  else if (plan.intent.purpose === "collect") {
    account.idleSats = floor(draft, positive(idle + (flow?.outSats ?? 0n) - high));
  } else if (flow !== undefined) {
    const held = [...plan.coins.values()].reduce(
      (all, { at, node }) =>
        "vault" in at && at.vault === account.vault ? all + (node?.sats ?? 0n) : all,
      0n,
    );
    account.idleSats = cap(draft, positive(idle + held + gain(flow) - low));
  }
}
export const PROOF_BENDS: Readonly<Record<string, Bend>> = {
  "vote at the bound of its age": onVote((vote, { draw, plan }) => {
    const most = plan.law.guardians.voteAge;
    vote.age = draw.pick([most, most + 1, -most, -most - 1]);
  }),
  "votes too old": ({ plan }) => {
    for (const vote of plan.evidence.votes) vote.age = 1_000;
    return plan.evidence.votes.length > 0;
  },
  "vote of a price more": onVote((vote, { draw }) => {
    vote.price += draw.pick([1n, -1n, 20_000n, -20_000n, 200_000n]);
  }),
  "vote missing": ({ plan }) => plan.evidence.votes.pop() !== undefined,
  "own vote missing": ({ plan }) => plan.evidence.votes.shift() !== undefined,
  "vote of a fourth": ({ plan }) => {
    const [vote] = plan.evidence.votes;
    if (vote === undefined) return false;
    plan.evidence.votes.push({ ...vote, by: "fourth" });
    return true;
  },
  "vote twice": ({ plan }) => {
    const [vote] = plan.evidence.votes;
    if (vote === undefined) return false;
    plan.evidence.votes.push({ ...vote });
    return true;
  },
  "vote of a stranger": onVote((vote) => {
    vote.by = "nobody";
    vote.good = false;
  }),
  "vote forged": onVote((vote) => {
    vote.good = false;
  }),
  "vote of another turn": onVote((vote, { draw }) => {
    if (draw.chance(0.5)) vote.index += 1;
    else vote.pool = "eur";
  }),
  "statement missing": ({ plan }) => {
    const had = plan.evidence.statement !== null;
    plan.evidence.statement = null;
    return had;
  },
  "statement of another age": onStatement((statement, { draw, plan }) => {
    const height = plan.chain?.height ?? HEIGHT;
    const most = plan.law.guardians.statementAge;
    statement.height = Math.max(0, height - draw.pick([most, most, most + 1, 0, -1]));
  }),
  "statement of another network": onStatement((statement) => {
    statement.network = "testnet";
  }),
  "signer of the statement missing": onStatement((statement, { draw }) => {
    statement.signers.splice(draw.below(statement.signers.length), 1);
  }),
  "another signer of the statement": onStatement((statement, { draw }) => {
    const signer = draw.pick(["fourth", "nobody", "own"]);
    statement.signers.push({ by: signer, good: signer !== "nobody" });
  }),
  "own guardian replaced by the fourth": onStatement((statement) => {
    const own = statement.signers.find(({ by }) => by === "own");
    if (own !== undefined) own.by = "fourth";
  }),
  "signature of the statement forged": onStatement((statement, draft) => {
    const signer = anyOf(draft, statement.signers);
    if (signer !== null) signer.good = false;
  }),
  "statement used before": onStatement((statement, { draw, plan }) => {
    const { accounts } = plan.history;
    const vault = statement.accounts[0]?.vault;
    if (vault === undefined) return;
    const used = {
      index: statement.index + draw.pick([-1, -1, 0, 1]),
      by: draw.pick(["own", "another"] as const),
    };
    const known = accounts.find((one) => one.vault === vault);
    if (known === undefined) accounts.push({ vault, sequence: 0, used });
    else known.used = used;
  }),
  "account remembered": onAccount((account, { draw, plan }) => {
    const sequence = draw.pick([0, 1, 1, 2] as const);
    plan.history.accounts = plan.history.accounts.filter(({ vault }) => vault !== account.vault);
    plan.history.accounts.push({ vault: account.vault, sequence, used: null });
    account.log = draw.chance(0.8) === (sequence === 1) ? "none" : "whole";
  }),
  "log left out": onAccount((account) => {
    account.log = "none";
  }),
  "log forged": onAccount((account) => {
    account.log = "forged";
  }),
  "leaf forged": onAccount((account) => {
    account.leaf = "forged";
  }),
  "account not proven": onStatement((statement) => {
    statement.accounts.pop();
  }),
  "account of somebody else": onAccount((account, { draw, plan }) => {
    const taken = plan.evidence.statement?.accounts.map(({ vault }) => vault) ?? [];
    const free = VAULT_NAMES.filter((name) => !taken.includes(name));
    account.vault = draw.pick(free);
  }),
  "coin not credited": onAccount((account) => {
    account.credited.pop();
  }),
  "spent coin credited": onAccount((account) => {
    account.credited.push("gone credited");
  }),
  "claim that just fits": onAccount(fitted),
  "claim that just fits again": onAccount(fitted),
  "claim of some cents more": onAccount((account, { draw }) => {
    account.hedgedCents += draw.pick([1n, -1n, 1_000n, -1_000n]);
  }),
  deficit: onAccount((account, { draw }) => {
    account.deficitSince = draw.pick([0, 900]);
  }),
  "pool that the escrow just covers": onAccount((account, draft) => {
    const { plan } = draft;
    const out = seen(plan).flows.find(({ info }) => info.kind === "escrow")?.outSats ?? 0n;
    account.poolMsats = positive(out * 1_000n - 10_000_000n + draft.draw.pick([0n, 0n, -500n, 1n]));
  }),
};
