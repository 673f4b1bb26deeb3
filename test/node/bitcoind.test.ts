import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { startRegtest } from "../../scripts/regtest.ts";
import { openBitcoind } from "../../signer/node/bitcoind.ts";
import { BitcoindError } from "../../signer/node/bitcoind-error.ts";
import { btcOfSats, parseExactJson, satsOfBtc } from "../../signer/node/exact-json.ts";
import { bitcoindPart, describeNode, temporaryFolder } from "../support/node.ts";
import { describeReal } from "../support/real-part.ts";

const SATS_MAX = 2_100_000_000_000_000n;
const anySats = fc.bigInt({ min: -SATS_MAX, max: SATS_MAX });

async function faultOf(promise: Promise<unknown>): Promise<BitcoindError> {
  const outcome = await promise.then(
    (value) => value,
    (error: unknown) => error,
  );
  if (outcome instanceof BitcoindError) return outcome;
  throw new Error(`expected a BitcoindError, got ${JSON.stringify(outcome)}`);
}

describe("amounts", () => {
  it("goes from satoshis to text and back without loss", () => {
    fc.assert(fc.property(anySats, (sats) => satsOfBtc(btcOfSats(sats)) === sats));
  });

  it("comes out of the node's JSON exactly as the node wrote it", () => {
    fc.assert(
      fc.property(anySats, fc.string(), (sats, label) => {
        const text = `{"label": ${JSON.stringify(label)}, "amount" : ${btcOfSats(sats)}}`;
        const read = parseExactJson(text) as { readonly amount: string; readonly label: string };
        expect(satsOfBtc(read.amount)).toBe(sats);
        expect(read.label).toBe(label);
      }),
    );
  });

  it.each([
    ["0.00000001", 1n],
    ["1", 100_000_000n],
    ["1.5", 150_000_000n],
    ["-0.10000000", -10_000_000n],
    ["21000000.00000000", SATS_MAX],
  ])("reads %s", (text, sats) => {
    expect(satsOfBtc(text)).toBe(sats);
  });

  it.each([
    "",
    "-",
    ".5",
    "1.",
    "01.0",
    "1e-8",
    "0.000000001",
    "21000000.00000001",
    "+1",
    " 1",
    "1\n",
    "0x10",
    "١",
    "NaN",
  ])("refuses %j", (text) => {
    expect(() => satsOfBtc(text)).toThrow(BitcoindError);
  });
});

describe("JSON with exact numbers", () => {
  /** What JSON.parse gives, with the numbers that we hand over as text replaced by their text. */
  function expected(value: unknown): unknown {
    if (typeof value === "number") {
      const text = JSON.stringify(value);
      return /[.eE]/.test(text) || !Number.isSafeInteger(value) ? text : value;
    }
    if (Array.isArray(value)) return value.map(expected);
    if (typeof value === "object" && value !== null) {
      return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, expected(item)]));
    }
    return value;
  }
  const plain = fc.jsonValue({ maxDepth: 4, stringUnit: "binary" });

  it("changes inexact numbers alone", () => {
    fc.assert(
      fc.property(plain, fc.constantFrom(0, 2), (value, indent) => {
        const parsed = JSON.parse(JSON.stringify(value)) as unknown;
        expect(parseExactJson(JSON.stringify(value, null, indent))).toEqual(expected(parsed));
      }),
    );
  });

  it("accepts exactly what JSON.parse accepts", () => {
    // Texts of the characters that matter are valid seldom, and nearly valid often.
    const nearly = fc.string({ unit: fc.constantFrom(...'{}[]:,"\\ .-+eE0159na'), maxLength: 12 });
    const cut = fc.tuple(plain, fc.nat(), nearly).map(([value, at, noise]) => {
      const text = JSON.stringify(value);
      const place = at % (text.length + 1);
      return text.slice(0, place) + noise + text.slice(place + 1);
    });
    const accepts = (parse: (text: string) => unknown, text: string) => {
      try {
        parse(text);
        return true;
      } catch {
        return false;
      }
    };
    fc.assert(
      fc.property(fc.oneof(nearly, cut), (text) => {
        expect(accepts(parseExactJson, text)).toBe(accepts(JSON.parse, text));
      }),
      { numRuns: 5_000 },
    );
  });

  it.each([
    ['{"a":"1.5 \\" 2.5","b":1.50}', { a: '1.5 " 2.5', b: "1.50" }],
    ['{"a\\\\":0.1,"":-0.0}', { "a\\": "0.1", "": "-0.0" }],
    ["[9007199254740991,9007199254740993,1E3]", [9007199254740991, "9007199254740993", "1E3"]],
    ["4.656542373906925e-10", "4.656542373906925e-10"],
  ])("reads %s", (text, value) => {
    expect(parseExactJson(text)).toEqual(value);
  });

  it.each(["{1.5:2}", "{1.55 : 2}", "[01.5]", "[1.]", "[1.5.5]", '["a]', "[1.5 2.5]", ""])(
    "refuses %s, as JSON.parse does",
    (text) => {
      expect(() => JSON.parse(text) as unknown).toThrow(SyntaxError);
      expect(() => parseExactJson(text)).toThrow(SyntaxError);
    },
  );
});

