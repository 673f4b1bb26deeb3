/** A signer with a Ledger: its law before the device, its journal behind a person's no. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, it } from "vitest";
import { openCurvePool } from "../../signer/curve.ts";
import { createJournal } from "../../signer/journal-file.ts";
import { isLedgerKey } from "../../signer/ledger/key.ts";
import { openSigningRoom } from "../../signer/room.ts";
import { openVaults, type Vaults } from "../../signer/vaults.ts";
import { INS, type LedgerStand, ledgerStand, vaultAround } from "../support/ledger-stand.ts";
import {
  faultOf,
  openRoom,
  registrationOf,
  requestOf,
  type SignerRoom,
} from "../support/signer-room.ts";
import { honest, POLICY, recipient, type SpendOptions, type TestVault } from "../support/spend.ts";

const LAW = { ...POLICY, transaction: { ...POLICY.transaction, one_policy: true } };
const curve = openCurvePool(2);
afterAll(() => curve.close());

let folder = "";
let stand: LedgerStand;
let room: SignerRoom;
let vault: TestVault;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "ballast-ledger-room-"));
  stand = ledgerStand();
  vault = vaultAround(await stand.key.accountKey("0"));
  let vaults: Vaults | null = null;
  room = await openRoom({
    ...{ folder, curve, policy: LAW, vaults: [] },
    bend: (parts) => {
      const { journal, policy, now } = parts;
      vaults = openVaults({ journal, policy, key: stand.key, now });
      return { ...parts, key: stand.key, vaults };
    },
  });
  const outcome = await (vaults as Vaults | null)?.register(registrationOf(vault));
  expect(outcome).toMatchObject({ kind: "registered" });
  await stand.register(vault.vault);
});
afterEach(async () => {
  await room.close();
  await stand.close();
  rmSync(folder, { recursive: true });
});

function ask(options: SpendOptions = {}) {
  const spend = honest({ from: vault, law: LAW, ...options });
  room.chain.show(spend);
  return room.signer.sign(requestOf(spend));
}
const signings = () => stand.wire.asked.get(INS.sign) ?? 0;
const to = (n: number): SpendOptions => ({
  payments: [{ script: recipient(n), sats: 2_000_000n }],
  bend: { intent: (content) => ({ ...content, reference: `withdrawal ${n}` }) },
});

describe("a signer with a Ledger", () => {
  it("proves possession by a line that the device shows", () => {
    expect(stand.looks).toContainEqual({
      at: "message",
      text: expect.stringMatching(/^Ballast possession 1 regtest role=lsp policy=[0-9a-f]{64}$/),
    });
  });

  it("signs what its law allows, once: asked again, the person is not", async () => {
    expect(await ask()).toMatchObject({ kind: "signed" });
    expect(await ask()).toMatchObject({ kind: "signed" });
    expect(signings()).toBe(1);
  });

  it.each<[string, SpendOptions]>([
    ["a fee too high", { feeSats: 90_000n }],
    [
      "nine outputs",
      { payments: Array.from({ length: 8 }, (_, n) => ({ script: recipient(n), sats: 400_000n })) },
    ],
    ["change on a far index", { changeAt: { branch: 1, index: 2_000_000 } }],
    ["change in the receive branch", { changeAt: { branch: 0, index: 50 } }],
    ["a locktime far ahead", { bend: { tx: (tx) => ({ ...tx, locktime: tx.locktime + 500 }) } }],
  ])("is not asked for %s: the law refuses first", async (_, options) => {
    const before = stand.wire.apdus;
    expect((await ask(options)).kind).not.toBe("signed");
    expect(signings()).toBe(0);
    expect(stand.wire.apdus).toBe(before);
  });

  it("frees the coins that a person refused, for another payment", async () => {
    stand.decide = () => "reject";
    expect(await faultOf(ask(to(1)))).toMatchObject({ code: "rejected" });
    stand.decide = () => "approve";
    expect(await ask(to(2))).toMatchObject({ kind: "signed" });
  });

  it("keeps the coins bound when the cable was pulled; the same spend goes on", async () => {
    stand.decide = () => "unplug";
    expect(await faultOf(ask(to(1)))).toMatchObject({ fault: "disconnected" });
    stand.app.plug();
    stand.decide = () => "approve";
    expect((await ask(to(2))).kind).not.toBe("signed");
    expect(signings()).toBe(1);
    expect(await ask(to(1))).toMatchObject({ kind: "signed" });
  });
});

describe("a signing room", () => {
  function open(onePolicy: boolean) {
    const at = mkdtempSync(join(folder, "room-"));
    const policy = join(at, "policy.json");
    writeFileSync(policy, JSON.stringify(onePolicy ? LAW : POLICY));
    const journal = join(at, "journal.db");
    createJournal({ file: journal, network: "regtest", role: "lsp" });
    return openSigningRoom(
      {
        ...{ name: "lsp", policy, journal, token_environment: {} },
        key: "ledger:emulator?port=1",
        node: { url: "http://user:word@127.0.0.1:1" },
      },
      () => undefined,
    );
  }

  it("opens a Ledger under a law of one policy, without the device", async () => {
    const opened = await open(true);
    expect(isLedgerKey(opened.key)).toBe(true);
    expect(opened.status().custody).toBe("emulated Ledger app, keys in software: for tests only");
    await opened.close();
  });

  it("refuses a Ledger under any other law, and says what to write", async () => {
    const fault = await faultOf(open(false));
    expect(fault).toMatchObject({ name: "ConfigError" });
    expect(fault.message).toContain("transaction.one_policy: true");
  });
});
