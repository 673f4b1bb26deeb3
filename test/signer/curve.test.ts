import { performance } from "node:perf_hooks";
import { Worker } from "node:worker_threads";
import { schnorr } from "@noble/curves/secp256k1.js";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { readPsbt } from "../../policies/bitcoin/psbt.ts";
import { spendFacts } from "../../policies/facts.ts";
import { vaultScripts } from "../../policies/vault-scripts.ts";
import { CurveError, type CurvePool, openCurvePool, type VerifyJob } from "../../signer/curve.ts";
import { faultOf } from "../support/signer-room.ts";
import { honest, type SpendOptions, signatureOf, USER_VAULT } from "../support/spend.ts";

const SPEND = honest({ coins: 6 });
const DOCUMENTS = [USER_VAULT.vault.document];

/** Every worker that was ever spoken to: the pool keeps its own to itself. */
const workers = new Set<Worker>();
const { postMessage } = Worker.prototype;
beforeAll(() => {
  Worker.prototype.postMessage = function (...message) {
    workers.add(this);
    return postMessage.apply(this, message);
  };
});
afterAll(() => {
  Worker.prototype.postMessage = postMessage;
});

/** Starting a worker takes half a second, so those that nobody ends are shared. */
const shared = openCurvePool(3);
afterAll(() => shared.close());

const pools: CurvePool[] = [];
function pool(size: number): CurvePool {
  const opened = openCurvePool(size);
  pools.push(opened);
  return opened;
}
beforeEach(() => {
  workers.clear();
});
afterEach(async () => {
  for (const opened of pools.splice(0)) await opened.close();
});

/** Verifications of the user's signatures of the spend, all good. */
function good(count = SPEND.coins.length): readonly VerifyJob[] {
  const jobs = SPEND.facts.inputs.map(({ signing }, input) => {
    const key = signing?.keys.find(({ role }) => role === "user");
    if (signing === null || key === undefined) throw new Error("the spend is honest");
    const signature = signatureOf(SPEND, input, "user");
    return { message: signing.sighash, xOnly: key.xOnly, signature };
  });
  return Array.from({ length: count }, (_, i) => jobs[i % jobs.length] ?? jobs[0]).filter(
    (job) => job !== undefined,
  );
}

describe("facts from a worker", () => {
  it.each([
    ["v0", {}],
    ["v2", { psbtVersion: 2 }],
    ["of many coins", { coins: 40 }],
    ["with previous transactions", { previous: true }],
    ["signed by two", { signed: ["user", "trustee"] }],
    ["unsigned", { signed: [] }],
    [
      "of the wrong amounts",
      { bend: { spent: (spent) => spent.map((o) => ({ ...o, sats: 5n })) } },
    ],
  ] satisfies [string, SpendOptions][])("%s are those of the main thread", async (_, options) => {
    const { bytes } = honest(options);
    const here = spendFacts(readPsbt(bytes), [vaultScripts(USER_VAULT.vault)]);
    expect(await shared.facts(bytes, DOCUMENTS)).toEqual(here);
  });

  it("are computed without any vault too", async () => {
    const facts = await shared.facts(SPEND.bytes, []);
    expect(facts).toEqual(spendFacts(readPsbt(SPEND.bytes), []));
    expect(facts.inputs.every(({ coin }) => coin === null)).toBe(true);
  });

  it("leave the caller's bytes as they were", async () => {
    const bytes = Uint8Array.from(SPEND.bytes);
    await shared.facts(bytes, DOCUMENTS);
    expect(bytes).toEqual(SPEND.bytes);
  });

  it("are a CurveError for bytes that never passed the gate", async () => {
    expect(await faultOf(shared.facts(new Uint8Array(9), DOCUMENTS))).toBeInstanceOf(CurveError);
    expect((await shared.facts(SPEND.bytes, DOCUMENTS)).txid).toBe(SPEND.facts.txid);
  });
});