describe("a bitcoind URL", () => {
  it.each(["", "127.0.0.1:8332", "https://alice:hunter2@host:1", "http://alice:hunter2@host:1/x"])(
    "refuses %j without repeating a password",
    (url) => {
      expect(() => openBitcoind({ url, cookieFile: "/nowhere" })).toThrow(BitcoindError);
      expect(() => openBitcoind({ url, cookieFile: "/nowhere" })).not.toThrow(/hunter2/);
    },
  );

  it("needs a user or a cookie file", () => {
    expect(() => openBitcoind({ url: "http://127.0.0.1:1" })).toThrow(/no user and no cookie/);
  });
});

/** What a node never says, a broken proxy or a stranger on the port does: real HTTP, odd answers. */
describe("a server that is no bitcoind", () => {
  let server: Server | null = null;
  afterEach(() => {
    server?.closeAllConnections();
    server?.close();
  });

  async function ask(
    answer: Parameters<typeof createServer>[1],
    timeoutMs = 5_000,
  ): Promise<BitcoindError> {
    const listening = createServer(answer ?? (() => {}));
    server = listening;
    await new Promise<void>((resolve) => listening.listen(0, "127.0.0.1", resolve));
    const address = listening.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    const rpc = openBitcoind({ url: `http://alice:hunter2@127.0.0.1:${port}`, timeoutMs });
    const fault = await faultOf(rpc.call("getblockcount"));
    rpc.close();
    expect(fault.message).not.toMatch(/hunter2/);
    return fault;
  }

  it.each([
    ["no JSON", 200, "<html>hello</html>", "protocol", false],
    ["another's answer", 200, '{"id":-1,"result":1,"error":null}', "protocol", false],
    ["neither result nor error", 200, '{"id":1}', "protocol", false],
    ["an error without a code", 500, '{"id":1,"error":"x","result":null}', "protocol", false],
    ["an array", 200, "[]", "protocol", false],
    ["a warm-up", 500, '{"id":1,"error":{"code":-28,"message":"Loading"}}', "rpc", true],
    ["a full work queue", 503, "Work queue depth exceeded", "unreachable", true],
    ["a closed door", 403, "", "unauthorized", false],
    ["a wrong password", 401, "", "unauthorized", false],
  ] as const)("answers %s", async (_what, status, body, code, passing) => {
    const fault = await ask((_request, response) => response.writeHead(status).end(body));
    expect([fault.code, fault.passing]).toEqual([code, passing]);
  });

  it("never answers", async () => {
    const fault = await ask(() => {}, 50);
    expect([fault.code, fault.passing]).toEqual(["timeout", true]);
  });

  it("hangs up in the middle of its answer", async () => {
    const fault = await ask((_request, response) => {
      response.writeHead(200, { "content-length": 1_000 }).write('{"id":1,');
      setTimeout(() => response.destroy(), 20);
    });
    expect(fault.code).toBe("unreachable");
  });

  it("answers without end", async () => {
    const block = Buffer.alloc(1024 * 1024, " ");
    const fault = await ask((_request, response) => {
      const pour = () => {
        while (!response.destroyed && response.write(block));
      };
      response.on("drain", pour).writeHead(200);
      pour();
    });
    expect([fault.code, fault.passing]).toEqual(["protocol", false]);
    expect(fault.message).toMatch(/over 64 MiB/);
  });
});

