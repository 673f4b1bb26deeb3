/**
 * `bench appliance`: co-signatures a second of a whole signer over mutual TLS, with its token, durable
 * journal and decision log, for each custody mode, beside the same signer without law and memory, and
 * beside the bare curve. Client and signer share the machine.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { Agent } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as ecc from "tiny-secp256k1";
import { taggedHash } from "../../policies/bitcoin/hash.ts";
import { createJournal } from "../../signer/journal-file.ts";
import { startService } from "../service.ts";
import {
  checkAnswer,
  type Ground,
  INPUTS,
  MODES,
  type Mode,
  openGround,
  post,
} from "./appliance-ground.ts";
import { NETWORK } from "./house.ts";
import {
  type Aim,
  aimAtMost,
  aimBelow,
  type Bench,
  type BenchOptions,
  type BenchResult,
  measured,
  type Row,
  rounded,
} from "./result.ts";
import { quantile } from "./timing.ts";

export const applianceBench: Bench = {
  name: "appliance",
  says: "co-signatures a second over mutual TLS, for each custody mode, beside the same without law and memory",
  run,
};

const CLIENTS = [1, 2, 4, 8, 16, 32] as const;
/** Requests for each number of clients. */
const REQUESTS = 240;
const WARM_UP = 120;

const AIMS = { perSecond: 200, p99Ms: 150, costRatio: 2, clients: 8 } as const;

