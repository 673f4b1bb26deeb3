/** Makes the bytes, documents and views of a plan: the law sees what the model reads. */
import { hex } from "../../policies/bitcoin/hash.ts";
import { field, IN, OUT } from "../../policies/bitcoin/psbt-fields.ts";
import { addressOf } from "../../policies/bitcoin/taproot.ts";
import { outpoint } from "../../policies/bitcoin/transaction.ts";
import { concat, u32 } from "../../policies/bitcoin/wire.ts";
import type { VaultCoin } from "../../policies/chain-view.ts";
import type { Claim } from "../../policies/claim.ts";
import type { PolicyDocument } from "../../policies/document/policy.ts";
import type { Approvable } from "../../policies/evidence/approval.ts";
import type { EvidenceDocument } from "../../policies/evidence.ts";
import type { HistoryDocument } from "../../policies/history.ts";
import type { Purpose } from "../../policies/intent.ts";
import {
  approvals,
  CYCLE,
  EVIDENCE,
  GUARDIANS,
  mandate,
  notice,
  PEOPLE,
  statement,
  votes,
} from "../support/proofs.ts";
import { LAW } from "../support/purposes.ts";
import {
  type Draft,
  derivation,
  honest,
  type Maps,
  NOW,
  OTHER_VAULT,
  onInput,
  onOutput,
  recipient,
  type Spend,
  type SpendOptions,
  type TestVault,
  TREASURY,
  testVault,
  USER_VAULT,
  withoutFields,
} from "../support/spend.ts";
import type { Input, Output, Plan, Window } from "./plan.ts";

const STRANGE = testVault({ seed: "strange house", kind: "treasury" });
const VAULTS: Readonly<Record<string, TestVault>> = {
  user: USER_VAULT,
  other: OTHER_VAULT,
  treasury: TREASURY,
};
const USER = USER_VAULT.vault.id;
const HELD = `${"a1".repeat(32)}:0`;

const LABELS: Readonly<Record<Plan["purpose"], Purpose>> = {
  withdrawal: "withdrawal",
  claim: "withdrawal",
  migration: "migration",
  consolidation: "consolidation",
  collect: "collect",
  "top-up": "top-up",
};
const OWN: Readonly<Record<Plan["purpose"], TestVault>> = {
  withdrawal: USER_VAULT,
  claim: USER_VAULT,
  migration: USER_VAULT,
  consolidation: USER_VAULT,
  collect: USER_VAULT,
  "top-up": TREASURY,
};
const PARTIES: Readonly<Record<Plan["purpose"], readonly TestVault[]>> = {
  withdrawal: [],
  claim: [],
  migration: [OTHER_VAULT],
  consolidation: [],
  collect: [TREASURY],
  "top-up": [USER_VAULT],
};

export function built(plan: Plan): Spend {
  // The intent's own claims name its id, which does not depend on the history.
  const id = plan.past.some(({ own }) => own) ? honest(optionsOf(plan, "")).intent.id : "";
  return honest(optionsOf(plan, id));
}

function optionsOf(plan: Plan, id: string): SpendOptions {
  const own = OWN[plan.purpose];
  const parties = PARTIES[plan.purpose];
  const place = plan.outputs.find(({ to }) => VAULTS[to] === own);
  return {
    from: own,
    purpose: LABELS[plan.purpose],
    parties,
    law: policyOf(plan),
    coins: plan.inputs.map(({ owner, branch, index, sats }) => ({
      branch,
      index,
      sats,
      from: VAULTS[owner] ?? own,
    })),
    payments: plan.outputs.map((output) => ({ script: scriptOf(output), sats: output.sats })),
    change: null,
    ...(place !== undefined && { changeAt: { branch: place.branch, index: place.index } }),
    signed: plan.inputs.some(({ signature }) => signature !== "none") ? ["user"] : [],
    bend: {
      tx: (tx) => ({
        ...tx,
        version: plan.version,
        locktime: plan.locktime,
        inputs: tx.inputs.map((input, i) => ({
          ...input,
          sequence: plan.inputs[i]?.sequence ?? input.sequence,
        })),
      }),
      spent: (spent) =>
        spent.map((output, i) =>
          plan.inputs[i]?.owner === "stranger" ? { ...output, script: recipient(900 + i) } : output,
        ),
      maps: (maps, draft) =>
        plan.inputs.reduce(
          (all, input, i) => saying(all, draft, input, i),
          plan.outputs.reduce(hinted, maps),
        ),
      intent: (content) => intentOf(plan, content),
      history: (document, draft) => historyOf(plan, draft, document, id),
      chain: (chain, draft) => chainOf(plan, draft, chain),
      evidence: (spend, draft) => evidenceOf(plan, spend, draft),
    },
  };
}

