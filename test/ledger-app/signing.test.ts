/**
 * What the device does with a transaction: what it shows, what it hides, what it refuses, what it
 * signs. Most of it is what a law must refuse before the device is asked.
 */
import { schnorr } from "@noble/curves/secp256k1.js";
import { hex } from "@scure/base";
import { beforeAll, describe, expect, it } from "vitest";
import { type LedgerApp, openApp } from "../support/ledger-app/app.ts";
import { type Review, reader } from "../support/ledger-app/review.ts";
import {
  type PolicyText,
  type PsbtMap,
  type PsbtMaps,
  type Reply,
  register,
  sign,
} from "../support/ledger-host.ts";
import { accountKey, EXIT, HARDENED, MULTI, rootOf, WORDS } from "../support/ledger-policies.ts";
import {
  ACCOUNT,
  derivation,
  type LedgerSpend,
  ledgerSpend,
  little32,
  payment,
  type SpendPart,
} from "../support/ledger-spend.ts";

let app: LedgerApp;
let reviews: Review[] = [];
const wallets = new Map<PolicyText, { hmac: Uint8Array; spend: LedgerSpend }>();
const exchange = (bytes: Uint8Array): Promise<Uint8Array> => app.exchange(bytes);

beforeAll(async () => {
  app = openApp({
    mnemonic: WORDS.user,
    person: reader((review) => {
      reviews.push(review);
      return "approve";
    }),
  });
  for (const policy of [MULTI, EXIT, TWO_OWN]) {
    const hmac = (await register(exchange, policy)).data.subarray(32);
    wallets.set(policy, { hmac, spend: await ledgerSpend(exchange, { policy, hmac }) });
  }
});

/** Two keys of the device's own in one policy. */
const TWO_OWN: PolicyText = {
  ...MULTI,
  name: "two own keys",
  keys: [...MULTI.keys.slice(0, 3), accountKey("user", { path: "48'/1'/1'/2'" })],
};

interface Outcome {
  readonly reply: Reply;
  readonly reviews: readonly Review[];
}

async function signed(
  make: (spend: LedgerSpend) => PsbtMaps | Promise<PsbtMaps>,
  policy: PolicyText = MULTI,
): Promise<Outcome> {
  const wallet = walletOf(policy);
  reviews = [];
  const psbt = await make(wallet.spend);
  const reply = await sign(exchange, { policy, hmac: wallet.hmac, psbt });
  return { reply, reviews };
}

function walletOf(policy: PolicyText): { hmac: Uint8Array; spend: LedgerSpend } {
  const wallet = wallets.get(policy);
  if (wallet === undefined) throw new Error("not registered");
  return wallet;
}

/** The answer of a refusal: error detail and status word in hex. */
function refusal({ reply }: Outcome): string {
  return hex.encode(reply.data) + reply.status.toString(16);
}

/** Pages of the last review under the titles that tell who gets what. */
function payments({ reviews: seen }: Outcome): string[] {
  return (seen.at(-1)?.pages ?? [])
    .filter(({ title }) => ["Amount", "To", "Fees"].includes(title))
    .map(({ text }) => text);
}

/** Bends every map of a kind. */
function bent(maps: readonly PsbtMap[], change: (map: Map<string, Uint8Array>) => void): PsbtMap[] {
  return maps.map((map) => {
    const copy = new Map(map);
    change(copy);
    return copy;
  });
}

const NOBODY = "tb1qw46h2at4w46h2at4w46h2at4w46h2at4qy2ul6";

