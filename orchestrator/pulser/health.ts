/** Pulser's health page. */
import { z } from "zod";
import type { StatusParts } from "../api/status.ts";
import type { Route } from "../doors/route.ts";
import type { Health } from "../health/health.ts";
import { lastScanned } from "../spend/blocks.ts";

const component = z.enum(["ok", "degraded", "down"]);
const healthAnswer = z.strictObject({
  status: z.enum(["healthy", "degraded", "unhealthy"]),
  timestamp: z.iso.datetime(),
  components: z.record(z.string(), component),
  /** Since when each is what it is, and what is wrong, in words. */
  details: z.record(z.string(), z.strictObject({ since: z.iso.datetime(), detail: z.string() })),
  execution_time_ms: z.number(),
  system: z.strictObject({
    uptime_seconds: z.int(),
    memory_rss_bytes: z.int(),
    scanned_height: z.int().nullable(),
  }),
});

const WORDS = { ok: "healthy", degraded: "degraded", down: "unhealthy" } as const;

export function healthRoute(parts: StatusParts, health: Health): Route {
  return {
    ...{ method: "get", path: "/v1/health", aliases: ["/health"], answer: healthAnswer },
    ...{ opens: ["operator", "auditor", "machine"], also: [503] },
    says: "Whether it works, part by part.",
    async handle(_request, response) {
      const start = performance.now();
      const { status, at, components } = await health.report();
      const each = Object.entries(components);
      // The store may be what is down.
      const scanned = await lastScanned(parts.store.db).catch(() => null);
      response.status(status === "down" ? 503 : 200).json({
        status: WORDS[status],
        timestamp: timeOf(at),
        components: Object.fromEntries(each.map(([name, part]) => [name, part.status])),
        details: Object.fromEntries(
          each.map(([name, { since, detail }]) => [name, { since: timeOf(since), detail }]),
        ),
        execution_time_ms: Math.round((performance.now() - start) * 1000) / 1000,
        system: {
          uptime_seconds: Math.floor(process.uptime()),
          memory_rss_bytes: process.memoryUsage.rss(),
          scanned_height: scanned?.height ?? null,
        },
      });
    },
  };
}

function timeOf(at: bigint): string {
  return new Date(Number(at)).toISOString();
}
