/** A newer vault for an account, and all coins of the old one moved there. */
import { describe, expect, it } from "vitest";
import { balancesOf } from "../../orchestrator/accounts/book.ts";
import {
  beginRotation,
  completeRotation,
  type RotationOutcome,
} from "../../orchestrator/accounts/rotation.ts";
import { checkBook } from "../../orchestrator/book/proof.ts";
import { heldOnChain } from "../../orchestrator/spend/coins.ts";
import { minedUnbooked } from "../../orchestrator/spend/confirm.ts";
import { raiseMigration } from "../../orchestrator/spend/migrate.ts";
import { sweep } from "../../orchestrator/spend/sweep.ts";
import { readPsbt } from "../../policies/bitcoin/psbt.ts";
import { addressOf, scriptOf } from "../../policies/bitcoin/taproot.ts";
import { NO_EVIDENCE } from "../../policies/evidence.ts";
import { spendFacts } from "../../policies/facts.ts";
import { msatsPerVbyte, sats } from "../../policies/money.ts";
import { purposesOf } from "../../policies/purpose.ts";
import { readVault } from "../../policies/vault.ts";
import { vaultScripts } from "../../policies/vault-scripts.ts";
import { holder, proofOf } from "./holders.ts";
import { DEPOSIT, openStage, type Stage } from "./stage.ts";
import { CONFIRMATIONS, intentOf, userSigns, withdraw } from "./world.ts";

const RATE = msatsPerVbyte(2_000n);
const user = holder("user", "ann anew");
const trustee = holder("trustee", "ann anew");
const KEYS = { userKey: user.key, trusteeKey: trustee.key };

const rotationParts = ({ parts }: Stage) => ({ ...parts, network: "regtest" as const });

function done(outcome: RotationOutcome | null) {
  if (outcome?.kind !== "done") throw new Error(`not done: ${JSON.stringify(outcome)}`);
  return outcome;
}

async function begun(stage: Stage, keys = KEYS) {
  return done(await beginRotation(rotationParts(stage), stage.ann.account, "rotation", keys));
}

/** Through both steps; the scripts of the new vault. */
async function rotated(stage: Stage) {
  const { rotation } = await begun(stage);
  const vault = readVault(rotation.document);
  const proofs = { user: proofOf(vault, user), trustee: proofOf(vault, trustee) };
  done(await completeRotation(rotationParts(stage), stage.ann.account, "rotation", proofs));
  return vaultScripts(vault);
}

async function migrate(stage: Stage, reference = "m-1") {
  const wish = { account: stage.ann.account, reference, feeRate: RATE };
  const outcome = await raiseMigration(stage.parts, wish);
  if (outcome.kind === "refused") throw new Error(outcome.reasons.join("; "));
  return outcome;
}

async function expectCover({ store }: Stage): Promise<void> {
  const book = await checkBook(store.db);
  const { unspentSats, unbookedSats } = await heldOnChain(store.db);
  expect(book.faults).toEqual([]);
  expect(unspentSats).toBe(book.usersSats + unbookedSats - (await minedUnbooked(store.db)));
}