describe("an honest spend", () => {
  it("is shown with what leaves, and signed with the own key", async () => {
    const outcome = await signed((spend) => spend.psbt());
    expect(outcome.reply.status).toBe(0x9000);
    expect(outcome.reviews.map(({ kind }) => kind)).toEqual(["transaction"]);
    expect(outcome.reviews[0]?.pages[1]).toEqual({ title: "From", text: "Ballast" });
    expect(payments(outcome)).toEqual(["0.0006 TEST", NOBODY, "0.00001 TEST"]);
    const [result = new Uint8Array()] = outcome.reply.yielded;
    expect(outcome.reply.yielded).toHaveLength(1);
    expect(hex.encode(result.subarray(0, 34))).toBe(`0040${hex.encode(publicKey([0, 0]))}`);
    expect(result).toHaveLength(1 + 1 + 32 + 32 + 64);
  });

  it("has a page that counts where several are paid", async () => {
    const outputs = [1n, 2n, 3n].map(payment);
    const {
      reviews: [review],
    } = await signed((spend) => spend.psbt({ outputs }));
    const counts = review?.pages.filter(({ title }) => title === "Transaction output");
    expect(counts?.map(({ text }) => text)).toEqual(["1 of 3", "2 of 3", "3 of 3"]);
  });

  it("shows all of forty payments", async () => {
    const outputs = Array.from({ length: 40 }, (_, i) => payment(BigInt(i + 1)));
    const {
      reviews: [review],
    } = await signed((spend) => spend.psbt({ outputs }));
    expect(review?.pages.filter(({ title }) => title === "To")).toHaveLength(40);
  });
});

describe("change", () => {
  const shown: Readonly<
    Record<string, [part: (spend: LedgerSpend) => Promise<SpendPart>, isShown: boolean]>
  > = {
    "on the change branch is hidden": [(spend) => spend.own({ change: 1, sats: 39_000n }), false],
    "on a far index is hidden": [
      (spend) => spend.own({ change: 1, index: HARDENED - 2, sats: 39_000n }),
      false,
    ],
    "on the receiving branch is shown": [(spend) => spend.own({ index: 50, sats: 39_000n }), true],
    "without a derivation is shown": [
      async (spend) => ({ ...(await spend.own({ change: 1, sats: 39_000n })), fields: [] }),
      true,
    ],
    "with another's derivation is shown": [
      async (spend) => ({
        ...(await spend.own({ change: 1, sats: 39_000n })),
        fields: [derivation("07", [1, 0], "trustee")],
      }),
      true,
    ],
    "with the derivation of another index is shown": [
      async (spend) => ({
        ...(await spend.own({ change: 1, sats: 39_000n })),
        fields: [derivation("07", [1, 1])],
      }),
      true,
    ],
    "to another script is shown": [
      async (spend) => ({
        ...(await spend.own({ change: 1 })),
        ...payment(39_000n),
        fields: [derivation("07", [1, 0])],
      }),
      true,
    ],
    "with a derivation below a branch of none is shown": [
      async (spend) => ({
        ...(await spend.own({ change: 1, sats: 39_000n })),
        fields: [derivation("07", [7, 0])],
      }),
      true,
    ],
    "with a longer path is shown": [
      async (spend) => ({
        ...(await spend.own({ change: 1, sats: 39_000n })),
        fields: [derivation("07", [1, 0, 0])],
      }),
      true,
    ],
  };
  it.each(Object.entries(shown))("%s", async (_, [part, isShown]) => {
    const outcome = await signed(async (spend) =>
      spend.psbt({ outputs: [payment(60_000n), await part(spend)] }),
    );
    expect(outcome.reply.status).toBe(0x9000);
    expect(payments(outcome)).toHaveLength(isShown ? 5 : 3);
  });

  it("alone is a transfer to oneself of nothing", async () => {
    const outcome = await signed(async (spend) =>
      spend.psbt({ outputs: [await spend.own({ change: 1, sats: 99_000n })] }),
    );
    expect(payments(outcome)).toEqual(["0 TEST (self-transfer)", "0.00001 TEST"]);
  });

  it.each([
    [10, "9000"],
    [11, "00096a82"],
  ])("in %i outputs", async (count, answer) => {
    const outcome = await signed(async (spend) => {
      const change = await spend.own({ change: 1, sats: 1_000n });
      return spend.psbt({ outputs: [payment(60_000n), ...Array<SpendPart>(count).fill(change)] });
    });
    expect(refusal(outcome)).toBe(answer);
  });
});

