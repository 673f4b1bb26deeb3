/**
 * An Esplora server in small, for the adapter's tests: routes, statuses and texts as Blockstream's
 * electrs has them (src/rest.rs), every answer from a real node. A test may bend an answer on its
 * way out.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { Transaction } from "bitcoinjs-lib";
import { fromHex, hex, sha256 } from "../../policies/bitcoin/hash.ts";
import type { Bitcoind } from "../../signer/node/bitcoind.ts";
import { BitcoindError } from "../../signer/node/bitcoind-error.ts";

export interface EsploraServer {
  readonly url: string;
  /** Paths asked so far, in their order. */
  readonly asked: readonly string[];
  /** What happens to answers from now on; null leaves them alone. */
  bend: ((path: string, answer: Answer) => Answer | Bent) | null;
  /** Nobody answers at its address from now on. */
  readonly stop: () => Promise<void>;
  /** Again at the same address. */
  readonly start: () => Promise<void>;
}

export interface Answer {
  readonly status: number;
  readonly body: string | Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
}

/** `silence` never answers; `half` breaks off in the middle of what it announced. */
export type Bent = "silence" | "half";

export interface EsploraServerOptions {
  readonly rpc: () => Bitcoind;
  /** mempool.space's electrs has `POST /txs/test`, Blockstream's has not. */
  readonly tests: boolean;
}

export async function openEsploraServer(options: EsploraServerOptions): Promise<EsploraServer> {
  const asked: string[] = [];
  let port = 0;
  let server: Server | null = null;

  async function onRequest(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = (request.url ?? "").replace(/^\/api/, "");
    asked.push(path);
    let body = "";
    for await (const chunk of request) body += chunk;
    const honest = await answerTo(options, `${request.method} ${path}`, body);
    const answer = self.bend === null ? honest : self.bend(path, honest);
    if (answer === "silence") return;
    const { status, body: text, headers } = answer === "half" ? honest : answer;
    const bytes = Buffer.from(text);
    response.writeHead(status, { "content-length": bytes.length, ...headers });
    if (answer !== "half") return void response.end(bytes);
    response.write(bytes.subarray(0, bytes.length / 2), () => response.destroy());
  }

  const start = () =>
    new Promise<void>((resolve, reject) => {
      const opened = createServer((request, response) => void onRequest(request, response));
      server = opened;
      opened.on("error", reject);
      opened.listen(port, "127.0.0.1", () => {
        const address = opened.address();
        if (typeof address === "object" && address !== null) port = address.port;
        resolve();
      });
    });
  await start();

  const self: EsploraServer = {
    url: `http://127.0.0.1:${port}/api`,
    asked,
    bend: null,
    start,
    stop: () =>
      new Promise((resolve) => {
        server?.close(() => resolve());
        server?.closeAllConnections();
      }),
  };
  return self;
}

type Route = readonly [RegExp, (asked: Asked) => Promise<Answer>];

interface Asked {
  readonly rpc: Bitcoind;
  readonly parts: readonly string[];
  readonly body: string;
}

async function answerTo(
  { rpc, tests }: EsploraServerOptions,
  line: string,
  body: string,
): Promise<Answer> {
  const routes = tests ? [...ROUTES, TEST_ROUTE] : ROUTES;
  for (const [pattern, answer] of routes) {
    const match = pattern.exec(line);
    if (match === null) continue;
    try {
      return await answer({ rpc: rpc(), parts: match.slice(1), body });
    } catch (error) {
      if (!(error instanceof BitcoindError)) throw error;
      // Electrs answers from its own index; here the node has to, and may be gone.
      if (error.passing) return { status: 503, body: "node is not there" };
      return notFound(error.message);
    }
  }
  return notFound(`endpoint does not exist "${line}"`);
}

const HASH = "([0-9a-f]{64})";

