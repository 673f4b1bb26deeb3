/**
 * `bench ledger`: what a person with a Ledger waits for, counted and not timed: round trips and bytes
 * a signature, by Ledger's own client and the emulated app in a process of its own, beside the same
 * spend given as it travels between signers. Each round trip is about a tenth of a second on hardware.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type Database from "better-sqlite3";
import { sha256 } from "../../policies/bitcoin/hash.ts";
import { readPsbt, writePsbt } from "../../policies/bitcoin/psbt.ts";
import { shown } from "../../policies/bitcoin/transaction.ts";
import { u32 } from "../../policies/bitcoin/wire.ts";
import { type Approval, decide } from "../../policies/decide.ts";
import { NO_EVIDENCE } from "../../policies/evidence.ts";
import { spendFacts } from "../../policies/facts.ts";
import { historyOf, historyQuery, NO_HISTORY } from "../../policies/history.ts";
import { readIntent } from "../../policies/intent.ts";
import { sats } from "../../policies/money.ts";
import { composeVault, readVault } from "../../policies/vault.ts";
import { type VaultScripts, vaultScripts } from "../../policies/vault-scripts.ts";
import { openCurvePool } from "../../signer/curve.ts";
import { devicePsbt } from "../../signer/device-psbt.ts";
import { openJournal } from "../../signer/journal.ts";
import { createJournal } from "../../signer/journal-file.ts";
import { openClient } from "../../signer/ledger/client.ts";
import type { LedgerKey } from "../../signer/ledger/key.ts";
import { openLedgerKey } from "../../signer/ledger/open.ts";
import { openDeviceRegistrations } from "../../signer/ledger/registrations.ts";
import { openSpeculos } from "../../signer/ledger/speculos.ts";
import type { Transport } from "../../signer/ledger/transport.ts";
import { walletPolicy } from "../../signer/ledger/wallet-policy.ts";
import { startService } from "../service.ts";
import {
  COIN_SATS,
  type Coin,
  coinsOf,
  type FreshSpend,
  freshSpend,
  NETWORK,
  openHouse,
  party,
  policyOf,
  preparedChain,
  type Tip,
} from "./house.ts";
import { aimAtMost, type Bench, type BenchOptions, type BenchResult, measured } from "./result.ts";

export const ledgerBench: Bench = {
  name: "ledger",
  says: "round trips and bytes a signature of 1, 10 and 50 inputs on a Ledger, beside the PSBT as it travels",
  run,
};

const SIZES = [1, 10, 50] as const;
/** The device's PSBT leaves out what the device need not see: a fifth of the round trips, or more. */
const SHARE_MAX = 0.8;
/** Public, of nobody: BIP39's own test vector. */
const SEED = "abandon ".repeat(11).concat("about");
const EMULATOR = join(import.meta.dirname, "../../test/support/ledger-app/main.ts");
const TIP: Tip = { height: 1_000, tip: "00".repeat(32), medianTime: 1_800_000_000 };

