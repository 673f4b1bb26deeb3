/**
 * Thefts by what is said: of an account, of a spend's purpose, of whose coins it takes, of what was
 * agreed before. Each is tried on an LSP's and a trustee's guard at once, beside its honest twin.
 */
import { beforeEach, describe, it } from "vitest";
import { recoveryHash } from "../../policies/evidence/notice.ts";
import type { Purpose } from "../../policies/intent.ts";
import { RECEIVE } from "../../policies/vault.ts";
import { approvals, PEOPLE } from "../support/proofs.ts";
import {
  collect,
  collectBatch,
  escrowOut,
  type Knobs,
  LAW,
  OWN_COIN,
  RECOVERY_VAULT,
  recoveryLspGone,
  recoveryUserLost,
  topUp,
  withdrawal,
} from "../support/purposes.ts";
import { signedBytes } from "../support/signer-room.ts";
import {
  HEIGHT,
  honest,
  OTHER_VAULT,
  type Spend,
  type TestVault,
  TREASURY,
  USER_VAULT,
} from "../support/spend.ts";
import {
  again,
  base64,
  coinOf,
  known,
  named,
  pay,
  receive,
  small,
  theftRoom,
} from "../support/theft-room.ts";
import { ask, at, lawOf, SEATS, type SeatRole, see } from "../support/two-signers.ts";

const USER = USER_VAULT.vault.id;
const OTHER = OTHER_VAULT.vault.id;

const { two, open, expectTheft, expectSigned, tell, mandated } = theftRoom();

/** Both remember the first entry of the log. */
const sinceThen: NonNullable<Knobs["evidence"]> = ({ logs = [], ...evidence }) => ({
  ...evidence,
  logs: logs.map((log) => ({ ...log, entries: log.entries.slice(1) })),
});

describe("the house's coins are credited to a user as a deposit", () => {
  const topped = honest(topUp());
  const collected = honest(collect());
  const ELSEWHERE = `${"d2".repeat(32)}:0`;
  /** 2,500,000 sat, of which the claim covers 2,098,001 without what is credited. */
  const taken = (reference: string) =>
    honest(
      withdrawal({
        intent: named("another"),
        statement: { index: 31 },
        account: { idleSats: 600_000n, credited: { reference, idleSats: 500_000n } },
        evidence: sinceThen,
        spend: { payments: [pay(2_500_000n)] },
      }),
    );
  const refused = {
    lsp: "refused: account-proven",
    trustee: "refused: account-proven, spend-limit",
  };

  beforeEach(() => mandated());

  it("a top-up", async () => {
    await expectSigned(topped);
    await expectTheft(taken(`${topped.facts.txid}:0`), refused);
  });
  it("a top-up, written otherwise", async () => {
    await expectSigned(topped);
    await expectTheft(taken(`${topped.facts.txid}:00`), refused);
  });
  it("what a collect gave back", async () => {
    await expectSigned(collected);
    await expectTheft(taken(`${collected.facts.txid}:1`), refused);
  });
  it("a top-up, to be topped up once more", async () => {
    await expectSigned(topped);
    const reference = `${topped.facts.txid}:0`;
    const more = honest(
      topUp({
        intent: named("another"),
        statement: { index: 31 },
        account: {
          ...{ outpoints: [OWN_COIN.outpoint], deficitSince: HEIGHT - 500 },
          ...{ idleSats: 598_001n, credited: { reference, idleSats: 498_001n } },
        },
        evidence: sinceThen,
        spend: { change: 2_000_000n },
        sats: 498_001n,
      }),
    );
    await expectTheft(more, "refused: account-proven");
  });
  it("honest: a deposit from elsewhere", async () => {
    await expectSigned(topped);
    await expectSigned(taken(ELSEWHERE), ["lsp"], ["user", "lsp"]);
  });
});

