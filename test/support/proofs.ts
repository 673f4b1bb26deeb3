/** Evidence for tests: guardians, people and users with fixed secrets, and what they sign. */
import * as ecc from "tiny-secp256k1";
import { hex, sha256 } from "../../policies/bitcoin/hash.ts";
import { nodeHash, textHash } from "../../policies/bitcoin/message.ts";
import { writePsbt } from "../../policies/bitcoin/psbt.ts";
import { type LogEntry, logStart, nextLogHead } from "../../policies/evidence/account-log.ts";
import { type Approvable, approvalText } from "../../policies/evidence/approval.ts";
import { fundingText } from "../../policies/evidence/funding.ts";
import { type NoticeKind, readNotice, writeNotice } from "../../policies/evidence/notice.ts";
import { operationText } from "../../policies/evidence/operation.ts";
import {
  type LeafDocument,
  leafNode,
  type StatementHeader,
  statementHash,
} from "../../policies/evidence/statement.ts";
import { sumTree } from "../../policies/evidence/sum-tree.ts";
import { voteHash } from "../../policies/evidence/vote.ts";
import type { EvidenceDocument } from "../../policies/evidence.ts";
import type { HistoryDocument } from "../../policies/history.ts";
import { RECEIVE } from "../../policies/vault.ts";
import { HEIGHT, NOW, type TestVault, TREASURY } from "./spend.ts";

export const EVIDENCE = { format: "ballast/evidence@1" } as const satisfies EvidenceDocument;

export interface Signatory {
  readonly name: string;
  readonly secret: Uint8Array;
  /** Compressed, in hex. */
  readonly key: string;
}

export function signatory(name: string): Signatory {
  const secret = sha256(new TextEncoder().encode(`signatory ${name}`));
  return { name, secret, key: hex(ecc.pointFromScalar(secret, true) ?? secret) };
}

/** The first is of the signer's own organisation; three of them agree. */
export const GUARDIANS = ["own", "second", "third", "fourth"].map(signatory);
export const PEOPLE = ["anna", "bert", "cora"].map(signatory);
export const USER_NODE = signatory("user-node");
export const LSP_NODE = signatory("lsp-node");

/** Signs the text as software keys do: 64 bytes in hex. */
export function wordOf(text: string, secret: Uint8Array): string {
  return hex(ecc.signSchnorr(textHash(text), secret));
}

/** The secret that signs messages for a vault: the user's, at /0/0. */
export function userSecret(vault: TestVault): Uint8Array {
  const party = vault.parties.get("user");
  if (party === undefined) throw new Error("the vault has no user");
  return party.secretAt(RECEIVE, 0);
}

export interface VotePlan {
  readonly prices?: readonly bigint[];
  readonly time?: number;
  readonly index?: number;
  readonly pool?: string;
  readonly by?: readonly Signatory[];
}

export const CYCLE = "usd/4711";

/** Three votes around 100,000 dollars, of a moment ago. */
export function votes(plan: VotePlan = {}): NonNullable<EvidenceDocument["votes"]> {
  const { prices = PRICES, time = NOW / 1000 - 10, index = 4_711, pool = "usd" } = plan;
  return prices.map((price, i) => {
    const guardian = (plan.by ?? GUARDIANS)[i] ?? signatory("nobody");
    const content = { pool, index, time, price };
    const signature = hex(ecc.signSchnorr(voteHash("regtest", content), guardian.secret));
    return { ...content, price: String(price), guardian: guardian.name, signature };
  });
}

/** Cents per bitcoin; lowest, middle, highest. */
export const PRICES = [9_990_000n, 10_000_000n, 10_010_000n] as const;

export interface AccountPlan {
  readonly vault: string;
  readonly outpoints: readonly string[];
  readonly hedgedCents?: bigint;
  readonly poolMsats?: bigint;
  readonly channelCents?: bigint;
  readonly idleSats?: bigint;
  readonly deficitSince?: number;
  /** What a withdrawal, the second entry of the log, has taken: what is owed now is left of it. */
  readonly paid?: { readonly hedgedCents: bigint; readonly idleSats: bigint };
  /** A deposit more, the last entry of the log, and part of what is owed now. */
  readonly credited?: { readonly reference: string; readonly idleSats: bigint };
}