describe("the fee", () => {
  it.each([
    [10_000n, 90_000n, false],
    [20_000n, 80_000n, false],
  ])("of %i in a small transaction has no warning", async (_, sats, isHigh) => {
    const outcome = await signed((spend) => spend.psbt({ outputs: [payment(sats)] }));
    expect(hasHighFee(outcome)).toBe(isHigh);
  });

  it.each([
    [10_000n, 90_001n, false],
    [10_001n, 90_009n, true],
  ])("of %i beside a payment of %i", async (fee, paid, isHigh) => {
    const outcome = await signed(async (spend) =>
      spend.psbt({
        inputs: [await spend.own({ sats: fee + paid })],
        outputs: [payment(paid)],
      }),
    );
    expect(outcome.reply.status).toBe(0x9000);
    expect(hasHighFee(outcome)).toBe(isHigh);
  });

  it("below nothing is refused", async () => {
    const brink = await signed((spend) => spend.psbt({ outputs: [payment(100_000n)] }));
    expect(refusal(brink)).toBe("9000");
    const beyond = await signed((spend) => spend.psbt({ outputs: [payment(100_001n)] }));
    expect(refusal(beyond)).toBe("6a80");
  });

  function hasHighFee({ reviews: seen }: Outcome): boolean {
    return seen.some(({ pages }) => pages.some(({ title }) => title === "High fees warning"));
  }
});

describe("an output script", () => {
  const scripts: Readonly<Record<string, [script: string, shown: string | null]>> = {
    "of a key hash": [`76a914${"00".repeat(20)}88ac`, "mfWxJ45yp2SFn7UciZyNpvDKrzbhyfKrY8"],
    "of a script hash": [`a914${"00".repeat(20)}87`, "2MsFDzHRUAMpjHxKyoEHU3aMCMsVtMqs1PV"],
    "of a witness script": [
      `0020${"00".repeat(32)}`,
      "tb1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqulkl3g",
    ],
    "of a later witness version": ["5202abcd", "tb1z40xs5j9pz9"],
    "with two bytes in hex": ["6a020102", "OP_RETURN 0x0102"],
    "with small numbers": ["6a00514f60", "OP_RETURN 0 1 -1 16"],
    "with 76 bytes": [`6a4c4c${"aa".repeat(76)}`, `OP_RETURN 0x${"aa".repeat(76)}`],
    "with five pushes": ["6a5152535455", "OP_RETURN 1 2 3 4 5"],
    "with six pushes": ["6a515253545556", null],
    "with 75 bytes pushed the long way": [`6a4c4b${"aa".repeat(75)}`, null],
    "with a small number pushed the long way": ["6a0105", null],
    "with a push that is cut": ["6a0501", null],
    "with another operation": ["6aac", null],
    "of 84 bytes": [`6a4c51${"aa".repeat(81)}`, null],
    "of a bare key": [`21${"02".repeat(33)}ac`, null],
    "of no kind": ["51", null],
  };
  it.each(Object.entries(scripts))("%s", async (_, [script, shown]) => {
    const output = { sats: 60_000n, script: hex.decode(script), fields: [] };
    const outcome = await signed((spend) => spend.psbt({ outputs: [output] }));
    expect(outcome.reply.status).toBeOneOf(shown === null ? [0x6a82, 0x6a80] : [0x9000]);
    if (shown !== null) expect(payments(outcome)[1]).toBe(shown);
  });
});

describe("a sighash type", () => {
  const types: readonly (readonly [type: number, kinds: string[] | null, bytes: number])[] = [
    [0, ["transaction"], 64],
    [1, ["transaction"], 65],
    [2, ["warning", "transaction"], 65],
    [3, ["warning", "transaction"], 65],
    [0x81, ["warning", "transaction"], 65],
    [0x82, ["warning", "transaction"], 65],
    [0x83, ["warning", "transaction"], 65],
    [4, null, 0],
    [0x80, null, 0],
    [0x84, null, 0],
  ];
  it.each(types)("of %i", async (type, kinds, bytes) => {
    const outcome = await signed((spend) => withSighash(spend.psbt(), type));
    expect(refusal(outcome)).toBe(kinds === null ? "6a82" : "9000");
    expect(outcome.reviews.map(({ kind }) => kind)).toEqual(kinds ?? []);
    const signatures = outcome.reply.yielded.map((result) => result.length - 66);
    expect(signatures).toEqual(kinds === null ? [] : [bytes]);
  });

  it.each([3, 0x83])("of %i without an output at its place is refused", async (type) => {
    const outcome = await signed(async (spend) => {
      const inputs = [await spend.own(), await spend.own({ index: 1 })];
      return withSighash(spend.psbt({ inputs, outputs: [payment(60_000n)] }), type);
    });
    expect(refusal(outcome)).toBe("00086a82");
  });

  function withSighash(psbt: PsbtMaps, type: number): PsbtMaps {
    return { ...psbt, inputs: bent(psbt.inputs, (map) => map.set("03", little32(type))) };
  }
});

