/**
 * Keeps the token's process alive and every request bounded: a queue with an end, a deadline that
 * kills, a restart that waits longer each time, and a breaker that stops trying for a while.
 */
import { type ChildProcess, fork } from "node:child_process";
import { createRequire } from "node:module";
import { fileURLToPath, pathToFileURL } from "node:url";
import {
  type ChildConfig,
  type Operation,
  operations,
  type Params,
  type Result,
  replySchema,
} from "./protocol.ts";
import { TokenError, tokenErrorFromWire } from "./token-error.ts";

export interface Supervisor {
  /** Asks the token; rejects with a TokenError only. */
  call<O extends Operation>(op: O, params: Params<O>): Promise<Result<O>>;
  stats(): SupervisorStats;
  /** Answers what is in flight, refuses what waits, ends the child. */
  close(): Promise<void>;
}

export interface SupervisorStats {
  readonly state: "down" | "starting" | "up" | "closed";
  /** Process id of the child, or null while there is none. */
  readonly pid: number | null;
  /** Children started so far. */
  readonly starts: number;
  readonly waiting: number;
  readonly inFlight: number;
}

export type TokenLog = (event: string, fields: Record<string, unknown>) => void;

/** Times in milliseconds. Overridden by tests, which cannot wait for them. */
const SUPERVISOR_LIMITS = {
  /** Waiting requests: at the measured rates, about as many as are answered in a few seconds. */
  queueMax: 256,
  /** Requests in the child at one time; the rest waits here, where a crash does not lose it. */
  inFlightMax: 4,
  /** Loading a vendor's library, reaching its HSM and logging in takes seconds on a bad day. */
  startMs: 30_000,
  /** A token that does not answer one operation in this time hangs: the child is killed. */
  requestMs: 10_000,
  /** More for each operation under way: a slow network HSM takes 20 ms, this is five times it. */
  operationMs: 100,
  /** A request that waited longer than this is of no use to anybody. */
  waitMs: 30_000,
  /** First pause before a restart; doubled up to `pauseMaxMs` while starts or children fail. */
  pauseMs: 100,
  pauseMaxMs: 5_000,
  /** Crashes within `crashWindowMs` that open the breaker for `breakerMs`. */
  crashesMax: 5,
  crashWindowMs: 60_000,
  breakerMs: 30_000,
  /** How long `close` waits for a child that was told to go before it kills it. */
  closeMs: 2_000,
};
export type SupervisorLimits = typeof SUPERVISOR_LIMITS;

interface Request {
  readonly op: Operation;
  readonly params: unknown;
  /** Operations of the token that it needs at least: what its deadline is made of. */
  readonly operations: number;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: TokenError) => void;
}

interface InFlight {
  readonly request: Request;
  readonly deadline: NodeJS.Timeout;
}

interface Child {
  readonly process: ChildProcess;
  readonly inFlight: Map<number, InFlight>;
  /** The request whose deadline passed, when this is why the child was killed. */
  hung: number | null;
  /** Why the connection could not be opened. */
  fault: TokenError | null;
  /** It lost its token and is about to end: nothing more is sent to it. */
  leaving: boolean;
}

type State =
  /** `fault`: why requests fail at once until `notBefore`; null: they wait for the restart. */
  | {
      readonly kind: "down";
      readonly notBefore: number;
      readonly fault: TokenError | null;
    }
  | { readonly kind: "starting" | "up"; readonly child: Child }
  | { readonly kind: "closed" };

