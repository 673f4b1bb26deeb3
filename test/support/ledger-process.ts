/** The emulator of Ledger's app as a process of its own, behind Speculos' HTTP API. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { hex } from "@scure/base";
import { z } from "zod";

export interface LedgerProcess {
  readonly port: number;
  readonly url: string;
  /** One APDU through the API. @throws when the device hangs up. */
  exchange(apdu: Uint8Array): Promise<Uint8Array>;
  /** Sends JSON to another path of the API. */
  post(path: string, body: object): Promise<void>;
  stop(): Promise<void>;
}

const MAIN = fileURLToPath(new URL("ledger-app/main.ts", import.meta.url));
const readySchema = z.object({ event: z.literal("ready"), port: z.number() });
const answerSchema = z.object({ data: z.string() });

export async function startLedger(options: {
  readonly seed: string;
  readonly person: "auto" | "buttons";
  readonly app?: string;
}): Promise<LedgerProcess> {
  const { seed, person, app = "Bitcoin Test" } = options;
  const child = spawn(
    process.execPath,
    ["--import", "tsx", MAIN, "--seed", seed, "--person", person, "--app", app],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  const { port } = readySchema.parse(JSON.parse(await firstLine(child)));
  const url = `http://127.0.0.1:${port}`;
  const post = async (path: string, body: object): Promise<unknown> => {
    const response = await fetch(`${url}${path}`, { method: "POST", body: JSON.stringify(body) });
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return response.json();
  };
  return {
    port,
    url,
    exchange: async (apdu) => {
      const answer = await post("/apdu", { data: hex.encode(apdu) });
      return hex.decode(answerSchema.parse(answer).data);
    },
    post: async (path, body) => {
      await post(path, body);
    },
    stop: async () => {
      const ended = once(child, "exit");
      child.kill();
      await ended;
    },
  };
}

async function firstLine(child: ChildProcess): Promise<string> {
  if (child.stdout === null) throw new Error("the emulator has no output");
  for await (const line of createInterface({ input: child.stdout })) return line;
  throw new Error("the emulator ended before it was ready");
}
