/**
 * A crowd of people who deposit, an orchestrator that is killed again and again, and a recount of what
 * each of them owns that asks the node alone.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createWriteStream, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { buildSync } from "esbuild";
import { z } from "zod";
import { descriptorOf, readVault } from "../../policies/vault.ts";
import { type Client, openClient } from "../../scripts/tour/client.ts";
import { btcSchema, readAnswer } from "../../signer/node/answer.ts";
import type { Bitcoind } from "../../signer/node/bitcoind.ts";
import { satsOfBtc } from "../../signer/node/exact-json.ts";
import { holder, proofOf } from "../orchestrator/holders.ts";
import type { TestNode } from "../support/node.ts";

export interface Person {
  readonly account: string;
  readonly descriptor: string;
  /** Where the next payment goes; another one after each. */
  address: string;
}

export interface Running {
  readonly api: Client;
  readonly kill: () => Promise<void>;
}

export interface CrowdSetting {
  readonly node: TestNode;
  readonly folder: string;
  /** SQLite's file or Postgres' URL. */
  readonly store: string;
  /** Roots of two sources of prices, as they are configured. */
  readonly prices: readonly { readonly name: string; readonly url: string }[];
  readonly confirmations: number;
}

const TOKEN = "the-operators-token-of-this-crowd";
const ROOT = join(import.meta.dirname, "../..");
const VICTIM = join(ROOT, "test/support/orchestrator-victim.ts");

/** How the orchestrator of this crowd is started, as often as it is wanted. */
export function openCrowd(setting: CrowdSetting): {
  readonly start: () => Promise<Running>;
  readonly config: string;
} {
  const { node, folder, store, prices, confirmations } = setting;
  mkdirSync(folder, { recursive: true });
  const token = join(folder, "token");
  writeFileSync(token, TOKEN, { mode: 0o600 });
  const file = join(folder, "orchestrator.json");
  // JSON is YAML too.
  const config = {
    ...{ format: "ballast/orchestrator@1", network: "regtest", store, token, confirmations },
    node: { url: node.url, cookie: node.cookieFile },
    signer: { url: "https://127.0.0.1:1", tls: { ca: "/none", cert: "/none", key: "/none" } },
    fees: { sat_per_vbyte_min: 1, sat_per_vbyte_max: 100 },
    prices: { sources: prices, every_ms: 1_000 },
    webhooks: { allow_private: true, per_minute: 100_000 },
    // A process that was killed gives its leases away when they end.
    lease_ms: 300,
    pace_ms: 100,
  };
  writeFileSync(file, JSON.stringify(config));
  const log = join(folder, "orchestrator.log");
  const program = bundled();
  return { start: () => started([program, file], log), config: file };
}

/**
 * The same program in one file, so that starting it a hundred times does not take the better part of
 * an hour. It lies where packages are found.
 */
function bundled(): string {
  const outfile = join(ROOT, "node_modules", ".cache", "ballast", "orchestrator-victim.mjs");
  buildSync({
    ...{ entryPoints: [VICTIM], outfile, bundle: true, packages: "external" },
    ...{ platform: "node", format: "esm", logLevel: "silent" },
  });
  return outfile;
}

async function started(words: readonly string[], log: string): Promise<Running> {
  const child = spawn(process.execPath, words, { stdio: ["pipe", "pipe", "pipe"] });
  const ended = new Promise<string>((resolve) => {
    child.once("exit", (code, signal) => resolve(signal ?? `exit code ${code}`));
  });
  child.stderr.pipe(createWriteStream(log, { flags: "a" }));
  const url = await Promise.race([
    readyUrl(child),
    ended.then((how) => {
      throw new Error(`the orchestrator did not start: ${how}, see ${log}`);
    }),
  ]);
  return {
    api: openClient(url, TOKEN),
    kill: async () => {
      child.kill("SIGKILL");
      await ended;
    },
  };
}

function readyUrl({ stdout }: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    if (stdout === null) throw new Error("its standard output is a pipe");
    createInterface({ input: stdout }).on("line", (line) => resolve(JSON.parse(line).url));
  });
}

interface AccountAnswer {
  readonly id: string;
  readonly document: unknown;
  readonly address: string | null;
}

/** Opens an account for somebody with keys of software. */
export async function arrive(api: Client, name: string): Promise<Person> {
  const user = holder("user", name);
  const trustee = holder("trustee", name);
  const keys = { userKey: user.key, trusteeKey: trustee.key };
  const begun = await api.post<AccountAnswer>("/v1/accounts", { name, ...keys });
  const vault = readVault(begun.document);
  const proofs = { user: proofOf(vault, user), trustee: proofOf(vault, trustee) };
  const { address } = await api.post<AccountAnswer>(`/v1/accounts/${begun.id}/proofs`, proofs);
  if (address === null) throw new Error(`${name} has no address`);
  return { account: begun.id, descriptor: descriptorOf(vault), address };
}

const scanSchema = z.object({
  success: z.literal(true),
  unspents: z.array(
    z.object({ txid: z.string(), vout: z.int(), amount: btcSchema, height: z.int() }),
  ),
});

/** Looks further than the gap, in case anybody was paid there. */
const RANGE = 60;

export interface Counted {
  readonly outpoint: string;
  readonly sats: bigint;
}

/** All coins of each person that are at least so deep, by the node's own derivation. */
export async function recount(
  rpc: Bitcoind,
  people: readonly Person[],
  confirmations: number,
): Promise<ReadonlyMap<string, readonly Counted[]>> {
  const deep = (await rpc.call<number>("getblockcount")) - confirmations + 1;
  const counted = new Map<string, readonly Counted[]>();
  for (const { account, descriptor } of people) {
    const wish = [{ desc: descriptor, range: RANGE }];
    const { unspents } = readAnswer(scanSchema, await rpc.call("scantxoutset", ["start", wish]));
    const coins = unspents
      .filter(({ height }) => height <= deep)
      .map(({ txid, vout, amount }) => ({ outpoint: `${txid}:${vout}`, sats: satsOfBtc(amount) }));
    counted.set(account, coins);
  }
  return counted;
}
