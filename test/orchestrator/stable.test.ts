/**
 * Deposits that get their value in dollars, withdrawals that dollars pay for, and reorganisations of
 * both, on a chain in memory. Each scene is played as it is, and killed at every statement on its way.
 */
import { afterEach, describe, expect, it } from "vitest";
import { chooseStable } from "../../orchestrator/accounts/accounts.ts";
import { balancesOf, centsOf } from "../../orchestrator/accounts/book.ts";
import { headOf, logAfter } from "../../orchestrator/accounts/claims.ts";
import { eventsOf } from "../../orchestrator/accounts/events.ts";
import { checkBook, proveBook } from "../../orchestrator/book/proof.ts";
import type { Prices, TrustedPrice } from "../../orchestrator/prices/prices.ts";
import { heldOnChain } from "../../orchestrator/spend/coins.ts";
import { cancel } from "../../orchestrator/spend/reserve.ts";
import { scriptOf } from "../../policies/bitcoin/taproot.ts";
import { unexplained } from "../../policies/evidence/account-log.ts";
import { cents, msats, price, sats } from "../../policies/money.ts";
import { type FusedStore, KilledError, openFusedStore } from "./fused-store.ts";
import { type MemoryChain, memoryChain } from "./memory-chain.ts";
import {
  CONFIRMATIONS,
  intentOf,
  moveIn,
  openWorld,
  type Resident,
  userSigns,
  type World,
  withdraw,
} from "./world.ts";

interface Scene extends World {
  readonly fused: FusedStore;
  readonly chain: MemoryChain;
  readonly ann: Resident;
  /** Cents per BTC from now on; null: no price can be trusted. */
  readonly priced: (at: bigint | null) => void;
  readonly stale: (ms: bigint) => void;
  /** Every role until all are idle, killed at each statement if the scene is of that kind. */
  readonly play: () => Promise<void>;
}

type Way = "as it is" | "killed at every statement";
const WAYS: readonly Way[] = ["as it is", "killed at every statement"];

let opened: FusedStore | null = null;
afterEach(async () => {
  await opened?.close();
  opened = null;
});

async function open(way: Way, first: bigint | null = 5_000_000n): Promise<Scene> {
  const chain = memoryChain();
  const fused = openFusedStore();
  opened = fused;
  let at = first;
  let age = 0n;
  const prices: Prices = {
    latest: (currency): TrustedPrice | null =>
      at === null
        ? null
        : { price: price(at), currency, at: world.parts.clock() - age, sources: ["a", "b"] },
  };
  const world: World = openWorld(chain, prices, fused);
  const ann = await moveIn(world, "ann");
  await world.settle();
  const scene: Scene = {
    ...{ ...world, fused, chain, ann },
    priced: (next) => {
      at = next;
    },
    stale: (ms) => {
      age = ms;
    },
    play: way === "as it is" ? world.settle : () => playKilled(scene),
  };
  return scene;
}

/** Whatever was killed, the next step does the whole; the book is right each time. */
async function playKilled({ roles, fused, store }: Scene): Promise<void> {
  let kills = 0;
  for (const role of Object.values(roles)) {
    for (let statements = 0, more = true; more; statements += 1) {
      fused.light(statements);
      try {
        more = (await role.step()) === "more";
        // It came to its end before the fuse: the next piece of work from its first statement.
        statements = -1;
      } catch (error) {
        if (!(error instanceof KilledError)) throw error;
        fused.light(null);
        kills += 1;
        expect(await proveBook(store.db)).toEqual([]);
      }
    }
    fused.light(null);
  }
  // Each role asks at least once.
  expect(kills).toBeGreaterThanOrEqual(Object.keys(roles).length);
}

function pay({ chain, ann }: Scene, amount: bigint): string {
  return chain.pay(scriptOf(ann.address, "regtest") ?? new Uint8Array(0), sats(amount));
}

async function mined(scene: Scene, blocks: number): Promise<void> {
  scene.chain.mine(blocks);
  await scene.play();
}

