/** A user is lost: LSP and trustee move all coins to the recovery key's vault, and any word of the user ends it. */

import { join } from "node:path";
import Sqlite from "better-sqlite3";
import { describe, expect, it } from "vitest";
import { balancesOf } from "../../orchestrator/accounts/book.ts";
import {
  beginRotation,
  completeRotation,
  type RotationOutcome,
} from "../../orchestrator/accounts/rotation.ts";
import { checkBook } from "../../orchestrator/book/proof.ts";
import { keepNotice } from "../../orchestrator/ceremony/notices.ts";
import { requestsFor } from "../../orchestrator/ceremony/requests.ts";
import { registerStation } from "../../orchestrator/ceremony/stations.ts";
import { openStore } from "../../orchestrator/io/store.ts";
import { heldOnChain } from "../../orchestrator/spend/coins.ts";
import { minedUnbooked } from "../../orchestrator/spend/confirm.ts";
import { historyOfIntent } from "../../orchestrator/spend/intents.ts";
import { raiseMigration } from "../../orchestrator/spend/migrate.ts";
import { type LostRequest, raiseLost } from "../../orchestrator/spend/recover.ts";
import { CEREMONY_WINDOW_BLOCKS } from "../../orchestrator/spend/signers.ts";
import { SQLITE } from "../../orchestrator/tables/dialect.ts";
import { migrations } from "../../orchestrator/tables/migrations.ts";
import { readAccountKey } from "../../policies/bitcoin/account-key.ts";
import { readPsbt } from "../../policies/bitcoin/psbt.ts";
import { recoveryHash } from "../../policies/evidence/notice.ts";
import { NO_EVIDENCE } from "../../policies/evidence.ts";
import { spendFacts } from "../../policies/facts.ts";
import { msatsPerVbyte, sats } from "../../policies/money.ts";
import { purposesOf } from "../../policies/purpose.ts";
import { readVault, type Vault } from "../../policies/vault.ts";
import { vaultScripts } from "../../policies/vault-scripts.ts";
import type { Words } from "../../signer/signer.ts";
import { temporaryFolder } from "../support/node.ts";
import { holder, proofOf } from "./holders.ts";
import {
  approve,
  ceremonyOf,
  company,
  DEPOSIT,
  decline,
  OPERATOR_TOKEN,
  opened,
  openStage,
  type Stage,
  serveStage,
  stationKey,
  wishFor,
} from "./stage.ts";
import { mandateFields, userWord, wordOf } from "./user-word.ts";
import { CONFIRMATIONS, intentOf, userSigns, withdraw } from "./world.ts";

const RATE = msatsPerVbyte(2_000n);
/** A key in a safe, and a new device of the trustee. */
const heir = holder("user", "ann's safe");
const fresh = holder("trustee", "cora anew");
const KEYS = { userKey: heir.key, trusteeKey: fresh.key };
const named = recoveryHash(readAccountKey(heir.key, "regtest"));

const partsOf = ({ parts }: Stage) => ({ ...parts, network: "regtest" as const });

function done(outcome: RotationOutcome | null) {
  if (outcome?.kind !== "done") throw new Error(`not done: ${JSON.stringify(outcome)}`);
  return outcome;
}

/** At the station of whoever carries words; anybody's but a user's carries those of all. */
async function said(stage: Stage, words: Words) {
  const wish = { name: "carrier", role: "verifier", key: stationKey("carrier") } as const;
  const outcome = await registerStation(stage.parts, wish);
  if (outcome.kind === "refused") throw new Error(outcome.reasons.join("; "));
  return await keepNotice(partsOf(stage), outcome.station, words);
}

const mandate = (stage: Stage, no = 1, recovery = named) => {
  const { vault } = stage.ann.vault;
  const fields = mandateFields(vault, no, recovery);
  return said(stage, wordOf({ speaker: vault, by: stage.ann.user }, "mandate", fields));
};

/** The vault of the recovery key, through both steps. */
async function prepared(stage: Stage): Promise<Vault> {
  const { rotation } = done(
    await beginRotation(partsOf(stage), stage.ann.account, "recovery", KEYS),
  );
  const vault = readVault(rotation.document);
  const proofs = { user: proofOf(vault, heir), trustee: proofOf(vault, fresh) };
  done(await completeRotation(partsOf(stage), stage.ann.account, "recovery", proofs));
  return vault;
}

