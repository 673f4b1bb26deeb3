/**
 * The evidence that comes with a request, format `ballast/evidence@1`: read strictly and verified
 * into facts, as a PSBT is. The orchestrator only carries it; what it proves, each rule says.
 */
import { base64 } from "@scure/base";
import { z } from "zod";
import type { Network } from "./bitcoin/network.ts";
import { PSBT_BYTES_MAX, PsbtFault, readPsbt } from "./bitcoin/psbt.ts";
import type { Person } from "./document/quorum.ts";
import { type LogDocument, logSchema } from "./evidence/account-log.ts";
import {
  type Approvable,
  type ApprovalFacts,
  approvalFacts,
  approvalSchema,
} from "./evidence/approval.ts";
import { type FundingFacts, fundingFacts, fundingSchema } from "./evidence/funding.ts";
import type { Guardian } from "./evidence/guardian.ts";
import { type OperationFacts, operationFacts, operationSchema } from "./evidence/operation.ts";
import { type ReservesDocument, reservesOutpoint, reservesSchema } from "./evidence/reserves.ts";
import { hash } from "./evidence/scalar.ts";
import { type StatementFacts, statementFacts, statementSchema } from "./evidence/statement.ts";
import { type VoteFacts, voteFacts, voteSchema } from "./evidence/vote.ts";
import { type SpendFacts, spendFacts } from "./facts.ts";
import type { Vault } from "./vault.ts";
import type { VaultScripts } from "./vault-scripts.ts";

const psbtText = z
  .string()
  .max(Math.ceil(PSBT_BYTES_MAX / 3) * 4)
  .transform((text, context) => {
    try {
      return readPsbt(base64.decode(text));
    } catch (error) {
      const detail = error instanceof PsbtFault ? error.message : "is not base64";
      context.addIssue({ code: "custom", message: detail });
      return z.NEVER;
    }
  });

export const evidenceSchema = z.strictObject({
  format: z.literal("ballast/evidence@1"),
  votes: z.array(voteSchema).max(50).default([]),
  statement: statementSchema.optional(),
  /** How the claims came to be what the statement says, since this signer last saw them. */
  logs: z.array(logSchema).max(250).default([]),
  approvals: z.array(approvalSchema).max(20).default([]),
  operations: z.array(operationSchema).max(10).default([]),
  funding: fundingSchema.optional(),
  reserves: reservesSchema.optional(),
  /** The PSBT that a cancel takes back, or a bump without the user replaces, as it was signed. */
  original: psbtText.optional(),
  /** Where a transaction is buried that frees coins of another intent: looked up on the own node. */
  burials: z
    .array(z.strictObject({ txid: hash, block: hash }))
    .max(20)
    .default([]),
});

export type EvidenceDocument = z.input<typeof evidenceSchema>;
export type Evidence = z.output<typeof evidenceSchema>;

export interface EvidenceFacts {
  readonly votes: readonly VoteFacts[];
  readonly statement: StatementFacts | null;
  readonly logs: readonly LogDocument[];
  readonly approvals: readonly ApprovalFacts[];
  readonly operations: readonly OperationFacts[];
  readonly funding: FundingFacts | null;
  /** What is attested, and the outpoint that stands for it. */
  readonly reserves: (ReservesDocument & { readonly outpoint: string }) | null;
  readonly original: SpendFacts | null;
}

export const NO_EVIDENCE: EvidenceFacts = {
  votes: [],
  statement: null,
  logs: [],
  approvals: [],
  operations: [],
  funding: null,
  reserves: null,
  original: null,
};

export class EvidenceError extends Error {
  readonly reasons: readonly string[];
  constructor(reasons: readonly string[]) {
    super(`not evidence: ${reasons.join("; ")}`);
    this.name = "EvidenceError";
    this.reasons = reasons;
  }
}

/** Reads the document; throws an EvidenceError that lists every reason with its place. */
export function readEvidence(value: unknown): Evidence {
  const parsed = evidenceSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new EvidenceError(
    parsed.error.issues.map((issue) => `${issue.path.join(".") || "document"}: ${issue.message}`),
  );
}

/** What the law in force and the request say, by which the evidence is verified. */
export interface EvidenceContext extends Omit<Approvable, "network"> {
  readonly network: Network;
  /** Id of the vault that the intent names. */
  readonly vault: string;
  readonly guardians: readonly Guardian[];
  readonly people: readonly Person[];
}

/** Verifies every signature and path of the evidence; `vaults` are those that the intent names. */
export function evidenceFacts(
  evidence: Evidence,
  vaults: readonly VaultScripts[],
  context: EvidenceContext,
): EvidenceFacts {
  const { votes, statement, logs, approvals, operations, funding, reserves, original } = evidence;
  const known = vaults.map(({ vault }): Vault => vault);
  const { network, people } = context;
  return {
    votes: voteFacts(votes, context),
    statement: statement === undefined ? null : statementFacts(statement, context),
    logs,
    approvals: approvalFacts(approvals, context, people),
    operations: operations.map((operation) =>
      operationFacts(operation, { network, vaults: known }),
    ),
    funding: funding === undefined ? null : fundingFacts(funding, context),
    reserves:
      reserves === undefined
        ? null
        : { ...reserves, outpoint: reservesOutpoint(network, reserves) },
    original: original === undefined ? null : spendFacts(original, vaults),
  };
}