describe("a claim is more than its log explains", () => {
  const credited = { reference: `${"d2".repeat(32)}:0`, idleSats: 500_000n };
  const more = (evidence: Knobs["evidence"], account: Knobs["account"] = { credited }) =>
    honest(
      withdrawal({
        intent: named("another"),
        statement: { index: 31 },
        account: { idleSats: 600_000n, ...account },
        ...(evidence && { evidence }),
        spend: { payments: [pay(2_500_000n)] },
      }),
    );
  const changed: NonNullable<Knobs["evidence"]> = (evidence, spend) => {
    const { logs = [], ...rest } = sinceThen(evidence, spend);
    const entry = { kind: "deposit", reference: `${"d3".repeat(32)}:0` } as const;
    return {
      ...rest,
      logs: logs.map((log) => ({
        ...log,
        entries: log.entries.map((said) => ({ ...said, ...entry })),
      })),
    };
  };
  const refused = {
    lsp: "refused: account-proven",
    trustee: "refused: account-proven, spend-limit",
  };

  beforeEach(async () => {
    await mandated();
    await expectSigned(honest(topUp()));
  });

  it("an entry is left out", () => expectTheft(more(known), refused));
  it("an entry is another than the log's", () => expectTheft(more(changed), refused));
  it("the entry that both remember says more now", () => expectTheft(more(known, {}), refused));
  it("the log starts anew", () => expectTheft(more(undefined, {}), refused));
  it("honest: each entry since then", () =>
    expectSigned(more(sinceThen), ["lsp"], ["user", "lsp"]));
});

describe("a batch moves sats from one user's vault to another's", () => {
  beforeEach(async () => {
    await mandated();
    await mandated({}, OTHER_VAULT);
  });

  it("out of a surplus", () =>
    expectTheft(
      honest(collectBatch({ returned: [2_400_001n, 2_102_003n] })),
      "refused: collect-gives-nothing",
    ));
  it("out of a claim", () =>
    expectTheft(
      honest(collectBatch({ returned: [2_400_000n, 2_102_002n] })),
      "refused: collect-leaves-claim",
    ));
  it("out of a claim, to more than it had", () =>
    expectTheft(
      honest(collectBatch({ returned: [2_500_000n, 2_002_003n] })),
      "refused: collect-gives-nothing, collect-leaves-claim",
    ));
  it("where one of them has given no mandate", async () => {
    await tell("revoke", { vault: OTHER, no: 1 }, OTHER_VAULT);
    await expectTheft(honest(collectBatch()), "refused: mandate-live");
  });
  it("honest: each keeps its own claim", () => expectSigned(honest(collectBatch())));
});

describe("a spend bears another's label", () => {
  const labelled =
    (purpose: Purpose, part: Partial<Parameters<NonNullable<Knobs["intent"]>>[0]> = {}) =>
    (content: Parameters<NonNullable<Knobs["intent"]>>[0]) => ({ ...content, purpose, ...part });

  beforeEach(() => mandated());

  it("a collect is called a withdrawal", () =>
    expectTheft(
      honest(collect({ intent: labelled("withdrawal", pays(300_000n)) })),
      "refused: outputs-as-intended, purpose-fits, user-signs-first",
    ));
  it("a collect below the claim is called a consolidation", () =>
    expectTheft(
      honest(collect({ returned: 1_000_000n, intent: labelled("consolidation", { parties: [] }) })),
      "refused: consolidation-worth, outputs-as-intended, purpose-fits, user-signs-first",
    ));
  it("a collect below the claim is called a top-up", () =>
    expectTheft(
      honest(collect({ returned: 1_000_000n, intent: labelled("top-up") })),
      "refused: purpose-fits, user-signs-first",
    ));
  it("a top-up beyond the deficit is called a collect", () =>
    expectTheft(
      honest(topUp({ sats: 900_000n, intent: labelled("collect") })),
      "refused: purpose-fits",
    ));
  it("a withdrawal is called a collect", () =>
    expectTheft(
      honest(
        withdrawal({
          intent: labelled("collect", { outputs: [], parties: [TREASURY.vault.id] }),
          spend: { signed: [] },
        }),
      ),
      "refused: collect-leaves-claim, outputs-as-intended, purpose-fits, user-signs-first",
    ));
  it("honest: a collect, and a top-up, by their names", async () => {
    await expectSigned(honest(collect()));
    await expectSigned(honest(topUp(again({ statement: { index: 31 } }))));
  });
});

function pays(sats: bigint): Pick<Spend["intent"], "outputs"> {
  return { outputs: small({}, { payments: [pay(sats)] }).intent.outputs };
}

function nameOf({ vault }: TestVault): string {
  const user = vault.holders.find(({ role }) => role === "user");
  if (user === undefined) throw new Error("the vault has no user");
  return recoveryHash(user.key);
}

