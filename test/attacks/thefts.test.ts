/**
 * The thefts that the purposes were written against (architecture section 3), each tried by an evil
 * orchestrator on an LSP's and a trustee's guard at once. Beside each stands its honest twin, which
 * two signatures finish: so a theft that fails, fails for what is wrong in it.
 */
import { beforeEach, describe, expect, it } from "vitest";
import { fromHex } from "../../policies/bitcoin/hash.ts";
import { IN } from "../../policies/bitcoin/psbt-fields.ts";
import { recoveryHash } from "../../policies/evidence/notice.ts";
import { CHANGE, RECEIVE, type Role } from "../../policies/vault.ts";
import { traces } from "../support/bent-room.ts";
import { approvals, mandateFields, PEOPLE } from "../support/proofs.ts";
import {
  collect,
  collectBatch,
  consolidation,
  type Knobs,
  LAW,
  OWN_COIN,
  proofOfReserves,
  RECOVERY_VAULT,
  recoveryLspGone,
  recoveryUserLost,
  refresh,
  topUp,
  withdrawal,
} from "../support/purposes.ts";
import { registrationOf, signedBytes } from "../support/signer-room.ts";
import {
  EXIT_VAULT,
  HEIGHT,
  honest,
  OTHER_VAULT,
  onInput,
  type SpendOptions,
  type TestVault,
  TREASURY,
  testVault,
  USER_VAULT,
  withoutFields,
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
  verdict,
} from "../support/theft-room.ts";
import {
  ask,
  at,
  lawOf,
  SEATS,
  type SeatRole,
  SMALL_TIER,
  see,
  wordsOf,
} from "../support/two-signers.ts";

const USER = USER_VAULT.vault.id;

const { two, open, expectTheft, expectSigned, tell, mandated, cancelOf } = theftRoom();

describe("a statement that has served is brought again, to top up once more", () => {
  const more = (index: number) =>
    honest(
      topUp({
        ...again({ statement: { index }, spend: { change: 2_000_000n } }),
        sats: 98_001n,
      }),
    );

  beforeEach(async () => {
    await mandated();
    await expectSigned(honest(topUp({ sats: 400_000n })));
  });

  it("the same", () => expectTheft(more(30), "refused: statement-once"));
  it("an older one", () => expectTheft(more(29), "refused: statement-once"));
  it("honest: the next one, for what is still lacking", () => expectSigned(more(31)));
});

describe("a vault is topped up while a top-up is under way", () => {
  const second = (sats: bigint) =>
    honest(topUp({ ...again({ statement: { index: 31 }, spend: { change: 2_000_000n } }), sats }));

  beforeEach(async () => {
    await mandated();
    await expectSigned(honest(topUp({ sats: 400_000n })));
  });

  it("with a sat more than is still lacking", () =>
    expectTheft(second(98_002n), "refused: within-deficit"));
  it("honest: with what is still lacking", () => expectSigned(second(98_001n)));
});

describe("a collect takes what is the user's", () => {
  beforeEach(() => mandated());

  it("the idle sats", () =>
    expectTheft(honest(collect({ returned: 2_002_003n })), "refused: collect-leaves-claim"));
  it("a sat of the claim", () =>
    expectTheft(honest(collect({ returned: 2_102_002n })), "refused: collect-leaves-claim"));
  it("a coin that no statement has credited", () => {
    const spend = { coins: 2 };
    const first = honest(collect({ spend })).facts.inputs[0]?.outpoint ?? "";
    return expectTheft(
      honest(collect({ spend, account: { outpoints: [first] } })),
      "refused: collect-credited-coins",
    );
  });
  it("honest: what is beyond the claim, of coins that are credited", () =>
    expectSigned(honest(collect({ spend: { coins: 2 } }))));
});

