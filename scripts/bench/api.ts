/**
 * `bench api`: what a look at a user and a registration cost over HTTP, beside a bare Express route
 * with a bearer check that answers the same bytes. Clients and both servers share one thread, so the
 * figures are a floor, and the ratio is what tells.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { Agent, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openCurvePool } from "../../signer/curve.ts";
import { type ApiGround, openApiGround, openBare, type Person, TOKEN } from "./api-ground.ts";
import {
  aimAtMost,
  aimBelow,
  type Bench,
  type BenchOptions,
  type BenchResult,
  measured,
  rounded,
} from "./result.ts";
import { quantile } from "./timing.ts";

/** Requests of a round, for each number of clients. */
const READS = 400;
const CLIENTS = [1, 8, 32] as const;
const ACCOUNTS = 50;
const REGISTRATIONS = 40;
const WARM_UP = 1;
const COUNTED = 5;
const AIMS = { clients: 8, p99Ms: 50, ratio: 5, registrationMs: 250 } as const;

export const apiBench: Bench = {
  name: "api",
  says: "requests a second and p99 of the API's reads and registrations, beside a bare Express route",
  run,
};

async function run({ rounds, progress }: BenchOptions): Promise<BenchResult> {
  const counted = rounds ?? COUNTED;
  const folder = mkdtempSync(join(tmpdir(), "ballast-api-"));
  const curve = openCurvePool(1);
  const people = ACCOUNTS + REGISTRATIONS * (WARM_UP + counted);
  progress(`${people} people, ${ACCOUNTS} of them with accounts and coins`);
  const ground = await openApiGround(folder, curve, people);
  let answer = "";
  const bare = await openBare(() => answer);
  try {
    const ids: string[] = [];
    for (let n = 0; n < ACCOUNTS; n += 1) ids.push(await ground.moveIn(n));
    answer = (await ask(new Agent(), ground.api.url, `/v1/user/${ids[0]}`)).text;
    const reads = [];
    for (const clients of CLIENTS) {
      progress(`reads, ${clients} clients`);
      reads.push(await readRow({ urls: [ground.api.url, bare.url], ids, clients, counted }));
    }
    const registrations = await registrationRow(
      { ground, bareUrl: bare.url, counted, progress },
      (text) => {
        answer = text;
      },
    );
    const at = reads.find(({ clients }) => clients === AIMS.clients);
    return {
      rows: [...reads, registrations],
      aims: [
        aimBelow("reads, 8 clients: p99, ms", Number(at?.["p99 ms"]), AIMS.p99Ms),
        aimAtMost(
          "reads, 8 clients: bare route's times as many",
          Number(at?.["bare/ours"]),
          AIMS.ratio,
        ),
        aimBelow("a registration, p99, ms", registrations["p99 ms"], AIMS.registrationMs),
      ],
    };
  } finally {
    await bare.close();
    await ground.close();
    await curve.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

interface Reading {
  /** Ours, then the bare one's: asked in turn. */
  readonly urls: readonly [string, string];
  readonly ids: readonly string[];
  readonly clients: number;
  readonly counted: number;
}

async function readRow({ urls, ids, clients, counted }: Reading) {
  const kept = urls.map(() => ({ times: [] as number[], ms: 0 }));
  for (let round = 0; round < WARM_UP + counted; round += 1) {
    for (const [at, url] of urls.entries()) {
      const { times, ms } = await fire(clients, READS, async (agent, n) => {
        const { status, text } = await ask(agent, url, `/v1/user/${ids[n % ids.length]}`);
        measured(
          status === 200 && text.includes('"utxo_count":3'),
          `a read was answered ${status}`,
        );
      });
      if (round < WARM_UP) continue;
      kept[at]?.times.push(...times);
      const row = kept[at];
      if (row !== undefined) row.ms += ms;
    }
  }
  const rate = (at: number) => (1000 * READS * counted) / (kept[at]?.ms ?? Number.NaN);
  const share = (at: number, part: number) => rounded(quantile(kept[at]?.times ?? [], part));
  return {
    table: "GET /v1/user/ID, three coins",
    clients,
    "a second": rounded(rate(0)),
    "p50 ms": share(0, 0.5),
    "p99 ms": share(0, 0.99),
    "bare a second": rounded(rate(1)),
    "bare p99 ms": share(1, 0.99),
    "bare/ours": rounded(rate(1) / rate(0)),
  };
}

interface Registering {
  readonly ground: ApiGround;
  readonly bareUrl: string;
  readonly counted: number;
  readonly progress: (line: string) => void;
}

/** One after another: begun, proven by its people (not counted), opened. */
async function registrationRow(
  { ground, bareUrl, counted, progress }: Registering,
  answers: (text: string) => void,
) {
  progress("registrations");
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const times: number[] = [];
  const bare: number[] = [];
  for (let n = 0; n < REGISTRATIONS * (WARM_UP + counted); n += 1) {
    const number = ACCOUNTS + n;
    const { ms, text } = await register(agent, ground.api.url, await ground.person(number), number);
    answers(text);
    const body = JSON.stringify({ user_id: String(number) });
    const start = performance.now();
    for (let i = 0; i < 2; i += 1) await ask(agent, bareUrl, "/v1/register", body);
    if (n < REGISTRATIONS * WARM_UP) continue;
    times.push(ms);
    bare.push(performance.now() - start);
  }
  agent.destroy();
  const rate = (samples: readonly number[]) =>
    (1000 * samples.length) / samples.reduce((sum, ms) => sum + ms, 0);
  return {
    table: "registrations: POST /v1/register twice, begun and proven",
    clients: 1,
    "a second": rounded(rate(times)),
    "p50 ms": rounded(quantile(times, 0.5)),
    "p99 ms": rounded(quantile(times, 0.99)),
    "bare a second": rounded(rate(bare)),
    "bare p99 ms": rounded(quantile(bare, 0.99)),
    "bare/ours": rounded(rate(bare) / rate(times)),
  };
}

async function register(agent: Agent, url: string, person: Person, n: number) {
  const keys = { user_id: String(n), xpub: person.userKey, trustee_xpub: person.trusteeKey };
  let start = performance.now();
  const begun = await ask(agent, url, "/v1/register", JSON.stringify(keys));
  let ms = performance.now() - start;
  measured(begun.status === 200, `a registration was answered ${begun.status}: ${begun.text}`);
  const proofs = await person.prove(JSON.parse(begun.text).recovery_doc.vault);
  start = performance.now();
  const opened = await ask(agent, url, "/v1/register", JSON.stringify({ ...keys, proofs }));
  ms += performance.now() - start;
  measured(opened.text.includes('"registered"'), `it was answered ${opened.text}`);
  return { ms, text: opened.text };
}

/** So many requests by so many clients, each with one under way. */
async function fire(
  clients: number,
  count: number,
  one: (agent: Agent, n: number) => Promise<void>,
): Promise<{ readonly times: readonly number[]; readonly ms: number }> {
  const agent = new Agent({ keepAlive: true, maxSockets: clients });
  const times: number[] = [];
  let next = 0;
  const start = performance.now();
  await Promise.all(
    Array.from({ length: clients }, async () => {
      while (next < count) {
        const n = next;
        next += 1;
        const begun = performance.now();
        await one(agent, n);
        times.push(performance.now() - begun);
      }
    }),
  );
  const ms = performance.now() - start;
  agent.destroy();
  return { times, ms };
}

function ask(
  agent: Agent,
  url: string,
  path: string,
  body?: string,
): Promise<{ readonly status: number; readonly text: string }> {
  return new Promise((resolve, reject) => {
    const headers = {
      authorization: `Bearer ${TOKEN}`,
      ...(body !== undefined && {
        "content-type": "application/json",
        "content-length": Buffer.byteLength(body),
      }),
    };
    const method = body === undefined ? "GET" : "POST";
    const sent = request(url + path, { agent, headers, method }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (part: string) => {
        text += part;
      });
      response.on("end", () => resolve({ status: response.statusCode ?? 0, text }));
    });
    sent.on("error", reject).end(body);
  });
}