/** A supervisor; its child starts with the first request. */
export function supervise(options: {
  readonly config: ChildConfig;
  readonly env: Readonly<Record<string, string>>;
  readonly log: TokenLog;
  readonly limits?: Partial<SupervisorLimits> | undefined;
}): Supervisor {
  const { config, log } = options;
  const limits = { ...SUPERVISOR_LIMITS, ...options.limits };
  const queue: {
    readonly request: Request;
    readonly expiry: NodeJS.Timeout;
  }[] = [];
  let state: State = { kind: "down", notBefore: 0, fault: null };
  let restart: NodeJS.Timeout | null = null;
  let crashes: number[] = [];
  let failures = 0;
  let starts = 0;
  let lastId = 0;

  // Whatever way this process ends, its child must not outlive it.
  const killChild = () => void childOf(state)?.process.kill("SIGKILL");
  process.on("exit", killChild);

  function call<O extends Operation>(op: O, params: Params<O>): Promise<Result<O>> {
    const refusal = refuse(op);
    if (refusal !== null) return Promise.reject(refusal);
    return new Promise<Result<O>>((resolve, reject) => {
      const request: Request = {
        op,
        params,
        operations: operationsOf(params),
        resolve(value) {
          const result = operations[op].result.safeParse(value);
          if (result.success) resolve(result.data as Result<O>);
          else reject(new TokenError("protocol", `the answer to ${op} is not one`));
        },
        reject,
      };
      queue.push({ request, expiry: setTimeout(() => expire(request), limits.waitMs) });
      pump();
    });
  }

  function refuse(op: Operation): TokenError | null {
    if (state.kind === "closed") return new TokenError("closed", op);
    if (state.kind === "down" && Date.now() < state.notBefore && state.fault !== null) {
      return state.fault;
    }
    return queue.length < limits.queueMax
      ? null
      : new TokenError("busy", `${queue.length} requests wait`);
  }

  function expire(request: Request): void {
    const at = queue.findIndex((each) => each.request === request);
    if (at >= 0) queue.splice(at, 1);
    request.reject(new TokenError("busy", `${request.op} waited ${limits.waitMs} ms`));
    holdOpen();
  }

  function pump(): void {
    if (state.kind === "down" && queue.length > 0 && Date.now() >= state.notBefore) start();
    if (state.kind === "up") {
      const { child } = state;
      while (!child.leaving && child.inFlight.size < limits.inFlightMax) {
        const next = queue.shift();
        if (next === undefined) break;
        clearTimeout(next.expiry);
        send(child, next.request, limits.requestMs);
      }
    }
    holdOpen();
  }

  /** This process may end while nothing waits for an answer, and not before. */
  function holdOpen(): void {
    const child = childOf(state);
    const busy = queue.length > 0 || (child !== null && child.inFlight.size > 0);
    if (busy) {
      child?.process.ref();
      child?.process.channel?.ref();
      restart?.ref();
    } else {
      child?.process.unref();
      child?.process.channel?.unref();
      restart?.unref();
    }
  }

  function send(child: Child, request: Request, baseMs: number): void {
    lastId += 1;
    const id = lastId;
    const underWay = [...child.inFlight.values()].reduce(
      (sum, each) => sum + each.request.operations,
      request.operations,
    );
    const ms = baseMs + limits.operationMs * underWay;
    const deadline = setTimeout(() => hang(child, { id, op: request.op, ms }), ms);
    child.inFlight.set(id, { request, deadline });
    // A failed send means that the child is gone: its "exit" answers the request.
    child.process.send({ id, op: request.op, params: request.params }, () => undefined);
  }

  function hang(
    child: Child,
    { id, op, ms }: { readonly id: number; readonly op: Operation; readonly ms: number },
  ): void {
    child.hung ??= id;
    log("token process hangs", { op, ms });
    child.process.kill("SIGKILL");
  }

  function start(): void {
    starts += 1;
    if (restart !== null) clearTimeout(restart);
    restart = null;
    const child = forkChild(options.env, config.maxSessions);
    const entry: Child = {
      process: child,
      inFlight: new Map(),
      hung: null,
      fault: null,
      leaving: false,
    };
    state = { kind: "starting", child: entry };
    child.on("message", (raw) => receive(entry, raw));
    child.once("exit", (code, signal) => ended(entry, signal ?? `code ${code}`));
    // Without a process there is no "exit"; with one, "exit" follows and finds the work done.
    child.on("error", (error) => child.pid === undefined && ended(entry, error.message));
    const opening: Request = {
      op: "open",
      params: config,
      operations: 1,
      resolve: () => opened(entry),
      reject: (error) => failed(entry, error),
    };
    send(entry, opening, limits.startMs);
  }

  function opened(child: Child): void {
    if (childOf(state) !== child) return;
    failures = 0;
    state = { kind: "up", child };
    log("token process ready", {
      pid: child.process.pid,
      token: config.token,
      starts,
    });
    pump();
  }

  /** The child said why it cannot serve; whoever waits is told, and the next start is later. */
  function failed(child: Child, error: TokenError): void {
    child.fault = error;
    child.process.kill("SIGKILL");
  }

  function receive(child: Child, raw: unknown): void {
    const parsed = replySchema.safeParse(raw);
    if (!parsed.success) {
      log("token process speaks nonsense", {});
      child.process.kill("SIGKILL");
      return;
    }
    const reply = parsed.data;
    if (reply.kind === "event") {
      log(reply.event, reply.fields);
      return;
    }
    const flight = child.inFlight.get(reply.id);
    if (flight === undefined) return;
    child.inFlight.delete(reply.id);
    clearTimeout(flight.deadline);
    if (reply.kind === "done") flight.request.resolve(reply.value);
    else {
      child.leaving ||= reply.code === "token-failed";
      flight.request.reject(tokenErrorFromWire(reply.code, reply.message));
    }
    pump();
  }

  function ended(child: Child, how: string): void {
    const ours = childOf(state) === child;
    if (ours) state = { kind: "down", notBefore: Number.POSITIVE_INFINITY, fault: null };
    answerDead(child, how);
    if (!ours) return;
    const now = Date.now();
    // A start that says why it failed is no crash: its pause grows instead.
    const crashed = child.fault === null;
    crashes = crashes.filter((at) => at > now - limits.crashWindowMs);
    if (crashed) crashes.push(now);
    failures += 1;
    const open = crashed && crashes.length >= limits.crashesMax;
    const pause = open
      ? limits.breakerMs
      : Math.min(limits.pauseMs * 2 ** (failures - 1), limits.pauseMaxMs);
    log("token process ended", { how, pauseMs: pause, code: child.fault?.code ?? null });
    const words = `it ended ${crashes.length} times in a minute; next try in ${pause} ms`;
    goDown(now + pause, open ? new TokenError("child-died", words) : child.fault);
  }

  /** With a fault, requests fail at once and the next one after the pause starts anew. */
  function goDown(notBefore: number, fault: TokenError | null): void {
    state = { kind: "down", notBefore, fault };
    if (fault !== null) {
      for (const { request, expiry } of queue.splice(0)) {
        clearTimeout(expiry);
        request.reject(fault);
      }
    } else {
      restart = setTimeout(start, notBefore - Date.now());
    }
    holdOpen();
  }

  function answerDead(child: Child, how: string): void {
    const flights = [...child.inFlight];
    child.inFlight.clear();
    for (const [id, { request, deadline }] of flights) {
      clearTimeout(deadline);
      const code = id === child.hung ? "timeout" : "child-died";
      request.reject(new TokenError(code, `${request.op}, ${how}`));
    }
  }

  async function close(): Promise<void> {
    if (state.kind === "closed") return;
    const child = childOf(state);
    state = { kind: "closed" };
    process.off("exit", killChild);
    if (restart !== null) clearTimeout(restart);
    for (const { request, expiry } of queue.splice(0)) {
      clearTimeout(expiry);
      request.reject(new TokenError("closed", request.op));
    }
    if (child === null || child.process.exitCode !== null) return;
    if (child.process.signalCode !== null || child.process.pid === undefined) return;
    const gone = new Promise<void>((resolve) => child.process.once("exit", () => resolve()));
    child.process.ref();
    const kill = setTimeout(() => child.process.kill("SIGKILL"), limits.closeMs);
    // The child ends by itself when its parent lets go; what is in flight is answered first.
    await settle(child, limits.closeMs);
    if (child.process.connected) child.process.disconnect();
    await gone;
    clearTimeout(kill);
  }

  return {
    call,
    close,
    stats: () => ({
      state: state.kind,
      pid: childOf(state)?.process.pid ?? null,
      starts,
      waiting: queue.length,
      inFlight: childOf(state)?.inFlight.size ?? 0,
    }),
  };
}

