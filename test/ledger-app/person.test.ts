/** The person at the device, the cable, the lock, and the ways in which a device can lie. */
import { setTimeout as pause } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { type LedgerApp, openApp, UnpluggedError } from "../support/ledger-app/app.ts";
import { SIGNATURE_FAULTS } from "../support/ledger-app/faults.ts";
import { type Answer, type ReviewKind, reader } from "../support/ledger-app/review.ts";
import {
  address,
  apdu,
  type PsbtMaps,
  pathBytes,
  register,
  run,
  sign,
  signMessage,
  statusOf,
} from "../support/ledger-host.ts";
import { HARDENED, MULTI, WORDS } from "../support/ledger-policies.ts";
import { ledgerSpend, little32, payment } from "../support/ledger-spend.ts";

interface Room {
  readonly app: LedgerApp;
  readonly exchange: (bytes: Uint8Array) => Promise<Uint8Array>;
  readonly hmac: Uint8Array;
  readonly psbt: PsbtMaps;
  /** What the person does from now on when asked this. */
  answer(kind: ReviewKind, what: Answer): void;
}

async function openRoom(): Promise<Room> {
  const answers = new Map<ReviewKind, Answer>();
  const app = openApp({
    mnemonic: WORDS.user,
    person: reader(({ kind }) => answers.get(kind) ?? "approve"),
  });
  const exchange = (bytes: Uint8Array): Promise<Uint8Array> => app.exchange(bytes);
  const hmac = (await register(exchange, MULTI)).data.subarray(32);
  const spend = await ledgerSpend(exchange, { policy: MULTI, hmac });
  // A foreign input: the device warns before it asks.
  const psbt = spend.psbt({ inputs: [await spend.own(), payment(1_000n)] });
  return { app, exchange, hmac, psbt, answer: (kind, what) => answers.set(kind, what) };
}

/** Everything that a person is asked, and the last screen when they refuse it. */
const asked: readonly (readonly [
  kind: ReviewKind,
  ask: (room: Room) => Promise<{ status: number }>,
  screen: string,
])[] = [
  ["register", ({ exchange }) => register(exchange, MULTI), "Account rejected"],
  [
    "address",
    ({ exchange, hmac }) => address(exchange, { policy: MULTI, hmac, display: 1 }),
    "Address verification cancelled",
  ],
  [
    "xpub",
    ({ exchange }) =>
      run(exchange, {
        ins: 0,
        data: Uint8Array.of(1, ...pathBytes([86 + HARDENED, 1 + HARDENED, HARDENED])),
      }),
    "Public key rejected",
  ],
  [
    "message",
    ({ exchange }) =>
      signMessage(exchange, {
        path: [44 + HARDENED, 1 + HARDENED, HARDENED],
        message: Uint8Array.of(0x78),
      }),
    "Message rejected",
  ],
  [
    "transaction",
    ({ exchange, hmac, psbt }) => sign(exchange, { policy: MULTI, hmac, psbt }),
    "Transaction rejected",
  ],
  [
    "warning",
    ({ exchange, hmac, psbt }) => sign(exchange, { policy: MULTI, hmac, psbt }),
    "Transaction rejected",
  ],
];

describe.each(asked)("a person who is asked: %s", (kind, ask, screen) => {
  it("approves", async () => {
    expect((await ask(await openRoom())).status).toBe(0x9000);
  });

  it("rejects; the device says so, and does the next thing", async () => {
    const room = await openRoom();
    room.answer(kind, "reject");
    expect((await ask(room)).status).toBe(0x6985);
    expect(room.app.screens.at(-1)?.join(" ")).toBe(screen);
    room.answer(kind, "approve");
    expect((await ask(room)).status).toBe(0x9000);
  });

  it("never answers: the exchange stays open until the cable is pulled", async () => {
    const room = await openRoom();
    room.answer(kind, "never");
    const asking = ask(room);
    const first = await Promise.race([asking, pause(50, "nothing")]);
    expect(first).toBe("nothing");
    await expect(room.exchange(apdu([0xe1, 0x05, 0, 1]))).rejects.toThrow("one command at a time");
    room.app.unplug();
    await expect(asking).rejects.toThrow(UnpluggedError);
    room.app.plug();
    room.answer(kind, "approve");
    expect((await ask(room)).status).toBe(0x9000);
  });

  it("pulls the cable: no answer comes, and none until it is in again", async () => {
    const room = await openRoom();
    room.answer(kind, "unplug");
    await expect(ask(room)).rejects.toThrow(UnpluggedError);
    await expect(ask(room)).rejects.toThrow(UnpluggedError);
    room.app.plug();
    room.answer(kind, "approve");
    expect((await ask(room)).status).toBe(0x9000);
  });
});

