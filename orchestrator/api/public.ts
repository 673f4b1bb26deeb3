/** What is said of the whole: to anybody whether it lives, to those who may ask how it stands. */
import type { Request, Response } from "express";
import { z } from "zod";
import type { Route } from "../doors/route.ts";
import type { Health } from "../health/health.ts";
import { type StatusParts, statusReport } from "./status.ts";
import { PAGE_SECURITY_POLICY, statusPage } from "./status-page.ts";

/** The report proves the whole book: one look serves all who ask within this time. */
const REPORT_MS = 1_000;

/** One piece of work for all callers within `ms`; a failed one is not kept. */
function sharedFor<Value>(ms: number, work: () => Promise<Value>): () => Promise<Value> {
  let last: { readonly value: Promise<Value>; readonly until: number } | null = null;
  return () => {
    const now = performance.now();
    if (last !== null && now < last.until) return last.value;
    const value = work();
    last = { value, until: now + ms };
    value.catch(() => {
      last = null;
    });
    return value;
  };
}

const aliveAnswer = z.strictObject({ alive: z.literal(true) });
const readyAnswer = z.strictObject({ ready: z.boolean(), reasons: z.array(z.string()) });
const named = z.looseObject({ name: z.string() });
const statusAnswer = z.strictObject({
  at: z.iso.datetime(),
  network: z.string(),
  node: z.strictObject({ height: z.int().nullable(), scannedHeight: z.int().nullable() }),
  confirmations: z.int(),
  signer: named.nullable(),
  roles: z.array(z.strictObject({ name: z.string(), fault: z.string().nullable() })),
  accounts: z.array(named.extend({ id: z.string(), availableSats: z.string() })),
  intents: z.array(z.looseObject({ id: z.string(), state: z.string() })),
  book: z.looseObject({ balances: z.boolean(), faults: z.array(z.string()) }),
  cover: z.looseObject({ exact: z.boolean() }),
});

export function publicRoutes(parts: StatusParts, health: Health): readonly Route[] {
  const report = sharedFor(REPORT_MS, () => statusReport(parts));
  return [
    {
      ...{ method: "get", path: "/livez", opens: "anybody", answer: aliveAnswer },
      says: "That the process listens.",
      handle: (_request, response) => response.json({ alive: true }),
    },
    {
      ...{ method: "get", path: "/readyz", opens: "anybody", answer: readyAnswer, also: [503] },
      says: "Whether it should get work now, and why not.",
      async handle(_request, response) {
        const { unready: reasons } = await health.report();
        const ready = reasons.length === 0;
        response.status(ready ? 200 : 503).json({ ready, reasons });
      },
    },
    {
      ...{ method: "get", path: "/", opens: "anybody", answer: null },
      says: "The status page. Nothing on it changes anything or is a secret.",
      handle: (request, response) => page(parts, request, response),
    },
    {
      ...{ method: "get", path: "/v1/status", aliases: ["/status"] },
      ...{ opens: ["operator", "auditor", "machine"] },
      answer: statusAnswer,
      says: "Node, signer, accounts, intents, book and cover.",
      async handle(_request, response) {
        response.json(await report());
      },
    },
  ];
}

/** For whoever sits at this machine. */
async function page(parts: StatusParts, _request: Request, response: Response): Promise<void> {
  response
    .set("content-security-policy", PAGE_SECURITY_POLICY)
    .set("cache-control", "no-store")
    .set("referrer-policy", "no-referrer")
    .set("x-content-type-options", "nosniff")
    .type("html")
    .send(statusPage(await statusReport(parts)));
}