const ROUTES: readonly Route[] = [
  [/^GET \/blocks\/tip\/hash$/, async ({ rpc }) => text(await rpc.call("getbestblockhash"))],
  [
    /^GET \/block-height\/([0-9]+)$/,
    async ({ rpc, parts }) => text(await rpc.call("getblockhash", [Number(parts[0])])),
  ],
  [
    new RegExp(`^GET /block/${HASH}$`),
    async ({ rpc, parts }) => {
      const { hash, height, previousblockhash } = await rpc.call<Record<string, unknown>>(
        "getblockheader",
        [parts[0]],
      );
      return json({ id: hash, height, previousblockhash, difficulty: 1.5 });
    },
  ],
  [
    new RegExp(`^GET /block/${HASH}/raw$`),
    async ({ rpc, parts }) => bytes(await rpc.call<string>("getblock", [parts[0], 0])),
  ],
  [
    new RegExp(`^GET /tx/${HASH}/raw$`),
    async ({ rpc, parts }) => bytes(await rpc.call<string>("getrawtransaction", [parts[0]])),
  ],
  [new RegExp(`^GET /tx/${HASH}/status$`), ({ rpc, parts }) => status(rpc, parts[0] ?? "")],
  [
    new RegExp(`^GET /scripthash/${HASH}/txs/mempool$`),
    async ({ rpc, parts }) => {
      const txs = await mempoolTxs(rpc);
      const paying = txs.filter(({ outs }) =>
        outs.some(({ script }) => hex(sha256(script)) === parts[0]),
      );
      return json(paying.slice(0, 50).map((tx) => ({ txid: tx.getId(), fee: 1 })));
    },
  ],
  [/^GET \/mempool\/txids$/, async ({ rpc }) => json(await rpc.call("getrawmempool"))],
  [
    /^GET \/mempool$/,
    async ({ rpc }) => {
      const {
        size,
        bytes: vsize,
        total_fee,
      } = await rpc.call<Record<string, unknown>>("getmempoolinfo");
      const fee = Math.round(Number(total_fee) * 1e8);
      return json({ count: size, vsize, total_fee: fee, fee_histogram: [[53.01, 102131]] });
    },
  ],
  [/^GET \/fee-estimates$/, async () => json({})],
  [
    /^POST \/tx$/,
    async ({ rpc, body }) => {
      try {
        return text(await rpc.call<string>("sendrawtransaction", [body]));
      } catch (error) {
        if (!(error instanceof BitcoindError) || error.rpcCode === undefined) throw error;
        // The node's own words, without what our client puts around them.
        const message = error.message.replace(/^.* refused \w+: /, "").replace(/ \(-\d+\)$/, "");
        const said = JSON.stringify({ code: error.rpcCode, message });
        return { status: 400, body: `sendrawtransaction RPC error: ${said}` };
      }
    },
  ],
];

const TEST_ROUTE: Route = [
  /^POST \/txs\/test$/,
  async ({ rpc, body }) => json(await rpc.call("testmempoolaccept", [JSON.parse(body)])),
];

/** Electrs says "unconfirmed" of what it never saw. */
async function status(rpc: Bitcoind, txid: string): Promise<Answer> {
  const [found] = await rpc.batch([{ method: "getrawtransaction", params: [txid, true] }]);
  if (found?.kind !== "result") return json({ confirmed: false });
  const { blockhash, confirmations } = found.result as {
    readonly blockhash?: string;
    readonly confirmations?: number;
  };
  if (blockhash === undefined || (confirmations ?? 0) < 1) return json({ confirmed: false });
  const { height } = await rpc.call<{ readonly height: number }>("getblockheader", [blockhash]);
  return json({ confirmed: true, block_height: height, block_hash: blockhash, block_time: 1 });
}

async function mempoolTxs(rpc: Bitcoind): Promise<readonly Transaction[]> {
  const txids = await rpc.call<readonly string[]>("getrawmempool");
  const answers = await rpc.batch(
    txids.map((txid) => ({ method: "getrawtransaction", params: [txid] })),
  );
  return answers.flatMap((answer) =>
    answer.kind === "result" ? [Transaction.fromHex(String(answer.result))] : [],
  );
}

const text = (body: string): Answer => ({ status: 200, body });
const bytes = (body: string): Answer => ({ status: 200, body: fromHex(body) });
const json = (body: unknown): Answer => ({ status: 200, body: JSON.stringify(body) });
const notFound = (body: string): Answer => ({ status: 404, body });
