/** Pools by hand: each refusal beside what is just allowed, and what the seed does not say aloud. */
import { describe, expect, it } from "vitest";
import { accountSchema, readAccountId } from "../../orchestrator/operations/account.ts";
import { leavingHash } from "../../orchestrator/operations/authority.ts";
import { cancelBps, depositPaddingMsats, unlockCents } from "../../orchestrator/pool/form.ts";
import { historyOf } from "../../orchestrator/pool/moves.ts";
import { balanceOf, type Pool } from "../../orchestrator/pool/pool.ts";
import { receiptsOf } from "../../orchestrator/pool/receipt.ts";
import { hear, type Vote } from "../../orchestrator/pool/votes.ts";
import { price } from "../../policies/money.ts";
import {
  accountFor,
  amountsOf,
  did,
  idleOf,
  idOf,
  poolOf,
  refusalOf,
  signaturesOf,
  signedTransfer,
  turnAt,
} from "../support/pool-scenario.ts";

type Fields = Record<string, unknown>;

describe("v1", () => {
  const seek = (msats: number, account = "s"): Fields => ({ kind: "seek", account, msats });
  const provide = (msats: number, fee_ppb: number, account = "p"): Fields => ({
    kind: "provide",
    account,
    msats,
    fee_ppb,
  });
  /** One seeker and one provider, all locked. */
  const locked = () => {
    const pool = poolOf();
    did(pool, seek(200_000));
    did(pool, provide(200_000, 0));
    turnAt(pool, 1_000_000);
    return pool;
  };

  it.each<readonly [string, () => Pool, Fields, string]>([
    ["a seek of the least", poolOf, seek(100_000), "done"],
    ["a seek of less", poolOf, seek(99_999), "AmountTooLow"],
    ["a provide at the highest rate", poolOf, provide(100_000, 2_000), "done"],
    ["a provide above it", poolOf, provide(100_000, 2_001), "FeeRateTooHigh"],
    ["a provide below nothing", poolOf, provide(100_000, -1), "FeeRateTooLow"],
    [
      "more than a pool may hold",
      () => poolOf({ max_pool_msats: 99_999, min_seek_msats: 0 }),
      seek(100_000),
      "BalanceOverflow",
    ],
    [
      "as much as a pool may hold",
      () => poolOf({ max_pool_msats: 100_000 }),
      seek(100_000),
      "done",
    ],
    ["a cancellation of 100 bps", locked, { kind: "cancel", account: "s", bps: 100 }, "done"],
    [
      "a cancellation of 99 bps",
      locked,
      { kind: "cancel", account: "s", bps: 99 },
      "InvalidBPSForCancelAutoRenewal",
    ],
    ["a cancellation of all", locked, { kind: "cancel", account: "s", bps: 10_000 }, "done"],
    [
      "a cancellation of more",
      locked,
      { kind: "cancel", account: "s", bps: 10_001 },
      "InvalidBPSForCancelAutoRenewal",
    ],
    [
      "an undo of nothing",
      locked,
      { kind: "undo", account: "s" },
      "CannotUndoAutoRenewalCancellation",
    ],
    ["what is locked", locked, { kind: "withdraw", account: "s", msats: 1 }, "InsufficientBalance"],
    [
      "an unlock, which v1 does not know",
      locked,
      { kind: "unlock", account: accountFor("seeker", [1]), cents: "all" },
      "UnknownInputVariant",
    ],
    [
      "a depositor's deposit",
      locked,
      { kind: "deposit", account: "s", msats: 100_000 },
      "UnknownOutputVariant",
    ],
  ])("%s", (_, make, fields, answer) => {
    expect(refusalOf(make(), fields)).toBe(answer);
  });

  it("takes nothing more from a key that is leaving, until it is undone", () => {
    const pool = locked();
    did(pool, { kind: "cancel", account: "s", bps: 5_000 });
    expect(refusalOf(pool, seek(100_000))).toBe("CannotSeek");
    did(pool, { kind: "undo", account: "s" });
    expect(refusalOf(pool, seek(100_000))).toBe("done");
  });

  it("keeps a receipt of a seek from its first lock, and closes it when it is cancelled whole", () => {
    const pool = locked();
    expect(receiptsOf(pool, "s")).toMatchObject([
      { since: 0, initialMsats: 200_000n, initialCents: 2n, feesMsats: 0n, closed: false },
    ]);
    did(pool, { kind: "cancel", account: "s", bps: 10_000 });
    const { closed } = turnAt(pool, 1_000_000);
    expect(closed).toMatchObject([{ withdrawnMsats: 200_000n, withdrawnCents: 2n, closed: true }]);
    expect(idleOf(pool, "s")).toBe(200_000);
  });

  it("charges operations what it is set to, and keeps it apart", () => {
    const pool = poolOf({ operation_fees_msats: { seek: 10, withdraw: 7 } });
    expect(did(pool, seek(100_000)).inMsats).toBe(100_010n);
    expect(did(pool, { kind: "withdraw", account: "s", msats: 7 }).outMsats).toBe(0n);
    expect(refusalOf(pool, { kind: "withdraw", account: "s", msats: 6 })).toBe(
      "InvalidWithdrawalAmount",
    );
    expect([pool.feesMsats, pool.heldMsats]).toEqual([17n, 100_010n]);
  });
});

