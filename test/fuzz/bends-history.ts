/** Bends of what the signer remembers and what its node says of the chain. */
import { anyOf, type Bend, cap, changeOf, written } from "./bend.ts";
import { limitsOf } from "./bends-law.ts";
import { type Draft, HEIGHT } from "./honest-parts.ts";
import { loss, positive, seen, sum } from "./model-spend.ts";
import type { Charge, Claim, VaultName, Window } from "./plan.ts";

const HOUR_MS = 3_600_000;
const heightOf = ({ plan }: Draft) => plan.chain?.height ?? HEIGHT;

/** A claim of another intent, of a while ago. */
function claim(draft: Draft, part: Partial<Claim> = {}): Claim {
  const { draw, plan } = draft;
  const n = plan.history.claims.length;
  return {
    intent: `another ${n}`,
    purpose: plan.intent.purpose,
    vault: plan.intent.vault,
    tx: `another ${n}`,
    anchor: `gone ${n}`,
    coins: [`gone ${n}`],
    charges: [],
    places: [],
    userSigned: draw.chance(0.5),
    fixed: "unknown",
    nonces: [],
    msAgo: 3 * HOUR_MS,
    height: heightOf(draft) - 20,
    ...part,
  };
}

function charge(draft: Draft, about: Charge["about"], sats: bigint): Charge {
  const { purpose, vault } = draft.plan.intent;
  return { about, purpose, vault, to: null, sats };
}

/** What others took before, and a window that just holds both, or just not; at its edge or within. */
function filled(
  draft: Draft,
  { windows, about, own }: { windows: Window[]; about: Charge; own: bigint },
): void {
  const { draw, plan } = draft;
  const hours = draw.pick([1, 24]);
  const edge = hours * HOUR_MS;
  const blocks = hours * 6;
  const [msAgo = 0, blocksAgo = 0] = draw.pick([
    [edge - 1, blocks - 1],
    [edge, blocks],
    [edge, blocks - 1],
    [edge - 1, blocks],
    [-5_000, 0],
  ]);
  const height = Math.max(0, heightOf(draft) - blocksAgo);
  plan.history.claims.push(claim(draft, { charges: [about], msAgo, height }));
  windows.push({ hours, sats: cap(draft, own + about.sats) });
}

