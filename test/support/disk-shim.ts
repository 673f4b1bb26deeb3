/** The disk that dies or fails (disk-shim.c), and programs bundled so that they start quickly. */
import { spawn, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { RealPart } from "./real-part.ts";

const ROOT = join(import.meta.dirname, "..", "..");
const MODULES = join(ROOT, "node_modules");

/** A compiler on Linux: elsewhere there is nothing to preload. */
export function diskShimPart(): RealPart {
  const name = "a C compiler on Linux";
  if (process.platform !== "linux") return { name, missing: "this is not Linux" };
  const found = spawnSync("cc", ["--version"]).status === 0;
  return { name, missing: found ? null : "there is no cc: install g++" };
}

/** Compiles the shim into a folder; the path of the library. */
export function buildDiskShim(folder: string): string {
  const library = join(folder, "disk-shim.so");
  const source = join(import.meta.dirname, "disk-shim.c");
  run("cc", ["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-o", library, source, "-ldl"]);
  return library;
}

/**
 * Bundles a program of this folder with esbuild, which tsx brings: a process that is killed at each
 * of two hundred places must not read TypeScript each time.
 */
export function buildProgram(folder: string, name: string): string {
  const program = join(folder, `${name}.cjs`);
  run(join(MODULES, ".bin", "esbuild"), [
    join(import.meta.dirname, `${name}.ts`),
    "--bundle",
    "--platform=node",
    "--format=cjs",
    "--target=node20",
    "--external:better-sqlite3",
    "--external:tiny-secp256k1",
    "--log-level=error",
    `--outfile=${program}`,
  ]);
  return program;
}

function run(command: string, args: readonly string[]): void {
  const { status, stderr, error } = spawnSync(command, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`${command} failed: ${error?.message ?? stderr}`);
}

export interface RunOptions {
  readonly program: string;
  readonly args: readonly string[];
  readonly disk?: {
    readonly shim: string;
    /** Calls on files below it are counted. */
    readonly root: string;
    /** As disk-shim.c reads it: "before:12". */
    readonly plan?: string;
    readonly record?: string;
  };
  /** Hears each line as it comes. */
  readonly onLine?: (line: string) => void;
}

export interface Run {
  readonly kill: () => void;
  readonly ended: Promise<{
    readonly signal: string | null;
    readonly code: number | null;
    /** Whole lines of stdout; what was cut off by the end is left out. */
    readonly lines: readonly string[];
    readonly stderr: string;
  }>;
}

export function startProgram({ program, args, disk, onLine }: RunOptions): Run {
  const child = spawn(process.execPath, [program, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      ...process.env,
      NODE_PATH: MODULES,
      ...(disk !== undefined && {
        LD_PRELOAD: disk.shim,
        BALLAST_DISK_ROOT: disk.root,
        ...(disk.plan !== undefined && { BALLAST_DISK_PLAN: disk.plan }),
        ...(disk.record !== undefined && { BALLAST_DISK_RECORD: disk.record }),
      }),
    },
  });
  const lines: string[] = [];
  let rest = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    const parts = (rest + text).split("\n");
    rest = parts.pop() ?? "";
    for (const line of parts) {
      lines.push(line);
      onLine?.(line);
    }
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  return {
    kill: () => void child.kill("SIGKILL"),
    ended: new Promise((resolve, reject) => {
      child.on("error", reject);
      child.on("close", (code, signal) => resolve({ signal, code, lines, stderr }));
    }),
  };
}

/** One recorded call; `say` is a write to stdout, which is no boundary. */
export interface DiskCall {
  readonly kind: "create" | "empty" | "write" | "sync" | "cut" | "rename" | "unlink" | "say";
  /** Below the root. */
  readonly path: string;
  /** Offset of a write, length of a cut. */
  readonly at: number;
  /** Bytes of a write, the new name of a rename. */
  readonly data: Buffer;
}

export function readRecord(file: string): readonly DiskCall[] {
  return readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const [kind, path = "", at, data = ""] = line.split("\t");
      return {
        kind: kind as DiskCall["kind"],
        path,
        at: Number(at),
        data: Buffer.from(data, "hex"),
      };
    });
}
