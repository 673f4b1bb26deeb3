/**
 * Combining and finishing off the main thread: both verify every signature, and a spend of hundreds
 * of coins would keep the API waiting for a third of a second.
 */
import { Worker } from "node:worker_threads";
import type { Role, VaultDocument } from "../../policies/vault.ts";
import type { Rejected } from "./combine.ts";

/** PSBTs as bytes; vaults as documents, which the worker reads once each. */
export interface Combiner {
  readonly combine: (request: CombineBytes) => Promise<CombinedBytes>;
  readonly finalise: (request: FinaliseBytes) => Promise<Uint8Array>;
  readonly close: () => Promise<void>;
}

export interface CombineBytes {
  readonly unsigned: Uint8Array;
  readonly partials: readonly Uint8Array[];
  readonly only?: Role;
  readonly vault: VaultDocument;
}

export interface CombinedBytes {
  readonly psbt: Uint8Array;
  readonly signedBy: readonly Role[];
  readonly rejected: readonly Rejected[];
}

export interface FinaliseBytes {
  readonly psbt: Uint8Array;
  readonly vault: VaultDocument;
}

export type CombinerRequest =
  | { readonly kind: "combine"; readonly body: CombineBytes }
  | { readonly kind: "finalise"; readonly body: FinaliseBytes };

export type CombinerAnswer =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly fault: string };

/** `busy` and `died` pass: the same may be asked again. `fault`: the work itself cannot be done. */
export class CombinerError extends Error {
  override readonly name = "CombinerError";
  readonly code: "busy" | "died" | "fault";
  readonly passing: boolean;

  constructor(code: CombinerError["code"], message: string) {
    super(message);
    this.code = code;
    this.passing = code !== "fault";
  }
}

/** More waiting than this is a flood; whoever asks is told to come back. */
const WAITING_MAX = 100;

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

export function openCombiner(): Combiner {
  const waiting = new Map<number, Waiting>();
  let asked = 0;
  let worker: Worker | null = null;

  function start(): Worker {
    const started = startWorker();
    started.on("message", (answer: CombinerAnswer) => {
      const one = waiting.get(answer.id);
      waiting.delete(answer.id);
      if (waiting.size === 0) started.unref();
      if ("fault" in answer) one?.reject(new CombinerError("fault", answer.fault));
      else one?.resolve(answer.value);
    });
    const over = (reason: string) => {
      if (worker !== started) return;
      worker = null;
      for (const { reject } of waiting.values()) reject(new CombinerError("died", reason));
      waiting.clear();
    };
    started.on("error", (error) => over(`the combining thread failed: ${error.message}`));
    started.on("exit", () => over("the combining thread ended"));
    return started;
  }

  function ask(request: CombinerRequest): Promise<unknown> {
    if (waiting.size >= WAITING_MAX) {
      const detail = `${WAITING_MAX} spends wait to be combined`;
      return Promise.reject(new CombinerError("busy", detail));
    }
    worker ??= start();
    // An idle thread does not keep a finished process alive; one at work does.
    worker.ref();
    asked += 1;
    const id = asked;
    const current = worker;
    return new Promise((resolve, reject) => {
      waiting.set(id, { resolve, reject });
      current.postMessage({ id, request });
    });
  }

  return {
    combine: async (body) => (await ask({ kind: "combine", body })) as CombinedBytes,
    finalise: async (body) => (await ask({ kind: "finalise", body })) as Uint8Array,
    close: async () => {
      await worker?.terminate();
    },
  };
}

function startWorker(): Worker {
  const source = new URL("./combiner-worker.ts", import.meta.url);
  if (import.meta.url.endsWith(".js")) return new Worker(new URL(source.href.replace(/ts$/, "js")));
  // Node 20 hands no loader to worker threads, so the thread registers it first.
  const register = JSON.stringify(import.meta.resolve("tsx/esm/api"));
  const body = JSON.stringify(source.href);
  const bootstrap = `import(${register}).then((tsx) => { tsx.register(); return import(${body}); })`;
  return new Worker(bootstrap, { eval: true, execArgv: [] });
}
