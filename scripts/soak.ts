/**
 * `npm run soak`: a whole signer over mutual TLS, with its token, journal and decision log, for minutes
 * on end, while the process that holds its token is killed every 30 seconds. Every request must be
 * answered once and the same again, no alarm may rise, and memory must stay flat.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { Agent, request as httpsRequest } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { createJournal } from "../signer/journal-file.ts";
import {
  checkAnswer,
  type Ground,
  MODES,
  type Mode,
  openGround,
  post,
} from "./bench/appliance-ground.ts";
import { NETWORK } from "./bench/house.ts";
import { startService } from "./service.ts";

const USAGE = `usage: npm run soak -- [--minutes N] [--a-second N] [--custody MODE] [--json]

  --minutes N    how long, 10 by default
  --a-second N   spends asked for a second, 15 by default
  --custody M    "sealed, by the module" (default), "sealed, in JavaScript",
                 "native, a test token"
Exit: 0 all went well, 1 something did not.`;

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "10" },
    "a-second": { type: "string", default: "15" },
    custody: { type: "string", default: "sealed, by the module" },
    json: { type: "boolean", default: false },
    help: { type: "boolean", short: "h" },
  },
});
const minutes = Number(values.minutes);
const aSecond = Number(values["a-second"]);
const mode = Object.keys(MODES).find((name) => name === values.custody) as Mode | undefined;
if (values.help === true || !(minutes > 0) || !(aSecond > 0) || mode === undefined) {
  console.log(USAGE);
  process.exit(values.help === true ? 0 : 2);
}

const KILL_MS = 30_000;
const LOOK_MS = 10_000;
/** Of an answer that may pass: what a client waits before it asks again. */
const RETRY_MS = 250;
/** Memory of the last third above that of the second third: more is a leak. */
const GROWTH_MAX = 1.15;
const CLIENTS = 8;

const tell = (line: string) => process.stderr.write(`${line}\n`);

interface Sample {
  readonly second: number;
  readonly residentMb: number;
}

const folder = mkdtempSync(join(tmpdir(), "ballast-soak-"));
try {
  process.exitCode = await soak(Math.ceil(minutes * 60 * aSecond));
} finally {
  rmSync(folder, { recursive: true, force: true });
}

async function soak(count: number): Promise<number> {
  tell(`preparing ${count} spends`);
  const ground = await openGround(folder, mode ?? "sealed, by the module", count);
  createJournal({ file: ground.plan.journal, network: NETWORK, role: "lsp" });
  const plan = join(folder, "plan.json");
  writeFileSync(plan, JSON.stringify({ ...ground.plan, bare: false }));
  const host = await startService({
    name: "the signer",
    command: [join(import.meta.dirname, "bench/appliance-host.ts"), "--plan", plan],
    log: join(folder, "host.log"),
  });
  const start = performance.now();
  const seconds = () => Math.round((performance.now() - start) / 1000);
  let kills = 0;
  const killing = setInterval(() => {
    kills += 1;
    process.kill(host.pid, "SIGUSR2");
  }, KILL_MS);
  const samples: Sample[] = [];
  let metrics = "";
  const looking = setInterval(async () => {
    metrics = await get(`${host.url}/metrics`, ground);
    samples.push({
      second: seconds(),
      residentMb: figure(metrics, "signer_resident_bytes") / 2 ** 20,
    });
    tell(
      `${seconds()} s: ${asked.answered} answered, ${asked.retries} retries, ${kills} kills, ${samples.at(-1)?.residentMb.toFixed(0)} MB`,
    );
  }, LOOK_MS);
  const asked = { answered: 0, retries: 0, different: 0, wrong: 0 };
  await ask(host.url, { ground, asked, start });
  clearInterval(killing);
  clearInterval(looking);
  metrics = await get(`${host.url}/metrics`, ground);
  await host.stop();
  return verdict({
    ...asked,
    count,
    kills,
    samples,
    alarms: alarmsOf(metrics),
    starts: figure(metrics, "signer_token_starts"),
    seconds: seconds(),
  });
}

interface Asked {
  answered: number;
  retries: number;
  different: number;
  wrong: number;
}

