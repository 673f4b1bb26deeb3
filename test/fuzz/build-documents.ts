/** The documents of a plan: policy, intent, history, chain, as the law reads them. */
import { hex } from "../../policies/bitcoin/hash.ts";
import { addressOf } from "../../policies/bitcoin/taproot.ts";
import type { ChainView, CoinStatus } from "../../policies/chain-view.ts";
import { fixedHash } from "../../policies/claim.ts";
import { recoveryHash } from "../../policies/evidence/notice.ts";
import type { SpendFacts } from "../../policies/facts.ts";
import { type HistoryDocument, historySchema } from "../../policies/history.ts";
import { drawnAccount, FEES, mandateAccounts, purposeAccount } from "../../policies/velocity.ts";
import {
  GUARDIANS,
  LSP_NODE,
  notice,
  PEOPLE,
  type Signatory,
  signatory,
  USER_NODE,
} from "../support/proofs.ts";
import { NOW } from "../support/spend.ts";
import { hexOf, outpointOf, scriptOf, TEST_VAULTS, txidNamed } from "./build-scripts.ts";
import type {
  Address,
  Charge,
  Claim,
  Limits,
  NodeName,
  Nonce,
  Notice,
  Plan,
  VaultName,
  Window,
} from "./plan.ts";

export const idOf = (vault: VaultName) => TEST_VAULTS[vault].vault.id;
export const NODES: Readonly<Record<NodeName, Signatory>> = {
  "user-node": USER_NODE,
  "lsp-node": LSP_NODE,
  "other-node": signatory("other-node"),
};
export const DELEGATE = signatory("delegate");

/** Scripts that have no address stand as themselves, which no reader takes. */
const addressText = (to: Address) =>
  addressOf(scriptOf(to), "regtest") ?? hex(scriptOf(to)).slice(0, 90);

const windows = (all: readonly Window[]) =>
  all.map(({ hours, sats }) => ({ hours, sats: Number(sats) }));
const optional = <Key extends string>(key: Key, all: readonly unknown[]) =>
  all.length === 0 ? {} : { [key]: all };

function limitsDocument([purpose, limits]: readonly [string, Limits]) {
  if (purpose === "proof-of-reserves") return [purpose, {}];
  const pays = ["withdrawal", "margin", "recovery-lsp-gone"].includes(purpose);
  const list = limits.destinations?.map(({ to, vault }) =>
    vault === null ? addressText(to) : { address: addressText(to), vault: idOf(vault) },
  );
  return [
    purpose,
    {
      sats_per_spend: Number(limits.perSpend),
      windows: windows(limits.windows),
      ...optional("vault_windows", windows(limits.vaultWindows)),
      ...optional(
        "approvals",
        limits.tiers.map(({ above, people }) => ({ above_sats: Number(above), people })),
      ),
      ...(pays && {
        destinations: list ?? "any",
        ...optional("destination_windows", windows(limits.destinationWindows)),
      }),
      ...(purpose === "withdrawal" && { no_proof_sats: Number(limits.noProof) }),
      ...(purpose === "consolidation" && {
        inputs_min: limits.inputsMin,
        sat_per_vbyte_max: Number(limits.rateMax) / 1_000,
      }),
      ...(purpose.startsWith("recovery") && { delay_blocks: limits.delay }),
    },
  ];
}

/** The sections of other purposes say nothing to this spend; one of them stands for all. */
export function policyDocument({ law, intent }: Plan): unknown {
  const { guardians, house } = law;
  const asked = [intent.purpose, "migration", "consolidation"];
  return {
    ...{ format: "ballast/policy@1", name: "fuzzed", version: 1, network: "regtest" },
    role: law.role,
    chain: { confirmations: law.confirmations, burial: law.burial },
    transaction: {
      inputs: law.inputs,
      outputs: law.outputs,
      locktime_past_blocks: law.past,
      locktime_future_blocks: law.future,
      change_gap: law.gap,
      one_policy: law.onePolicy,
    },
    fees: {
      sats: Number(law.feeSats),
      sat_per_vbyte: { min: Number(law.rateMin) / 1_000, max: Number(law.rateMax) / 1_000 },
      share_bps: Number(law.shareBps),
      windows: windows(law.feeWindows),
      bumps: law.bumps,
    },
    quorum: { approvals: 2, people: PEOPLE.map(({ name, key }) => ({ name, key })) },
    lifts: law.lifts,
    guardians: {
      threshold: guardians.threshold,
      own: guardians.own,
      people: GUARDIANS.map(({ name, key }) => ({ name, key: key.slice(2) })),
      pool: guardians.pool,
      vote_age_seconds: guardians.voteAge,
      vote_spread_bps: Number(guardians.spreadBps),
      statement_age_blocks: guardians.statementAge,
    },
    house: {
      treasury: idOf(house.treasury),
      escrow: idOf(house.escrow),
      node: NODES[house.node].key,
    },
    purposes: Object.fromEntries(
      Object.entries(law.purposes)
        .filter(([purpose]) => asked.includes(purpose))
        .map((entry) => limitsDocument(entry)),
    ),
  };
}

export function intentDocument({ intent }: Plan): unknown {
  const { purpose, network, vault, parties, outputs, cycle, proposer, cancels } = intent;
  return {
    ...{ format: "ballast/intent@1", purpose, network, vault: idOf(vault) },
    parties: parties.map(idOf),
    ...(cancels !== null && { cancels: hexOf(`intent ${cancels}`) }),
    ...(proposer !== null && { proposer }),
    ...(cycle !== null && { cycle }),
    outputs: outputs.map(({ to, sats }) => ({ address: addressText(to), sats: String(sats) })),
    reference: "fuzzed 1",
  };
}

