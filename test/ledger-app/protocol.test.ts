/**
 * What a client may not do. An honest registration, address or signature is asked for, one reply is
 * bent, and the app must answer with a status word and nothing else.
 */
import { hex } from "@scure/base";
import { beforeAll, describe, expect, it } from "vitest";
import { type LedgerApp, openApp } from "../support/ledger-app/app.ts";
import { reader } from "../support/ledger-app/review.ts";
import {
  address,
  apdu,
  type Bend,
  pathBytes,
  type Reply,
  register,
  run,
  sign,
  signMessage,
  statusOf,
} from "../support/ledger-host.ts";
import { EXIT, HARDENED, MULTI, WORDS } from "../support/ledger-policies.ts";
import { type LedgerSpend, ledgerSpend } from "../support/ledger-spend.ts";

const YES = reader(() => "approve");
const ZEROS = new Uint8Array(32);
const GET_PREIMAGE = 0x40;
const GET_PROOF = 0x41;
const GET_INDEX = 0x42;
const GET_MORE = 0xa0;

let app: LedgerApp;
let spend: LedgerSpend;
let hmac: Uint8Array;
const exchange = (bytes: Uint8Array): Promise<Uint8Array> => app.exchange(bytes);

beforeAll(async () => {
  app = openApp({ mnemonic: WORDS.user, person: YES });
  hmac = (await register(exchange, MULTI)).data.subarray(32);
  spend = await ledgerSpend(exchange, { policy: MULTI, hmac });
});

/** Bends the reply to the first question of a kind that `wanted` lets through. */
function first(
  command: number,
  change: (reply: Uint8Array) => Uint8Array,
  wanted: (reply: Uint8Array) => boolean = () => true,
): Bend {
  let isDone = false;
  return (reply, question) => {
    if (isDone || question[0] !== command || !wanted(reply)) return reply;
    isDone = true;
    return change(reply);
  };
}

const at = (index: number, by: (byte: number) => number) => (bytes: Uint8Array) =>
  bytes.with(index < 0 ? bytes.length + index : index, by(bytes.at(index) ?? 0));
const flip = (index: number) => at(index, (byte) => byte ^ 1);
const cut = (bytes: Uint8Array): Uint8Array => bytes.subarray(0, -1);
const nothing = (): Uint8Array => new Uint8Array();
const without = (length: number) => (bytes: Uint8Array) => bytes.subarray(0, -length);
/** Byte 32 of a proof is its length, byte 33 how much of it is here. */
const hasSiblings = (reply: Uint8Array): boolean => (reply[32] ?? 0) > 0;
const isFound = (reply: Uint8Array): boolean => reply[0] === 1;

const bends: Readonly<Record<string, () => Bend>> = {
  "another byte in a preimage": () => first(GET_PREIMAGE, flip(-1)),
  "a preimage that is cut": () => first(GET_PREIMAGE, cut),
  "a preimage of no length": () => first(GET_PREIMAGE, () => Uint8Array.of(0, 0)),
  "a preimage longer than it says": () =>
    first(
      GET_PREIMAGE,
      at(0, (byte) => byte - 1),
    ),
  "a preimage beyond the limit": () =>
    first(GET_PREIMAGE, () => Uint8Array.of(0xfd, 0xff, 0xff, 0)),
  "no preimage": () => first(GET_PREIMAGE, nothing),
  "another leaf": () => first(GET_PROOF, flip(0)),
  "another sibling": () => first(GET_PROOF, flip(-1), hasSiblings),
  "a proof that is cut": () => first(GET_PROOF, cut, hasSiblings),
  "a proof too short for the tree": () =>
    first(
      GET_PROOF,
      (reply) => at(33, (n) => n - 1)(at(32, (n) => n - 1)(without(32)(reply))),
      hasSiblings,
    ),
  "a proof too long for the tree": () =>
    first(GET_PROOF, (reply) =>
      Uint8Array.from([...at(33, (n) => n + 1)(at(32, (n) => n + 1)(reply)), ...ZEROS]),
    ),
  "a proof with more here than there is": () =>
    first(
      GET_PROOF,
      at(32, (n) => n - 1),
      hasSiblings,
    ),
  "no proof": () => first(GET_PROOF, nothing),
};

