/** The emulator as a process, driven as Speculos is: APDUs, screens and buttons over HTTP. */
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { apdu, pathBytes, register, sign, signMessage, statusOf } from "../support/ledger-host.ts";
import { type PersonAtDevice, personAt, type ShownReview } from "../support/ledger-person.ts";
import { HARDENED, MULTI, WORDS } from "../support/ledger-policies.ts";
import { type LedgerProcess, startLedger } from "../support/ledger-process.ts";
import { ledgerSpend, payment } from "../support/ledger-spend.ts";

/** An extended key, with a question first. */
const SHOWN_KEY = apdu(
  [0xe1, 0x00, 0, 1],
  Uint8Array.of(1, ...pathBytes([86 + HARDENED, 1 + HARDENED, HARDENED])),
);
const FINGERPRINT = apdu([0xe1, 0x05, 0, 1]);
const eventsSchema = z.object({
  events: z.array(
    z.strictObject({
      text: z.string(),
      x: z.number(),
      y: z.number(),
      w: z.number(),
      h: z.number(),
      clear: z.boolean(),
    }),
  ),
});

describe("a device with buttons", () => {
  let device: LedgerProcess;
  let person: PersonAtDevice | null = null;
  let decide: (review: ShownReview) => "approve" | "reject" = () => "approve";

  beforeAll(async () => {
    device = await startLedger({ seed: WORDS.user, person: "buttons" });
  });
  afterEach(async () => {
    await person?.leave();
    person = null;
  });
  afterAll(() => device.stop());

  const atTheDevice = (what: typeof decide): PersonAtDevice => {
    decide = what;
    person = personAt(device.url, (review) => decide(review));
    return person;
  };
  const text = (review: ShownReview | undefined, title: string): string | undefined =>
    review?.pages.find((page) => page.title === title)?.text;

  it("answers an APDU", async () => {
    expect(Buffer.from(await device.exchange(FINGERPRINT)).toString("hex")).toBe("73c5da0a9000");
  });

  it("is read to the end by a person, who approves a registration and a spend", async () => {
    const { reviews } = atTheDevice(() => "approve");
    const { data, status } = await register(device.exchange, MULTI);
    expect(status).toBe(0x9000);
    expect(text(reviews[0], "Account name")).toBe(MULTI.name);
    expect(text(reviews[0], "Wallet policy")).toBe(MULTI.template);
    expect(text(reviews[0], "Our key@1")).toBe(MULTI.keys[1]);

    const hmac = data.subarray(32);
    const spend = await ledgerSpend(device.exchange, { policy: MULTI, hmac });
    const inputs = [await spend.own(), payment(1_000n)];
    const reply = await sign(device.exchange, {
      policy: MULTI,
      hmac,
      psbt: spend.psbt({ inputs }),
    });
    expect(reply.status).toBe(0x9000);
    expect(reply.yielded).toHaveLength(1);
    expect(reviews.map(({ approve }) => approve)).toEqual([
      "Register account",
      "Continue anyway",
      "Sign transaction",
    ]);
    expect(text(reviews[2], "To")).toBe("tb1qw46h2at4w46h2at4w46h2at4w46h2at4qy2ul6");
  });

  it("is told to reject by a person who finds another name than was agreed", async () => {
    const { reviews } = atTheDevice((review) =>
      text(review, "Account name") === MULTI.name ? "approve" : "reject",
    );
    expect((await register(device.exchange, { ...MULTI, name: "Bal1ast" })).status).toBe(0x6985);
    expect((await register(device.exchange, MULTI)).status).toBe(0x9000);
    expect(reviews).toHaveLength(2);
  });

  it("shows a message whole", async () => {
    const message = `${"I agree to pay. ".repeat(30)}The end.`;
    const { reviews } = atTheDevice(() => "approve");
    const path = [44 + HARDENED, 1 + HARDENED, HARDENED];
    const { status } = await signMessage(device.exchange, { path, message: Buffer.from(message) });
    expect(status).toBe(0x9000);
    expect(text(reviews[0], "Message")).toBe(message);
  });

  it("waits as long as nobody presses anything, and forgets when the client hangs up", async () => {
    const hangUp = new AbortController();
    const asking = fetch(`${device.url}/apdu`, {
      method: "POST",
      body: JSON.stringify({ data: Buffer.from(SHOWN_KEY).toString("hex") }),
      signal: hangUp.signal,
    }).then(
      () => "answered",
      () => "hung up",
    );
    expect(await Promise.race([asking, pause(100, "nothing")])).toBe("nothing");
    hangUp.abort();
    expect(await asking).toBe("hung up");
    // The device notices a moment later.
    for (let i = 0; i < 100; i++) {
      const answer = await device.exchange(FINGERPRINT).catch(() => null);
      if (answer !== null) {
        expect(statusOf(answer)).toBe(0x9000);
        return;
      }
      await pause(20);
    }
    throw new Error("the device stays busy");
  });

  it("tells its screens as Speculos does, and forgets them when told to", async () => {
    const events = async (query = "") =>
      eventsSchema.parse(await (await fetch(`${device.url}/events${query}`)).json()).events;
    expect((await events()).map((event) => event.text)).toContain("Wallet policy");
    const current = await events("?currentscreenonly=true");
    expect(current.length).toBeGreaterThan(0);
    await fetch(`${device.url}/events`, { method: "DELETE" });
    expect(await events()).toEqual([]);
    expect(await events("?currentscreenonly=true")).toEqual(current);
  });
});

describe("a device with a person who does as told before", () => {
  let device: LedgerProcess;
  beforeAll(async () => {
    device = await startLedger({ seed: WORDS.user, person: "auto" });
  });
  afterAll(() => device.stop());

  it("approves, rejects, and pulls the cable", async () => {
    expect((await register(device.exchange, MULTI)).status).toBe(0x9000);
    await device.post("/person", { answer: "reject" });
    expect((await register(device.exchange, MULTI)).status).toBe(0x6985);
    await device.post("/person", { answer: "unplug" });
    await expect(register(device.exchange, MULTI)).rejects.toThrow();
    await expect(device.exchange(FINGERPRINT)).rejects.toThrow();
    await device.post("/cable", { plugged: true });
    await device.post("/person", { answer: "approve" });
    expect((await register(device.exchange, MULTI)).status).toBe(0x9000);
  });

  it("has faults", async () => {
    await device.post("/faults", { locked: true, signature: "honest" });
    expect(statusOf(await device.exchange(FINGERPRINT))).toBe(0x5515);
    await device.post("/faults", { locked: false, signature: "honest" });
    expect(statusOf(await device.exchange(FINGERPRINT))).toBe(0x9000);
  });

  it.each([
    ["/apdu", { data: "no hex" }, 400],
    ["/apdu", {}, 400],
    ["/button/both", { action: "hold" }, 400],
    ["/person", { answer: "perhaps" }, 400],
    ["/faults", { locked: "yes" }, 400],
    ["/nowhere", {}, 404],
  ])("refuses %s with %o", async (path, body, status) => {
    const answer = await fetch(`${device.url}${path}`, {
      method: "POST",
      body: JSON.stringify(body),
    });
    expect(answer.status).toBe(status);
  });
});