async function run({ rounds, progress }: BenchOptions): Promise<BenchResult> {
  const folder = mkdtempSync(join(tmpdir(), "ballast-appliance-"));
  const requests = rounds === null ? REQUESTS : rounds * 10;
  const rows: Row[] = [];
  try {
    for (const mode of Object.keys(MODES) as Mode[]) {
      const dir = join(folder, mode.replace(/[^a-z]+/g, "-"));
      mkdirSync(dir);
      progress(`${mode}: preparing ${requests * CLIENTS.length + WARM_UP} spends`);
      const ground = await openGround(dir, mode, requests * CLIENTS.length + WARM_UP);
      for (const bare of [true, false]) {
        progress(`${mode}: ${bare ? "signing alone" : "with law and memory"}`);
        rows.push(...(await measure(ground, { mode, bare, requests })));
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return { rows: [...joined(rows), curveRow()], aims: aimsOf(rows) };
}

interface Measure {
  readonly mode: Mode;
  readonly bare: boolean;
  readonly requests: number;
}

async function measure(ground: Ground, { mode, bare, requests }: Measure): Promise<readonly Row[]> {
  const { dir, plan, bodies } = ground;
  createJournalOnce(plan.journal, bare);
  const file = join(dir, `plan-${bare}.json`);
  writeFileSync(file, JSON.stringify({ ...plan, bare }));
  const host = await startService({
    name: "the measured signer",
    command: [join(import.meta.dirname, "appliance-host.ts"), "--plan", file],
    log: join(dir, "host.log"),
  });
  const rows: Row[] = [];
  try {
    await fire({ ground, url: host.url, clients: 8, from: 0, count: WARM_UP });
    for (const [at, clients] of CLIENTS.entries()) {
      const from = WARM_UP + at * requests;
      const { seconds, times, answers } = await fire({
        ground,
        url: host.url,
        clients,
        from,
        count: requests,
      });
      for (let n = 0; n < requests; n += CHECK_EVERY) {
        checkAnswer(plan, bodies[from + n] ?? "", answers[n] ?? "");
      }
      rows.push({
        table: bare ? "bare" : "whole",
        ...{ custody: mode, clients, perSecond: requests / seconds },
        ...{ p50: quantile(times, 0.5), p99: quantile(times, 0.99) },
      });
    }
  } finally {
    await host.stop();
  }
  return rows;
}
/** Every answer says that it is signed; so many are read and every signature verified. */
const CHECK_EVERY = 40;

function createJournalOnce(file: string, bare: boolean): void {
  if (!bare) createJournal({ file, network: NETWORK, role: "lsp" });
}

interface Fired {
  readonly seconds: number;
  readonly times: readonly number[];
  readonly answers: readonly string[];
}

/** So many requests by so many clients, each with one request under way. */
async function fire(options: {
  readonly ground: Ground;
  readonly url: string;
  readonly clients: number;
  readonly from: number;
  readonly count: number;
}): Promise<Fired> {
  const { ground, url, clients, from, count } = options;
  const agent = new Agent({ ...ground.client, keepAlive: true, maxSockets: clients });
  const times: number[] = new Array(count);
  const answers: string[] = new Array(count);
  let next = 0;
  const start = performance.now();
  await Promise.all(
    Array.from({ length: clients }, async () => {
      while (next < count) {
        const n = next;
        next += 1;
        const begun = performance.now();
        answers[n] = await post(`${url}/v1/sign`, agent, ground.bodies[from + n] ?? "");
        times[n] = performance.now() - begun;
      }
    }),
  );
  const seconds = (performance.now() - start) / 1000;
  agent.destroy();
  for (const answer of answers) {
    measured(
      answer.startsWith('{"kind":"signed"'),
      `an honest spend was not signed: ${answer.slice(0, 300)}`,
    );
  }
  return { seconds, times, answers };
}

/** The two runs of one custody beside one another. */
function joined(rows: readonly Row[]): readonly Row[] {
  const bare = rows.filter(({ table }) => table === "bare");
  return rows
    .filter(({ table }) => table === "whole")
    .map((row) => {
      const alone = bare.find(
        ({ custody, clients }) => custody === row["custody"] && clients === row["clients"],
      );
      const [whole, other] = [Number(row["perSecond"]), Number(alone?.["perSecond"])];
      return {
        table: "co-signatures of 2-input PSBTs",
        custody: row["custody"] ?? "",
        clients: row["clients"] ?? 0,
        "a second": rounded(whole),
        "p50 ms": rounded(Number(row["p50"])),
        "p99 ms": rounded(Number(row["p99"])),
        "without law and memory": rounded(other),
        "cost of safety": rounded(other / whole),
      };
    });
}

/** What two signatures and four verifications cost by themselves. */
function curveRow(): Row {
  const secret = taggedHash("ballast/bench-secret", new Uint8Array(32));
  const message = taggedHash("ballast/bench-message", new Uint8Array(32));
  const xOnly = ecc.xOnlyPointFromScalar(secret);
  const times = Array.from({ length: 200 }, () => {
    const start = performance.now();
    for (let input = 0; input < INPUTS; input += 1) {
      const signature = ecc.signSchnorr(message, secret);
      ecc.verifySchnorr(message, xOnly, signature);
      ecc.verifySchnorr(message, xOnly, signature);
    }
    return performance.now() - start;
  });
  return {
    table: "bare curve, one thread, WebAssembly",
    what: "two signatures, four verifications (the user's two, our own two)",
    "p50 ms": rounded(quantile(times, 0.5)),
    "a second": rounded(1000 / quantile(times, 0.5)),
  };
}

function aimsOf(rows: readonly Row[]): readonly Aim[] {
  const ofModule = rows.filter(({ custody }) => custody === "sealed, by the module");
  const whole = ofModule.filter(({ table }) => table === "whole");
  const bare = ofModule.filter(({ table }) => table === "bare");
  const best = Math.max(...whole.map((row) => Number(row["perSecond"])));
  const at = (table: readonly Row[]) => table.find(({ clients }) => clients === AIMS.clients);
  const ratio = Number(at(bare)?.["perSecond"]) / Number(at(whole)?.["perSecond"]);
  return [
    {
      what: "sealed by the module: co-signatures a second, at the best number of clients",
      value: rounded(best),
      aim: `>= ${AIMS.perSecond}`,
      met: best >= AIMS.perSecond,
    },
    aimBelow("sealed by the module, 8 clients: p99, ms", Number(at(whole)?.["p99"]), AIMS.p99Ms),
    aimAtMost(
      "sealed by the module, 8 clients: cost of law and memory, as a ratio",
      ratio,
      AIMS.costRatio,
    ),
  ];
}