describe("a cable that is pulled in the middle of a command", () => {
  it("makes the device forget the command", async () => {
    const { app, exchange, hmac } = await openRoom();
    const data = Uint8Array.of(0, ...new Uint8Array(32), ...hmac, 0, 0, 0, 0, 0);
    expect(statusOf(await exchange(apdu([0xe1, 0x03, 0, 1], data)))).toBe(0xe000);
    app.unplug();
    app.plug();
    expect(statusOf(await exchange(apdu([0xf8, 0x01, 0, 0])))).toBe(0xb007);
  });
});

describe("a locked device", () => {
  it("answers everything with 5515 until it is open again", async () => {
    const { app, exchange } = await openRoom();
    app.faults.locked = true;
    for (const header of [
      [0xb0, 0x01, 0, 0],
      [0xe1, 0x05, 0, 1],
      [0xf8, 0x01, 0, 0],
    ]) {
      expect(statusOf(await exchange(apdu(header)))).toBe(0x5515);
    }
    app.faults.locked = false;
    expect(statusOf(await exchange(apdu([0xe1, 0x05, 0, 1])))).toBe(0x9000);
  });
});

describe("a device that lies", () => {
  const results: Readonly<
    Record<(typeof SIGNATURE_FAULTS)[number], { count: number; bytes: number }>
  > = {
    honest: { count: 1, bytes: 64 },
    "other-leaf": { count: 1, bytes: 64 },
    "other-message": { count: 1, bytes: 64 },
    "wrong-key": { count: 1, bytes: 64 },
    short: { count: 1, bytes: 63 },
    none: { count: 0, bytes: 0 },
    twice: { count: 2, bytes: 64 },
  };
  it.each(Object.entries(results))("%s: says success all the same", async (fault, expected) => {
    const { app, exchange, hmac, psbt } = await openRoom();
    app.faults.signature = SIGNATURE_FAULTS.find((name) => name === fault) ?? "honest";
    const { status, yielded } = await sign(exchange, { policy: MULTI, hmac, psbt });
    expect(status).toBe(0x9000);
    expect(yielded.map((result) => result.length - 66)).toEqual(
      Array(expected.count).fill(expected.bytes),
    );
  });
});

describe("a device that signs another leaf", () => {
  it("names it", async () => {
    const { app, exchange, hmac, psbt } = await openRoom();
    const leaf = async (): Promise<string> => {
      const { yielded } = await sign(exchange, { policy: MULTI, hmac, psbt });
      return Buffer.from(yielded[0]?.subarray(34, 66) ?? []).toString("hex");
    };
    const honest = await leaf();
    app.faults.signature = "other-message";
    expect(await leaf()).toBe(honest);
    app.faults.signature = "other-leaf";
    expect(await leaf()).not.toBe(honest);
  });
});

describe("names and versions", () => {
  it.each([
    [{}, "010c426974636f696e205465737405322e342e3601009000"],
    [{ version: "2.3.0" }, "010c426974636f696e205465737405322e332e3001009000"],
    [{ appName: "Bitcoin" as const }, "0107426974636f696e05322e342e3601009000"],
  ])("of an app opened with %o", async (options, answer) => {
    const app = openApp({ mnemonic: WORDS.user, person: reader(() => "approve"), ...options });
    const bytes = await app.exchange(apdu([0xb0, 0x01, 0, 0]));
    expect(Buffer.from(bytes).toString("hex")).toBe(answer);
  });

  it("decide the network of keys and addresses", async () => {
    const app = openApp({
      mnemonic: WORDS.user,
      appName: "Bitcoin",
      person: reader(() => "approve"),
    });
    const exchange = (bytes: Uint8Array): Promise<Uint8Array> => app.exchange(bytes);
    const path = [86 + HARDENED, HARDENED, HARDENED];
    const { data } = await run(exchange, { ins: 0, data: Uint8Array.of(0, ...pathBytes(path)) });
    const xpub = Buffer.from(data).toString();
    // BIP86's first account, of the same words.
    expect(xpub).toBe(
      "xpub6BgBgsespWvERF3LHQu6CnqdvfEvtMcQjYrcRzx53QJjSxarj2afYWcLteoGVky7D3UKDP9QyrLprQ3VCECoY49yfdDEHGCtMMj92pReUsQ",
    );
    const policy = { name: "", template: "tr(@0/**)", keys: [`[73c5da0a/86'/0'/0']${xpub}`] };
    const reply = await address(exchange, { policy, hmac: new Uint8Array(32) });
    expect(Buffer.from(reply.data).toString()).toBe(
      "bc1p5cyxnuxmeuwuvkwfem96lqzszd02n6xdcjrs20cac6yqjjwudpxqkedrcr",
    );
  });
});

