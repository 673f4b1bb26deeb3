/** Ledger's Python client, where `scripts/python-ledger-debian` has unpacked it. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import type { RealPart } from "./real-part.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const CACHE = resolve(process.env["BALLAST_CACHE"] ?? join(ROOT, ".cache"));
const FOLDER = join(CACHE, "python-ledger/root/usr/lib/python3/dist-packages");
const PROGRAM = fileURLToPath(new URL("second-client.py", import.meta.url));

export const pythonLedger: RealPart = {
  name: "Ledger's Python client",
  missing: existsSync(FOLDER) ? null : "run scripts/python-ledger-debian",
};

/** Gives the client a task and returns its answer, both JSON. */
export async function askPythonLedger(task: object): Promise<unknown> {
  const child = spawn("python3", [PROGRAM], {
    stdio: ["pipe", "pipe", "pipe"],
    env: { ...process.env, PYTHONPATH: FOLDER, PYTHONDONTWRITEBYTECODE: "1" },
  });
  const ended = once(child, "close");
  child.stdin.end(JSON.stringify(task));
  const [output, errors] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
  if (child.exitCode !== 0) throw new Error(`the Python client failed: ${errors}`);
  return JSON.parse(output);
}
