/**
 * A spend in plain words, before any byte of it is made: what the generator bends, what the builder
 * builds, and what the model judges. Nothing of the law is in here.
 */

export type Role = "user" | "lsp" | "trustee" | "second-trustee";
export const PURPOSES = [
  "withdrawal",
  "migration",
  "collect",
  "top-up",
  "refresh",
  "consolidation",
  "margin",
  "escrow-in",
  "escrow-out",
  "channel-open",
  "cancel",
  "recovery-lsp-gone",
  "recovery-user-lost",
  "proof-of-reserves",
] as const;
export type Purpose = (typeof PURPOSES)[number];
export type Network = "regtest" | "testnet";

export const VAULT_NAMES = [
  "user",
  "other",
  "exit",
  "recovery",
  "stale",
  "treasury",
  "false",
  "escrow",
] as const;
export type VaultName = (typeof VAULT_NAMES)[number];

export interface VaultInfo {
  readonly kind: "user" | "treasury" | "escrow";
  /** Blocks of rest after which the user may leave alone. */
  readonly exitBlocks: number | null;
  readonly holders: Readonly<Partial<Record<Role, string>>>;
}

const ofUser = (name: string, exitBlocks: number | null = null): VaultInfo => ({
  kind: "user",
  exitBlocks,
  holders: { user: `${name}/user`, lsp: `${name}/lsp`, trustee: `${name}/trustee` },
});
const ofHouse = (kind: "treasury" | "escrow", name: string): VaultInfo => ({
  kind,
  exitBlocks: null,
  holders: {
    lsp: `${name}/lsp`,
    trustee: `${name}/trustee`,
    "second-trustee": `${name}/second-trustee`,
  },
});

export const VAULTS: Readonly<Record<VaultName, VaultInfo>> = {
  user: ofUser("user"),
  other: ofUser("other"),
  exit: ofUser("exit", 26_280),
  recovery: ofUser("recovery"),
  /** Of the recovery key, but with the LSP's key of the user's vault. */
  stale: {
    kind: "user",
    exitBlocks: null,
    holders: { user: "recovery/user", lsp: "user/lsp", trustee: "stale/trustee" },
  },
  treasury: ofHouse("treasury", "treasury"),
  /** A treasury that the policy does not name. */
  false: ofHouse("treasury", "false"),
  escrow: ofHouse("escrow", "escrow"),
};

export interface Place {
  vault: VaultName;
  branch: 0 | 1;
  index: number;
}

export const PAYEES = [
  "p2wpkh",
  "p2wsh",
  "p2pkh",
  "p2sh",
  "p2tr",
  "funding",
  "op-return",
  "future",
  "anchor",
  "bare",
  "no-point",
] as const;
/** Somebody outside all vaults; `no-point` is a P2TR whose key is none. */
export interface Payee {
  pay: (typeof PAYEES)[number];
  n: number;
}
export type Address = Place | Payee;

/** What an input's map says beside, or instead of, the honest words. */
export const INPUT_WORDS = [
  "no-derivations",
  "no-internal-key",
  "no-merkle-root",
  "no-leaf",
  "no-leaf-hashes",
  "unknown-field",
  "proprietary-field",
  "internal-key",
  "merkle-root",
  "leaf-threshold",
  "leaf-nop",
  "leaf-version",
  "control-parity",
  "control-path",
  "second-leaf",
  "fingerprint",
  "path-index",
  "path-longer",
  "stranger-key",
  "strange-leaf-hash",
  "final-witness",
  "key-path-signature",
  "redeem-script",
  "musig-nonce",
  "preimage",
] as const;
export type InputWord = (typeof INPUT_WORDS)[number];

export const OUTPUT_WORDS = [
  "no-derivations",
  "no-words",
  "unknown-field",
  "internal-key",
  "other-tree",
  "fingerprint",
  "path-index",
  "stranger-key",
  "claims-our-key",
  "stranger-derivation",
  "tree-alone",
  "key-alone",
] as const;
export type OutputWord = (typeof OUTPUT_WORDS)[number];

export type SignatureHow =
  | "good"
  | "broken"
  | "other-tx"
  | "sighash-all"
  | "other-leaf"
  | "stranger";

export interface Signature {
  by: Role;
  how: SignatureHow;
}

/** A coin, wherever it lies and whoever knows it. */
export interface Coin {
  at: Address;
  sats: bigint;
  /** What the signer's node says; null is spent or unknown to it. Height 0 is the mempool. */
  node: { sats: bigint; height: number; coinbase: boolean; otherScript: boolean } | null;
}

export interface Input {
  /** Name of a coin; the virtual coin of a proof of reserves is "virtual". */
  coin: string;
  /** What WITNESS_UTXO says; null leaves the field out. */
  said: bigint | null;
  sequence: number;
  sighash: number | null;
  /** The previous transaction: left out, the one that is spent, or another one. */
  previous: "none" | "same" | "another";
  words: InputWord[];
  signatures: Signature[];
}

export interface Output {
  to: Address;
  sats: bigint;
  words: OutputWord[];
}

/** What a PSBT holds. */
export interface Paper {
  inputs: Input[];
  outputs: Output[];
  version: number;
  locktime: number;
  psbt: 0 | 2;
}

export interface Intent {
  purpose: Purpose;
  network: Network;
  vault: VaultName;
  parties: VaultName[];
  outputs: { to: Address; sats: bigint }[];
  cycle: string | null;
  proposer: string | null;
  /** Name of the intent that it takes back. */
  cancels: string | null;
}

export interface Window {
  hours: number;
  sats: bigint;
}

