/** Section E of the catalogue: what must not get past the reader, and costs no curve work at all. */
import { describe, expect, it } from "vitest";
import { PsbtFault, readPsbt, readPsbtText, writePsbt } from "../../policies/bitcoin/psbt.ts";
import { field, GLOBAL, IN } from "../../policies/bitcoin/psbt-fields.ts";
import { concat, u8, u32 } from "../../policies/bitcoin/wire.ts";
import { readIntent, writeIntent } from "../../policies/intent.ts";
import { parseStrictJson } from "../../signer/service/strict-json.ts";
import { honest, type Spend } from "../support/spend.ts";

const V0 = honest();
const V2 = honest({ psbtVersion: 2 });
const TEXT = Buffer.from(V0.bytes).toString("base64");

function refused(read: () => unknown): void {
  expect(read).toThrow(PsbtFault);
}

function withGlobal({ psbt }: Spend, ...entry: Parameters<typeof field>): Uint8Array {
  return writePsbt({ ...psbt, global: [...psbt.global, field(...entry)] });
}

describe("attack 85: one PSBT that is two versions", () => {
  it("v2 fields in v0", () => refused(() => readPsbt(withGlobal(V0, GLOBAL.TX_VERSION, u32(2)))));
  it("an unsigned transaction in v2", () => {
    const unsigned = V0.psbt.global.find(({ type }) => type === GLOBAL.UNSIGNED_TX);
    refused(() => readPsbt(withGlobal(V2, GLOBAL.UNSIGNED_TX, unsigned?.value ?? u8(0))));
  });
});

describe("attack 87: a key twice in a map", () => {
  it("as it is", () => {
    const input = V0.psbt.inputs[0] ?? [];
    const twice = [...input, ...input.filter(({ type }) => type === IN.WITNESS_UTXO)];
    refused(() => readPsbt(writePsbt({ ...V0.psbt, inputs: [twice] })));
  });
  it("with a length written longer than it is", () => {
    // 0x01 as the length of a key becomes 0xfd 0x01 0x00.
    const bytes = V0.bytes;
    refused(() =>
      readPsbt(concat([bytes.subarray(0, 5), Uint8Array.of(0xfd, 1, 0), bytes.subarray(6)])),
    );
  });
});

describe("attack 88: bytes too many or too few", () => {
  it("trailing", () => refused(() => readPsbt(concat([V0.bytes, u8(0)]))));
  it("every truncation", () => {
    for (let length = 0; length < V0.bytes.length; length += 1) {
      refused(() => readPsbt(V0.bytes.slice(0, length)));
    }
  });
});

describe("attack 89: unknown fields", () => {
  it("are kept byte for byte, and change no fact", () => {
    const bytes = withGlobal(V0, 0xfa, Uint8Array.of(1, 2, 3), Uint8Array.of(9));
    expect(writePsbt(readPsbt(bytes))).toEqual(bytes);
    expect(readPsbt(bytes).tx).toEqual(V0.psbt.tx);
  });
  it("are bounded", () =>
    refused(() => readPsbt(withGlobal(V0, 0xfa, new Uint8Array(300_000), u8(9)))));
});

describe("attack 90: base64 that only looks like it", () => {
  it.each([
    ["a space", `${TEXT.slice(0, 40)} ${TEXT.slice(40)}`],
    ["a line break", `${TEXT.slice(0, 40)}\n${TEXT.slice(40)}`],
    ["the URL alphabet", `${TEXT.slice(0, 40)}-_${TEXT.slice(42)}`],
    ["a zero-width space", `${TEXT.slice(0, 40)}\u200b${TEXT.slice(40)}`],
    ["padding in the middle", `${TEXT.slice(0, 40)}==${TEXT.slice(40)}`],
    ["no padding where it is due", TEXT.endsWith("=") ? TEXT.replace(/=+$/, "") : `${TEXT}=`],
    ["a data address", `data:;base64,${TEXT}`],
  ])("%s", (_, text) => refused(() => readPsbtText(text)));
});

describe("attack 92: JSON with two readings", () => {
  it.each([
    ["a key twice", '{"a":1,"a":2}'],
    ["a key twice by escape", '{"a":1,"\\u0061":2}'],
    ["nesting without end", `${"[".repeat(100_000)}${"]".repeat(100_000)}`],
  ])("%s", (_, text) => {
    expect(() => parseStrictJson(text)).toThrow();
  });
});

it("attack 92: a prototype is no way into a document", () => {
  const intent = JSON.stringify(writeIntent(V0.intent));
  const text = `{"__proto__":{"purpose":"withdrawal"},${intent.slice(1)}`;
  expect(() => readIntent(parseStrictJson(text))).toThrow();
  expect(Object.hasOwn(Object.prototype, "purpose")).toBe(false);
});

describe("attack 93: a PSBT bomb", () => {
  it("is refused by its size before it is read", () =>
    refused(() => readPsbt(concat([V0.bytes, new Uint8Array(1_000_000)]))));
});

describe("attack 94: a length of 2^63", () => {
  it("allocates nothing", () => {
    const length = Uint8Array.of(0xff, 0, 0, 0, 0, 0, 0, 0, 0x80);
    refused(() => readPsbt(concat([V0.bytes.subarray(0, 5), length, V0.bytes.subarray(5)])));
  });
});
