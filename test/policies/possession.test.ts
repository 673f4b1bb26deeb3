import * as ecc from "tiny-secp256k1";
import { describe, expect, it } from "vitest";
import { messageHash, textHash } from "../../policies/bitcoin/message.ts";
import { concat } from "../../policies/bitcoin/wire.ts";
import { readLine } from "../../policies/evidence/line.ts";
import {
  POSSESSION_PROOF,
  possessionHash,
  possessionLine,
  possessionText,
  provesPossession,
} from "../../policies/possession.ts";
import { CHANGE, RECEIVE } from "../../policies/vault.ts";
import { party, testVault, USER_VAULT } from "../support/spend.ts";

const { vault } = USER_VAULT;
const TEXT = possessionText(vault, "user");
const user = party("first/user");

/** As a Ledger answers: header 31 to 34, r, s. */
function message(text: string, secret: Uint8Array): Uint8Array {
  const { signature, recoveryId } = ecc.signRecoverable(messageHash(text), secret);
  return concat([Uint8Array.of(31 + recoveryId), signature]);
}

describe("possession of a key", () => {
  it("is proven by BIP340 or by a signed message of the account's child 0/0", () => {
    const secret = user.secretAt(RECEIVE, 0);
    expect(provesPossession(vault, "user", ecc.signSchnorr(possessionHash(TEXT), secret))).toBe(
      true,
    );
    expect(provesPossession(vault, "user", message(possessionLine(TEXT), secret))).toBe(true);
  });

  const secret = user.secretAt(RECEIVE, 0);
  const good = message(possessionLine(TEXT), secret);
  const bent = (at: number, by: number) => good.map((byte, i) => (i === at ? byte ^ by : byte));
  it.each([
    ["another child", message(possessionLine(TEXT), user.secretAt(RECEIVE, 1))],
    ["the change branch", message(possessionLine(TEXT), user.secretAt(CHANGE, 0))],
    ["another holder", message(possessionLine(TEXT), party("first/lsp").secretAt(RECEIVE, 0))],
    ["another role's line", message(possessionLine(possessionText(vault, "lsp")), secret)],
    [
      "another vault's line",
      message(possessionLine(possessionText(testVault({ seed: "second" }).vault, "user")), secret),
    ],
    ["the long text itself", message(TEXT, secret)],
    ["a header below", bent(0, 31 ^ 30)],
    ["a bent signature", bent(40, 1)],
    ["64 bytes over the line", ecc.signSchnorr(textHash(possessionLine(TEXT)), secret)],
    ["no bytes", new Uint8Array(0)],
  ])("is not proven by %s", (_, proof) => {
    expect(provesPossession(vault, "user", proof)).toBe(false);
  });

  it("is asked for in a line that a device shows whole, and that is no notice", () => {
    const line = possessionLine(TEXT);
    expect(line.length).toBeLessThan(150);
    expect(readLine(line)).toMatchObject({ kind: "possession", fields: { role: "user" } });
  });

  it.each([
    [127, false],
    [128, true],
    [129, false],
    [130, true],
    [131, false],
  ])("travels in hex: %i digits", (digits, fits) => {
    expect(POSSESSION_PROOF.test("a".repeat(digits))).toBe(fits);
  });
});
