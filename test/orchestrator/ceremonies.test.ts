/** Ceremonies over a chain in memory: who moves them, what becomes of the coins, and all of it twice. */
import { describe, expect, it } from "vitest";
import { balancesOf } from "../../orchestrator/accounts/book.ts";
import { checkBook } from "../../orchestrator/book/proof.ts";
import { answerSigned } from "../../orchestrator/ceremony/answers.ts";
import { note, transcriptOf } from "../../orchestrator/ceremony/ceremonies.ts";
import { openCeremony, supersede } from "../../orchestrator/ceremony/opening.ts";
import { requestsFor } from "../../orchestrator/ceremony/requests.ts";
import { answerWord } from "../../orchestrator/ceremony/words.ts";
import { spendable } from "../../orchestrator/spend/coins.ts";
import { cancel } from "../../orchestrator/spend/reserve.ts";
import {
  CEREMONY_WINDOW_BLOCKS,
  LOCKTIME_WINDOW_BLOCKS,
} from "../../orchestrator/spend/signers.ts";
import { hex } from "../../policies/bitcoin/hash.ts";
import { possessionKey } from "../../policies/possession.ts";
import { verifyTranscript } from "../../policies/transcript.ts";
import { holder } from "./holders.ts";
import {
  approval,
  approve,
  attest,
  type Company,
  ceremonyOf,
  company,
  decline,
  lineFor,
  opened,
  openStage,
  recovery,
  type Stage,
  stationKey,
  verify,
  wishFor,
} from "./stage.ts";
import { CONFIRMATIONS, intentOf, userSigns, withdraw } from "./world.ts";

interface Scene extends Stage, Company {
  readonly intent: string;
  readonly id: string;
}

async function underWay(): Promise<Scene> {
  const stage = await openStage();
  const people = await company(stage);
  const intent = await recovery(stage);
  return { ...stage, ...people, intent, id: await opened(stage, wishFor(intent)) };
}

const actsOf = async (scene: Scene) =>
  (await ceremonyOf(scene, scene.id)).events.map((event) => event.do);
const stateOf = async (scene: Scene) => (await ceremonyOf(scene, scene.id)).standing.state;
const free = async ({ store, ann }: Stage) =>
  (await spendable(store.db, ann.vault.vault.id)).length;
const HOUR = 3_600_000n;