describe("a fall beyond the collateral", () => {
  it("ends without locks, names what each seeker is short of, and the pool goes on", () => {
    const pool = poolOf();
    did(pool, { kind: "seek", account: "s1", msats: 1_000_000 });
    did(pool, { kind: "seek", account: "s2", msats: 3_000_000 });
    did(pool, { kind: "provide", account: "p", msats: 4_000_000, fee_ppb: 0 });
    turnAt(pool, 4_000_000);
    const { events, cycle } = turnAt(pool, 1_000_000);
    expect(events).toEqual([
      { kind: "provider-exhausted", providedMsats: 4_000_000n },
      {
        kind: "insolvent",
        neededMsats: 16_000_000n,
        shortfallMsats: 8_000_000n,
        seekers: [
          { account: "s1", msats: 2_000_000n },
          { account: "s2", msats: 6_000_000n },
        ],
      },
    ]);
    expect([cycle.feePpb, cycle.lockedSeeksMsats]).toEqual([0n, 0n]);
    expect(amountsOf(pool, "s2", ["seeks", "staged"])).toEqual([6_000_000]);
    did(pool, { kind: "provide", account: "p", msats: 8_000_000, fee_ppb: 0 });
    expect(turnAt(pool, 1_000_000).cycle.lockedSeeksMsats).toBe(8_000_000n);
  });

  it("is told only beyond it: at exactly half nobody is short", () => {
    const pool = poolOf();
    did(pool, { kind: "seek", account: "s", msats: 1_000_000 });
    did(pool, { kind: "provide", account: "p", msats: 1_000_000, fee_ppb: 0 });
    turnAt(pool, 2_000_000);
    expect(turnAt(pool, 1_000_001).events).toEqual([]);
  });

  it("is filled up by the bailout fund, which providers have paid", () => {
    const pool = poolOf({ min_provide_fee_rate_ppb: -2_000, max_provide_msats: 10 ** 12 });
    did(pool, { kind: "seek", account: "s", msats: 10 ** 9 });
    did(pool, { kind: "provide", account: "p", msats: 10 ** 9, fee_ppb: -2_000 });
    expect(turnAt(pool, 2_000_000).cycle.feePpb).toBe(-2_000n);
    expect(pool.bailoutMsats).toBe(2_000n);
    const { events } = turnAt(pool, 999_000);
    expect(events[0]).toEqual({ kind: "bailout", paidMsats: 2_000n });
    expect(pool.bailoutMsats).toBe(0n);
  });
});

describe("remainders", () => {
  it.each([
    [0n, [34, 33, 33]],
    [1n, [33, 34, 33]],
    [2n, [33, 33, 34]],
    [3n, [34, 33, 33]],
  ] as const)("go by the order of keys: %s", (randomness, amounts) => {
    const pool = poolOf({ min_seek_msats: 0, min_provide_msats: 0 });
    for (const account of ["b", "c", "a"]) did(pool, { kind: "seek", account, msats: 30 });
    did(pool, { kind: "provide", account: "p", msats: 90, fee_ppb: 0 });
    turnAt(pool, 100);
    turnAt(pool, 90, randomness);
    const got = ["a", "b", "c"].map((key) => balanceOf(pool, key));
    expect(got.map(({ stagedMsats, lockedMsats }) => Number(stagedMsats + lockedMsats))).toEqual(
      amounts,
    );
  });
});