describe("what one vault's user has said is used for another vault's coins", () => {
  /** The mandate and the announcement of the recovery from the old vault to the new one. */
  beforeEach(async () => {
    at(two(), 100);
    await mandated({ recovery: nameOf(RECOVERY_VAULT), until: 2_000 });
  });

  async function lost(): Promise<void> {
    at(two(), 5_680);
    const to = RECOVERY_VAULT.vault.id;
    await tell("user-lost", { vault: USER, no: 1, to }, RECOVERY_VAULT);
  }

  it("a recovery runs backwards, to the keys that were lost", async () => {
    await lost();
    const backwards = honest(
      recoveryUserLost({
        intent: (content) => ({
          ...content,
          vault: USER,
          parties: [RECOVERY_VAULT.vault.id],
        }),
        spend: {
          from: RECOVERY_VAULT,
          parties: [USER_VAULT],
          payments: [{ script: receive(USER_VAULT), sats: 2_000_000n }],
        },
      }),
    );
    await expectTheft(backwards, "refused: inputs-of-the-vault");
  });
  it("a recovery takes a third vault's coins along", async () => {
    await lost();
    const along = honest(
      recoveryUserLost({
        spend: {
          coins: [
            { branch: RECEIVE, index: 0 },
            { branch: RECEIVE, index: 0, from: OTHER_VAULT },
          ],
          parties: [RECOVERY_VAULT],
        },
      }),
    );
    await expectTheft(along, "refused: inputs-of-the-vault, purpose-fits, user-signs-first");
  });
  it("honest: a recovery runs forwards, with its own coins", async () => {
    await lost();
    await expectSigned(honest(recoveryUserLost()));
  });

  const gone = (knobs: Knobs = {}) => honest(recoveryLspGone(knobs));

  it("an LSP is gone for another vault only", async () => {
    at(two(), HEIGHT - 144);
    await tell("lsp-gone", { vault: OTHER, no: 1 }, OTHER_VAULT);
    await expectTheft(
      gone({
        intent: (content) => ({ ...content, vault: OTHER, parties: [USER] }),
        spend: { parties: [OTHER_VAULT] },
      }),
      {
        lsp: "refused: inputs-of-the-vault, purpose-signers",
        trustee: "refused: inputs-of-the-vault",
      },
    );
  });
  it("honest: it is gone for this one", async () => {
    at(two(), HEIGHT - 144);
    await tell("lsp-gone", { vault: USER, no: 1 });
    await expectSigned(gone(), ["trustee"], ["user", "trustee"]);
  });
});

describe("a payment that the user signed long ago and that was never sent", () => {
  const old = small();
  const raised = (height: number) =>
    small(
      {
        tx: (tx) => ({ ...tx, locktime: height }),
        chain: (chain) => ({ ...chain, height }),
        evidence: (evidence) => ({ ...evidence, original: base64(old.bytes) }),
      },
      { signed: [], change: 495_000n, coins: [{ branch: RECEIVE, index: 0, sats: coinOf(old) }] },
    );

  beforeEach(() => mandated());

  it("is sent by a bump, for which no user is asked", () =>
    expectTheft(raised(HEIGHT + 145), "refused: user-signs-first"));
  it("honest: while it may still be signed", () => expectSigned(raised(HEIGHT + 144)));
});

describe("an approval is shown again for a bump", () => {
  const { collect: limits } = LAW.purposes;
  const tiered = { ...limits, approvals: [{ above_sats: 200_000, people: 1 }] };
  const law = { ...LAW, purposes: { ...LAW.purposes, collect: tiered } };
  type Approvals = ReturnType<typeof approvals>;
  const approved = (
    by: (seat: SeatRole, spend: Parameters<typeof approvals>[0]) => Approvals,
    { spend = {}, evidence }: Knobs = {},
  ) => {
    const made = (seat: SeatRole) =>
      honest(
        collect({
          spend,
          law: lawOf(seat, law),
          evidence: (brought, whole) => ({
            ...(evidence?.(brought, whole) ?? brought),
            approvals: by(seat, whole),
          }),
        }),
      );
    return { lsp: made("lsp"), trustee: made("trustee") };
  };
  const first = approved((_, spend) => approvals(spend, PEOPLE.slice(0, 1)));
  const bump: Knobs = {
    evidence: known,
    spend: {
      coins: [{ branch: RECEIVE, index: 0, sats: coinOf(first.lsp) }],
      payments: [{ script: receive(TREASURY), sats: 299_000n }],
    },
  };

  beforeEach(async () => {
    await open({ law });
    await mandated();
    await expectSigned(first);
  });

  it("of the same payment", () =>
    expectTheft(
      approved((seat) => [...(first[seat].evidence?.approvals ?? [])], bump),
      "refused: approvals-enough, approvals-valid",
    ));
  it("honest: people have approved the bump", () =>
    expectSigned(approved((_, spend) => approvals(spend, PEOPLE.slice(0, 1)), bump)));
});