export interface Limits {
  perSpend: bigint;
  windows: Window[];
  vaultWindows: Window[];
  destinationWindows: Window[];
  /** Null is any. */
  destinations: { to: Address; vault: VaultName | null }[] | null;
  tiers: { above: bigint; people: number }[];
  noProof: bigint;
  inputsMin: number;
  /** Millisats per virtual byte, of a consolidation. */
  rateMax: bigint;
  delay: number;
}

export interface Law {
  role: Role;
  confirmations: number;
  burial: number;
  inputs: number;
  outputs: number;
  onePolicy: boolean;
  past: number;
  future: number;
  gap: number;
  feeSats: bigint;
  /** Millisats per virtual byte. */
  rateMin: bigint;
  rateMax: bigint;
  shareBps: bigint;
  feeWindows: Window[];
  bumps: number;
  lifts: { rule: string; people: number }[];
  guardians: {
    threshold: number;
    own: string[];
    pool: string;
    voteAge: number;
    spreadBps: bigint;
    statementAge: number;
  };
  house: { treasury: VaultName; escrow: VaultName; node: "lsp-node" | "other-node" };
  purposes: Partial<Record<Purpose, Limits>>;
}

/** What an earlier spend took out of which account of the windows. */
export interface Charge {
  about:
    | "purpose"
    | "vault"
    | "destination"
    | "fees"
    | "drawn"
    | "userless"
    | "userless-fees"
    | "refreshes";
  purpose: Purpose;
  vault: VaultName;
  to: Address | null;
  sats: bigint;
}

export interface Claim {
  /** "own" is the intent that is judged. */
  intent: string;
  purpose: Purpose;
  vault: VaultName;
  /** "this" is the transaction that is judged, "original" the one in the evidence. */
  tx: string;
  anchor: string;
  coins: string[];
  charges: Charge[];
  places: { coin: string; vault: VaultName; index: number; sats: bigint; gained: boolean }[];
  userSigned: boolean;
  /** Its outputs that a bump may not touch. */
  fixed: "same" | "another" | "unknown";
  nonces: Nonce[];
  msAgo: number;
  height: number;
}

export type Nonce =
  | { kind: "operation"; vault: VaultName; number: number }
  | { kind: "cancel"; intent: string };

export type Notice = { vault: VaultName; no: number; height: number } & (
  | {
      kind: "mandate";
      may: string[];
      sats30d: bigint;
      fees30d: bigint;
      bump: bigint;
      refresh: number;
      treasury: VaultName;
      recovery: VaultName | null;
      until: number;
    }
  | { kind: "revoke" }
  | { kind: "node"; node: NodeName }
  | { kind: "delegate"; sats: bigint; until: number }
  | { kind: "lsp-gone" }
  | { kind: "user-lost"; to: VaultName }
  | { kind: "stop" }
);

export type NodeName = "user-node" | "other-node" | "lsp-node";

/** The account that the signer acted on last: before its first entry, the same, or one ahead. */
export interface Remembered {
  vault: VaultName;
  sequence: 0 | 1 | 2;
  used: { index: number; by: "own" | "another" } | null;
}

export interface History {
  paused: boolean;
  height: number;
  claims: Claim[];
  notices: Notice[];
  accounts: Remembered[];
}

export interface Chain {
  height: number;
  watched: VaultName[];
  burials: { tx: string; depth: number; spends: string[] }[];
  /** Of the statement's height: the statement's block, another, or not told. */
  block: "same" | "another" | "untold";
}

export interface Vote {
  by: string;
  pool: string;
  index: number;
  /** Seconds before the signer's clock. */
  age: number;
  price: bigint;
  good: boolean;
}

export interface Account {
  vault: VaultName;
  credited: string[];
  hedgedCents: bigint;
  poolMsats: bigint;
  channelCents: bigint;
  idleSats: bigint;
  deficitSince: number;
  /** Entries of the log that come with it: the whole, none, or one that is not the true one. */
  log: "whole" | "none" | "forged";
  /** Whether the leaf that is shown is the one under the root. */
  leaf: "true" | "forged";
}

export interface Statement {
  network: Network;
  index: number;
  height: number;
  signers: { by: string; good: boolean }[];
  accounts: Account[];
}

/** Two other accounts stand in every statement, each with so much in the pool. */
export const OTHERS_POOL_MSATS = 10_000_000n;

export interface Approval {
  person: string;
  lifts: string[];
  until: number;
  for: "this" | "another";
}

export interface Operation {
  vault: VaultName;
  number: number;
  do: "lock" | "unlock";
  sats: bigint;
  by: "vault" | "delegate" | "stranger";
  good: boolean;
}

export interface Funding {
  sats: bigint;
  user: NodeName;
  lsp: NodeName;
  good: boolean;
}

export interface Evidence {
  votes: Vote[];
  statement: Statement | null;
  approvals: Approval[];
  operations: Operation[];
  funding: Funding | null;
  reserves: boolean;
  original: Paper | null;
}

export interface Plan {
  coins: Map<string, Coin>;
  paper: Paper;
  intent: Intent;
  registered: VaultName[];
  law: Law;
  history: History;
  /** Null when the signer's node does not answer. */
  chain: Chain | null;
  evidence: Evidence;
}

export const PEOPLE = ["anna", "bert", "cora"] as const;

export function isPlace(address: Address): address is Place {
  return "vault" in address;
}

/** One text for one script. */
export function addressKey(address: Address): string {
  return isPlace(address)
    ? `${address.vault}/${address.branch}/${address.index}`
    : `${address.pay} ${address.n}`;
}