describe("v2", () => {
  const one = accountFor("seeker", [1]);
  const other = accountFor("seeker", [2]);
  const group = accountFor("seeker", [3, 4, 5], 2);
  const provider = accountFor("provider", [6]);
  const depositor = accountFor("btc-depositor", [7]);
  const seek = (account = one, msats = 1_000_000): Fields => ({
    kind: "seek",
    account: idOf(account),
    msats,
  });
  const running = () => {
    const pool = poolOf({ rules: "v2" });
    turnAt(pool, 1_000_000);
    for (const account of [one, group]) did(pool, seek(account));
    did(pool, { kind: "provide", account: idOf(provider), msats: 1_500_000, fee_ppb: 0 });
    turnAt(pool, 1_000_000);
    return pool;
  };
  const unlock = (account = one, cents: number | "all" = 1): Fields => ({
    kind: "unlock",
    account,
    cents,
  });

  it.each<readonly [string, () => Pool, Fields, string]>([
    ["a seek before the first cycle", () => poolOf({ rules: "v2" }), seek(), "NoCycle"],
    ["an unlock before it", () => poolOf({ rules: "v2" }), unlock(), "TemporaryError"],
    ["a seek of a provider", running, seek(provider), "InvalidAccountTypeForOperation"],
    ["a seek of a depositor", running, seek(depositor), "InvalidAccountTypeForOperation"],
    [
      "a name that is no account",
      running,
      { kind: "seek", account: "s", msats: 100_000 },
      "InvalidAccount",
    ],
    ["a cancellation", running, { kind: "cancel", account: "s", bps: 100 }, "UnknownOutputVariant"],
    ["all of one key", running, unlock(one, "all"), "done"],
    ["ten cents of ten", running, unlock(one, 10), "done"],
    ["eleven cents of ten", running, unlock(one, 11), "InsufficientBalance"],
    ["an unlock of several keys without signatures", running, unlock(group), "MultiSigNotAllowed"],
    ["nothing", running, { kind: "withdraw", account: one, msats: 0 }, "InvalidWithdrawalAmount"],
    [
      "what is not idle",
      running,
      { kind: "withdraw", account: one, msats: 1 },
      "InsufficientBalance",
    ],
  ])("%s", (_, make, fields, answer) => {
    expect(refusalOf(make(), fields)).toBe(answer);
  });

  it("takes nothing from an account that is leaving, and one request at a time", () => {
    const pool = running();
    did(pool, unlock(one, "all"));
    expect(refusalOf(pool, unlock(one))).toBe("DuplicateUnlockRequest");
    expect(refusalOf(pool, seek())).toBe("PreviousIntentionNotFullyProcessed");
    const { released } = turnAt(pool, 1_000_000);
    expect(released).toMatchObject([{ kind: "LockedToIdle", msats: 1_000_000n }]);
    expect(refusalOf(pool, seek())).toBe("done");
  });

  it("keeps the msat that an unlock's leftover loses in whole cents, and says so", () => {
    const pool = poolOf({ rules: "v2" });
    turnAt(pool, 1_000_000);
    did(pool, seek(one, 400_001));
    did(pool, { kind: "provide", account: idOf(provider), msats: 300_002, fee_ppb: 0 });
    turnAt(pool, 1_000_000);
    expect(did(pool, unlock(one, 4)).roundedMsats).toBe(1n);
    turnAt(pool, 1_000_000);
    const { idleMsats, stagedMsats, lockedMsats } = balanceOf(
      pool,
      readAccountId(idOf(one))?.hash ?? "",
    );
    expect([idleMsats, stagedMsats + lockedMsats]).toEqual([399_999n, 2n]);
  });

  it.each<readonly [string, Fields, readonly number[], string]>([
    ["two of three", { from: group }, [3, 5], "done"],
    ["one of three", { from: group }, [3], "InvalidTransferRequest"],
    ["its one key", { from: one }, [1], "done"],
    ["a cent too many", { from: one, cents: 11 }, [1], "InvalidTransferRequest"],
    ["to itself", { from: other }, [2], "InvalidTransferRequest"],
    ["to another kind", { from: one, to: idOf(provider) }, [1], "InvalidTransferRequest"],
    ["of nothing", { from: one, cents: 0 }, [1], "InvalidTransferRequest"],
    ["in its last cycle", { from: one, until: 1 }, [1], "done"],
    ["after it", { from: one, until: 0 }, [1], "InvalidTransferRequest"],
    [
      "with a fee rate that it has no use for",
      { from: one, fee_ppb: 1 },
      [1],
      "InvalidTransferRequest",
    ],
  ])("a transfer signed by %s", (_, fields, seeds, answer) => {
    const pool = running();
    const asked = signedTransfer(pool, { to: idOf(other), cents: 10, ...fields }, seeds);
    expect(refusalOf(pool, asked)).toBe(answer);
  });

  it("takes a signed transfer once, and no word of it bent", () => {
    const pool = running();
    const asked = signedTransfer(pool, { from: one, to: idOf(other), cents: 3 }, [1]);
    expect(refusalOf(pool, { ...asked, cents: 4 })).toBe("InvalidTransferRequest");
    expect(refusalOf(poolOf({ rules: "v2", pool: "eur" }), asked)).toBe("NoCycle");
    expect(did(pool, asked).history.map(({ kind }) => kind)).toEqual([
      "LockedTransferOut",
      "LockedTransferIn",
    ]);
    expect(refusalOf(pool, asked)).toBe("InvalidTransferRequest");
  });

  it("lets several keys unlock and withdraw by what they sign, once", () => {
    const pool = running();
    const sign = (
      leaving: { kind: "unlock"; cents: "all" } | { kind: "withdraw"; msats: bigint },
    ) => {
      const authority = { nonce: 1, until: 9 };
      const hash = leavingHash(pool.config, { ...leaving, account: group }, authority);
      return { ...authority, signatures: signaturesOf(group, [4, 5], hash) };
    };
    const authority = sign({ kind: "unlock", cents: "all" });
    did(pool, { ...unlock(group, "all"), authority });
    turnAt(pool, 1_000_000);
    const took = { kind: "withdraw", account: group, msats: 1_000 };
    expect(refusalOf(pool, { ...took, authority })).toBe("InvalidAuthority");
    const signed = sign({ kind: "withdraw", msats: 1_000n });
    expect(did(pool, { ...took, authority: signed }).outMsats).toBe(1_000n);
    expect(refusalOf(pool, { ...took, authority: signed })).toBe("InvalidAuthority");
  });

  it("keeps depositors out of every cycle", () => {
    const pool = running();
    did(pool, { kind: "deposit", account: idOf(depositor), msats: 100_000, metadata: "ff" });
    turnAt(pool, 100_000);
    did(pool, { kind: "unlock", account: depositor, cents: "all" });
    expect(did(pool, { kind: "withdraw", account: depositor, msats: 100_000 }).outMsats).toBe(
      100_000n,
    );
  });

  it("tells of what is locked and of what falls out, not of what is renewed", () => {
    const pool = running();
    const told = (at: number) => {
      const { moves, cycle } = turnAt(pool, at);
      const items = moves.flatMap((side) => [...historyOf(pool.holders, side, cycle.index)]);
      return items.map(({ kind, sequence, msats }) => [kind, sequence, Number(msats)]);
    };
    expect(told(1_000_000)).toEqual([]);
    expect(told(900_000)[0]?.[0]).toBe("LockedToStaged");
    did(pool, { kind: "provide", account: idOf(provider), msats: 9_000_000, fee_ppb: 0 });
    expect(told(900_000).map(([kind]) => kind)).toContain("StagedToLocked");
  });

  it("reads an account one way", () => {
    const { keys } = group;
    expect(accountSchema.safeParse({ ...group, keys: [...keys].reverse() }).success).toBe(false);
    expect(accountSchema.safeParse({ ...group, threshold: 3 }).success).toBe(true);
    expect(accountSchema.safeParse({ ...group, threshold: 4 }).success).toBe(false);
    expect(readAccountId(idOf(group).toUpperCase())).toBe(null);
  });
});

