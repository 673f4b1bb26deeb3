/**
 * A spend in plain words, before any byte of it is made: what the generator bends, what the builder
 * builds, and what the model judges. Nothing of the law is in here.
 */

export type Purpose = "withdrawal" | "claim" | "migration" | "consolidation" | "collect" | "top-up";
export type Owner = "user" | "other" | "treasury" | "stranger";
export type Lie = "internal-key" | "merkle-root" | "fingerprint" | "leaf" | "key-path" | "final";

export interface Input {
  owner: Owner;
  branch: 0 | 1;
  index: number;
  sats: bigint;
  /** What the signer's node says; null is unknown to it. */
  node: { sats: bigint; height: number; coinbase: boolean } | null;
  signature: "valid" | "none" | "broken";
  sighash: number | null;
  sequence: number;
  lie: Lie | null;
}

export interface Output {
  to: Owner | "payee" | "data" | "future";
  branch: 0 | 1;
  index: number;
  /** Which payee; each has a P2WPKH script of its own. */
  payee: number;
  sats: bigint;
}

export interface Window {
  hours: number;
  sats: bigint;
}

export interface Policy {
  confirmations: number;
  inputs: number;
  outputs: number;
  past: number;
  future: number;
  gap: number;
  feeSats: bigint;
  /** Millisats per virtual byte. */
  rateMin: bigint;
  rateMax: bigint;
  shareBps: bigint;
  feeWindow: Window;
  perSpend: bigint;
  window: Window;
  vaultWindow: Window | null;
  destinationWindow: Window | null;
  /** Payees that may be paid; null means any. */
  payees: number[] | null;
  /** A purpose may be missing altogether. */
  named: boolean;
  /** People who must approve above an amount; null asks nobody. */
  tier: { above: bigint; people: number } | null;
  noProofSats: bigint;
  coinsMin: number;
  rateMaxUpkeep: bigint;
  voteAge: number;
  spreadBps: bigint;
  statementAge: number;
}

export interface Past {
  msAgo: number;
  blocksAgo: number;
  sats: bigint;
  feeSats: bigint;
  /** The payee that it paid. */
  payee: number;
  vault: "user" | "other";
  /** Which coin of this spend it was signed for; null for none. */
  coin: number | null;
  /** Whether it belongs to this very intent. */
  own: boolean;
  /** Highest index that it paid in the user's vault; null for none. */
  index: number | null;
}

export interface Mandate {
  may: string[];
  sats30d: bigint;
  fees30d: bigint;
  until: number;
  revoked: boolean;
  /** Whose treasury it names. */
  treasury: "treasury" | "strange";
}

export interface Proof {
  prices: bigint[];
  /** Seconds before the signer's clock; negative is the future. */
  voteAge: number;
  /** Which of the four guardians sign; 0 is of the signer's own house. */
  voters: number[];
  cycle: "named" | "other" | "none";
  signers: number[];
  /** Blocks before the signer's height; negative is ahead. */
  statementAge: number;
  hedgedCents: bigint;
  idleSats: bigint;
  deficitSince: number;
  /** Whether the statement lists the vault's coins. */
  credited: boolean;
  /** Sats of the claim that were signed away since. */
  drawn: bigint;
  /** Coins of the vault that no input spends: what it holds (top-up). */
  holds: bigint;
  sameBlock: boolean;
}

export interface Plan {
  purpose: Purpose;
  role: "lsp" | "trustee";
  inputs: Input[];
  outputs: Output[];
  version: number;
  locktime: number;
  /** What the intent says beside what the transaction does. */
  intent: { network: "regtest" | "testnet"; label: string | null; paysMore: bigint };
  policy: Policy;
  paused: boolean;
  past: Past[];
  /** Null when the node does not answer. */
  height: number | null;
  mandate: Mandate | null;
  proof: Proof;
  approvals: number;
}