describe("a recovery without the LSP", () => {
  it("goes from the user's signature to a closed and attested transcript", async () => {
    const scene = await underWay();
    const { intent, id, bob, cora, dan, lsp, chain } = scene;
    expect(await approve(scene, id, cora)).toMatchObject({ kind: "refused", code: "conflict" });
    expect(await verify(scene, id, bob)).toMatchObject({ kind: "heard", fresh: true });
    expect((await intentOf(scene, intent)).state).toBe("user-signed");
    expect(await approve(scene, id, cora)).toMatchObject({
      kind: "heard",
      fresh: true,
      standing: { state: "approved" },
    });
    expect((await intentOf(scene, intent)).state).toBe("signed");
    await scene.settle();
    expect(chain.sent()).toBe(1);
    expect(lsp.asked()).toBe(0);
    await scene.mine(CONFIRMATIONS);
    expect(await intentOf(scene, intent)).toMatchObject({
      state: "confirmed",
      purpose: "recovery-lsp-gone",
    });
    expect(await actsOf(scene)).toEqual([
      ...["open", "verified", "approve", "broadcast", "confirmed", "complete", "close"],
    ]);
    for (const who of [bob, cora, dan]) {
      expect(await attest(scene, id, who)).toMatchObject({ kind: "heard", fresh: true });
      expect(await attest(scene, id, who)).toMatchObject({ kind: "heard", fresh: false });
    }
    const transcript = await transcriptOf(scene.store.db, await ceremonyOf(scene, id));
    expect(verifyTranscript(JSON.parse(JSON.stringify(transcript)), "whole").kind).toBe("sound");
    expect((await checkBook(scene.store.db)).faults).toEqual([]);
  });

  it("heard twice is once, at every step", async () => {
    const scene = await underWay();
    const { id, bob, cora } = scene;
    await verify(scene, id, bob);
    expect(await verify(scene, id, bob)).toMatchObject({ kind: "heard", fresh: false });
    const answer = await approval(scene, id, cora, scene.ann.trustee);
    const both = await Promise.all([
      answerSigned(scene.parts, cora.station, answer),
      answerSigned(scene.parts, cora.station, answer),
    ]);
    expect(both.map((outcome) => outcome?.kind)).toEqual(["heard", "heard"]);
    expect(both.filter((outcome) => outcome?.kind === "heard" && outcome.fresh)).toHaveLength(1);
    await scene.settle();
    await scene.mine(CONFIRMATIONS);
    // The trustee's station did not hear the answer, and everything is over.
    expect(await answerSigned(scene.parts, cora.station, answer)).toMatchObject({ fresh: false });
    const again = await openCeremony(scene.parts, wishFor(scene.intent));
    expect(again).toMatchObject({ kind: "refused", code: "conflict" });
  });

  it("takes a signature anew over a head that moved, and the same PSBT", async () => {
    const scene = await underWay();
    const { id, bob, cora, dan } = scene;
    await verify(scene, id, bob);
    const early = await approval(scene, id, cora, scene.ann.trustee);
    const seen = dan.sign(await lineFor(scene, id, { by: "dan", do: "seen" }));
    expect(
      await answerWord(scene.parts, dan.station, { ceremony: id, signed: seen }),
    ).toMatchObject({
      fresh: true,
    });
    const stale = await answerSigned(scene.parts, cora.station, early);
    expect(stale).toMatchObject({ kind: "refused", code: "conflict" });
    expect((await intentOf(scene, scene.intent)).state).toBe("user-signed");
    const anew = await approval(scene, id, cora, scene.ann.trustee);
    expect(anew.psbt).toBe(early.psbt);
    expect(await answerSigned(scene.parts, cora.station, anew)).toMatchObject({ fresh: true });
  });

  it.each([
    ["of another key", "lsp", "content"],
    ["of the user again", "user", "content"],
  ] as const)("takes no signature %s", async (_, role, code) => {
    const scene = await underWay();
    const { id, bob, cora } = scene;
    await verify(scene, id, bob);
    const other = role === "user" ? scene.ann.user : holder("lsp", "stranger");
    const answer = await approval(scene, id, cora, other);
    expect(await answerSigned(scene.parts, cora.station, answer)).toMatchObject({ code });
    expect(await actsOf(scene)).toEqual(["open", "verified"]);
  });

  it("takes no approval of another PSBT than the one that comes with it", async () => {
    const scene = await underWay();
    const { id, bob, cora } = scene;
    await verify(scene, id, bob);
    const answer = await approval(scene, id, cora, scene.ann.trustee);
    const { spend } = (await ceremonyOf(scene, id)).ceremony.document;
    const detail = { psbt: "00".repeat(32), spend: spend.hash };
    const line = await lineFor(scene, id, { by: "cora", do: "approve", detail });
    const bent = { ...answer, event: cora.sign(line) };
    expect(await answerSigned(scene.parts, cora.station, bent)).toMatchObject({ code: "content" });
    const foreign = {
      ...answer,
      event: { ...answer.event, signature: bob.sign(answer.event.line).signature },
    };
    expect(await answerSigned(scene.parts, cora.station, foreign)).toMatchObject({
      code: "content",
    });
    expect(await answerSigned(scene.parts, cora.station, { ...answer, event: null })).toMatchObject(
      { code: "content" },
    );
    // What is another's is not there: bob speaks for himself alone.
    expect(await answerSigned(scene.parts, bob.station, answer)).toMatchObject({ code: "content" });
    expect(await answerSigned(scene.parts, cora.station, answer)).toMatchObject({ fresh: true });
  });

  it("waits for the user, who signs first", async () => {
    const stage = await openStage();
    const { bob, cora } = await company(stage);
    const { id: intent } = await withdraw(stage, stage.ann, {
      ...{ purpose: "recovery-lsp-gone", sats: 40_000n, reference: "r-1" },
    });
    await stage.settle();
    const id = await opened(stage, wishFor(intent));
    await verify(stage, id, bob);
    expect(await approve(stage, id, cora)).toMatchObject({ kind: "refused", code: "conflict" });
    await userSigns(stage, stage.ann, intent);
    expect(await approve(stage, id, cora)).toMatchObject({ kind: "heard" });
  });
});