describe("an input", () => {
  const inputs: Readonly<
    Record<string, [change: (map: Map<string, Uint8Array>) => void, answer: string]>
  > = {
    "with its sequence left out is signed": [(map) => map.delete("10"), "9000"],
    "without any coin is refused": [(map) => map.delete("01"), "00036a80"],
    "without a derivation is refused": [
      (map) => deleteKeys(map, (key) => key.startsWith("16")),
      "6a80",
    ],
    "with another's derivation alone is refused": [
      (map) => {
        deleteKeys(map, (key) => key.startsWith("16"));
        map.set(...derivation("16", [0, 0], "trustee"));
      },
      "6a80",
    ],
    "with the derivation of another index is refused": [
      (map) => {
        deleteKeys(map, (key) => key.startsWith("16"));
        map.set(...derivation("16", [0, 1]));
      },
      "6a80",
    ],
    "with a hardened index is refused": [
      (map) => map.set(...derivation("16", [0, HARDENED])),
      "6a80",
    ],
    "with a derivation cut short is refused": [(map) => map.set(...cutDerivation()), "6a80"],
    "with a key of 31 bytes is refused": [
      (map) => map.set(`16${"ab".repeat(31)}`, new Uint8Array(5)),
      "6a80",
    ],
    "with an unreadable transaction before it is refused": [
      (map) => map.set("00", Uint8Array.of(1, 2, 3)),
      "00046a80",
    ],
    "with a coin cut short is refused": [(map) => map.set("01", new Uint8Array(8)), "6a80"],
    "with more than all coins is refused": [
      (map) => {
        const coin = Uint8Array.from(map.get("01") ?? []);
        map.set("01", coin.fill(0xff, 0, 7));
      },
      "6a80",
    ],
    "without its transaction id is refused": [(map) => map.delete("0e"), "6a80"],
  };
  it.each(Object.entries(inputs))("%s", async (_, [change, answer]) => {
    const outcome = await signed((spend) => {
      const psbt = spend.psbt();
      return { ...psbt, inputs: bent(psbt.inputs, change) };
    });
    expect(refusal(outcome)).toBe(answer);
    if (answer !== "9000") expect(outcome.reply.yielded).toEqual([]);
  });

  it("that is not the policy's is signed around, after a warning", async () => {
    const outcome = await signed(async (spend) =>
      spend.psbt({ inputs: [payment(50_000n), await spend.own()] }),
    );
    expect(outcome.reply.status).toBe(0x9000);
    expect(outcome.reviews.map(({ kind }) => kind)).toEqual(["warning", "transaction"]);
    expect(outcome.reply.yielded.map(([input]) => input)).toEqual([1]);
  });

  it("of another policy is foreign, though the key is the same", async () => {
    const exit = await walletOf(EXIT).spend.own();
    const outcome = await signed(async (spend) =>
      spend.psbt({ inputs: [exit, await spend.own()] }),
    );
    expect(outcome.reviews.map(({ kind }) => kind)).toEqual(["warning", "transaction"]);
    expect(outcome.reply.yielded.map(([input]) => input)).toEqual([1]);
  });

  it.each([
    ["inputs", 512, true],
    ["inputs", 513, false],
    ["outputs", 512, true],
    ["outputs", 513, false],
  ])("of too many, or an output, makes the app ask nothing: %s, %i", async (of, count, isAsked) => {
    const { hmac, spend } = walletOf(MULTI);
    let asked = 0;
    const psbt = spend.psbt({ [of]: Array<SpendPart>(count).fill(payment(1n)) });
    const reply = await sign(exchange, { policy: MULTI, hmac, psbt }, () => {
      asked++;
      return new Uint8Array();
    });
    expect(asked > 0).toBe(isAsked);
    expect(reply.status).toBe(isAsked ? 0x6a80 : 0x6a82);
  });
});

