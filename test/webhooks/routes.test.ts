/** The operator's requests about webhooks: what is answered, what is refused, who may ask. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { tell } from "../../orchestrator/accounts/events.ts";
import { type Doors, openDoors } from "../orchestrator/door-stage.ts";
import { openReceiver, type Receiver } from "../support/receiver.ts";

let doors: Doors;
let receiver: Receiver;

beforeAll(async () => {
  doors = await openDoors();
  receiver = await openReceiver();
});
afterAll(async () => {
  await receiver.close();
  await doors.close();
});

const add = (body: object) => doors.ask("POST /v1/webhooks", { body });

describe("an endpoint", () => {
  it("is added once, its secret shown once, and never listed", async () => {
    const body = { url: "https://example.com/once", kinds: ["account_frozen"] };
    const first = await add(body);
    expect(first).toMatchObject({
      ...{ status: 201, body: { url: body.url, kinds: body.kinds, accounts: null } },
    });
    const { secret } = first.body;
    expect(await add(body)).toMatchObject({ status: 200, body: { secret: null } });
    expect((await add({ url: body.url })).status).toBe(409);
    const { text } = await doors.ask("GET /v1/webhooks");
    expect(text).toContain(body.url);
    expect(text).not.toContain(secret);
    const renewed = await doors.ask(`POST /v1/webhooks/${first.body.id}/secret`);
    expect(renewed.body.secret).not.toBe(secret);
    const path = `/v1/webhooks/${first.body.id}`;
    expect((await doors.ask(`POST ${path}/disable`)).body.disabled).toBe(true);
    expect((await doors.ask(`POST ${path}/enable`)).body.disabled).toBe(false);
  });

  it.each([
    [{ url: "ftp://example.com/" }, "https"],
    [{ url: "https://example.com/", kinds: ["deposit"] }, "deposit_reversed"],
    [{ url: "https://example.com/", kinds: ["withdrawal", "deposit_reversed"] }, "withdrawal_r"],
    [{ url: "https://example.com/", kinds: [] }, "kinds"],
    [{ url: "https://example.com/", kinds: ["nothing"] }, "kinds"],
    [{ url: "https://example.com/", accounts: [] }, "accounts"],
    [{ url: "https://example.com/", from: "-1" }, "from"],
    [{ url: "https://example.com/", secret: "mine" }, "secret"],
    [{}, "url"],
  ])("of %j is refused: %s", async (body, words) => {
    const answer = await add(body);
    expect(answer.status).toBe(422);
    expect(answer.text).toContain(words);
  });

  it("at home is refused where no configuration opens it", async () => {
    const strict = await openDoors({ allowed: undefined });
    const answer = await strict.ask("POST /v1/webhooks", { body: { url: "https://127.0.0.1/" } });
    expect(answer).toMatchObject({ status: 422, body: { code: "refused" } });
    await strict.close();
  });

  it("is the operator's alone; auditors look", async () => {
    for (const [scope, reads] of [
      ["auditor", 200],
      ["machine", 403],
      ["user", 403],
    ] as const) {
      const token = await doors.tokenOf(scope, `hooks-${scope}`);
      expect((await doors.ask("GET /v1/webhooks", { token })).status).toBe(reads);
      const body = { url: "https://example.com/other" };
      expect((await doors.ask("POST /v1/webhooks", { token, body })).status).toBe(403);
      expect((await doors.ask("POST /v1/webhooks/w-0/replay", { token })).status).toBe(403);
    }
  });

  it("that is not there is 404", async () => {
    for (const line of [
      ...["POST /v1/webhooks/w-0/secret", "POST /v1/webhooks/w-0/disable"],
      ...["GET /v1/webhooks/w-0/deliveries", "POST /v1/webhooks/w-0/replay"],
      ...["POST /v1/webhooks/w-0/deliveries/1/replay", "POST /v1/webhooks/w-0/deliveries/x/drop"],
    ]) {
      expect([line, (await doors.ask(line)).status]).toEqual([line, 404]);
    }
  });

  it("takes two to be added under dual control", async () => {
    const two = await openDoors({ dualControl: true });
    const body = { url: "https://example.com/" };
    expect((await two.ask("POST /v1/webhooks", { body })).status).toBe(202);
    expect((await two.ask("GET /v1/webhooks")).body.endpoints).toEqual([]);
    await two.close();
  });
});

describe("deliveries", () => {
  it("are listed in pages, and dead letters replayed and dropped", async () => {
    const { stage } = doors;
    const { id } = (await add({ url: receiver.url, kinds: ["account_thawed"] })).body;
    receiver.behave(410);
    const { account } = stage.ann;
    for (const key of ["t1", "t2", "t3"]) {
      await tell(stage.store.db, { kind: "account_thawed", key, account, data: {}, at: 0n });
    }
    await stage.settle();
    const path = `/v1/webhooks/${id}/deliveries`;
    const dead = async () => (await doors.ask(`GET ${path}?state=dead`)).body.deliveries;
    const [letter] = await dead();
    expect(letter).toMatchObject({ account, state: "dead", attempts: 1, status: 410 });
    const page = await doors.ask(`GET ${path}?limit=2`);
    expect(page.body.deliveries.map(({ state }: { state: string }) => state)).toEqual([
      ...["waiting", "waiting"],
    ]);
    const next = await doors.ask(`GET ${path}?limit=2&cursor=${page.body.next}`);
    expect(next.body).toMatchObject({ deliveries: [{ state: "dead" }], next: null });
    const again = await doors.ask(`POST ${path}/${letter.event}/replay`);
    expect(again).toMatchObject({ status: 200, body: { state: "waiting", attempts: 0 } });
    expect(again.body.id).not.toBe(letter.id);
    await stage.settle();
    expect((await doors.ask(`POST ${path}/${letter.event}/drop`)).body.state).toBe("dropped");
    await stage.settle();
    expect(await dead()).toHaveLength(1);
    receiver.behave(200);
    expect((await doors.ask(`POST /v1/webhooks/${id}/replay`)).body).toEqual({ replayed: 1 });
    await stage.settle();
    const done = await doors.ask(`GET ${path}?state=delivered`);
    expect(done.body.deliveries).toHaveLength(2);
    expect((await doors.ask(`GET ${path}?state=none`)).status).toBe(422);
  });
});