/** How many operations of the token a request needs at least. */
function operationsOf(params: Params<Operation>): number {
  if ("items" in params) return params.items.length;
  return "keys" in params ? params.keys.length : 1;
}

function childOf(state: State): Child | null {
  return state.kind === "starting" || state.kind === "up" ? state.child : null;
}

async function settle(child: Child, withinMs: number): Promise<void> {
  const until = Date.now() + withinMs;
  const tick = 10;
  while (child.inFlight.size > 0 && Date.now() < until) {
    await new Promise((resolve) => setTimeout(resolve, tick));
  }
}

/**
 * The child gets no arguments and none of this process's Node options (a debugger in it would see
 * the keys); its output goes to stderr, so that a library that prints does not spoil ours.
 */
function forkChild(env: Readonly<Record<string, string>>, maxSessions: number): ChildProcess {
  const source = import.meta.url.endsWith(".ts");
  const file = new URL(source ? "./child.ts" : "./child.js", import.meta.url);
  const loader = () => pathToFileURL(createRequire(import.meta.url).resolve("tsx")).href;
  const { NODE_OPTIONS: _, ...inherited } = process.env;
  return fork(fileURLToPath(file), [], {
    execArgv: source ? ["--import", loader()] : [],
    serialization: "advanced",
    stdio: ["ignore", 2, 2, "ipc"],
    env: {
      ...inherited,
      // One thread for each session that may wait in the library, and Node's own four.
      UV_THREADPOOL_SIZE: String(maxSessions + 4),
      ...env,
    },
  });
}
