/**
 * What is counted, in OpenMetrics' text: a registry of its own, none of the process. Labels are
 * states, routes and names of parts, of which there are few: never an account, an id or an address.
 */
import { monitorEventLoopDelay } from "node:perf_hooks";
import { Counter, Gauge, Histogram, type OpenMetricsContentType, Registry } from "prom-client";
import type { Store } from "../io/store.ts";
import type { Role } from "../role.ts";
import type { Next } from "../webhooks/schedule.ts";
import type { Reading } from "./readings.ts";

export interface Metrics {
  readonly request: (asked: CountedRequest) => void;
  readonly webhook: (result: Next["kind"], ms: number) => void;
  /** So many blocks left the chain. */
  readonly reorganised: (depth: number) => void;
  /** The same role, its steps counted and timed. */
  readonly role: (role: Role) => Role;
  /** The same store, its transactions timed: the wait for the lock is part of it. */
  readonly store: (store: Store) => Store;
  readonly text: (readings: readonly Reading[]) => Promise<MetricsText>;
  readonly close: () => void;
}

export interface CountedRequest {
  readonly method: string;
  /** As the API declares it, `/v1/accounts/:id`; `none` for what is no route. */
  readonly route: string;
  readonly status: number;
  readonly ms: number;
}

export interface MetricsText {
  readonly contentType: string;
  readonly body: string;
}

/** Seconds: from a look into memory to a signature by hand. */
const BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15];
const DEPTHS = [1, 2, 3, 6, 12, 100];
const METHODS: ReadonlySet<string> = new Set(["GET", "POST", "DELETE"]);

export function openMetrics(): Metrics {
  const registry = new Registry<OpenMetricsContentType>();
  registry.setContentType(Registry.OPENMETRICS_CONTENT_TYPE);
  const made = instrumentsOf(registry);
  const delay = monitorEventLoopDelay({ resolution: 10 });
  delay.enable();

  /** Made anew at each look: what is no more is not shown. */
  function set({ name, help, values }: Reading): void {
    const labelNames = Object.keys(values[0]?.labels ?? {});
    registry.removeSingleMetric(name);
    // Without this it would stand there as 0, which nobody has read.
    if (values.length === 0) return;
    const gauge = new Gauge({ registers: [registry], name, help, labelNames });
    for (const { labels, value } of values) gauge.set({ ...labels }, value);
  }

  return {
    request({ method, route, status, ms }) {
      const verb = METHODS.has(method) ? method : "other";
      made.requests.inc({ method: verb, route, status: String(status) });
      made.requestSeconds.observe({ route }, ms / 1_000);
    },
    webhook(result, ms) {
      made.attempts.inc({ result });
      made.attemptSeconds.observe(ms / 1_000);
    },
    reorganised: (depth) => made.reorgDepth.observe(depth),
    role: (role) => countedRole(role, made),
    store: (store) => timedStore(store, made.transactionSeconds),
    async text(readings) {
      for (const reading of readings) set(reading);
      made.loopDelay.set(delay.max / 1e9);
      made.resident.set(process.memoryUsage.rss());
      delay.reset();
      return { contentType: registry.contentType, body: await registry.metrics() };
    },
    close: () => delay.disable(),
  };
}

type Instruments = ReturnType<typeof instrumentsOf>;

function instrumentsOf(registry: Registry<OpenMetricsContentType>) {
  const registers = [registry];
  const counter = <Label extends string>(name: string, help: string, labelNames: Label[]) =>
    new Counter({ registers, name, help, labelNames });
  const seconds = <Label extends string>(name: string, help: string, labelNames: Label[]) =>
    new Histogram({ registers, name, help, labelNames, buckets: BUCKETS });
  const gauge = (name: string, help: string) => new Gauge({ registers, name, help });
  return {
    requests: counter("ballast_http_requests", "Requests, by how they were answered", [
      ...(["method", "route", "status"] as const),
    ]),
    requestSeconds: seconds("ballast_http_request_seconds", "Until the answer was out", ["route"]),
    attempts: counter("ballast_webhook_attempts", "Attempts to deliver a webhook", ["result"]),
    attemptSeconds: seconds("ballast_webhook_attempt_seconds", "How long attempts took", []),
    steps: counter("ballast_role_steps", "Steps of roles, by what came of them", [
      ...(["role", "result"] as const),
    ]),
    stepSeconds: seconds("ballast_role_step_seconds", "How long steps took", ["role"]),
    transactionSeconds: seconds(
      "ballast_store_transaction_seconds",
      "Transactions, the wait for their turn included",
      ["result"],
    ),
    reorgDepth: new Histogram({
      ...{ registers, name: "ballast_reorg_depth", buckets: DEPTHS },
      help: "Reorganisations, by the blocks that left the chain",
    }),
    loopDelay: gauge("ballast_event_loop_delay_seconds_max", "The longest since the last look"),
    resident: gauge("ballast_resident_bytes", "Memory of this process"),
  };
}

function countedRole(role: Role, { steps, stepSeconds }: Instruments): Role {
  const { name } = role;
  return {
    ...role,
    async step() {
      const start = performance.now();
      let result: "more" | "idle" | "fault" = "fault";
      try {
        result = await role.step();
        return result;
      } finally {
        steps.inc({ role: name, result });
        stepSeconds.observe({ role: name }, (performance.now() - start) / 1_000);
      }
    },
  };
}

function timedStore(store: Store, seconds: Instruments["transactionSeconds"]): Store {
  return {
    ...store,
    async transaction(body) {
      const start = performance.now();
      let result = "failed";
      try {
        const value = await store.transaction(body);
        result = "done";
        return value;
      } finally {
        seconds.observe({ result }, (performance.now() - start) / 1_000);
      }
    },
  };
}
