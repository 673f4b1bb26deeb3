/** An orchestrator and the LSP's signer with a software key, in one process, on a real node. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { silentLog } from "../../orchestrator/log.ts";
import { openOrchestrator } from "../../orchestrator/orchestrator.ts";
import type { Standing } from "../../policies/evidence/standing.ts";
import { msatsPerVbyte, sats } from "../../policies/money.ts";
import { readVault, type Vault } from "../../policies/vault.ts";
import {
  type AccountView,
  type Client,
  type IntentView,
  openClient,
  poll,
} from "../../scripts/tour/client.ts";
import { createJournal } from "../../signer/journal-file.ts";
import { openSigningRoom, type SigningRoom } from "../../signer/room.ts";
import type { Hears, Registers, Signer, VaultRegistration } from "../../signer/signer.ts";
import type { TestNode } from "../support/node.ts";
import { lspKeyFile } from "../support/signer-room.ts";
import { proofOf, type Seated, standingIn } from "./seats.ts";

export interface Town {
  readonly api: Client;
  readonly url: string;
  readonly lsp: { gone: boolean };
  /** The LSP's signer is stopped, what its journal knows of a vault is read, and it starts again. */
  readonly lspStanding: (vault: string) => Promise<Standing>;
  /** The orchestrator's clock runs ahead by so many milliseconds: what waits is tried again. */
  readonly pass: (ms: bigint) => void;
  readonly close: () => Promise<void>;
}

/** Where a block is a confirmation. */
const CONFIRMATIONS = 1;
const TOKEN = "the-operators-token-of-this-town";
/** Vaults that one file opens at most. */
const LABELS = Array.from({ length: 12 }, (_, n) => `vault-${n}`);

export async function openTown(node: TestNode, folder: string): Promise<Town> {
  const journal = join(folder, "lsp.db");
  createJournal({ file: journal, network: "regtest", role: "lsp" });
  const key = `software:${keyFile(folder)}`;
  const open = () =>
    openSigningRoom(
      {
        ...{ name: "lsp", journal, key, token_environment: {} },
        policy: join(import.meta.dirname, "../../policies/lsp.regtest.yaml"),
        node: { url: node.url, cookie: node.cookieFile },
      },
      () => undefined,
    );
  let room = await open();
  const lsp = { gone: false };
  let ahead = 0n;
  const orchestrator = await openOrchestrator({
    config: {
      ...{ format: "ballast/orchestrator@1", network: "regtest", port: 0, pace_ms: 50 },
      // Thousands of blocks are scanned, each in a transaction that would wait for the disk.
      store: ":memory:",
      lease_ms: 10_000,
      node: { url: node.url, cookie: node.cookieFile },
      // What main.ts opens is handed in here.
      signer: { url: "https://127.0.0.1:1", tls: { ca: "/", cert: "/", key: "/" } },
      ...{
        token: "/",
        confirmations: { external: CONFIRMATIONS, own: CONFIRMATIONS },
        inputs_max: 20,
        log_level: "silent",
      },
      fees: {
        sat_per_vbyte_min: msatsPerVbyte(1_000n),
        sat_per_vbyte_max: msatsPerVbyte(100_000n),
        target_blocks: 6,
      },
      ceremonies: { hours: 24, reminders_bps: [] },
      deposit_min_sats: sats(1_000n),
      webhooks: {
        ...{ allow_private: false, hosts: [], ports: [443] },
        ...{ per_minute: 60, attempts_max: 1, hours: 1 },
      },
      metrics: { open: false },
      roles: ["deposits", "reserve", "sign", "broadcast", "confirm", "ceremonies", "notices"],
    },
    signer: leaving(() => room, lsp),
    describeSigner: async () => ({ ...room.status(), custody: room.key.custody }),
    token: TOKEN,
    clock: () => BigInt(Date.now()) + ahead,
    log: silentLog,
  });
  return {
    api: openClient(orchestrator.url, TOKEN),
    url: orchestrator.url,
    lsp,
    pass: (ms) => {
      ahead += ms;
    },
    lspStanding: async (vault) => {
      await room.close();
      const standing = standingIn(journal, vault);
      room = await open();
      return standing;
    },
    close: async () => {
      await orchestrator.close();
      await room.close();
    },
  };
}

