/**
 * The tour: the main job once, on real parts. A person registers a vault, deposits, withdraws and
 * signs first; the LSP's signer decides and signs; the node confirms. Each step may be repeated, so
 * an interrupted tour goes on where it stopped.
 */
import { base64 } from "@scure/base";
import { hex } from "../policies/bitcoin/hash.ts";
import type { IntentDocument } from "../policies/intent.ts";
import { descriptorOf, readVault, type VaultDocument } from "../policies/vault.ts";
import { openCurvePool } from "../signer/curve.ts";
import { openSigningRoom, type SigningRoom } from "../signer/room.ts";
import type { Key } from "../signer/signer.ts";
import { openSoftwareKey } from "../signer/software.ts";
import { openMiner } from "./miner.ts";
import type { Person, Provisioned } from "./provision.ts";
import type { Regtest } from "./regtest.ts";

/** What the tour did; `--json` prints it. Amounts are sats in decimal. */
export interface Tour {
  /** When it was played, ISO 8601. */
  readonly played: string;
  readonly network: "regtest";
  readonly custody: string;
  readonly vault: {
    readonly id: string;
    readonly descriptor: string;
    readonly address: string;
  };
  readonly deposit: { readonly txid: string; readonly sats: string; readonly height: number };
  readonly withdrawal: {
    readonly intent: string;
    readonly address: string;
    readonly sats: string;
    readonly feeSats: string;
    readonly feeRate: string;
    readonly txid: string;
    readonly height: number;
    readonly confirmed: true;
  };
  readonly signers: readonly {
    readonly role: string;
    readonly custody: string;
    readonly policy: string;
    readonly rules: readonly string[];
  }[];
  readonly balances: { readonly availableSats: string; readonly reservedSats: string };
  readonly statusPage: string;
}

export interface TourParts {
  readonly node: Regtest;
  readonly system: Provisioned;
  /** Base URLs of the orchestrator and of the LSP's signer. */
  readonly api: string;
  readonly say: (line: string) => void;
}

const DEPOSIT_SATS = 1_000_000n;
const WITHDRAWAL_SATS = 400_000n;
/** The label of the people's accounts, and the account's name. */
const LABEL = "tour";
/** On a quiet machine each wait takes about a second. */
const WAIT_MS = 60_000;
const POLL_MS = 100;

export async function playTour(parts: TourParts): Promise<Tour> {
  const { node, system, say } = parts;
  const api = client(parts.api, system.apiToken);
  const miner = await openMiner(node.rpc);
  const curve = openCurvePool(1);
  const open = ({ key }: Person) => openSoftwareKey({ file: key, network: "regtest", curve });
  const user = open(system.people.user);
  const trustee = open(system.people.trustee);
  const room = await userRoom(parts);
  try {
    say("registering a user: three keys, one vault, each holder proves possession");
    const account = await register({ api, user, trustee, room });
    const vault = readVault(account.document);

    say(`depositing ${DEPOSIT_SATS} sat into ${account.address}`);
    const deposit = await fund({ api, account, miner });
    say(`confirmed in block ${deposit.height} and booked`);

    const address = await payee(node);
    const raised = await raise(api, account.id, address);
    say(`withdrawing ${WITHDRAWAL_SATS} sat; the user's signer judges and signs first`);
    const userRules = await signAsUser({ api, room, intent: raised.id });
    say("the LSP's signer judges, signs on its token; combined, checked by the node, broadcast");
    const sent = await waitFor(api, raised.id, ["broadcast", "confirmed"]);
    say(`broadcast as ${sent.txid}; mining a block`);
    if (sent.state !== "confirmed") await miner.mine(1);
    const done = await waitFor(api, raised.id, ["confirmed"]);
    say(`confirmed in block ${done.height} and booked`);
    const after = await api.get<AccountView>(`/v1/accounts/${account.id}`);
    const status = await api.get<StatusView>("/v1/status");
    return {
      played: new Date().toISOString(),
      network: "regtest",
      custody: status.signer.custody,
      vault: { id: vault.id, descriptor: descriptorOf(vault), address: deposit.address },
      deposit: { txid: deposit.txid, sats: deposit.sats, height: deposit.height },
      withdrawal: {
        intent: done.id,
        address,
        sats: done.sats,
        feeSats: done.feeSats ?? "",
        feeRate: done.feeRate,
        txid: done.txid ?? "",
        height: done.height ?? 0,
        confirmed: true,
      },
      signers: [
        {
          role: "user",
          custody: room.key.custody,
          policy: room.status().policy.name,
          rules: userRules,
        },
        {
          role: "lsp",
          custody: status.signer.custody,
          policy: status.signer.policy.name,
          rules: done.rules,
        },
      ],
      balances: after.balances,
      statusPage: `${parts.api}/`,
    };
  } finally {
    await room.close();
    await user.close();
    await trustee.close();
    await curve.close();
  }
}