describe("coins of a ceremony that ended without a spend", () => {
  const ends: readonly (readonly [string, string, (scene: Scene) => Promise<unknown>])[] = [
    ["declined", "declined", (scene) => decline(scene, scene.id, scene.cora)],
    ["declined by a verifier", "declined", (scene) => decline(scene, scene.id, scene.bob)],
    ["too late by the chain", "expired", (scene) => scene.mine(101)],
    [
      "too late by the clock",
      "expired",
      async (scene) => {
        scene.pass(24n * HOUR + 1n);
        await scene.settle();
      },
    ],
    [
      "superseded",
      "superseded",
      (scene) => supersede(scene.parts, { id: scene.id, reason: "anew", intent: "end" }),
    ],
  ];

  it.each(ends)(
    "%s: are kept while the user's signature is worth something",
    async (_, state, end) => {
      const scene = await underWay();
      await end(scene);
      await scene.settle();
      expect(await stateOf(scene)).toBe(state);
      const { locktime, ...intent } = await intentOf(scene, scene.intent);
      expect(intent).toMatchObject({ state: "refused", released: 0n });
      expect(await free(scene)).toBe(0);
      const { height } = await scene.chain.tip();
      await scene.mine(Number(locktime) + CEREMONY_WINDOW_BLOCKS - height);
      expect(await free(scene)).toBe(0);
      await scene.mine(1);
      expect(await free(scene)).toBe(1);
      expect(await balancesOf(scene.store.db, scene.ann.account)).toEqual({
        available: 100_000n,
        reserved: 0n,
      });
      expect((await ceremonyOf(scene, scene.id)).standing.closed).toBe(true);
    },
  );

  it.each(ends)("%s: are free at once while nobody has signed", async (_, state, end) => {
    const stage = await openStage();
    const people = await company(stage);
    const { id: intent } = await withdraw(stage, stage.ann, {
      ...{ purpose: "recovery-lsp-gone", sats: 40_000n, reference: "r-1" },
    });
    await stage.settle();
    const scene = { ...stage, ...people, intent, id: await opened(stage, wishFor(intent)) };
    expect(await free(scene)).toBe(0);
    await end(scene);
    await scene.settle();
    expect(await stateOf(scene)).toBe(state);
    expect(await intentOf(scene, intent)).toMatchObject({ state: "cancelled", released: 1n });
    expect(await free(scene)).toBe(1);
    // A signature that comes now is worth nothing.
    const late = userSigns(scene, scene.ann, intent);
    expect(await late).toMatchObject({ kind: "refused", code: "state" });
  });

  it("are free after the window where no ceremony was ever opened", async () => {
    const stage = await openStage();
    const intent = await recovery(stage);
    await stage.mine(LOCKTIME_WINDOW_BLOCKS + 1);
    expect((await intentOf(stage, intent)).state).toBe("user-signed");
    const { locktime } = await intentOf(stage, intent);
    const { height } = await stage.chain.tip();
    await stage.mine(Number(locktime) + CEREMONY_WINDOW_BLOCKS - height + 1);
    expect((await intentOf(stage, intent)).state).toBe("cancelled");
    expect(await free(stage)).toBe(1);
  });

  it("are never free once all have agreed", async () => {
    const scene = await underWay();
    const { id, bob, cora } = scene;
    await verify(scene, id, bob);
    scene.chain.rejections.push(...Array.from({ length: 5_000 }, () => "min relay fee not met"));
    await approve(scene, id, cora);
    expect(await decline(scene, id, bob)).toMatchObject({ code: "conflict" });
    const outcome = await supersede(scene.parts, { id, reason: "anew", intent: "end" });
    expect(outcome).toMatchObject({ kind: "refused", code: "conflict" });
    await scene.mine(CEREMONY_WINDOW_BLOCKS + 10);
    expect(await stateOf(scene)).toBe("approved");
    expect((await intentOf(scene, scene.intent)).state).toBe("signed");
    expect(await free(scene)).toBe(0);
  });

  it("are still kept, and the intent too, where another ceremony is to follow", async () => {
    const scene = await underWay();
    await supersede(scene.parts, { id: scene.id, reason: "bob is away", intent: "keep" });
    expect((await intentOf(scene, scene.intent)).state).toBe("user-signed");
    const wish = wishFor(scene.intent, { quorum: { approvals: ["trustee"] } });
    const next = await opened(scene, wish);
    expect(next).not.toBe(scene.id);
    expect(await approve(scene, next, scene.cora)).toMatchObject({
      standing: { state: "approved" },
    });
  });
});

