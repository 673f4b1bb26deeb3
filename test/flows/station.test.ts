/**
 * A user at a station with a Ledger before them, on a real node: the emulated app is a process of its
 * own, the person presses its two buttons, and holds what its screen says against what they know of
 * the payment from elsewhere. The orchestrator is played by the test, and in one run it is evil.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { schnorr } from "@noble/curves/secp256k1.js";
import { afterAll, beforeAll, expect, it } from "vitest";
import { buildPsbt } from "../../orchestrator/spend/build.ts";
import { combine, finalise } from "../../orchestrator/spend/combine.ts";
import { hex } from "../../policies/bitcoin/hash.ts";
import { readPsbt, writePsbt } from "../../policies/bitcoin/psbt.ts";
import { field, fieldsOf, IN, withFields } from "../../policies/bitcoin/psbt-fields.ts";
import { addressOf, scriptOf } from "../../policies/bitcoin/taproot.ts";
import { concat } from "../../policies/bitcoin/wire.ts";
import { spendFacts } from "../../policies/facts.ts";
import type { IntentDocument } from "../../policies/intent.ts";
import { sats } from "../../policies/money.ts";
import { possessionHash, possessionText } from "../../policies/possession.ts";
import { CHANGE, composeVault, RECEIVE, readVault } from "../../policies/vault.ts";
import { type VaultScripts, vaultScripts } from "../../policies/vault-scripts.ts";
import { createJournal } from "../../signer/journal-file.ts";
import { isLedgerKey } from "../../signer/ledger/key.ts";
import { verifyTranscript } from "../../signer/ledger/transcript.ts";
import type { VaultRegistration } from "../../signer/signer.ts";
import { type OpenStation, openStation } from "../../signer/station/open.ts";
import { asRequest } from "../../signer/station/request-file.ts";
import type { StationRequest } from "../../signer/station/requests.ts";
import { handle } from "../../signer/station/session.ts";
import { personAt, type ShownReview } from "../support/ledger-person.ts";
import { type LedgerProcess, startLedger } from "../support/ledger-process.ts";
import { SEEDS } from "../support/ledger-stand.ts";
import { describeNode } from "../support/node.ts";
import { party } from "../support/spend.ts";

describeNode("a station with a Ledger", (node) => {
  let folder = "";
  let device: LedgerProcess;
  let station: OpenStation;
  let scripts: VaultScripts;
  let registration: VaultRegistration;
  /** Coins of the vault, in the order of their addresses. */
  const coins: { outpoint: string; index: number }[] = [];
  const COIN_SATS = sats(500_000n);

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "ballast-flow-station-"));
    device = await startLedger({ seed: SEEDS.user, person: "buttons" });
    station = await open();
    await register();
    for (let index = 0; index < 8; index += 1) {
      const address = addressOf(scripts.at(RECEIVE, index).script, "regtest") ?? "";
      const { txid, vout } = await node.miner.fund(address, COIN_SATS);
      coins.push({ outpoint: `${txid}:${vout}`, index });
    }
    await node.miner.mine(1);
  }, 120_000);

  afterAll(async () => {
    await station.close();
    await device.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  async function open(): Promise<OpenStation> {
    const journal = join(folder, "journal.db");
    createJournal({ file: journal, network: "regtest", role: "user" });
    const identity = join(folder, "identity");
    writeFileSync(identity, "11".repeat(32), { mode: 0o600 });
    return await openStation(
      {
        format: "ballast/station@1",
        ...{ name: "user", journal, identity },
        policy: join(import.meta.dirname, "../../policies/user.regtest.yaml"),
        key: `ledger:emulator?port=${device.port}`,
        node: { url: node.url, cookie: node.cookieFile },
      },
      { log: () => undefined, show: () => undefined, ask: async () => "" },
    );
  }

  /** Vault of the device's first account and two keys of the test; all prove that they have theirs. */
  async function register(): Promise<void> {
    const holders = [
      { role: "user" as const, key: await station.room.accountKey("0") },
      ...(["lsp", "trustee"] as const).map((role) => ({ role, key: party(role).text })),
    ];
    const parts = { network: "regtest", kind: "user", name: "Ballast flow" } as const;
    const vault = readVault(composeVault({ ...parts, holders }));
    scripts = vaultScripts(vault);
    const proofs = Object.fromEntries(
      (["lsp", "trustee"] as const).map((role) => {
        const secret = party(role).secretAt(RECEIVE, 0);
        return [role, hex(schnorr.sign(possessionHash(possessionText(vault, role)), secret))];
      }),
    );
    registration = { vault: vault.document, proofs };
    const person = personAt(device.url, () => "approve");
    const outcome = await station.room.registerVault(registration);
    expect(outcome.kind).toBe("registered");
    const { key } = station.room;
    if (!isLedgerKey(key)) throw new Error("no Ledger");
    expect(await key.recognises(vault, "user")).toBe(false);
    await person.leave();
    expect(person.reviews.map(({ approve }) => approve)).toEqual(["Sign message"]);
  }

  /** What the orchestrator asks for: a payment of the n-th coin. */
  async function asked(n: number, address: string): Promise<StationRequest> {
    const coin = coins[n];
    if (coin === undefined) throw new Error("no such coin");
    const paid = sats(200_000n);
    const script = scriptOf(address, "regtest");
    if (script === null) throw new Error("no address");
    const height = await node.rpc.call<number>("getblockcount");
    const psbt = buildPsbt({
      vault: scripts,
      coins: [{ ...coin, sats: COIN_SATS, branch: RECEIVE }],
      payments: [{ script, sats: paid }],
      change: { sats: sats(299_000n), branch: CHANGE, index: n },
      locktime: height,
    });
    const intent: IntentDocument = {
      format: "ballast/intent@1",
      purpose: "withdrawal",
      network: "regtest",
      vault: scripts.vault.id,
      outputs: [{ address, sats: String(paid) }],
      reference: `withdrawal ${n} to ${address.slice(-6)}`,
    };
    return asRequest({
      intent,
      psbt: writePsbt(psbt),
      evidence: undefined,
      vaults: [registration],
    });
  }

  /** The person has the payee's address on paper, from the payee, and the amount. */
  function reader(address: string) {
    const script = scriptOf(address, "regtest");
    const onDevice = script === null ? "" : addressOf(script, "testnet");
    return ({ pages }: ShownReview) => {
      const shown = (title: string) => pages.find((page) => page.title === title)?.text;
      return shown("To") === onDevice && shown("Amount") === "0.002 TEST" ? "approve" : "reject";
    };
  }

  async function sit(
    request: StationRequest,
    decide: (review: ShownReview) => "approve" | "reject",
  ) {
    const person = personAt(device.url, decide);
    const told: string[] = [];
    const handled = await handle(
      {
        station,
        person: { show: (lines) => void told.push(...lines), ask: async () => "sign" },
        device: true,
      },
      request,
    );
    await person.leave();
    return { handled, told: told.join("\n"), reviews: person.reviews };
  }

  const payee = () => node.rpc.call<string>("getnewaddress", ["", "bech32m"], { wallet: "miner" });

  it("registers the vault on the device when a spend first needs it, if the person says so", async () => {
    const request = await asked(6, await payee());
    const answers = (last: string) => {
      const left = ["sign", last];
      return { show: () => undefined, ask: async () => left.shift() ?? "" };
    };
    const person = personAt(device.url, () => "approve");
    const parts = { station, device: true };
    expect(await handle({ ...parts, person: answers("not now") }, request)).toMatchObject({
      kind: "left",
      why: expect.stringContaining("not registered"),
    });
    expect(await handle({ ...parts, person: answers("yes") }, request)).toMatchObject({
      kind: "signed",
    });
    await person.leave();
    // The policy page by page, the first address, and then the spend.
    expect(person.reviews.map(({ approve }) => approve)).toEqual([
      "Register account",
      "Confirm",
      "Sign transaction",
    ]);
    const kept = readFileSync(join(folder, "journal.db.devices"), "utf8").trim().split("\n");
    expect(verifyTranscript(kept.map((line) => JSON.parse(line) as unknown))).toMatchObject({
      outcome: "registered",
    });
  });

  it("signs what the person recognises; with the LSP's signature the node confirms it", async () => {
    const address = await payee();
    const request = await asked(0, address);
    const { handled, told } = await sit(request, reader(address));
    expect(handled).toEqual({ kind: "signed", id: request.id });
    expect(told).toContain("Pays     200,000 sat");
    const signed = await station.room.sign(request.request);
    if (signed.kind !== "signed") throw new Error("not signed");
    const unsigned = readPsbt(request.request.psbt);
    const lsp = lspSigned(signed.psbt);
    const combined = combine({
      ...{ unsigned, vaults: [scripts] },
      partials: [readPsbt(signed.psbt), readPsbt(lsp)],
    });
    expect(combined.signedBy).toEqual(["user", "lsp"]);
    const { rawTx, txid } = finalise(combined.psbt, [scripts]);
    const sent = await node.rpc.call<string>("sendrawtransaction", [hex(rawTx)]);
    expect(sent).toBe(hex(Uint8Array.from(txid).reverse()));
  });

  /** The LSP's own signature, by the test. */
  function lspSigned(psbt: Uint8Array): Uint8Array {
    const read = readPsbt(psbt);
    const { inputs } = spendFacts(read, [scripts]);
    return writePsbt({
      ...read,
      inputs: read.inputs.map((map, i) => {
        const { coin, signing } = inputs[i] ?? {};
        const key = signing?.keys.find(({ role }) => role === "lsp");
        if (coin === null || coin === undefined || signing === null || key === undefined) {
          throw new Error("no coin of the vault");
        }
        const secret = party("lsp").secretAt(coin.branch, coin.index);
        const signature = schnorr.sign(signing?.sighash ?? new Uint8Array(0), secret);
        const keyData = concat([key.xOnly, signing?.leafHash ?? new Uint8Array(0)]);
        return withFields(map, [field(IN.TAP_SCRIPT_SIG, signature, keyData)]);
      }),
    });
  }

  it("was altered on its way: the person reads another address, and says no", async () => {
    const [mine, thief] = [await payee(), await payee()];
    const request = await asked(1, thief);
    const { handled, reviews } = await sit(request, reader(mine));
    expect(handled).toMatchObject({ kind: "declined" });
    expect(reviews).toHaveLength(1);
    expect(signatures(request)).toBe(0);
    // Nothing was bound by it: the honest request takes the same coin.
    const honest = await asked(1, mine);
    expect((await sit(honest, reader(mine))).handled).toMatchObject({ kind: "signed" });
  });

  function signatures({ request }: StationRequest): number {
    return readPsbt(request.psbt).inputs.flatMap((map) => fieldsOf(map, IN.TAP_SCRIPT_SIG)).length;
  }

  it("was altered after it was seen: nothing is asked of the device", async () => {
    const [mine, thief] = [await payee(), await payee()];
    const sight = await station.look(await asked(2, mine));
    const other = await asked(2, thief);
    await expect(station.approve(other, sight.spendHash)).rejects.toMatchObject({
      code: "changed",
    });
  });

  it("loses its cable in the middle: neither yes nor no, and plugged in again it signs", async () => {
    const address = await payee();
    const request = await asked(3, address);
    let pulled = false;
    const pulling = personAt(device.url, () => {
      if (!pulled) void device.post("/cable", { plugged: false });
      pulled = true;
      return "reject";
    });
    const outcome = station.approve(request, (await station.look(request)).spendHash);
    await expect(outcome).rejects.toMatchObject({ fault: "disconnected", passing: true });
    await pulling.leave().catch(() => undefined);
    await device.post("/cable", { plugged: true });
    // The coin stays bound to this spend: another is refused before the device is asked.
    const other = await asked(3, await payee());
    expect((await station.look(other)).violations).toMatchObject([{ rule: "coins-unclaimed" }]);
    expect((await sit(request, reader(address))).handled).toMatchObject({ kind: "signed" });
  });

  it("has a device that answers with signatures gone wrong: none leaves, and then the good one", async () => {
    const address = await payee();
    const request = await asked(4, address);
    for (const signature of [
      "other-leaf",
      "other-message",
      "wrong-key",
      "short",
      "none",
      "twice",
    ]) {
      await device.post("/faults", { locked: false, signature });
      const { handled, told } = await sit(request, reader(address));
      expect([signature, handled]).toMatchObject([signature, { kind: "left" }]);
      expect(told).toContain("Nothing was signed");
    }
    await device.post("/faults", { locked: false, signature: "honest" });
    // Each time a signature may have been given, so the coin is bound to this very transaction.
    const other = await asked(4, await payee());
    expect((await station.look(other)).violations).toMatchObject([{ rule: "coins-unclaimed" }]);
    expect((await sit(request, reader(address))).handled).toMatchObject({ kind: "signed" });
  });

  it("is locked: told in words, and after the PIN it signs", async () => {
    const address = await payee();
    const request = await asked(5, address);
    await device.post("/faults", { locked: true, signature: "honest" });
    const { handled } = await sit(request, reader(address));
    expect(handled).toMatchObject({ kind: "left", why: expect.stringContaining("locked") });
    await device.post("/faults", { locked: false, signature: "honest" });
    expect((await sit(request, reader(address))).handled).toMatchObject({ kind: "signed" });
  });
});