export interface StatementPlan {
  readonly accounts: readonly AccountPlan[];
  readonly height?: number;
  readonly index?: number;
  readonly by?: readonly Signatory[];
  readonly header?: (header: StatementHeader) => StatementHeader;
}

/** A statement over these accounts and two others, with the logs that explain them. */
export function statement({
  accounts,
  height = HEIGHT - 6,
  index = 30,
  by = GUARDIANS.slice(0, 3),
  header: bend = (same) => same,
}: StatementPlan): Pick<EvidenceDocument, "statement" | "logs"> {
  const books = accounts.map((account, i) => bookOf(account, i));
  const others = [7, 8].map((n) =>
    bookOf({ vault: hex(sha256(Uint8Array.of(n))).slice(0, 40), outpoints: [] }, n),
  );
  const tree = sumTree([...books, ...others].map(({ leaf }) => leafNode(leaf)));
  const { hash: root, ...sums } = tree.root;
  const header = bend({
    network: "regtest",
    index,
    height,
    block: "0b".repeat(32),
    ...sums,
    root: hex(root),
  });
  const message = statementHash(header);
  return {
    statement: {
      header: texts(header),
      signatures: by.map(({ name, secret }) => ({
        guardian: name,
        signature: hex(ecc.signSchnorr(message, secret)),
      })),
      accounts: books.map(({ leaf }) => ({
        leaf: texts(leaf),
        path: tree
          .pathOf(leafNode(leaf).hash)
          .map((step) => ({ ...texts(step), hash: hex(step.hash) })),
      })),
    },
    logs: books.map(({ leaf, entries }) => ({ vault: leaf.vault, entries: entries.map(texts) })),
  };
}

/** The account's log, of one entry unless something was withdrawn or deposited since, and its leaf. */
function bookOf(plan: AccountPlan, n: number): { leaf: LeafDocument; entries: LogEntry[] } {
  const claim = {
    hedgedCents: plan.hedgedCents ?? 200_000n,
    poolMsats: plan.poolMsats ?? 5_000_000n,
    channelCents: plan.channelCents ?? 0n,
    idleSats: plan.idleSats ?? 100_000n,
  };
  const { hedgedCents = 0n, idleSats = 0n } = plan.paid ?? {};
  const deposit: LogEntry = {
    ...{ kind: "deposit", reference: `${"d0".repeat(32)}:0` },
    ...claim,
    hedgedCents: claim.hedgedCents + hedgedCents,
    idleSats: claim.idleSats + idleSats - (plan.credited?.idleSats ?? 0n),
  };
  const withdrawal: LogEntry = {
    ...{ kind: "withdrawal", reference: `${"d1".repeat(32)}:0`, poolMsats: 0n, channelCents: 0n },
    ...{ hedgedCents: -hedgedCents, idleSats: -idleSats },
  };
  const more: LogEntry = {
    ...{ kind: "deposit", reference: "", hedgedCents: 0n, poolMsats: 0n, channelCents: 0n },
    ...{ idleSats: 0n, ...plan.credited },
  };
  const entries = [
    deposit,
    ...(plan.paid === undefined ? [] : [withdrawal]),
    ...(plan.credited === undefined ? [] : [more]),
  ];
  const log = entries.reduce((head, entry) => nextLogHead(head, entry), logStart(plan.vault));
  const leaf: LeafDocument = {
    vault: plan.vault,
    outpoints: [...plan.outpoints].sort(),
    ...claim,
    deficitSince: plan.deficitSince ?? 0,
    sequence: entries.length,
    log,
    salt: hex(sha256(Uint8Array.of(0x5a, n))),
  };
  return { leaf, entries };
}

/** Amounts travel as decimal texts. */
function texts<Value extends object>(value: Value): Texts<Value> {
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [
      key,
      typeof item === "bigint" ? String(item) : item,
    ]),
  ) as Texts<Value>;
}

