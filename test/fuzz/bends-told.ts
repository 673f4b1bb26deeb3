/** Bends of what people have agreed to, what users have told, and the other evidence. */
import { anyOf, atMost, type Bend, cap, capNumber, written } from "./bend.ts";
import { limitsOf } from "./bends-law.ts";
import { approve, type Draft, HEIGHT, mandate } from "./honest-parts.ts";
import { heightOf, loss, positive, seen } from "./model-spend.ts";
import { type Notice, PEOPLE } from "./plan.ts";

type Mandate = Extract<Notice, { kind: "mandate" }>;
const onMandate =
  (change: (mandate: Mandate, draft: Draft) => void): Bend =>
  (draft) => {
    const all = draft.plan.history.notices.filter((one) => one.kind === "mandate");
    const one = anyOf(draft, all);
    if (one === null) return false;
    change(one, draft);
    return true;
  };

const PEOPLES: Readonly<Record<string, Bend>> = {
  "approvals of people": ({ draw, plan }) => {
    approve(plan, 1 + draw.below(3));
    return true;
  },
  "limit lifted": (draft) => {
    const { draw, plan } = draft;
    const limits = limitsOf(draft);
    if (limits === null) return false;
    limits.perSpend = atMost(positive(seen(plan).moved - 1n));
    approve(plan, draw.pick([2, 2, 3, 1]), ["spend-limit"]);
    return true;
  },
  "list lifted": (draft) => {
    const { draw, plan } = draft;
    const limits = limitsOf(draft, true);
    if (limits === null) return false;
    limits.destinations = [{ to: { pay: "p2wpkh", n: 8 }, vault: null }];
    approve(plan, draw.pick([3, 3, 2]), ["destination-allowed"]);
    return true;
  },
  "fees lifted": ({ draw, plan }) => {
    const rule = draw.pick(["fee-absolute", "fee-share", "fee-budget", "window-limit"]);
    if (plan.law.lifts.every((lift) => lift.rule !== rule))
      plan.law.lifts.push({ rule, people: 2 });
    plan.law.feeSats = 10n;
    approve(plan, draw.pick([2, 2, 1]), [rule]);
    return true;
  },
  "lift that nobody may": ({ plan }) => {
    approve(plan, 2, ["coins-confirmed"]);
    return true;
  },
  "approval at its end": (draft) => {
    const { draw, plan } = draft;
    if (plan.evidence.approvals.length === 0) approve(plan, 2);
    const approval = anyOf(draft, plan.evidence.approvals);
    if (approval === null) return false;
    approval.until = Math.max(0, heightOf(plan) + draw.pick([0, 0, -1]));
    return true;
  },
  "approval of another spend": (draft) => {
    const { plan } = draft;
    if (plan.evidence.approvals.length === 0) approve(plan, 2);
    const approval = anyOf(draft, plan.evidence.approvals);
    if (approval !== null) approval.for = "another";
    return true;
  },
  "approval twice": ({ plan }) => {
    if (plan.evidence.approvals.length === 0) approve(plan, 1);
    const [first] = plan.evidence.approvals;
    if (first !== undefined) plan.evidence.approvals.push({ ...first });
    return true;
  },
  "tier with people enough, or not": (draft) => {
    const { draw, plan } = draft;
    const limits = limitsOf(draft);
    if (limits === null) return false;
    const people = 1 + draw.below(3);
    limits.tiers = [{ above: atMost(positive(seen(plan).moved - 1n)), people }];
    approve(plan, Math.min(PEOPLE.length, Math.max(1, people - draw.pick([0, 0, 1]))));
    return true;
  },
};