/** Each spend at its time, by a few clients; every tenth is asked for again afterwards. */
async function ask(
  url: string,
  {
    ground,
    asked,
    start,
  }: { readonly ground: Ground; readonly asked: Asked; readonly start: number },
): Promise<void> {
  const agent = new Agent({ ...ground.client, keepAlive: true, maxSockets: CLIENTS });
  let next = 0;
  const client = async () => {
    while (next < ground.bodies.length) {
      const n = next;
      next += 1;
      const wait = start + (n * 1000) / aSecond - performance.now();
      if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
      await askOne(url, agent, { ground, asked, n });
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
  agent.destroy();
}

async function askOne(
  url: string,
  agent: Agent,
  { ground, asked, n }: { readonly ground: Ground; readonly asked: Asked; readonly n: number },
): Promise<void> {
  const body = ground.bodies[n] ?? "";
  const answer = await answered(url, agent, { body, asked });
  asked.answered += 1;
  if (n % 10 !== 0) return;
  try {
    checkAnswer(ground.plan, body, answer);
  } catch {
    asked.wrong += 1;
  }
  if ((await answered(url, agent, { body, asked })) !== answer) asked.different += 1;
}

/** Asked again, with the same request, for as long as the signer says that it may pass. */
async function answered(
  url: string,
  agent: Agent,
  { body, asked }: { readonly body: string; readonly asked: Asked },
): Promise<string> {
  for (;;) {
    // A broken connection says nothing of the request: the same is asked again, as any client must.
    const answer = await post(`${url}/v1/sign`, agent, body).catch(
      (error: Error) => `"retryable":true ${error.message}`,
    );
    if (answer.startsWith('{"kind":"signed"')) return answer;
    if (!answer.includes('"retryable":true'))
      throw new Error(`not signed: ${answer.slice(0, 500)}`);
    asked.retries += 1;
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

function get(url: string, { monitor }: Ground): Promise<string> {
  return new Promise((resolve, reject) => {
    const asking = httpsRequest(url, { ...monitor, agent: false });
    asking.once("error", reject);
    asking.once("response", (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (part: string) => {
        text += part;
      });
      response.once("end", () => resolve(text));
    });
    asking.end();
  });
}

function figure(metrics: string, name: string): number {
  return Number(new RegExp(`^${name} (\\S+)$`, "m").exec(metrics)?.[1] ?? Number.NaN);
}

function alarmsOf(metrics: string): number {
  return [...metrics.matchAll(/^signer_alarms_total\{[^}]*\} (\S+)$/gm)].reduce(
    (sum, [, value]) => sum + Number(value),
    0,
  );
}

interface Result extends Asked {
  readonly count: number;
  readonly kills: number;
  readonly starts: number;
  readonly alarms: number;
  readonly seconds: number;
  readonly samples: readonly Sample[];
}

function verdict(result: Result): number {
  const { samples } = result;
  const third = Math.floor(samples.length / 3);
  const mean = (some: readonly Sample[]) =>
    some.reduce((sum, { residentMb }) => sum + residentMb, 0) / Math.max(1, some.length);
  const [middle, last] = [mean(samples.slice(third, 2 * third)), mean(samples.slice(2 * third))];
  const growth = last / middle;
  const faults = [
    ...(result.answered === result.count
      ? []
      : [`${result.count - result.answered} requests have no answer`]),
    ...(result.different === 0 ? [] : [`${result.different} answers were others when asked again`]),
    ...(result.wrong === 0
      ? []
      : [`${result.wrong} answers were not the two signatures asked for`]),
    ...(result.alarms === 0 ? [] : [`${result.alarms} alarms that must be zero`]),
    ...(samples.length < 6 || growth <= GROWTH_MAX
      ? []
      : [`memory grew by a factor of ${growth.toFixed(2)}`]),
  ];
  const { samples: _, ...counts } = result;
  const said = {
    ...counts,
    residentMb: { middle: Math.round(middle), last: Math.round(last) },
    faults,
  };
  console.log(values.json === true ? JSON.stringify(said) : inWords(said));
  return faults.length === 0 ? 0 : 1;
}

function inWords(said: object): string {
  return Object.entries(said)
    .map(([name, value]) => `${name}: ${typeof value === "object" ? JSON.stringify(value) : value}`)
    .join("\n");
}