type Content = Parameters<NonNullable<NonNullable<SpendOptions["bend"]>["intent"]>>[0];

function intentOf({ intent, purpose, proof }: Plan, content: Content): Content {
  const proven = purpose === "claim" || purpose === "collect" || purpose === "top-up";
  const cycle = { named: CYCLE, other: "usd/4710", none: null }[proof.cycle];
  const [first, ...rest] = content.outputs;
  const more = first === undefined ? 0n : first.sats + intent.paysMore;
  const outputs =
    first === undefined ? [] : [{ ...first, sats: more as typeof first.sats }, ...rest];
  return {
    ...content,
    network: intent.network,
    purpose: (intent.label as Purpose | null) ?? content.purpose,
    cycle: proven ? cycle : null,
    outputs,
  };
}

function scriptOf({ to, branch, index, payee }: Output): Uint8Array {
  const vault = VAULTS[to];
  if (vault !== undefined) return vault.scripts.at(branch, index).script;
  if (to === "data") return Uint8Array.of(0x6a, 1, 1);
  if (to === "future") return concat([Uint8Array.of(0x52, 0x20), new Uint8Array(32).fill(7)]);
  return recipient(payee);
}

/** Beyond the indices that are searched anyway, an honest builder says where an output lies. */
function hinted(maps: Maps, { to, branch, index }: Output, i: number): Maps {
  const vault = VAULTS[to];
  const holder = vault?.vault.holders[0];
  const origin = holder?.key.origin;
  if (vault === undefined || holder === undefined || !origin || index < 20) return maps;
  const script = vault.scripts.at(branch, index);
  const key = script.keys.find(({ role }) => role === holder.role)?.xOnly ?? script.internalKey;
  const { fingerprint } = origin;
  const path = [...origin.path, branch, index];
  return onOutput(maps, i, [
    derivation(OUT.TAP_BIP32_DERIVATION, key, { leafHashes: [script.leafHash], fingerprint, path }),
  ]);
}

/** What the PSBT says of an input, and whether the user's signature is one. */
function saying(maps: Maps, { coins }: Draft, input: Input, i: number): Maps {
  const script = coins[i]?.script;
  if (script === undefined) return maps;
  let said = maps;
  if (input.sighash !== null) said = onInput(said, i, [field(IN.SIGHASH_TYPE, u32(input.sighash))]);
  if (input.signature === "none") said = withoutFields(said, i, [IN.TAP_SCRIPT_SIG]);
  if (input.signature === "broken") said = broken(said, i);
  switch (input.lie) {
    case "internal-key":
      return onInput(said, i, [
        field(IN.TAP_INTERNAL_KEY, USER_VAULT.scripts.at(0, 77).internalKey),
      ]);
    case "merkle-root":
      return onInput(said, i, [field(IN.TAP_MERKLE_ROOT, new Uint8Array(32).fill(1))]);
    case "leaf":
      return onInput(said, i, [
        {
          type: IN.TAP_LEAF_SCRIPT,
          keyData: script.controlBlock,
          value: Uint8Array.of(0x51, 0xc0),
        },
      ]);
    case "key-path":
      return onInput(said, i, [field(IN.TAP_KEY_SIG, new Uint8Array(64))]);
    case "final":
      return onInput(said, i, [field(IN.FINAL_SCRIPTWITNESS, Uint8Array.of(1, 1, 0x51))]);
    case "fingerprint":
      return {
        ...said,
        inputs: said.inputs.map((map, at) =>
          at !== i
            ? map
            : map.map((entry) =>
                entry.type === IN.TAP_BIP32_DERIVATION && entry.value[0] === 1
                  ? { ...entry, value: entry.value.with(33, (entry.value[33] ?? 0) ^ 1) }
                  : entry,
              ),
        ),
      };
    default:
      return said;
  }
}