type Texts<Value> = { [Key in keyof Value]: Value[Key] extends bigint ? string : Value[Key] };

/** A notice of a vault's user, as heard at a height. */
export function notice(
  kind: NoticeKind,
  fields: Readonly<Record<string, string | number | bigint>>,
  height = HEIGHT - 100,
): HistoryDocument["notices"][number] {
  const read = readNotice(writeNotice(kind, "regtest", fields));
  if (read === null) throw new Error(`no ${kind}: ${JSON.stringify(fields, (_, v) => String(v))}`);
  return { text: read, height };
}

/** A mandate that allows everything, in plenty. */
export function mandate(
  vault: TestVault,
  part: Readonly<Record<string, string | number | bigint>> = {},
  height?: number,
): HistoryDocument["notices"][number] {
  return notice("mandate", mandateFields(vault, part), height);
}

/** The same mandate as its line. */
export function mandateText(vault: TestVault): string {
  return writeNotice("mandate", "regtest", mandateFields(vault));
}

export function mandateFields(
  vault: TestVault,
  part: Readonly<Record<string, string | number | bigint>> = {},
): Readonly<Record<string, string | number | bigint>> {
  return {
    vault: vault.vault.id,
    no: 1,
    may: "collect,top-up,consolidation,cancel",
    sats30d: 5_000_000,
    fees30d: 50_000,
    bump: 5_000,
    refresh: 12,
    claimbps: 50,
    treasury: TREASURY.vault.id,
    recovery: "none",
    until: HEIGHT + 20_000,
    ...part,
  };
}

export function approvals(
  spend: Approvable,
  by: readonly Signatory[],
  part: { readonly lifts?: readonly string[]; readonly until?: number } = {},
): NonNullable<EvidenceDocument["approvals"]> {
  const content = { lifts: [...(part.lifts ?? [])], until: part.until ?? HEIGHT + 10 };
  return by.map(({ name, secret }) => ({
    person: name,
    ...content,
    signature: wordOf(approvalText(spend, content), secret),
  }));
}

export function operation(
  vault: TestVault,
  part: { readonly do?: "lock" | "unlock"; readonly sats: bigint; readonly number?: number },
  by: { readonly secret: Uint8Array; readonly key?: string } = { secret: userSecret(vault) },
): NonNullable<EvidenceDocument["operations"]>[number] {
  const content = {
    vault: vault.vault.id,
    number: part.number ?? 1,
    do: part.do ?? "lock",
    sats: part.sats,
  } as const;
  return {
    ...content,
    sats: String(part.sats),
    ...(by.key !== undefined && { key: by.key }),
    signature: wordOf(operationText("regtest", content), by.secret),
  };
}

/** Both nodes' word for the keys of a channel. */
export function funding(
  vault: TestVault,
  sats: bigint,
  part: { readonly user?: Signatory; readonly lsp?: Signatory } = {},
): NonNullable<EvidenceDocument["funding"]> {
  const { user = USER_NODE, lsp = LSP_NODE } = part;
  const keys = { user: signatory("user-funding").key, lsp: signatory("lsp-funding").key };
  const content = { user: { key: keys.user }, lsp: { key: keys.lsp }, sats };
  const text = fundingText("regtest", vault.vault.id, content);
  const side = (key: string, node: Signatory) => ({
    key,
    node: node.key,
    signature: nodeWord(text, node.secret),
  });
  return { sats: String(sats), user: side(keys.user, user), lsp: side(keys.lsp, lsp) };
}

/** As a Lightning node signs: header, r, s, in hex. */
function nodeWord(text: string, secret: Uint8Array): string {
  const { signature, recoveryId } = ecc.signRecoverable(nodeHash(text), secret);
  return hex(Uint8Array.of(31 + recoveryId, ...signature));
}

/** A PSBT as evidence carries it. */
export function psbtText(psbt: Parameters<typeof writePsbt>[0]): string {
  return Buffer.from(writePsbt(psbt)).toString("base64");
}