describe("a user takes the treasury's surplus along", () => {
  const taking = (idleSats: bigint) => honest(withdrawal({ account: { idleSats } }));

  it("a sat beyond the claim", () =>
    expectTheft(taking(3_798n), {
      lsp: "refused: within-claim",
      trustee: "refused: spend-limit, within-claim",
    }));
  it("honest: the whole claim", () => expectSigned(taking(3_799n), ["lsp"], ["user", "lsp"]));

  describe("after a withdrawal that the statement does not know", () => {
    const second = (sats: bigint, knobs = again()) =>
      honest(withdrawal({ ...knobs, spend: { payments: [pay(sats)], change: 700_000n } }));

    beforeEach(async () => {
      const first = honest(withdrawal({ spend: { payments: [pay(1_500_000n)] } }));
      await expectSigned(first, ["lsp"], ["user", "lsp"]);
    });

    it("a sat beyond what is left of the claim", () =>
      // The trustee has heard of no withdrawal, but pays out nothing as large.
      expectTheft(
        { lsp: second(594_402n), trustee: second(594_402n, { intent: named("another") }) },
        { lsp: "refused: within-claim", trustee: "refused: spend-limit" },
      ));
    it("honest: what is left of it", () =>
      expectSigned(second(594_401n), ["lsp"], ["user", "lsp"]));
  });
});

describe("many small payments without a proof take more than one of them may", () => {
  const windows = [{ hours: 24, sats: 900_000 }];
  const { withdrawal: limits } = LAW.purposes;
  const capped = { ...limits, vault_windows: windows };
  const law = { ...LAW, purposes: { ...LAW.purposes, withdrawal: capped } };
  const paid = (n: number) =>
    small(
      { intent: named(`payment ${n}`) },
      { payments: [pay(400_000n, n)], change: 500_000n + BigInt(n) },
    );

  beforeEach(async () => {
    await open({ law });
    await expectSigned(paid(1), SEATS, ["user", "trustee"]);
  });

  it("the third", async () => {
    await expectSigned(paid(2), SEATS, ["user", "lsp"]);
    await expectTheft(paid(3), "held: window-limit");
  });
  it("honest: the second, which the vault's window has room for", () =>
    expectSigned(paid(2), SEATS, ["user", "lsp"]));
});

/** The user's recovery key, which the mandate names, beside others' keys. */
function beside(held: Parameters<typeof testVault>[0]["held"], seed: string): TestVault {
  const user = RECOVERY_VAULT.parties.get("user");
  return testVault({ seed, held: { ...held, ...(user && { user }) } });
}

const ATTACKERS = beside({}, "attacker");
const oldLsp = USER_VAULT.parties.get("lsp");
const REUSED = beside(oldLsp === undefined ? {} : { lsp: oldLsp }, "reused");

function nameOf({ vault }: TestVault): string {
  const user = vault.holders.find(({ role }) => role === "user");
  if (user === undefined) throw new Error("the vault has no user");
  return recoveryHash(user.key);
}

