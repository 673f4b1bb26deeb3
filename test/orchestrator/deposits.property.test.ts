/**
 * Whatever a chain does, and wherever the scanner is stopped meanwhile: what it has written down in
 * the end is what a recount of the final chain finds, and each truth was told once.
 */
import fc from "fast-check";
import { expect, it } from "vitest";
import { balancesOf } from "../../orchestrator/accounts/book.ts";
import { eventsAfter } from "../../orchestrator/accounts/events.ts";
import { frozenAccounts } from "../../orchestrator/accounts/freezes.ts";
import { openScripts } from "../../orchestrator/accounts/scripts.ts";
import { depositsRole } from "../../orchestrator/spend/deposits.ts";
import { mempoolRole } from "../../orchestrator/spend/mempool.ts";
import { hex } from "../../policies/bitcoin/hash.ts";
import { scriptOf } from "../../policies/bitcoin/taproot.ts";
import { sats } from "../../policies/money.ts";
import { CHANGE, RECEIVE } from "../../policies/vault.ts";
import { type MemoryChain, memoryChain } from "./memory-chain.ts";
import { CONFIRMATIONS, ELSEWHERE, moveIn, openWorld, type Resident, type World } from "./world.ts";

const ACCOUNTS = 2;
const ADDRESSES = 4;
const DUST_BELOW = 1_000n;

const payee = fc.record({
  account: fc.nat(ACCOUNTS - 1),
  branch: fc.constantFrom(RECEIVE, RECEIVE, CHANGE),
  index: fc.nat(ADDRESSES - 1),
  amount: fc.constantFrom(999n, 1_000n, 50_000n),
});
const pick = fc.nat(100);

const act = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("pay" as const), payee }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("mine" as const),
      blocks: fc.integer({ min: 1, max: 3 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant("spend" as const), pick, payee: fc.option(payee) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("evict" as const), pick }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("replace" as const), pick, payee: fc.option(payee) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("reorg" as const),
      depth: fc.integer({ min: 1, max: 5 }),
      fate: fc.constantFrom("kept" as const, "lost" as const),
      blocks: fc.nat(6),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constantFrom("deposits" as const, "mempool" as const),
      steps: fc.integer({ min: 1, max: 12 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("restart" as const) }) },
);
type AnyAct = typeof act extends fc.Arbitrary<infer T> ? T : never;
type Payee = typeof payee extends fc.Arbitrary<infer T> ? T : never;

interface Scene {
  readonly world: World;
  readonly chain: MemoryChain;
  readonly people: readonly Resident[];
  readonly roles: {
    deposits: ReturnType<typeof depositsRole>;
    mempool: ReturnType<typeof mempoolRole>;
  };
  /** Outpoints that a block was seen to hold, before each look for new events. */
  readonly mined: Set<string>;
  told: bigint;
}

const elsewhere = scriptOf(ELSEWHERE, "regtest") ?? new Uint8Array(0);

function scriptOfPayee({ people }: Scene, to: Payee | null): Uint8Array {
  return to === null
    ? elsewhere
    : (people[to.account]?.vault.at(to.branch, to.index).script ?? elsewhere);
}

function play(scene: Scene, next: AnyAct): Promise<void> | undefined {
  const { chain } = scene;
  switch (next.kind) {
    case "pay":
      chain.pay(scriptOfPayee(scene, next.payee), sats(next.payee.amount));
      return;
    case "mine":
      chain.mine(next.blocks);
      return;
    case "spend": {
      const coins = unspentOn(chain);
      const coin = coins[next.pick % Math.max(1, coins.length)];
      const output = { sats: next.payee?.amount ?? 1n, script: scriptOfPayee(scene, next.payee) };
      if (coin !== undefined) chain.put({ spends: [coin], outputs: [output] });
      return;
    }
    case "evict":
    case "replace": {
      const waiting = chain.waiting();
      const tx = waiting[next.pick % Math.max(1, waiting.length)];
      if (tx === undefined) return;
      if (next.kind === "evict") return void chain.evict(tx.txid());
      const output = { sats: next.payee?.amount ?? 1n, script: scriptOfPayee(scene, next.payee) };
      chain.put({ spends: tx.spends, outputs: [output] });
      return;
    }
    case "reorg":
      chain.reorg(Math.min(next.depth, chain.blocks().length - 2), next.fate);
      if (next.blocks > 0) chain.mine(next.blocks);
      return;
    case "deposits":
    case "mempool":
      return steps(scene, next.kind, next.steps);
    case "restart": {
      const parts = { ...scene.world.parts, scripts: openScripts() };
      scene.roles.deposits = depositsRole(parts);
      scene.roles.mempool = mempoolRole(parts);
      return;
    }
  }
}

async function steps(scene: Scene, name: keyof Scene["roles"], most: number): Promise<void> {
  for (let n = 0; n < most; n += 1) {
    const result = await scene.roles[name].step();
    await listen(scene);
    if (result === "idle") return;
  }
}

/** What was told since: nothing of the mempool that a block had before. */
async function listen(scene: Scene): Promise<void> {
  const { store } = scene.world;
  for (const { sequence, kind, data } of await eventsAfter(store.db, scene.told, 1_000)) {
    if (kind === "deposit_mempool") expect(scene.mined).not.toContain(data["outpoint"]);
    scene.told = sequence;
  }
  for (const { outpoint, height } of await coins(scene))
    if (height !== null) scene.mined.add(outpoint);
}

const coins = ({ world }: Scene) =>
  world.store.db.selectFrom("coins").selectAll().orderBy("outpoint").execute();

