/**
 * The two interfaces of the signing room. A `Signer` is asked and may refuse; a `Key` uses a secret
 * and cannot judge. The orchestrator sees signers only; only a guard sees a key.
 */
import type { AccountKey } from "../policies/bitcoin/account-key.ts";
import type { Approval, Violation } from "../policies/decide.ts";
import type { NoticeKind } from "../policies/evidence/notice.ts";
import type { EvidenceDocument } from "../policies/evidence.ts";
import type { IntentDocument } from "../policies/intent.ts";
import type { RuleId } from "../policies/rules.ts";
import type { Role, VaultDocument } from "../policies/vault.ts";

export interface SignRequest {
  readonly intent: IntentDocument;
  /** PSBT bytes, v0 or v2. The signer reads the facts from them itself. */
  readonly psbt: Uint8Array;
  /** What the purpose must prove; see policies/evidence.ts. */
  readonly evidence?: EvidenceDocument;
}

export type SignOutcome =
  | {
      readonly kind: "signed";
      /** The PSBT asked with the signer's signatures added; the same request gets the same bytes. */
      readonly psbt: Uint8Array;
      /** The rules that were asked, all of which agreed. */
      readonly rules: readonly RuleId[];
    }
  /** The law says no, or not yet; nothing was signed. */
  | { readonly kind: "refused" | "held"; readonly violations: readonly Violation[] };

/** What the orchestrator sees: it can ask, and it can be refused. Local or remote alike. */
export interface Signer {
  readonly name: string;
  readonly role: Role;
  readonly sign: (request: SignRequest) => Promise<SignOutcome>;
}

export type RegisterOutcome =
  | {
      readonly kind: "registered";
      readonly vault: string;
      /** This signer's own proof of possession, in hex: the other holders ask for it. */
      readonly proof: string;
    }
  | { readonly kind: "refused"; readonly reasons: readonly string[] };

export interface VaultRegistration {
  readonly vault: VaultDocument;
  /** By role: proof that its holder has the key, see policies/possession.ts. Hex. */
  readonly proofs: Readonly<Partial<Record<Role, string>>>;
}

/** A signer that takes part in new vaults: it makes its key, then checks the finished policy. */
export interface Registers {
  /** An account key with origin for a new vault; the same label gets the same key. */
  readonly accountKey: (label: string) => Promise<string>;
  /** Refuses what would not be a safe 2-of-3, and any holder who does not prove possession. */
  readonly registerVault: (registration: VaultRegistration) => Promise<RegisterOutcome>;
}

/** A line that somebody has signed: see policies/evidence/notice.ts. */
export interface Words {
  readonly text: string;
  /** 64 or 65 bytes in hex. */
  readonly signature: string;
}

export type NoticeOutcome =
  | {
      readonly kind: "heard";
      readonly notice: NoticeKind;
      /** From here on its delays and expiries count. */
      readonly height: number;
    }
  /** `held` may be told again later. */
  | { readonly kind: "refused" | "held"; readonly reasons: readonly string[] };

/** A signer that keeps what users say outside of any spend. */
export interface Hears {
  readonly tell: (words: Words) => Promise<NoticeOutcome>;
}

/** One signature of an approved input. */
export interface InputSignature {
  readonly input: number;
  /** 64 bytes, BIP340. */
  readonly signature: Uint8Array;
}

/** Signs the heads of the decision log, and is no key of any vault. */
export interface HeadKey {
  /** 64 hex digits: x-only, BIP340. 66: a compressed point, ECDSA over secp256k1. */
  readonly publicKey: string;
  /** 64 bytes over 32: BIP340, or r || s with s in the lower half. */
  readonly sign: (hash: Uint8Array) => Promise<Uint8Array>;
}

/** Whether a key can sign now, by a signature that was made and verified. */
export type KeyHealth =
  | { readonly kind: "healthy"; readonly probeMs: number }
  | { readonly kind: "unhealthy"; readonly code: string; readonly message: string };

/** The process that holds a token, for those who watch it. */
export interface KeyProcess {
  readonly starts: number;
  readonly waiting: number;
}

/** What a device or token implements: it uses secrets, and decides nothing. */
export interface Key {
  readonly name: string;
  /** How the secret is kept, said plainly on status pages and in logs. */
  readonly custody: string;
  /** Signatures for every input of the approval, in its order. */
  readonly sign: (approval: Approval) => Promise<readonly InputSignature[]>;
  /** Proof of possession over a text: a signature that can never be one of a transaction. */
  readonly provePossession: (account: string, text: string) => Promise<Uint8Array>;
  /**
   * A line of text signed by the account's child 0/0: 65 bytes of a Bitcoin signed message by a
   * device that shows the line, 64 of BIP340 by any other; see policies/bitcoin/message.ts. Printable
   * ASCII, at most 300 bytes.
   */
  readonly signLine?: (account: string, text: string) => Promise<Uint8Array>;
  /**
   * Whether it holds this account, asked without troubling a person. Where it is there, a proof of
   * possession that the person has given before is not asked for again.
   */
  readonly owns?: (account: AccountKey) => Promise<boolean>;
  /** The account key of a label, made on first use: key information with origin. */
  readonly accountKey: (label: string) => Promise<string>;
  /** No older than `maxAgeMs`. A key that has nothing to fail has none. */
  readonly health?: (maxAgeMs: number) => Promise<KeyHealth>;
  readonly process?: () => KeyProcess;
  /** Where the token has such a key. */
  readonly headKey?: HeadKey;
  readonly close: () => Promise<void>;
}