describe("signatures", () => {
  it("are made for the leaf whose derivation is there, and no other", async () => {
    const multi = await signed((spend) => spend.psbt(), EXIT);
    const exit = await signed(async (spend) => {
      const own = { ...(await spend.own()), fields: [derivation("16", [2, 0])] };
      return spend.psbt({ inputs: [own] });
    }, EXIT);
    const [first, second] = [leaves(multi), leaves(exit)];
    expect([first.length, second.length]).toEqual([1, 1]);
    expect(first).not.toEqual(second);
  });

  it("are made for both leaves where both derivations are there", async () => {
    const outcome = await signed(async (spend) => {
      const own = {
        ...(await spend.own()),
        fields: [derivation("16", [0, 0]), derivation("16", [2, 0])],
      };
      return spend.psbt({ inputs: [own] });
    }, EXIT);
    expect(new Set(leaves(outcome)).size).toBe(2);
  });

  it("are made for a leaf in every input once one input has its derivation", async () => {
    const outcome = await signed(async (spend) => {
      const both = [derivation("16", [0, 0]), derivation("16", [2, 0])];
      const inputs = [{ ...(await spend.own()), fields: both }, await spend.own({ index: 1 })];
      return spend.psbt({ inputs });
    }, EXIT);
    expect(outcome.reply.yielded.map(([input]) => input)).toEqual([0, 1, 0, 1]);
  });

  it("are two after one approval where both keys are the device's", async () => {
    const second = accountDerivation(1, [0, 0]);
    const outcome = await signed(async (spend) => {
      const own = await spend.own();
      return spend.psbt({ inputs: [{ ...own, fields: [...own.fields, second] }] });
    }, TWO_OWN);
    expect(outcome.reviews).toHaveLength(1);
    expect(outcome.reply.yielded).toHaveLength(2);
  });

  it("differ each time, as the device draws random numbers", async () => {
    const outcomes = [await signed((spend) => spend.psbt()), await signed((spend) => spend.psbt())];
    const bytes = outcomes.map(({ reply }) => hex.encode(reply.yielded[0] ?? new Uint8Array()));
    expect(bytes[0]).not.toBe(bytes[1]);
    expect(bytes[0]?.slice(0, 132)).toBe(bytes[1]?.slice(0, 132));
  });

  function leaves({ reply }: Outcome): string[] {
    return reply.yielded.map((result) => hex.encode(result.subarray(34, 66)));
  }
});

describe("own key expressions", () => {
  it.each([
    [8, "9000"],
    [9, "000c6a82"],
  ])("of which a policy has %i", async (count, answer) => {
    const keys = Array.from({ length: count }, (_, i) => `@1/<${2 * i};${2 * i + 1}>/*`);
    const template = `tr(@0/**,multi_a(1,${keys.join(",")}))`;
    const policy = { name: "many", template, keys: MULTI.keys.slice(0, 2) };
    const hmac = (await register(exchange, policy)).data.subarray(32);
    const spend = await ledgerSpend(exchange, { policy, hmac });
    const reply = await sign(exchange, { policy, hmac, psbt: spend.psbt() });
    expect(refusal({ reply, reviews: [] })).toBe(answer);
  });
});

function deleteKeys(map: Map<string, Uint8Array>, is: (key: string) => boolean): void {
  for (const key of [...map.keys()].filter(is)) map.delete(key);
}

function cutDerivation(): readonly [string, Uint8Array] {
  const [key, value] = derivation("16", [0, 0]);
  return [key, value.subarray(0, -1)];
}

/** As `derivation`, of another account. */
function accountDerivation(
  account: number,
  steps: readonly number[],
): readonly [string, Uint8Array] {
  const [key, value] = derivation("16", steps);
  const path = Uint8Array.from(value);
  path.set(little32(account + HARDENED), 1 + 32 + 4 + 8);
  return [key.replace(/.$/, (digit) => (digit === "0" ? "1" : "0")), path];
}

function publicKey(steps: readonly number[]): Uint8Array {
  const key = [...ACCOUNT, ...steps].reduce((node, step) => node.deriveChild(step), rootOf("user"));
  return schnorr.getPublicKey(key.privateKey ?? new Uint8Array());
}
