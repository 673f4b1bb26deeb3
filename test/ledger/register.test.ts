/** A registration is a ceremony: previewed, approved, compared, kept once, told line by line. */
import { afterEach, describe, expect, it } from "vitest";
import { addressOf } from "../../policies/bitcoin/taproot.ts";
import { RECEIVE } from "../../policies/vault.ts";
import { exportJournal, importJournal } from "../../signer/interchange.ts";
import { openDeviceRegistrations } from "../../signer/ledger/registrations.ts";
import { type TranscriptLine, verifyTranscript } from "../../signer/ledger/transcript.ts";
import { walletPolicy } from "../../signer/ledger/wallet-policy.ts";
import {
  approvalOf,
  INS,
  type LedgerStand,
  ledgerStand,
  SEEDS,
  vaultAround,
} from "../support/ledger-stand.ts";
import { faultOf } from "../support/signer-room.ts";
import { honest, type TestVault } from "../support/spend.ts";

const stands: LedgerStand[] = [];
afterEach(async () => {
  for (const stand of stands.splice(0)) await stand.close();
});

async function unregistered(exit = false): Promise<{ stand: LedgerStand; vault: TestVault }> {
  const stand = ledgerStand();
  stands.push(stand);
  const vault = vaultAround(await stand.key.accountKey("0"), { exit });
  stand.know(vault.vault);
  return { stand, vault };
}

const asked = ({ vault }: TestVault) => ({ vault, role: "lsp", people: ["ann", "bob"] }) as const;

describe("a registration", () => {
  it.each([false, true])("goes every step, with an exit: %s", async (exit) => {
    const { stand, vault } = await unregistered(exit);
    const outcome = await stand.key.registerPolicy(asked(vault));
    if (outcome.kind !== "registered") throw new Error(outcome.kind);
    const { fingerprint, hmac, policy } = outcome.registration;
    expect(fingerprint).toBe("f5acc2fd");
    expect(hmac).toHaveLength(32);
    expect(policy).toBe(Buffer.from(walletPolicy(vault.vault).id).toString("hex"));
    expect(verifyTranscript(written(outcome.transcript))).toEqual({
      kind: "whole",
      outcome: "registered",
    });
    const told = JSON.stringify(outcome.transcript);
    expect(told).not.toContain(Buffer.from(hmac).toString("hex"));
    expect(await stand.key.sign(approvalOf(honest({ from: vault })))).toHaveLength(1);
  });

  it("tells the person what they will see, before they see it", async () => {
    const { stand, vault } = await unregistered();
    const order: string[] = [];
    stand.decide = ({ kind }) => {
      order.push(`device: ${kind}`, ...stand.looks.splice(0).map(({ at }) => `told: ${at}`));
      return "approve";
    };
    await stand.key.registerPolicy(asked(vault));
    expect(order).toEqual([
      "device: register",
      "told: registration",
      "device: address",
      "told: address",
    ]);
  });

  it("compares the first address: the device writes tb1, the script is the same", async () => {
    const { stand, vault } = await unregistered();
    const shown: string[] = [];
    stand.decide = ({ kind, pages }) => {
      if (kind === "address") shown.push(pages.map(({ text }) => text).join(" "));
      return "approve";
    };
    await stand.key.registerPolicy(asked(vault));
    const { script } = vault.scripts.at(RECEIVE, 0);
    const told = stand.looks.find(({ at }) => at === "address");
    expect(told).toEqual({
      ...{ at: "address", shown: addressOf(script, "testnet") },
      address: addressOf(script, "regtest"),
    });
    expect(shown.join()).toContain(addressOf(script, "testnet"));
  });

  it("is made once and found again, by a later start, too", async () => {
    const { stand, vault } = await unregistered();
    await stand.key.registerPolicy(asked(vault));
    stand.decide = () => "reject";
    expect(await stand.key.registerPolicy(asked(vault))).toMatchObject({ kind: "known" });
    expect(await stand.reopen().registerPolicy(asked(vault))).toMatchObject({ kind: "known" });
    expect(stand.wire.asked.get(INS.register)).toBe(1);
  });

  it.each(["register", "address"])(
    "rejected at the %s is not kept, and its lines say so",
    async (at) => {
      const { stand, vault } = await unregistered();
      stand.decide = ({ kind }) => (kind === at ? "reject" : "approve");
      const lines: TranscriptLine[] = [];
      const ceremony = {
        ...asked(vault),
        written: (line: TranscriptLine) => void lines.push(line),
      };
      expect(await faultOf(stand.key.registerPolicy(ceremony))).toMatchObject({ code: "rejected" });
      expect(openDeviceRegistrations(stand.journal.database).all()).toEqual([]);
      expect(verifyTranscript(written(lines))).toEqual({ kind: "whole", outcome: "failed" });
      stand.decide = () => "approve";
      expect(await stand.key.registerPolicy(asked(vault))).toMatchObject({ kind: "registered" });
    },
  );

  it("on another device is refused, and each device has a seal of its own", async () => {
    const { stand, vault } = await unregistered();
    await stand.key.registerPolicy(asked(vault));
    stand.swap({ mnemonic: SEEDS.other });
    expect(await faultOf(stand.key.registerPolicy(asked(vault)))).toMatchObject({
      fault: "wrong-seed",
    });
    expect(stand.wire.asked.get(INS.register)).toBe(1);
  });

  it("of a vault without the role, or of another network, is refused", async () => {
    const { stand, vault } = await unregistered();
    for (const other of [
      { ...asked(vault), role: "second-trustee" as const },
      { ...asked(vault), vault: { ...vault.vault, network: "testnet" as const } },
    ]) {
      expect(await faultOf(stand.key.registerPolicy(other))).toMatchObject({
        code: "unknown-account",
      });
    }
  });

  it("is backed up by the journal's export, and good on another machine", async () => {
    const { stand, vault } = await unregistered();
    await stand.key.registerPolicy(asked(vault));
    const document = JSON.parse(JSON.stringify(exportJournal(stand.journal.database)));
    const next = ledgerStand();
    stands.push(next);
    next.know(vault.vault);
    const approval = () => approvalOf(honest({ from: vault }));
    expect(await faultOf(next.key.sign(approval()))).toMatchObject({ fault: "not-registered" });
    expect(importJournal(next.journal.database, document)).toMatchObject({
      device_registrations: 1,
    });
    expect(await next.key.sign(approval())).toHaveLength(1);
    expect(next.wire.asked.get(INS.register)).toBeUndefined();
  });

  it("stays what it is where an import says otherwise", async () => {
    const { stand, vault } = await unregistered();
    await stand.key.registerPolicy(asked(vault));
    const document = exportJournal(stand.journal.database);
    const [row = []] = document.tables.device_registrations;
    const wrong = row.map((cell, i) => (i === 3 ? `"${"00".repeat(32)}` : cell));
    const tables = { ...document.tables, device_registrations: [wrong] };
    importJournal(stand.journal.database, { ...document, tables });
    expect(await stand.key.sign(approvalOf(honest({ from: vault })))).toHaveLength(1);
  });
});

