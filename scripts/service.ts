/** A service as a child process: started, waited for until it says it is ready, stopped. */
import { type ChildProcess, spawn } from "node:child_process";
import { createWriteStream } from "node:fs";
import { createInterface } from "node:readline";

export interface Service {
  readonly url: string;
  /** Everything that its ready line said. */
  readonly ready: Readonly<Record<string, unknown>>;
  readonly pid: number;
  /** Resolves when the process has ended, however. */
  readonly ended: Promise<string>;
  readonly stop: () => Promise<void>;
}

export interface ServiceOptions {
  readonly name: string;
  /** A TypeScript file and its arguments. */
  readonly command: readonly string[];
  /** Its log goes here; the last lines are shown when it cannot start. */
  readonly log: string;
}

export class ServiceError extends Error {
  override readonly name = "ServiceError";
}

/** The slowest start is a token's library on a busy machine. */
const READY_MS = 60_000;
const STOP_MS = 15_000;

export async function startService({ name, command, log }: ServiceOptions): Promise<Service> {
  const child = spawn(process.execPath, ["--import", import.meta.resolve("tsx"), ...command], {
    // The open pipe to its standard input tells the service that we are alive.
    stdio: ["pipe", "pipe", "pipe"],
    // Ctrl-C goes to the whole group of a terminal; services are stopped in order instead.
    detached: true,
  });
  const errors: string[] = [];
  const file = createWriteStream(log, { flags: "a", mode: 0o600 });
  createInterface({ input: child.stderr }).on("line", (line) => {
    file.write(`${line}\n`);
    errors.push(line);
    if (errors.length > 5) errors.shift();
  });
  const ended = new Promise<string>((resolve) => {
    child.once("exit", (code, signal) => resolve(signal ?? `exit code ${code}`));
    child.once("error", (error) => resolve(error.message));
  });
  const late = setTimeout(() => child.kill("SIGKILL"), READY_MS);
  const ready = await Promise.race([
    readyLine(child),
    ended.then((how) => {
      throw new ServiceError(`${name} did not become ready (${how}):\n${errors.join("\n")}`);
    }),
  ]).finally(() => clearTimeout(late));
  return {
    url: String(ready["url"]),
    ready,
    pid: child.pid ?? 0,
    ended,
    stop: async () => {
      child.kill("SIGTERM");
      const late = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
      await ended;
      clearTimeout(late);
      file.end();
    },
  };
}

function readyLine(child: ChildProcess): Promise<Record<string, unknown>> {
  return new Promise((resolve, reject) => {
    if (child.stdout === null) throw new ServiceError("BUG: no stdout");
    createInterface({ input: child.stdout }).on("line", (line) => {
      try {
        const said: unknown = JSON.parse(line);
        if (
          typeof said === "object" &&
          said !== null &&
          "event" in said &&
          said.event === "ready"
        ) {
          resolve(said as Record<string, unknown>);
        }
      } catch (error) {
        reject(new ServiceError(`unexpected output: ${line}`, { cause: error }));
      }
    });
  });
}