describe("the coins of a lost user", () => {
  const recovered = (to = RECOVERY_VAULT) =>
    honest(
      recoveryUserLost({
        spend: {
          parties: [to],
          payments: [{ script: receive(to), sats: 2_000_000n }],
        },
      }),
    );

  /** The mandate of block 100, and 4,320 blocks before the spend the announcement. */
  async function announced(to = RECOVERY_VAULT, recovery = nameOf(RECOVERY_VAULT)): Promise<void> {
    at(two(), 100);
    await mandated({ recovery, until: 2_000 });
    at(two(), 5_680);
    await tell("user-lost", { vault: USER, no: 1, to: to.vault.id }, to);
  }

  it("go to the attacker's keys beside the recovery key: such a vault is registered nowhere", async () => {
    await announced();
    for (const seat of SEATS) {
      const { signer } = two()[seat];
      const registered = await signer.registerVault(registrationOf(ATTACKERS));
      expect(registered).toMatchObject({ kind: "refused" });
      const to = ATTACKERS.vault.id;
      const heard = await signer.tell(wordsOf("user-lost", { vault: USER, no: 2, to }, ATTACKERS));
      expect(heard).toMatchObject({ kind: "refused" });
    }
    const rules = "outputs-as-intended, purpose-fits, recovery-announced, user-signs-first";
    await expectTheft(recovered(ATTACKERS), `refused: ${rules}, vault-registered`);
  });

  it("go to a key that the mandate does not name", async () => {
    await announced(RECOVERY_VAULT, nameOf(OTHER_VAULT));
    await expectTheft(recovered(), "refused: recovery-to-named-key");
  });

  it("go to a vault with a key of the old one", async () => {
    await open({ vaults: [REUSED] });
    await announced(REUSED);
    await expectTheft(recovered(REUSED), "refused: recovery-to-named-key");
  });

  it("go before the delay is over", async () => {
    at(two(), 100);
    await mandated({ recovery: nameOf(RECOVERY_VAULT), until: 2_000 });
    at(two(), 5_681);
    const { id: to } = RECOVERY_VAULT.vault;
    await tell("user-lost", { vault: USER, no: 1, to }, RECOVERY_VAULT);
    await expectTheft(recovered(), "held: recovery-announced");
  });

  it("go although the user has signed meanwhile", async () => {
    await announced();
    at(two(), 6_000);
    const paid = small({
      tx: (tx) => ({ ...tx, locktime: 6_000 }),
      chain: (chain) => ({ ...chain, height: 6_000 }),
    });
    await expectSigned(paid, SEATS, ["user", "trustee"]);
    await expectTheft(recovered(), "refused: recovery-announced");
  });

  it("honest: go to the key that the mandate names, beside fresh ones", async () => {
    await announced();
    await expectSigned(recovered());
  });
});

describe("fees burn a user's coins", () => {
  const second = (knobs: Knobs = {}) =>
    honest(consolidation(again({ spend: { change: 2_900_000n }, ...knobs })));

  it("beyond the mandate at once", async () => {
    await mandated({ fees30d: 1_899 });
    await expectTheft(honest(consolidation()), "refused: mandate-limits");
  });
  it("beyond the mandate, one consolidation after the other", async () => {
    await mandated({ fees30d: 3_799 });
    await expectSigned(honest(consolidation()));
    await expectTheft(second(), "held: mandate-limits");
  });
  it("honest: within it", async () => {
    await mandated({ fees30d: 3_800 });
    await expectSigned(honest(consolidation()));
    await expectSigned(second());
  });
  it("by refreshes beyond those of a year", async () => {
    await mandated({ refresh: 1 }, EXIT_VAULT);
    await expectSigned(honest(refresh()));
    const next = honest(
      refresh({ intent: named("another"), spend: { change: 1_900_000n, feeSats: 500n } }),
    );
    await expectTheft(next, "held: mandate-limits");
  });
  it("by a refresh that is not due", async () => {
    await mandated({}, EXIT_VAULT);
    await expectTheft(honest(refresh({ age: 15_767 })), "held: refresh-due");
  });
  it("honest: by the refreshes that the mandate allows", async () => {
    await mandated({ refresh: 1 }, EXIT_VAULT);
    await expectSigned(honest(refresh()));
  });

  /** All goes back but the fee, which the user bears beside a coin of the treasury. */
  const batchCancelled = async (fees30d: number) => {
    await mandated({ fees30d });
    await mandated({}, OTHER_VAULT);
    return await cancelOf(honest(collectBatch()), {
      spend: {
        from: TREASURY,
        parties: [USER_VAULT],
        coins: [
          { branch: RECEIVE, index: 1, sats: 1_000_000n },
          { branch: RECEIVE, index: 0, sats: 2_400_000n, from: USER_VAULT },
        ],
        payments: [{ script: USER_VAULT.scripts.at(CHANGE, 0).script, sats: 2_397_000n }],
        change: 1_000_000n,
      },
    });
  };

  it("beyond the mandate in a cancel, behind a coin of the house", async () =>
    expectTheft(await batchCancelled(2_999), "refused: mandate-limits"));
  it("honest: within it in a cancel", async () => {
    await expectSigned(await batchCancelled(3_000));
  });
});