async function announce(stage: Stage, to: Vault, no = 1) {
  const fields = { vault: stage.ann.vault.vault.id, no, to: to.id };
  return await said(stage, wordOf({ speaker: to, by: heir }, "user-lost", fields));
}

const lost = (stage: Stage, bend: Partial<LostRequest> = {}) =>
  raiseLost(stage.parts, {
    ...{ account: stage.ann.account, reference: "l-1", feeRate: RATE },
    ...bend,
  });

async function raised(stage: Stage): Promise<string> {
  const outcome = await lost(stage);
  if (outcome.kind === "refused") throw new Error(outcome.reasons.join("; "));
  return outcome.intent.id;
}

interface Scene extends Stage {
  readonly to: Vault;
  readonly intent: string;
}

/** Named, prepared, announced, raised. */
async function openScene(deposits = 1): Promise<Scene> {
  const stage = await openStage(deposits);
  await mandate(stage);
  const to = await prepared(stage);
  await announce(stage, to);
  return { ...stage, to, intent: await raised(stage) };
}

const trusteeOnly = (intent: string) =>
  wishFor(intent, {
    participants: [{ name: "cora", role: "trustee" }],
    quorum: { approvals: ["trustee"] },
  });

const stateOf = async (scene: Scene) => (await intentOf(scene, scene.intent)).state;
const available = ({ store, ann }: Stage) => balancesOf(store.db, ann.account);

async function expectCover({ store }: Stage): Promise<void> {
  const book = await checkBook(store.db);
  const { unspentSats, unbookedSats } = await heldOnChain(store.db);
  expect(book.faults).toEqual([]);
  expect(unspentSats).toBe(book.usersSats + unbookedSats - (await minedUnbooked(store.db)));
}

describe("the vault of a recovery key", () => {
  it("is prepared in two steps beside the account's, and takes the place of none", async () => {
    const stage = await openStage();
    await mandate(stage);
    const { account } = stage.ann;
    const begun = done(await beginRotation(partsOf(stage), account, "recovery", KEYS));
    expect(begun).toMatchObject({
      fresh: true,
      rotation: { account, kind: "recovery", number: 1, state: "begun" },
    });
    expect(begun.rotation.document.policy.name).toBe("Ballast ann recovery 1");
    const to = await prepared(stage);
    expect(to.id).toBe(begun.rotation.vault);
    const again = done(await beginRotation(partsOf(stage), account, "recovery", KEYS));
    expect(again).toMatchObject({ fresh: false, rotation: { number: 1, state: "open" } });
    expect(await stage.accounts.find(account)).toMatchObject({
      ...{ vault: stage.ann.vault.vault.id, older: [], address: expect.any(String) },
    });
    // No migration goes there, or comes from there.
    stage.chain.pay(vaultScripts(to).at(0, 0).script, sats(DEPOSIT));
    await stage.mine(CONFIRMATIONS);
    const wish = { account, reference: "m-1", feeRate: RATE };
    expect(await raiseMigration(stage.parts, wish)).toMatchObject({ code: "content" });
  });

  it.each([
    [
      "another key than the mandate's",
      "none",
      { ...KEYS, userKey: fresh.key, trusteeKey: heir.key },
    ],
    [
      "a trustee's key that is in use",
      named,
      { ...KEYS, trusteeKey: holder("trustee", "ann").key },
    ],
    ["no key at all", named, { ...KEYS, userKey: "tpub" }],
    ["one key for two roles", named, { ...KEYS, trusteeKey: heir.key }],
  ])("is not made of %s", async (_, recovery, keys) => {
    const stage = await openStage();
    await mandate(stage, 1, recovery);
    const outcome = await beginRotation(partsOf(stage), stage.ann.account, "recovery", keys);
    expect(outcome).toMatchObject({ kind: "refused", code: "keys" });
  });

  it("needs a mandate that was not revoked or replaced by one without", async () => {
    const stage = await openStage();
    const begin = () => beginRotation(partsOf(stage), stage.ann.account, "recovery", KEYS);
    expect(await begin()).toMatchObject({ kind: "refused", code: "keys" });
    await mandate(stage, 1);
    expect(await begin()).toMatchObject({ kind: "done" });
    await mandate(stage, 2, "none");
    // What was begun is what it was; other keys are judged anew.
    const other = { ...KEYS, trusteeKey: holder("trustee", "another").key };
    expect(await beginRotation(partsOf(stage), stage.ann.account, "recovery", other)).toMatchObject(
      { kind: "refused", code: "keys" },
    );
    const proofs = { user: "00".repeat(64), trustee: "00".repeat(64) };
    expect(
      await completeRotation(partsOf(stage), stage.ann.account, "recovery", proofs),
    ).toMatchObject({ kind: "refused", code: "proof" });
  });

  it("may be another one when the first is finished", async () => {
    const scene = await openScene();
    const other = { ...KEYS, trusteeKey: holder("trustee", "another").key };
    const second = await beginRotation(partsOf(scene), scene.ann.account, "recovery", other);
    expect(done(second).rotation).toMatchObject({ number: 2, state: "begun" });
  });
});

