/** GET /metrics: behind a token, or open to this machine where the configuration says so. */
import type { Route } from "../doors/route.ts";
import type { Health } from "./health.ts";
import type { Metrics } from "./metrics.ts";
import { type ReadingParts, readingsOf } from "./readings.ts";

export interface MetricsParts extends Omit<ReadingParts, "health"> {
  /** Left out where nobody counts: then there is no such page. */
  readonly metrics?: Metrics | undefined;
  readonly metricsOpen?: boolean | undefined;
}

const MEDIA = "application/openmetrics-text";

export function metricsRoutes(parts: MetricsParts, health: Health): readonly Route[] {
  const { metrics, metricsOpen = false } = parts;
  if (metrics === undefined) return [];
  return [
    {
      ...{ method: "get", path: "/metrics", answer: null, media: MEDIA },
      opens: metricsOpen ? "anybody" : ["operator", "auditor", "machine"],
      says: "What is counted, in OpenMetrics' text.",
      async handle(_request, response) {
        const { contentType, body } = await metrics.text(await readingsOf({ ...parts, health }));
        response.set("content-type", contentType).send(body);
      },
    },
  ];
}
