/**
 * What can go wrong with a device in a person's hand. Each fault is a typed error with plain words,
 * lets no signature out, loses nothing, and can be tried again where that makes sense.
 */
import { afterEach, describe, expect, it } from "vitest";
import { hex } from "../../policies/bitcoin/hash.ts";
import { openAsked } from "../../signer/ledger/asked.ts";
import { openDeviceRegistrations } from "../../signer/ledger/registrations.ts";
import { SIGNATURE_FAULTS, type SignatureFault } from "../support/ledger-app/faults.ts";
import {
  approvalOf,
  INS,
  type LedgerStand,
  ledgerStand,
  SEEDS,
  type StandOptions,
  vaultAround,
} from "../support/ledger-stand.ts";
import { collectBatch } from "../support/purposes.ts";
import { faultOf } from "../support/signer-room.ts";
import { honest, party, recipient, type SpendOptions, type TestVault } from "../support/spend.ts";

const stands: LedgerStand[] = [];
afterEach(async () => {
  for (const stand of stands.splice(0)) await stand.close();
});

interface Ready {
  readonly stand: LedgerStand;
  readonly vault: TestVault;
  readonly spend: (options?: SpendOptions) => ReturnType<LedgerStand["key"]["sign"]>;
}

/** A registered vault, and a person who approves until a test says else. */
async function ready(options: StandOptions = {}): Promise<Ready> {
  const stand = ledgerStand(options);
  stands.push(stand);
  const vault = vaultAround(await stand.key.accountKey("0"));
  await stand.register(vault.vault);
  const approval = (more: SpendOptions) => approvalOf(honest({ from: vault, ...more }));
  return { stand, vault, spend: (more = {}) => stand.key.sign(approval(more)) };
}

const signings = ({ wire }: LedgerStand) => wire.asked.get(INS.sign) ?? 0;

describe("another device than the vault's", () => {
  it("with another seed is told from the right one, and the right one goes on", async () => {
    const { stand, spend } = await ready();
    stand.swap({ mnemonic: SEEDS.other });
    expect(await faultOf(spend())).toMatchObject({
      ...{ fault: "wrong-seed", code: "unavailable", passing: true },
      message: expect.stringContaining("connect the device that the vault was registered with"),
    });
    expect(signings(stand)).toBe(0);
    stand.swap({});
    expect(await spend()).toHaveLength(1);
  });

  it("is not even asked for a key where the URI names the seed", async () => {
    const stand = ledgerStand({ uri: "ledger:emulator?port=1&fingerprint=73c5da0b" });
    stands.push(stand);
    expect(await faultOf(stand.key.accountKey("0"))).toMatchObject({ fault: "wrong-seed" });
    expect([...stand.wire.asked.keys()]).toEqual([0x05]);
  });

  it.each([
    ["an app for another network", { appName: "Bitcoin" as const }, "wrong-app"],
    ["an older app", { version: "2.4.5" }, "version-old"],
    ["an app that signs wrongly", { version: "2.1.3" }, "version-excluded"],
    ["a newer app", { version: "2.4.7" }, "version-new"],
    ["an app that says nonsense", { version: "2.4.6-\u0007" }, "version-new"],
  ])("with %s is asked nothing more", async (_, other, fault) => {
    const { stand, spend } = await ready();
    const before = new Map(stand.wire.asked);
    stand.swap(other);
    const said = await faultOf(spend());
    expect(said).toMatchObject({ fault });
    expect(said.message).not.toContain("\u0007");
    expect(stand.wire.asked).toEqual(before);
    stand.swap({});
    expect(await spend()).toHaveLength(1);
  });

  it("with a newer app is taken once somebody has said so", async () => {
    const { spend } = await ready({
      version: "2.4.7",
      uri: "ledger:emulator?port=1&allow-newer=yes",
    });
    expect(await spend()).toHaveLength(1);
  });
});

