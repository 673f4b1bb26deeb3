/**
 * 200 people are paid 500 times in 30 blocks, six of which are replaced in the middle and lose some of
 * it for good, while the orchestrator is killed 50 times, without a word and at any moment. Then the
 * node alone says what each of them owns, and the receiver of webhooks what each was told.
 */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { descriptorChecksum } from "../../policies/bitcoin/descriptor.ts";
import { btcSchema, readAnswer } from "../../signer/node/answer.ts";
import { btcOfSats, satsOfBtc } from "../../signer/node/exact-json.ts";
import { describeNode, type TestNode, temporaryFolder } from "../support/node.ts";
import { describePostgres } from "../support/postgres.ts";
import { openPriceServer, type PriceServer } from "../support/price-server.ts";
import { random as randomOf } from "../support/random.ts";
import { type Heard, openReceiver, type Receiver } from "../support/receiver.ts";
import { arrive, type Counted, openCrowd, type Person, type Running, recount } from "./crowd.ts";

const PEOPLE = 200;
const DEPOSITS = 500;
const BLOCKS = 30;
const REORG_AT = 15;
const REORG_BLOCKS = 6;
const KILLS = 50;
const CONFIRMATIONS = 2;
/** A deposit of less is dust: kept and listed, and not credited. */
const CREDITED_MIN = 1_000n;
/** Whose blocks are of no use to anybody. */
const ANYONE = `raw(51)#${descriptorChecksum("raw(51)")}`;
const REPLACEMENT_FEE = 50_000n;
/** 61,234.56 dollars. */
const PRICE = 6_123_456n;

describeNode("deposits of a crowd", (node) => {
  describe("on SQLite", () => {
    const folder = temporaryFolder();
    crowdFlow(node, "ann", async () => {
      const at = folder();
      return { folder: at, store: join(at, "orchestrator.db") };
    });
  });

  describePostgres("on Postgres", (server) => {
    const folder = temporaryFolder();
    crowdFlow(node, "bob", async () => ({ folder: folder(), store: await server.database() }));
  });
});

type Place = () => Promise<{ readonly folder: string; readonly store: string }>;

/** Both crowds live on one chain: each is of other people, whose keys come from their names. */
function crowdFlow(node: TestNode, family: string, place: Place): void {
  const seed = Number(process.env["BALLAST_SEED"] ?? Date.now() % 1_000_000);
  let market: PriceServer;
  let receiver: Receiver;

  beforeAll(async () => {
    market = await openPriceServer();
    market.prices.set("default", "61234.56");
    receiver = await openReceiver();
    // What is mined later is nobody's: a reorganisation makes no coin of the payers young again.
    await node.miner.mine(30);
    await mine(node, 100);
  });
  afterAll(async () => {
    await receiver?.close();
    await market?.close();
  });

  it(`are credited once, whoever kills whom and when (BALLAST_SEED=${seed})`, async () => {
    const random = randomOf(seed);
    const delivered: Heard[] = [];
    receiver.behave((heard) => {
      if (below(random, 20) === 0) return 500;
      delivered.push(heard);
      return 200;
    });
    const { folder, store } = await place();
    const prices = ["kraken", "bitstamp"].map((name) => ({ name, url: market.root(name) }));
    const crowd = openCrowd({ node, folder, store, prices, confirmations: CONFIRMATIONS });

    let running = await crowd.start();
    await running.api.post("/v1/webhooks", { url: receiver.url });
    const people: Person[] = [];
    for (let n = 0; n < PEOPLE; n += 1) people.push(await arrive(running.api, `${family} ${n}`));
    const street = openStreet(node, people, random);

    let done = 0;
    for (let kill = 1; kill <= KILLS; kill += 1) {
      // A block with its payments, at any moment of the process' life.
      const due = Math.floor((kill * BLOCKS) / KILLS);
      const work = async () => {
        for (; done < due; done += 1) await street.block(running, done + 1);
      };
      await Promise.all([work(), pause(below(random, 900)).then(() => running.kill())]);
      running = await crowd.start();
    }
    await street.settle();

    const truth = await recount(node.rpc, people, CONFIRMATIONS);
    expect([...truth.values()].flat().length).toBeGreaterThanOrEqual(DEPOSITS);
    for (const [account, coins] of truth) await owns(running, account, coins);
    await expect
      .poll(() => toldOf(delivered), { timeout: 300_000, interval: 500 })
      .toEqual(outpointsOf(truth));
    inOrder(delivered);
    await running.kill();
    expect(await bookCheck(crowd.config)).toEqual({ code: 0, faults: "" });
  }, 1_200_000);
}