describe("a rotation", () => {
  it("gives an account a newer vault beside the old one", async () => {
    const stage = await openStage();
    const { accounts, ann } = stage;
    const first = await begun(stage);
    expect(first).toMatchObject({ fresh: true, rotation: { number: 1, state: "begun" } });
    expect(first.rotation.document.policy.name).toBe("Ballast ann 2");
    expect(await begun(stage)).toMatchObject({
      fresh: false,
      rotation: { vault: first.rotation.vault },
    });
    expect((await accounts.find(ann.account))?.vault).toBe(ann.vault.vault.id);

    const to = await rotated(stage);
    const account = await accounts.find(ann.account);
    expect(account).toMatchObject({ vault: to.vault.id, older: [ann.vault.vault.id] });
    expect(account?.address).toBe(addressOf(to.at(0, 0).script, "regtest"));
    expect(Object.keys(account?.proofs ?? {}).sort()).toEqual(["lsp", "trustee", "user"]);
    // Asked for again, both steps are what they were.
    expect(await begun(stage)).toMatchObject({
      fresh: false,
      rotation: { number: 1, state: "open" },
    });
    const proofs = { user: "00".repeat(64), trustee: "00".repeat(64) };
    const again = await completeRotation(rotationParts(stage), ann.account, "rotation", proofs);
    expect(again).toMatchObject({ kind: "done", fresh: false });
    // The old one is watched, and its coins are the account's.
    stage.chain.pay(scriptOf(ann.address, "regtest") ?? new Uint8Array(0), sats(5_000n));
    await stage.mine(CONFIRMATIONS);
    expect((await balancesOf(stage.store.db, ann.account)).available).toBe(DEPOSIT + 5_000n);
    await expectCover(stage);
  });

  it("takes other keys while it is unfinished, and proofs of those alone", async () => {
    const stage = await openStage();
    const typo = holder("user", "a typo");
    const { rotation: wrong } = await begun(stage, { ...KEYS, userKey: typo.key });
    const { rotation } = await begun(stage);
    expect(rotation).toMatchObject({ number: 1, state: "begun" });
    expect(rotation.vault).not.toBe(wrong.vault);
    const of = (vault: ReturnType<typeof readVault>) => ({
      user: proofOf(vault, user),
      trustee: proofOf(vault, trustee),
    });
    const parts = rotationParts(stage);
    const stale = await completeRotation(
      parts,
      stage.ann.account,
      "rotation",
      of(readVault(wrong.document)),
    );
    expect(stale).toMatchObject({ kind: "refused", code: "proof" });
    const both = await Promise.all([
      completeRotation(parts, stage.ann.account, "rotation", of(readVault(rotation.document))),
      completeRotation(parts, stage.ann.account, "rotation", of(readVault(rotation.document))),
    ]);
    expect(both.map((outcome) => done(outcome).fresh).sort()).toEqual([false, true]);
  });

  it.each([
    ["no key at all", { ...KEYS, userKey: "tpub" }, "keys"],
    ["one key for two roles", { ...KEYS, trusteeKey: user.key }, "keys"],
  ])("refuses %s", async (_, keys, code) => {
    const stage = await openStage();
    const outcome = await beginRotation(rotationParts(stage), stage.ann.account, "rotation", keys);
    expect(outcome).toMatchObject({ kind: "refused", code });
  });

  it("is of an open account, and begins before it is completed", async () => {
    const stage = await openStage();
    expect(await beginRotation(rotationParts(stage), "a-0", "rotation", KEYS)).toBeNull();
    const proofs = { user: "00".repeat(64), trustee: "00".repeat(64) };
    expect(
      await completeRotation(rotationParts(stage), stage.ann.account, "rotation", proofs),
    ).toBeNull();
    const bea = {
      name: "bea",
      userKey: holder("user", "bea").key,
      trusteeKey: holder("trustee", "bea").key,
    };
    const unopened = await stage.accounts.begin(bea);
    const id = unopened.kind === "done" ? unopened.account.id : "";
    const early = await beginRotation(rotationParts(stage), id, "rotation", KEYS);
    expect(early).toMatchObject({ kind: "refused", code: "conflict" });
  });
});

