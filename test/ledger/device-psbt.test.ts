/** What a device is given: what was approved, and nothing that it need not see. */
import { Transaction } from "@scure/btc-signer";
import { describe, expect, it } from "vitest";
import { hex } from "../../policies/bitcoin/hash.ts";
import { readPsbt, writePsbt } from "../../policies/bitcoin/psbt.ts";
import { IN, OUT, readTapDerivation } from "../../policies/bitcoin/psbt-fields.ts";
import type { Approval } from "../../policies/decide.ts";
import { RECEIVE } from "../../policies/vault.ts";
import { devicePsbt } from "../../signer/device-psbt.ts";
import { approvalOf, vaultAround } from "../support/ledger-stand.ts";
import { honest, OTHER_VAULT, party } from "../support/spend.ts";

const OWN = party("ledger/own");
const PLAIN = vaultAround(OWN.text);
const EXIT = vaultAround(OWN.text, { exit: true });

describe.each([
  ["a vault", PLAIN],
  ["a vault with an exit", EXIT],
])("the PSBT of %s", (_, vault) => {
  const spend = honest({ from: vault, coins: 3 });
  const approval = approvalOf(spend);
  const psbt = devicePsbt({ approval, vault: vault.vault });

  it("is the transaction that was approved", () => {
    expect(psbt.tx).toEqual(spend.tx);
    expect(readPsbt(writePsbt(psbt)).tx).toEqual(spend.tx);
    expect(Transaction.fromPSBT(writePsbt(psbt)).id).toBe(approval.txid);
  });

  it("has of each coin its amount and the own key's path to the leaf of two, and no more", () => {
    for (const [i, map] of psbt.inputs.entries()) {
      expect(map.map(({ type }) => type)).toEqual([IN.WITNESS_UTXO, IN.TAP_BIP32_DERIVATION]);
      const { keyData, value } = map[1] ?? { keyData: new Uint8Array(), value: new Uint8Array() };
      const script = spend.coins[i]?.script;
      const { leafHashes, path } = readTapDerivation(value);
      expect(leafHashes.map(hex)).toEqual([hex(script?.leafHash ?? new Uint8Array())]);
      expect(hex(keyData)).toBe(hex(approval.inputs[i]?.xOnly ?? new Uint8Array()));
      expect(path.slice(-2)).toEqual([RECEIVE, i]);
    }
  });

  it("names the path of change, and nothing of what is paid", () => {
    const [payment = [], change = []] = psbt.outputs;
    expect(payment).toEqual([]);
    expect(change.map(({ type }) => type)).toEqual([OUT.TAP_BIP32_DERIVATION]);
  });
});

describe("is not made", () => {
  const approval = approvalOf(honest({ from: PLAIN, coins: 2 }));
  const bent = (part: Partial<Approval>) => ({ ...approval, ...part }) as Approval;
  const { spend } = approval;

  it.each<[string, Approval]>([
    ["with another locktime", bent({ spend: { ...spend, locktime: spend.locktime + 1 } })],
    [
      "with another amount paid",
      bent({
        spend: {
          ...spend,
          outputs: spend.outputs.map((output) => ({ ...output, sats: output.sats + 1n })),
        },
      }),
    ],
    [
      "with another amount spent",
      bent({
        spend: {
          ...spend,
          inputs: spend.inputs.map((input) => ({ ...input, sats: input.sats + 1n })),
        },
      }),
    ],
    ["with fewer signatures than coins", bent({ inputs: approval.inputs.slice(0, 1) })],
    [
      "with a coin in another's place",
      bent({ spend: { ...spend, inputs: [...spend.inputs].reverse() } }),
    ],
    ["for another role", bent({ role: "trustee" })],
    ["under another id", bent({ txid: "00".repeat(32) })],
  ])("%s", (_, other) => {
    expect(() => devicePsbt({ approval: other, vault: PLAIN.vault })).toThrow("BUG");
  });

  it("for another vault", () => {
    expect(() => devicePsbt({ approval, vault: OTHER_VAULT.vault })).toThrow("BUG");
  });
});
