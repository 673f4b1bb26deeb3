import { Transaction } from "@scure/btc-signer";
import { expect, it } from "vitest";
import { readPsbtText } from "../../policies/bitcoin/psbt.ts";
import { IN, valueOf } from "../../policies/bitcoin/psbt-fields.ts";
import { writeUnsignedTx } from "../../policies/bitcoin/transaction.ts";
import { describePsbtVectors, describeVectors, psbtVectors } from "../support/vectors.ts";

describePsbtVectors("BIP370: PSBT v2", "bip370.json");

/**
 * The last ten valid PSBTs are the BIP's cases of "Determining Lock Time", without their results;
 * these are worked out by the BIP's text: the greatest demand of a kind that every demanding input
 * takes, heights before times, the fallback only where nothing is demanded.
 */
const LOCKTIMES: readonly (number | "undetermined")[] = [
  0,
  0,
  10_000,
  10_000,
  10_000,
  10_000,
  1_657_048_460,
  1_657_048_460,
  1_657_048_460,
  "undetermined",
];

describeVectors("BIP370: determining the locktime", "bip370.json", (text) => {
  const rows = psbtVectors(text, "valid PSBTs").slice(-LOCKTIMES.length);
  LOCKTIMES.forEach((locktime, i) => {
    const row = rows[i];
    it(`${locktime}: ${row?.case}`, () => {
      const psbt = readPsbtText(row?.psbt ?? "");
      const demands = psbt.inputs.map((map) => [
        number(valueOf(map, IN.REQUIRED_HEIGHT_LOCKTIME)),
        number(valueOf(map, IN.REQUIRED_TIME_LOCKTIME)),
      ]);
      expect({ demands, ...found(psbt) }).toEqual({
        demands,
        locktime: locktime === "undetermined" ? expect.any(Number) : locktime,
        determined: locktime !== "undetermined",
      });
    });
  });

  it("puts the same transaction together as @scure/btc-signer", () => {
    for (const { psbt: base64, name } of psbtVectors(text, "valid PSBTs")) {
      const psbt = readPsbtText(base64);
      if (!psbt.locktimeDetermined) continue;
      const other = Transaction.fromPSBT(Buffer.from(base64, "base64"), {
        allowUnknownVersion: true,
        allowUnknownOutputs: true,
        disableScriptCheck: true,
      });
      expect(writeUnsignedTx(psbt.tx), name).toEqual(other.unsignedTx);
    }
  });
});

function found(psbt: ReturnType<typeof readPsbtText>) {
  return { locktime: psbt.tx.locktime, determined: psbt.locktimeDetermined };
}

function number(value: Uint8Array | undefined): number | null {
  return value === undefined ? null : Buffer.from(value).readUInt32LE();
}