async function sound({ store, ann }: Scene): Promise<void> {
  expect(await proveBook(store.db)).toEqual([]);
  const { coinsSats } = await checkBook(store.db);
  const { unspentSats, unbookedSats } = await heldOnChain(store.db);
  expect(unspentSats).toBe(coinsSats + unbookedSats);
  // What a signer does that has never seen the account.
  const vault = ann.vault.vault.id;
  const { sequence, head, claim } = await headOf(store.db, vault);
  const account = {
    ...{ vault, outpoints: [], deficitSince: 0, sequence, log: head },
    ...{ hedgedCents: cents(claim.hedgedCents), idleSats: sats(claim.idleSats) },
    ...{ poolMsats: msats(0n), channelCents: cents(0n) },
  };
  const entries = await logAfter(store.db, { vault, after: 0 });
  expect(unexplained(account, { remembered: null, entries })).toBeNull();
}

const dollars = ({ store, ann }: Scene) => centsOf(store.db, ann.account);
const idle = ({ store, ann }: Scene) => balancesOf(store.db, ann.account);

async function told({ store, ann }: Scene) {
  const events = await eventsOf(store.db, { account: ann.account, before: null, limit: 50 });
  return events
    .filter(({ kind }) => !kind.startsWith("account_"))
    .map(({ kind, data }) => ({ kind, ...data }))
    .reverse();
}

const heldCents = async ({ store }: Scene) =>
  (
    await store.db
      .selectFrom("stable_coins")
      .select("cents")
      .where("state", "=", "held")
      .orderBy("cents")
      .execute()
  ).map((row) => row.cents);

describe.each(WAYS)("a deposit, %s", (way) => {
  it("gets its value in dollars once it is buried, and is told", async () => {
    const scene = await open(way);
    const outpoint = pay(scene, 100_001n);
    await mined(scene, CONFIRMATIONS - 1);
    expect(await told(scene)).toEqual([]);
    await mined(scene, 1);
    expect(await dollars(scene)).toEqual({ available: 5_000n, reserved: 0n });
    expect(await idle(scene)).toEqual({ available: 0n, reserved: 0n });
    expect(await told(scene)).toEqual([
      {
        ...{ kind: "deposit", outpoint, sats: "100001", cents: "5000", price: "5000000" },
        ...{ currency: "USD", address: scene.ann.address },
      },
    ]);
    expect(await heldCents(scene)).toEqual([5_000n]);
    await sound(scene);
  });

  it("is taken back by a reorganisation, and given again at the price of then", async () => {
    const scene = await open(way);
    const outpoint = pay(scene, 100_000n);
    await mined(scene, CONFIRMATIONS);
    scene.chain.reorg(CONFIRMATIONS, "kept");
    scene.priced(6_000_000n);
    await mined(scene, 1);
    expect(await dollars(scene)).toEqual({ available: 0n, reserved: 0n });
    await sound(scene);
    await mined(scene, CONFIRMATIONS - 1);
    expect(await dollars(scene)).toEqual({ available: 6_000n, reserved: 0n });
    expect((await told(scene)).map(({ kind }) => kind)).toEqual([
      "deposit",
      "deposit_reversed",
      "deposit",
    ]);
    const log = await logAfter(scene.store.db, { vault: scene.ann.vault.vault.id, after: 0 });
    expect(
      log.map(({ reference, hedgedCents, idleSats }) => [reference, hedgedCents, idleSats]),
    ).toEqual([
      [outpoint, 0n, 100_000n],
      [outpoint, 5_000n, -100_000n],
      [outpoint, -5_000n, 100_000n],
      [outpoint, 0n, -100_000n],
      [outpoint, 0n, 100_000n],
      [outpoint, 6_000n, -100_000n],
    ]);
    await sound(scene);
  });

  it("that a reorganisation takes for good is owed no more", async () => {
    const scene = await open(way);
    pay(scene, 100_000n);
    await mined(scene, CONFIRMATIONS);
    scene.chain.reorg(CONFIRMATIONS, "lost");
    await mined(scene, CONFIRMATIONS + 2);
    expect(await dollars(scene)).toEqual({ available: 0n, reserved: 0n });
    expect(await idle(scene)).toEqual({ available: 0n, reserved: 0n });
    expect((await told(scene)).map(({ kind }) => kind)).toEqual(["deposit", "deposit_reversed"]);
    await sound(scene);
  });
});