/** Waits until the API says what the node says. */
async function owns({ api }: Running, account: string, coins: readonly Counted[]): Promise<void> {
  const credited = coins.filter(({ sats }) => sats >= CREDITED_MIN);
  const cents = credited.reduce((sum, { sats }) => sum + (sats * PRICE) / 100_000_000n, 0n);
  interface View {
    readonly balances: Readonly<Record<string, string>>;
    readonly deposits: readonly { readonly outpoint: string; readonly state: string }[];
  }
  const seen = async () => {
    const view = await api.get<View>(`/v1/accounts/${account}`);
    const confirmed = view.deposits.filter(({ state }) => state === "confirmed");
    return {
      balances: view.balances,
      coins: confirmed.map(({ outpoint }) => outpoint).sort(),
    };
  };
  const balances = { availableSats: "0", reservedSats: "0", reservedCents: "0" };
  await expect.poll(seen, { timeout: 300_000, interval: 500 }).toEqual({
    balances: { ...balances, availableCents: String(cents) },
    coins: coins.map(({ outpoint }) => outpoint).sort(),
  });
}

/** A whole number from 0 to below `bound`. */
function below(random: () => number, bound: number): number {
  return Math.floor(random() * bound);
}

function mine({ rpc }: TestNode, blocks: number): Promise<unknown> {
  return rpc.call("generatetodescriptor", [blocks, ANYONE]);
}

const blockSchema = z.object({ tx: z.array(z.object({ txid: z.string(), hex: z.string() })) });
const rawSchema = z.object({
  vin: z.array(z.object({ txid: z.string(), vout: z.int() })),
  vout: z.array(z.object({ value: btcSchema })),
});

/** Payments and blocks. */
function openStreet(node: TestNode, people: readonly Person[], random: () => number) {
  const wallet = { wallet: "miner" };
  const { rpc } = node;
  const each = Math.ceil(DEPOSITS / BLOCKS) + 2;

  async function pay(): Promise<string> {
    const outputs: Record<string, unknown> = {};
    for (let n = 0; n < each; n += 1) {
      const person = people[below(random, people.length)];
      // Most are of any size; some stand at the brink of dust, on both sides.
      const brink = [CREDITED_MIN - 1n, CREDITED_MIN][below(random, 20)];
      const sats = brink ?? BigInt(2_000 + below(random, 3_000_000));
      if (person !== undefined) outputs[person.address] = btcOfSats(sats);
    }
    return rpc.call<string>("sendmany", ["", outputs], wallet);
  }

  /** People are told another address after each payment, if they can ask. */
  async function addresses({ api }: Running): Promise<void> {
    for (let n = 0; n < 10; n += 1) {
      const person = people[below(random, people.length)];
      if (person === undefined) continue;
      const view = await api
        .get<{ readonly address: string }>(`/v1/accounts/${person.account}`)
        .catch(() => null);
      if (view !== null) person.address = view.address;
    }
  }

  const transaction = async (txid: string) =>
    readAnswer(rawSchema, await rpc.call("getrawtransaction", [txid, true]));

  /**
   * The last blocks give way to more empty ones. Their payments come back to the mempool, but for the
   * last: what it was paid from goes to somebody else.
   */
  async function reorganise(last: string): Promise<void> {
    const height = await rpc.call<number>("getblockcount");
    const hashes: string[] = [];
    for (let at = height - REORG_BLOCKS + 1; at <= height; at += 1) {
      hashes.push(await rpc.call<string>("getblockhash", [at]));
    }
    const lost: { readonly txid: string; readonly hex: string }[] = [];
    for (const hash of hashes) {
      const { tx } = readAnswer(blockSchema, await rpc.call("getblock", [hash, 2]));
      lost.push(...tx.slice(1));
    }
    const instead = await replacement(last);
    await rpc.call("invalidateblock", [hashes[0]]);
    for (let n = 0; n <= REORG_BLOCKS; n += 1) await rpc.call("generateblock", [ANYONE, []]);
    const held = new Set(await rpc.call<readonly string[]>("getrawmempool"));
    for (const { txid, hex } of lost) {
      if (txid !== last && !held.has(txid)) await rpc.call("sendrawtransaction", [hex]);
    }
    // Only now the node knows again what it spends.
    const signed = await rpc.call<{ hex: string }>(
      "signrawtransactionwithwallet",
      [instead],
      wallet,
    );
    await rpc.call("sendrawtransaction", [signed.hex, 0]);
  }

  /** Spends the same coins, to the payer; unsigned. */
  async function replacement(txid: string): Promise<string> {
    const { vin } = await transaction(txid);
    let sats = -REPLACEMENT_FEE;
    for (const { txid: from, vout } of vin) {
      sats += satsOfBtc((await transaction(from)).vout[vout]?.value ?? "0");
    }
    const home = await rpc.call<string>("getnewaddress", [], wallet);
    return rpc.call<string>("createrawtransaction", [vin, { [home]: btcOfSats(sats) }]);
  }

  return {
    async block(running: Running, number: number): Promise<void> {
      await addresses(running);
      const last = await pay();
      await mine(node, 1);
      if (number === REORG_AT) await reorganise(last);
    },
    /** Enough for all, and deep enough. */
    async settle(): Promise<void> {
      await pay();
      await mine(node, CONFIRMATIONS);
    },
  };
}