describe("the role", () => {
  it("reminds once a share of the time, by clock and by chain, and only of those waited for", async () => {
    const scene = await underWay();
    const reminders = async () =>
      (await ceremonyOf(scene, scene.id)).events
        .filter((event) => event.do === "remind")
        .map(({ detail }) => detail);
    scene.pass(12n * HOUR - 1n);
    await scene.settle();
    expect(await reminders()).toEqual([]);
    scene.pass(1n);
    await scene.settle();
    await scene.settle();
    expect(await reminders()).toEqual([{ part: "5000", to: "bob,cora" }]);
    await verify(scene, scene.id, scene.bob);
    await scene.mine(89);
    expect(await reminders()).toHaveLength(1);
    await scene.mine(1);
    expect((await reminders()).at(-1)).toEqual({ part: "9000", to: "cora" });
  });

  it("leaves out reminders that it slept through", async () => {
    const scene = await underWay();
    scene.pass(23n * HOUR);
    await scene.settle();
    expect(await actsOf(scene)).toEqual(["open", "remind"]);
  });

  it("expires one block after the deadline and not before", async () => {
    const scene = await underWay();
    await scene.mine(100);
    expect(await stateOf(scene)).toBe("open");
    await scene.mine(1);
    expect(await stateOf(scene)).toBe("expired");
  });

  it("does everything once where two work at the same moment", async () => {
    const scene = await underWay();
    const { ceremonies } = scene.roles;
    scene.pass(12n * HOUR);
    await Promise.all([ceremonies.step(), ceremonies.step(), ceremonies.step()]);
    expect(await actsOf(scene)).toEqual(["open", "remind"]);
    scene.pass(12n * HOUR + 1n);
    await Promise.all([ceremonies.step(), ceremonies.step()]);
    expect(await actsOf(scene)).toEqual(["open", "remind", "expire", "close"]);
  });

  it("lets one of an approval and an expiry win, and coins follow it", async () => {
    const scene = await underWay();
    const { id, bob, cora } = scene;
    await verify(scene, id, bob);
    const answer = await approval(scene, id, cora, scene.ann.trustee);
    scene.pass(24n * HOUR + 1n);
    const [outcome] = await Promise.all([
      answerSigned(scene.parts, cora.station, answer),
      scene.roles.ceremonies.step(),
    ]);
    // The deadline has passed for both.
    expect(outcome).toMatchObject({ kind: "refused", code: "conflict" });
    expect(await stateOf(scene)).toBe("expired");
    expect((await intentOf(scene, scene.intent)).state).toBe("refused");
  });

  it("goes on from wherever it was cut off", async () => {
    const scene = await underWay();
    const { store, id } = scene;
    const append = async (act: "expire" | "close") => {
      const loaded = await ceremonyOf(scene, id);
      const detail: Record<string, string> = act === "expire" ? { height: "1000" } : {};
      return store.transaction((db) =>
        note(db, loaded, { do: act, detail, now: scene.parts.clock() }),
      );
    };
    // Killed between the end and the closing.
    expect(await append("expire")).toMatchObject({ kind: "appended" });
    // A worker that read before sees that it was moved, and writes nothing.
    await scene.settle();
    expect(await actsOf(scene)).toEqual(["open", "expire", "close"]);
    await scene.settle();
    expect(await append("close")).toMatchObject({ kind: "refused" });
  });

  it("writes an event with its meaning, or neither", async () => {
    const scene = await underWay();
    const { id, bob, cora, intent } = scene;
    await verify(scene, id, bob);
    const answer = await approval(scene, id, cora, scene.ann.trustee);
    // The intent is gone between the check of the signature and the transaction.
    const { store, parts } = scene;
    const racing = {
      ...parts,
      combiner: {
        ...parts.combiner,
        combine: async (request: Parameters<typeof parts.combiner.combine>[0]) => {
          const combined = await parts.combiner.combine(request);
          await store.db
            .updateTable("intents")
            .set({ state: "cancelled" })
            .where("id", "=", intent)
            .execute();
          return combined;
        },
      },
    };
    const outcome = await answerSigned(racing, cora.station, answer);
    expect(outcome).toMatchObject({ kind: "refused", code: "conflict" });
    expect(await actsOf(scene)).toEqual(["open", "verified"]);
    await scene.settle();
    expect(await actsOf(scene)).toEqual(["open", "verified", "supersede", "close"]);
  });

  it("supersedes what was cancelled, and what another spend has taken", async () => {
    const stage = await openStage();
    await company(stage);
    const wish = { purpose: "recovery-lsp-gone" as const, sats: 40_000n, reference: "r-1" };
    const { id: intent } = await withdraw(stage, stage.ann, wish);
    await stage.settle();
    const id = await opened(stage, wishFor(intent));
    await cancel(stage.parts, intent);
    await stage.settle();
    expect((await ceremonyOf(stage, id)).standing).toMatchObject({
      state: "superseded",
      closed: true,
    });
  });
});