function broken(maps: Maps, i: number): Maps {
  return {
    ...maps,
    inputs: maps.inputs.map((map, at) =>
      at !== i
        ? map
        : map.map((entry) =>
            entry.type === IN.TAP_SCRIPT_SIG
              ? { ...entry, value: entry.value.with(63, (entry.value[63] ?? 0) ^ 1) }
              : entry,
          ),
    ),
  };
}

const plain = ({ hours, sats }: Window) => ({ hours, sats: Number(sats) });

function policyOf({ purpose, role, policy }: Plan): PolicyDocument {
  const label = LABELS[purpose];
  const listed = policy.payees?.map((payee) => addressOf(recipient(payee), "regtest") ?? "");
  const limits = {
    sats_per_spend: Number(policy.perSpend),
    windows: [plain(policy.window)],
    ...(policy.vaultWindow !== null && { vault_windows: [plain(policy.vaultWindow)] }),
    ...(policy.tier !== null && {
      approvals: [{ above_sats: Number(policy.tier.above), people: policy.tier.people }],
    }),
  };
  const paying = {
    ...limits,
    ...(policy.destinationWindow !== null && {
      destination_windows: [plain(policy.destinationWindow)],
    }),
    destinations: listed ?? ("any" as const),
    no_proof_sats: Number(purpose === "claim" ? policy.noProofSats : 2_000_000_000n),
    vault_windows: [plain(policy.vaultWindow ?? { hours: 1, sats: 2_000_000_000_000n })],
  };
  const upkeep = {
    inputs_min: policy.coinsMin,
    sat_per_vbyte_max: Number(policy.rateMaxUpkeep) / 1_000,
  };
  const named =
    label === "withdrawal" ? paying : label === "consolidation" ? { ...limits, ...upkeep } : limits;
  return {
    ...LAW,
    role,
    chain: { confirmations: policy.confirmations },
    transaction: {
      inputs: policy.inputs,
      outputs: policy.outputs,
      locktime_past_blocks: policy.past,
      locktime_future_blocks: policy.future,
      change_gap: policy.gap,
    },
    fees: {
      sats: Number(policy.feeSats),
      sat_per_vbyte: { min: Number(policy.rateMin) / 1_000, max: Number(policy.rateMax) / 1_000 },
      share_bps: Number(policy.shareBps),
      windows: [plain(policy.feeWindow)],
    },
    guardians: {
      ...LAW.guardians,
      vote_age_seconds: policy.voteAge,
      vote_spread_bps: Number(policy.spreadBps),
      statement_age_blocks: policy.statementAge,
    },
    purposes: policy.named ? { [label]: named } : { cancel: limits },
  };
}

function historyOf(
  plan: Plan,
  draft: Draft,
  document: HistoryDocument,
  id: string,
): HistoryDocument {
  const coinOf = (i: number) => {
    const input = draft.tx.inputs[i];
    return input === undefined ? [] : [outpoint(input)];
  };
  const label = LABELS[plan.purpose];
  const own = OWN[plan.purpose].vault.id;
  const claims = plan.past.map((past, n): Claim => {
    const txid = (n + 1).toString(16).padStart(64, "e");
    const all = past.sats + past.feeSats;
    const vault = past.vault === "user" ? USER : OTHER_VAULT.vault.id;
    return {
      intent: past.own ? id : txid,
      purpose: label,
      vault,
      txid,
      anchor: `${txid}:9`,
      outpoints: past.coin === null ? [`${txid}:9`] : coinOf(past.coin),
      charges: [
        { account: `purpose ${label}`, sats: all },
        { account: `vault ${vault} ${label}`, sats: all },
        { account: `destination ${hex(recipient(past.payee))} ${label}`, sats: past.sats },
        { account: "fees", sats: past.feeSats },
      ],
      places:
        past.index === null
          ? []
          : [
              {
                outpoint: `${txid}:0`,
                vault: USER,
                index: past.index,
                sats: 1_000n,
                gained: false,
              },
            ],
      userSigned: true,
      fixed: "",
      nonces: [],
      at: NOW - past.msAgo,
      height: (plan.height ?? 1_000) - past.blocksAgo,
    };
  });
  const drew: readonly Claim[] =
    plan.proof.drawn === 0n
      ? []
      : [
          {
            ...{
              intent: "dd".repeat(32),
              purpose: "withdrawal",
              vault: USER,
              txid: "dd".repeat(32),
            },
            ...{ anchor: `${"dd".repeat(32)}:9`, outpoints: [`${"dd".repeat(32)}:9`] },
            charges: [{ account: `drawn ${USER}`, sats: plan.proof.drawn }],
            ...{ places: [], userSigned: true, fixed: "", nonces: [] },
            ...{ at: NOW - 1_000, height: plan.height ?? 1_000 },
          },
        ];
  const notices = noticesOf(plan);
  return {
    ...document,
    paused: plan.paused,
    height: plan.height === null ? 1_000 : 0,
    claims: [...claims, ...drew],
    notices: own === "" ? [] : notices,
  };
}