interface Told {
  readonly event: string;
  readonly data: { readonly outpoint: string };
}

/** Each event once, in the order of the events. */
function eventsOf(heard: readonly Heard[]): readonly Told[] {
  const byId = new Map(heard.map((each) => [each.headers["x-webhook-id"] ?? "", each]));
  const sequence = ({ headers }: Heard) => Number(headers["x-webhook-sequence"]);
  return [...byId.values()]
    .sort((a, b) => sequence(a) - sequence(b))
    .map(({ body }) => JSON.parse(body) as Told);
}

/** The deposits that were told and not taken back; none is told twice, or taken back untold. */
function toldOf(heard: readonly Heard[]): readonly string[] {
  const standing = new Set<string>();
  for (const { event, data } of eventsOf(heard)) {
    if (event === "deposit" && standing.has(data.outpoint)) return ["told twice", data.outpoint];
    if (event === "deposit") standing.add(data.outpoint);
    if (event === "deposit_reversed" && !standing.delete(data.outpoint)) {
      return ["taken back untold", data.outpoint];
    }
  }
  return [...standing].sort();
}

function outpointsOf(truth: ReadonlyMap<string, readonly Counted[]>): readonly string[] {
  return [...truth.values()]
    .flat()
    .filter(({ sats }) => sats >= CREDITED_MIN)
    .map(({ outpoint }) => outpoint)
    .sort();
}

/** What is new to the receiver of one account is never older than what it heard before. */
function inOrder(heard: readonly Heard[]): void {
  const last = new Map<string, number>();
  const seen = new Set<string>();
  for (const { headers, body } of heard) {
    const id = headers["x-webhook-id"] ?? "";
    const { user_id: user } = JSON.parse(body) as { readonly user_id: string };
    const sequence = Number(headers["x-webhook-sequence"]);
    if (!seen.has(id)) {
      expect(sequence).toBeGreaterThan(last.get(user) ?? -1);
      last.set(user, sequence);
    }
    seen.add(id);
  }
}

/** `npx ballast book check`. */
function bookCheck(
  config: string,
): Promise<{ readonly code: number | null; readonly faults: string }> {
  const program = join(import.meta.dirname, "../../scripts/ballast");
  const child = spawn(program, ["book", "check", "--config", config], { stdio: "pipe" });
  let faults = "";
  child.stderr.on("data", (chunk) => {
    faults += chunk;
  });
  return new Promise((resolve) => {
    child.once("close", (code) => resolve({ code, faults }));
  });
}
