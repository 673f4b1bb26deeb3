/**
 * A private Postgres server for tests: on a socket in a folder of its own, heard by nobody else,
 * gone with the tests, also when they are killed.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import pg from "pg";
import { afterAll, beforeAll, describe } from "vitest";
import { openStore, type Store } from "../../orchestrator/io/store.ts";
import { silentLog } from "../../orchestrator/log.ts";
import { openPostgresStore } from "../../orchestrator/postgres/store.ts";
import { describeReal, type RealPart } from "./real-part.ts";

export interface PostgresServer {
  /** A new, empty database, or a copy of one of ours that nobody is connected to. */
  readonly database: (copyOf?: string) => Promise<string>;
  /** Statements of an operator: settings, ends of connections. */
  readonly operate: (text: string) => Promise<readonly Record<string, unknown>[]>;
  /** Where pg_dump and pg_restore are. */
  readonly programs: string;
  readonly pid: number;
  /** Connections end at once, and what was not committed with them. */
  readonly stop: () => Promise<void>;
}

/** What a suite for either database is given. */
export interface StoreMaker {
  readonly kind: "sqlite" | "postgres";
  /** An empty store; it is closed after the suite, if not before. */
  readonly open: () => Promise<Store>;
}

/** `describe` on SQLite in memory, and on a real Postgres server where one can be had. */
export function describeStores(title: string, body: (stores: StoreMaker) => void): void {
  describe(`${title} (SQLite)`, () => {
    body(makerOf("sqlite", () => openStore({ path: ":memory:", network: "regtest" })));
  });
  describePostgres(`${title} (Postgres)`, (server) => {
    const open = (url: string) => openPostgresStore({ url, network: "regtest", log: silentLog });
    /** Migrated once; each store is a copy of it. */
    let template: string | null = null;
    async function openCopy(): Promise<Store> {
      if (template === null) {
        template = await server.database();
        await (await open(template)).close();
      }
      return open(await server.database(template));
    }
    body(makerOf("postgres", openCopy));
  });
}

function makerOf(kind: StoreMaker["kind"], make: () => Store | Promise<Store>): StoreMaker {
  const opened: Store[] = [];
  afterAll(async () => {
    for (const store of opened) await store.close();
  });
  return {
    kind,
    open: async () => {
      const store = await make();
      let closing: Promise<void> | null = null;
      const once: Store = {
        ...store,
        close: () => {
          closing ??= store.close();
          return closing;
        },
      };
      opened.push(once);
      return once;
    },
  };
}

/** `describe` with a server, which exists from `beforeAll` on. */
export function describePostgres(title: string, body: (server: PostgresServer) => void): void {
  describeReal(postgresPart(), title, () => {
    let started: PostgresServer | null = null;
    beforeAll(async () => {
      started = await startPostgres();
    });
    afterAll(async () => {
      await started?.stop();
    });
    function running(): PostgresServer {
      if (started === null) throw new Error("the server exists only inside tests and hooks");
      return started;
    }
    body({
      database: (copyOf) => running().database(copyOf),
      operate: (text) => running().operate(text),
      get programs() {
        return running().programs;
      },
      get pid() {
        return running().pid;
      },
      stop: () => running().stop(),
    });
  });
}

function postgresPart(): RealPart {
  const missing = findPostgres() === null ? "Postgres not found (run ./scripts/setup)" : null;
  return { name: "Postgres", missing };
}

/** The folder of a server's programs: Debian's place, the PATH, what scripts/postgres-debian has. */
function findPostgres(): string | null {
  const debian = "/usr/lib/postgresql";
  const versions = existsSync(debian)
    ? readdirSync(debian).sort((a, b) => Number(b) - Number(a))
    : [];
  const cache = process.env["BALLAST_CACHE"] || join(import.meta.dirname, "../..", ".cache");
  const candidates = [
    ...versions.map((version) => join(debian, version, "bin")),
    ...(process.env["PATH"] ?? "").split(delimiter).filter((folder) => folder !== ""),
    join(cache, "postgres", "bin"),
  ];
  return candidates.find(isUsable) ?? null;
}

const PROGRAMS = ["initdb", "postgres", "pg_dump", "pg_restore"];

