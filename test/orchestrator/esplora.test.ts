/** An Esplora server that is ill or means ill: every answer bent once, each by its own fault. */
import { Block } from "bitcoinjs-lib";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Chain } from "../../orchestrator/io/chain.ts";
import { parseBlock } from "../../orchestrator/io/chain-block.ts";
import { openEsplora } from "../../orchestrator/io/esplora.ts";
import { feeRateOf, feesSchema } from "../../orchestrator/io/esplora-answer.ts";
import { EsploraError } from "../../orchestrator/io/esplora-error.ts";
import { fromHex, hex, sha256d } from "../../policies/bitcoin/hash.ts";
import { shown } from "../../policies/bitcoin/transaction.ts";
import { parseExactJson } from "../../signer/node/exact-json.ts";
import { type Answer, type EsploraServer, openEsploraServer } from "../support/esplora-server.ts";
import { describeNode } from "../support/node.ts";
import { ELSEWHERE } from "./world.ts";

async function faultOf(promise: Promise<unknown>): Promise<string> {
  const outcome = await promise.then(
    (value) => value,
    (error: unknown) => error,
  );
  if (outcome instanceof EsploraError) return outcome.code;
  throw new Error(`expected an EsploraError, got ${String(outcome)}`);
}

describeNode("an Esplora server", (node) => {
  let server: EsploraServer;
  let chain: Chain;
  let hash: string;
  let txid: string;
  const open = (more: object = {}) =>
    openEsplora({ url: server.url, network: "regtest", pauseMs: 1, ...more });

  beforeAll(async () => {
    await node.miner.mine(101);
    server = await openEsploraServer({ rpc: () => node.rpc, tests: true });
    chain = open();
    await node.miner.fund(ELSEWHERE, 10_000n);
    [hash = ""] = await node.miner.mine(1);
    txid = (await node.miner.fund(ELSEWHERE, 20_000n)).txid;
  });
  afterAll(() => server.stop());
  beforeEach(() => {
    server.bend = null;
  });

  async function unsent(): Promise<Uint8Array> {
    const options = { add_to_wallet: false };
    const params = [{ [ELSEWHERE]: "0.0001" }, null, "unset", null, options];
    const sent = await node.rpc.call<{ hex: string }>("send", params, { wallet: "miner" });
    return fromHex(sent.hex);
  }
  /** The first answers of a path are these, then the honest ones. */
  function first(answers: readonly (Answer | "half" | "silence")[]): void {
    const left = [...answers];
    server.bend = (_, honest) => left.shift() ?? honest;
  }
  const always = (answer: Partial<Answer> | "half" | "silence") => {
    server.bend = (_, honest) => (typeof answer === "string" ? answer : { ...honest, ...answer });
  };
  const busy = (status: number): Answer => ({
    status,
    body: "later",
    headers: { "retry-after": "0" },
  });

  describe("that stumbles", () => {
    it.each([
      ["429", busy(429)],
      ["503", busy(503)],
      ["500", busy(500)],
      ["a broken answer", "half"],
    ] as const)("with %s is asked again", async (_, answer) => {
      first([answer, answer, answer]);
      expect(await chain.hashAt(0)).toMatch(/^0f9188f1/);
    });

    it.each([
      ["429 for good", busy(429), "busy"],
      ["502 for good", busy(502), "busy"],
      ["answers that break off", "half", "unreachable"],
    ] as const)("with %s is a fault that passes", async (_, answer, code) => {
      always(answer);
      const asked = server.asked.length;
      const fault = await chain.hashAt(0).catch((error: unknown) => error);
      expect(fault).toMatchObject({ code, passing: true });
      expect(server.asked.length - asked).toBe(4);
    });

    it("by silence is not waited for", async () => {
      always("silence");
      expect(await faultOf(open({ timeoutMs: 50 }).tip())).toBe("timeout");
    });

    it("sends nothing twice that is not the same twice", async () => {
      const raw = await unsent();
      first([busy(503), "half", "half"]);
      await chain.send(raw);
      server.bend = null;
      expect(await chain.accepts(raw)).toEqual({ kind: "known" });
    });
  });

  const questions: readonly (readonly [string, () => Promise<unknown>])[] = [
    ["the tip", () => chain.tip()],
    ["a height", () => chain.hashAt(1)],
    ["a block", () => chain.block(hash)],
    ["a fate", () => chain.fate(txid)],
    ["the mempool", () => chain.mempool(new Set())],
    ["the pulse", () => chain.pulse()],
    ["the fee rate", () => chain.feeRate(6)],
  ];
  const junk: readonly (readonly [string, Partial<Answer>])[] = [
    ["a page for people", { body: "<!doctype html><title>Explorer</title>" }],
    ["nothing", { body: "" }],
    ["null", { body: "null" }],
    ["another form", { body: '{"confirmed":"yes","height":-1,"count":1.5}' }],
    ["a way elsewhere", { status: 302, headers: { location: "http://127.0.0.1:1/" } }],
    ["a refusal without reason", { status: 403, body: "" }],
    ["more than any may have", { body: new Uint8Array(70 * 1024 * 1024) }],
  ];

  describe.each(junk)("that answers with %s", (_, answer) => {
    it.each(questions)("asked for %s", async (__, ask) => {
      always(answer);
      expect(await faultOf(ask())).toBe("protocol");
    });
  });

  describe("that bends the bytes of a block", () => {
    const raw = async (of: string) => fromHex(await node.rpc.call<string>("getblock", [of, 0]));
    const give = (bytes: Uint8Array) => {
      server.bend = (path, honest) =>
        path.endsWith("/raw") ? { status: 200, body: bytes } : honest;
    };

    it("is believed while it does not", async () => {
      give(await raw(hash));
      expect((await chain.block(hash)).hash).toBe(hash);
    });

    it.each([
      ["another block", async () => raw(await node.rpc.call("getblockhash", [1])), "untrue"],
      ["another header", async () => flipped(await raw(hash), 70), "untrue"],
      // Its last byte is of the last payment's locktime; no id covers the witness before it.
      ["another payment", async () => flipped(await raw(hash), -1), "untrue"],
      ["a payment less", async () => withoutLast(await raw(hash)), "untrue"],
      ["bytes after its end", async () => Uint8Array.from([...(await raw(hash)), 0]), "untrue"],
      ["an end before its end", async () => (await raw(hash)).subarray(0, -1), "protocol"],
      ["its header alone", async () => (await raw(hash)).subarray(0, 80), "untrue"],
      ["nothing", async () => new Uint8Array(0), "protocol"],
    ] as const)("as %s", async (_, bent, code) => {
      give(await bent());
      expect(await faultOf(chain.block(hash))).toBe(code);
    });

    it("into one without the work that it claims", async () => {
      // Every second nonce is good enough on regtest: the first that is not.
      for (let nonce = 0; ; nonce += 1) {
        const bytes = await raw(hash);
        bytes[76] = nonce;
        const made = shown(sha256d(bytes.subarray(0, 80)));
        if (Number.parseInt(made[0] ?? "", 16) < 8) continue;
        give(bytes);
        await expect(chain.block(made)).rejects.toThrow("has not the work");
        return;
      }
    });

    it("into one whose last payment stands twice, which has the same root", async () => {
      // With the coinbase there are three: the tree doubles the last by itself.
      await node.miner.mine(1);
      const two = [];
      for (const sats of [30_000n, 31_000n])
        two.push((await node.miner.fund(ELSEWHERE, sats)).txid);
      const made = await node.rpc.call<{ hash: string }>("generateblock", [ELSEWHERE, two]);
      const honest = await raw(made.hash);
      give(doubledLast(honest));
      expect(await faultOf(chain.block(made.hash))).toBe("untrue");
      give(honest);
      expect((await chain.block(made.hash)).transactions).toHaveLength(3);
    });

    it("too light for the network", async () => {
      const { doubt } = parseBlock(await raw(hash));
      expect(doubt("regtest")).toBeNull();
      for (const network of ["bitcoin", "testnet", "signet"] as const) {
        expect(doubt(network)).toContain("so little work");
      }
    });
  });

  describe("that tells of payments", () => {
    it("must show their bytes", async () => {
      const other = await node.rpc.call<string>("getrawtransaction", [
        (await node.miner.fund(ELSEWHERE, 40_000n)).txid,
      ]);
      const paid = (await node.miner.fund(ELSEWHERE, 50_000n)).txid;
      server.bend = (path, honest) =>
        path === `/tx/${paid}/raw` ? { status: 200, body: fromHex(other) } : honest;
      expect(await faultOf(chain.mempool(new Set()))).toBe("untrue");
      server.bend = (path, honest) =>
        path === `/tx/${paid}/raw` ? { status: 404, body: "Transaction not found" } : honest;
      const { fresh } = await chain.mempool(new Set());
      expect(fresh.map((tx) => tx.txid())).not.toContain(paid);
    });

    it("and keeps the bytes of what has left is not taken to have it", async () => {
      expect(await chain.fate("ab".repeat(32))).toEqual({ kind: "gone" });
      const mined = (await node.miner.fund(ELSEWHERE, 60_000n)).txid;
      await node.miner.mine(1);
      // As after a reorganisation: the bytes are there, and no block and no mempool has them.
      server.bend = (path, honest) =>
        path.endsWith("/status") ? { status: 200, body: '{"confirmed":false}' } : honest;
      expect(await chain.fate(mined)).toEqual({ kind: "gone" });
    });

    it("looks through the whole mempool where a page of it is full", async () => {
      const { txid: paid } = await node.miner.fund(ELSEWHERE, 70_000n);
      const page = Array.from({ length: 50 }, (_, i) => ({ txid: sha(i) }));
      server.bend = (path, honest) =>
        path.startsWith("/scripthash/") ? { status: 200, body: JSON.stringify(page) } : honest;
      expect(await chain.fate(paid)).toEqual({ kind: "mempool" });
    });

    it("and says that it sent another is not believed", async () => {
      const raw = await unsent();
      server.bend = (path, honest) => (path === "/tx" ? { status: 200, body: sha(1) } : honest);
      expect(await faultOf(chain.send(raw))).toBe("protocol");
    });
  });

  it("of another network is asked for nothing else", async () => {
    const other = openEsplora({ url: server.url, network: "signet", pauseMs: 1 });
    const before = server.asked.length;
    expect(await faultOf(other.tip())).toBe("wrong-network");
    expect(server.asked.slice(before)).toEqual(["/block-height/0"]);
  });
});