describe("a recovery of a lost user", () => {
  it("goes LSP first, then the trustee, all coins, and the account is the recovery key's", async () => {
    const scene = await openScene(3);
    const { account } = scene.ann;
    await scene.settle();
    const built = await intentOf(scene, scene.intent);
    const fee = built.fee_sats ?? 0n;
    expect(built).toMatchObject({
      ...{ purpose: "recovery-user-lost", state: "lsp-signed", sats: 3n * DEPOSIT - fee },
    });
    expect(scene.lsp.asked()).toBe(1);
    expect(scene.chain.sent()).toBe(0);
    const facts = spendFacts(readPsbt(built.psbt ?? new Uint8Array(0)), [
      scene.ann.vault,
      vaultScripts(scene.to),
    ]);
    expect(purposesOf({ facts, evidence: NO_EVIDENCE })).toContain("recovery-user-lost");
    expect(facts.outputs).toMatchObject([{ coin: { vault: scene.to.id, branch: 0, index: 0 } }]);

    const { cora } = await company(scene);
    const id = await opened(scene, trusteeOnly(scene.intent));
    const { requests } = await requestsFor(scene.store.db, cora.station);
    expect(requests).toMatchObject([{ id: scene.intent, signedBy: ["lsp"] }]);
    expect(requests[0]?.vaults).toHaveLength(2);
    expect(await approve(scene, id, cora)).toMatchObject({ kind: "heard" });
    await scene.settle();
    await expectCover(scene);
    await scene.mine(CONFIRMATIONS);
    expect(await stateOf(scene)).toBe("confirmed");
    expect((await ceremonyOf(scene, id)).standing).toMatchObject({ state: "complete" });
    expect(await available(scene)).toEqual({ available: 3n * DEPOSIT - fee, reserved: 0n });
    await expectCover(scene);
    const history = await historyOfIntent(scene.store.db, scene.intent);
    expect(history.map(({ state }) => state)).toEqual([
      ...["raised", "built", "held", "lsp-signed", "signed", "broadcast", "confirmed"],
    ]);
    const vaults = { vault: scene.to.id, older: [scene.ann.vault.vault.id] };
    expect(await scene.accounts.find(account)).toMatchObject(vaults);

    // A reorg puts the coins in flight again, and the account stays the recovery key's.
    scene.chain.reorg(CONFIRMATIONS, "kept");
    await scene.settle();
    await expectCover(scene);
    expect(await scene.accounts.find(account)).toMatchObject(vaults);
    await scene.mine(CONFIRMATIONS);
    expect(await stateOf(scene)).toBe("confirmed");
    // The recovery key's holder is the account's user from here on.
    const home = { ...scene.ann, user: heir, vault: vaultScripts(scene.to) };
    const { id: next } = await withdraw(scene, home, { sats: 50_000n, reference: "w-1" });
    await scene.settle();
    expect(await userSigns(scene, home, next)).toMatchObject({ kind: "accepted" });
    await scene.settle();
    await scene.mine(CONFIRMATIONS);
    expect((await intentOf(scene, next)).state).toBe("confirmed");
    await expectCover(scene);
  });

  it("is raised once, after it was announced, for coins that are there", async () => {
    const stage = await openStage();
    await mandate(stage);
    const to = await prepared(stage);
    expect(await lost(stage)).toMatchObject({ kind: "refused", code: "content" });
    await announce(stage, to);
    expect(await lost(stage, { account: "a-0" })).toMatchObject({ code: "no-account" });
    expect(await lost(stage, { vault: to.id })).toMatchObject({ code: "content" });
    expect(await lost(stage, { vault: "00".repeat(20) })).toMatchObject({ code: "content" });
    const first = await raised(stage);
    await stage.settle();
    expect(await lost(stage)).toMatchObject({
      kind: "raised",
      fresh: false,
      intent: { id: first },
    });
    await withdraw(stage, stage.ann, { sats: 1_000n, reference: "w-1" });
    expect(await lost(stage, { reference: "w-1" })).toMatchObject({ code: "reference-used" });
    const empty = await openStage(0);
    await mandate(empty);
    await announce(empty, await prepared(empty));
    expect(await lost(empty)).toMatchObject({ code: "content" });
  });

  it("takes no signature of the user, and waits for the LSP before the trustee's counts", async () => {
    const scene = await openScene();
    const violations = [
      { rule: "recovery-announced", detail: "not yet", retry: "in 4320 blocks" },
    ] as const;
    scene.lsp.answers.push({ kind: "held", violations });
    await scene.settle();
    expect(await stateOf(scene)).toBe("held");
    expect(await userSigns(scene, scene.ann, scene.intent)).toMatchObject({ code: "state" });
    const { cora } = await company(scene);
    const id = await opened(scene, trusteeOnly(scene.intent));
    expect((await requestsFor(scene.store.db, cora.station)).requests).toMatchObject([
      { signedBy: [] },
    ]);
    expect(await approve(scene, id, cora)).toMatchObject({ kind: "refused", code: "conflict" });
    scene.pass(2_000n);
    await scene.settle();
    expect(await stateOf(scene)).toBe("lsp-signed");
    expect(await approve(scene, id, cora)).toMatchObject({ kind: "heard" });
  });

  it("asks an LSP that stumbles again, later and later, and takes no answer without a signature", async () => {
    const scene = await openScene();
    scene.lsp.answers.push(new Error("unplugged"));
    await scene.settle();
    await scene.settle();
    expect(scene.lsp.asked()).toBe(1);
    expect(await stateOf(scene)).toBe("held");
    const { unsigned_psbt } = await intentOf(scene, scene.intent);
    const psbt = unsigned_psbt ?? new Uint8Array(0);
    scene.lsp.answers.push({ kind: "signed", psbt, rules: [] });
    scene.pass(2_000n);
    await scene.settle();
    expect(await stateOf(scene)).toBe("held");
    scene.pass(10_000n);
    await scene.settle();
    expect(await stateOf(scene)).toBe("lsp-signed");
  });

  it("that the LSP refuses gives its coins back: nobody has signed", async () => {
    const scene = await openScene();
    const violations = [{ rule: "recovery-to-named-key", detail: "another" }] as const;
    scene.lsp.answers.push({ kind: "refused", violations });
    await scene.settle();
    expect(await intentOf(scene, scene.intent)).toMatchObject({ state: "refused", released: 1n });
    expect(await available(scene)).toEqual({ available: DEPOSIT, reserved: 0n });
    await expectCover(scene);
  });

  it("is not adopted where a newer vault is in use already", async () => {
    const scene = await openScene();
    const parts = partsOf(scene);
    const keys = {
      userKey: holder("user", "ann anew").key,
      trusteeKey: holder("trustee", "ann anew").key,
    };
    const { rotation } = done(await beginRotation(parts, scene.ann.account, "rotation", keys));
    const newer = readVault(rotation.document);
    const proofs = {
      user: proofOf(newer, holder("user", "ann anew")),
      trustee: proofOf(newer, holder("trustee", "ann anew")),
    };
    done(await completeRotation(parts, scene.ann.account, "rotation", proofs));
    await carriedOut(scene);
    const account = await scene.accounts.find(scene.ann.account);
    expect(account).toMatchObject({ vault: newer.id, older: [scene.ann.vault.vault.id] });
  });

  it("makes a rotation that was begun before it begin anew", async () => {
    const scene = await openScene();
    const parts = partsOf(scene);
    const [user, trustee] = [holder("user", "late"), holder("trustee", "late")];
    const keys = { userKey: user.key, trusteeKey: trustee.key };
    const begin = () => beginRotation(parts, scene.ann.account, "rotation", keys);
    const complete = (vault: Vault) =>
      completeRotation(parts, scene.ann.account, "rotation", {
        user: proofOf(vault, user),
        trustee: proofOf(vault, trustee),
      });
    const stale = readVault(done(await begin()).rotation.document);
    await carriedOut(scene);
    expect(await complete(stale)).toMatchObject({ kind: "refused", code: "conflict" });
    const { rotation, fresh: anew } = done(await begin());
    expect({ anew, number: rotation.number }).toEqual({ anew: true, number: 2 });
    expect(done(await complete(readVault(rotation.document))).fresh).toBe(true);
  });
});