describe("votes", () => {
  const vote = (guardian: string, said: Partial<Vote> = {}): Vote => ({
    guardian,
    index: 0,
    timeNanos: 7n,
    price: price(100n),
    ...said,
  });
  const ballot = (cycle: { index: number; price: ReturnType<typeof price> } | null = null) => ({
    votes: new Map<string, Vote>(),
    cycle,
    threshold: 2,
    guardians: ["a", "b"],
  });

  it.each<readonly [string, Vote, string]>([
    ["of a stranger", vote("x"), "unknown-guardian"],
    ["for another cycle", vote("b", { index: 1 }), "wrong-index"],
    ["without a price, before there was one", vote("b", { price: 0n }), "no-price"],
    ["said twice", vote("a"), "already-voted"],
    ["said twice, otherwise", vote("a", { timeNanos: 8n }), "equivocation"],
  ])("%s are not counted", (_, heard, why) => {
    const open = ballot();
    hear(vote("a"), open);
    expect(hear(heard, open)).toMatchObject({ kind: "ignored", why });
    expect(hear(vote("b"), open).kind).toBe("agreed");
  });

  it("take the last price again where the upper median knows none", () => {
    const open = ballot({ index: 0, price: price(55n) });
    hear(vote("a", { index: 1, price: 0n }), open);
    expect(hear(vote("b", { index: 1, price: 0n, timeNanos: 3_000_000_009n }), open)).toEqual({
      kind: "agreed",
      terms: { index: 1, startNanos: 3_000_000_009n, price: 55n, reused: true, randomness: 9n },
    });
    expect(open.votes.size).toBe(0);
  });
});

describe("forms", () => {
  it("take all where three cents would be left, round basis points and pad deposits", () => {
    expect([unlockCents(97n, 100n), unlockCents(96n, 100n)]).toEqual(["all", 96n]);
    expect([cancelBps(1n, 3n), cancelBps(9n, 3n), cancelBps(1n, 0n)]).toEqual([
      3_333n,
      10_000n,
      0n,
    ]);
    expect(depositPaddingMsats(1_000_000n, 2_000n)).toBe(1_000n);
    expect(depositPaddingMsats(10n ** 9n, 2_000n)).toBe(20_000n);
  });
});
