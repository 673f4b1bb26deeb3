/**
 * `bench appliance`: co-signatures a second of a whole signer over mutual TLS, with its token, durable
 * journal and decision log, for each custody mode, beside the same signer without law and memory, and
 * beside the bare curve. Client and signer share the machine.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { Agent, request as httpsRequest } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { base64 } from "@scure/base";
import * as ecc from "tiny-secp256k1";
import { hex, taggedHash } from "../../policies/bitcoin/hash.ts";
import { readPsbt } from "../../policies/bitcoin/psbt.ts";
import { spendFacts } from "../../policies/facts.ts";
import { PURPOSES } from "../../policies/intent.ts";
import { sats } from "../../policies/money.ts";
import { possessionText } from "../../policies/possession.ts";
import { composeVault, type Role, readVault, vaultScripts } from "../../policies/vault.ts";
import { openCurvePool } from "../../signer/curve.ts";
import { guard } from "../../signer/guard.ts";
import { openJournal } from "../../signer/journal.ts";
import { createJournal } from "../../signer/journal-file.ts";
import { tokenKey } from "../../signer/pkcs11/key.ts";
import { SEALED_MODULE } from "../../signer/pkcs11/profile.ts";
import { findSoftHsm, provisionSoftHsm } from "../../signer/pkcs11/softhsm.ts";
import { initToken, openToken } from "../../signer/pkcs11/token.ts";
import { formatPkcs11Uri, type Pkcs11Uri, parsePkcs11Uri } from "../../signer/pkcs11/uri.ts";
import { provisionCertificates } from "../../signer/provisioning/certificates.ts";
import type { TlsIdentity } from "../../signer/service/server.ts";
import type { Key } from "../../signer/signer.ts";
import { createSoftwareKey, openSoftwareKey } from "../../signer/software.ts";
import { openVaults } from "../../signer/vaults.ts";
import { startService } from "../service.ts";
import type { HostPlan } from "./appliance-host.ts";
import {
  COIN_SATS,
  type Coin,
  coinsOf,
  freshSpend,
  NETWORK,
  policyOf,
  preparedChain,
  type Tip,
} from "./house.ts";
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
const INPUTS = 2;
/** The token has more sessions than requests are ever in it at one time. */
const SESSIONS = 6;
const HEIGHT = 1_000;

const AIMS = { perSecond: 200, p99Ms: 150, costRatio: 2, clients: 8 } as const;

const MODES = {
  "sealed, in JavaScript": (parts: Pkcs11Uri) => ({ ...parts, openedBy: "javascript" as const }),
  "sealed, by the module": (parts: Pkcs11Uri) => ({ ...parts, openedBy: "module" as const }),
  "native, a test token": (parts: Pkcs11Uri) => ({
    ...{ ...parts, mode: "native" as const, openedBy: null, profile: "test-token" },
    modulePath: TEST_TOKEN,
  }),
} as const;
type Mode = keyof typeof MODES;
const TEST_TOKEN = join(SEALED_MODULE, "..", "native-token.so");

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

interface Ground {
  readonly dir: string;
  readonly plan: Omit<HostPlan, "bare">;
  readonly client: TlsIdentity;
  readonly bodies: readonly string[];
}