describe("a collect that the LSP has signed, and the user's payment with the same coin", () => {
  const collected = (more: Knobs = {}) => honest(collect({ returned: 2_102_003n, ...more }));
  const coins = [{ branch: RECEIVE, index: 0, sats: coinOf(collected()) }] as const;
  const paid = () => small({}, { coins, change: 2_002_003n });
  const bumped = (knobs: Knobs = {}) =>
    collected({
      ...knobs,
      spend: { coins, payments: [{ script: receive(TREASURY), sats: 299_000n }] },
    });

  beforeEach(() => mandated());

  it("honest: the payment goes first, although the collect is half signed", async () => {
    see(two(), collected());
    signedBytes(await ask(two().lsp, collected()));
    await expectSigned(paid(), SEATS, ["user", "lsp"]);
  });

  it("the collect comes back with a higher fee", async () => {
    see(two(), collected());
    signedBytes(await ask(two().lsp, collected()));
    await expectSigned(paid(), SEATS, ["user", "lsp"]);
    await expectTheft(
      { lsp: bumped({ evidence: known }), trustee: bumped() },
      "refused: accounts-settled, coins-unclaimed",
    );
  });

  it("a collect takes the place of the payment", async () => {
    await expectSigned(paid(), SEATS, ["user", "trustee"]);
    await expectTheft(collected(), "refused: accounts-settled, coins-unclaimed");
  });

  it("honest: the collect with a higher fee, where nobody has paid", async () => {
    await expectSigned(collected());
    await expectSigned(bumped({ evidence: known }));
  });
});

describe("a withdrawal that no user has signed is offered to the LSP as user+LSP, to the trustee as user+trustee", () => {
  const unsigned = (signed: readonly Role[], purpose: SpendOptions["purpose"] = "withdrawal") =>
    small({}, { signed, purpose });

  it("each is shown no signature", () => expectTheft(unsigned([]), "refused: user-signs-first"));
  it("each is shown the other's", () =>
    expectTheft(
      { lsp: unsigned(["trustee"]), trustee: unsigned(["lsp"]) },
      "refused: user-signs-first",
    ));
  it.each(["collect", "consolidation", "margin", "cancel", "proof-of-reserves"] as const)(
    "under the label of a %s, which needs no user",
    async (purpose) => {
      await mandated();
      const intent: NonNullable<Knobs["intent"]> = (content) => ({
        ...content,
        parties: purpose === "collect" ? [TREASURY.vault.id] : [],
        cancels: purpose === "cancel" ? "77".repeat(32) : null,
        // Only a margin may say that it pays somebody outside.
        outputs: purpose === "margin" ? content.outputs : [],
      });
      const spend = small({ intent }, { signed: [], purpose });
      for (const seat of SEATS) {
        see(two(), spend);
        const heard = verdict(await ask(two()[seat], spend));
        expect(heard).toMatch(/^(refused|held): .*purpose-fits.*user-signs-first/);
        expect(two()[seat].key.signed()).toBe(0);
        expect(traces(two()[seat])).toMatchObject({ claims: 0, charges: 0 });
      }
    },
  );
  it("each is shown the user's signature on one coin of two", () => {
    const maps: Knobs["maps"] = (all) => withoutFields(all, 1, [IN.TAP_SCRIPT_SIG]);
    return expectTheft(small({ maps }, { coins: 2 }), "refused: user-signs-first");
  });
  it("each is shown the user's signature on another payment", () => {
    const [other = []] = small().psbt.inputs;
    const borrowed = other.filter(({ type }) => type === IN.TAP_SCRIPT_SIG);
    const maps: Knobs["maps"] = (all) => onInput(all, 0, borrowed);
    const spend = small({ maps }, { payments: [pay(400_000n, 66)], signed: [] });
    return expectTheft(spend, "refused: signatures-valid, user-signs-first");
  });
  it("honest: the user has signed first", () =>
    expectSigned(unsigned(["user"]), SEATS, ["user", "trustee"]));
});