describe("two ceremonies at once", () => {
  it("never touch the same coins", async () => {
    const stage = await openStage(2);
    const { bob, cora } = await company(stage);
    const wishes = ["r-1", "r-2"].map((reference) =>
      withdraw(stage, stage.ann, { purpose: "recovery-lsp-gone", sats: 90_000n, reference }),
    );
    const intents = (await Promise.all(wishes)).map((row) => row.id);
    await Promise.all([stage.roles.reserve.step(), stage.roles.reserve.step()]);
    const rows = await stage.store.db.selectFrom("coins").select("reserved_by").execute();
    expect(rows.map((row) => row.reserved_by).sort()).toEqual([...intents].sort());
    const ids = await Promise.all(
      intents.map(async (intent) => {
        await userSigns(stage, stage.ann, intent);
        return opened(stage, wishFor(intent));
      }),
    );
    for (const id of ids) await verify(stage, id, bob);
    const outcomes = await Promise.all(ids.map((id) => approve(stage, id, cora)));
    expect(outcomes).toMatchObject([{ kind: "heard" }, { kind: "heard" }]);
    await stage.settle();
    await stage.mine(CONFIRMATIONS);
    for (const intent of intents) expect((await intentOf(stage, intent)).state).toBe("confirmed");
    expect((await checkBook(stage.store.db)).faults).toEqual([]);
  });

  it("of one intent are one", async () => {
    const scene = await underWay();
    const wish = wishFor(scene.intent);
    const again = await Promise.all([
      openCeremony(scene.parts, wish),
      openCeremony(scene.parts, wish),
    ]);
    for (const outcome of again) {
      expect(outcome).toMatchObject({
        kind: "done",
        fresh: false,
        loaded: { ceremony: { id: scene.id } },
      });
    }
    const other = wishFor(scene.intent, { quorum: { approvals: ["trustee"] } });
    expect(await openCeremony(scene.parts, other)).toMatchObject({ code: "conflict" });
  });
});