function keyFile(folder: string): string {
  const file = lspKeyFile(folder);
  const content = { format: "ballast/software-key@1", network: "regtest", accounts: LABELS };
  writeFileSync(file, JSON.stringify({ ...content, seed: "5e".repeat(32) }), { mode: 0o600 });
  return file;
}

/** It gives each account a label of its key file, and answers nobody while it is gone. */
function leaving(room: () => SigningRoom, lsp: Town["lsp"]): Signer & Registers & Hears {
  const labels = new Map<string, string>();
  return {
    ...{ name: "lsp", role: "lsp" },
    sign: async (request) => {
      if (lsp.gone) throw new Error("the LSP is gone");
      return await room().sign(request);
    },
    tell: (words) => room().tell(words),
    registerVault: (registration) => room().registerVault(registration),
    accountKey: async (label) => {
      const own = labels.get(label) ?? LABELS[labels.size] ?? "none";
      labels.set(label, own);
      return await room().accountKey(own);
    },
  };
}

export interface Home {
  readonly account: string;
  readonly vault: Vault;
  readonly registration: VaultRegistration;
  readonly address: string;
}

export interface Opening {
  readonly user: Seated;
  readonly trustee: Seated;
  /** Which account of the trustee's device. */
  readonly number: number;
}

interface Composed {
  readonly id: string;
  readonly document: AccountView["document"];
  readonly possession: AccountView["possession"];
}

/** Three keys, one vault, each person proves possession on their device. */
export async function openHome({ api }: Town, { user, trustee, number }: Opening): Promise<Home> {
  const begun = await api.post<Composed>("/v1/accounts", {
    name: user.name,
    userKey: await user.station.room.accountKey("0"),
    trusteeKey: await trustee.station.room.accountKey(String(number)),
  });
  const path = `/v1/accounts/${begun.id}/proofs`;
  await api.post(path, await proofsOf(begun, { user, trustee }));
  return await homeOf({ api }, begun.id);
}

/** The signatures that a new vault's holders give, person by person. */
export async function proofsOf(
  { document, possession }: Omit<Composed, "id">,
  { user, trustee }: Omit<Opening, "number">,
) {
  const vault = readVault(document);
  return {
    user: await proofOf(user, vault, possession.user),
    trustee: await proofOf(trustee, vault, possession.trustee),
  };
}

/** The account's vault as it is now. */
export async function homeOf({ api }: Pick<Town, "api">, account: string): Promise<Home> {
  const view = await api.get<AccountView>(`/v1/accounts/${account}`);
  const { document, proofs, address } = view;
  const registration = { vault: document, proofs: proofs ?? {} };
  return { account, vault: readVault(document), registration, address: address ?? "" };
}

/** Until an intent is in one of these states, whatever it went through. */
export function reached(
  { api }: Pick<Town, "api">,
  id: string,
  ...states: readonly string[]
): Promise<IntentView> {
  let last = "";
  return poll(
    async () => {
      const intent = await api.get<IntentView>(`/v1/intents/${id}`);
      last = `${intent.state} ${JSON.stringify(intent.violations)}`;
      return states.includes(intent.state) ? intent : null;
    },
    `the spend did not become ${states.join(" or ")}`,
  ).catch((error: unknown) => {
    throw new Error(`it is ${last}`, { cause: error });
  });
}

/** Until the orchestrator has scanned this block: what it builds is dated by the last that it knows. */
export async function scanned({ api }: Pick<Town, "api">, height: number): Promise<void> {
  interface Seen {
    readonly node: { readonly scannedHeight: number };
  }
  // A month of blocks takes what it takes; to stand still is what is wrong.
  const further = (than: number) =>
    poll(async () => {
      const { scannedHeight } = (await api.get<Seen>("/v1/status")).node;
      return scannedHeight > than ? scannedHeight : null;
    }, "the orchestrator does not catch up");
  let at = -1;
  while (at < height) at = await further(at);
}

/** A ceremony of one trustee. */
export async function ceremonyFor({ api }: Town, intent: string, trustee: string): Promise<string> {
  const { id } = await api.post<{ readonly id: string }>("/v1/ceremonies", {
    intent,
    participants: [{ name: trustee, role: "trustee" }],
    quorum: { approvals: ["trustee"] },
    deadline: { hours: 24 },
  });
  return id;
}
