/**
 * The life of keys on a real node: devices are lost, replaced and updated, the LSP is gone, the user is
 * lost, keys are rotated, and what a person may do beforehand is said on their Ledger. People sit at
 * their own stations over emulated Ledgers; the LSP's signer judges by its own law.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import Sqlite from "better-sqlite3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readAccountKey } from "../../policies/bitcoin/account-key.ts";
import { recoveryHash } from "../../policies/evidence/notice.ts";
import type { Standing } from "../../policies/evidence/standing.ts";
import { readVault } from "../../policies/vault.ts";
import type { AccountView, IntentView } from "../../scripts/tour/client.ts";
import { poll } from "../../scripts/tour/client.ts";
import { exportJournal, importJournal } from "../../signer/interchange.ts";
import { createJournal } from "../../signer/journal-file.ts";
import { branchesOf } from "../../signer/node/vault-coins.ts";
import { SEEDS } from "../support/ledger-stand.ts";
import { describeNode, temporaryFolder } from "../support/node.ts";
import {
  type Device,
  type DeviceOptions,
  goThrough,
  joined,
  meet,
  moved,
  plugIn,
  register,
  requestOf,
  type Seated,
  sitDown,
  speak,
  standingIn,
} from "./seats.ts";
import {
  ceremonyFor,
  type Home,
  homeOf,
  openHome,
  openTown,
  proofsOf,
  reached,
  scanned,
  type Town,
} from "./town.ts";

/** Seeds of trials, by their BIP39 checksums. */
const SEED = {
  ann: SEEDS.user,
  tess: SEEDS.other,
  tessAnew: "legal winner thank year wave sausage worth useful legal winner thank yellow",
  bob: "letter advice cage absurd amount doctor acoustic avoid letter advice cage above",
  heir: "zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo wrong",
} as const;
const COIN_SATS = 300_000n;
const PAID_SATS = 100_000n;

