/** How often, how much, from where on: limits, sizes, pages, and the names of requests. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Doors, openDoors } from "./door-stage.ts";
import { moveIn } from "./world.ts";

let doors: Doors;
let auditor = "";
beforeAll(async () => {
  doors = await openDoors();
  auditor = await doors.tokenOf("auditor", "eyes");
});
afterAll(() => doors.close());

describe("limits", () => {
  it("count each token by itself, before a body is read", async () => {
    const tight = await openDoors({ limits: { perAddress: 1_000, perToken: 5 } });
    const other = await tight.tokenOf("auditor", "eyes");
    for (let i = 0; i < 4; i += 1) expect((await tight.ask("GET /v1/status")).status).toBe(200);
    const late = await tight.ask("POST /v1/withdrawals", { body: "{ no json" });
    expect(late).toMatchObject({ status: 429, body: { code: "too-many", retryable: true } });
    expect(Number(late.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(late.headers.get("ratelimit")).toContain('"token"; r=0');
    expect((await tight.ask("GET /v1/status", { token: other })).status).toBe(200);
    await tight.close();
  });

  it("count an address whoever asks, with a token or without", async () => {
    const tight = await openDoors({ limits: { perAddress: 5, perToken: 1_000 } });
    for (let i = 0; i < 4; i += 1) await tight.ask("GET /livez", { token: "" });
    expect((await tight.ask("GET /v1/status")).status).toBe(429);
    await tight.close();
  });
});

describe("a body", () => {
  it("of another size or form is refused, and of a stranger not read", async () => {
    const large = { body: { psbt: "A".repeat(600_000) } };
    expect(await doors.ask("POST /v1/withdrawals", large)).toMatchObject({
      ...{ status: 413, body: { code: "body" } },
    });
    expect((await doors.ask("POST /v1/withdrawals", { ...large, token: auditor })).status).toBe(
      403,
    );
    expect((await doors.ask("POST /v1/withdrawals", { ...large, token: "x" })).status).toBe(401);
    expect((await doors.ask("POST /v1/withdrawals", { body: "{ no" })).status).toBe(400);
  });
});

describe("a page", () => {
  it("follows another until all were shown once", async () => {
    for (const name of ["bea", "cem", "dot", "eli"]) await moveIn(doors.stage, name);
    const found: string[] = [];
    for (let cursor = ""; ; ) {
      const { body } = await doors.ask(`GET /v1/accounts?limit=2${cursor}`);
      found.push(...body.accounts.map(({ id }: { id: string }) => id));
      expect(body.accounts.length).toBeLessThanOrEqual(2);
      if (body.next === null) break;
      cursor = `&cursor=${body.next}`;
    }
    expect(found).toHaveLength(5);
    expect(new Set(found).size).toBe(5);
  });

  it("begins nowhere that the list has not given, and has 1 to 200 rows", async () => {
    const { next } = (await doors.ask("GET /v1/accounts?limit=1")).body;
    const forged = Buffer.from('["accounts","1","a"]x').toString("base64url");
    for (const query of [
      "limit=0",
      "limit=201",
      "limit=x",
      "cursor=!",
      `cursor=${forged}`,
      "page=2",
    ]) {
      expect([query, (await doors.ask(`GET /v1/accounts?${query}`)).status]).toEqual([query, 422]);
    }
    expect((await doors.ask(`GET /v1/tokens?cursor=${next}`)).status).toBe(422);
    for (const limit of [1, 200]) {
      expect((await doors.ask(`GET /v1/accounts?limit=${limit}`)).status).toBe(200);
    }
  });
});

describe("a request", () => {
  it("keeps a sane name, and gets one otherwise, in answers and in problems", async () => {
    const named = (id: string) => doors.ask("GET /v1/nowhere", { headers: { "x-request-id": id } });
    const kept = await named("trace-7.a_B");
    expect(kept.headers.get("x-request-id")).toBe("trace-7.a_B");
    expect(kept.body.requestId).toBe("trace-7.a_B");
    for (const id of ["a b", "x".repeat(65), '{"a":1}']) {
      const made = await named(id);
      expect(made.headers.get("x-request-id")).toMatch(/^[0-9a-f-]{36}$/);
      expect(made.body.requestId).toBe(made.headers.get("x-request-id"));
    }
    expect((await doors.ask("GET /livez")).headers.get("x-request-id")).not.toBeNull();
  });
});