/** What the names of a history stand for, once the spend is known. */
export interface Names {
  readonly intent: string;
  readonly facts: SpendFacts;
  readonly original: string | null;
  /** The accounts that the signer remembers. */
  readonly accounts: HistoryDocument["accounts"];
}

export function historyDocument(plan: Plan, names: Names): HistoryDocument {
  const { paused, height, claims, notices } = plan.history;
  const document = historySchema.parse({
    ...{ format: "ballast/history@1", paused, height, accounts: [] },
    claims: claims.map((claim) => claimDocument(plan, claim, names)),
    notices: [],
  });
  return { ...document, accounts: names.accounts, notices: notices.map(noticeDocument) };
}

const intentId = (intent: string, { intent: own }: Names) =>
  intent === "own" ? own : hexOf(`intent ${intent}`);

function claimDocument(plan: Plan, claim: Claim, names: Names) {
  const { facts, original } = names;
  const txid =
    { this: facts.txid, original: original ?? txidNamed("original") }[claim.tx] ??
    txidNamed(claim.tx);
  const nonce = (one: Nonce) =>
    one.kind === "cancel"
      ? `cancel ${intentId(one.intent, names)}`
      : `operation ${idOf(one.vault)} ${one.number}`;
  const fixed = { same: fixedHash(facts), another: hexOf("another"), unknown: null }[claim.fixed];
  return {
    intent: intentId(claim.intent, names),
    purpose: claim.purpose,
    vault: idOf(claim.vault),
    txid,
    anchor: outpointOf(plan, claim.anchor),
    outpoints: claim.coins.map((coin) => outpointOf(plan, coin)),
    charges: claim.charges.map(chargeDocument),
    places: claim.places.map(({ coin, vault, ...place }) => ({
      ...place,
      sats: String(place.sats),
      outpoint: outpointOf(plan, coin),
      vault: idOf(vault),
    })),
    userSigned: claim.userSigned,
    ...(fixed !== null && { fixed }),
    nonces: claim.nonces.map(nonce),
    at: NOW - claim.msAgo,
    height: claim.height,
  };
}

function chargeDocument({ about, purpose, vault, to, sats }: Charge) {
  const id = idOf(vault);
  const accounts: Readonly<Record<Charge["about"], string>> = {
    purpose: purposeAccount({ purpose }),
    vault: `vault ${id} ${purpose}`,
    destination: `destination ${to === null ? "00" : hex(scriptOf(to))} ${purpose}`,
    fees: FEES,
    drawn: drawnAccount(id),
    userless: mandateAccounts.sats(id),
    "userless-fees": mandateAccounts.fees(id),
    refreshes: mandateAccounts.refreshes(id),
  };
  return { account: accounts[about], sats: String(sats) };
}

function noticeDocument(said: Notice): HistoryDocument["notices"][number] {
  const { kind, no, height } = said;
  const fields = { vault: idOf(said.vault), no };
  switch (said.kind) {
    case "mandate":
      return notice(kind, { ...fields, ...mandateFields(said) }, height);
    case "node":
      return notice(kind, { ...fields, node: NODES[said.node].key }, height);
    case "delegate":
      return notice(
        kind,
        { ...fields, key: DELEGATE.key, sats: said.sats, until: said.until },
        height,
      );
    case "user-lost":
      return notice(kind, { ...fields, to: idOf(said.to) }, height);
    case "revoke":
    case "lsp-gone":
    case "stop":
      return notice(kind, fields, height);
  }
}

function mandateFields(said: Extract<Notice, { kind: "mandate" }>) {
  const { recovery } = said;
  const user =
    recovery === null
      ? undefined
      : TEST_VAULTS[recovery].vault.holders.find(({ role }) => role === "user");
  return {
    may: said.may.length === 0 ? "none" : said.may.join(","),
    sats30d: said.sats30d,
    fees30d: said.fees30d,
    bump: said.bump,
    refresh: said.refresh,
    claimbps: 50,
    treasury: idOf(said.treasury),
    recovery: user === undefined ? "none" : recoveryHash(user.key),
    until: said.until,
  };
}

const BLOCK = "0b".repeat(32);

export function chainView(plan: Plan): ChainView | null {
  const { chain, coins, paper, evidence } = plan;
  if (chain === null) return null;
  const statuses = paper.inputs.map(({ coin }): [string, CoinStatus] => {
    const known = coins.get(coin);
    const { node = null, at } = known ?? {};
    if (node === null || at === undefined) return [outpointOf(plan, coin), { kind: "missing" }];
    const { sats, height, coinbase, otherScript } = node;
    const script = otherScript ? "51" : hex(scriptOf(at));
    return [outpointOf(plan, coin), { kind: "unspent", sats, height, coinbase, script }];
  });
  const held = (vault: VaultName) =>
    [...coins].flatMap(([name, { at, node }]) =>
      node !== null && "vault" in at && at.vault === vault
        ? [{ outpoint: outpointOf(plan, name), sats: node.sats, height: node.height }]
        : [],
    );
  const block = { same: BLOCK, another: "0c".repeat(32), untold: null }[chain.block];
  const { statement } = evidence;
  return {
    height: chain.height,
    tip: "00".repeat(32),
    medianTime: NOW / 1_000,
    coins: new Map(statuses),
    vaults: new Map(chain.watched.map((vault) => [idOf(vault), held(vault)])),
    burials: new Map(
      chain.burials.map(({ tx, depth, spends }) => [
        txidNamed(tx),
        { depth, spends: spends.map((coin) => outpointOf(plan, coin)) },
      ]),
    ),
    blocks: new Map(block === null || statement === null ? [] : [[statement.height, block]]),
  };
}