describe("a migration", () => {
  it("moves every coin to the newer vault, and the book loses the fee alone", async () => {
    const stage = await openStage(3);
    const to = await rotated(stage);
    const { intent } = await migrate(stage);
    expect(intent).toMatchObject({ purpose: "migration", sats: 3n * DEPOSIT });
    await stage.settle();
    const built = await intentOf(stage, intent.id);
    const fee = built.fee_sats ?? 0n;
    expect(built).toMatchObject({ state: "built", sats: 3n * DEPOSIT - fee });
    const { account } = stage.ann;
    const { db } = stage.store;
    expect(await balancesOf(db, account)).toEqual({ available: 0n, reserved: 3n * DEPOSIT });

    const psbt = readPsbt(built.psbt ?? new Uint8Array(0));
    const facts = spendFacts(psbt, [stage.ann.vault, to]);
    expect(purposesOf({ facts, evidence: NO_EVIDENCE })).toContain("migration");
    expect(facts.inputs).toHaveLength(3);
    expect(facts.outputs).toMatchObject([
      { coin: { vault: to.vault.id, branch: 0, index: 0 }, lies: [] },
    ]);

    await userSigns(stage, stage.ann, intent.id);
    await stage.settle();
    expect(stage.lsp.asked()).toBe(1);
    expect((await intentOf(stage, intent.id)).state).toBe("broadcast");
    await expectCover(stage);
    await stage.mine(1);
    await expectCover(stage);
    await stage.mine(CONFIRMATIONS - 1);
    expect((await intentOf(stage, intent.id)).state).toBe("confirmed");
    expect(await balancesOf(db, account)).toEqual({ available: 3n * DEPOSIT - fee, reserved: 0n });
    await expectCover(stage);
    const coins = await db
      .selectFrom("coins")
      .select(["vault", "kind"])
      .where("spent_by", "is", null)
      .execute();
    expect(coins).toEqual([{ vault: to.vault.id, kind: "change" }]);

    // A reorg puts it in flight again, and back.
    stage.chain.reorg(CONFIRMATIONS, "kept");
    await stage.settle();
    expect((await balancesOf(db, account)).reserved).toBe(3n * DEPOSIT);
    await expectCover(stage);
    await stage.mine(CONFIRMATIONS);
    expect(await balancesOf(db, account)).toEqual({ available: 3n * DEPOSIT - fee, reserved: 0n });
    await expectCover(stage);
  });

  it("asked for twice is one, and a used reference is no migration", async () => {
    const stage = await openStage();
    await withdraw(stage, stage.ann, { sats: 10_000n, reference: "w-1" });
    await rotated(stage);
    const first = await migrate(stage);
    await stage.settle();
    expect(await migrate(stage)).toMatchObject({ fresh: false, intent: { id: first.intent.id } });
    const wish = { account: stage.ann.account, reference: "w-1", feeRate: RATE };
    expect(await raiseMigration(stage.parts, wish)).toMatchObject({ code: "reference-used" });
  });

  it("needs an older vault with coins", async () => {
    const stage = await openStage();
    const wish = { account: stage.ann.account, reference: "m-1", feeRate: RATE };
    expect(await raiseMigration(stage.parts, wish)).toMatchObject({ code: "content" });
    expect(await raiseMigration(stage.parts, { ...wish, account: "a-0" })).toMatchObject({
      code: "no-account",
    });
    await rotated(stage);
    expect(await raiseMigration(stage.parts, wish)).toMatchObject({ kind: "raised", fresh: true });
  });

  it("gives everything back when it is cancelled before the user signs", async () => {
    const stage = await openStage();
    await rotated(stage);
    const { intent } = await migrate(stage);
    await stage.settle();
    await stage.mine(200);
    expect((await intentOf(stage, intent.id)).state).toBe("cancelled");
    expect(await balancesOf(stage.store.db, stage.ann.account)).toEqual({
      available: DEPOSIT,
      reserved: 0n,
    });
  });

  it("is the only way from one own vault to another", async () => {
    const stage = await openStage();
    const to = await rotated(stage);
    const address = addressOf(to.at(0, 3).script, "regtest") ?? "";
    await expect(
      withdraw(stage, stage.ann, { sats: 10_000n, reference: "w-1", address }),
    ).rejects.toThrow("the account's own vault");
  });
});

describe("a sweep", () => {
  const script = new Uint8Array(34).fill(0x51);
  const coins = (...amounts: readonly bigint[]) =>
    amounts.map((amount, i) => ({
      outpoint: `${String(i).padStart(64, "0")}:0`,
      sats: sats(amount),
    }));
  const swept = (inputsMax: number, ...amounts: readonly bigint[]) =>
    sweep({ coins: coins(...amounts), script, rate: RATE, inputsMax });

  it("takes the largest first, and leaves what costs more than it holds", () => {
    expect(swept(20, 100n, 50_000n, 60_000n)).toMatchObject({
      kind: "swept",
      coins: [{ sats: 60_000n }, { sats: 50_000n }],
    });
    expect(swept(1, 50_000n, 60_000n)).toMatchObject({ coins: [{ sats: 60_000n }] });
  });

  it("loses no sat: what comes in is what goes out and the fee", () => {
    const result = swept(20, 50_000n, 60_000n, 70_001n);
    expect(result.kind === "swept" && result.sats + result.feeSats).toBe(180_001n);
  });

  it("is refused where less than dust would be left", () => {
    expect(swept(20).kind).toBe("refused");
    expect(swept(20, 600n).kind).toBe("refused");
  });
});