describe("the person", () => {
  it("says no: nothing was signed, and the claim may be freed", async () => {
    const { stand, spend } = await ready();
    stand.decide = () => "reject";
    expect(await faultOf(spend())).toMatchObject({ code: "rejected", fault: "rejected" });
    stand.decide = () => "approve";
    expect(await spend()).toHaveLength(1);
  });

  it("says no to what was signed before: that is no refusal any more", async () => {
    const { stand, spend } = await ready();
    await spend();
    stand.decide = () => "reject";
    const fault = await faultOf(spend());
    expect(fault).toMatchObject({ fault: "stopped-after-signing", code: "unavailable" });
    expect(fault).toMatchObject({ passing: true });
  });

  it("says no after a crash that nobody knows the end of: neither", async () => {
    const { stand, vault } = await ready();
    const approval = approvalOf(honest({ from: vault }));
    openAsked(stand.journal.database).begin(approval.txid);
    stand.decide = () => "reject";
    const fault = await faultOf(stand.reopen().sign(approval));
    expect(fault).toMatchObject({ fault: "stopped-after-signing" });
  });

  it("says no, by the device's word, after a signature was given: neither", async () => {
    let given = false;
    const { spend } = await ready({
      bend: (answer, apdu) => {
        if (given && apdu[0] === 0xf8) return Uint8Array.of(0x69, 0x85);
        given = answer[0] === 0x10 && answer.at(-2) === 0xe0;
        return answer;
      },
    });
    expect(await faultOf(spend({ coins: 2 }))).toMatchObject({
      ...{ fault: "stopped-after-signing", code: "unavailable", passing: true },
    });
  });

  it("never answers: the wait ends, and the cable helps", async () => {
    const { stand, spend } = await ready({ answerMsMax: 200 });
    stand.decide = () => "never";
    expect(await faultOf(spend())).toMatchObject({ fault: "unanswered", passing: true });
    stand.app.unplug();
    stand.app.plug();
    stand.decide = () => "approve";
    expect(await spend()).toHaveLength(1);
  });

  it("says no to a text", async () => {
    const { stand, vault } = await ready();
    stand.decide = () => "reject";
    const own = vault.vault.holders.find(({ role }) => role === "lsp");
    const id = hex(own?.key.publicKey ?? new Uint8Array());
    const { key } = stand;
    expect(await faultOf(key.provePossession(id, "a\nb"))).toMatchObject({ code: "rejected" });
  });
});

describe("an account key", () => {
  it("is shown, and told beforehand", async () => {
    const { stand } = await ready();
    const shown: string[] = [];
    stand.decide = ({ pages }) => {
      shown.push(...pages.map((page) => page.text).filter((words) => words !== ""));
      return "approve";
    };
    const text = await stand.key.showAccount("0");
    expect(text).toBe(await stand.key.accountKey("0"));
    const told = stand.looks.at(-1);
    expect(told).toEqual({ at: "account", path: "48'/1'/0'/2'", xpub: text.split("]")[1] });
    expect(shown).toEqual(["48'/1'/0'/2'", text.split("]")[1]]);
    stand.decide = () => "reject";
    expect(await faultOf(stand.key.showAccount("0"))).toMatchObject({ code: "rejected" });
  });

  it.each(["101", "-1", "00", "a", "", "1.0"])("of label %j there is none", async (label) => {
    const { stand } = await ready();
    const before = stand.wire.apdus;
    expect(await faultOf(stand.key.accountKey(label))).toMatchObject({ code: "unknown-account" });
    expect(stand.wire.apdus).toBe(before);
  });

  it("of the last label there is one", async () => {
    const { stand } = await ready();
    expect(await stand.key.accountKey("100")).toContain("/48'/1'/100'/2']tpub");
  });
});

describe("the cable", () => {
  it("is pulled while the person reads: no refusal, and the next call connects anew", async () => {
    const { stand, spend } = await ready();
    const before = stand.wire.connections;
    stand.decide = () => "unplug";
    const fault = await faultOf(spend());
    expect(fault).toMatchObject({ fault: "disconnected", code: "unavailable", passing: true });
    expect(fault.message).toContain("that is no refusal");
    expect(await faultOf(spend())).toMatchObject({ fault: "disconnected" });
    stand.app.plug();
    stand.decide = () => "approve";
    expect(await spend()).toHaveLength(1);
    expect(stand.wire.connections).toBeGreaterThan(before);
  });

  it("was pulled and put back between two spends: nobody notices", async () => {
    const { stand, spend } = await ready();
    await spend();
    stand.swap({});
    const before = stand.wire.connections;
    expect(await spend({ payments: [{ script: recipient(7), sats: 2_100_000n }] })).toHaveLength(1);
    expect(stand.wire.connections).toBe(before + 1);
  });

  it("a broken signing is never tried again by itself", async () => {
    const { stand, spend } = await ready();
    stand.decide = () => "unplug";
    await faultOf(spend());
    expect(signings(stand)).toBe(1);
  });
});