describe("signatures by workers", () => {
  const secret = new Uint8Array(32).fill(3);
  const tweak = new Uint8Array(32);
  const jobs = (count: number) =>
    Array.from({ length: count }, (_, i) => ({
      secret,
      tweak,
      message: new Uint8Array(32).fill(i),
    }));

  it.each([0, 1, 2, 3, 4, 5, 7, 250])("come in the order of the jobs: %d", async (count) => {
    const made = await shared.sign(jobs(count));
    expect(made).toHaveLength(count);
    const xOnly = schnorr.getPublicKey(secret);
    made.forEach((signature, i) => {
      expect(schnorr.verify(signature, new Uint8Array(32).fill(i), xOnly)).toBe(true);
    });
    const checks = made.map((signature, i) => ({
      message: new Uint8Array(32).fill(i),
      xOnly,
      signature,
    }));
    expect(await shared.verify(checks)).toBe(true);
  });

  it("leave the caller's secret alone, and are new each time", async () => {
    const [first] = await shared.sign(jobs(1));
    const [second] = await shared.sign(jobs(1));
    expect(secret).toEqual(new Uint8Array(32).fill(3));
    expect(first).not.toEqual(second);
  });

  it("are none when the tweak cancels the key", async () => {
    // n - 3·(1+256+…): minus the secret, so that their sum is zero.
    const order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
    const scalar = BigInt(`0x${"03".repeat(32)}`);
    const minus = Uint8Array.from(
      ((order - scalar).toString(16).padStart(64, "0").match(/../g) ?? []).map((pair) =>
        Number.parseInt(pair, 16),
      ),
    );
    const cancelled = shared.sign([{ secret, tweak: minus, message: new Uint8Array(32) }]);
    expect(await faultOf(cancelled)).toBeInstanceOf(CurveError);
  });

  it("verify only if all do, wherever the bad one stands", async () => {
    expect(await shared.verify(good(9))).toBe(true);
    for (const bad of [0, 4, 8]) {
      const jobs = good(9).map((job, i) =>
        i === bad ? { ...job, message: new Uint8Array(32).fill(9) } : job,
      );
      expect(await shared.verify(jobs)).toBe(false);
    }
    for (const length of [0, 32, 63, 65]) {
      const jobs = good(5).map((job) => ({ ...job, signature: new Uint8Array(length) }));
      expect(await shared.verify(jobs)).toBe(false);
    }
  });
});

describe("a worker that dies", () => {
  it("fails what it was doing as a CurveError, and the next is served by a new one", async () => {
    const at = pool(1);
    await at.verify(good());
    const [worker] = workers;
    const waiting = Array.from({ length: 5 }, () => faultOf(at.facts(SPEND.bytes, DOCUMENTS)));
    await worker?.terminate();
    for (const fault of await Promise.all(waiting)) expect(fault).toBeInstanceOf(CurveError);
    expect(await at.verify(good())).toBe(true);
    expect(workers.size).toBe(2);
  });

  it("takes nothing down with it: the other goes on", async () => {
    const at = pool(2);
    await Promise.all([at.verify(good(2)), at.verify(good(2))]);
    expect(workers.size).toBe(2);
    const [first] = workers;
    await first?.terminate();
    for (let times = 0; times < 4; times += 1) expect(await at.verify(good())).toBe(true);
  });

  /**
   * A worker that falls over says "error" and then "exit". The job that is asked between the two
   * goes to a new worker, and the old one's "exit" must not fail it.
   */
  it("by an error fails no job of its successor", async () => {
    const at = pool(1);
    await at.verify(good());
    const [worker] = workers;
    // The worker cannot take this message apart, and throws where nobody catches.
    if (worker !== undefined) postMessage.call(worker, null);
    const fault = await faultOf(at.facts(SPEND.bytes, DOCUMENTS));
    expect(fault).toMatchObject({ message: expect.stringContaining("failed") });
    // Asked again at once, as whoever reads "may be asked again" does.
    expect((await at.facts(SPEND.bytes, DOCUMENTS)).txid).toBe(SPEND.facts.txid);
  });

  it("closed is a CurveError for whoever asks later, and for who was waiting", async () => {
    const at = pool(1);
    const waiting = faultOf(at.facts(SPEND.bytes, DOCUMENTS));
    await at.close();
    expect(await waiting).toBeInstanceOf(CurveError);
    expect(await faultOf(at.verify(good()))).toBeInstanceOf(CurveError);
    await at.close();
  });
});

describe("the queue", () => {
  it("takes a hundred jobs and refuses the next, without losing one", async () => {
    const at = pool(1);
    const waiting = Array.from({ length: 100 }, () => at.verify(good(1)));
    expect(await faultOf(at.verify(good(1)))).toMatchObject({
      name: "CurveError",
      message: expect.stringContaining("ask again later"),
    });
    expect((await Promise.all(waiting)).every(Boolean)).toBe(true);
    expect(await at.verify(good(1))).toBe(true);
  });

  /** Measured and told, not asserted: a shared machine may steal any 20 ms. */
  it("leaves the main thread free while 100 inputs are judged and signed", async ({ annotate }) => {
    const at = shared;
    const big = honest({ coins: 100 });
    await at.facts(SPEND.bytes, DOCUMENTS);
    let longest = 0;
    let last = performance.now();
    const ticking = setInterval(() => {
      longest = Math.max(longest, performance.now() - last);
      last = performance.now();
    }, 1);
    const started = performance.now();
    await at.facts(big.bytes, DOCUMENTS);
    await at.verify(good(100));
    const took = performance.now() - started;
    clearInterval(ticking);
    await annotate(`longest pause ${longest.toFixed(1)} ms in ${took.toFixed(0)} ms of curve work`);
    expect(took).toBeGreaterThan(0);
  });
});
