/** The orchestrator's parts around a chain, stepped by hand: no timers, a clock that a test moves. */
import { type Accounts, openAccounts } from "../../orchestrator/accounts/accounts.ts";
import { openScripts } from "../../orchestrator/accounts/scripts.ts";
import { stabiliseRole } from "../../orchestrator/accounts/stabilise.ts";
import type { VaultTemplate } from "../../orchestrator/accounts/vaults.ts";
import { noticesRole } from "../../orchestrator/ceremony/notices.ts";
import { ceremoniesRole } from "../../orchestrator/ceremony/watch.ts";
import type { RoleName } from "../../orchestrator/config.ts";
import type { Chain } from "../../orchestrator/io/chain.ts";
import { openStore, type Store } from "../../orchestrator/io/store.ts";
import { silentLog } from "../../orchestrator/log.ts";
import { pricesRole } from "../../orchestrator/prices/history.ts";
import type { Prices } from "../../orchestrator/prices/prices.ts";
import type { Role } from "../../orchestrator/role.ts";
import { broadcastRole } from "../../orchestrator/spend/broadcast.ts";
import { openCombiner } from "../../orchestrator/spend/combiner.ts";
import { confirmRole } from "../../orchestrator/spend/confirm.ts";
import { depositsRole } from "../../orchestrator/spend/deposits.ts";
import { findIntent, type IntentRow } from "../../orchestrator/spend/intents.ts";
import { mempoolRole } from "../../orchestrator/spend/mempool.ts";
import { raise } from "../../orchestrator/spend/raise.ts";
import { reserveRole } from "../../orchestrator/spend/reserve.ts";
import { acceptUserPsbt, signRole } from "../../orchestrator/spend/sign.ts";
import type { PaymentPurpose } from "../../orchestrator/spend/signers.ts";
import { webhooksRole } from "../../orchestrator/webhooks/deliver.ts";
import { openSender } from "../../orchestrator/webhooks/send.ts";
import { readPsbt, writePsbtText } from "../../policies/bitcoin/psbt.ts";
import { msatsPerVbyte, sats } from "../../policies/money.ts";
import { readVault } from "../../policies/vault.ts";
import { type VaultScripts, vaultScripts } from "../../policies/vault-scripts.ts";
import {
  type Holder,
  holder,
  proofOf,
  type SoftwareLsp,
  signWith,
  softwareLsp,
} from "./holders.ts";

export interface World {
  readonly store: Store;
  readonly accounts: Accounts;
  readonly lsp: SoftwareLsp;
  readonly parts: ReturnType<typeof partsOf> & { readonly prices: Prices | undefined };
  readonly roles: Readonly<Record<RoleName, Role>>;
  /** Every role until all are idle. */
  readonly settle: () => Promise<void>;
  readonly pass: (ms: bigint) => void;
}

export const CONFIRMATIONS = 2;

/** On SQLite in memory unless another store is given. */
export function openWorld(
  chain: Chain,
  prices?: Prices,
  store: Store = openStore({ path: ":memory:", network: "regtest" }),
): World {
  const lsp = softwareLsp("world");
  let now = 1_800_000_000_000n;
  const parts = { ...partsOf(store, chain, lsp, () => now), prices };
  const roles = {
    deposits: depositsRole(parts),
    stabilise: stabiliseRole(parts),
    mempool: mempoolRole(parts),
    reserve: reserveRole(parts),
    sign: signRole(parts),
    broadcast: broadcastRole(parts),
    confirm: confirmRole(parts),
    ceremonies: ceremoniesRole(parts),
    notices: noticesRole(parts, lsp),
    prices: pricesRole(parts, { feed: null, everyMs: 0 }),
    webhooks: webhooksRole({
      ...parts,
      sender: openSender(parts),
      patience: { attemptsMax: 3, totalMs: 60_000n },
      perMinute: 60,
      draw: () => 0,
    }),
  };
  return {
    store,
    lsp,
    parts,
    roles,
    accounts: openAccounts(parts),
    pass: (ms) => {
      now += ms;
    },
    async settle() {
      for (const role of Object.values(roles)) while ((await role.step()) === "more");
    },
  };
}

function partsOf(store: Store, chain: Chain, signer: SoftwareLsp, clock: () => bigint) {
  return {
    store,
    chain,
    scripts: openScripts(),
    signer,
    combiner,
    clock,
    log: silentLog,
    network: "regtest" as const,
    confirmations: CONFIRMATIONS,
    inputsMax: 20,
    depositMinSats: sats(1_000n),
    allowed: { allowPrivate: true, hosts: [], ports: [] },
  };
}

/** One thread for all worlds of a test file; idle, it keeps nothing alive. */
const combiner = openCombiner();

export interface Resident {
  readonly account: string;
  readonly address: string;
  readonly user: Holder;
  readonly trustee: Holder;
  readonly vault: VaultScripts;
}

/** Registers a person all the way to an open account. */
export async function moveIn(
  { accounts }: Pick<World, "accounts">,
  name: string,
  template?: VaultTemplate,
): Promise<Resident> {
  const user = holder("user", name);
  const trustee = holder("trustee", name);
  const keys = { userKey: user.key, trusteeKey: trustee.key };
  const begun = await accounts.begin({ name, ...keys, template });
  if (begun.kind === "refused") throw new Error(begun.reasons.join("; "));
  const vault = readVault(begun.account.document);
  const proofs = { user: proofOf(vault, user), trustee: proofOf(vault, trustee) };
  const opened = await accounts.complete(begun.account.id, proofs);
  if (opened?.kind !== "done" || opened.account.address === null) throw new Error("not open");
  const { id, address } = opened.account;
  return { account: id, address, user, trustee, vault: vaultScripts(vault) };
}

/** Where withdrawals go: somebody's BIP86 address on regtest. */
export const ELSEWHERE = "bcrt1p5cyxnuxmeuwuvkwfem96lqzszd02n6xdcjrs20cac6yqjjwudpxqvg32hk";

export interface Wish {
  readonly purpose?: PaymentPurpose;
  readonly sats: bigint;
  readonly reference: string;
  readonly address?: string;
}

export async function withdraw(
  { parts }: World,
  { account }: Resident,
  { purpose = "withdrawal", sats, reference, address = ELSEWHERE }: Wish,
): Promise<IntentRow> {
  const feeRate = msatsPerVbyte(2_000n);
  const outcome = await raise(parts, { purpose, account, address, sats, reference, feeRate });
  if (outcome.kind === "refused") throw new Error(outcome.reasons.join("; "));
  return outcome.intent;
}

export async function userSigns({ parts, store }: World, resident: Resident, id: string) {
  const intent = await intentOf({ store }, id);
  if (intent.psbt === null) throw new Error(`intent is ${intent.state}`);
  const signed = signWith(readPsbt(intent.psbt), resident.vault, resident.user);
  return acceptUserPsbt(parts, { id, text: writePsbtText(signed) });
}

export async function intentOf({ store }: Pick<World, "store">, id: string): Promise<IntentRow> {
  const row = await findIntent(store.db, id);
  if (row === null) throw new Error(`no intent ${id}`);
  return row;
}
