/** Dual control: what one operator wants another approves, and it is done once. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Doors, openDoors } from "./door-stage.ts";
import { ELSEWHERE } from "./world.ts";

let doors: Doors;
let second = "";
beforeEach(async () => {
  doors = await openDoors({ dualControl: true });
  // The first operator alone issues the second's token.
  second = await doors.tokenOf("operator", "second");
});
afterEach(() => doors.close());

const wish = (reference = "w-1") => ({
  ...{ account: doors.stage.ann.account, address: ELSEWHERE, sats: 5_000, reference, feeRate: 2 },
});
const intents = async () => (await doors.ask("GET /v1/intents")).body.intents as unknown[];
async function proposed(body: unknown = wish()): Promise<string> {
  const answer = await doors.ask("POST /v1/withdrawals", { body });
  expect(answer).toMatchObject({ status: 202, body: { proposal: { state: "waiting" } } });
  return answer.body.proposal.id as string;
}
const approve = (id: string, token = second) =>
  doors.ask(`POST /v1/proposals/${id}/approve`, { token, body: {} });

describe("an operator's withdrawal", () => {
  it("is raised by a second one's approval, once", async () => {
    const id = await proposed();
    expect(await proposed()).toBe(id);
    expect(await intents()).toEqual([]);
    expect(await approve(id, undefined)).toMatchObject({ status: 201, body: { state: "raised" } });
    expect(await approve(id)).toMatchObject({ status: 409, body: { code: "conflict" } });
    expect(await intents()).toHaveLength(1);
    const shown = await doors.ask(`GET /v1/proposals/${id}`);
    expect(shown.body).toMatchObject({ state: "done", status: 201, body: wish() });
    // Wished for again, it is a proposal of its own.
    expect(await proposed()).not.toBe(id);
  });

  it("is not approved by whoever proposed it, nor by another scope, nor twice at once", async () => {
    const id = await proposed();
    const own = await doors.ask(`POST /v1/proposals/${id}/approve`, { body: {} });
    expect(own).toMatchObject({ status: 403, body: { code: "forbidden" } });
    expect(await intents()).toEqual([]);
    const both = await Promise.all([approve(id), approve(id)]);
    expect(both.map(({ status }) => status).sort()).toEqual([201, 409]);
    expect(await intents()).toHaveLength(1);
    expect((await approve("p-0")).status).toBe(404);
  });

  it("waits for a day and no longer", async () => {
    const [early, late] = [await proposed(wish("early")), await proposed(wish("late"))];
    doors.stage.pass(86_399_999n);
    expect((await approve(early)).status).toBe(201);
    doors.stage.pass(1n);
    expect(await approve(late)).toMatchObject({ status: 409 });
    expect((await doors.ask(`GET /v1/proposals/${late}`)).body.state).toBe("expired");
    expect(await proposed(wish("late"))).not.toBe(late);
  });

  it("that no handler would read is not proposed, and a refusal ends the proposal", async () => {
    const bad = await doors.ask("POST /v1/withdrawals", { body: { ...wish(), sats: 0 } });
    expect(bad.status).toBe(422);
    const id = await proposed({ ...wish(), address: "nowhere" });
    expect((await approve(id)).status).toBe(422);
    expect((await doors.ask(`GET /v1/proposals/${id}`)).body.state).toBe("refused");
  });

  it("is resumed where a process ended between approval and deed", async () => {
    const id = await proposed();
    await doors.stage.store.db
      .updateTable("proposals")
      .set({ state: "approved", approver: "t-of-a-process-that-died" })
      .where("id", "=", id)
      .execute();
    expect((await approve(id)).status).toBe(201);
    expect(await intents()).toHaveLength(1);
  });
});

describe("with two operators", () => {
  it("no further token is issued by one, and any is disabled by one", async () => {
    const line = "POST /v1/tokens";
    for (const scope of ["operator", "machine", "auditor"]) {
      const { status, body } = await doors.ask(line, { body: { name: `more-${scope}`, scope } });
      expect([scope, status]).toEqual([scope, 202]);
      const issued = await approve(body.proposal.id);
      expect(issued).toMatchObject({ status: 201, body: { scope } });
    }
    const { tokens } = (await doors.ask("GET /v1/tokens")).body;
    for (const { id } of tokens as { id: string }[]) {
      expect((await doors.ask(`DELETE /v1/tokens/${id}`)).status).toBe(200);
    }
    // The way of the first second operator is closed, also when none is left.
    const other = await doors.ask(line, { body: { name: "accomplice", scope: "operator" } });
    expect(other.status).toBe(202);
  });

  it("a user acts for themselves alone", async () => {
    const account = doors.stage.ann.account;
    const { body } = await doors.ask("POST /v1/tokens", {
      body: { name: "ann", scope: "user", account },
    });
    const { token } = (await approve(body.proposal.id)).body;
    expect((await doors.ask("POST /v1/withdrawals", { token, body: wish() })).status).toBe(201);
  });

  it("one is enough for what stops a spend", async () => {
    const { id } = (await approve(await proposed())).body;
    expect((await doors.ask(`POST /v1/intents/${id}/cancel`, { body: {} })).status).toBe(200);
  });
});
