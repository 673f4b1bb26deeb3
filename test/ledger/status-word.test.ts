/** Each row of the table of status words is met by an answer, and each fault says what to do. */
import { describe, expect, it } from "vitest";
import { LEDGER_FAULTS, LedgerError, type LedgerFault } from "../../signer/ledger/ledger-error.ts";
import {
  faultOfStatus,
  type Request,
  readStatus,
  STATUS_WORDS,
} from "../../signer/ledger/status-word.ts";

/** As the wire brings it: the detail before the status word, if there is one. */
function answered(sw: number, on: Request, detail?: number): LedgerError {
  const bytes = [...(detail === undefined ? [] : [detail >> 8, detail & 0xff]), sw >> 8, sw & 0xff];
  const status = readStatus(Uint8Array.from(bytes));
  if (status === null) throw new Error("no status word");
  return faultOfStatus(status, on);
}

const expected: readonly [number, Request, number | undefined, LedgerFault][] = [
  [0x6985, "sign", undefined, "rejected"],
  [0x6985, "register", undefined, "rejected"],
  [0x5515, "sign", undefined, "locked"],
  [0x6901, "app", undefined, "locked"],
  [0x6804, "app", undefined, "locked"],
  [0x5303, "app", undefined, "locked"],
  [0x6e00, "account", undefined, "wrong-app"],
  [0x6e01, "app", undefined, "wrong-app"],
  [0x6d00, "sign", undefined, "wrong-app"],
  [0x6d02, "app", undefined, "wrong-app"],
  [0x6511, "app", undefined, "wrong-app"],
  [0xb008, "sign", undefined, "registration-wrong"],
  [0xb008, "address", undefined, "registration-wrong"],
  [0x6982, "sign", 0x000d, "spend-refused"],
  [0x6a80, "register", 0x0000, "policy-unsupported"],
  [0x6a82, "register", 0x0001, "policy-unsupported"],
  [0x6a80, "register", 0x0002, "policy-unsupported"],
  [0x6a80, "register", undefined, "policy-unsupported"],
  [0x6a82, "register", undefined, "policy-unsupported"],
  [0x6a80, "address", undefined, "not-registered"],
  [0x6a82, "account", undefined, "unsupported"],
  [0x6a80, "sign", 0x0000, "not-registered"],
  [0x6a80, "sign", 0x0001, "spend-refused"],
  [0x6a80, "sign", 0x0002, "wrong-seed"],
  [0x6a80, "sign", 0x0003, "spend-refused"],
  [0x6a80, "sign", 0x0004, "spend-refused"],
  [0x6a80, "sign", 0x0005, "spend-refused"],
  [0x6a80, "sign", 0x0006, "spend-refused"],
  [0x6a80, "sign", 0x0007, "spend-refused"],
  [0x6a80, "sign", 0x0008, "spend-refused"],
  [0x6a82, "sign", 0x0009, "too-many-keys"],
  [0x6a80, "sign", 0x000a, "spend-refused"],
  [0x6a80, "sign", 0x000b, "spend-refused"],
  [0x6a80, "sign", 0x000c, "too-many-keys"],
  [0x6a82, "sign", 0x000c, "too-many-keys"],
  [0x6a80, "sign", undefined, "spend-refused"],
  [0x6a82, "sign", undefined, "spend-refused"],
  [0x6a82, "message", undefined, "unsupported"],
  [0x6a80, "message", undefined, "protocol"],
  [0x6a86, "sign", undefined, "protocol"],
  [0x6a87, "sign", undefined, "protocol"],
  [0x6700, "sign", undefined, "protocol"],
  [0x6b00, "sign", undefined, "protocol"],
  [0xb000, "sign", undefined, "protocol"],
  [0xb007, "sign", undefined, "protocol"],
  // None of the table: a later app's, or a broken wire.
  [0x1234, "sign", undefined, "protocol"],
];

describe("a status word", () => {
  it.each(expected)("%i on %s with detail %s", (sw, on, detail, fault) => {
    const error = answered(sw, on, detail);
    expect(error).toBeInstanceOf(LedgerError);
    expect(error.fault).toBe(fault);
    expect(error.message).toContain(sw.toString(16).toUpperCase());
    expect(error.message).toContain(LEDGER_FAULTS[fault].says);
    expect(error.message).toContain(LEDGER_FAULTS[fault].next);
    expect(error).toMatchObject({
      code: LEDGER_FAULTS[fault].code,
      passing: LEDGER_FAULTS[fault].passing,
    });
  });

  it("has no row that no case of this test meets", () => {
    const met = STATUS_WORDS.filter(({ sw, detail, on }) =>
      expected.some(
        ([word, asked, told]) =>
          word === sw && (on === undefined || on === asked) && (detail ?? told) === told,
      ),
    );
    expect(met).toEqual(STATUS_WORDS);
  });

  it("is the end of an answer; data before it is a detail only where nothing else is there", () => {
    expect(readStatus(Uint8Array.of(0x90))).toBeNull();
    expect(readStatus(Uint8Array.of(0x90, 0x00))).toEqual({ sw: 0x9000, detail: null });
    expect(readStatus(Uint8Array.of(0, 2, 0x6a, 0x80))).toEqual({ sw: 0x6a80, detail: 2 });
    expect(readStatus(Uint8Array.of(1, 0, 2, 0x6a, 0x80))).toEqual({ sw: 0x6a80, detail: null });
  });

  it("of a rejection alone is a rejection: nothing else frees a claim", () => {
    const rejecting = Object.entries(LEDGER_FAULTS).filter(([, { code }]) => code === "rejected");
    expect(rejecting.map(([fault]) => fault)).toEqual(["rejected"]);
  });
});