const TOLD: Readonly<Record<string, Bend>> = {
  "mandate missing": ({ plan }) => {
    const { notices } = plan.history;
    plan.history.notices = notices.filter(({ kind }) => kind !== "mandate");
    return plan.history.notices.length < notices.length;
  },
  "mandate at its end": onMandate((one, { draw, plan }) => {
    one.until = Math.max(0, heightOf(plan) + draw.pick([0, 0, -1, 1]));
  }),
  "mandate that reaches far": onMandate((one, { draw, plan }) => {
    one.until = one.height + draw.pick([26_000, 26_000, 26_001]);
    plan.history.height = Math.max(plan.history.height, 0);
  }),
  "mandate revoked": onMandate((one, { draw, plan }) => {
    const no = one.no + draw.pick([0, -1, 1]);
    plan.history.notices.push({ kind: "revoke", vault: one.vault, no, height: HEIGHT - 5 });
  }),
  "mandate replaced": onMandate((one, { draw, plan }) => {
    const no = one.no + draw.pick([1, 0, -1]);
    plan.history.notices.push(mandate(one.vault, { no, may: draw.pick([[], one.may]) }));
  }),
  "mandate covers less": onMandate((one, { draw }) => {
    one.may = one.may.filter(() => draw.chance(0.6));
  }),
  "mandate's sats": onMandate((one, draft) => {
    const flow = seen(draft.plan).flows.find(({ vault }) => vault === one.vault);
    one.sats30d = written(cap(draft, flow === undefined ? 0n : loss(flow)));
  }),
  "mandate's fees": onMandate((one, draft) => {
    one.fees30d = written(cap(draft, positive(seen(draft.plan).fee ?? 0n)));
  }),
  "mandate's refreshes": onMandate((one, draft) => {
    one.refresh = capNumber(draft, draft.plan.paper.inputs.length) % 1_000;
  }),
  "mandate for another treasury": onMandate((one) => {
    one.treasury = "false";
  }),
  "mandate names another recovery key": onMandate((one, { draw }) => {
    one.recovery = draw.pick([null, "other", "recovery"]);
  }),
  "recovery announced when": ({ draw, plan }) => {
    const said = plan.history.notices.find(
      ({ kind }) => kind === "lsp-gone" || kind === "user-lost",
    );
    const delay = plan.law.purposes[plan.intent.purpose]?.delay ?? 0;
    if (said === undefined) return false;
    const waited = delay + draw.pick([0, -1, 4_320, 4_321]);
    said.height = Math.max(0, heightOf(plan) - waited);
    return true;
  },
  "recovery announced again": ({ draw, plan }) => {
    const said = plan.history.notices.find(
      ({ kind }) => kind === "lsp-gone" || kind === "user-lost",
    );
    if (said === undefined) return false;
    plan.history.notices.push({
      ...said,
      no: said.no + 1,
      height: said.height + draw.pick([5, 5_000]),
    });
    return true;
  },
  "recovery stopped": ({ draw, plan }) => {
    const said = plan.history.notices.find(
      ({ kind }) => kind === "lsp-gone" || kind === "user-lost",
    );
    if (said === undefined) return false;
    const no = said.no + draw.pick([0, -1, 1]);
    const height = said.height + draw.pick([0, -1, 3]);
    plan.history.notices.push({
      kind: draw.pick(["stop", "revoke"]),
      vault: said.vault,
      no,
      height,
    });
    return true;
  },
  "recovery of another": ({ plan }) => {
    const said = plan.history.notices.find(
      ({ kind }) => kind === "lsp-gone" || kind === "user-lost",
    );
    if (said?.kind === "user-lost") said.to = "other";
    else if (said !== undefined) said.vault = "other";
    return said !== undefined;
  },
  "recovery to a vault with an old key": ({ plan }) => {
    if (plan.intent.purpose !== "recovery-user-lost") return false;
    plan.intent.parties = ["stale"];
    for (const { to } of plan.paper.outputs) if ("vault" in to) to.vault = "stale";
    for (const one of plan.history.notices) if (one.kind === "user-lost") one.to = "stale";
    return true;
  },
  "another node named": ({ draw, plan }) => {
    const node = draw.pick(["other-node", "user-node"] as const);
    const no = draw.pick([0, 1, 2]);
    const { vault } = plan.intent;
    plan.history.notices.push({ kind: "node", vault, no, height: HEIGHT - 5, node });
    return plan.evidence.funding !== null;
  },
  "another delegate": ({ draw, plan }) => {
    const { vault } = plan.intent;
    const sats = draw.pick([0n, 1_000_000n]);
    const until = Math.max(0, heightOf(plan) + draw.pick([0, -1, 100]));
    const no = draw.pick([0, 2]);
    plan.history.notices.push({ kind: "delegate", vault, no, height: HEIGHT - 5, sats, until });
    return plan.evidence.operations.length > 0;
  },
};

