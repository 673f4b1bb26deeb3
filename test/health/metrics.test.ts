/** The page that a scraper reads: its format, its figures, who may read it, what never stands on it. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Api, ApiParts } from "../../orchestrator/api/server.ts";
import { type Metrics, openMetrics } from "../../orchestrator/health/metrics.ts";
import { depositsRole } from "../../orchestrator/spend/deposits.ts";
import { openDoors } from "../orchestrator/door-stage.ts";
import { OPERATOR_TOKEN, openStage, type Stage, serveStage } from "../orchestrator/stage.ts";
import { type Family, parseOpenMetrics } from "./open-metrics.ts";

describe("metrics", () => {
  let stage: Stage;
  let metrics: Metrics;
  let api: Api;

  beforeEach(async () => {
    stage = await openStage(3);
    metrics = openMetrics();
    api = await serve({});
  });
  afterEach(async () => {
    await api.close();
    metrics.close();
    await stage.store.close();
  });

  const serve = (terms: Partial<ApiParts>) =>
    serveStage(stage, { metrics, ...terms, store: metrics.store(stage.store) });

  const ask = (path: string, headers: Record<string, string> = {}, method = "GET") =>
    fetch(api.url + path, {
      method,
      headers: { authorization: `Bearer ${OPERATOR_TOKEN}`, ...headers },
    });

  async function scrape(): Promise<readonly Family[]> {
    const response = await ask("/metrics");
    expect(response.headers.get("content-type")).toMatch(/^application\/openmetrics-text; v/);
    return parseOpenMetrics(await response.text());
  }

  function valueOf(families: readonly Family[], name: string, labels = {}): number | undefined {
    const samples = families.flatMap((family) => family.samples);
    const found = samples.find(
      (sample) =>
        sample.name === name &&
        Object.entries(labels).every(([label, value]) => sample.labels[label] === value),
    );
    return found?.value;
  }

  it("are OpenMetrics, with the figures of the store and the chain", async () => {
    const families = await scrape();
    const { height } = await stage.chain.tip();
    expect(valueOf(families, "ballast_deposits", { state: "confirmed" })).toBe(3);
    expect(valueOf(families, "ballast_owed", { currency: "sat" })).toBe(300_000);
    expect(valueOf(families, "ballast_intents", { state: "raised" })).toBe(0);
    expect(valueOf(families, "ballast_chain_height")).toBe(height);
    expect(valueOf(families, "ballast_chain_lag_blocks")).toBe(0);
    expect(valueOf(families, "ballast_component", { component: "store" })).toBe(1);
    expect(valueOf(families, "ballast_component", { component: "signer" })).toBe(0);
    expect(valueOf(families, "ballast_webhook_queue", { state: "dead" })).toBe(0);
    expect(valueOf(families, "ballast_store_transaction_seconds_count")).toBeGreaterThan(0);
    // What is read anew at each look stands on the page once.
    expect((await scrape()).length).toBe(families.length);
    expect((await scrape()).length).toBe(families.length);
  });

  it("say nothing of a node that does not answer, rather than 0", async () => {
    const tip = () => Promise.reject(new Error("gone"));
    const alone = await serve({ chain: { ...stage.chain, tip }, metricsOpen: true });
    const families = parseOpenMetrics(await (await fetch(`${alone.url}/metrics`)).text());
    expect(valueOf(families, "ballast_component", { component: "node" })).toBe(0);
    expect(valueOf(families, "ballast_chain_height")).toBeUndefined();
    expect(valueOf(families, "ballast_chain_lag_blocks")).toBeUndefined();
    expect(valueOf(families, "ballast_scanned_height")).toBeGreaterThan(0);
    await alone.close();
  });

  it("count requests by declared route: no id, whatever is asked", async () => {
    const { account } = stage.ann;
    await ask(`/v1/accounts/${account}`);
    await ask("/v1/accounts/a-nobody");
    await ask("/user/42", {}, "PROPFIND");
    for (const n of [1, 2, 3]) await ask(`/nowhere/${n}`);
    const families = await scrape();
    const requests = (labels: object) => valueOf(families, "ballast_http_requests_total", labels);
    const route = "/v1/accounts/:id";
    expect(requests({ method: "GET", route, status: "200" })).toBe(1);
    expect(requests({ method: "GET", route, status: "404" })).toBe(1);
    expect(requests({ method: "other", route: "none" })).toBe(1);
    expect(requests({ method: "GET", route: "none", status: "404" })).toBe(3);
    const text = await (await ask("/metrics")).text();
    expect(text).not.toContain(account);
    expect(text).not.toContain("nobody");
    expect(text).not.toContain("nowhere");
    expect(text).not.toContain(stage.ann.address);
  });

  it("count steps, faults, attempts and reorganisations", async () => {
    const steps = [async () => "more" as const, async () => Promise.reject(new Error("no"))];
    const role = metrics.role({
      name: "r",
      step: () => steps.shift()?.() ?? Promise.resolve("idle"),
    });
    await role.step();
    await expect(role.step()).rejects.toThrow("no");
    await role.step();
    metrics.webhook("dead", 20);
    const deposits = depositsRole({ ...stage.parts, reorganised: metrics.reorganised });
    stage.chain.reorg(2, "kept");
    stage.chain.mine(3);
    while ((await deposits.step()) === "more");
    const families = await scrape();
    for (const result of ["more", "fault", "idle"]) {
      expect(valueOf(families, "ballast_role_steps_total", { role: "r", result })).toBe(1);
    }
    expect(valueOf(families, "ballast_webhook_attempts_total", { result: "dead" })).toBe(1);
    expect(valueOf(families, "ballast_reorg_depth_count")).toBe(1);
    expect(valueOf(families, "ballast_reorg_depth_sum")).toBe(2);
    const failed = metrics.store(stage.store).transaction(async () => Promise.reject(new Error()));
    await expect(failed).rejects.toThrow();
    const seconds = "ballast_store_transaction_seconds_count";
    expect(valueOf(await scrape(), seconds, { result: "failed" })).toBe(1);
  });

  it("want a token, unless they are open to this machine", async () => {
    expect((await fetch(`${api.url}/metrics`)).status).toBe(401);
    const open = await serve({ metricsOpen: true });
    expect((await fetch(`${open.url}/metrics`)).status).toBe(200);
    expect((await fetch(`${open.url}/v1/webhooks`)).status).toBe(401);
    await open.close();
    const none = await serve({ metrics: undefined });
    const headers = { authorization: `Bearer ${OPERATOR_TOKEN}` };
    expect((await fetch(`${none.url}/metrics`, { headers })).status).toBe(404);
    await none.close();
  });

  it("are for machines, auditors and operators, and for no user", async () => {
    const doors = await openDoors({ metrics });
    for (const [scope, status] of [
      ["machine", 200],
      ["auditor", 200],
      ["operator", 200],
      ["user", 403],
    ] as const) {
      const token = await doors.tokenOf(scope, `m-${scope}`);
      const { status: given } = await doors.ask("GET /metrics", { token });
      expect([scope, given]).toEqual([scope, status]);
    }
    await doors.close();
  });
});

describe("the reader of OpenMetrics", () => {
  const head = "# HELP a_b words\n# TYPE a_b gauge\n";

  it.each([
    ["no end", `${head}a_b 1\n`],
    ["a sample of nothing", "a_b 1\n# EOF\n"],
    ["a counter without _total", "# TYPE c counter\nc 1\n# EOF\n"],
    ["a series twice", `${head}a_b 1\na_b 1\n# EOF\n`],
    ["a family twice", `${head}# TYPE c gauge\nc 1\n${head}# EOF\n`],
    ["no number", `${head}a_b one\n# EOF\n`],
    ["labels without quotes", `${head}a_b{a=1} 1\n# EOF\n`],
  ])("refuses %s", (_, text) => {
    expect(() => parseOpenMetrics(text)).toThrow();
  });
});