describe("somebody else's word", () => {
  it("a mandate that another user has signed is not heard, and that user's own is no other's", async () => {
    const forged = wordsOf("mandate", mandateFields(USER_VAULT), OTHER_VAULT);
    for (const seat of SEATS) {
      expect(await two()[seat].signer.tell(forged)).toMatchObject({ kind: "refused" });
    }
    await mandated({}, OTHER_VAULT);
    await expectTheft(honest(collect()), "refused: mandate-live");
  });
  it("the proof of another account", async () => {
    await mandated();
    const spend = honest(collect({ account: { vault: OTHER_VAULT.vault.id } }));
    await expectTheft(spend, "refused: account-proven");
  });
  it("honest: the user's own mandate and account", async () => {
    await mandated();
    await expectSigned(honest(collect()));
  });
});

describe("a mandate that holds no more", () => {
  it("is told again after it was revoked", async () => {
    await mandated();
    await tell("revoke", { vault: USER, no: 1 });
    await mandated();
    await expectTheft(honest(collect()), "refused: mandate-live");
  });
  it("is told again after a newer one that allows less", async () => {
    await mandated({ no: 2, may: "none" });
    await mandated({ no: 1 });
    await expectTheft(honest(collect()), "refused: mandate-live");
  });
  it("is told to the LSP alone", async () => {
    await two().lsp.signer.tell(wordsOf("mandate", mandateFields(USER_VAULT), USER_VAULT));
    const spend = honest(collect());
    see(two(), spend);
    expect(verdict(await ask(two().trustee, spend))).toBe("refused: mandate-live");
  });
  it("honest: a newer one that allows it", async () => {
    await mandated({ no: 1, may: "none" });
    await tell("revoke", { vault: USER, no: 1 });
    await mandated({ no: 2 });
    await expectSigned(honest(collect()));
  });
});

describe("each of the two is shown another transaction of one true-up", () => {
  const first = () => honest(topUp());
  const second = () => honest(topUp({ spend: { change: 2_000_000n } }));

  beforeEach(async () => {
    await mandated();
    expect(first().intent.id).toBe(second().intent.id);
    see(two(), first(), second());
    signedBytes(await ask(two().lsp, first()));
    signedBytes(await ask(two().trustee, second()));
  });

  it("and then the other's", () => {
    const crossed = { lsp: honest(topUp({ evidence: known, spend: { change: 2_000_000n } })) };
    return expectTheft(
      { ...crossed, trustee: honest(topUp({ evidence: known })) },
      "refused: one-transaction-an-intent",
    );
  });
  it("honest: the trustee is shown the LSP's in time", async () => {
    await open();
    await mandated();
    await expectSigned(first());
  });
});

describe("a treasury that only looks like the house's", () => {
  const STRANGE = testVault({ seed: "strange house", kind: "treasury" });
  const collected = (to: TestVault) =>
    honest(
      collect({ spend: { parties: [to], payments: [{ script: receive(to), sats: 300_000n }] } }),
    );

  beforeEach(async () => {
    await open({ vaults: [STRANGE] });
    await mandated();
  });

  it("collects", () => expectTheft(collected(STRANGE), "refused: house-vaults-known"));
  it("honest: the one that policy and mandate name", () => expectSigned(collected(TREASURY)));
});

describe("one statement serves in both directions", () => {
  beforeEach(() => mandated());

  it("a top-up after a collect", async () => {
    await expectSigned(honest(collect()));
    await expectTheft(honest(topUp(again())), "refused: statement-once");
    await expectSigned(honest(topUp(again({ statement: { index: 31 } }))));
  });
  it("a collect after a top-up", async () => {
    await expectSigned(honest(topUp()));
    await expectTheft(honest(collect(again())), "refused: statement-once");
    await expectSigned(honest(collect(again({ statement: { index: 31 } }))));
  });
});