async function run({ progress }: BenchOptions): Promise<BenchResult> {
  const curve = openCurvePool(1);
  const folder = mkdtempSync(join(tmpdir(), "ballast-bench-"));
  const house = await openHouse(folder, curve);
  const emulator = await startService({
    name: "the emulated Ledger app",
    command: [EMULATOR, "--seed", SEED],
    log: join(folder, "emulator.log"),
  });
  const file = join(folder, "ledger.db");
  createJournal({ file, network: NETWORK, role: "user" });
  const journal = openJournal({ file, network: NETWORK, role: "user" });
  const port = Number(emulator.ready["port"]);
  const wire = countedWire(openSpeculos({ host: "127.0.0.1", port }));
  const bench = openBenchKey({ database: journal.database, port, transport: wire.transport });
  const { key } = bench;
  try {
    const others = (["lsp", "trustee"] as const).map((role) => ({
      role,
      key: party(house.parties, role).text,
    }));
    const holders = [{ role: "user" as const, key: await key.accountKey("0") }, ...others];
    const parts = { network: NETWORK, kind: "user", name: "Ballast bench", holders } as const;
    const scripts = vaultScripts(readVault(composeVault(parts)));
    bench.know(scripts);
    progress("registering the vault");
    await key.registerPolicy({ vault: scripts.vault, role: "user", people: ["nobody"] });
    const rows = [];
    for (const size of SIZES) {
      progress(`${size} inputs`);
      rows.push(await row({ size, scripts, key, wire, database: journal.database }));
    }
    const aims = rows.map((one) =>
      aimAtMost(`${one.inputs} inputs: share of the PSBT as it travels`, one.share, SHARE_MAX),
    );
    return { rows, aims };
  } finally {
    await key.close();
    journal.close();
    await emulator.stop();
    house.close();
    await curve.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The key over the counted wire, and how it gets to know its vault. */
function openBenchKey(options: {
  readonly database: Database.Database;
  readonly port: number;
  readonly transport: Transport;
}) {
  let known: VaultScripts | null = null;
  const key = openLedgerKey(`ledger:emulator?port=${options.port}`, {
    network: NETWORK,
    database: options.database,
    vaultOf: (id) => (known?.vault.id === id ? known.vault : null),
    look: () => undefined,
    log: () => undefined,
    connect: async () => options.transport,
  });
  return {
    key,
    know: (scripts: VaultScripts) => {
      known = scripts;
    },
  };
}

interface Count {
  readonly trips: number;
  readonly bytes: number;
}

function countedWire(transport: Transport) {
  let count: Count = { trips: 0, bytes: 0 };
  return {
    transport: {
      exchange: async (apdu: Uint8Array) => {
        const answer = await transport.exchange(apdu);
        count = { trips: count.trips + 1, bytes: count.bytes + apdu.length + answer.length };
        return answer;
      },
      close: () => transport.close(),
    },
    /** What the work sends and gets. */
    during: async (work: () => Promise<unknown>): Promise<Count> => {
      const before = count;
      await work();
      return { trips: count.trips - before.trips, bytes: count.bytes - before.bytes };
    },
  };
}

interface Measuring {
  readonly size: number;
  readonly scripts: VaultScripts;
  readonly key: LedgerKey;
  readonly wire: ReturnType<typeof countedWire>;
  readonly database: Database.Database;
}

async function row({ size, scripts, key, wire, database }: Measuring) {
  const spend = spendOf(scripts, size);
  const approval = await approvalOf(scripts, spend, size);
  const ours = await wire.during(async () => {
    const made = await key.sign(approval);
    measured(made.length === size, "the device did not sign every input");
  });
  const client = openClient(wire.transport);
  const policy = client.policyOf(walletPolicy(scripts.vault));
  const [registration] = openDeviceRegistrations(database).all();
  const hmac = Buffer.from(registration?.hmac ?? []);
  const whole = await wire.during(() => client.signPsbt(Buffer.from(spend.psbt), policy, hmac));
  return {
    table: "round trips a signature",
    inputs: size,
    "round trips": ours.trips,
    bytes: ours.bytes,
    "psbt bytes": writePsbt(devicePsbt({ approval, vault: scripts.vault })).length,
    "as it travels": whole.trips,
    "its bytes": whole.bytes,
    "its psbt bytes": spend.psbt.length,
    share: Math.round((100 * ours.trips) / whole.trips) / 100,
  };
}

/** A withdrawal of coins that exist in the prepared view alone. */
function spendOf(scripts: VaultScripts, size: number): FreshSpend {
  return freshSpend(scripts, benchCoins(size), { locktime: TIP.height, number: size });
}

function benchCoins(size: number): readonly Coin[] {
  return Array.from({ length: size }, (_, index) => ({
    outpoint: `${shown(sha256(u32(size * 1_000 + index)))}:0`,
    sats: sats(COIN_SATS),
    index,
  }));
}

async function approvalOf(
  scripts: VaultScripts,
  { psbt, intent }: FreshSpend,
  size: number,
): Promise<Approval> {
  const prepared = preparedChain();
  prepared.put(TIP, coinsOf(scripts, benchCoins(size), TIP.height));
  const read = readPsbt(psbt);
  const outpoints = read.tx.inputs.map(({ txid, vout }) => `${shown(txid)}:${vout}`);
  const chain = await prepared.chain.view({ outpoints });
  const facts = spendFacts(read, [scripts]);
  const spend = {
    ...{ facts, intent: readIntent(intent), policy: policyOf("user"), evidence: NO_EVIDENCE },
    ...{ vault: scripts.vault, parties: [], chain },
  };
  const moment = { now: TIP.medianTime * 1_000, height: TIP.height };
  const history = historyOf(NO_HISTORY, historyQuery(spend), moment);
  const decision = decide({ ...spend, history });
  measured(decision.kind === "approved", `an honest spend was ${decision.kind}`);
  return decision.approval;
}