/** As they lie in a file. */
function written(lines: readonly TranscriptLine[]): readonly TranscriptLine[] {
  return lines.map((line) => JSON.parse(JSON.stringify(line)));
}

describe("a transcript", () => {
  async function whole(): Promise<readonly TranscriptLine[]> {
    const { stand, vault } = await unregistered();
    const outcome = await stand.key.registerPolicy(asked(vault));
    return outcome.kind === "registered" ? written(outcome.transcript) : [];
  }

  it.each<[string, (lines: readonly TranscriptLine[]) => readonly unknown[], string]>([
    ["with a removed line", (lines) => lines.filter((_, i) => i !== 2), "does not follow"],
    ["without its first line", (lines) => lines.slice(1), "does not follow"],
    ["without its last line", (lines) => lines.slice(0, -1), "its end is missing"],
    [
      "with two lines exchanged",
      (lines) => [lines[0], lines[2], lines[1], ...lines.slice(3)],
      "does not follow",
    ],
    ["with a line twice", (lines) => [lines[0], ...lines], "does not follow"],
    [
      "with another time",
      (lines) =>
        lines.map((line, i) => (i === 1 ? { ...line, time: "2020-01-01T00:00:00Z" } : line)),
      "line 2 was changed",
    ],
    [
      "with another step",
      (lines) =>
        lines.map((line, i) =>
          i === 4 ? { ...line, step: { step: "failed", fault: "rejected", says: "" } } : line,
        ),
      "line 5 was changed",
    ],
    ["with a line that is none", (lines) => [...lines, "end"], "line 6 is none"],
    ["that is empty", () => [], "its end is missing"],
  ])("%s is broken", async (_, bend, words) => {
    const verdict = verifyTranscript(bend(await whole()));
    expect(verdict.kind === "broken" ? verdict.reasons.join("; ") : "whole").toContain(words);
  });
});

describe("whether a device knows a vault", () => {
  it("is asked without troubling anybody: not before it is registered, then yes", async () => {
    const { stand, vault } = await unregistered();
    stand.decide = () => {
      throw new Error("nobody is to be asked");
    };
    expect(await stand.key.recognises(vault.vault, "lsp")).toBe(false);
    stand.decide = () => "approve";
    await stand.register(vault.vault);
    stand.decide = () => {
      throw new Error("nobody is to be asked");
    };
    expect(await stand.key.recognises(vault.vault, "lsp")).toBe(true);
    expect(await stand.key.recognises(vault.vault, "second-trustee")).toBe(false);
    expect(await stand.key.describe()).toEqual({
      ...{ app: "Bitcoin Test", version: "2.4.6", fingerprint: "f5acc2fd" },
    });
  });

  it("is a fault with words where the seal is not the device's", async () => {
    const { stand, vault } = await unregistered();
    await stand.register(vault.vault);
    stand.journal.database.prepare("UPDATE device_registrations SET hmac = ?").run("01".repeat(32));
    expect(await faultOf(stand.key.recognises(vault.vault, "lsp"))).toMatchObject({
      fault: "registration-wrong",
    });
  });
});