describe("the policy of one key that needs no registration", () => {
  const account = "[73c5da0a/86'/1'/0']";
  const cases: Readonly<Record<string, [template: string, path: number, address: string]>> = {
    taproot: ["tr(@0/**)", 86, "tb1p8wpt9v4frpf3tkn0srd97pksgsxc5hs52lafxwru9kgeephvs7rqlqt9zj"],
    segwit: ["wpkh(@0/**)", 84, "tb1q6rz28mcfaxtmd6v789l9rrlrusdprr9pqcpvkl"],
    nested: ["sh(wpkh(@0/**))", 49, "2Mww8dCYPUpKHofjgcXcBCEGmniw9CoaiD2"],
    legacy: ["pkh(@0/**)", 44, "mkpZhYtJu2r87Js3pDiWJDmPte2NRZ8bJV"],
  };
  const policyOf = async (room: Room, template: string, purpose: number) => {
    const path = [purpose + HARDENED, 1 + HARDENED, HARDENED];
    const { data } = await run(room.exchange, {
      ins: 0,
      data: Uint8Array.of(0, ...pathBytes(path)),
    });
    const origin = account.replace("86", String(purpose));
    return { name: "", template, keys: [origin + Buffer.from(data).toString()] };
  };

  it.each(Object.entries(cases))("%s", async (_, [template, purpose, first]) => {
    const room = await openRoom();
    const policy = await policyOf(room, template, purpose);
    const reply = await address(room.exchange, { policy, hmac: new Uint8Array(32) });
    expect(Buffer.from(reply.data).toString()).toBe(first);
  });

  it.each([
    ["another purpose", (policy: { template: string }) => ({ ...policy, template: "wpkh(@0/**)" })],
    ["a name", (policy: object) => ({ ...policy, name: "mine" })],
    ["an index too far", (policy: object) => ({ ...policy, index: 50_001 })],
  ])("is refused with %s", async (_, bend) => {
    const room = await openRoom();
    const bent: object = bend(await policyOf(room, "tr(@0/**)", 86));
    const policy = { name: "", template: "", keys: [], index: 50_000, ...bent };
    const { index } = policy;
    const reply = await address(room.exchange, { policy, hmac: new Uint8Array(32), index });
    expect(reply.status).toBe(0x6a80);
  });

  it("signs by the key path", async () => {
    const room = await openRoom();
    const policy = await policyOf(room, "tr(@0/**)", 86);
    const hmac = new Uint8Array(32);
    const spend = await ledgerSpend(room.exchange, { policy, hmac });
    const own = await spend.own();
    const path = [86 + HARDENED, 1 + HARDENED, HARDENED, 0, 0].map(little32);
    const origin = Uint8Array.of(0, 0x73, 0xc5, 0xda, 0x0a, ...path.flatMap((step) => [...step]));
    const input = { ...own, fields: [[`16${"ab".repeat(32)}`, origin] as const] };
    const psbt = spend.psbt({ inputs: [input], outputs: [payment(90_000n)] });
    const { status, yielded } = await sign(room.exchange, { policy, hmac, psbt });
    expect(status).toBe(0x9000);
    const [result = new Uint8Array()] = yielded;
    expect(result.subarray(0, 2)).toEqual(Uint8Array.of(0, 32));
    // The output key itself signs.
    expect(result.subarray(2, 34)).toEqual(own.script.subarray(2));
  });
});
