/** Idempotency-Key: the same answer again, one deed, and no secret at rest. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Doors, openDoors } from "./door-stage.ts";
import { ELSEWHERE } from "./world.ts";

let doors: Doors;
beforeAll(async () => {
  doors = await openDoors();
});
afterAll(() => doors.close());

const wish = (reference: string) => ({
  ...{ account: doors.stage.ann.account, address: ELSEWHERE, sats: 5_000, reference, feeRate: 2 },
});
const raise = (key: string, body: unknown, token?: string) =>
  doors.ask("POST /v1/withdrawals", {
    ...{ body, headers: { "idempotency-key": key } },
    ...(token !== undefined && { token }),
  });

describe("a key", () => {
  it("gets the first answer again, byte for byte, whatever happened since", async () => {
    const first = await raise("one", wish("w-1"));
    expect(first.status).toBe(201);
    await doors.ask(`POST /v1/intents/${first.body.id}/cancel`, { body: {} });
    const again = await raise("one", wish("w-1"));
    expect([again.status, again.text]).toEqual([201, first.text]);
    expect(again.headers.get("idempotent-replayed")).toBe("true");
    expect(first.headers.get("idempotent-replayed")).toBeNull();
    // Other blanks and another order of keys decode to the same.
    const { account, ...rest } = wish("w-1");
    const spaced = await raise("one", JSON.stringify({ ...rest, account }, null, 2));
    expect(spaced.text).toBe(first.text);
  });

  it("stands for one request", async () => {
    await raise("two", wish("w-2"));
    const other = await raise("two", { ...wish("w-2"), sats: 5_001 });
    expect(other).toMatchObject({ status: 422, body: { code: "idempotency-conflict" } });
    const elsewhere = await doors.ask("POST /v1/recoveries", {
      ...{ body: wish("w-2"), headers: { "idempotency-key": "two" } },
    });
    expect(elsewhere.status).toBe(422);
    // Another's key of the same name is another key.
    const token = await doors.tokenOf("user", "ann");
    expect((await raise("two", wish("w-2"), token)).status).toBe(200);
  });

  it.each(["", "a b", "x".repeat(65), "ä"])("is refused as %j", async (key) => {
    const headers = { "idempotency-key": Buffer.from(key).toString("latin1") };
    const answer = await doors.ask("POST /v1/withdrawals", { body: wish("w-3"), headers });
    expect(answer).toMatchObject({ status: 400, body: { code: "bad-request" } });
  });

  it("makes of ten at once one deed and one answer", async () => {
    const body = { name: "once", scope: "auditor" };
    const headers = { "idempotency-key": "ten" };
    const all = await Promise.all(
      Array.from({ length: 10 }, () => doors.ask("POST /v1/tokens", { body, headers })),
    );
    // Without the key nine of them would say that the token was shown before.
    expect(new Set(all.map(({ text }) => text)).size).toBe(1);
    expect(all[0]?.body.token).toMatch(/^ballast-auditor-/);
    const rows = await doors.stage.store.db.selectFrom("answers").selectAll().execute();
    for (const { sealed } of rows) {
      expect(Buffer.from(sealed ?? []).toString("latin1")).not.toContain("ballast-auditor-");
    }
  });

  it("keeps refusals, and no request that the doors turned away", async () => {
    const bad = await raise("bad", { ...wish("w-4"), sats: 0 });
    expect([bad.status, (await raise("bad", { ...wish("w-4"), sats: 0 })).text]).toEqual([
      422,
      bad.text,
    ]);
    expect((await raise("late", wish("w-5"), "nobodys")).status).toBe(401);
    expect((await raise("late", wish("w-5"))).status).toBe(201);
  });

  it("is done again where its process ended before the answer was kept", async () => {
    const first = await raise("crash", wish("w-6"));
    const empty = { status: null, type: null, sealed: null };
    await doors.stage.store.db
      .updateTable("answers")
      .set(empty)
      .where("key", "=", "crash")
      .execute();
    const again = await raise("crash", wish("w-6"));
    expect(again).toMatchObject({ status: 200, body: { id: first.body.id } });
    expect((await raise("crash", { ...wish("w-6"), sats: 6_000 })).status).toBe(422);
  });

  it("is forgotten after a day", async () => {
    const first = await raise("day", wish("w-7"));
    doors.stage.pass(86_400_000n);
    expect((await raise("day", wish("w-7"))).text).toBe(first.text);
    doors.stage.pass(1n);
    expect((await raise("day", wish("w-7"))).status).toBe(200);
  });
});