describe("a deposit that no price is there for", () => {
  it("waits in sats, says why, and gets its value later", async () => {
    const scene = await open("as it is", null);
    pay(scene, 100_000n);
    await expect(mined(scene, CONFIRMATIONS)).rejects.toMatchObject({ code: "no-price" });
    expect(await idle(scene)).toEqual({ available: 100_000n, reserved: 0n });
    expect(await told(scene)).toEqual([]);
    await sound(scene);
    scene.priced(4_000_000n);
    scene.stale(60_001n);
    await expect(scene.play()).rejects.toMatchObject({ code: "no-price" });
    scene.stale(60_000n);
    await scene.play();
    expect(await dollars(scene)).toEqual({ available: 4_000n, reserved: 0n });
    await sound(scene);
  });

  it("of an account that wants sats stays in sats, and is told at once", async () => {
    const scene = await open("as it is", null);
    await chooseStable(scene.store.db, { id: scene.ann.account, stabilise: false });
    pay(scene, 100_000n);
    await mined(scene, CONFIRMATIONS);
    expect(await told(scene)).toMatchObject([{ kind: "deposit", cents: null, price: null }]);
    scene.priced(4_000_000n);
    await chooseStable(scene.store.db, { id: scene.ann.account, stabilise: true });
    await scene.play();
    expect(await idle(scene)).toEqual({ available: 100_000n, reserved: 0n });
    await sound(scene);
  });

  it("of less than a cent stays in sats", async () => {
    const scene = await open("as it is", 99_900n);
    pay(scene, 1_000n);
    await mined(scene, CONFIRMATIONS);
    expect(await idle(scene)).toEqual({ available: 1_000n, reserved: 0n });
    pay(scene, 1_002n);
    await mined(scene, CONFIRMATIONS);
    expect(await dollars(scene)).toEqual({ available: 1n, reserved: 0n });
    await sound(scene);
  });
});

/** 100,000 sat at 50,000 dollars; 40,000 sat and a fee leave at 60,000. */
describe.each(WAYS)("a withdrawal that dollars pay for, %s", (way) => {
  async function sent() {
    const scene = await open(way);
    pay(scene, 100_000n);
    await mined(scene, CONFIRMATIONS);
    scene.priced(6_000_000n);
    const { id } = await withdraw(scene, scene.ann, { sats: 40_000n, reference: "w-1" });
    await scene.play();
    const { fee_sats: fee } = await intentOf(scene, id);
    const debit = ((40_000n + (fee ?? 0n)) * 6_000_000n + 99_999_999n) / 100_000_000n;
    expect(await dollars(scene)).toEqual({ available: 5_000n - debit, reserved: debit });
    await sound(scene);
    return { scene, id, debit };
  }

  it("debits them at the price of its reservation; change keeps its share", async () => {
    const { scene, id, debit } = await sent();
    await userSigns(scene, scene.ann, id);
    scene.priced(9_000_000n);
    await scene.play();
    await mined(scene, CONFIRMATIONS);
    expect((await intentOf(scene, id)).state).toBe("confirmed");
    expect(await dollars(scene)).toEqual({ available: 5_000n - debit, reserved: 0n });
    const { fee_sats: fee, txid } = await intentOf(scene, id);
    const leaving = (5_000n * (40_000n + (fee ?? 0n))) / 100_000n;
    expect(await heldCents(scene)).toEqual([5_000n - leaving]);
    const log = await logAfter(scene.store.db, { vault: scene.ann.vault.vault.id, after: 0 });
    expect(log.at(-1)).toMatchObject({ kind: "withdrawal", reference: txid, hedgedCents: -debit });
    await sound(scene);
  });

  it("is in flight again after a reorganisation, and confirmed again", async () => {
    const { scene, id, debit } = await sent();
    await userSigns(scene, scene.ann, id);
    await scene.play();
    await mined(scene, CONFIRMATIONS);
    scene.chain.reorg(CONFIRMATIONS, "kept");
    await mined(scene, 1);
    expect((await intentOf(scene, id)).state).toBe("broadcast");
    expect(await dollars(scene)).toEqual({ available: 5_000n - debit, reserved: debit });
    expect(await heldCents(scene)).toEqual([5_000n]);
    expect(await proveBook(scene.store.db)).toEqual([]);
    await mined(scene, CONFIRMATIONS - 1);
    expect(await dollars(scene)).toEqual({ available: 5_000n - debit, reserved: 0n });
    await sound(scene);
  });

  it("is confirmed again with the deposit that it spends", async () => {
    const { scene, id, debit } = await sent();
    await userSigns(scene, scene.ann, id);
    await scene.play();
    await mined(scene, CONFIRMATIONS);
    scene.chain.reorg(2 * CONFIRMATIONS, "kept");
    await mined(scene, 1);
    expect(await dollars(scene)).toEqual({ available: -debit, reserved: debit });
    expect(await proveBook(scene.store.db)).toEqual([]);
    scene.priced(5_500_000n);
    await mined(scene, 2 * CONFIRMATIONS);
    expect(await dollars(scene)).toEqual({ available: 5_500n - debit, reserved: 0n });
    await sound(scene);
  });

  it("that is cancelled gives as many dollars back", async () => {
    const { scene, id } = await sent();
    scene.priced(2_000_000n);
    expect(await cancel(scene.parts, id)).toBe(true);
    expect(await dollars(scene)).toEqual({ available: 5_000n, reserved: 0n });
    await sound(scene);
  });
});