describe("a cancel", () => {
  beforeEach(() => mandated());

  it("pays the house", async () => {
    const original = honest(collect());
    const spend = await cancelOf(original, {
      spend: {
        parties: [TREASURY],
        payments: [{ script: receive(TREASURY), sats: 300_000n }],
        change: coinOf(original) - 302_000n,
      },
    });
    await expectTheft(spend, "refused: cancel-takes-back, purpose-fits, user-signs-first");
  });
  it("is followed by what it took back, with a higher fee", async () => {
    const original = honest(collect());
    await expectSigned(await cancelOf(original));
    const back = (evidence: Knobs["evidence"]) =>
      honest(
        collect({
          ...(evidence && { evidence }),
          spend: {
            coins: [{ branch: RECEIVE, index: 0, sats: coinOf(original) }],
            payments: [{ script: receive(TREASURY), sats: 298_000n }],
          },
        }),
      );
    await expectTheft(
      { lsp: back(known), trustee: back(undefined) },
      "refused: accounts-settled, cancelled-for-good, coins-unclaimed",
    );
  });
  it("honest: pays the vault its own", async () => {
    await expectSigned(await cancelOf(honest(collect())));
  });
});

describe("a bump", () => {
  const original = () => honest(collect({ returned: 2_110_000n }));
  const bumped = (treasury: bigint, returned: bigint) =>
    honest(
      collect({
        returned,
        evidence: known,
        spend: {
          coins: [{ branch: RECEIVE, index: 0, sats: coinOf(original()) }],
          payments: [{ script: receive(TREASURY), sats: treasury }],
        },
      }),
    );

  it("takes its fee from the user's vault", async () => {
    await mandated();
    await expectSigned(original());
    await expectTheft(bumped(300_000n, 2_109_000n), "refused: bump-keeps-outputs");
  });
  it("honest: takes it from the treasury", async () => {
    await mandated();
    await expectSigned(original());
    await expectSigned(bumped(299_000n, 2_110_000n));
  });

  const payment = () => small();
  const raised = (raise: bigint) =>
    small(
      { evidence: (evidence) => ({ ...evidence, original: base64(payment().bytes) }) },
      {
        ...{ signed: [], change: 500_000n - raise },
        coins: [{ branch: RECEIVE, index: 0, sats: coinOf(payment()) }],
      },
    );

  it("of a user's payment raises its fee beyond the mandate", async () => {
    await mandated({ bump: 5_000 });
    await expectSigned(payment(), SEATS, ["user", "trustee"]);
    await expectTheft(raised(5_001n), "refused: user-signs-first");
  });
  it("honest: raises it within the mandate", async () => {
    await mandated({ bump: 5_000 });
    await expectSigned(payment(), SEATS, ["user", "trustee"]);
    await expectSigned(raised(5_000n));
  });
});

describe("user and trustee without the LSP", () => {
  const paid = (sats: bigint) => small({}, { payments: [pay(sats)] });
  const gone = () => honest(recoveryLspGone());

  it("pay a sat more than the small tier", async () => {
    const spend = paid(BigInt(SMALL_TIER) + 1n);
    see(two(), spend);
    expect(verdict(await ask(two().trustee, spend))).toBe("refused: spend-limit");
    expect(two().trustee.key.signed()).toBe(0);
    expect(traces(two().trustee)).toMatchObject({ claims: 0, charges: 0 });
  });
  it("call it a recovery that nobody has announced", () =>
    expectTheft(gone(), {
      lsp: "refused: purpose-signers, recovery-announced",
      trustee: "refused: recovery-announced",
    }));
  it("call it a recovery that the user has stopped", async () => {
    at(two(), HEIGHT - 144);
    await tell("lsp-gone", { vault: USER, no: 1 });
    await tell("stop", { vault: USER, no: 1 });
    // Told again it is the same announcement, and stays stopped.
    await tell("lsp-gone", { vault: USER, no: 1 });
    await expectTheft(gone(), {
      lsp: "refused: purpose-signers, recovery-announced",
      trustee: "refused: recovery-announced",
    });
  });
  it("honest: pay what is small", () =>
    expectSigned(paid(BigInt(SMALL_TIER)), ["trustee"], ["user", "trustee"]));
  it("honest: wait for the announced recovery", async () => {
    at(two(), HEIGHT - 144);
    await tell("lsp-gone", { vault: USER, no: 1 });
    await expectSigned(gone(), ["trustee"], ["user", "trustee"]);
  });
});