async function carriedOut(scene: Scene): Promise<void> {
  await scene.settle();
  const { cora } = await company(scene);
  await approve(scene, await opened(scene, trusteeOnly(scene.intent)), cora);
  await scene.settle();
  await scene.mine(CONFIRMATIONS);
  expect(await stateOf(scene)).toBe("confirmed");
}

const REFUSAL = {
  kind: "refused",
  violations: [{ rule: "recovery-announced", detail: "the user has spoken" }],
} as const;
const HELD = {
  kind: "held",
  violations: [{ rule: "recovery-announced", detail: "not yet", retry: "in 10 blocks" }],
} as const;

/** Where the recovery stands when the user speaks, and what becomes of it. */
const STANDINGS = [
  ["raised", async () => undefined, "cancelled", true],
  ["built", async (scene: Scene) => void (await scene.roles.reserve.step()), "cancelled", true],
  [
    "held",
    async (scene: Scene) => {
      // What the signer has heard by then it says itself.
      scene.lsp.answers.push(HELD, REFUSAL);
      await scene.settle();
    },
    "refused",
    true,
  ],
  ["lsp-signed", (scene: Scene) => scene.settle(), "refused", false],
] as const;

describe("a word of the user ends it", () => {
  it.each(STANDINGS)("stop, where it is %s", async (from, reach, to, free) => {
    const scene = await openScene();
    await reach(scene);
    expect(await stateOf(scene)).toBe(from);
    expect(await said(scene, userWord(scene.ann, "stop", 1))).toMatchObject({ kind: "kept" });
    await scene.settle();
    expect(await stateOf(scene)).toBe(to);
    expect((await available(scene)).available).toBe(free ? DEPOSIT : 0n);
    expect(scene.lsp.told.map(({ text }) => text.split(" ")[1])).toContain("stop");
    await expectCover(scene);
    // It is not raised again without another announcement.
    expect(await lost(scene, { reference: "l-2" })).toMatchObject({ code: "content" });
    await scene.mine(CEREMONY_WINDOW_BLOCKS + 1);
    expect((await available(scene)).available).toBe(DEPOSIT);
  });

  it("a spend that the user signs, and its ceremony is superseded", async () => {
    const stage = await openStage(2);
    await mandate(stage);
    const to = await prepared(stage);
    await announce(stage, to);
    const { id: own } = await withdraw(stage, stage.ann, { sats: 10_000n, reference: "w-1" });
    await stage.settle();
    const scene: Scene = { ...stage, to, intent: await raised(stage) };
    await scene.settle();
    expect(await stateOf(scene)).toBe("lsp-signed");
    await company(scene);
    const ceremony = await opened(scene, trusteeOnly(scene.intent));
    expect(await userSigns(scene, scene.ann, own)).toMatchObject({ kind: "accepted" });
    await scene.settle();
    expect(await stateOf(scene)).toBe("refused");
    expect((await ceremonyOf(scene, ceremony)).standing).toMatchObject({ state: "superseded" });
    await scene.mine(CONFIRMATIONS);
    expect((await intentOf(scene, own)).state).toBe("confirmed");
    await expectCover(scene);
  });

  it("no further announcement by the recovery key is such a word", async () => {
    const scene = await openScene();
    await scene.settle();
    await announce(scene, scene.to, 2);
    expect(await stateOf(scene)).toBe("lsp-signed");
  });

  it("nor what another vault's user says", async () => {
    const scene = await openScene();
    await scene.settle();
    const fields = { vault: scene.to.id, no: 1 };
    await said(scene, wordOf({ speaker: scene.to, by: heir }, "stop", fields));
    expect(await stateOf(scene)).toBe("lsp-signed");
  });
});