describeNode("the life of keys", (node) => {
  const folder = temporaryFolder();
  const devices: Device[] = [];
  let town: Town;
  let ann: Seated;
  let tess: Seated;
  let home: Home;
  let payee = "";

  const device = async (options: DeviceOptions) => {
    const plugged = await plugIn(options);
    devices.push(plugged);
    return plugged;
  };
  /** Another device, or another app, on the cable of the running station. */
  const replug = async (options: Partial<DeviceOptions> = {}) => {
    await ann.device.stop();
    const other = await plugIn({ mnemonic: SEED.ann, ...options }, ann.device.port);
    devices.push(other);
    ann = { ...ann, device: other };
  };
  const sit = async (name: string, role: "user" | "trustee", mnemonic: string) =>
    sitDown({ name, role, device: await device({ mnemonic }), node, folder: folder() });
  const mine = async (blocks: number) => {
    for (let left = blocks; left > 0; left -= 1_000) await node.miner.mine(Math.min(left, 1_000));
    if (blocks > 1) await scanned(town, await height());
  };
  const height = () => node.rpc.call<number>("getblockcount");
  const balance = async (account: string) => {
    const { balances } = await town.api.get<AccountView>(`/v1/accounts/${account}`);
    return BigInt(balances.availableSats);
  };

  /** By the node alone: unspent outputs of the vault. */
  async function coinsOf({ vault }: Pick<Home, "vault">): Promise<number> {
    const { unspents } = await node.rpc.call<{ unspents: readonly unknown[] }>("scantxoutset", [
      "start",
      branchesOf(vault).map((body) => ({ desc: body, range: 30 })),
    ]);
    return unspents.length;
  }

  /** Coins of the account, booked. */
  async function fund({ account, address }: Pick<Home, "account" | "address">, coins: number) {
    const before = await balance(account);
    for (let i = 0; i < coins; i += 1) await node.miner.fund(address, COIN_SATS);
    await mine(1);
    const due = before + COIN_SATS * BigInt(coins);
    await poll(async () => ((await balance(account)) === due ? due : null), "no deposit booked");
  }

  async function raised(path: string, reference: string, more: object = {}): Promise<string> {
    const { id } = await town.api.post<IntentView>(path, { reference, ...more });
    return id;
  }

  /** Raised and built: it waits at the user's station. */
  async function withdrawal(account: string, reference: string): Promise<string> {
    const payment = { account, address: payee, sats: String(PAID_SATS) };
    const id = await raised("/v1/withdrawals", reference, payment);
    await reached(town, id, "built");
    return id;
  }

  async function confirmed(id: string): Promise<IntentView> {
    await reached(town, id, "broadcast", "confirmed");
    await mine(1);
    return await reached(town, id, "confirmed");
  }

  beforeAll(async () => {
    town = await openTown(node, folder());
    ann = await sit("ann", "user", SEED.ann);
    tess = await sit("tess", "trustee", SEED.tess);
    home = await openHome(town, { user: ann, trustee: tess, number: 0 });
    const { api, url } = town;
    ann = await joined(ann, { api, url, account: home.account });
    tess = await joined(tess, { api, url });
    await meet(ann, home.registration);
    expect(await register(ann, home.registration)).toBe("registered");
    await fund(home, 8);
    payee = await node.rpc.call<string>("getnewaddress", ["", "bech32m"], { wallet: "miner" });
  }, 120_000);

  afterAll(async () => {
    await ann?.station.close();
    await tess?.station.close();
    await town?.close();
    for (const { stop } of devices) await stop();
  });

  describe("a user's device is lost, and the seed restored on another", () => {
    it("the station's journal keeps the registration: the new device signs at once", async () => {
      await replug();
      const id = await withdrawal(home.account, "on another device");
      expect(await goThrough(ann, id)).toMatchObject({ kind: "signed" });
      const shown = await ann.device.screens();
      expect(shown.join("\n")).not.toContain("Register account");
      await reached(town, id, "broadcast");
    });

    it("a new journal with what the old one knew does, too", async () => {
      const journal = join(ann.home, "restored.db");
      createJournal({ file: journal, network: "regtest", role: "user" });
      await ann.station.close();
      const [from, to] = [new Sqlite(ann.journal), new Sqlite(journal)];
      for (const db of [from, to]) db.defaultSafeIntegers(true);
      const document: unknown = JSON.parse(JSON.stringify(exportJournal(from)));
      expect(importJournal(to, document)).toMatchObject({ vaults: 1, device_registrations: 1 });
      from.close();
      to.close();
      ann = await moved(ann, { journal });
      const id = await withdrawal(home.account, "from a restored journal");
      expect(await goThrough(ann, id)).toMatchObject({ kind: "signed" });
      await reached(town, id, "broadcast");
    });

    it("without it the vault is registered again, with the full review, and never by itself", async () => {
      const kept = ann.journal;
      const journal = join(ann.home, "empty.db");
      createJournal({ file: journal, network: "regtest", role: "user" });
      ann = await moved(ann, { journal });
      await replug();
      const id = await withdrawal(home.account, "with nothing left");
      const before = await goThrough(ann, id);
      expect(before).toMatchObject({ kind: "left", why: expect.stringContaining("registered") });
      expect((await ann.device.screens()).join("\n")).not.toContain("Register account");
      expect(await register(ann, home.registration)).toBe("registered");
      const review = (await ann.device.screens()).join("\n");
      for (const page of [home.vault.document.policy.name, "Register account", "Our key"]) {
        expect(review).toContain(page);
      }
      expect(ann.told.join("\n")).toContain("Reject it there if a single page differs.");
      expect(await goThrough(ann, id)).toMatchObject({ kind: "signed" });
      await reached(town, id, "broadcast");
      // What was bound to spends is in the first journal: an empty one is a last resort.
      ann = await moved(ann, { journal: kept });
    });
  });

  describe("an app upgrade", () => {
    it.each([
      ["newer than any that was tried", { version: "2.5.0" }, "newer than 2.4.6"],
      ["older", { version: "2.4.5" }, "older than 2.4.6"],
      ["known to sign wrongly", { version: "2.2.0" }, "wrong leaf hash"],
      ["of another network", { appName: "Bitcoin" as const }, "is open, not"],
    ])("%s is refused in words before anything is asked", async (_, options, words) => {
      await replug(options);
      const id = await withdrawal(home.account, "before the update");
      const handled = await goThrough(ann, id);
      expect(handled).toMatchObject({ kind: "left", why: expect.stringContaining(words) });
      expect(handled.told).toContain("Nothing was signed");
      expect((await ann.device.screens()).filter((text) => /sign|approve/i.test(text))).toEqual([]);
      expect(await reached(town, id, "built")).toMatchObject({ state: "built" });
    });

    it("is taken after a dry run where its owner says so, and the registration still works", async () => {
      await replug({ version: "2.5.0" });
      ann = await moved(ann, { uri: "&allow-newer=yes" });
      const id = await withdrawal(home.account, "before the update");
      expect(await goThrough(ann, id)).toMatchObject({ kind: "signed" });
      expect((await ann.device.screens()).join("\n")).not.toContain("Register account");
      await reached(town, id, "broadcast");
      await replug();
      const next = await withdrawal(home.account, "after the update");
      expect(await goThrough(ann, next)).toMatchObject({ kind: "signed" });
      await confirmed(next);
    });
  });

  describe("what a user says on the device", () => {
    const mandate = (number: number, sats30d: string) =>
      speak(ann, home.vault, {
        ...{ kind: "mandate", vault: home.vault.id, number },
        fields: {
          ...{ sats30d, fees30d: "5000", treasury: "ab".repeat(20), until: "1000" },
        },
      });
    const delegate = (number: number, sats: string) =>
      speak(ann, home.vault, {
        ...{ kind: "delegate", vault: home.vault.id, number },
        fields: { key: `02${"11".repeat(32)}`, sats, until: "1000" },
      });
    /** Both signers have heard it: the LSP's is told, the trustee's station asks. */
    async function heard(check: (standing: Standing) => void) {
      expect((await tess.station.hear()).refused).toEqual([]);
      await tess.station.close();
      check(standingIn(tess.journal, home.vault.id));
      tess = await moved(tess, {});
      await poll(async () => {
        const { notices } = await noticesOf();
        return notices.every(({ told }) => told === "heard") ? true : null;
      }, "the LSP's signer has not heard all");
      check(await town.lspStanding(home.vault.id));
    }
    async function noticesOf() {
      const token = tess.orchestrator?.token ?? "";
      const headers = { authorization: `Bearer ${readFileSync(token, "utf8")}` };
      const answer = await fetch(`${town.url}/v1/station/notices?after=0`, { headers });
      return (await answer.json()) as { notices: readonly { told: string }[] };
    }

    it("is one readable line, heard by both signers, and a higher number replaces it", async () => {
      await ann.device.screens();
      const text = await mandate(1, "100000");
      const shown = (await ann.device.screens())
        .filter((line) => !/^(?:Message|Path)/.test(line))
        .join("");
      expect(shown).toContain(text);
      await delegate(1, "20000");
      await mandate(2, "70000");
      await delegate(2, "0");
      await heard(({ mandate: held, delegates }) => {
        expect(held?.mandate).toMatchObject({ no: 2, sats30d: 70_000n });
        expect(delegates).toMatchObject([{ sats: 0n, until: 1_000 }]);
      });
    });

    it("is revoked by its number, and a lower one brings nothing back", async () => {
      await speak(ann, home.vault, { kind: "revoke", vault: home.vault.id, number: 2 });
      await mandate(1, "90000");
      await heard(({ mandate: held }) => expect(held).toBeNull());
    });
  });

  describe("the LSP is gone", () => {
    const announce = (number: number) =>
      speak(ann, home.vault, { kind: "lsp-gone", vault: home.vault.id, number });

    beforeAll(async () => {
      town.lsp.gone = true;
      await meet(tess, home.registration);
      expect(await register(tess, home.registration)).toBe("registered");
    });

    afterAll(() => {
      town.lsp.gone = false;
    });

    async function recovery(reference: string): Promise<string> {
      const payment = { account: home.account, address: payee, sats: String(PAID_SATS) };
      const id = await raised("/v1/recoveries", reference, payment);
      await reached(town, id, "built");
      expect(await goThrough(ann, id)).toMatchObject({ kind: "signed" });
      await ceremonyFor(town, id, "tess");
      return id;
    }

    it("ends with a stop of the user: announced, waited for, and refused for good", async () => {
      await announce(1);
      await tess.station.hear();
      await speak(ann, home.vault, { kind: "stop", vault: home.vault.id, number: 1 });
      await mine(144);
      expect((await tess.station.hear()).refused).toEqual([]);
      const id = await recovery("stopped");
      const sight = await tess.station.look(await requestOf(tess, id));
      expect(sight.verdict).toBe("refused");
      expect(sight.violations).toMatchObject([
        { rule: "recovery-announced", detail: expect.stringContaining("is announced") },
      ]);
      await tess.station.decline(await requestOf(tess, id), "it was stopped");
      expect((await reached(town, id, "refused")).violations).toMatchObject([{ rule: "ceremony" }]);
    });

    it("is held until the block that it names, then user and trustee spend, and it confirms", async () => {
      await announce(2);
      const { refused } = await tess.station.hear();
      expect(refused).toEqual([]);
      const due = (await height()) + 144;
      await mine(143);
      const id = await recovery("without the LSP");
      const request = await requestOf(tess, id);
      const early = await tess.station.look(request);
      expect(early.verdict).toBe("held");
      expect(early.violations).toMatchObject([
        { rule: "recovery-announced", detail: expect.stringContaining(`from block ${due}`) },
      ]);
      expect(await goThrough(tess, id)).toMatchObject({ kind: "left" });
      await mine(1);
      expect(await goThrough(tess, id)).toMatchObject({ kind: "signed" });
      const { txid } = await confirmed(id);
      const { confirmations } = await node.rpc.call<{ confirmations: number }>(
        "getrawtransaction",
        [txid, true],
      );
      expect(confirmations).toBeGreaterThanOrEqual(1);
      expect(await tess.station.attest()).not.toEqual([]);
    });
  });

  describe("a rotation of one key", () => {
    let old: Home;

    /** The user signs first, on the device, then the LSP; confirmed in the vault in use. */
    async function migrated(reference: string): Promise<void> {
      const id = await raised("/v1/migrations", reference, { account: home.account });
      await reached(town, id, "built");
      expect(await goThrough(ann, id)).toMatchObject({ kind: "signed" });
      await confirmed(id);
    }

    it("gives the account a vault with the trustee's new device, and all coins go there", async () => {
      old = home;
      const anew = await sit("tess-anew", "trustee", SEED.tessAnew);
      const { account } = home;
      const path = `/v1/accounts/${account}/rotation`;
      const begun = await town.api.post<Parameters<typeof proofsOf>[0]>(path, {
        userKey: await ann.station.room.accountKey("0"),
        trusteeKey: await anew.station.room.accountKey("0"),
      });
      await town.api.post(`${path}/proofs`, await proofsOf(begun, { user: ann, trustee: anew }));
      await anew.station.close();
      home = await homeOf(town, account);
      expect(home.vault.id).not.toBe(old.vault.id);
      const before = await balance(account);
      await migrated("to the new device");
      const after = await balance(account);
      expect(before - after).toBeLessThan(5_000n);
      // What the declined ceremony holds stays there until nobody would sign it any more.
      expect(await coinsOf(old)).toBe(1);
      expect(await coinsOf(home)).toBe(1);
    });

    it("leaves the old vault watched: a later deposit is seen, booked, and moves, too", async () => {
      await fund({ account: home.account, address: old.address }, 1);
      expect(await coinsOf(old)).toBe(2);
      await migrated("what came later");
      expect(await coinsOf(old)).toBe(1);
      expect(await coinsOf(home)).toBe(2);
    });
  });

  describe("a user is lost", () => {
    let bob: Seated;
    let heir: Seated;
    let lost: Home;
    let to: Home["vault"];
    let registration: Home["registration"];

    beforeAll(async () => {
      bob = await sit("bob", "user", SEED.bob);
      lost = await openHome(town, { user: bob, trustee: tess, number: 1 });
      const { api, url } = town;
      bob = await joined(bob, { api, url, account: lost.account });
      heir = await sit("heir", "user", SEED.heir);
      heir = await joined(heir, { api, url, account: lost.account });
      await meet(tess, lost.registration);
      expect(await register(tess, lost.registration)).toBe("registered");
      await fund(lost, 2);
    });

    afterAll(async () => {
      await heir?.station.close();
    });

    it("has named the recovery key in the mandate, on the device", async () => {
      const key = await heir.station.room.accountKey("0");
      const keys = {
        recoveryKey: key,
        trusteeKey: await tess.station.room.accountKey("2"),
      };
      const path = `/v1/accounts/${lost.account}/recovery`;
      await expect(town.api.post(path, keys)).rejects.toThrow("has named no recovery key");
      const named = recoveryHash(readAccountKey(key, "regtest"));
      await speak(bob, lost.vault, {
        ...{ kind: "mandate", vault: lost.vault.id, number: 1 },
        fields: {
          ...{ may: "none", sats30d: "0", fees30d: "0", treasury: "ab".repeat(20) },
          ...{ recovery: named, until: String((await height()) + 1_000) },
        },
      });
      await bob.station.close();
      await tess.station.hear();
      const begun = await town.api.post<Parameters<typeof proofsOf>[0]>(path, keys);
      to = readVault(begun.document);
      const proofs = await proofsOf(begun, { user: heir, trustee: tess });
      const open = await town.api.post<{ readonly state: string }>(`${path}/proofs`, proofs);
      expect(open.state).toBe("open");
      registration = { vault: begun.document, proofs };
      // Until the coins are there the account's vault is the user's.
      expect((await homeOf(town, lost.account)).vault.id).toBe(lost.vault.id);
    });

    it("is announced by the recovery key, held for a month, and the coins stay free meanwhile", async () => {
      const wish = { account: lost.account };
      await mine(1);
      await speak(heir, to, {
        ...{ kind: "user-lost", vault: lost.vault.id, number: 1, fields: { to: to.id } },
      });
      expect((await tess.station.hear()).refused).toEqual([]);
      const due = (await height()) + 4_320;
      const early = await raised("/v1/recoveries/lost", "too early", wish);
      const { violations } = await poll(async () => {
        const intent = await town.api.get<IntentView>(`/v1/intents/${early}`);
        return intent.violations.length > 0 ? intent : null;
      }, "the LSP's signer said nothing");
      expect(violations).toMatchObject([
        { rule: "recovery-announced", detail: expect.stringContaining(`from block ${due}`) },
      ]);
      await mine(4_320);
      // Its PSBT is too old by now: refused, and nobody has signed it.
      town.pass(600_000n);
      await reached(town, early, "refused");
      expect(await balance(lost.account)).toBe(COIN_SATS * 2n);
    });

    it("after it LSP and trustee move all coins to the recovery key's vault", async () => {
      const id = await raised("/v1/recoveries/lost", "lost", { account: lost.account });
      await reached(town, id, "lsp-signed");
      await ceremonyFor(town, id, "tess");
      const sight = await requestOf(tess, id).then((request) => tess.station.look(request));
      expect(sight).toMatchObject({ verdict: "approved", purpose: "recovery-user-lost" });
      expect(await goThrough(tess, id)).toMatchObject({ kind: "signed" });
      await confirmed(id);
      expect(await coinsOf({ vault: to })).toBe(1);
      expect(await coinsOf(lost)).toBe(0);
      expect((await homeOf(town, lost.account)).vault.id).toBe(to.id);
    });

    it("and the recovery key's holder spends from there, with the LSP", async () => {
      const now = await homeOf(town, lost.account);
      expect(now.registration.proofs).toMatchObject(registration.proofs);
      await meet(heir, now.registration);
      expect(await register(heir, now.registration)).toBe("registered");
      const id = await withdrawal(lost.account, "from the safe");
      expect(await goThrough(heir, id)).toMatchObject({ kind: "signed" });
      await confirmed(id);
    });
  });
});