const MORE: Readonly<Record<string, Bend>> = {
  "operation bent": (draft) => {
    const { draw, plan } = draft;
    const operation = anyOf(draft, plan.evidence.operations);
    if (operation === null) return false;
    const bends: readonly (() => void)[] = [
      () => (operation.sats += draw.pick([1n, -1n])),
      () => (operation.by = draw.pick(["stranger", "delegate", "vault"])),
      () => (operation.good = false),
      () => (operation.number = draw.pick([1, 2, 9])),
      () => (operation.do = "unlock"),
      () => (operation.vault = "other"),
    ];
    draw.pick(bends)();
    return true;
  },
  "operation more": ({ draw, plan }) => {
    const sats = draw.between(1n, 1_000n);
    plan.evidence.operations.push({
      ...{ vault: "user", number: 7, do: draw.pick(["unlock", "lock"]), sats, by: "vault" },
      good: draw.chance(0.9),
    });
    return true;
  },
  "operation used before": (draft) => {
    const { draw, plan } = draft;
    const operation = anyOf(draft, plan.evidence.operations);
    if (operation === null) return false;
    const { vault } = operation;
    const number = operation.number + draw.pick([0, 50]);
    plan.history.claims.push({
      ...{ intent: "locked before", purpose: "escrow-in", vault, tx: "locked before" },
      ...{ anchor: "gone lock", coins: ["gone lock"], charges: [], places: [], userSigned: false },
      ...{ fixed: "unknown", nonces: [{ kind: "operation", vault, number }], msAgo: 1, height: 1 },
    });
    return true;
  },
  "funding bent": ({ draw, plan }) => {
    const { funding } = plan.evidence;
    if (funding === null) return false;
    const bends: readonly (() => void)[] = [
      () => (funding.sats += 1n),
      () => (funding.user = draw.pick(["other-node", "lsp-node"])),
      () => (funding.lsp = draw.pick(["other-node", "user-node"])),
      () => (funding.good = false),
    ];
    draw.pick(bends)();
    return true;
  },
  "funding brought for nothing": ({ plan }) => {
    if (plan.evidence.funding !== null) return false;
    plan.evidence.funding = { sats: 1_000n, user: "user-node", lsp: "lsp-node", good: true };
    return true;
  },
  "original left out": ({ plan }) => {
    const had = plan.evidence.original !== null;
    plan.evidence.original = null;
    return had;
  },
  "original bent": (draft) => {
    const { draw, plan } = draft;
    const { original } = plan.evidence;
    if (original === null) return false;
    const bends: readonly (() => void)[] = [
      () => original.inputs.reverse(),
      () => original.inputs.pop(),
      () => {
        for (const input of original.inputs) input.signatures = [];
      },
      () => {
        const output = anyOf(draft, original.outputs);
        if (output !== null) output.sats -= 1n;
      },
    ];
    draw.pick(bends)();
    return original.inputs.length > 0;
  },
  "original brought for nothing": ({ plan }) => {
    if (plan.evidence.original !== null) return false;
    plan.evidence.original = structuredClone(plan.paper);
    return plan.paper.inputs.every(({ coin }) => coin !== "virtual");
  },
  "reserves left out, or brought": ({ plan }) => {
    plan.evidence.reserves = !plan.evidence.reserves;
    return true;
  },
};

export const TOLD_BENDS: Readonly<Record<string, Bend>> = { ...PEOPLES, ...TOLD, ...MORE };
