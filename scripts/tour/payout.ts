/** The first part of the tour: a vault, a deposit, and a payout that the user signs first. */
import { hex } from "../../policies/bitcoin/hash.ts";
import { readVault, type Vault } from "../../policies/vault.ts";
import type { Miner } from "../miner.ts";
import type { Regtest } from "../regtest.ts";
import {
  type AccountView,
  type Client,
  type IntentView,
  poll,
  TourError,
  waitFor,
} from "./client.ts";
import { sign, type TourPerson } from "./people.ts";

const DEPOSIT_SATS = 1_000_000n;
const WITHDRAWAL_SATS = 400_000n;
/** The name of the account, and of the payee. */
const LABEL = "tour";
/** Each device's first account. */
const ACCOUNT = "0";

export interface Holders {
  readonly user: TourPerson;
  readonly trustee: TourPerson;
}

/** Three keys, and each holder proves possession: people by a message on their devices. */
export async function openAccount(api: Client, { user, trustee }: Holders): Promise<AccountView> {
  const begun = await api.post<AccountView>("/v1/accounts", {
    name: LABEL,
    userKey: await user.station.room.accountKey(ACCOUNT),
    trusteeKey: await trustee.station.room.accountKey(ACCOUNT),
  });
  if (begun.state === "open") return begun;
  const vault = readVault(begun.document);
  return await api.post<AccountView>(`/v1/accounts/${begun.id}/proofs`, {
    user: await proof(user, vault, begun.possession.user),
    trustee: await proof(trustee, vault, begun.possession.trustee),
  });
}

async function proof({ station }: TourPerson, vault: Vault, text: string): Promise<string> {
  const { key, role } = station.room;
  const own = vault.holders.find((holder) => holder.role === role);
  if (own === undefined) throw new TourError(`the vault has no ${role}`);
  return hex(await key.provePossession(hex(own.key.publicKey), text));
}

export async function fund(api: Client, account: AccountView, miner: Miner) {
  const address = account.address ?? "";
  if (account.deposits.length === 0) {
    await miner.fund(address, DEPOSIT_SATS);
    await miner.mine(1);
  }
  const booked = await poll(async () => {
    const view = await api.get<AccountView>(`/v1/accounts/${account.id}`);
    return view.deposits.find(({ state }) => state !== "seen") ?? null;
  }, "the deposit was not booked");
  const txid = booked.outpoint.split(":")[0] ?? "";
  return { address, txid, sats: booked.sats, height: booked.height ?? 0 };
}

/** Where the payouts go: the same address however often the tour is started. */
export async function payee({ rpc }: Regtest, label = LABEL): Promise<string> {
  const wallet = { wallet: "miner" };
  const known = await rpc.call<object>("getaddressesbylabel", [label], wallet).catch(() => ({}));
  return (
    Object.keys(known)[0] ?? (await rpc.call<string>("getnewaddress", [label, "bech32m"], wallet))
  );
}

export interface Payout {
  readonly done: IntentView;
  /** How many rules of the user's own law agreed; null where the user had signed before. */
  readonly userRules: number | null;
  /** What the user's device showed. */
  readonly screens: readonly string[];
}

export interface PayoutParts {
  readonly api: Client;
  readonly user: TourPerson;
  readonly miner: Miner;
  readonly account: string;
  readonly address: string;
  readonly say: (line: string) => void;
}

export async function payOut(parts: PayoutParts): Promise<Payout> {
  const { api, user, miner, account, address, say } = parts;
  const raised = await api.post<IntentView>("/v1/withdrawals", {
    ...{ account, address, sats: String(WITHDRAWAL_SATS), reference: "tour 1" },
  });
  say(
    `withdrawing ${WITHDRAWAL_SATS} sat; the user's signer judges and signs first, on the Ledger`,
  );
  const signed = await signWhereAsked(api, user, raised.id);
  say("the LSP's signer judges, signs on its token; combined, checked by the node, broadcast");
  const done = await confirmed(api, raised.id, { miner, say });
  return { done, userRules: signed?.rules ?? null, screens: signed?.screens ?? [] };
}

const PAST_THE_USER = ["user-signed", "held", "signed", "broadcast", "confirmed"];

/** Null where the user had signed before this start: what was said then is in the own journal. */
export async function signWhereAsked(api: Client, user: TourPerson, intent: string) {
  const { state } = await waitFor(api, intent, ["built", ...PAST_THE_USER]);
  return state === "built" ? await sign(user, intent) : null;
}

export async function confirmed(
  api: Client,
  id: string,
  { miner, say }: Pick<PayoutParts, "miner" | "say">,
): Promise<IntentView> {
  const sent = await waitFor(api, id, ["broadcast", "confirmed"]);
  say(`broadcast as ${sent.txid}; mining a block`);
  if (sent.state !== "confirmed") await miner.mine(1);
  const done = await waitFor(api, id, ["confirmed"]);
  say(`confirmed in block ${done.height} and booked`);
  return done;
}