describe("fee estimates", () => {
  it.each([
    ["the longest target that is not past ours", '{"2":87.882,"6":68.285,"10":1.027}', 8, 68_285n],
    ["our own target", '{"2":87.882,"6":68.285,"10":1.027}', 6, 68_285n],
    ["the shortest where ours is shorter", '{"2":87.882,"6":68.285}', 1, 87_882n],
    ["a whole number", '{"6":3}', 6, 3_000n],
    ["more digits than a float can hold", '{"6":1.0270000000000001}', 6, 1_027n],
    ["to the nearest thousandth", '{"6":1.0275}', 6, 1_028n],
    ["none where there is none", "{}", 6, null],
  ] as const)("takes %s", (_, text, target, rate) => {
    expect(feeRateOf(feesSchema.parse(parseExactJson(text)), target)).toBe(rate);
  });

  it.each(['{"6":-1}', '{"6":1e400}', '{"6":"x"}', '{"x":1}', '{"6":99999999}', "[]"])(
    "refuses %s",
    (text) => {
      expect(feesSchema.safeParse(parseExactJson(text)).success).toBe(false);
    },
  );
});

function flipped(bytes: Uint8Array, at: number): Uint8Array {
  const bent = Uint8Array.from(bytes);
  const place = at < 0 ? bent.length + at : at;
  bent[place] = (bent[place] ?? 0) ^ 1;
  return bent;
}

const sha = (n: number) => hex(sha256d(Uint8Array.of(n)));

/** A header counts its transactions in one byte here; the last of them starts where it says. */
function lastOf(bytes: Uint8Array): { readonly start: number; readonly count: number } {
  const { transactions = [] } = Block.fromBuffer(bytes);
  const last = transactions.at(-1)?.byteLength() ?? 0;
  return { start: bytes.length - last, count: transactions.length };
}

function withoutLast(bytes: Uint8Array): Uint8Array {
  const { start, count } = lastOf(bytes);
  const bent = Uint8Array.from(bytes.subarray(0, start));
  bent[80] = count - 1;
  return bent;
}

function doubledLast(bytes: Uint8Array): Uint8Array {
  const { start, count } = lastOf(bytes);
  const bent = Uint8Array.from([...bytes, ...bytes.subarray(start)]);
  bent[80] = count + 1;
  return bent;
}
