/**
 * A person waits for every round trip. The PSBT for the device is held against the one that travels
 * between signers; counts only fall, or somebody says here why they rise.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fromHex } from "../../policies/bitcoin/hash.ts";
import { openClient } from "../../signer/ledger/client.ts";
import { openDeviceRegistrations } from "../../signer/ledger/registrations.ts";
import { walletPolicy } from "../../signer/ledger/wallet-policy.ts";
import { approvalOf, type LedgerStand, ledgerStand, vaultAround } from "../support/ledger-stand.ts";
import { honest, type TestVault } from "../support/spend.ts";

let stand: LedgerStand;
let vault: TestVault;
beforeAll(async () => {
  stand = ledgerStand();
  vault = vaultAround(await stand.key.accountKey("0"));
  await stand.register(vault.vault);
});
afterAll(() => stand.close());

/** Commands that the work sends, the checks of the device included. */
async function counted(work: () => Promise<unknown>): Promise<number> {
  const before = stand.wire.apdus;
  await work();
  return stand.wire.apdus - before;
}

/** The same spend, given to Ledger's client as it came from the orchestrator. */
async function asItTravels(bytes: Uint8Array): Promise<number> {
  let apdus = 0;
  const client = openClient({
    exchange: async (apdu) => {
      apdus += 1;
      return await stand.app.exchange(apdu);
    },
    close: async () => undefined,
  });
  const [registration] = openDeviceRegistrations(stand.journal.database).all();
  const hmac = Buffer.from(registration?.hmac ?? fromHex(""));
  await client.signPsbt(Buffer.from(bytes), client.policyOf(walletPolicy(vault.vault)), hmac);
  return apdus;
}

describe("a signature of", () => {
  it.each([
    [1, 248, 340],
    [10, 1_391, 2_095],
    [50, 6_471, 9_895],
  ])(
    "%i inputs takes %i round trips, and as it travels %i",
    async (coins, most, whole) => {
      const spend = honest({ from: vault, coins });
      const approval = approvalOf(spend);
      expect(await counted(() => stand.key.sign(approval))).toBeLessThanOrEqual(most);
      expect(await asItTravels(spend.bytes)).toBe(whole);
    },
    60_000,
  );
});