/** What is said of each lie that the emulated device can tell; one without words does not compile. */
const WORDS: Readonly<Record<Exclude<SignatureFault, "honest">, string>> = {
  "other-leaf": "another leaf than the 2-of-3",
  "other-message": "does not verify",
  "wrong-key": "does not verify",
  short: "63 bytes",
  none: "gave no signature",
  twice: "2 signatures",
};
const LIES = SIGNATURE_FAULTS.flatMap((kind) =>
  kind === "honest" ? [] : [[kind, WORDS[kind]] as const],
);

describe("the device", () => {
  it("is locked", async () => {
    const { stand, spend } = await ready();
    stand.app.faults.locked = true;
    expect(await faultOf(spend())).toMatchObject({ fault: "locked", passing: true });
    stand.app.faults.locked = false;
    expect(await spend()).toHaveLength(1);
  });

  it.each(LIES)(
    "signs wrongly (%s): no signature leaves, and somebody hears of it",
    async (kind, words) => {
      const { stand, spend } = await ready();
      stand.app.faults.signature = kind;
      const fault = await faultOf(spend());
      expect(fault).toMatchObject({ name: "KeyError", code: "unverified", passing: false });
      expect(fault.message).toContain(words);
      expect(stand.logged).toContain("ALARM unverified signature");
      stand.app.faults.signature = "honest";
      expect(await spend()).toHaveLength(1);
    },
  );
});

describe("a device that lies", () => {
  /** Changes the last byte of the final answer to one instruction, as often as it is asked. */
  function lying(on: { ins: number }): StandOptions {
    let asked = -1;
    return {
      bend: (answer, apdu) => {
        if (apdu[0] === 0xe1) asked = apdu[1] ?? -1;
        const bent = Uint8Array.from(answer);
        const final = answer.at(-2) === 0x90 && asked === on.ins;
        if (final) bent[answer.length - 3] = (answer[answer.length - 3] ?? 0) ^ 1;
        return bent;
      },
    };
  }
  async function unregistered(options: StandOptions) {
    const stand = ledgerStand(options);
    stands.push(stand);
    const { vault } = vaultAround(await stand.key.accountKey("0"));
    return { stand, vault };
  }

  it("about the first address: nothing is kept", async () => {
    const { stand, vault } = await unregistered(lying({ ins: INS.address }));
    const asked = stand.key.registerPolicy({ vault, role: "lsp", people: ["a"] });
    const fault = await faultOf(asked);
    expect(fault).toMatchObject({ code: "unverified" });
    expect(fault.message).toContain("another first address");
    expect(openDeviceRegistrations(stand.journal.database).all()).toEqual([]);
  });

  it("about the policy's id: nothing is kept", async () => {
    const { stand, vault } = await unregistered({
      bend: (answer) =>
        answer.length === 66 ? answer.map((byte, i) => (i < 32 ? byte ^ 1 : byte)) : answer,
    });
    const asked = stand.key.registerPolicy({ vault, role: "lsp", people: ["a"] });
    const fault = await faultOf(asked);
    expect(fault).toMatchObject({ code: "unverified" });
    expect(fault.message).toContain("another policy");
    expect(openDeviceRegistrations(stand.journal.database).all()).toEqual([]);
  });

  it("with the signature of a text", async () => {
    const { stand, vault } = await unregistered(lying({ ins: INS.message }));
    const own = vault.holders.find(({ role }) => role === "lsp");
    const signing = stand.key.signLine?.(hex(own?.key.publicKey ?? new Uint8Array()), "a line");
    expect(await faultOf(signing ?? Promise.resolve())).toMatchObject({ code: "unverified" });
    expect(stand.logged).toContain("ALARM unverified signature");
  });

  it("about a key that it shows", async () => {
    let asked = 0;
    const { stand } = await unregistered({
      bend: (answer, apdu) => {
        const isShown = apdu[0] === 0xe1 && apdu[1] === 0x00 && apdu[5] === 1;
        if (!isShown) return answer;
        asked += 1;
        return answer.map((byte, i) => (i === 50 ? byte ^ 1 : byte));
      },
    });
    expect(await faultOf(stand.key.showAccount("0"))).toMatchObject({ code: "unverified" });
    expect(asked).toBe(1);
  });
});