describe("escrow pays a user what the user has withdrawn already", () => {
  /** The coin that the statement credits is spent by the user and the LSP; the trustee was not asked. */
  const own = honest(
    withdrawal({
      spend: { payments: [pay(1_500_000n)], change: 98_200n },
    }),
  );
  const credited = own.facts.inputs[0]?.outpoint ?? "";
  const paidOut = (coins: readonly (typeof OWN_COIN)[], knobs: Knobs = {}) =>
    honest(
      escrowOut({
        account: { outpoints: [credited] },
        coins: (seen) => new Map([...seen, [USER, coins]]),
        ...knobs,
      }),
    );
  const there = { ...OWN_COIN, outpoint: credited };

  it("while the payment is under way, and after it", async () => {
    await expectSigned(own, ["lsp"], ["user", "lsp"]);
    // Now the trustee's node sees it, too.
    await expectTheft(
      { lsp: paidOut([there], again()), trustee: paidOut([]) },
      { lsp: "refused: accounts-settled, within-deficit", trustee: "held: accounts-settled" },
    );
    await expectTheft(
      { lsp: paidOut([], again()), trustee: paidOut([]) },
      "held: accounts-settled",
    );
  });
  it("honest: what the vault lacks, where nobody has withdrawn", () =>
    expectSigned(paidOut([there])));
});

describe("a half-signed collect, and a payment of which the trustee has not heard", () => {
  const collected = honest(collect());
  const coins = [{ branch: RECEIVE, index: 0, sats: coinOf(collected) }] as const;
  const bumped = (knobs: Knobs = {}) =>
    honest(
      collect({
        ...knobs,
        spend: { coins, payments: [{ script: receive(TREASURY), sats: 299_000n }] },
      }),
    );
  /** As a node sees it when the payment is in its mempool. */
  const spent: Knobs = {
    chain: (chain) => ({
      ...chain,
      coins: new Map([...chain.coins].map(([id]) => [id, { kind: "missing" }])),
    }),
    coins: (seen) => new Map([...seen, [USER, []]]),
  };

  beforeEach(async () => {
    await mandated();
    see(two(), collected);
    signedBytes(await ask(two().lsp, collected));
    const paid = small({}, { coins, change: 2_002_003n });
    await expectSigned(paid, ["lsp"], ["user", "lsp"]);
  });

  it("the collect comes back with a higher fee, once the payment is sent", () =>
    expectTheft(
      { lsp: bumped({ evidence: known }), trustee: bumped(spent) },
      {
        lsp: "refused: accounts-settled, coins-unclaimed",
        trustee: "held: accounts-settled, coins-confirmed",
      },
    ));
});

describe("another user's coin of a batch is collected anew", () => {
  const BLOCK = "b2".repeat(32);
  const TXID = "b1".repeat(32);
  const batch = honest(collectBatch());
  const anchor = batch.facts.inputs[0]?.outpoint ?? "";
  const other = batch.tx.inputs[2];
  const anew = () =>
    honest(
      collect({
        ...again({
          statement: { index: 31 },
          account: { vault: OTHER, outpoints: [batch.facts.inputs[2]?.outpoint ?? ""] },
          evidence: (evidence) => ({
            ...evidence,
            ...{ logs: [], burials: [{ txid: TXID, block: BLOCK }] },
          }),
          tx: (tx) => ({ ...tx, inputs: other === undefined ? [] : [other] }),
        }),
        spend: {
          from: OTHER_VAULT,
          coins: [{ branch: RECEIVE, index: 0, sats: 2_500_000n }],
          payments: [{ script: receive(TREASURY), sats: 396_197n }],
          change: 2_102_003n,
        },
      }),
    );
  const buried = (spends: readonly string[], depth: number) => {
    for (const seat of SEATS) two()[seat].chain.burials.set(TXID, { depth, spends, block: BLOCK });
  };

  beforeEach(async () => {
    await mandated();
    await mandated({}, OTHER_VAULT);
    await expectSigned(batch);
  });

  it("while the batch may still confirm", () =>
    expectTheft(anew(), "refused: accounts-settled, coins-unclaimed"));
  it("after a shallow spend of its anchor", () => {
    buried([anchor], 99);
    return expectTheft(anew(), "refused: accounts-settled, coins-unclaimed");
  });
  it("honest: after a deep spend of its anchor", () => {
    buried([anchor], 100);
    return expectSigned(anew());
  });
});
