/**
 * Curve work off the main thread: facts (derivations, signatures), signing with software keys, and
 * the check of every signature before it leaves. The main thread answers health checks and claims
 * coins meanwhile; it is never blocked over 20 ms, however large the PSBT (issue 2).
 */
import { Worker } from "node:worker_threads";
import type { SchnorrCheck } from "../policies/bitcoin/schnorr.ts";
import type { Evidence, EvidenceContext, EvidenceFacts } from "../policies/evidence.ts";
import { joinFacts, type Part, type SpendFacts } from "../policies/facts.ts";
import type { VaultDocument } from "../policies/vault.ts";

/** One signature to be made: BIP340 under the account's secret plus the tweak. */
export interface SignJob {
  /** Copied to the worker, which wipes its copy. */
  readonly secret: Uint8Array;
  readonly tweak: Uint8Array;
  readonly message: Uint8Array;
}

export type VerifyJob = SchnorrCheck;

export interface CurvePool {
  /** Facts of PSBT bytes that the gate has let through; `signed` is how many inputs carry a signature. */
  readonly facts: (
    psbt: Uint8Array,
    vaults: readonly VaultDocument[],
    signed?: { readonly inputs: number },
  ) => Promise<SpendFacts>;
  /** Evidence verified: every signature and path of it. */
  readonly evidence: (
    evidence: Evidence,
    vaults: readonly VaultDocument[],
    context: EvidenceContext,
  ) => Promise<EvidenceFacts>;
  readonly sign: (jobs: readonly SignJob[]) => Promise<readonly Uint8Array[]>;
  readonly verify: (jobs: readonly VerifyJob[]) => Promise<boolean>;
  readonly close: () => Promise<void>;
}

export type CurveRequest =
  | {
      readonly kind: "facts";
      readonly psbt: Uint8Array;
      readonly vaults: readonly VaultDocument[];
      /** Whose signatures are verified; all else is computed for every input. */
      readonly part: Part;
    }
  | {
      readonly kind: "evidence";
      readonly evidence: Evidence;
      readonly vaults: readonly VaultDocument[];
      readonly context: EvidenceContext;
    }
  | { readonly kind: "sign"; readonly jobs: readonly SignJob[] }
  | { readonly kind: "verify"; readonly jobs: readonly VerifyJob[] };

export type CurveAnswer =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly fault: string };

/** A worker died or could not do its work; the request may be asked again. */
export class CurveError extends Error {
  override readonly name = "CurveError";
}

/** More waiting jobs than this are refused: whoever asks has stopped listening. */
const JOBS_MAX = 100;
/** Fewer jobs than this are not worth a second message. */
const SPLIT_MIN = 4;

export function openCurvePool(size = 2): CurvePool {
  const crew = Array.from({ length: size }, () => crewMember());
  let turn = 0;
  let closed = false;

  function ask(request: CurveRequest): Promise<unknown> {
    if (closed) return Promise.reject(new CurveError("the curve workers are closed"));
    // The least busy worker; among equals, each in turn.
    turn += 1;
    const order = crew.map((_, i) => crew[(turn + i) % crew.length]);
    const chosen = order.reduce((best, member) =>
      member !== undefined && best !== undefined && member.waiting() < best.waiting()
        ? member
        : best,
    );
    if (chosen === undefined) return Promise.reject(new CurveError("there are no curve workers"));
    return chosen.ask(request);
  }

  async function split<Job, Result>(
    jobs: readonly Job[],
    send: (part: readonly Job[]) => Promise<Result>,
  ): Promise<readonly Result[]> {
    const parts = jobs.length < SPLIT_MIN ? 1 : size;
    const each = Math.ceil(jobs.length / parts);
    return await Promise.all(
      Array.from({ length: parts }, (_, i) => send(jobs.slice(i * each, (i + 1) * each))),
    );
  }

  return {
    facts: async (psbt, vaults, signed = { inputs: 0 }) => {
      const threads = signed.inputs < SPLIT_MIN ? 1 : size;
      const each = Math.ceil(signed.inputs / threads);
      const parts = Array.from({ length: threads }, async (_, i) => {
        const end = i === threads - 1 ? Number.POSITIVE_INFINITY : (i + 1) * each;
        const part = { first: i * each, end };
        return { ...part, facts: (await ask({ kind: "facts", psbt, vaults, part })) as SpendFacts };
      });
      return joinFacts(await Promise.all(parts));
    },
    evidence: async (evidence, vaults, context) =>
      (await ask({ kind: "evidence", evidence, vaults, context })) as EvidenceFacts,
    sign: async (jobs) => {
      const parts = await split(jobs, (part) => ask({ kind: "sign", jobs: part }));
      return (parts as readonly (readonly Uint8Array[])[]).flat();
    },
    verify: async (jobs) => {
      const parts = await split(jobs, (part) => ask({ kind: "verify", jobs: part }));
      return parts.every((part) => part === true);
    },
    close: async () => {
      closed = true;
      await Promise.all(crew.map((member) => member.close()));
    },
  };
}

interface CrewMember {
  readonly waiting: () => number;
  readonly ask: (request: CurveRequest) => Promise<unknown>;
  readonly close: () => Promise<void>;
}

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

function crewMember(): CrewMember {
  const waiting = new Map<number, Waiting>();
  let next = 0;
  let worker: Worker | null = null;

  function start(): Worker {
    const started = startWorker();
    started.on("message", (answer: CurveAnswer) => {
      const asked = waiting.get(answer.id);
      waiting.delete(answer.id);
      if (waiting.size === 0) started.unref();
      if ("fault" in answer) asked?.reject(new CurveError(answer.fault));
      else asked?.resolve(answer.value);
    });
    const dead = (reason: string) => {
      // After its error a worker also exits; by then its successor may have work of its own.
      if (worker !== started) return;
      worker = null;
      for (const { reject } of waiting.values()) reject(new CurveError(reason));
      waiting.clear();
    };
    started.on("error", (error) => dead(`a curve worker failed: ${error.message}`));
    started.on("exit", () => dead("a curve worker ended"));
    return started;
  }

  return {
    waiting: () => waiting.size,
    ask: (request) => {
      if (waiting.size >= JOBS_MAX) {
        return Promise.reject(new CurveError(`${JOBS_MAX} jobs are waiting; ask again later`));
      }
      worker ??= start();
      // An idle worker does not keep a finished process alive.
      worker.ref();
      const id = next;
      next += 1;
      const current = worker;
      return new Promise((resolve, reject) => {
        waiting.set(id, { resolve, reject });
        current.postMessage({ id, request });
      });
    },
    close: async () => {
      await worker?.terminate();
      worker = null;
    },
  };
}

function startWorker(): Worker {
  const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
  const file = new URL(`./curve-worker.${extension}`, import.meta.url);
  if (extension === "js") return new Worker(file);
  // Node 20 does not hand a loader to worker threads, so the worker registers it first.
  const register = import.meta.resolve("tsx/esm/api");
  const bootstrap = `import(${JSON.stringify(register)})
    .then(({ register }) => { register(); return import(${JSON.stringify(file.href)}); })`;
  return new Worker(bootstrap, { eval: true, execArgv: [] });
}