describe("a trustee's no", () => {
  it.each([
    ["lsp-signed", []],
    ["held", [HELD]],
  ] as const)(
    "where it is %s keeps the coins until the window has passed",
    async (from, answers) => {
      const scene = await openScene();
      scene.lsp.answers.push(...answers);
      await scene.settle();
      expect(await stateOf(scene)).toBe(from);
      const { cora } = await company(scene);
      const id = await opened(scene, trusteeOnly(scene.intent));
      expect(await decline(scene, id, cora, "she rang me up")).toMatchObject({ kind: "heard" });
      await scene.settle();
      expect(await stateOf(scene)).toBe("refused");
      expect((await available(scene)).available).toBe(0n);
      const { locktime } = await intentOf(scene, scene.intent);
      const { height } = await scene.chain.tip();
      await scene.mine(Number(locktime) + CEREMONY_WINDOW_BLOCKS - height);
      expect((await available(scene)).available).toBe(0n);
      await scene.mine(1);
      expect((await available(scene)).available).toBe(DEPOSIT);
    },
  );
});

describe("over HTTP", () => {
  it("is prepared, raised and shown", async () => {
    const stage = await openStage();
    await mandate(stage);
    const api = await serveStage(stage);
    const post = async (path: string, body: unknown) => {
      const headers = {
        authorization: `Bearer ${OPERATOR_TOKEN}`,
        "content-type": "application/json",
      };
      const init = { method: "POST", headers, body: JSON.stringify(body) };
      const response = await fetch(`${api.url}${path}`, init);
      return { status: response.status, body: (await response.json()) as Record<string, unknown> };
    };
    const base = `/v1/accounts/${stage.ann.account}/recovery`;
    const keys = { recoveryKey: heir.key, trusteeKey: fresh.key };
    try {
      expect(await post(base, { ...keys, trusteeKey: "tpub" })).toMatchObject({ status: 422 });
      expect(await post("/v1/accounts/a-0/recovery", keys)).toMatchObject({ status: 404 });
      expect(await post(`${base}/proofs`, { user: "00", trustee: "" })).toMatchObject({
        status: 422,
      });
      const begun = await post(base, keys);
      expect(begun).toMatchObject({ status: 201, body: { kind: "recovery", number: 1 } });
      expect(await post(base, keys)).toMatchObject({ status: 200 });
      const vault = readVault(begun.body["document"]);
      const proofs = { user: proofOf(vault, heir), trustee: proofOf(vault, fresh) };
      expect(await post(`${base}/proofs`, proofs)).toMatchObject({
        ...{ status: 201, body: { state: "open", vault: vault.id } },
      });
      const wish = { account: stage.ann.account, reference: "l-1", feeRate: 2 };
      expect(await post("/v1/recoveries/lost", wish)).toMatchObject({ status: 422 });
      await announce(stage, vault);
      const raisedNow = await post("/v1/recoveries/lost", wish);
      expect(raisedNow).toMatchObject({
        ...{ status: 201, body: { purpose: "recovery-user-lost", state: "raised" } },
      });
      expect(await post("/v1/recoveries/lost", wish)).toMatchObject({ status: 200 });
      const odd = { ...wish, vault: "00" };
      expect((await post("/v1/recoveries/lost", odd)).status).toBeGreaterThanOrEqual(400);
    } finally {
      await api.close();
    }
  });
});