/** Outputs of the chain that neither it nor the mempool spends. */
function unspentOn(chain: MemoryChain): readonly string[] {
  const all = chain.blocks().flatMap(({ transactions }) => transactions);
  const spent = new Set([...all, ...chain.waiting()].flatMap(({ spends }) => spends));
  return all
    .flatMap((tx) => tx.outputs.map((_, vout) => `${tx.txid()}:${vout}`))
    .filter((outpoint) => !spent.has(outpoint));
}

function ownersOf({ people }: Scene): ReadonlyMap<string, string> {
  const places = ([RECEIVE, CHANGE] as const).flatMap((branch) =>
    Array.from({ length: ADDRESSES }, (_, index) => ({ branch, index })),
  );
  return new Map(
    people.flatMap(({ account, vault }) =>
      places.map(({ branch, index }) => [hex(vault.at(branch, index).script), account] as const),
    ),
  );
}

/** Every coin of the vaults on the final chain, counted without the store. */
function recount(scene: Scene) {
  const owners = ownersOf(scene);
  const found = new Map<string, ReturnType<typeof counted>>();
  const paid = new Set<string>();
  function counted(account: string, script: string, payers: readonly string[], amount: bigint) {
    const kind = payers.includes(account) ? "change" : "deposit";
    const dust = kind === "deposit" && amount < DUST_BELOW ? 1n : 0n;
    const reused = kind === "deposit" && paid.has(script) ? 1n : 0n;
    return { account, kind, dust, reused, sats: amount, spent_by: null as string | null };
  }
  for (const tx of scene.chain.blocks().flatMap(({ transactions }) => transactions)) {
    const spent = tx.spends.flatMap((outpoint) => found.get(outpoint) ?? []);
    for (const coin of spent) coin.spent_by = tx.txid();
    const payers = spent.map(({ account }) => account);
    for (const [vout, { script, sats: amount }] of tx.outputs.entries()) {
      const owner = owners.get(hex(script));
      if (owner === undefined) continue;
      found.set(`${tx.txid()}:${vout}`, counted(owner, hex(script), payers, amount));
    }
    for (const { script } of tx.outputs) paid.add(hex(script));
  }
  return found;
}

async function expectTruth(scene: Scene): Promise<void> {
  const { world, people, chain } = scene;
  const rows = await coins(scene);
  const truth = recount(scene);
  const standing = rows.filter(({ state }) => state === "seen" || state === "confirmed");
  expect(standing.map(({ outpoint }) => outpoint)).toEqual([...truth.keys()].sort());
  for (const row of standing) {
    const { account: _, ...coin } = truth.get(row.outpoint) ?? { account: "" };
    expect(row).toMatchObject({ ...coin, state: "confirmed" });
  }
  expect(chain.waiting()).toEqual([]);
  expect(rows.filter(({ state }) => state === "mempool")).toEqual([]);
  for (const { account } of people) {
    const credited = [...truth.values()].filter(
      (coin) => coin.account === account && coin.kind === "deposit" && coin.dust === 0n,
    );
    const sum = credited.reduce((total, coin) => total + coin.sats, 0n);
    expect((await balancesOf(world.store.db, account)).available).toBe(sum);
  }
  await expectEvents(scene, rows);
}

async function expectEvents(scene: Scene, rows: Awaited<ReturnType<typeof coins>>): Promise<void> {
  const events = await eventsAfter(scene.world.store.db, 0n, 10_000);
  const flags = new Set(
    events.flatMap(({ kind, data }) =>
      kind === "deposit_flagged" ? `${data["outpoint"]} ${data["flag"]}` : [],
    ),
  );
  for (const { outpoint, state, kind, reused, dust, origin } of rows) {
    if (state !== "confirmed" || kind !== "deposit") continue;
    expect(flags.has(`${outpoint} dust`)).toBe(dust === 1n);
    if (reused === 1n) expect(flags).toContain(`${outpoint} reused`);
    expect(flags.has(`${outpoint} unexpected_change`)).toBe(origin === "unexpected");
  }
  // Frozen are those whose credit was taken back and never given again, told in turn.
  const lost = rows.filter((row) => row.bookings > 0n && row.state === "gone" && row.dust === 0n);
  const frozen = await frozenAccounts(scene.world.store.db);
  expect(frozen.flatMap(({ outpoints }) => outpoints).sort()).toEqual(
    lost.flatMap(({ outpoint, kind }) => (kind === "deposit" ? outpoint : [])).sort(),
  );
  for (const { account } of scene.people) {
    const turns = events.filter(
      (event) => event.account === account && event.kind.startsWith("account_"),
    );
    expect(turns.map(({ kind }) => kind)).toEqual(
      turns.map((_, i) => (i % 2 === 0 ? "account_frozen" : "account_thawed")),
    );
    expect(turns.length % 2 === 1).toBe(frozen.some((one) => one.account === account));
  }
}

it("what is written down is what a recount of the final chain finds", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(act, { minLength: 10, maxLength: 40 }), async (acts) => {
      const chain = memoryChain();
      const world = openWorld(chain);
      const people = [await moveIn(world, "ann"), await moveIn(world, "bob")];
      chain.mine(1);
      await world.settle();
      const roles = { deposits: world.roles.deposits, mempool: world.roles.mempool };
      const scene: Scene = { world, chain, people, roles, mined: new Set(), told: 0n };
      for (const next of acts) await play(scene, next);
      chain.mine(CONFIRMATIONS + 1);
      for (const name of ["deposits", "mempool", "deposits", "mempool"] as const) {
        await steps(scene, name, 1_000);
      }
      await expectTruth(scene);
      await world.store.close();
    }),
    { numRuns: 30 },
  );
});
