/**
 * The two who could take a user's coins together: an LSP's and a trustee's guard, each with its own
 * journal, policy, key, registered vaults and view of the chain. Only keys, clock and chain are the
 * test's; an evil orchestrator stands between them and says to each what it likes.
 */
import { join } from "node:path";
import * as ecc from "tiny-secp256k1";
import { hex } from "../../policies/bitcoin/hash.ts";
import { readPsbt } from "../../policies/bitcoin/psbt.ts";
import { IN } from "../../policies/bitcoin/psbt-fields.ts";
import { isApproval } from "../../policies/decide.ts";
import { type PolicyDocument, readPolicy } from "../../policies/document/policy.ts";
import { type NoticeKind, writeNotice } from "../../policies/evidence/notice.ts";
import { possessionHash } from "../../policies/possession.ts";
import { RECEIVE, type Role } from "../../policies/vault.ts";
import type { CurvePool } from "../../signer/curve.ts";
import { guard } from "../../signer/guard.ts";
import { type Journal, openJournal } from "../../signer/journal.ts";
import { createJournal } from "../../signer/journal-file.ts";
import { KeyError } from "../../signer/key-error.ts";
import { openNotices } from "../../signer/notices.ts";
import type { Hears, Key, Registers, Signer, SignOutcome, Words } from "../../signer/signer.ts";
import { openVaults } from "../../signer/vaults.ts";
import { userSecret, wordOf } from "./proofs.ts";
import { LAW, RECOVERY_VAULT } from "./purposes.ts";
import { type PaperChain, paperChain, registrationOf, requestOf } from "./signer-room.ts";
import {
  ESCROW,
  EXIT_VAULT,
  finished,
  NOW,
  OTHER_VAULT,
  type Party,
  type Spend,
  signTweaked,
  type TestVault,
  TREASURY,
  USER_VAULT,
} from "./spend.ts";

export const SEATS = ["lsp", "trustee"] as const;
export type SeatRole = (typeof SEATS)[number];

/** One signer of the two. */
export interface Seat {
  readonly signer: Signer & Hears & Pick<Registers, "registerVault">;
  readonly key: CountedKey;
  readonly journal: Journal;
  readonly chain: PaperChain;
}

export interface TwoSigners extends Readonly<Record<SeatRole, Seat>> {
  readonly close: () => void;
}

export interface TwoSignersOptions {
  readonly folder: string;
  readonly curve: CurvePool;
  /** What both laws say otherwise. */
  readonly law?: PolicyDocument;
  /** Registered beside the usual ones; the two hold their keys in these, too. */
  readonly vaults?: readonly TestVault[];
}

const VAULTS = [USER_VAULT, OTHER_VAULT, TREASURY, ESCROW, EXIT_VAULT, RECOVERY_VAULT];

/** What user and trustee may pay without the LSP and without delay. */
export const SMALL_TIER = 450_000;

/** The law of one of the two: each trusts its own guardian, and the trustee pays only small sums. */
export function lawOf(role: SeatRole, law: PolicyDocument = LAW): PolicyDocument {
  const own = role === "lsp" ? "own" : "second";
  const named = { ...law, name: `${role}.regtest`, role };
  const guardians = named.guardians && { ...named.guardians, own: [own] };
  const { withdrawal = LAW.purposes.withdrawal } = named.purposes;
  const small = { ...withdrawal, sats_per_spend: SMALL_TIER };
  return {
    ...named,
    ...(guardians && { guardians }),
    purposes: role === "lsp" ? named.purposes : { ...named.purposes, withdrawal: small },
  };
}

export async function openTwoSigners(options: TwoSignersOptions): Promise<TwoSigners> {
  const lsp = await openSeat("lsp", options);
  const trustee = await openSeat("trustee", options);
  return {
    lsp,
    trustee,
    close: () => {
      lsp.journal.close();
      trustee.journal.close();
    },
  };
}