describe.each(Object.entries(bends))("a reply with %s", (_, bend) => {
  const honest = (reply: Reply): void => expect(reply.status).toBe(0x9000);

  it("ends a registration", async () => {
    honest(await register(exchange, MULTI));
    const reply = await register(exchange, MULTI, bend());
    expect(reply.status).toBeOneOf([0x6a80, 0x6a82]);
    expect(reply.data.length).toBeLessThanOrEqual(2);
  });

  it("ends the request for an address", async () => {
    honest(await address(exchange, { policy: MULTI, hmac }));
    const reply = await address(exchange, { policy: MULTI, hmac }, bend());
    expect(reply.status).toBeOneOf([0x6a80, 0xb007]);
    expect(reply.data).toHaveLength(0);
  });

  it("ends a signature", async () => {
    const request = { policy: MULTI, hmac, psbt: spend.psbt() };
    honest(await sign(exchange, request));
    const reply = await sign(exchange, request, bend());
    expect(reply.status).toBe(0x6a80);
    expect(reply.yielded).toEqual([]);
  });
});

describe("a reply in a signature", () => {
  const cases: Readonly<Record<string, () => Bend>> = {
    "that points to another place": () =>
      first(
        GET_INDEX,
        at(1, (index) => index ^ 1),
        isFound,
      ),
    "that points behind the end": () =>
      first(
        GET_INDEX,
        at(1, () => 200),
        isFound,
      ),
    "that hides the transaction's version": () =>
      first(
        GET_INDEX,
        at(0, () => 0),
        isFound,
      ),
    "that is neither yes nor no": () =>
      first(
        GET_INDEX,
        at(0, () => 2),
        isFound,
      ),
  };
  it.each(Object.entries(cases))("%s ends it", async (_, bend) => {
    const reply = await sign(exchange, { policy: MULTI, hmac, psbt: spend.psbt() }, bend());
    expect(reply.status).toBe(0x6a80);
    expect(reply.yielded).toEqual([]);
  });

  it("in pieces of another size ends it", async () => {
    const long = {
      ...MULTI,
      template: `tr(@0/**,multi_a(1,${Array.from({ length: 16 }, (_, i) => `@1/<${10 ** 8 + 2 * i};${10 ** 8 + 2 * i + 1}>/*`).join(",")}))`,
      keys: MULTI.keys.slice(0, 2),
    };
    expect((await register(exchange, long)).status).toBe(0x9000);
    for (const change of [at(1, () => 2), at(0, () => 0), at(0, (n) => n + 1), flip(-1), cut]) {
      expect((await register(exchange, long, first(GET_MORE, change))).status).toBe(0x6a80);
    }
  });
});

describe("a map", () => {
  it("whose keys are not sorted ends a signature", async () => {
    const request = { policy: MULTI, hmac, psbt: spend.psbt() };
    const reply = await sign(exchange, { ...request, order: (keys) => keys.reverse() });
    expect(reply).toEqual({ status: 0x6a80, data: new Uint8Array(), yielded: [] });
  });

  it("with a key twice ends a signature", async () => {
    const request = { policy: MULTI, hmac, psbt: spend.psbt() };
    const [twice, ...rest] = [...spend.psbt().global.keys()].map((key) => hex.decode(key)).sort();
    const order = (keys: Uint8Array[]): Uint8Array[] =>
      keys.length === rest.length + 1 && twice !== undefined ? [twice, twice, ...rest] : keys;
    expect((await sign(exchange, { ...request, order })).status).toBe(0x6a80);
  });
});

describe("the proof of a registration", () => {
  it.each([
    ["wrong", () => hmac.map((byte) => byte ^ 1), 0xb008],
    ["of another byte at the end", () => flip(-1)(hmac), 0xb008],
    ["missing", () => ZEROS, 0x6a80],
  ])("that is %s refuses address and signature", async (_, proof, status) => {
    expect((await address(exchange, { policy: MULTI, hmac: proof() })).status).toBe(status);
    const reply = await sign(exchange, { policy: MULTI, hmac: proof(), psbt: spend.psbt() });
    expect(reply.status).toBe(status);
    expect(hex.encode(reply.data)).toBe(status === 0x6a80 ? "0000" : "");
  });

  it("is of no use for another policy: renamed, its keys in another order", async () => {
    const [internal = "", ...keys] = MULTI.keys;
    for (const policy of [
      { ...MULTI, name: "ballast" },
      { ...MULTI, keys: [internal, ...keys.reverse()] },
      EXIT,
    ]) {
      expect((await address(exchange, { policy, hmac })).status).toBe(0xb008);
    }
  });

  it("serves a new device with the same seed", async () => {
    const other = openApp({ mnemonic: WORDS.user, person: YES });
    const reply = await address((bytes) => other.exchange(bytes), { policy: MULTI, hmac });
    expect(reply.status).toBe(0x9000);
  });

  it("is of no use on a device with another seed", async () => {
    const other = openApp({ mnemonic: WORDS.trustee, person: YES });
    const reply = await address((bytes) => other.exchange(bytes), { policy: MULTI, hmac });
    expect(reply.status).toBe(0xb008);
  });
});

describe("a command", () => {
  const cases: Readonly<Record<string, [apdu: Uint8Array, status: number]>> = {
    "of an unknown class": [apdu([0xe2, 0x05, 0, 1]), 0x6e00],
    "of an unknown instruction": [apdu([0xe1, 0x06, 0, 1]), 0x6d00],
    "of the system, unknown": [apdu([0xb0, 0x02, 0, 0]), 0x6d00],
    "of a later protocol": [apdu([0xe1, 0x05, 0, 2]), 0x6a86],
    "that continues nothing": [apdu([0xf8, 0x01, 0, 0]), 0xb007],
    "without a header": [Uint8Array.of(0xe1, 0x05, 0), 0x6a87],
    "with less data than it says": [Uint8Array.of(0xe1, 0x05, 0, 1, 1), 0x6a87],
    "with more data than it says": [Uint8Array.of(0xe1, 0x05, 0, 1, 0, 9), 0x6a87],
    "for a key without a path": [apdu([0xe1, 0x00, 0, 1], Uint8Array.of(0)), 0x6a87],
    "for a key with half a path": [apdu([0xe1, 0x00, 0, 1], Uint8Array.of(0, 1, 0, 0, 0)), 0x6a87],
    "for a key with nine steps": [
      apdu([0xe1, 0x00, 0, 1], Uint8Array.of(1, ...pathBytes(Array(9).fill(HARDENED)))),
      0x6a80,
    ],
    "for a key on a screen of another kind": [
      apdu([0xe1, 0x00, 0, 1], Uint8Array.of(2, ...pathBytes([]))),
      0x6a80,
    ],
    "to register nothing": [apdu([0xe1, 0x02, 0, 1]), 0x6a87],
    "for an address without a policy": [apdu([0xe1, 0x03, 0, 1], Uint8Array.of(0)), 0x6a87],
    "to sign nothing": [apdu([0xe1, 0x04, 0, 1]), 0x6a87],
    "to sign no message": [apdu([0xe1, 0x10, 0, 1]), 0x6a87],
  };
  it.each(Object.entries(cases))("%s is refused", async (_, [bytes, status]) => {
    expect(statusOf(await exchange(bytes))).toBe(status);
  });

  it("of the protocol before is answered", async () => {
    expect(statusOf(await exchange(apdu([0xe1, 0x05, 0, 0])))).toBe(0x9000);
  });

  it("in the middle of another ends the other and is not done", async () => {
    const question = await exchange(apdu([0xe1, 0x03, 0, 1], addressData(hmac)));
    expect(statusOf(question)).toBe(0xe000);
    expect(statusOf(await exchange(apdu([0xe1, 0x05, 0, 1])))).toBe(0x6a80);
    expect(statusOf(await exchange(apdu([0xf8, 0x01, 0, 0])))).toBe(0xb007);
    expect(statusOf(await exchange(apdu([0xe1, 0x05, 0, 1])))).toBe(0x9000);
  });
});

describe("an address", () => {
  it.each([
    [{ change: 0 }, 0x9000],
    [{ change: 1 }, 0x9000],
    [{ change: 2 }, 0x6a80],
    [{ index: HARDENED - 1 }, 0x9000],
    [{ index: HARDENED }, 0x6a80],
  ])("at %o", async (place, status) => {
    expect((await address(exchange, { policy: MULTI, hmac, ...place })).status).toBe(status);
  });
});

describe("an extended key", () => {
  const h = (step: number): number => step + HARDENED;
  const silent: readonly (readonly [path: readonly number[], isGiven: boolean])[] = [
    [[h(44), h(1), h(0)], true],
    [[h(45), h(1), h(0)], true],
    [[h(49), h(1), h(0)], true],
    [[h(84), h(1), h(0)], true],
    [[h(86), h(1), h(0)], true],
    [[h(86), h(1), h(100)], true],
    [[h(86), h(1), h(101)], false],
    [[h(86), h(1), h(0), 0, 5], true],
    [[h(86), h(1), h(0), h(0)], false],
    [[h(86), h(1)], false],
    [[h(86), h(1), 0], false],
    [[h(86), h(0), h(0)], false],
    [[h(87), h(1), h(0)], false],
    [[h(48), h(1), h(0), h(1)], true],
    [[h(48), h(1), h(0), h(2)], true],
    [[h(48), h(1), h(0), h(3)], false],
    [[h(48), h(1), h(0)], false],
    [[h(48), h(1), h(500), h(2)], false],
    [[h(4541509), h(1112098098)], true],
    [[], false],
  ];
  it.each(silent)("of %j is given without a question: %s", async (path, isGiven) => {
    const data = Uint8Array.of(0, ...pathBytes(path));
    const reply = await run(exchange, { ins: 0, data });
    expect(reply.status).toBe(isGiven ? 0x9000 : 0x6a82);
  });

  it.each([
    [[h(87), h(1), h(0)], 0x9000],
    [[h(48), h(1), h(0), h(3)], 0x9000],
    [[h(87), h(0), h(0)], 0x6a82],
  ])("of %j is given after a question, or not at all", async (path, status) => {
    const data = Uint8Array.of(1, ...pathBytes(path));
    expect((await run(exchange, { ins: 0, data })).status).toBe(status);
  });
});

describe("a message", () => {
  const path = [44 + HARDENED, 1 + HARDENED, HARDENED, 0, 0];
  it.each([0, 1, 63, 64, 65, 640, 641])("of %i bytes is signed", async (length) => {
    const message = new Uint8Array(length).fill(0x78);
    const reply = await signMessage(exchange, { path, message });
    expect([reply.status, reply.data.length]).toEqual([0x9000, 65]);
    const shown =
      app.screens.findLast(([title = ""]) => /^Message( hash)?( \(|$)/.test(title))?.[0] ?? "";
    expect(shown.startsWith("Message hash")).toBe(length > 640);
  });

  it.each(Object.entries(bends))("with %s is not", async (_, bend) => {
    const message = new Uint8Array(130).fill(0x78);
    const reply = await signMessage(exchange, { path, message }, bend());
    expect(reply.status).toBeOneOf([0x6a80, 0xb007]);
    expect(reply.data).toHaveLength(0);
  });
});

function addressData(proof: Uint8Array): Uint8Array {
  return Uint8Array.of(0, ...ZEROS, ...proof, 0, 0, 0, 0, 0);
}