export const HISTORY_BENDS: Readonly<Record<string, Bend>> = {
  paused: ({ plan }) => {
    plan.history.paused = true;
    return true;
  },
  "higher blocks seen": (draft) => {
    draft.plan.history.height = heightOf(draft) + draft.draw.pick([0, 1, 100, 145]);
    return true;
  },
  "window filled before": (draft) => {
    const limits = limitsOf(draft);
    if (limits === null) return false;
    const { moved, fee } = seen(draft.plan);
    const about = charge(draft, "purpose", draft.draw.between(1_000n, 900_000n));
    filled(draft, { windows: limits.windows, about, own: moved + positive(fee ?? 0n) });
    return true;
  },
  "window of the vault filled before": (draft) => {
    const limits = limitsOf(draft);
    if (limits === null) return false;
    const about = charge(draft, "vault", draft.draw.between(1_000n, 900_000n));
    filled(draft, {
      windows: limits.vaultWindows,
      about,
      own: sum(seen(draft.plan).flows.map(loss)),
    });
    return true;
  },
  "window of a destination filled before": (draft) => {
    const limits = limitsOf(draft, true);
    const output = anyOf(draft, draft.plan.intent.outputs);
    if (limits === null || output === null) return false;
    const sats = draft.draw.between(1_000n, 900_000n);
    const about = { ...charge(draft, "destination", sats), to: output.to };
    filled(draft, { windows: limits.destinationWindows, about, own: output.sats });
    return true;
  },
  "window of fees filled before": (draft) => {
    const about = charge(draft, "fees", draft.draw.between(100n, 90_000n));
    const own = positive(seen(draft.plan).fee ?? 0n);
    filled(draft, { windows: draft.plan.law.feeWindows, about, own });
    return true;
  },
  "window of another purpose filled": (draft) => {
    const about = { ...charge(draft, "purpose", 99_999_999n), purpose: "margin" as const };
    draft.plan.history.claims.push(claim(draft, { charges: [about] }));
    return draft.plan.intent.purpose !== "margin";
  },
  "coin signed away": (draft) => {
    const input = anyOf(draft, draft.plan.paper.inputs);
    if (input === null) return false;
    const { history } = draft.plan;
    const first = claim(draft, {
      coins: [input.coin, "gone x"],
      userSigned: draft.draw.chance(0.3),
    });
    history.claims.push(first);
    // A bump of it, with the coin or without.
    if (draft.draw.chance(0.4)) {
      const coins = draft.draw.chance(0.6) ? [input.coin] : ["gone x"];
      history.claims.push({ ...first, coins, tx: "another bumped" });
    }
    return true;
  },
  "coin signed away, and the rest of it buried": (draft) => {
    const { draw, plan } = draft;
    const input = anyOf(draft, plan.paper.inputs);
    if (input === null || plan.chain === null) return false;
    const spends = draw.pick([["gone x"], ["gone x"], ["gone y"], ["gone x", input.coin]]);
    plan.history.claims.push(claim(draft, { coins: [input.coin, "gone x"] }));
    const depth = plan.law.burial + draw.pick([0, 0, 1, -1]);
    plan.chain.burials.push({ tx: "undertaker", depth, spends });
    return true;
  },
  "signed before, lower fee": (draft) => {
    const { draw, plan } = draft;
    const { fee } = seen(plan);
    const before = draw.pick([1n, 1n, 0n]);
    const fees = charge(draft, "fees", positive((fee ?? 0n) - before));
    const coins = plan.paper.inputs.map(({ coin }) => coin);
    if (draw.chance(0.2)) coins.pop();
    const fixed = draw.pick(["same", "same", "unknown", "another"] as const);
    plan.history.claims.push(
      claim(draft, {
        ...{ intent: "own", tx: "before", coins, charges: [fees], fixed },
        anchor: plan.paper.inputs[0]?.coin ?? "gone",
      }),
    );
    return true;
  },
  "signed before, this very transaction": (draft) => {
    const { plan } = draft;
    const coins = plan.paper.inputs.map(({ coin }) => coin);
    const fees = charge(draft, "fees", 90_000n);
    plan.history.claims.push(claim(draft, { intent: "own", tx: "this", coins, charges: [fees] }));
    return true;
  },
  "taken back": (draft) => {
    const intent = draft.draw.pick(["own", "another"]);
    draft.plan.history.claims.push(claim(draft, { nonces: [{ kind: "cancel", intent }] }));
    return true;
  },
  "indices used before": (draft) => {
    const { draw, plan } = draft;
    const vault = draw.pick<VaultName>([plan.intent.vault, ...plan.intent.parties, "other"]);
    const index = draw.pick([1, 19, 20, 21, 40]);
    const coin = `another ${plan.history.claims.length}#1`;
    const place = { coin, vault, index, sats: 1_000n, gained: false };
    plan.history.claims.push(claim(draft, { places: [place] }));
    return true;
  },
  "claim drawn since": (draft) => {
    const { draw, plan } = draft;
    const statement = plan.evidence.statement;
    const [account] = statement?.accounts ?? [];
    if (statement === null || account === undefined) return false;
    const sats = draw.between(1_000n, 400_000n);
    const about = { ...charge(draft, "drawn", sats), vault: account.vault };
    const height = statement.height + draw.pick([0, -1, -1, 2]);
    const coins = draw.chance(0.2) ? account.credited.slice(0, 1) : ["gone drawn"];
    plan.history.claims.push(claim(draft, { charges: [about], height, coins }));
    return true;
  },
  "sats on their way": (draft) => {
    const { draw, plan } = draft;
    const { statement } = plan.evidence;
    const vault = statement?.accounts[0]?.vault;
    if (vault === undefined || statement === null || plan.chain === null) return false;
    const n = plan.history.claims.length;
    const sats = draw.between(1_000n, 60_000n);
    const place = { coin: `another ${n}#0`, vault, index: 3, sats, gained: draw.chance(0.8) };
    plan.history.claims.push(claim(draft, { purpose: "top-up", places: [place] }));
    const node = { sats, height: statement.height + 1, coinbase: false, otherScript: false };
    const at = { vault, branch: 1 as const, index: 3 };
    const then = draw.below(4);
    if (then === 1) plan.coins.set(`another ${n}#0`, { at, sats, node });
    if (then === 2 || then === 3) {
      const depth = plan.chain.height - statement.height + 1 + draw.pick([0, -1]);
      plan.chain.burials.push({ tx: `another ${n}`, depth, spends: ["gone z"] });
    }
    return true;
  },
  "coin that nobody credited": (draft) => {
    const { draw, plan } = draft;
    const vault = draw.pick([plan.intent.vault, ...plan.intent.parties]);
    const sats = draw.between(1_000n, 300_000n);
    const height = draw.pick([0, heightOf(draft) - 2, heightOf(draft) - 300]);
    plan.coins.set(`extra ${plan.coins.size}`, {
      at: { vault, branch: 0, index: 28 },
      sats,
      node: { sats, height, coinbase: false, otherScript: false },
    });
    return true;
  },
  "credited coin in flight": (draft) => {
    const coin = anyOf(draft, draft.plan.evidence.statement?.accounts[0]?.credited ?? []);
    if (coin === null) return false;
    draft.plan.history.claims.push(claim(draft, { coins: [coin], userSigned: false }));
    return true;
  },
  "taken under the mandate before": (draft) => {
    const { draw, plan } = draft;
    const mandate = plan.history.notices.find(({ kind }) => kind === "mandate");
    if (mandate?.kind !== "mandate") return false;
    const flow = seen(plan).flows.find(({ vault }) => vault === mandate.vault);
    const lost = flow === undefined ? 0n : loss(flow);
    const fee = positive(seen(plan).fee ?? 0n);
    const before = draw.between(1n, 40_000n);
    const about = draw.pick(["userless", "userless-fees", "refreshes"] as const);
    const [msAgo = 0, blocks = 0] = draw.pick([
      [719 * HOUR_MS, 4_319],
      [720 * HOUR_MS, 4_320],
      [100, 1],
    ]);
    const charges = [
      { ...charge(draft, about, about === "refreshes" ? 3n : before), vault: mandate.vault },
    ];
    const height = Math.max(0, heightOf(draft) - blocks);
    plan.history.claims.push(claim(draft, { charges, msAgo, height }));
    if (about === "userless") mandate.sats30d = written(cap(draft, lost + before));
    if (about === "userless-fees") mandate.fees30d = written(cap(draft, fee + before));
    if (about === "refreshes")
      mandate.refresh = Number(cap(draft, BigInt(flow?.inputs ?? 0) + 3n)) % 1_000;
    return true;
  },
  "user has signed something": (draft) => {
    const height = heightOf(draft) - draft.draw.pick([10, 4_000, 5_000]);
    if (height < 0) return false;
    draft.plan.history.claims.push(claim(draft, { userSigned: true, height }));
    return true;
  },
  "node does not answer": (draft) => {
    draft.plan.chain = null;
    draft.plan.history.height = draft.draw.pick([0, HEIGHT, HEIGHT]);
    return true;
  },
  "chain a few blocks on": ({ draw, plan }) => {
    if (plan.chain === null) return false;
    plan.chain.height += draw.pick([1, 3, 7, 150, -1]);
    return true;
  },
  "statement's block elsewhere": ({ draw, plan }) => {
    if (plan.chain === null) return false;
    plan.chain.block = draw.pick(["another", "untold"]);
    return true;
  },
  "vault not watched": ({ draw, plan }) => {
    if (plan.chain === null || plan.chain.watched.length === 0) return false;
    plan.chain.watched.splice(draw.below(plan.chain.watched.length), 1);
    return true;
  },
  "bump without the user": (draft) => {
    const { draw, plan } = draft;
    const [change] = changeOf(plan);
    if (plan.intent.purpose !== "withdrawal" || plan.law.role === "user") return false;
    if (change === undefined || change.sats < 10_000n) return false;
    const raise = draw.between(1n, 3_000n);
    plan.evidence.original = structuredClone(plan.paper);
    change.sats -= raise;
    for (const input of plan.paper.inputs) input.signatures = [];
    const { vault } = plan.intent;
    plan.history.notices.push({
      ...{ kind: "mandate", vault, no: 1, height: heightOf(draft) - 50, may: [] },
      ...{ sats30d: 0n, fees30d: 0n, bump: cap(draft, raise), refresh: 0, treasury: "treasury" },
      ...{ recovery: null, until: heightOf(draft) + 500 },
    });
    if (draw.chance(0.3)) plan.evidence.original.locktime -= draw.pick([100, 140, 300]);
    const signed = claim(draft, {
      ...{ intent: "own", tx: "original", fixed: "same", userSigned: true },
      coins: plan.paper.inputs.map(({ coin }) => coin),
      charges: [charge(draft, "fees", positive((seen(plan).fee ?? 0n) - raise))],
    });
    if (draw.chance(0.6)) plan.history.claims.push(signed);
    return true;
  },
};
