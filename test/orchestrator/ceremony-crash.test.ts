/**
 * A worker that dies at every transaction of a ceremony, before it is written or right after, and
 * another that goes on: the transcript and the coins end as if nobody had died.
 */
import { describe, expect, it } from "vitest";
import { checkBook } from "../../orchestrator/book/proof.ts";
import { answerSigned } from "../../orchestrator/ceremony/answers.ts";
import { append, note } from "../../orchestrator/ceremony/ceremonies.ts";
import { ceremoniesRole } from "../../orchestrator/ceremony/watch.ts";
import type { Store } from "../../orchestrator/io/store.ts";
import { sealed } from "../../policies/ceremony-events.ts";
import { verifyTranscript } from "../../policies/transcript.ts";
import {
  approval,
  ceremonyOf,
  company,
  decline,
  opened,
  openStage,
  recovery,
  type Stage,
  verify,
  wishFor,
} from "./stage.ts";
import { CONFIRMATIONS, intentOf } from "./world.ts";

type When = "before" | "after";

/** A store whose n-th transaction from now is the last thing that its process does. */
function dying(store: Store, n: number, when: When): Store {
  let left = n;
  return {
    ...store,
    transaction: async (body) => {
      left -= 1;
      if (left < 0) throw new Error("the process is dead");
      if (left > 0) return await store.transaction(body);
      const died = () => {
        throw new Error("killed");
      };
      if (when === "before") {
        return await store.transaction(async (db) => {
          await body(db);
          return died();
        });
      }
      await store.transaction(body);
      return died();
    },
  };
}

interface Scene extends Stage {
  readonly id: string;
  readonly intent: string;
  readonly answer: Awaited<ReturnType<typeof approval>>;
  readonly cora: Awaited<ReturnType<typeof company>>["cora"];
}

async function verified(): Promise<Scene> {
  const stage = await openStage();
  const { bob, cora } = await company(stage);
  const intent = await recovery(stage);
  const id = await opened(stage, wishFor(intent));
  await verify(stage, id, bob);
  return { ...stage, id, intent, cora, answer: await approval(stage, id, cora, stage.ann.trustee) };
}

const actsOf = async (scene: Scene) =>
  (await ceremonyOf(scene, scene.id)).events.map((event) => event.do);

/** The worker with this store: hands the approval in, then looks after the ceremonies. */
async function work(scene: Scene, store: Store): Promise<void> {
  const parts = { ...scene.parts, store };
  await answerSigned(parts, scene.cora.station, scene.answer);
  await ceremoniesRole(parts).step();
}

const points = ([1, 2, 3, 4, 5] as const).flatMap((n) =>
  (["before", "after"] as const).map((when) => ({ n, when })),
);

describe("a worker that dies", () => {
  it.each(points)(
    "at its transaction $n, $when it is written, while one approves",
    async ({ n, when }) => {
      const scene = await verified();
      await work(scene, dying(scene.store, n, when)).catch(() => undefined);
      const { state } = await intentOf(scene, scene.intent);
      const agreed = (await actsOf(scene)).includes("approve");
      // The event and what it means are there, or neither is.
      expect(state).toBe(agreed ? "signed" : "user-signed");
      await work(scene, scene.store);
      await scene.settle();
      await scene.mine(CONFIRMATIONS);
      expect(await actsOf(scene)).toEqual([
        ...["open", "verified", "approve", "broadcast", "confirmed", "complete", "close"],
      ]);
      expect((await checkBook(scene.store.db)).faults).toEqual([]);
    },
  );

  it.each(points)(
    "at its transaction $n, $when it is written, while it expires",
    async ({ n, when }) => {
      const scene = await verified();
      scene.pass(25n * 3_600_000n);
      const role = ceremoniesRole({ ...scene.parts, store: dying(scene.store, n, when) });
      await role.step();
      const expired = (await actsOf(scene)).includes("expire");
      expect((await intentOf(scene, scene.intent)).state).toBe(expired ? "refused" : "user-signed");
      await scene.settle();
      expect(await actsOf(scene)).toEqual(["open", "verified", "expire", "close"]);
      const { ceremony, events } = await ceremonyOf(scene, scene.id);
      const transcript = {
        ...{ format: "ballast/ceremony-transcript@1", ceremony: ceremony.document, events },
        attestations: [],
      };
      expect(verifyTranscript(JSON.parse(JSON.stringify(transcript)), "so far").kind).toBe("sound");
    },
  );
});

describe("two who act at once", () => {
  it("of a yes and a no one is heard, and the intent follows it", async () => {
    for (const order of [0, 1]) {
      const scene = await verified();
      const yes = () => answerSigned(scene.parts, scene.cora.station, scene.answer);
      const no = () => decline(scene, scene.id, scene.cora);
      const outcomes = await Promise.all(order === 0 ? [yes(), no()] : [no(), yes()]);
      expect(outcomes.map((outcome) => outcome?.kind).sort()).toEqual(["heard", "refused"]);
      const { state } = (await ceremonyOf(scene, scene.id)).standing;
      const { state: spend } = await intentOf(scene, scene.intent);
      expect([
        ["approved", "signed"],
        ["declined", "refused"],
      ]).toContainEqual([state, spend]);
    }
  });

  it("of two who append after the same head one does", async () => {
    const scene = await verified();
    const stale = await ceremonyOf(scene, scene.id);
    const { standing, ceremony } = stale;
    const content = { sequence: standing.sequence, previous: standing.head, by: "orchestrator" };
    const event = (part: string) =>
      sealed(
        ceremony,
        { ...content, do: "remind", detail: { part, to: "cora" } },
        { at: standing.at, signature: null },
      );
    const { db } = scene.store;
    expect(await append(db, stale, event("5000"))).toMatchObject({ kind: "appended" });
    expect(await append(db, stale, event("9000"))).toEqual({
      kind: "refused",
      reasons: ["something else happened before"],
    });
    const now = scene.parts.clock();
    expect(await note(db, stale, { do: "close", now })).toMatchObject({ kind: "refused" });
    expect(await actsOf(scene)).toEqual(["open", "verified", "remind"]);
  });
});