function isUsable(folder: string): boolean {
  if (!PROGRAMS.every((name) => existsSync(join(folder, name)))) return false;
  const { status } = spawnSync(join(folder, "postgres"), ["--version"], {
    ...owner(),
    timeout: 10_000,
  });
  return status === 0;
}

/** Debian's `nobody`: the server refuses to run as root. */
const NOBODY = 65_534;

function owner(): { readonly uid?: number; readonly gid?: number } {
  return process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
}

const USER = "ballast";
const START_MS_MAX = 60_000;
const POLL_MS = 50;

async function startPostgres(): Promise<PostgresServer> {
  const programs = findPostgres();
  if (programs === null) throw new Error("Postgres not found");
  // Short: a socket's path has 107 bytes at most.
  const folder = mkdtempSync(join(tmpdir(), "ballast-pg-"));
  const { uid, gid } = owner();
  if (uid !== undefined && gid !== undefined) chownSync(folder, uid, gid);
  const data = join(folder, "data");
  const made = spawnSync(
    join(programs, "initdb"),
    ["-D", data, "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"],
    { ...owner(), encoding: "utf8", cwd: folder },
  );
  if (made.status !== 0) throw new Error(`initdb failed: ${made.stderr}`);
  const child = spawn(join(programs, "postgres"), serverArguments(data, folder), {
    ...owner(),
    cwd: folder,
    // Ctrl-C in the terminal reaches us alone, and we stop the server in order.
    detached: true,
    stdio: ["ignore", "ignore", "pipe"],
  });
  let stderr = "";
  child.stderr.on("data", (text: Buffer) => {
    stderr = (stderr + text.toString()).slice(-4_096);
  });
  const over = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const watchdog = spawnWatchdog(child, folder);
  const url = (database: string) => `postgres:///${database}?host=${folder}&user=${USER}`;
  const operate = (text: string) => ask(url("postgres"), text);
  await answering(operate, () => (child.exitCode === null ? null : stderr));
  return {
    programs,
    pid: child.pid ?? 0,
    operate,
    database: async (copyOf) => {
      const name = `t_${randomBytes(6).toString("hex")}`;
      const template = copyOf === undefined ? "template0" : new URL(copyOf).pathname.slice(1);
      await operate(`create database ${name} template ${template}`);
      return url(name);
    },
    stop: async () => {
      child.kill("SIGINT");
      await over;
      watchdog.kill("SIGKILL");
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** The disk is not waited for: what a test has written, nobody wants after a power cut. */
function serverArguments(data: string, folder: string): readonly string[] {
  const settings = {
    listen_addresses: "",
    unix_socket_directories: folder,
    fsync: "off",
    full_page_writes: "off",
    shared_buffers: "32MB",
    log_min_messages: "fatal",
  };
  return [
    "-D",
    data,
    ...Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]),
  ];
}

/**
 * A shell that reads from a pipe of ours: when this process is gone, by whatever end, it stops the
 * server and takes the folder away. It is killed when the server ends in order.
 */
function spawnWatchdog({ pid = 0 }: ChildProcess, folder: string): ChildProcess {
  const script = `read -r _; kill -INT "$1"
    while kill -0 "$1" 2>/dev/null; do sleep 0.1; done; rm -rf "$2"`;
  const watch = spawn("sh", ["-c", script, "ballast-watchdog", String(pid), folder], {
    detached: true,
    stdio: ["pipe", "ignore", "ignore"],
  });
  watch.unref();
  if (watch.stdin !== null && "unref" in watch.stdin) (watch.stdin as { unref(): void }).unref();
  return watch;
}

async function answering(
  operate: PostgresServer["operate"],
  ended: () => string | null,
): Promise<void> {
  const deadline = performance.now() + START_MS_MAX;
  for (;;) {
    const reason = ended();
    if (reason !== null) throw new Error(`Postgres did not start: ${reason}`);
    try {
      await operate("select 1");
      return;
    } catch (error) {
      if (performance.now() > deadline) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

async function ask(url: string, text: string): Promise<readonly Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url });
  client.on("error", () => undefined);
  await client.connect();
  try {
    return (await client.query(text)).rows;
  } finally {
    await client.end();
  }
}
