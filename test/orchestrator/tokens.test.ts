/** Tokens: shown once, hashed at rest, dead when disabled or expired. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Doors, openDoors } from "./door-stage.ts";

let doors: Doors;
beforeAll(async () => {
  doors = await openDoors();
});
afterAll(() => doors.close());

const DAY_MS = 86_400_000n;

describe("a token", () => {
  it("is shown once, and nowhere at rest", async () => {
    const body = { name: "ops", scope: "operator" };
    const first = await doors.ask("POST /v1/tokens", { body });
    expect(first).toMatchObject({ status: 201, body: { name: "ops", usedAt: null } });
    expect(first.body.token).toMatch(/^ballast-operator-[0-9a-f]{64}$/);
    const again = await doors.ask("POST /v1/tokens", { body });
    expect(again).toMatchObject({ status: 200, body: { id: first.body.id, token: null } });
    const rows = await doors.stage.store.db.selectFrom("tokens").selectAll().execute();
    const kept = rows.map((row) => Object.values(row).join(" ")).join("\n");
    expect(kept).not.toContain(first.body.token);
    expect((await doors.ask("GET /v1/tokens")).text).not.toContain(first.body.token);
  });

  it.each([
    ["of a user without an account", { name: "x", scope: "user" }, 422],
    [
      "of a user of an account that is not there",
      { name: "x", scope: "user", account: "a-0" },
      422,
    ],
    ["of a scope that is none", { name: "x", scope: "king" }, 422],
    ["of no name", { name: "", scope: "auditor" }, 422],
    ["of the first operator's name", { name: "first-operator", scope: "auditor" }, 422],
    ["for ever", { name: "x", scope: "auditor", days: 367 }, 422],
    ["for no day", { name: "x", scope: "auditor", days: 0 }, 422],
    ["with a word too many", { name: "x", scope: "auditor", hash: "mine" }, 422],
    ["of a name with other words", { name: "ops", scope: "auditor" }, 409],
  ])("is not issued %s", async (_, body, status) => {
    expect((await doors.ask("POST /v1/tokens", { body })).status).toBe(status);
  });

  it("has an account as a user's alone", async () => {
    const { account } = doors.stage.ann;
    const body = { name: "ann", scope: "auditor", account };
    expect((await doors.ask("POST /v1/tokens", { body })).status).toBe(422);
    const own = await doors.ask("POST /v1/tokens", { body: { ...body, scope: "user" } });
    expect(own).toMatchObject({ status: 201, body: { account } });
  });

  it("opens nothing once it is disabled, for good", async () => {
    const token = await doors.tokenOf("auditor", "short-lived");
    expect((await doors.ask("GET /v1/status", { token })).status).toBe(200);
    const { tokens } = (await doors.ask("GET /v1/tokens")).body;
    const own = tokens.find(({ name }: { name: string }) => name === "short-lived");
    expect(own.usedAt).not.toBeNull();
    const gone = await doors.ask(`DELETE /v1/tokens/${own.id}`);
    expect(gone.body.disabledAt).not.toBeNull();
    expect((await doors.ask("GET /v1/status", { token })).status).toBe(401);
    const again = await doors.ask(`DELETE /v1/tokens/${own.id}`);
    expect(again.body.disabledAt).toBe(gone.body.disabledAt);
    const body = { name: "short-lived", scope: "auditor" };
    expect((await doors.ask("POST /v1/tokens", { body })).body.token).toBeNull();
    expect((await doors.ask("DELETE /v1/tokens/t-0")).status).toBe(404);
  });

  it("opens everything until the moment it expires, and nothing from then on", async () => {
    const body = { name: "a-day", scope: "auditor", days: 1 };
    const { token } = (await doors.ask("POST /v1/tokens", { body })).body;
    doors.stage.pass(DAY_MS - 1n);
    expect((await doors.ask("GET /v1/status", { token })).status).toBe(200);
    doors.stage.pass(1n);
    expect((await doors.ask("GET /v1/status", { token })).status).toBe(401);
  });
});
