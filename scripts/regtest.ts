import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { delimiter, join } from "node:path";
import { type Bitcoind, openBitcoind } from "../signer/node/bitcoind.ts";
import { BitcoindError } from "../signer/node/bitcoind-error.ts";

/** A private regtest node of ours, with no peers, on loopback only. */
export interface Regtest {
  /** For `openBitcoind`, together with the cookie file. Holds no credentials. */
  readonly url: string;
  readonly cookieFile: string;
  readonly rpc: Bitcoind;
  readonly pid: number;
  /** Ends the node in good order and waits for it. A second call waits for the same end. */
  stop(): Promise<void>;
}

export interface RegtestOptions {
  /** The node's chain, wallets and cookie. Starting again with the same folder resumes. */
  readonly dataDir: string;
  /** A free port by default. */
  readonly rpcPort?: number;
  /** The node has no peers and wants none; the option says so at the call. */
  readonly p2p?: false;
  readonly extraArgs?: readonly string[];
  readonly log?: (line: string) => void;
}

/**
 * - `no-bitcoind`: none is on this machine
 * - `already-running`: a node holds the data folder
 * - `port-taken`: another program has the RPC port
 * - `exited`: the node ended while it started
 * - `slow`: the node did not answer in time
 * - `no-taproot`: the node answers, and Taproot is not active on its chain
 */
export type RegtestErrorCode =
  | "no-bitcoind"
  | "already-running"
  | "port-taken"
  | "exited"
  | "slow"
  | "no-taproot";

export class RegtestError extends Error {
  override readonly name = "RegtestError";
  readonly code: RegtestErrorCode;

  constructor(code: RegtestErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** A start takes about a second; a resume after a hard end checks blocks, on a slow disk. */
const START_MS_MAX = 60_000;
const POLL_MS = 50;
/** A healthy node answers at once that it will stop. */
const STOP_ANSWER_MS_MAX = 5_000;
/** The node flushes its state on `stop`; on SIGTERM it does the same; after that it is stuck. */
const STOP_MS_MAX = 20_000;
const TERM_MS_MAX = 10_000;
/** Between our finding a free port and the node's binding it, somebody else may take it. */
const PORT_TRIES = 3;
/** Enough for the reason with which a node refuses to start. */
const STDERR_CHARACTERS_MAX = 4_096;

export async function startRegtest(options: RegtestOptions): Promise<Regtest> {
  const found = lookForBitcoind();
  if (found.kind === "missing") throw new RegtestError("no-bitcoind", found.reason);
  mkdirSync(options.dataDir, { recursive: true });
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await startOnce(found.path, options, options.rpcPort ?? (await freePort()));
    } catch (error) {
      const portTaken = error instanceof RegtestError && error.code === "port-taken";
      if (!portTaken || options.rpcPort !== undefined || attempt === PORT_TRIES) throw error;
    }
  }
}

async function startOnce(program: string, options: RegtestOptions, port: number): Promise<Regtest> {
  const { dataDir, log = () => {} } = options;
  const url = `http://127.0.0.1:${port}`;
  const cookieFile = join(dataDir, "regtest", ".cookie");
  log(`starting ${program} on regtest, data in ${dataDir}, RPC at ${url}`);
  const node = spawnNode(program, [
    ...nodeArguments(dataDir, port),
    ...relayArguments(program),
    ...(options.extraArgs ?? []),
  ]);
  const rpc = openBitcoind({ url, cookieFile });
  try {
    await answering(rpc, node, { dataDir, port });
    await requireTaproot(rpc);
  } catch (error) {
    rpc.close();
    await node.end(0);
    throw error;
  }
  log(`bitcoind answers (process ${node.pid})`);

  let stopping: Promise<void> | null = null;
  async function stopOnce(): Promise<void> {
    // A node that no longer answers is ended by signals instead.
    const last = openBitcoind({ url, cookieFile, timeoutMs: STOP_ANSWER_MS_MAX });
    const asked = await last.call("stop").then(
      () => true,
      () => false,
    );
    last.close();
    rpc.close();
    await node.end(asked ? STOP_MS_MAX : 0);
    log("bitcoind has ended");
  }
  return {
    url,
    cookieFile,
    rpc,
    pid: node.pid,
    stop() {
      stopping ??= stopOnce();
      return stopping;
    },
  };
}