/** A token, a vault with its key, and spends that the user has signed. */
async function openGround(dir: string, mode: Mode, count: number): Promise<Ground> {
  const plain = await provisionSoftHsm({
    dir: join(dir, "token"),
    label: "bench",
    maxSessions: SESSIONS,
  });
  const uri = formatPkcs11Uri(MODES[mode](parsePkcs11Uri(plain.uri)));
  const env = { ...plain.env, BALLAST_TEST_LIBRARY: findSoftHsm() ?? "" };
  await initToken({ uri, env, network: NETWORK });
  const token = await openToken({ uri, env, network: NETWORK });
  const curve = openCurvePool();
  const lsp = tokenKey({ token, network: NETWORK, name: "bench" });
  const software = (role: "user" | "trustee") => {
    const file = join(dir, `${role}.key`);
    createSoftwareKey(file, NETWORK, ["bench"]);
    return openSoftwareKey({ file, network: NETWORK, curve });
  };
  const keys: Readonly<Record<"user" | "lsp" | "trustee", Key>> = {
    lsp,
    user: software("user"),
    trustee: software("trustee"),
  };
  const holders = await Promise.all(
    (["user", "lsp", "trustee"] as const).map(async (role) => ({
      role,
      key: await keys[role].accountKey("bench"),
    })),
  );
  const vault = readVault(
    composeVault({ network: NETWORK, kind: "user", name: "Ballast bench", holders }),
  );
  const proofs: Partial<Record<Role, string>> = {};
  for (const { role, key } of vault.holders) {
    if (role === "second-trustee") continue;
    const text = possessionText(vault, role);
    proofs[role] = hex(await keys[role].provePossession(hex(key.publicKey), text));
  }
  const scripts = vaultScripts(vault);
  const coins: readonly Coin[] = Array.from({ length: count * INPUTS }, (_, n) => ({
    outpoint: `${hex(taggedHash("ballast/bench-coin", new TextEncoder().encode(String(n))))}:0`,
    sats: sats(COIN_SATS),
    index: n % 20,
  }));
  const tip: Tip = {
    height: HEIGHT,
    medianTime: Math.floor(Date.now() / 1000) - 600,
    tip: "00".repeat(32),
  };

  const file = join(dir, "user.db");
  createJournal({ file, network: NETWORK, role: "user" });
  const journal = openJournal({ file, network: NETWORK, role: "user" });
  const policy = policyOf("user");
  const now = () => Date.now();
  const vaults = openVaults({ journal, policy, key: keys.user, now });
  const registered = await vaults.register({ vault: vault.document, proofs });
  measured(registered.kind === "registered", "the user's signer refused the vault");
  const prepared = preparedChain();
  prepared.put(tip, coinsOf(scripts, coins, 1));
  const user = guard({
    ...{ name: "user", policy, key: keys.user, journal, vaults, chain: prepared.chain, curve, now },
    log: () => undefined,
  });
  const bodies: string[] = [];
  for (let n = 0; n < count; n += 1) {
    const some = coins.slice(n * INPUTS, (n + 1) * INPUTS);
    const spend = freshSpend(scripts, some, { locktime: HEIGHT, number: n });
    const outcome = await user.sign(spend);
    measured(
      outcome.kind === "signed",
      `the user's signer did not sign: ${JSON.stringify(outcome)}`,
    );
    bodies.push(JSON.stringify({ intent: spend.intent, psbt: base64.encode(outcome.psbt) }));
  }
  journal.close();
  await token.close();
  await curve.close();

  const certificates = await provisionCertificates({ dir: join(dir, "tls"), clients: ["bench"] });
  const read = (path: string) => readFileSync(path, "utf8");
  const identity = ({ cert, key }: { readonly cert: string; readonly key: string }) => ({
    ca: read(certificates.ca),
    cert: read(cert),
    key: read(key),
  });
  const client = certificates.clients["bench"];
  measured(client !== undefined, "no certificate was made");
  return {
    dir,
    client: identity(client),
    bodies,
    plan: {
      ...{ uri, env, vault: vault.document, proofs, tip },
      journal: join(dir, "lsp.db"),
      requests: join(dir, "requests.db"),
      access: {
        tls: identity(certificates.server),
        clients: [
          {
            ...{ name: "bench", certificate: client.fingerprint, role: "orchestrator" as const },
            purposes: [...PURPOSES],
          },
        ],
        rate: { per_second: 100_000, burst: 100_000 },
      },
      coins: coins.map((coin) => ({ ...coin, sats: Number(coin.sats) })),
    },
  };
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

function post(url: string, agent: Agent, body: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const headers = {
      "content-type": "application/json",
      "content-length": Buffer.byteLength(body),
    };
    const asking = httpsRequest(url, { agent, method: "POST", headers });
    asking.once("error", reject);
    asking.once("response", (response) => {
      const parts: Buffer[] = [];
      response.on("data", (part: Buffer) => parts.push(part));
      response.once("end", () => resolve(Buffer.concat(parts).toString("utf8")));
    });
    asking.end(body);
  });
}

/** The answer is the PSBT that was asked, with two valid signatures on every input. */
function checkAnswer(plan: Ground["plan"], body: string, answer: string): void {
  const scripts = vaultScripts(readVault(plan.vault));
  const asked = spendFacts(readPsbt(base64.decode(JSON.parse(body).psbt)), [scripts]);
  const facts = spendFacts(readPsbt(base64.decode(JSON.parse(answer).psbt)), [scripts]);
  measured(facts.txid === asked.txid, "another transaction came back than was asked");
  for (const { signatures } of facts.inputs) {
    const valid = signatures.filter((signature) => signature.valid).length;
    measured(valid === 2, `an input has ${valid} valid signatures, not two`);
  }
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
