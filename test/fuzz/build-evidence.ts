/** The evidence of a plan, signed as its guardians, people, users and nodes would. */
import { hex } from "../../policies/bitcoin/hash.ts";
import { logStart } from "../../policies/evidence/account-log.ts";
import type { Approvable } from "../../policies/evidence/approval.ts";
import type { EvidenceDocument } from "../../policies/evidence.ts";
import type { HistoryDocument } from "../../policies/history.ts";
import { cents, msats, sats } from "../../policies/money.ts";
import {
  approvals,
  EVIDENCE,
  funding,
  GUARDIANS,
  operation,
  PEOPLE,
  type Signatory,
  signatory,
  statement,
  votes,
} from "../support/proofs.ts";
import { NOW } from "../support/spend.ts";
import { DELEGATE, idOf, NODES } from "./build-documents.ts";
import { paperBytes } from "./build-paper.ts";
import { hexOf, outpointOf, RESERVES, TEST_VAULTS } from "./build-scripts.ts";
import type { Plan, Statement, Vote } from "./plan.ts";

type Part<Key extends keyof EvidenceDocument> = NonNullable<EvidenceDocument[Key]>;

const STRANGER = signatory("stranger");

function guardian(name: string, good: boolean): Signatory {
  const found = GUARDIANS.find((one) => one.name === name) ?? { ...STRANGER, name };
  return good ? found : { ...found, secret: STRANGER.secret };
}

/** Statement and logs: what a request brings, and what the signer remembers is made of it. */
type Books = Pick<EvidenceDocument, "statement" | "logs">;

export function booksOf(plan: Plan): Books {
  const said = plan.evidence.statement;
  if (said === null) return {};
  const made = statement({
    accounts: said.accounts.map(({ vault, credited, log: _log, leaf: _leaf, ...account }) => ({
      ...account,
      vault: idOf(vault),
      outpoints: [...new Set(credited.map((coin) => outpointOf(plan, coin)))],
    })),
    height: said.height,
    index: said.index,
    by: said.signers.map(({ by, good }) => guardian(by, good)),
    header: (header) => ({ ...header, network: said.network }),
  });
  return { statement: forged(made, said), logs: logsOf(made, said) };
}

function forged({ statement: made }: Books, { accounts }: Statement): Part<"statement"> {
  if (made === undefined) throw new Error("BUG: no statement");
  return {
    ...made,
    accounts: made.accounts.map((one, i) =>
      accounts[i]?.leaf === "forged"
        ? { ...one, leaf: { ...one.leaf, idleSats: String(BigInt(one.leaf.idleSats) + 1n) } }
        : one,
    ),
  };
}

function logsOf({ logs = [] }: Books, { accounts }: Statement): Part<"logs"> {
  return logs.map((log, i) => {
    const how = accounts[i]?.log ?? "whole";
    if (how === "whole") return log;
    const entries =
      how === "none" ? [] : log.entries.map((one) => ({ ...one, kind: "fee" as const }));
    return { ...log, entries };
  });
}

/** What the signer remembers of each account: before its first entry, as it is, or one ahead. */
export function rememberedOf(
  plan: Plan,
  { statement: made }: Books,
  intent: string,
): HistoryDocument["accounts"] {
  return plan.history.accounts.flatMap(({ vault, sequence, used }) => {
    const leaf = made?.accounts.find((one) => one.leaf.vault === idOf(vault))?.leaf;
    if (leaf === undefined) return [];
    const none = sequence === 0;
    const amount = (said: string | number) => (none ? 0n : BigInt(said));
    return {
      account: {
        vault: leaf.vault,
        hedgedCents: cents(amount(leaf.hedgedCents)),
        poolMsats: msats(amount(leaf.poolMsats)),
        channelCents: cents(amount(leaf.channelCents)),
        idleSats: sats(amount(leaf.idleSats)),
        sequence,
        log: none ? logStart(leaf.vault) : leaf.log,
      },
      used:
        used === null
          ? null
          : { index: used.index, intent: used.by === "own" ? intent : hexOf("intent another") },
    };
  });
}

export function evidenceDocument(
  plan: Plan,
  approvable: Approvable,
  books: Books,
): EvidenceDocument {
  const { evidence } = plan;
  return {
    ...EVIDENCE,
    ...books,
    votes: evidence.votes.flatMap(voteOf),
    approvals: evidence.approvals.flatMap(({ person, lifts, until, for: what }) => {
      const signer = PEOPLE.find(({ name }) => name === person) ?? { ...STRANGER, name: person };
      const spend = what === "this" ? approvable : { ...approvable, spendHash: "ab".repeat(32) };
      return approvals(spend, [signer], { lifts, until });
    }),
    operations: evidence.operations.map((one) => {
      const { vault, number, do: what, sats: amount, by, good } = one;
      const key = { vault: null, delegate: DELEGATE, stranger: STRANGER }[by];
      const signer = key ?? undefined;
      const made = operation(TEST_VAULTS[vault], { do: what, sats: amount, number }, signer);
      return good ? made : { ...made, number: number + 100, sats: String(amount) };
    }),
    ...(evidence.funding !== null && { funding: fundingDocument(plan, evidence.funding) }),
    ...(evidence.reserves && { reserves: RESERVES }),
    ...(evidence.original !== null && {
      original: Buffer.from(paperBytes(plan, evidence.original)).toString("base64"),
    }),
  };
}

const signed = new Map<string, Part<"votes">>();
const SIGNED_MAX = 20_000;

/** The same vote has the same signature: it is signed once. */
function voteOf({ by, pool, index, age, price, good }: Vote): Part<"votes"> {
  const key = [by, pool, index, age, price, good].join();
  const time = NOW / 1_000 - age;
  const made =
    signed.get(key) ?? votes({ prices: [price], time, index, pool, by: [guardian(by, good)] });
  if (signed.size < SIGNED_MAX) signed.set(key, made);
  return made;
}

function fundingDocument({ intent }: Plan, said: NonNullable<Plan["evidence"]["funding"]>) {
  const made = funding(TEST_VAULTS[intent.vault], said.sats, {
    user: NODES[said.user],
    lsp: NODES[said.lsp],
  });
  const { user } = made;
  return said.good ? made : { ...made, user: { ...user, signature: broken(user.signature) } };
}

/** One bit of r is another. */
const broken = (signature: string) => {
  const bytes = Uint8Array.from(Buffer.from(signature, "hex"));
  bytes[20] = (bytes[20] ?? 0) ^ 1;
  return hex(bytes);
};