function nodeArguments(dataDir: string, port: number): readonly string[] {
  return [
    "-regtest",
    `-datadir=${dataDir}`,
    "-server",
    `-rpcport=${port}`,
    "-rpcbind=127.0.0.1",
    "-rpcallowip=127.0.0.1",
    "-listen=0",
    "-connect=0",
    "-dnsseed=0",
    "-discover=0",
    "-txindex=1",
    "-fallbackfee=0.00001",
    // Addresses that a wallet knows ahead: with the default of 1,000 each vault costs half a second.
    "-keypool=100",
    // Core relayed 83 bytes for a decade and Knots relays fewer: tests see the same on both.
    "-datacarriersize=83",
    "-printtoconsole=0",
  ];
}

/**
 * Knots takes every transaction of lock time 21 for a token and relays none. A wallet dates some of
 * its payments back at random, so that on a short chain one in a thousand stays at home unseen. Core
 * knows no such rule, and refuses to start with an argument that it does not know.
 */
function relayArguments(program: string): readonly string[] {
  return versionOf(program).includes("Knots") ? ["-rejectparasites=0"] : [];
}

interface NodeProcess {
  readonly pid: number;
  /** Why it ended, or null while it runs. */
  ended(): string | null;
  /** Waits `graceMs` for it to end by itself, then sends SIGTERM, then SIGKILL. */
  end(graceMs: number): Promise<void>;
}

function spawnNode(program: string, args: readonly string[]): NodeProcess {
  // A process group of its own: Ctrl-C in the terminal reaches us alone, and we stop the node in
  // order. Should we die without doing so, the watchdog does it.
  const child = spawn(program, args, { detached: true, stdio: ["ignore", "ignore", "pipe"] });
  let stderr = "";
  child.stderr.setEncoding("utf8");
  child.stderr.on("data", (text: string) => {
    stderr = (stderr + text).slice(-STDERR_CHARACTERS_MAX);
  });
  let ended: string | null = null;
  // "close" comes after the last of stderr, where the reason is; a failed spawn has no "close".
  const over = new Promise<void>((resolve) => {
    child.on("close", (code, signal) => {
      ended ??= `${stderr.trim()} (${signal ?? `exit ${code}`})`.trim();
      resolve();
    });
    child.on("error", (error) => {
      ended ??= error.message;
      resolve();
    });
  });
  const pid = child.pid;
  if (pid !== undefined) {
    const watchdog = spawnWatchdog(pid);
    void over.then(() => watchdog.kill("SIGKILL"));
  }

  const within = async (ms: number): Promise<boolean> => {
    const timeout = new AbortController();
    const ticking = pause(ms, timeout.signal);
    await Promise.race([over, ticking]);
    timeout.abort();
    return ended !== null;
  };
  return {
    pid: pid ?? 0,
    ended: () => ended,
    async end(graceMs) {
      if (graceMs > 0 && (await within(graceMs))) return;
      if (ended === null) child.kill("SIGTERM");
      if (await within(TERM_MS_MAX)) return;
      child.kill("SIGKILL");
      await over;
    },
  };
}

/**
 * A shell that reads from a pipe of ours and writes nothing: when this process is gone, by whatever
 * end, SIGKILL too, the read ends and the node gets its SIGTERM. It is killed when the node ends,
 * so that it never signals a stranger who was given the same process id.
 */
function spawnWatchdog(pid: number): ChildProcess {
  const watch = spawn("sh", ["-c", 'read -r _; kill -TERM "$1"', "ballast-watchdog", String(pid)], {
    detached: true,
    stdio: ["pipe", "ignore", "ignore"],
  });
  watch.unref();
  if (watch.stdin !== null && "unref" in watch.stdin) (watch.stdin as { unref(): void }).unref();
  return watch;
}

interface Place {
  readonly dataDir: string;
  readonly port: number;
}