describe("a coin of a payment that was signed is paid elsewhere", () => {
  const TXID = "b1".repeat(32);
  const BLOCK = "b2".repeat(32);
  const first = small({}, { coins: 2 });
  const [anchor = "", other = ""] = first.facts.inputs.map(({ outpoint }) => outpoint);
  /** The second coin of the first payment, under another intent. */
  const second = (block = BLOCK) =>
    small(
      {
        intent: named("another"),
        tx: (tx) => ({ ...tx, inputs: first.tx.inputs.slice(1) }),
        evidence: (evidence) => ({ ...evidence, burials: [{ txid: TXID, block }] }),
      },
      {
        coins: [{ branch: RECEIVE, index: 1, sats: first.spent[1]?.sats ?? 0n }],
        payments: [pay(100_000n, 1)],
        change: (first.spent[1]?.sats ?? 0n) - 101_800n,
      },
    );
  const buried = (spends: readonly string[], depth: number) => {
    for (const seat of SEATS) two()[seat].chain.burials.set(TXID, { depth, spends, block: BLOCK });
  };

  beforeEach(() => expectSigned(first, SEATS, ["user", "trustee"]));

  it("although nothing has happened on the chain", () =>
    expectTheft(second(), "refused: coins-unclaimed"));
  it("after a spend of the anchor that is not deep", () => {
    buried([anchor], 99);
    return expectTheft(second(), "refused: coins-unclaimed");
  });
  it("after a spend of other coins", () => {
    buried([`${"b3".repeat(32)}:0`], 100);
    return expectTheft(second(), "refused: coins-unclaimed");
  });
  it("after a spend of the coin itself", () => {
    buried([anchor, other], 100);
    return expectTheft(second(), "refused: coins-unclaimed");
  });
  it("after a spend in a block that is not of this chain", () => {
    buried([anchor], 100);
    return expectTheft(second("b4".repeat(32)), "refused: coins-unclaimed");
  });
  it("honest: after a deep spend of the anchor", () => {
    buried([anchor], 100);
    return expectSigned(second(), SEATS, ["user", "trustee"]);
  });
});

describe("a proof of reserves", () => {
  it("whose coin that cannot exist is a real one", () => {
    const spend = honest(
      proofOfReserves({
        tx: (tx) => tx,
        spend: {
          coins: [1, 2, 3].map((index) => ({ branch: RECEIVE, index, sats: 1_000_000n })),
        },
      }),
    );
    return expectTheft(spend, "refused: purpose-fits, reserves-never-final, user-signs-first");
  });
  it("whose coin that cannot exist stands for another statement", () => {
    const spend = honest(
      proofOfReserves({
        evidence: ({ reserves, ...evidence }) => ({
          ...evidence,
          ...(reserves && { reserves: { ...reserves, root: "5f".repeat(32) } }),
        }),
      }),
    );
    return expectTheft(
      spend,
      "refused: coins-confirmed, purpose-fits, reserves-never-final, user-signs-first",
    );
  });
  it("honest: both sign, and no coin is claimed", async () => {
    await expectSigned(honest(proofOfReserves()));
    for (const seat of SEATS) expect(traces(two()[seat])).toMatchObject({ outpoints: 0 });
  });
});

