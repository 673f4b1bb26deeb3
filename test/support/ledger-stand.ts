/**
 * A key over the emulated Ledger app, with everything that a signer gives it: a journal of its own,
 * the vaults that it knows, a wire that counts. Ledger's own client talks to the app.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Approval, decide } from "../../policies/decide.ts";
import { composeVault, type Role, readVault, type Vault } from "../../policies/vault.ts";
import { vaultScripts } from "../../policies/vault-scripts.ts";
import { type Journal, openJournal } from "../../signer/journal.ts";
import { createJournal } from "../../signer/journal-file.ts";
import type { LedgerKey } from "../../signer/ledger/key.ts";
import { ledgerError } from "../../signer/ledger/ledger-error.ts";
import type { LookNotice } from "../../signer/ledger/look.ts";
import { openLedgerKey } from "../../signer/ledger/open.ts";
import type { Transport } from "../../signer/ledger/transport.ts";
import { type LedgerApp, openApp, UnpluggedError } from "./ledger-app/app.ts";
import { type Answer, type Review, reader } from "./ledger-app/review.ts";
import { party, type Spend, type TestVault } from "./spend.ts";

/** The device of the recordings, and another one. */
export const SEEDS = {
  user: "glory promote mansion idle axis finger extra february uncover one trip resource lawn turtle enact monster seven myth punch hobby comfort wild raise skin",
  other:
    "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about",
} as const;

export interface Wire {
  /** Commands that were sent, continuations included. */
  apdus: number;
  bytesOut: number;
  bytesIn: number;
  /** By the app's instruction, without continuations. */
  readonly asked: Map<number, number>;
  connections: number;
}

export const INS = { register: 0x02, address: 0x03, sign: 0x04, message: 0x10 } as const;

export interface StandOptions {
  readonly mnemonic?: string;
  readonly appName?: "Bitcoin" | "Bitcoin Test";
  readonly version?: string;
  readonly uri?: string;
  readonly network?: "regtest" | "testnet" | "bitcoin";
  readonly role?: Role;
  readonly answerMsMax?: number;
  /** Talks to a real server at the URI, and not to the stand's own app. */
  readonly real?: boolean;
  /** What arrives in place of an answer. */
  readonly bend?: (answer: Uint8Array, apdu: Uint8Array) => Uint8Array;
}

export interface LedgerStand {
  /** The device that is plugged in; put another in its place at will. */
  app: LedgerApp;
  /** What the person does; they approve unless a test says else. */
  decide: (review: Review) => Answer | Promise<Answer>;
  readonly key: LedgerKey;
  readonly journal: Journal;
  readonly wire: Wire;
  readonly looks: LookNotice[];
  readonly logged: string[];
  /** Known to the signer, and to no device yet. */
  readonly know: (vault: Vault) => void;
  /** Registered on the device by a person who approves. */
  readonly register: (vault: Vault) => Promise<void>;
  /** Another device on the same cable. */
  readonly swap: (options: Pick<StandOptions, "mnemonic" | "appName" | "version">) => void;
  /** The same journal and device, after a new start of the signer. */
  readonly reopen: () => LedgerKey;
  readonly close: () => Promise<void>;
}

export function ledgerStand(options: StandOptions = {}): LedgerStand {
  const { network = "regtest", role = "lsp", uri = "ledger:emulator?port=1" } = options;
  const folder = mkdtempSync(join(tmpdir(), "ballast-ledger-"));
  const file = join(folder, "journal.db");
  createJournal({ file, network, role });
  const journal = openJournal({ file, network, role });
  const vaults = new Map<string, Vault>();
  const wire: Wire = { apdus: 0, bytesOut: 0, bytesIn: 0, asked: new Map(), connections: 0 };
  const person = reader((review) => stand.decide(review));
  const appOf = ({ mnemonic = SEEDS.user, ...rest }: StandOptions) => {
    const { appName, version } = rest;
    return openApp({
      ...{ mnemonic, person },
      ...(appName !== undefined && { appName }),
      ...(version !== undefined && { version }),
    });
  };
  const open = () =>
    openLedgerKey(uri, {
      ...{ network, database: journal.database },
      vaultOf: (id) => vaults.get(id) ?? null,
      look: (notice) => void stand.looks.push(notice),
      log: (event) => void stand.logged.push(event),
      ...(options.real !== true && { connect: async () => connect(stand, wire, options.bend) }),
      ...(options.answerMsMax !== undefined && { answerMsMax: options.answerMsMax }),
    });
  const opened: LedgerKey[] = [];
  const stand: LedgerStand = {
    app: appOf(options),
    decide: () => "approve",
    key: open(),
    journal,
    wire,
    looks: [],
    logged: [],
    know: (vault) => void vaults.set(vault.id, vault),
    register: async (vault) => {
      vaults.set(vault.id, vault);
      await stand.key.registerPolicy({ vault, role, people: ["a person"] });
    },
    swap: (other) => {
      stand.app = appOf(other);
    },
    reopen: () => {
      const key = open();
      opened.push(key);
      return key;
    },
    close: async () => {
      for (const key of [stand.key, ...opened]) await key.close();
      journal.close();
      rmSync(folder, { recursive: true });
    },
  };
  return stand;
}

interface VaultAround {
  readonly exit?: boolean;
  readonly name?: string;
  /** Seed of the trustee's key. */
  readonly trustee?: string;
}

/** A user's vault with the key as the LSP's; the other two are the test's own. */
export function vaultAround(lsp: string, more: VaultAround = {}): TestVault {
  const { exit = false, name = "Ballast", trustee = "ledger/trustee" } = more;
  const parties = new Map([
    ["user", party("ledger/user")],
    ["trustee", party(trustee)],
  ] as const);
  const holders = [
    { role: "lsp" as const, key: lsp },
    ...[...parties].map(([role, { text }]) => ({ role, key: text })),
  ];
  const vault = readVault(composeVault({ network: "regtest", kind: "user", name, holders, exit }));
  return { vault, scripts: vaultScripts(vault), parties };
}

/** The approval of an honest spend; a spend that the law refuses fails the test with its reasons. */
export function approvalOf(spend: Spend): Approval {
  const decision = decide(spend.case);
  if (decision.kind === "approved") return decision.approval;
  throw new Error(decision.violations.map(({ rule, detail }) => `${rule}: ${detail}`).join("; "));
}

/** A cable to whatever device is on the stand now; a device that was swapped took its cable along. */
function connect(stand: LedgerStand, wire: Wire, bend: StandOptions["bend"]): Transport {
  const { app } = stand;
  wire.connections += 1;
  return {
    exchange: async (apdu) => {
      wire.apdus += 1;
      wire.bytesOut += apdu.length;
      const [cla, ins = 0] = apdu;
      if (cla === 0xe1) wire.asked.set(ins, (wire.asked.get(ins) ?? 0) + 1);
      if (stand.app !== app) throw ledgerError("disconnected", "another device");
      try {
        const given = await app.exchange(apdu);
        const answer = bend?.(given, apdu) ?? given;
        wire.bytesIn += answer.length;
        return answer;
      } catch (error) {
        if (error instanceof UnpluggedError) throw ledgerError("disconnected", "", error);
        throw error;
      }
    },
    close: async () => undefined,
  };
}