async function answering(rpc: Bitcoind, node: NodeProcess, place: Place): Promise<void> {
  const deadline = performance.now() + START_MS_MAX;
  for (;;) {
    const ended = node.ended();
    if (ended !== null) throw startFailure(ended, place);
    try {
      await rpc.call("getblockchaininfo");
      return;
    } catch (error) {
      // A cookie of an earlier run is refused until the node has written its new one.
      const waiting =
        error instanceof BitcoindError && (error.passing || error.code === "unauthorized");
      if (!waiting) throw error;
      if (performance.now() > deadline) {
        const text = `bitcoind did not answer within ${START_MS_MAX / 1000} s of its start`;
        throw new RegtestError("slow", text, { cause: error });
      }
    }
    await pause(POLL_MS);
  }
}

function startFailure(ended: string, { dataDir, port }: Place): RegtestError {
  if (/Cannot obtain a lock/.test(ended)) {
    const pid = pidOf(dataDir);
    const who = pid === null ? "a bitcoind" : `a bitcoind (process ${pid})`;
    return new RegtestError(
      "already-running",
      `${who} already uses ${dataDir}: stop it, or choose another folder`,
    );
  }
  // On loopback there is no other reason for its HTTP server not to start.
  if (/Unable to (?:bind|start HTTP server)/.test(ended)) {
    const text = `bitcoind could not open port ${port}: is another program using it?`;
    return new RegtestError("port-taken", text);
  }
  return new RegtestError("exited", `bitcoind did not start: ${ended}`);
}

function pidOf(dataDir: string): number | null {
  try {
    const pid = Number(readFileSync(join(dataDir, "regtest", "bitcoind.pid"), "utf8").trim());
    return Number.isSafeInteger(pid) && pid > 0 ? pid : null;
  } catch {
    return null;
  }
}

async function requireTaproot(rpc: Bitcoind): Promise<void> {
  const { deployments } = await rpc.call<{
    readonly deployments: { readonly [name: string]: { readonly active: boolean } };
  }>("getdeploymentinfo");
  // A node that no longer lists Taproot has it buried: active from the first block.
  if (deployments["taproot"]?.active === false) {
    throw new RegtestError("no-taproot", "Taproot is not active on this node's regtest chain");
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      const port = typeof address === "object" && address !== null ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}

function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

/** The path of a bitcoind that we can use, or null. */
export function findBitcoind(): string | null {
  const found = lookForBitcoind();
  return found.kind === "found" ? found.path : null;
}

export type BitcoindSearch =
  | { readonly kind: "found"; readonly path: string }
  | { readonly kind: "missing"; readonly reason: string };

/** Taproot descriptors and `getdeploymentinfo` as we use them; older nodes fail in odd places. */
const BITCOIND_MAJOR_MIN = 25;

/**
 * `$BITCOIND`, else the PATH, else what scripts/bitcoind-debian unpacked. A `$BITCOIND` that is of
 * no use is not passed over: whoever set it meant it.
 */
export function lookForBitcoind(): BitcoindSearch {
  const named = process.env["BITCOIND"] ?? "";
  if (named !== "") {
    return isUsable(named)
      ? { kind: "found", path: named }
      : {
          kind: "missing",
          reason: `BITCOIND names no bitcoind of version ${BITCOIND_MAJOR_MIN} or newer`,
        };
  }
  const cache = process.env["BALLAST_CACHE"] || join(import.meta.dirname, "..", ".cache");
  const onPath = (process.env["PATH"] ?? "").split(delimiter).filter((folder) => folder !== "");
  const candidates = [
    ...onPath.map((folder) => join(folder, "bitcoind")),
    join(cache, "bitcoind", "bitcoind"),
  ];
  const path = candidates.find((candidate) => existsSync(candidate) && isUsable(candidate));
  return path === undefined
    ? { kind: "missing", reason: "bitcoind not found (set BITCOIND or run ./scripts/setup)" }
    : { kind: "found", path };
}

function isUsable(path: string): boolean {
  const major = / v([0-9]+)\./.exec(versionOf(path))?.[1];
  return major !== undefined && Number(major) >= BITCOIND_MAJOR_MIN;
}

/**
 * "Bitcoin Core daemon version v29.0.0" or "Bitcoin Knots daemon version v29.4.3.knots20260508";
 * empty where the program does not say.
 */
function versionOf(path: string): string {
  const { stdout, status } = spawnSync(path, ["--version"], { encoding: "utf8", timeout: 10_000 });
  return status === 0 ? (stdout.split("\n")[0] ?? "") : "";
}