describe("an approval", () => {
  const { collect: limits } = LAW.purposes;
  const tiered = { ...limits, approvals: [{ above_sats: 200_000, people: 1 }] };
  const law = { ...LAW, purposes: { ...LAW.purposes, collect: tiered } };
  /** Each of the two has a law of its own, so people approve for each. */
  const approved = (part: Knobs = {}) => {
    const made = (seat: SeatRole, approve: boolean) =>
      honest(
        collect({
          ...part,
          law: lawOf(seat, law),
          evidence: (evidence, spend) => ({
            ...(part.evidence?.(evidence, spend) ?? evidence),
            ...(approve && { approvals: approvals(spend, PEOPLE.slice(0, 1)) }),
          }),
        }),
      );
    return { lsp: made("lsp", true), trustee: made("trustee", true) };
  };
  const other = again({ statement: { index: 31 }, spend: { change: 2_200_000n } });

  beforeEach(async () => {
    await open({ law });
    await mandated();
  });

  it("is shown again for another transaction", async () => {
    const first = approved();
    await expectSigned(first);
    const replayed = (seat: SeatRole) =>
      honest(
        collect({
          ...other,
          law: lawOf(seat, law),
          evidence: (evidence) => ({
            ...evidence,
            logs: [],
            approvals: first[seat].evidence?.approvals ?? [],
          }),
        }),
      );
    await expectTheft(
      { lsp: replayed("lsp"), trustee: replayed("trustee") },
      "refused: approvals-enough, approvals-valid",
    );
  });
  it("of one signer's law is shown to the other", async () => {
    const { lsp, trustee } = approved();
    await expectTheft({ lsp: trustee, trustee: lsp }, "refused: approvals-enough, approvals-valid");
  });
  it("honest: is given for each", async () => {
    await expectSigned(approved());
    await expectSigned(approved(other));
  });
});

describe("a vault is topped up again for what its user has taken", () => {
  const BLOCK = "b5".repeat(32);
  const topped = honest(topUp());
  /** The user's payment out of the top-up's own coin. */
  const taken = honest(
    withdrawal({
      ...{ votes: null, statement: null, cycle: null },
      tx: (tx) => ({
        ...tx,
        inputs: tx.inputs.map((input) => ({
          ...input,
          txid: fromHex(topped.facts.txid).reverse(),
          vout: 0,
        })),
      }),
      spend: {
        coins: [{ branch: CHANGE, index: 0, sats: 498_001n }],
        payments: [pay(490_000n)],
        change: 6_201n,
      },
    }),
  );
  const LEFT = {
    ...{ hedgedCents: 160_820n, idleSats: 0n },
    paid: { hedgedCents: 39_180n, idleSats: 100_000n },
  };
  const second = (height: number, sats: bigint, account: Knobs["account"] = {}) =>
    honest(
      topUp({
        intent: named("another"),
        statement: { index: 31, height },
        account: { ...account, outpoints: [OWN_COIN.outpoint], deficitSince: HEIGHT - 500 },
        spend: { change: 2_000_000n, feeSats: 400n },
        evidence: ({ logs = [], ...evidence }) => ({
          ...evidence,
          // Both remember the first entry.
          logs: logs.map((log) => ({ ...log, entries: log.entries.slice(1) })),
          burials: [{ txid: topped.facts.txid, block: BLOCK }],
        }),
        sats,
      }),
    );

  beforeEach(async () => {
    await mandated();
    await expectSigned(topped);
    see(two(), taken);
    at(two(), HEIGHT + 3);
    // The trustee is not asked for this payment, and hears of it from its node alone.
    await expectSigned(taken, ["lsp"], ["user", "lsp"]);
    at(two(), HEIGHT + 6);
    for (const seat of SEATS) {
      const spends = topped.facts.inputs.map(({ outpoint }) => outpoint);
      two()[seat].chain.burials.set(topped.facts.txid, { depth: 6, spends, block: BLOCK });
      two()[seat].chain.vaults.set(USER, [OWN_COIN]);
    }
  });

  it("by a statement of the block before the first top-up", () =>
    expectTheft(second(HEIGHT, 490_000n), "refused: within-deficit"));
  it("by a statement that knows of the payment, with a sat more than it says is lacking", () =>
    expectTheft(second(HEIGHT + 5, 6_594n, LEFT), "refused: within-deficit"));
  it("honest: by a statement that knows of the payment, for what it says is lacking", () =>
    // 1,608.20 dollars are 1,606,593 sat, and the vault has 1,600,000.
    expectSigned(second(HEIGHT + 5, 6_593n, LEFT)));
});