describe("the registration", () => {
  it("is missing: no signing command is sent", async () => {
    const stand = ledgerStand();
    stands.push(stand);
    const vault = vaultAround(await stand.key.accountKey("0"));
    stand.know(vault.vault);
    const fault = await faultOf(stand.key.sign(approvalOf(honest({ from: vault }))));
    expect(fault).toMatchObject({ fault: "not-registered", passing: false });
    expect(fault.message).toContain("register it with the full review");
    expect(signings(stand)).toBe(0);
  });

  it("is wrong: the device says B008, and nothing is registered by itself", async () => {
    const { stand, vault, spend } = await ready();
    const registrations = openDeviceRegistrations(stand.journal.database);
    const [kept] = registrations.all();
    if (kept === undefined) throw new Error("nothing was registered");
    registrations.record({ ...kept, hmac: new Uint8Array(32).fill(1) });
    const fault = await faultOf(spend());
    expect(fault).toMatchObject({ fault: "registration-wrong", passing: false });
    expect(fault.message).toContain("B008");
    expect(fault.message).toContain("register again with the full review");
    const again = stand.key.registerPolicy({ vault: vault.vault, role: "lsp", people: ["a"] });
    expect(await faultOf(again)).toMatchObject({ fault: "registration-wrong" });
    expect(stand.wire.asked.get(INS.register)).toBe(1);
    const asked = { vault: vault.vault, role: "lsp", people: ["a"], again: true } as const;
    expect(await stand.key.registerPolicy(asked)).toMatchObject({ kind: "registered" });
    expect(await spend()).toHaveLength(1);
  });

  it("of a policy with a swapped key is refused before the device is asked", async () => {
    const stand = ledgerStand();
    stands.push(stand);
    const own = await stand.key.accountKey("0");
    const { vault } = vaultAround(
      own.replace(/\].*/, `]${party("thief").account.publicExtendedKey}`),
    );
    const asked = stand.key.registerPolicy({ vault, role: "lsp", people: ["a"] });
    expect(await faultOf(asked)).toMatchObject({ fault: "wrong-seed" });
    expect(stand.wire.asked.get(INS.register)).toBeUndefined();
  });

  it("of a policy with another's key swapped is seen by the person who compares, and not kept", async () => {
    const { stand, vault } = await ready();
    const bent = vaultAround(await stand.key.accountKey("0"), { trustee: "thief" });
    const sheet = new Set(vault.vault.document.policy.keys);
    stand.decide = ({ kind, pages }) => {
      const keys = pages.filter(({ title }) => /^(Our|Their) key/.test(title));
      return kind !== "register" || keys.every(({ text }) => sheet.has(text))
        ? "approve"
        : "reject";
    };
    const asked = { vault: bent.vault, role: "lsp", people: ["a"] } as const;
    expect(await faultOf(stand.key.registerPolicy(asked))).toMatchObject({ code: "rejected" });
    stand.know(bent.vault);
    const spend = stand.key.sign(approvalOf(honest({ from: bent })));
    expect(await faultOf(spend)).toMatchObject({ fault: "not-registered" });
  });
});

describe("what a Ledger is never asked", () => {
  it("coins of two vaults at once, not even where a law forgets it", async () => {
    const { stand } = await ready();
    const batch = approvalOf(honest(collectBatch()));
    const before = stand.wire.apdus;
    const fault = await faultOf(stand.key.sign(batch));
    expect(fault).toMatchObject({ code: "unsupported" });
    expect(fault.message).toContain("one vault at a time");
    expect(stand.wire.apdus).toBe(before);
  });

  it.each([
    [8, 1],
    [9, 0],
  ])("%i outputs: %i signing commands", async (outputs, count) => {
    const { stand, spend } = await ready();
    const payments = Array.from({ length: outputs - 1 }, (_, n) => ({
      script: recipient(n),
      sats: 20_000n,
    }));
    const made = spend({ payments });
    if (count === 1) expect(await made).toHaveLength(1);
    else expect(await faultOf(made)).toMatchObject({ code: "unsupported" });
    expect(signings(stand)).toBe(count);
  });

  it("anything, once it is closed", async () => {
    const { stand, spend } = await ready();
    await stand.key.close();
    const before = stand.wire.apdus;
    expect(await faultOf(spend())).toMatchObject({ code: "unavailable" });
    expect(stand.wire.apdus).toBe(before);
  });
});