describe("a ceremony cannot be opened", () => {
  const refusal = async (
    bend: Parameters<typeof wishFor>[1],
    purpose: "withdrawal" | "recovery-lsp-gone" = "recovery-lsp-gone",
  ) => {
    const stage = await openStage();
    await company(stage);
    const { id } = await withdraw(stage, stage.ann, { purpose, sats: 40_000n, reference: "r-1" });
    await stage.settle();
    return await openCeremony(stage.parts, wishFor(id, bend));
  };

  it.each([
    [
      "with a station that is not there",
      { participants: [{ name: "eve", role: "trustee" }] },
      "no station eve",
    ],
    [
      "with a station in another part",
      { participants: [{ name: "bob", role: "trustee" }] },
      "that of a verifier",
    ],
    [
      "with another key than the station's",
      { participants: [{ name: "cora", role: "trustee", key: "11".repeat(32) }] },
      "another key",
    ],
    [
      "with a key that signs nothing of it",
      { quorum: { approvals: ["second-trustee"] } },
      "by the trustee alone",
    ],
    ["with a quorum of no key", { quorum: { approvals: ["verifier"] } }, "by the trustee alone"],
    [
      "beyond the window of its signatures",
      { blocks: CEREMONY_WINDOW_BLOCKS + 1 },
      "worth nothing",
    ],
  ] as const)("%s", async (_, bend, words) => {
    const outcome = await refusal(bend as Parameters<typeof wishFor>[1]);
    expect(outcome).toMatchObject({ kind: "refused", code: "content" });
    expect(outcome.kind === "refused" && outcome.reasons.join()).toContain(words);
  });

  it("with the key of another's station, or with a key of the vault", async () => {
    const stage = await openStage();
    await company(stage);
    const intent = await recovery(stage);
    const { holders } = stage.ann.vault.vault;
    const keyed = (key: string) =>
      openCeremony(
        stage.parts,
        wishFor(intent, {
          participants: [
            { name: "cora", role: "trustee" },
            { name: "eve", role: "witness", key },
          ],
          quorum: { approvals: ["trustee"] },
        }),
      );
    const account = holders[0]?.key;
    if (account === undefined) throw new Error("a vault without holders");
    for (const key of [
      stationKey("bob"),
      hex(account.publicKey.slice(1)),
      hex(possessionKey(account).xOnly),
    ]) {
      expect(await keyed(key)).toMatchObject({ kind: "refused", code: "content" });
    }
    expect(await keyed(stationKey("eve"))).toMatchObject({ kind: "done" });
  });

  it("with a deadline at the end of the window it can", async () => {
    expect(await refusal({ blocks: CEREMONY_WINDOW_BLOCKS })).toMatchObject({ kind: "done" });
  });

  it("for a withdrawal, which the LSP signs", async () => {
    expect(await refusal({}, "withdrawal")).toMatchObject({ code: "content" });
  });

  it("for nothing, or for what is over", async () => {
    const scene = await underWay();
    await decline(scene, scene.id, scene.cora);
    expect(await openCeremony(scene.parts, wishFor(scene.intent))).toMatchObject({
      code: "conflict",
    });
    expect(await openCeremony(scene.parts, wishFor("00".repeat(32)))).toMatchObject({
      code: "no-intent",
    });
  });
});

describe("a station's requests", () => {
  it("are the open ceremonies in which it takes part, with all that it needs", async () => {
    const scene = await underWay();
    const { requests } = await requestsFor(scene.store.db, scene.cora.station);
    expect(requests).toMatchObject([
      {
        id: scene.intent,
        intent: { purpose: "recovery-lsp-gone" },
        evidence: { format: "ballast/evidence@1" },
        vaults: [{ vault: scene.ann.vault.vault.document }],
        ceremony: { id: scene.id, state: "open", head: { sequence: 0 } },
        signedBy: ["user"],
      },
    ]);
    expect(Object.keys(requests[0]?.vaults[0]?.proofs ?? {}).sort()).toEqual([
      "lsp",
      "trustee",
      "user",
    ]);
    await decline(scene, scene.id, scene.cora);
    await scene.settle();
    const after = await requestsFor(scene.store.db, scene.cora.station);
    expect(after.requests).toEqual([]);
    expect(after.ended).toMatchObject([{ ceremony: { intent: scene.intent } }]);
    await attest(scene, scene.id, scene.cora);
    expect((await requestsFor(scene.store.db, scene.cora.station)).ended).toEqual([]);
  });

  it("of the transcript cannot be changed by anybody", async () => {
    const scene = await underWay();
    const { db } = scene.store;
    await expect(db.updateTable("ceremony_events").set({ by: "eve" }).execute()).rejects.toThrow(
      "stay",
    );
    await expect(db.deleteFrom("ceremony_events").execute()).rejects.toThrow("stay");
    expect(await attest(scene, scene.id, scene.bob)).toMatchObject({ code: "conflict" });
  });
});