/** The tour as a story. */
export function tellTour(tour: Tour): string {
  const { vault, deposit, withdrawal, signers, balances } = tour;
  return [
    "",
    "A first spend, start to end",
    "",
    `1. A vault.   ${vault.id}, any two of user, LSP and trustee; nobody can spend alone.`,
    `   ${vault.descriptor}`,
    `2. A deposit. ${deposit.sats} sat to ${vault.address}`,
    `   ${deposit.txid}, block ${deposit.height}`,
    `3. A payout.  ${withdrawal.sats} sat to ${withdrawal.address}`,
    `   fee ${withdrawal.feeSats} sat, asked for ${withdrawal.feeRate} sat/vB`,
    "4. Two signers, each by its own law:",
    ...signers.flatMap(({ role, custody, policy, rules }) => [
      `   ${role} (${custody}), policy ${policy}: ${rules.length === 0 ? "signed before this start" : `${rules.length} rules agreed`}`,
      ...wrapped(rules, 92).map((line) => `      ${line}`),
    ]),
    `5. Confirmed. ${withdrawal.txid}, block ${withdrawal.height}`,
    `   The book has ${balances.availableSats} sat available, ${balances.reservedSats} reserved.`,
    "",
  ].join("\n");
}

interface AccountView {
  readonly id: string;
  readonly state: string;
  readonly document: VaultDocument;
  readonly possession: { readonly user: string; readonly trustee: string };
  /** By role, in hex; present once the account is open. */
  readonly proofs: Readonly<Record<"user" | "trustee" | "lsp", string>> | null;
  readonly address: string | null;
  readonly balances: { readonly availableSats: string; readonly reservedSats: string };
  readonly deposits: readonly {
    readonly outpoint: string;
    readonly sats: string;
    readonly state: string;
    readonly height: number | null;
  }[];
}

interface IntentView {
  readonly id: string;
  readonly state: string;
  readonly sats: string;
  readonly feeSats: string | null;
  readonly feeRate: string;
  readonly txid: string | null;
  readonly height: number | null;
  readonly violations: readonly { readonly rule: string; readonly detail: string }[];
  readonly rules: readonly string[];
}

interface StatusView {
  readonly signer: { readonly custody: string; readonly policy: { readonly name: string } };
}

/** The tour cannot go on; says at which step and what was answered. */
export class TourError extends Error {
  override readonly name = "TourError";
}

interface Client {
  readonly get: <Answer>(path: string) => Promise<Answer>;
  readonly post: <Answer>(path: string, body: unknown) => Promise<Answer>;
}

function client(url: string, token: string): Client {
  async function ask<Answer>(path: string, init: RequestInit): Promise<Answer> {
    const response = await fetch(`${url}${path}`, {
      ...init,
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    });
    const body: unknown = await response.json();
    if (!response.ok) throw new TourError(`${path}: ${JSON.stringify(body)}`);
    return body as Answer;
  }
  return {
    get: (path) => ask(path, {}),
    post: (path, body) => ask(path, { method: "POST", body: JSON.stringify(body) }),
  };
}

/** The user's own signing room: own policy, own journal, own view of the chain. */
function userRoom({ node, system }: TourParts): Promise<SigningRoom> {
  const { key, journal, policy } = system.people.user;
  const config = {
    name: "user",
    policy,
    journal,
    key: `software:${key}`,
    token_environment: {},
    node: { url: node.url, cookie: node.cookieFile },
  };
  return openSigningRoom(config, () => undefined);
}

interface Registration {
  readonly api: Client;
  readonly user: Key;
  readonly trustee: Key;
  readonly room: SigningRoom;
}

