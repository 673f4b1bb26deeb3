/** Pulser's health page, from the report that the status page shows. */
import { z } from "zod";
import { type StatusParts, unreadiness } from "../api/status.ts";
import type { Route } from "../doors/route.ts";
import { lastScanned } from "../spend/blocks.ts";

const component = z.enum(["ok", "down"]);
const healthAnswer = z.strictObject({
  status: z.enum(["healthy", "unhealthy"]),
  timestamp: z.iso.datetime(),
  components: z.strictObject({
    node: component,
    store: component,
    signer: component,
    roles: component,
  }),
  /** What is wrong, in words. */
  details: z.array(z.string()),
  execution_time_ms: z.number(),
  system: z.strictObject({
    uptime_seconds: z.int(),
    memory_rss_bytes: z.int(),
    scanned_height: z.int().nullable(),
  }),
});

export function healthRoute(parts: StatusParts): Route {
  return {
    ...{ method: "get", path: "/v1/health", aliases: ["/health"], answer: healthAnswer },
    ...{ opens: ["operator", "auditor", "machine"], also: [503] },
    says: "Whether it works, part by part.",
    async handle(_request, response) {
      const start = performance.now();
      const details = await unreadiness(parts);
      const up = (beginning: string) =>
        details.some((detail) => detail.startsWith(beginning)) ? "down" : "ok";
      const scanned = await lastScanned(parts.store.db);
      response.status(details.length === 0 ? 200 : 503).json({
        status: details.length === 0 ? "healthy" : "unhealthy",
        timestamp: new Date(Number(parts.clock())).toISOString(),
        // A store that does not answer is a fault, and none of this is said at all.
        components: {
          ...{ node: up("the node"), store: "ok" },
          ...{ signer: up("the signer"), roles: up("role ") },
        },
        details,
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
