/** What a signer counts, in Prometheus' text format: a registry of its own, none of the process. */
import { monitorEventLoopDelay } from "node:perf_hooks";
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { Violation } from "../policies/decide.ts";
import type { Stage } from "./guard.ts";
import type { KeyProcess } from "./signer.ts";

export type RequestResult = "approved" | "refused" | "held" | "failed";

/** What must never happen; people are woken by anything above zero. */
export type Alarm = "conflict" | "unverified-signature" | "rollback";

export interface Metrics {
  readonly request: (result: RequestResult, violations: readonly Violation[], ms: number) => void;
  readonly stage: (stage: Stage, ms: number) => void;
  readonly alarm: (alarm: Alarm) => void;
  readonly text: () => Promise<{ readonly contentType: string; readonly body: string }>;
  readonly close: () => void;
}

export interface MetricsOptions {
  /** Asked at each scrape. */
  readonly keyProcess: () => KeyProcess | null;
  readonly paused: () => boolean;
  /** Wall clock in milliseconds. */
  readonly now: () => number;
}

const RESULTS: readonly RequestResult[] = ["approved", "refused", "held", "failed"];
const ALARMS: readonly Alarm[] = ["conflict", "unverified-signature", "rollback"];
/** Seconds: from a claim's commit to a slow network HSM. */
const BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10];
/** Rules that object when two spends want one coin: an orchestrator that is whole never meets them. */
const CONFLICTS: ReadonlySet<string> = new Set(["coins-unclaimed", "one-transaction-an-intent"]);

export function openMetrics({ keyProcess, paused, now }: MetricsOptions): Metrics {
  const registry = new Registry();
  const registers = [registry];
  const requests = new Counter({
    ...{ registers, name: "signer_requests_total", labelNames: ["result"] },
    help: "Requests for a signature, by how they ended",
  });
  const refusals = new Counter({
    ...{ registers, name: "signer_refusals_total", labelNames: ["rule"] },
    help: "Objections of the law, by rule; one request may have several",
  });
  const stages = new Histogram({
    ...{ registers, name: "signer_stage_seconds", labelNames: ["stage"], buckets: BUCKETS },
    help: "How long the stages of a request took; law has the claim in it",
  });
  const alarms = new Counter({
    ...{ registers, name: "signer_alarms_total", labelNames: ["alarm"] },
    help: "What must never happen: anything above zero is looked at by a person",
  });
  const started = now();
  let lastSignature: number | null = null;
  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      ...{ registers, name, help },
      collect() {
        this.set(read());
      },
    });
  gauge("signer_paused", "1 while nothing leaves", () => (paused() ? 1 : 0));
  gauge(
    "signer_seconds_since_signature",
    "Since the last one, or since the start",
    () => Math.max(0, now() - (lastSignature ?? started)) / 1000,
  );
  gauge("signer_token_starts", "Starts of the process that holds the token", () => {
    return keyProcess()?.starts ?? 0;
  });
  gauge("signer_token_waiting", "Requests that wait for the token", () => {
    return keyProcess()?.waiting ?? 0;
  });
  gauge("signer_resident_bytes", "Memory of this process", () => process.memoryUsage.rss());
  const delay = monitorEventLoopDelay({ resolution: 10 });
  delay.enable();
  gauge("signer_event_loop_delay_seconds_max", "The longest since the last scrape", () => {
    const seconds = delay.max / 1e9;
    delay.reset();
    return seconds;
  });
  for (const result of RESULTS) requests.inc({ result }, 0);
  for (const alarm of ALARMS) alarms.inc({ alarm }, 0);

  return {
    request(result, violations, ms) {
      requests.inc({ result });
      stages.observe({ stage: "total" }, ms / 1000);
      if (result === "approved") lastSignature = now();
      for (const rule of new Set(violations.map((violation) => violation.rule))) {
        refusals.inc({ rule });
        if (CONFLICTS.has(rule)) alarms.inc({ alarm: "conflict" });
      }
    },
    stage: (stage, ms) => stages.observe({ stage }, ms / 1000),
    alarm: (alarm) => alarms.inc({ alarm }),
    text: async () => ({ contentType: registry.contentType, body: await registry.metrics() }),
    close: () => delay.disable(),
  };
}