async function register({ api, user, trustee, room }: Registration): Promise<AccountView> {
  const begun = await api.post<AccountView>("/v1/accounts", {
    name: LABEL,
    userKey: await user.accountKey(LABEL),
    trusteeKey: await trustee.accountKey(LABEL),
  });
  const vault = readVault(begun.document);
  const prove = async (key: Key, role: "user" | "trustee") => {
    const holder = vault.holders.find((candidate) => candidate.role === role);
    const account = hex(holder?.key.publicKey ?? new Uint8Array(0));
    return hex(await key.provePossession(account, begun.possession[role]));
  };
  const account = await api.post<AccountView>(`/v1/accounts/${begun.id}/proofs`, {
    user: await prove(user, "user"),
    trustee: await prove(trustee, "trustee"),
  });
  // The user's own signer checks the vault for itself before a coin goes there.
  const outcome = await room.registerVault({ vault: begun.document, proofs: account.proofs ?? {} });
  if (outcome.kind === "refused") {
    throw new TourError(`the user's signer refuses the vault: ${outcome.reasons.join("; ")}`);
  }
  return account;
}

interface Funding {
  readonly api: Client;
  readonly account: AccountView;
  readonly miner: Awaited<ReturnType<typeof openMiner>>;
}

async function fund({ api, account, miner }: Funding) {
  const path = `/v1/accounts/${account.id}`;
  const address = account.address ?? "";
  if (account.deposits.length === 0) {
    await miner.fund(address, DEPOSIT_SATS);
    await miner.mine(1);
  }
  const booked = await poll(async () => {
    const view = await api.get<AccountView>(path);
    return view.deposits.find(({ state }) => state !== "seen") ?? null;
  }, "the deposit was not booked");
  const txid = booked.outpoint.split(":")[0] ?? "";
  return { address, txid, sats: booked.sats, height: booked.height ?? 0 };
}

/** Where the payout goes: the same address however often the tour is started. */
async function payee({ rpc }: Regtest): Promise<string> {
  const wallet = { wallet: "miner" };
  const known = await rpc.call<object>("getaddressesbylabel", [LABEL], wallet).catch(() => ({}));
  return (
    Object.keys(known)[0] ?? (await rpc.call<string>("getnewaddress", [LABEL, "bech32m"], wallet))
  );
}

async function raise(api: Client, account: string, address: string): Promise<IntentView> {
  const sats = String(WITHDRAWAL_SATS);
  const request = { account, address, sats, reference: "tour 1" };
  return await api.post<IntentView>("/v1/withdrawals", request);
}

async function signAsUser({
  api,
  room,
  intent,
}: {
  readonly api: Client;
  readonly room: SigningRoom;
  readonly intent: string;
}): Promise<readonly string[]> {
  const { state } = await waitFor(api, intent, ["built", ...PAST_THE_USER]);
  // Resumed after the user had signed; what was said then is in the user's own journal.
  if (state !== "built") return [];
  const asked = await api.get<{ psbt: string; intent: IntentDocument }>(
    `/v1/intents/${intent}/psbt`,
  );
  const outcome = await room.sign({ intent: asked.intent, psbt: base64.decode(asked.psbt) });
  if (outcome.kind !== "signed") {
    const said = outcome.violations.map(({ rule, detail }) => `${rule}: ${detail}`);
    throw new TourError(`the user's signer says no: ${said.join("; ")}`);
  }
  await api.post(`/v1/intents/${intent}/psbt`, { psbt: base64.encode(outcome.psbt) });
  return outcome.rules;
}

const PAST_THE_USER = ["user-signed", "held", "signed", "broadcast", "confirmed"];

/** States from which a withdrawal does not come back by itself. */
const DEAD_ENDS = new Set(["refused", "cancelled", "conflicted"]);

function waitFor(api: Client, id: string, states: readonly string[]): Promise<IntentView> {
  return poll(
    async () => {
      const intent = await api.get<IntentView>(`/v1/intents/${id}`);
      if (states.includes(intent.state)) return intent;
      if (!DEAD_ENDS.has(intent.state)) return null;
      const said = intent.violations.map(({ rule, detail }) => `${rule}: ${detail}`);
      throw new TourError(`the withdrawal is ${intent.state}: ${said.join("; ")}`);
    },
    `the withdrawal did not become ${states.join(" or ")}`,
  );
}

async function poll<Value>(look: () => Promise<Value | null>, late: string): Promise<Value> {
  const until = Date.now() + WAIT_MS;
  while (Date.now() < until) {
    const value = await look();
    if (value !== null) return value;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  throw new TourError(`${late} within ${WAIT_MS / 1000} s`);
}

function wrapped(words: readonly string[], width: number): readonly string[] {
  const lines: string[] = [];
  for (const word of words) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + word.length + 1 <= width) {
      lines[lines.length - 1] = `${last} ${word}`;
    } else {
      lines.push(word);
    }
  }
  return lines;
}