describe("a database of before", () => {
  const folder = temporaryFolder();

  it("keeps its intents and their states, and learns the new one", async () => {
    const path = join(folder(), "before.sqlite");
    const raw = new Sqlite(path);
    const before = migrations.slice(0, 4);
    for (const step of before) raw.exec(step(SQLITE));
    raw.exec(`insert into meta (name, value) values ('network', 'regtest');
      insert into accounts values ('a', 'ann', 'u', 't', 'l', 'open', '{}', null, 0);
      insert into vaults (id, account, document) values ('v', 'a', '{}');`);
    const insert = raw.prepare(`insert into intents (id, account, vault, reference, document, state,
      sats, fee_rate, violations, rules, retry_at, attempts, bookings, released, created_at)
      values (?, 'a', 'v', ?, '{}', ?, 1, 1, '[]', '[]', 0, 0, 0, 0, 0)`);
    for (const state of ["raised", "user-signed", "confirmed"]) insert.run(state, state, state);
    raw.exec("insert into intent_events values ('raised', 0, 0, 'raised', '')");
    raw.pragma(`application_id = ${0x426c7374}`);
    raw.pragma(`user_version = ${before.length}`);
    raw.close();
    const store = openStore({ path, network: "regtest" });
    const rows = await store.db.selectFrom("intents").select(["id", "state"]).execute();
    expect(rows.every(({ id, state }) => id === state)).toBe(true);
    expect(rows).toHaveLength(3);
    const set = (state: "lsp-signed") =>
      store.db.updateTable("intents").set({ state }).where("id", "=", "raised").execute();
    await set("lsp-signed");
    await expect(set("nonsense" as "lsp-signed")).rejects.toThrow(/CHECK/);
    await store.close();
  });
});