describe("a withdrawal that dollars pay for", () => {
  it("is held without a price, and refused beyond the last cent", async () => {
    const scene = await open("as it is");
    pay(scene, 100_000n);
    await mined(scene, CONFIRMATIONS);
    scene.priced(null);
    const held = await withdraw(scene, scene.ann, { sats: 40_000n, reference: "w-1" });
    await scene.play();
    expect(await intentOf(scene, held.id)).toMatchObject({ state: "raised" });
    expect((await intentOf(scene, held.id)).violations).toContain('"rule":"price"');
    // Half of the coins' value has gone: the rest of the sats is not the account's.
    scene.priced(20_000_000n);
    scene.pass(600_000n);
    await scene.play();
    expect((await intentOf(scene, held.id)).state).toBe("refused");
    await sound(scene);
  });

  it("is paid by idle sats first", async () => {
    const scene = await open("as it is");
    await chooseStable(scene.store.db, { id: scene.ann.account, stabilise: false });
    pay(scene, 30_000n);
    await mined(scene, CONFIRMATIONS);
    await chooseStable(scene.store.db, { id: scene.ann.account, stabilise: true });
    pay(scene, 100_000n);
    await mined(scene, CONFIRMATIONS);
    const { id } = await withdraw(scene, scene.ann, { sats: 40_000n, reference: "w-1" });
    await scene.play();
    const { fee_sats: fee } = await intentOf(scene, id);
    const paid = ((10_000n + (fee ?? 0n)) * 5_000_000n + 99_999_999n) / 100_000_000n;
    expect(await idle(scene)).toEqual({ available: 0n, reserved: 30_000n });
    expect(await dollars(scene)).toEqual({ available: 5_000n - paid, reserved: paid });
    await userSigns(scene, scene.ann, id);
    await scene.play();
    await mined(scene, CONFIRMATIONS);
    expect(await idle(scene)).toEqual({ available: 0n, reserved: 0n });
    expect(await dollars(scene)).toEqual({ available: 5_000n - paid, reserved: 0n });
    await sound(scene);
  });
});

describe("the proof of the book", () => {
  it("finds a claim's entry that was added by hand, and a record that was changed", async () => {
    const scene = await open("as it is");
    pay(scene, 100_000n);
    await mined(scene, CONFIRMATIONS);
    const { db } = scene.store;
    const last = await db
      .selectFrom("claims")
      .selectAll()
      .orderBy("sequence", "desc")
      .limit(1)
      .executeTakeFirstOrThrow();
    const added = { ...last, sequence: last.sequence + 1n, hedged_cents: 1n };
    await db
      .insertInto("claims")
      .values({ ...added, previous: last.head })
      .execute();
    expect((await proveBook(db)).join()).toContain(`entry ${added.sequence} of the log of vault`);
    await db.updateTable("stable_coins").set({ cents: 5_001n }).execute();
    expect((await proveBook(db)).join()).toContain("carries 5001 cents, its history 5000");
  });
});
