import { describe, expect, it, vi } from "vitest";
import { addressOf } from "../../policies/bitcoin/taproot.ts";
import { IntentError, intentOf, readIntent, writeIntent } from "../../policies/intent.ts";
import { sats } from "../../policies/money.ts";
import { honest, recipient } from "../support/spend.ts";

const { intent } = honest();
const document = writeIntent(intent);

describe("an intent", () => {
  it("is written and read back, with its id", () => {
    expect(readIntent(JSON.parse(JSON.stringify(document)))).toEqual(intent);
  });

  it("has an id that every part of its content changes, and the order of its payments does not", () => {
    const [one, two] = [0, 1].map((n) => ({ script: recipient(n), sats: sats(1_000n) }));
    if (one === undefined || two === undefined) throw new Error("two payments");
    const base = { ...intent, outputs: [one, two] };
    expect(intentOf({ ...base, outputs: [two, one] }).id).toBe(intentOf(base).id);
    const others = [
      { ...base, network: "testnet" as const },
      { ...base, vault: "00".repeat(20) },
      { ...base, reference: "withdrawal 2" },
      { ...base, outputs: [one] },
      { ...base, outputs: [one, one, two] },
      { ...base, outputs: [one, { ...two, sats: sats(1_001n) }] },
      { ...base, outputs: [one, { ...two, script: recipient(2) }] },
    ].map((content) => intentOf(content).id);
    expect(new Set([intentOf(base).id, ...others]).size).toBe(others.length + 1);
  });

  it.each([
    ["nothing", null],
    ["no payment", { ...document, outputs: [] }],
    ["an unknown key", { ...document, fee: 1 }],
    ["an unknown purpose", { ...document, purpose: "gift" }],
    ["a vault id in upper case", { ...document, vault: intent.vault.toUpperCase() }],
    ["an empty reference", { ...document, reference: "" }],
    ["a line break in the reference", { ...document, reference: "a\nb" }],
    ["a line break after the reference", { ...document, reference: "a\n" }],
    ["text that turns its direction", { ...document, reference: "a\u202eb" }],
    ["a payment of nothing", paying(0)],
    ["a negative payment", paying(-1)],
    ["a fraction of a sat", paying(0.5)],
    ["an inexact number", paying(2 ** 53)],
    ["more than 21 million bitcoin", paying("2100000000000001")],
    ["an amount with a leading zero", paying("01")],
    ["an amount in hex", paying("0x10")],
    ["an address of another network", paying(1_000, "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4")],
    ["no address", paying(1_000, "recipient")],
  ])("with %s is refused", (_, value) => {
    expect(() => readIntent(value)).toThrow(IntentError);
  });

  it("takes amounts as numbers and as decimal texts alike", () => {
    expect(readIntent(paying(1_000)).id).toBe(readIntent(paying("1000")).id);
  });
});

// bitcoinjs-lib warns on the console of every future witness version: whoever sends a PSBT or an
// intent writes into the signer's output.
it("the law writes nothing to the console, whatever it reads", () => {
  const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
  try {
    addressOf(Uint8Array.of(0x52, 2, 1, 2), "bitcoin");
    expect(warn).not.toHaveBeenCalled();
  } finally {
    warn.mockRestore();
  }
});

function paying(amount: number | string, address = document.outputs[0]?.address ?? ""): unknown {
  return { ...document, outputs: [{ address, sats: amount }] };
}