describeNode("a real node", (node) => {
  it("answers, with amounts as text", async () => {
    expect(await node.rpc.call<number>("getblockcount")).toBe(0);
    await node.miner.mine(1);
    const block = await node.rpc.call<{
      readonly tx: readonly { readonly vout: readonly { readonly value: string }[] }[];
    }>("getblock", [await node.rpc.call<string>("getbestblockhash"), 2]);
    expect(block.tx[0]?.vout[0]?.value).toBe("50.00000000");
  });

  it("takes an amount as text and pays it to the satoshi", async () => {
    const address = await node.rpc.call<string>("getnewaddress", ["", "bech32m"], {
      wallet: "miner",
    });
    const { txid, vout } = await node.miner.fund(address, 12_345_679n);
    const [block] = await node.miner.mine(1);
    const out = await node.rpc.call<{ readonly value: string; readonly confirmations: number }>(
      "gettxout",
      [txid, vout],
    );
    expect(block).toMatch(/^[0-9a-f]{64}$/);
    expect(out.confirmations).toBe(1);
    expect(satsOfBtc(out.value)).toBe(12_345_679n);
  });

  it("takes named parameters", async () => {
    const hash = await node.rpc.call<string>("getblockhash", { height: 0 });
    expect(await node.rpc.call("getblockheader", { blockhash: hash, verbose: true })).toMatchObject(
      { hash, height: 0 },
    );
  });

  it("says why a call is refused", async () => {
    const fault = await faultOf(node.rpc.call("sendrawtransaction", ["00"]));
    expect([fault.code, fault.rpcCode, fault.passing]).toEqual(["rpc", -22, false]);
    expect(fault.message).toMatch(/refused sendrawtransaction: TX decode failed/);
  });

  it("answers a batch in order, the refused calls among them", async () => {
    const answers = await node.rpc.batch([
      { method: "getblockhash", params: [0] },
      { method: "getblockhash", params: [1_000_000] },
      { method: "nonsense" },
      { method: "getblockcount" },
    ]);
    expect(answers.map(({ kind }) => kind)).toEqual(["result", "error", "error", "result"]);
    expect(answers[1]).toMatchObject({ error: { code: "rpc", rpcCode: -8 } });
    expect(await node.rpc.batch([])).toEqual([]);
  });

  it("keeps many calls at once apart", async () => {
    const heights = Array.from({ length: 60 }, (_, index) => index);
    const hashes = await Promise.all(
      heights.map((height) => node.rpc.call<string>("getblockhash", [height])),
    );
    expect(new Set(hashes).size).toBe(heights.length);
  });

  it("refuses a wrong password, and does not repeat it", async () => {
    const rpc = openBitcoind({ url: node.url.replace("://", "://alice:hunter2@") });
    const fault = await faultOf(rpc.call("getblockcount"));
    rpc.close();
    expect([fault.code, fault.passing]).toEqual(["unauthorized", false]);
    expect(fault.message).not.toMatch(/hunter2|alice/);
  });

  it("takes the cookie's content in the URL as well", async () => {
    const cookie = readFileSync(node.cookieFile, "utf8").trim();
    const rpc = openBitcoind({ url: node.url.replace("://", `://${cookie}@`) });
    expect(await rpc.call<number>("getblockcount")).toBeGreaterThan(0);
    rpc.close();
  });

  it("refuses a stale cookie once it has read it twice", async () => {
    const folder = mkdtempSync(join(tmpdir(), "ballast-test-"));
    const cookieFile = join(folder, "cookie");
    writeFileSync(cookieFile, "__cookie__:stale");
    const rpc = openBitcoind({ url: node.url, cookieFile });
    expect((await faultOf(rpc.call("getblockcount"))).code).toBe("unauthorized");
    rpc.close();
    rmSync(folder, { recursive: true });
  });
});

describeReal(bitcoindPart(), "a node that goes and comes back", () => {
  const folder = temporaryFolder();

  it("is unreachable in between, and takes the same client with its new cookie", async () => {
    const dataDir = folder();
    const first = await startRegtest({ dataDir });
    const port = Number(new URL(first.url).port);
    const rpc = openBitcoind({ url: first.url, cookieFile: first.cookieFile });
    const oldCookie = readFileSync(first.cookieFile, "utf8");
    expect(await rpc.call<number>("getblockcount")).toBe(0);

    await first.stop();
    const gone = await faultOf(rpc.call("getblockcount"));
    expect([gone.code, gone.passing]).toEqual(["unreachable", true]);

    const second = await startRegtest({ dataDir, rpcPort: port });
    expect(readFileSync(second.cookieFile, "utf8")).not.toBe(oldCookie);
    expect(await rpc.call<number>("getblockcount")).toBe(0);
    rpc.close();
    await second.stop();
  });
});