function noticesOf({ mandate: given }: Plan): HistoryDocument["notices"] {
  if (given === null) return [];
  const fields = {
    may: given.may.length === 0 ? "none" : given.may.join(","),
    sats30d: given.sats30d,
    fees30d: given.fees30d,
    until: given.until,
    treasury: (given.treasury === "treasury" ? TREASURY : STRANGE).vault.id,
  };
  return [
    mandate(USER_VAULT, fields),
    ...(given.revoked ? [notice("revoke", { vault: USER, no: 1 })] : []),
  ];
}

type ChainBend = NonNullable<NonNullable<SpendOptions["bend"]>["chain"]>;

function chainOf(
  plan: Plan,
  { tx }: Draft,
  chain: Parameters<ChainBend>[0],
): ReturnType<ChainBend> {
  const { height, proof } = plan;
  if (height === null) return null;
  const coins = new Map(chain.coins);
  const held: VaultCoin[] = [];
  tx.inputs.forEach((input, i) => {
    const id = outpoint(input);
    const node = plan.inputs[i]?.node ?? null;
    const before = chain.coins.get(id);
    if (node === null || before?.kind !== "unspent") coins.set(id, { kind: "missing" });
    else {
      coins.set(id, { ...before, ...node });
      if (plan.inputs[i]?.owner === "user") {
        held.push({ outpoint: id, sats: node.sats, height: node.height });
      }
    }
  });
  if (plan.purpose === "top-up") {
    held.push({ outpoint: HELD, sats: proof.holds, height: height - 100 });
  }
  const block = proof.sameBlock ? "0b".repeat(32) : "0c".repeat(32);
  const blocks = new Map([[height - proof.statementAge, block]]);
  return { ...chain, height, coins, vaults: new Map([[USER, held]]), blocks };
}

function evidenceOf(plan: Plan, spend: Approvable, { tx }: Draft): EvidenceDocument | null {
  const { purpose, proof, height } = plan;
  const agreed = approvals(spend, PEOPLE.slice(0, plan.approvals));
  const proven = purpose === "claim" || purpose === "collect" || purpose === "top-up";
  if (!proven) return agreed.length === 0 ? null : { ...EVIDENCE, approvals: agreed };
  const guardians = (places: readonly number[]) => places.flatMap((n) => GUARDIANS[n] ?? []);
  const coins = purpose === "top-up" ? [HELD] : tx.inputs.map(outpoint);
  return {
    ...EVIDENCE,
    approvals: agreed,
    votes: votes({
      prices: proof.prices.slice(0, proof.voters.length),
      time: NOW / 1000 - proof.voteAge,
      by: guardians(proof.voters),
    }),
    ...statement({
      accounts: [
        {
          vault: USER,
          outpoints: proof.credited ? [...new Set(coins)] : [],
          hedgedCents: proof.hedgedCents,
          idleSats: proof.idleSats,
          deficitSince: proof.deficitSince,
        },
      ],
      height: (height ?? 1_000) - proof.statementAge,
      by: guardians(proof.signers),
    }),
  };
}
