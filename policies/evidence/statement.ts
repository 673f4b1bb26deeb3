/**
 * Statements: what is owed to whom at a block. Each account is a leaf of a Merkle-sum tree, and each
 * guardian signs the root after its own replay (architecture section 3; issue 7 produces them). A
 * leaf is salted: a path tells nothing of the other accounts but their sums.
 */
import { z } from "zod";
import { fromHex, hex, taggedHash } from "../bitcoin/hash.ts";
import type { Network } from "../bitcoin/network.ts";
import { isOutpoint } from "../bitcoin/transaction.ts";
import { type Cents, cents, type Msats, msats, type Sats, sats } from "../money.ts";
import { type Guardian, guardianFault } from "./guardian.ts";
import {
  amountCents,
  amountMsats,
  amountSats,
  bytes,
  decimal,
  hash,
  name,
  vaultId,
  whole,
} from "./scalar.ts";
import { climb, STEPS_MAX, type SumNode, type Sums } from "./sum-tree.ts";

/** As many coins of one vault as a statement lists; more are consolidated first. */
const OUTPOINTS_MAX = 500;

const sums = {
  hedgedCents: decimal,
  poolMsats: decimal,
  channelCents: decimal,
  idleSats: decimal,
};

export const leafSchema = z.strictObject({
  vault: vaultId,
  /** The vault's confirmed coins at that block, sorted, each once. */
  outpoints: z
    .array(z.string().refine(isOutpoint, { message: "is no outpoint txid:vout" }))
    .max(OUTPOINTS_MAX),
  hedgedCents: amountCents,
  poolMsats: amountMsats,
  channelCents: amountCents,
  idleSats: amountSats,
  /** Height since which the coins have stayed below the claim; 0 when they cover it. */
  deficitSince: whole,
  /** Rises by one with every entry of the account's log. */
  sequence: whole,
  /** Head of the account's log; see account-log.ts. */
  log: hash,
  salt: hash,
});

export type LeafDocument = z.output<typeof leafSchema>;

/** What an account is owed. */
export interface Account {
  readonly vault: string;
  readonly outpoints: readonly string[];
  readonly hedgedCents: Cents;
  readonly poolMsats: Msats;
  readonly channelCents: Cents;
  readonly idleSats: Sats;
  readonly deficitSince: number;
  readonly sequence: number;
  readonly log: string;
}

export const headerSchema = z.strictObject({
  network: z.string(),
  /** Rises with every statement; each is used once a vault. */
  index: whole,
  height: whole,
  /** Hash of the block at that height, in the order in which people read it. */
  block: hash,
  ...sums,
  root: hash,
});

export type StatementHeader = z.output<typeof headerSchema>;

export const statementSchema = z.strictObject({
  header: headerSchema,
  signatures: z.array(z.strictObject({ guardian: name, signature: bytes(64) })).max(50),
  accounts: z
    .array(
      z.strictObject({
        leaf: leafSchema,
        path: z
          .array(z.strictObject({ side: z.enum(["left", "right"]), hash, ...sums }))
          .max(STEPS_MAX),
      }),
    )
    .max(250),
});

export type StatementDocument = z.output<typeof statementSchema>;

export interface StatementFacts {
  readonly header: StatementHeader;
  /** Guardians whose signature on the header verifies. */
  readonly guardians: readonly string[];
  /** Accounts whose path leads to the root. */
  readonly accounts: readonly Account[];
  readonly faults: readonly string[];
}

export function leafNode(leaf: LeafDocument): SumNode {
  const { hedgedCents, poolMsats, channelCents, idleSats } = leaf;
  const text = [
    leaf.vault,
    leaf.outpoints.join(","),
    hedgedCents,
    poolMsats,
    channelCents,
    idleSats,
    leaf.deficitSince,
    leaf.sequence,
    leaf.log,
    leaf.salt,
  ].join("\n");
  const leafHash = taggedHash("ballast/statement-leaf@1", new TextEncoder().encode(text));
  return { hash: leafHash, hedgedCents, poolMsats, channelCents, idleSats };
}

/** What a guardian signs. */
export function statementHash(header: StatementHeader): Uint8Array {
  const text = [
    header.network,
    header.index,
    header.height,
    header.block,
    header.hedgedCents,
    header.poolMsats,
    header.channelCents,
    header.idleSats,
    header.root,
  ].join("\n");
  return taggedHash("ballast/statement@1", new TextEncoder().encode(text));
}

export function statementFacts(
  { header, signatures, accounts }: StatementDocument,
  { network, guardians }: { readonly network: Network; readonly guardians: readonly Guardian[] },
): StatementFacts {
  const message = statementHash(header);
  const heard = new Set<string>();
  const faults = signatures.flatMap(
    (signature) => guardianFault(signature, message, { guardians, heard }) ?? [],
  );
  if (header.network !== network) faults.push(`the statement is of ${header.network}`);
  const known = accounts.map(({ leaf }) => leaf.vault);
  if (new Set(known).size !== known.length) faults.push("an account is proven twice");
  const proven = accounts.flatMap(({ leaf, path }) => {
    const steps = path.map((step) => ({ ...step, hash: fromHex(step.hash) }));
    const fault = orderFault(leaf) ?? rootFault(climb(leafNode(leaf), steps), header);
    if (fault === null) return [accountOf(leaf)];
    faults.push(`the account of vault ${leaf.vault}: ${fault}`);
    return [];
  });
  return { header, guardians: [...heard], accounts: proven, faults };
}

/** One set of coins has one text, so that one account has one leaf. */
function orderFault({ outpoints }: LeafDocument): string | null {
  const sorted = outpoints.every((outpoint, i) => i === 0 || (outpoints[i - 1] ?? "") < outpoint);
  return sorted ? null : "its coins are not sorted, or one stands twice";
}

function rootFault(root: SumNode | null, header: StatementHeader): string | null {
  if (root === null) return "a sum on its path is negative or too large";
  const same = (Object.keys(sums) as (keyof Sums)[]).every((sum) => root[sum] === header[sum]);
  return same && hex(root.hash) === header.root ? null : "its path does not lead to the root";
}

function accountOf(leaf: LeafDocument): Account {
  const { vault, outpoints, deficitSince, sequence, log } = leaf;
  return {
    vault,
    outpoints,
    hedgedCents: cents(leaf.hedgedCents),
    poolMsats: msats(leaf.poolMsats),
    channelCents: cents(leaf.channelCents),
    idleSats: sats(leaf.idleSats),
    deficitSince,
    sequence,
    log,
  };
}
