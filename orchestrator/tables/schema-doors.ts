/** Who may ask, and what was asked and answered. */

export const SCOPES = ["user", "operator", "auditor", "machine"] as const;
export type Scope = (typeof SCOPES)[number];

/** Who may ask at the API. Written by doors/tokens.ts. */
export interface TokenTable {
  /** Hash of its name. */
  readonly id: string;
  readonly name: string;
  readonly scope: Scope;
  /** Whose; null for all but users. */
  readonly account: string | null;
  /** SHA-256 of the token, which is shown once. */
  readonly hash: string;
  /** Id of the token that asked for it. */
  readonly issued_by: string;
  readonly created_at: bigint;
  readonly expires_at: bigint;
  readonly disabled_at: bigint | null;
  /** To the hour. */
  readonly used_at: bigint | null;
}

/** What one operator wants and another must approve. Written by doors/proposals.ts. */
export interface ProposalTable {
  /** Hash of content and turn. */
  readonly id: string;
  /** Hash of method, path, body and proposer. */
  readonly content: string;
  /** How often the same was proposed before. */
  readonly turn: bigint;
  readonly method: string;
  readonly path: string;
  /** JSON. */
  readonly body: string;
  /** Ids of tokens, like `approver`. */
  readonly proposer: string;
  readonly created_at: bigint;
  readonly expires_at: bigint;
  /** `approved`: it is being done, or its process ended meanwhile. */
  readonly state: "waiting" | "approved" | "done" | "refused";
  readonly approver: string | null;
  /** HTTP's, of what came of it. */
  readonly status: bigint | null;
}

/** What was answered to requests with an Idempotency-Key. Written by doors/answers.ts. */
export interface AnswerTable {
  readonly token: string;
  readonly key: string;
  /** Hash of what was asked, decoded. */
  readonly fingerprint: string;
  readonly at: bigint;
  /** Null: it was asked, and nothing answered yet. */
  readonly status: bigint | null;
  readonly type: string | null;
  /** The answer, sealed under the token that asked. */
  readonly sealed: Uint8Array | null;
}

/** What others call an account. Written by accounts/aliases.ts. */
export interface AliasTable {
  readonly external_id: string;
  readonly account: string;
}

/** Addresses from which a user's own services pay. Written by accounts/service-addresses.ts. */
export interface ServiceAddressTable {
  readonly account: string;
  readonly address: string;
  readonly created_at: bigint;
}