async function openSeat(
  role: SeatRole,
  { folder, curve, law, vaults: more = [] }: TwoSignersOptions,
): Promise<Seat> {
  const at = { file: join(folder, `${role}.db`), network: "regtest", role } as const;
  createJournal(at);
  const journal = openJournal(at);
  const policy = readPolicy(lawOf(role, law));
  const key = countedKey(role, [...VAULTS, ...more]);
  const now = () => NOW;
  const vaults = openVaults({ journal, policy, key, now });
  for (const vault of [...VAULTS, ...more]) {
    const outcome = await vaults.register(registrationOf(vault));
    if (outcome.kind !== "registered") throw new Error(outcome.reasons.join("; "));
  }
  const chain = paperChain();
  const parts = { policy, key, journal, vaults, chain, curve, now, log: () => undefined };
  const { tell } = openNotices({ ...parts, network: "regtest" });
  const signer = guard({ ...parts, name: `${role} under test` });
  return { signer: { ...signer, tell, registerVault: vaults.register }, key, journal, chain };
}

export interface CountedKey extends Key {
  /** How often signatures over a transaction were asked for. */
  readonly signed: () => number;
}

/** A key that holds what the role holds in these vaults, and signs for nothing but an approval. */
function countedKey(role: SeatRole, vaults: readonly TestVault[]): CountedKey {
  const held = new Map(
    vaults.flatMap(({ parties }) => {
      const party = parties.get(role);
      return party === undefined ? [] : [[accountOf(party), party] as const];
    }),
  );
  const holder = (account: string): Party => {
    const party = held.get(account);
    if (party === undefined) throw new KeyError("unknown-account", `no account ${account}`);
    return party;
  };
  let signed = 0;
  return {
    name: `the ${role}'s`,
    custody: "secrets of a test",
    signed: () => signed,
    sign: async (approval) => {
      signed += 1;
      if (!isApproval(approval)) throw new KeyError("not-approved", "no decision stands behind it");
      return approval.inputs.map(({ input, account, tweak, sighash }) => ({
        input,
        signature: signTweaked(holder(account), tweak, sighash),
      }));
    },
    provePossession: async (account, text) =>
      ecc.signSchnorr(possessionHash(text), holder(account).secretAt(RECEIVE, 0)),
    accountKey: async (label) => {
      throw new KeyError("unknown-account", `no account "${label}"`);
    },
    close: async () => undefined,
  };
}

function accountOf({ account }: Party): string {
  return hex(account.publicKey ?? new Uint8Array(0));
}

/** Both nodes see the coins that these spends were built on, at the height of the last of them. */
export function see(two: TwoSigners, ...spends: readonly Spend[]): void {
  for (const { chain: paper } of [two.lsp, two.trustee]) {
    for (const { case: judged } of spends) {
      if (judged.chain === null) continue;
      for (const [outpoint, coin] of judged.chain.coins) paper.set(outpoint, coin);
      for (const [vault, coins] of judged.chain.vaults) paper.vaults.set(vault, coins);
      paper.height = Math.max(paper.height, judged.chain.height);
    }
  }
}

/** Both chains are so high from now on. */
export function at(two: TwoSigners, height: number): void {
  for (const { chain } of [two.lsp, two.trustee]) chain.height = height;
}

/** What one of the two answers. */
export async function ask({ signer }: Seat, spend: Spend): Promise<SignOutcome> {
  return await signer.sign(requestOf(spend));
}

/** A notice with the word of the user of a vault. */
export function wordsOf(
  kind: NoticeKind,
  fields: Readonly<Record<string, string | number | bigint>>,
  by: TestVault,
): Words {
  const text = writeNotice(kind, "regtest", fields);
  return { text, signature: wordOf(text, userSecret(by)) };
}

/** The transaction finished with the signatures of these two roles, from whichever PSBT has them. */
export function finishedBy(
  spend: Spend,
  psbts: readonly Uint8Array[],
  roles: readonly [Role, Role],
): Uint8Array {
  const maps = psbts.map((bytes) => readPsbt(bytes).inputs);
  return finished(spend, (input) => {
    const fields = maps.flatMap((inputs) => inputs[input] ?? []);
    const found = roles.flatMap((role) => {
      const key = spend.coins[input]?.script.keys.find((candidate) => candidate.role === role);
      const signature = fields.find(
        ({ type, keyData }) =>
          type === IN.TAP_SCRIPT_SIG && hex(keyData.subarray(0, 32)) === hex(key?.xOnly ?? keyData),
      );
      return signature === undefined ? [] : [[role, signature.value] as const];
    });
    return new Map(found);
  });
}
